/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the memory-return engine really frees, on every backing.
 *
 * DOC: a row is a backing and a way to ask. Guest memory is filled, released, looked at, and used
 * again. How much was freed says the kernel, never the engine: smaps for what is mapped, the file's
 * blocks for shared memory and files, the pool's counters for huge pages; of two words the smaller
 * counts. The engine's account is held against it. No guest runs: the engine alone, in this
 * process, with the batches that a Linux guest sends (32 reports of 2 MiB, 256 pages of 4 KiB).
 *
 * At the end, the engine's CPU time for blocks of 2 MiB beside one madvise over the same bytes, run
 * by run in turns; and that of unplugging 1 GiB in blocks of 2 MiB, all that virtio-mem does for
 * it: taking the guest's access away, the release, leaving the place as new.
 *
 * Prints a line a row and, last, "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "ebb/reclaim.h"

#define PAGE              PAGE_4K_BYTES
#define BATCH_BLOCKS      32
#define BATCH_PAGES       256
#define HUGE_POOL_PATH    "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s"
#define DUEL_ROUNDS       11
#define DUEL_ROUNDS_MAX   41
#define RATIO_BYTES       (128 * MIB)
#define RATIO_MAX         1.3
#define OLD_WORD          UINT64_C(0x6562626f6c640000)
#define NEW_WORD          UINT64_C(0x6562626e65770000)
#define TABLE_BYTES       GIB
#define TABLE_SMALL_BYTES (128 * MIB)
#define UNPLUG_BLOCK      PAGE_2M_BYTES

enum way {
	WAY_REPORT_2M,  /* reports of 2 MiB, released before they are answered */
	WAY_INFLATE_4K, /* a balloon's pages, descending as Linux gives them */
	WAY_SHUFFLE_4K, /* a balloon's pages in any order */
	WAY_REPORT_4K,  /* reports of single pages */
};

static const char *const way_names[] = { "2 MiB reports", "4 KiB inflate",
	                                 "4 KiB inflate, shuffled", "4 KiB reports" };

enum claim { FREES, REFUSES, OFFERS };

struct row {
	const char *name;
	struct gmem_backing backing;
	enum way way;
	enum claim claim;
	bool lazy;
	enum reclaim_refusal refusal; /* REFUSES */
};

struct bench {
	uint64_t size_bytes;
	struct guest_memory *memory;
	struct reclaim *reclaim;
	uint8_t *hva;
	struct gmem_region region;
	unsigned int passed, failed, skipped;
};

/* --- the kernel's words --- */

static int64_t pool_count(uint64_t page_bytes, const char *name)
{
	char path[128];
	long long count = -1;
	FILE *file;

	snprintf(path, sizeof(path), HUGE_POOL_PATH, page_bytes / KIB, name);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%lld", &count) != 1)
		count = -1;
	fclose(file);
	return count;
}

static bool set_pool_size(uint64_t page_bytes, int64_t count)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), HUGE_POOL_PATH, page_bytes / KIB, "nr_hugepages");
	file = fopen(path, "we");
	if (!file)
		return false;
	fprintf(file, "%" PRId64 "\n", count);
	return fclose(file) == 0;
}

/* What smaps says of the region: mapped small pages and huge pages. */
static uint64_t smaps_bytes(const struct bench *bench)
{
	uintptr_t begin = (uintptr_t)bench->hva, end = begin + bench->size_bytes;
	FILE *file = fopen("/proc/self/smaps", "re");
	uint64_t total_bytes = 0;
	bool inside = false;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		unsigned long long from, to, kib;

		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			inside = from >= begin && to <= end;
		else if (inside && (sscanf(line, "Rss: %llu kB", &kib) == 1 ||
		                    sscanf(line, "Shared_Hugetlb: %llu kB", &kib) == 1 ||
		                    sscanf(line, "Private_Hugetlb: %llu kB", &kib) == 1))
			total_bytes += kib * KIB;
	}
	if (file)
		fclose(file);
	return total_bytes;
}

static uint64_t meminfo_bytes(const char *format)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * KIB;
}

struct words {
	uint64_t mapped_bytes, file_bytes, pool_bytes;
};

static struct words take_words(const struct bench *bench)
{
	struct words words = { .mapped_bytes = smaps_bytes(bench) };
	struct stat status;

	if (bench->region.fd >= 0 && fstat(bench->region.fd, &status) == 0)
		words.file_bytes = (uint64_t)status.st_blocks * 512;
	if (bench->region.kind == GMEM_HUGETLB)
		words.pool_bytes =
			(uint64_t)(pool_count(bench->region.page_bytes, "free_hugepages") -
		                   pool_count(bench->region.page_bytes, "resv_hugepages")) *
			bench->region.page_bytes;
	return words;
}

/* What is free now and was not before: the least that any of them says. */
static uint64_t freed_bytes(const struct bench *bench, const struct words *before)
{
	struct words after = take_words(bench);
	uint64_t freed = before->mapped_bytes - after.mapped_bytes;

	if (bench->region.kind == GMEM_MEMFD || bench->region.kind == GMEM_FILE)
		freed = min_u64(freed, before->file_bytes - after.file_bytes);
	if (bench->region.kind == GMEM_HUGETLB)
		freed = min_u64(freed, after.pool_bytes - before->pool_bytes);
	return freed;
}

/* --- use --- */

static void fill(struct bench *bench, uint64_t word)
{
	for (uint64_t offset = 0; offset < bench->size_bytes; offset += PAGE)
		*(uint64_t *)(bench->hva + offset) = word + offset / PAGE;
}

/* How many pages hold what was written there; or, with a word of 0, zero. */
static uint64_t count_pages(const struct bench *bench, uint64_t word)
{
	uint64_t count = 0;

	for (uint64_t offset = 0; offset < bench->size_bytes; offset += PAGE)
		count += *(const uint64_t *)(bench->hva + offset) ==
		         (word ? word + offset / PAGE : 0);
	return count;
}

/* --- asking --- */

static struct reclaim_source_stats stats_of(const struct bench *bench, enum reclaim_source source)
{
	struct reclaim_stats stats;

	reclaim_query(bench->reclaim, &stats);
	return stats.sources[source];
}

/* The number that comes after index in an order without any, and meets each of count once; count
 * is a power of two. */
static uint64_t shuffled(uint64_t index, uint64_t count)
{
	return (index * UINT64_C(0x9e3779b1) + 12345) & (count - 1);
}

static void report(struct bench *bench, uint64_t step_bytes, unsigned int batch)
{
	uint64_t count = bench->size_bytes / step_bytes;
	struct reclaim_range ranges[BATCH_PAGES];
	struct reclaim_outcome outcome;

	for (uint64_t i = 0; i < count; i += batch) {
		for (unsigned int j = 0; j < batch; j++)
			ranges[j] = (struct reclaim_range){ shuffled(i + j, count) * step_bytes,
				                            step_bytes };
		(void)!reclaim_release(bench->reclaim, RECLAIM_REPORT, ranges, batch, &outcome);
	}
}

static void inflate(struct bench *bench, bool in_any_order)
{
	uint64_t count = bench->size_bytes / PAGE;
	struct reclaim_range ranges[BATCH_PAGES];
	struct reclaim_outcome outcome;

	for (uint64_t i = 0; i < count; i += BATCH_PAGES) {
		for (uint64_t j = 0; j < BATCH_PAGES; j++) {
			uint64_t page = in_any_order ? shuffled(i + j, count) : count - 1 - (i + j);

			ranges[j] = (struct reclaim_range){ page * PAGE, PAGE };
		}
		(void)!reclaim_release_later(bench->reclaim, RECLAIM_INFLATE, ranges, BATCH_PAGES,
		                             &outcome);
	}
	(void)!reclaim_release_deferred(bench->reclaim, RECLAIM_INFLATE, &outcome);
}

static enum reclaim_source ask(struct bench *bench, enum way way)
{
	switch (way) {
	case WAY_REPORT_2M:
		report(bench, PAGE_2M_BYTES, BATCH_BLOCKS);
		return RECLAIM_REPORT;
	case WAY_REPORT_4K:
		report(bench, PAGE, BATCH_PAGES);
		return RECLAIM_REPORT;
	case WAY_INFLATE_4K:
	case WAY_SHUFFLE_4K:
		break;
	}
	inflate(bench, way == WAY_SHUFFLE_4K);
	return RECLAIM_INFLATE;
}

/* --- a row --- */

static bool set_up(struct bench *bench, const struct row *row, struct error *err)
{
	struct gmem_region regions[1];

	bench->memory = NULL;
	bench->reclaim = NULL;
	if (guest_memory_create(&bench->memory, err) < 0 ||
	    gmem_add_region(bench->memory, 0, bench->size_bytes, &row->backing, err) < 0 ||
	    reclaim_create(bench->memory, &bench->reclaim, err) < 0 ||
	    (row->lazy && reclaim_set_lazy(bench->reclaim, true, err) < 0))
		return false;
	gmem_list_regions(bench->memory, regions, 1);
	bench->region = regions[0];
	bench->hva = regions[0].hva;
	return true;
}

static void tear_down(struct bench *bench)
{
	reclaim_destroy(bench->reclaim);
	guest_memory_destroy(bench->memory);
}

/* What must be true of a row; NULL: it is. */
static const char *judge(const struct bench *bench, const struct row *row, uint64_t freed,
                         const struct reclaim_source_stats *stats, uint64_t zero_pages,
                         uint64_t old_pages)
{
	const uint64_t asked = bench->size_bytes, pages = asked / PAGE;

	if (stats->bytes_in !=
	    stats->bytes_released + stats->bytes_lazy + stats->bytes_absent + stats->bytes_refused)
		return "its account does not add up";
	if (stats->bytes_released > freed + asked / 1000)
		return "it claims more than was freed";
	switch (row->claim) {
	case FREES:
		if (freed < asked - asked / 1000)
			return "it frees less than it should";
		if (stats->bytes_released < freed - asked / 1000)
			return "it claims less than was freed";
		return zero_pages == pages ? NULL : "a page does not read as zeroes";
	case REFUSES:
		if (stats->bytes_released || stats->refused[row->refusal] != asked)
			return "it does not say that it refused all, and why";
		return old_pages == pages ? NULL : "a page was lost";
	case OFFERS:
		if (stats->bytes_released || stats->bytes_lazy != asked)
			return "it does not call it lazy";
		return zero_pages + old_pages == pages ? NULL : "a page holds something else";
	}
	return NULL;
}

static void run_row(struct bench *bench, const struct row *row)
{
	uint64_t freed, zero_pages, old_pages, gib_share = bench->size_bytes;
	struct reclaim_source_stats stats;
	struct error err = ERROR_INIT;
	enum reclaim_source source;
	struct words before;
	const char *wrong;

	if (!set_up(bench, row, &err)) {
		printf("FAIL release/%s, %s: %s\n", row->name, way_names[row->way], err.message);
		bench->failed++;
		tear_down(bench);
		return;
	}
	fill(bench, OLD_WORD);
	before = take_words(bench);
	source = ask(bench, row->way);
	stats = stats_of(bench, source);
	freed = freed_bytes(bench, &before);
	old_pages = count_pages(bench, OLD_WORD);
	zero_pages = count_pages(bench, 0);
	fill(bench, NEW_WORD);
	wrong = judge(bench, row, freed, &stats, zero_pages, old_pages);
	if (!wrong && count_pages(bench, NEW_WORD) != bench->size_bytes / PAGE)
		wrong = "memory in use again does not keep what is written";
	printf("%s release/%s, %s: freed %.4f of %" PRIu64 " MiB, claimed %.4f, lazy %.4f, refused "
	       "%.4f, %" PRIu64 " calls a GiB, then %s%s%s\n",
	       wrong ? "FAIL" : "PASS", row->name, way_names[row->way],
	       (double)freed / (double)bench->size_bytes, bench->size_bytes / MIB,
	       (double)stats.bytes_released / (double)bench->size_bytes,
	       (double)stats.bytes_lazy / (double)bench->size_bytes,
	       (double)stats.bytes_refused / (double)bench->size_bytes,
	       stats.syscalls * GIB / gib_share, zero_pages ? "zeroes" : "as it was",
	       wrong ? ": " : "", wrong ? wrong : "");
	fflush(stdout);
	*(wrong ? &bench->failed : &bench->passed) += 1;
	tear_down(bench);
}

static void skip_row(struct bench *bench, const char *name, const char *why)
{
	printf("SKIP release/%s: %s\n", name, why);
	bench->skipped++;
}

/* --- the rows --- */

static void run_small_pages(struct bench *bench, const char *path)
{
	const struct gmem_backing anon = { .thp = false }, thp = { .thp = true };
	const struct gmem_backing memfd = { .kind = GMEM_MEMFD, .thp = true };
	const struct gmem_backing file = { .kind = GMEM_FILE, .path = path };
	const struct gmem_backing locked = { .lock = true };
	const struct row rows[] = {
		{ "anon", thp, WAY_REPORT_2M, FREES, false, 0 },
		{ "anon", thp, WAY_INFLATE_4K, FREES, false, 0 },
		{ "anon without THP", anon, WAY_REPORT_2M, FREES, false, 0 },
		{ "anon without THP", anon, WAY_INFLATE_4K, FREES, false, 0 },
		{ "anon lazy", thp, WAY_REPORT_2M, OFFERS, true, 0 },
		{ "anon locked", locked, WAY_REPORT_2M, REFUSES, false, RECLAIM_REFUSED_LOCKED },
		{ "memfd", memfd, WAY_REPORT_2M, FREES, false, 0 },
		{ "memfd", memfd, WAY_INFLATE_4K, FREES, false, 0 },
		{ "file", file, WAY_REPORT_2M, FREES, false, 0 },
		{ "file", file, WAY_INFLATE_4K, FREES, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].backing.lock && geteuid() != 0)
			skip_row(bench, rows[i].name, "only root may lock so much");
		else if (rows[i].backing.kind == GMEM_FILE && !path)
			skip_row(bench, rows[i].name, "no file could be made for it");
		else
			run_row(bench, &rows[i]);
	}
}

static void run_huge_rows(struct bench *bench, const char *name, uint64_t page_bytes)
{
	const struct gmem_backing huge = { .kind = GMEM_HUGETLB, .page_bytes = page_bytes };
	const bool of_2m = page_bytes == PAGE_2M_BYTES;
	const struct row rows[] = {
		{ name, huge, WAY_REPORT_2M, of_2m ? FREES : REFUSES, false,
		  RECLAIM_REFUSED_UNALIGNED },
		{ name, huge, WAY_INFLATE_4K, FREES, false, 0 },
		{ name, huge, WAY_SHUFFLE_4K, FREES, false, 0 },
		{ name, huge, WAY_REPORT_4K, REFUSES, false, RECLAIM_REFUSED_UNALIGNED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		run_row(bench, &rows[i]);
}

/* As much of a GiB as this host's pool can be made to hold, for as long as it takes. */
static void run_huge_pages(struct bench *bench, const char *name, uint64_t page_bytes)
{
	int64_t before = pool_count(page_bytes, "nr_hugepages"), free_pages, wanted;

	if (before < 0) {
		skip_row(bench, name, "the host has no huge pages of that size");
		return;
	}
	bench->size_bytes = TABLE_BYTES;
	wanted = (int64_t)(TABLE_BYTES / page_bytes);
	free_pages =
		pool_count(page_bytes, "free_hugepages") - pool_count(page_bytes, "resv_hugepages");
	if (free_pages < wanted && meminfo_bytes("MemAvailable: %llu kB") > 3 * GIB)
		set_pool_size(page_bytes, before + wanted - free_pages);
	free_pages =
		pool_count(page_bytes, "free_hugepages") - pool_count(page_bytes, "resv_hugepages");
	while (bench->size_bytes >= page_bytes &&
	       (int64_t)(bench->size_bytes / page_bytes) > free_pages)
		bench->size_bytes /= 2;
	if (bench->size_bytes >= max_u64(page_bytes, TABLE_SMALL_BYTES))
		run_huge_rows(bench, name, page_bytes);
	else
		skip_row(bench, name,
		         "its pool is empty, and this user or this memory does not let it grow");
	if (pool_count(page_bytes, "nr_hugepages") != before)
		set_pool_size(page_bytes, before);
}

/* --- line 5: CPU time --- */

static int64_t cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

/*
 * Rounds in which both release the same memory, one right behind the other. What a release costs
 * changes by a factor as the kernel's free lists do, so each round counts by its own ratio, and the
 * middle one says.
 */
struct duel {
	size_t rounds;
	double ratios[DUEL_ROUNDS_MAX]; /* in rising order */
};

static void duel_add(struct duel *duel, int64_t engine_ns, int64_t plain_ns)
{
	const double ratio = (double)engine_ns / (double)plain_ns;
	size_t place = duel->rounds++;

	for (; place && duel->ratios[place - 1] > ratio; place--)
		duel->ratios[place] = duel->ratios[place - 1];
	duel->ratios[place] = ratio;
}

static double duel_ratio(const struct duel *duel)
{
	return duel->rounds ? duel->ratios[duel->rounds / 2] : 0;
}

/* On a busy machine it takes more rounds to tell. */
static bool duel_is_over(const struct duel *duel)
{
	return duel->rounds == DUEL_ROUNDS_MAX ||
	       (duel->rounds >= DUEL_ROUNDS && duel_ratio(duel) <= RATIO_MAX);
}

static void run_ratio(struct bench *bench, const char *name, const struct gmem_backing *backing)
{
	const struct row row = { .name = name, .backing = *backing };
	struct error err = ERROR_INIT;
	struct duel duel = { 0 };
	int64_t start, engine_ns;
	bool works;

	bench->size_bytes = RATIO_BYTES;
	if (!set_up(bench, &row, &err)) {
		skip_row(bench, name, err.message);
		tear_down(bench);
		return;
	}
	while (!duel_is_over(&duel)) {
		fill(bench, OLD_WORD);
		start = cpu_ns();
		report(bench, PAGE_2M_BYTES, BATCH_BLOCKS);
		engine_ns = cpu_ns() - start;
		fill(bench, OLD_WORD);
		start = cpu_ns();
		madvise(bench->hva, bench->size_bytes,
		        backing->kind == GMEM_ANON ? MADV_DONTNEED : MADV_REMOVE);
		duel_add(&duel, engine_ns, cpu_ns() - start);
	}
	works = duel_ratio(&duel) <= RATIO_MAX;
	printf("%s release/CPU time, %s: %.2f times one madvise over the same bytes (at most "
	       "%.1f), of %u MiB in blocks of 2 MiB\n",
	       works ? "PASS" : "FAIL", name, duel_ratio(&duel), RATIO_MAX,
	       (unsigned int)(RATIO_BYTES / MIB));
	*(works ? &bench->passed : &bench->failed) += 1;
	tear_down(bench);
}

/* --- unplugging --- */

/* As virtio_mem_batch.c has it: requests of a block each, merged, then what is unplugged goes. */
static int unplug(struct bench *bench, struct gmem_area *area, uint64_t *ret_released_bytes)
{
	struct reclaim_range ranges[TABLE_BYTES / UNPLUG_BLOCK];
	const size_t count = bench->size_bytes / UNPLUG_BLOCK;
	struct reclaim_outcome outcome = { 0 };
	int r;

	for (size_t i = 0; i < count; i++)
		ranges[i] = (struct reclaim_range){ i * UNPLUG_BLOCK, UNPLUG_BLOCK };
	r = gmem_unplug(area, 0, bench->size_bytes);
	if (!r)
		r = reclaim_release(bench->reclaim, RECLAIM_UNPLUG, ranges, count, &outcome);
	gmem_trim(area);
	*ret_released_bytes = outcome.bytes_released;
	return r;
}

/* What one madvise over the same memory takes, which is plugged before and after. */
static int64_t measure_madvise(struct bench *bench, const struct gmem_backing *backing)
{
	int64_t start;

	fill(bench, OLD_WORD);
	start = cpu_ns();
	madvise(bench->hva, bench->size_bytes,
	        backing->kind == GMEM_ANON ? MADV_DONTNEED : MADV_REMOVE);
	return cpu_ns() - start;
}

static void run_unplug(struct bench *bench, const char *name, const struct gmem_backing *backing)
{
	const struct gmem_extent extent = { 0, TABLE_BYTES, UNPLUG_BLOCK };
	struct duel duel = { 0 };
	int64_t start, plain_ns;
	struct gmem_area *area = NULL;
	uint64_t released_bytes = 0;
	bool works;

	bench->size_bytes =
		meminfo_bytes("MemAvailable: %llu kB") < 2 * GIB ? TABLE_SMALL_BYTES : TABLE_BYTES;
	works = guest_memory_create(&bench->memory, NULL) == 0 &&
	        reclaim_create(bench->memory, &bench->reclaim, NULL) == 0 &&
	        gmem_add_area(bench->memory, &extent, backing, &area, NULL) == 0;
	while (works && !duel_is_over(&duel)) {
		works = gmem_plug(area, 0, bench->size_bytes) == 0;
		bench->hva = gmem_span(bench->memory, 0, 1);
		plain_ns = measure_madvise(bench, backing);
		fill(bench, OLD_WORD);
		start = cpu_ns();
		works = works && unplug(bench, area, &released_bytes) == 0;
		duel_add(&duel, cpu_ns() - start, plain_ns);
		works = works && released_bytes == bench->size_bytes && smaps_bytes(bench) == 0;
	}
	works = works && duel_ratio(&duel) <= RATIO_MAX;
	printf("%s release/unplug, %s: %.2f times one madvise over the same bytes (at most %.1f), "
	       "%" PRIu64 " of %" PRIu64 " MiB left the host\n",
	       works ? "PASS" : "FAIL", name, duel_ratio(&duel), RATIO_MAX, released_bytes / MIB,
	       bench->size_bytes / MIB);
	*(works ? &bench->passed : &bench->failed) += 1;
	gmem_remove_area(area);
	tear_down(bench);
}

/* A file with room for a GiB, not of a memory file system if there is another; NULL: none. */
static char *make_file(uint64_t size_bytes)
{
	static const char *const folders[] = { "/var/tmp", "/tmp" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		char *path = NULL;
		struct statfs filesystem;
		int fd;

		if (statfs(folders[i], &filesystem) ||
		    (uint64_t)filesystem.f_bavail * (uint64_t)filesystem.f_bsize <
		            size_bytes + size_bytes / 4 ||
		    asprintf(&path, "%s/ebb-release-table-XXXXXX", folders[i]) < 0)
			continue;
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0 && ftruncate(fd, (off_t)size_bytes) == 0) {
			close(fd);
			return path;
		}
		if (fd >= 0)
			close(fd);
		free(path);
	}
	return NULL;
}

int main(void)
{
	const struct gmem_backing anon = { .thp = false }, thp = { .thp = true };
	const struct gmem_backing memfd = { .kind = GMEM_MEMFD, .thp = true };
	struct bench bench = { .size_bytes = TABLE_BYTES };
	char *path;

	if (meminfo_bytes("MemAvailable: %llu kB") < 2 * GIB)
		bench.size_bytes = TABLE_SMALL_BYTES; /* the rows say so */
	path = make_file(bench.size_bytes);
	run_small_pages(&bench, path);
	run_huge_pages(&bench, "hugetlb 2M", PAGE_2M_BYTES);
	run_huge_pages(&bench, "hugetlb 1G", PAGE_1G_BYTES);
	run_ratio(&bench, "anon", &thp);
	run_ratio(&bench, "anon without THP", &anon);
	run_unplug(&bench, "anon", &thp);
	run_unplug(&bench, "anon without THP", &anon);
	run_unplug(&bench, "memfd", &memfd);
	if (path)
		unlink(path);
	free(path);
	printf("%u passed, %u failed, %u skipped\n", bench.passed, bench.failed, bench.skipped);
	return bench.failed ? 1 : 0;
}
