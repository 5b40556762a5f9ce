/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory-return engine: guest-physical ranges in, host memory back, and an honest account of
 * it.
 *
 * DOC: owns every system call that takes guest RAM away (with its private rooms: reclaim_batch.c
 * brings a batch into order, reclaim_residency.c looks what is there, reclaim_host.c holds the
 * system calls, reclaim_trace.c writes the trace).
 *
 *   ranges -> clip, sort, merge -> split at regions -> pieces -> look -> release -> account
 *
 * Looking comes first because the host does not say what an advice freed. Pieces close to each
 * other are looked at with one call: as long as a gap is no larger than what the pieces before it
 * cover plus 2 MiB, so a scan never walks much more than twice what was asked for. A piece that
 * holds nothing, neither memory nor swap, is not released at all: no system call, and no MMU
 * notifier for KVM to run.
 *
 * What is left goes by one vector process_madvise on this process; a single piece by madvise. A
 * vector is capped at 1 GiB, for the kernel cuts one at 2 GiB less a page, inside a THP. Whether
 * the host has it (Linux 6.13; without a descriptor 6.14) is found out by the first vector, so that
 * a start pays nothing: where the vector fails and the same piece goes by madvise, vectors are over
 * for good.
 *
 * Released pages are remembered, a bit each, in a map a region that is made with its first release
 * and costs memory only where something was released. A page with its bit set that is seen resident
 * has been faulted back: counted once, at the next release of it or the next query. A reset machine
 * begins anew: its maps go.
 *
 * Backings: private anonymous memory, where MADV_DONTNEED frees at once and at 4 KiB. What merges
 * to whole 2 MiB leaves THPs whole; a part of one splits it. The others fit behind release_one and
 * release_group: shared memfd and files need MADV_REMOVE or a punched hole (DONTNEED on them frees
 * nothing), hugetlb the same at its page size, with parts remembered until a page is complete.
 *
 * Threads: any; a batch holds the shared lock of guest memory and then the batch lock, to its end.
 */
#include "ebb/reclaim.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ebb/bitmap.h"
#include "ebb/event_loop.h"
#include "reclaim_batch.h"
#include "reclaim_host.h"
#include "reclaim_residency.h"
#include "reclaim_trace.h"

#define PIECES_MAX       512
#define VECTOR_MAX_BYTES GIB
#define GAP_MIN_BYTES    PAGE_2M_BYTES

struct region {
	gpa_t gpa;
	uint64_t size_bytes;
	uint8_t *hva;
	uint64_t
		*released; /* a bit a 4 KiB page; NULL: nothing released yet, or no memory for it */
};

/* A part of a batch: merged, and inside one region. */
struct piece {
	struct region *region;
	uint8_t *hva;
	uint64_t size_bytes, resident_bytes;
	bool holds_something; /* resident, swapped or zero pages */
};

struct reclaim {
	struct guest_memory *memory;
	struct gmem_listener listener;
	pthread_mutex_t lock;                    /* the batch lock: everything below */
	struct region regions[GMEM_REGIONS_MAX]; /* ascending */
	size_t region_count;
	unsigned int inhibit_count;
	enum { VECTOR_UNPROBED, VECTOR_WORKS, VECTOR_NONE } vector;
	int pidfd; /* RECLAIM_HOST_SELF, or a descriptor of ours */
	struct reclaim_source_stats stats[RECLAIM_SOURCE_COUNT];
	struct metric_histogram latency[RECLAIM_SOURCE_COUNT];
	uint64_t refault_bytes;
	struct reclaim_trace trace;
	struct residency residency;
	/* The batch under way: */
	enum reclaim_source source;
	struct piece pieces[PIECES_MAX];
	size_t piece_count;
	struct iovec elements[PIECES_MAX];
	unsigned int errors;
	int first_error;
};

const char *reclaim_source_name(enum reclaim_source source)
{
	static const char *const names[RECLAIM_SOURCE_COUNT] = {
		[RECLAIM_INFLATE] = "inflate", [RECLAIM_REPORT] = "report", [RECLAIM_HINT] = "hint",
		[RECLAIM_UNPLUG] = "unplug",   [RECLAIM_RESET] = "reset",
	};

	return names[source];
}

/* --- regions --- */

static size_t released_map_bytes(const struct region *region)
{
	return BITMAP_WORDS(region->size_bytes / PAGE_4K_BYTES) * sizeof(uint64_t);
}

static void region_forget_released(struct region *region)
{
	if (region->released)
		munmap(region->released, released_map_bytes(region));
	region->released = NULL;
}

/* Its map of released pages, made when it is first needed; NULL when the host has no room. */
static uint64_t *region_released_map(struct region *region)
{
	void *map;

	if (region->released)
		return region->released;
	map = mmap(NULL, released_map_bytes(region), PROT_READ | PROT_WRITE,
	           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	region->released = map == MAP_FAILED ? NULL : map;
	return region->released;
}

static int on_region_added(struct gmem_listener *listener, const struct gmem_region *added)
{
	struct reclaim *reclaim = container_of(listener, struct reclaim, listener);
	size_t at;

	pthread_mutex_lock(&reclaim->lock);
	if (reclaim->region_count == GMEM_REGIONS_MAX) {
		pthread_mutex_unlock(&reclaim->lock);
		return -ENOSPC;
	}
	for (at = reclaim->region_count; at > 0 && reclaim->regions[at - 1].gpa > added->gpa; at--)
		reclaim->regions[at] = reclaim->regions[at - 1];
	reclaim->regions[at] = (struct region){
		.gpa = added->gpa,
		.size_bytes = added->size_bytes,
		.hva = added->hva,
	};
	reclaim->region_count++;
	pthread_mutex_unlock(&reclaim->lock);
	return 0;
}

static void on_region_removed(struct gmem_listener *listener, const struct gmem_region *removed)
{
	struct reclaim *reclaim = container_of(listener, struct reclaim, listener);
	size_t at = 0;

	pthread_mutex_lock(&reclaim->lock);
	while (at < reclaim->region_count && reclaim->regions[at].gpa != removed->gpa)
		at++;
	if (at < reclaim->region_count) {
		region_forget_released(&reclaim->regions[at]);
		reclaim->region_count--;
		memmove(&reclaim->regions[at], &reclaim->regions[at + 1],
		        (reclaim->region_count - at) * sizeof(reclaim->regions[0]));
	}
	pthread_mutex_unlock(&reclaim->lock);
}

int reclaim_create(struct guest_memory *memory, struct reclaim **ret_reclaim, struct error *err)
{
	struct reclaim *reclaim = calloc(1, sizeof(*reclaim));
	int r;

	if (!reclaim)
		return error_set_errno(err, -ENOMEM, "cannot set up memory return");
	reclaim->memory = memory;
	reclaim->pidfd = RECLAIM_HOST_SELF;
	pthread_mutex_init(&reclaim->lock, NULL);
	residency_init(&reclaim->residency);
	reclaim_trace_init(&reclaim->trace);
	reclaim->listener.region_added = on_region_added;
	reclaim->listener.region_removed = on_region_removed;
	r = gmem_add_listener(memory, &reclaim->listener);
	if (r < 0) {
		pthread_mutex_destroy(&reclaim->lock);
		free(reclaim);
		return error_set_errno(err, r, "cannot follow guest memory");
	}
	*ret_reclaim = reclaim;
	return 0;
}

void reclaim_destroy(struct reclaim *reclaim)
{
	if (!reclaim)
		return;
	gmem_remove_listener(reclaim->memory, &reclaim->listener);
	for (size_t i = 0; i < reclaim->region_count; i++)
		region_forget_released(&reclaim->regions[i]);
	if (reclaim->pidfd >= 0)
		close(reclaim->pidfd);
	residency_fini(&reclaim->residency);
	reclaim_trace_fini(&reclaim->trace);
	pthread_mutex_destroy(&reclaim->lock);
	free(reclaim);
}

/* --- looking: what is there --- */

/* Pages seen resident: those released before have come back. */
static void note_resident(struct reclaim *reclaim, struct region *region, uintptr_t start,
                          uintptr_t end)
{
	size_t first = (start - (uintptr_t)region->hva) / PAGE_4K_BYTES;
	size_t count = (end - start) / PAGE_4K_BYTES;

	if (!region->released)
		return;
	reclaim->refault_bytes +=
		bitmap_count_range(region->released, first, count) * PAGE_4K_BYTES;
	bitmap_clear_range(region->released, first, count);
}

struct look {
	struct reclaim *reclaim;
	struct piece *piece, *end; /* the first that the next run can touch; behind the last */
};

static void look_at_run(void *ctx, uintptr_t start, uintptr_t end, bool resident)
{
	struct look *look = ctx;

	for (struct piece *piece = look->piece; piece < look->end; piece++) {
		uintptr_t piece_start = (uintptr_t)piece->hva;
		uintptr_t piece_end = piece_start + piece->size_bytes;
		uintptr_t from = max_u64(start, piece_start), to = min_u64(end, piece_end);

		if (piece_start >= end)
			return;
		if (piece_end <= end)
			look->piece = piece + 1;
		if (from >= to)
			continue;
		piece->holds_something = true;
		if (!resident)
			continue;
		piece->resident_bytes += to - from;
		note_resident(look->reclaim, piece->region, from, to);
		if (region_released_map(piece->region))
			bitmap_set_range(piece->region->released,
			                 (from - (uintptr_t)piece->region->hva) / PAGE_4K_BYTES,
			                 (to - from) / PAGE_4K_BYTES);
	}
}

/* The first piece behind first that one scan would not take along. */
static size_t cluster_end(const struct reclaim *reclaim, size_t first)
{
	uint64_t covered_bytes = reclaim->pieces[first].size_bytes;
	size_t next = first + 1;

	for (; next < reclaim->piece_count; next++) {
		const struct piece *last = &reclaim->pieces[next - 1];
		const struct piece *piece = &reclaim->pieces[next];

		if (piece->region != last->region ||
		    (uint64_t)(piece->hva - last->hva) - last->size_bytes >
		            covered_bytes + GAP_MIN_BYTES)
			break;
		covered_bytes += piece->size_bytes;
	}
	return next;
}

static void look_at_pieces(struct reclaim *reclaim)
{
	for (size_t first = 0, next; first < reclaim->piece_count; first = next) {
		struct piece *start = &reclaim->pieces[first], *last;
		struct look look = { .reclaim = reclaim, .piece = start };

		next = cluster_end(reclaim, first);
		look.end = &reclaim->pieces[next];
		last = look.end - 1;
		if (residency_scan(&reclaim->residency, (uintptr_t)start->hva,
		                   (uintptr_t)last->hva + last->size_bytes, look_at_run, &look) < 0)
			reclaim->errors++;
		/* Absent may still be swapped out: release it. */
		for (; start < look.end && !residency_sees_swap(&reclaim->residency); start++)
			start->holds_something = true;
	}
}

/* --- releasing --- */

static void account_piece(struct reclaim *reclaim, const struct piece *piece, int result,
                          struct reclaim_outcome *outcome)
{
	const struct region *region = piece->region;

	if (result == 0) {
		outcome->ranges_released++;
		outcome->bytes_released += piece->resident_bytes;
		outcome->bytes_absent += piece->size_bytes - piece->resident_bytes;
		return;
	}
	outcome->bytes_refused = add_saturating(outcome->bytes_refused, piece->size_bytes);
	reclaim->errors++;
	if (!reclaim->first_error)
		reclaim->first_error = result;
	if (region->released)
		bitmap_clear_range(region->released,
		                   (size_t)(piece->hva - region->hva) / PAGE_4K_BYTES,
		                   piece->size_bytes / PAGE_4K_BYTES);
}

static int release_one(struct reclaim *reclaim, const struct piece *piece,
                       struct reclaim_outcome *outcome)
{
	int r = reclaim_host_madvise(piece->hva, piece->size_bytes);

	outcome->syscalls++;
	account_piece(reclaim, piece, r, outcome);
	return r;
}

/* The vector, with a descriptor of our own where the host does not know RECLAIM_HOST_SELF. */
static ssize_t try_vector(struct reclaim *reclaim, size_t count, struct reclaim_outcome *outcome)
{
	ssize_t done = reclaim_host_process_madvise(reclaim->pidfd, reclaim->elements, count);
	int fd;

	outcome->syscalls++;
	if (done > 0 || reclaim->vector != VECTOR_UNPROBED || reclaim->pidfd >= 0)
		return done;
	fd = reclaim_host_pidfd_open();
	if (fd < 0)
		return done;
	reclaim->pidfd = fd;
	outcome->syscalls++;
	return reclaim_host_process_madvise(fd, reclaim->elements, count);
}

/* Releases pieces[0..count) or some of them, at least the first. Returns how many were dealt with.
 */
static size_t release_group(struct reclaim *reclaim, const struct piece *pieces, size_t count,
                            struct reclaim_outcome *outcome)
{
	size_t released = 0;
	ssize_t done;

	for (size_t i = 0; i < count; i++)
		reclaim->elements[i] = (struct iovec){ pieces[i].hva, pieces[i].size_bytes };
	done = try_vector(reclaim, count, outcome);
	if (done > 0)
		reclaim->vector = VECTOR_WORKS;
	while (released < count && done >= (ssize_t)pieces[released].size_bytes) {
		done -= (ssize_t)pieces[released].size_bytes;
		account_piece(reclaim, &pieces[released++], 0, outcome);
	}
	if (released)
		return released;
	/* The first piece or the vector itself is at fault: the plain call tells. */
	if (release_one(reclaim, &pieces[0], outcome) == 0 && reclaim->vector == VECTOR_UNPROBED)
		reclaim->vector = VECTOR_NONE;
	return 1;
}

/* How many pieces of pieces[0..count) one vector takes; at least one. */
static size_t group_size(const struct piece *pieces, size_t count)
{
	uint64_t total_bytes = pieces[0].size_bytes;
	size_t size = 1;

	while (size < count && total_bytes <= VECTOR_MAX_BYTES &&
	       pieces[size].size_bytes <= VECTOR_MAX_BYTES - total_bytes)
		total_bytes += pieces[size++].size_bytes;
	return size;
}

/* Looks at, releases and accounts the pieces gathered so far. */
static void flush_pieces(struct reclaim *reclaim, struct reclaim_outcome *outcome)
{
	struct piece *pieces = reclaim->pieces;
	size_t count = 0;

	look_at_pieces(reclaim);
	for (size_t i = 0; i < reclaim->piece_count; i++) {
		if (pieces[i].holds_something)
			pieces[count++] = pieces[i];
		else
			outcome->bytes_absent += pieces[i].size_bytes;
	}
	for (size_t i = 0, size; i < count; i += size) {
		size = group_size(&pieces[i], count - i);
		if (size > 1 && reclaim->vector != VECTOR_NONE) {
			size = release_group(reclaim, &pieces[i], size, outcome);
		} else {
			size = 1;
			(void)!release_one(reclaim, &pieces[i], outcome);
		}
	}
	reclaim->piece_count = 0;
}

/* Cuts a merged range at the borders of regions; what no region holds is refused. */
static void split(struct reclaim *reclaim, const struct reclaim_range *range,
                  struct reclaim_outcome *outcome)
{
	gpa_t start = range->gpa, end = start + range->size_bytes;
	uint64_t inside_bytes = 0;

	for (size_t i = 0; i < reclaim->region_count; i++) {
		struct region *region = &reclaim->regions[i];
		gpa_t from = max_u64(start, region->gpa);
		gpa_t to = min_u64(end, region->gpa + region->size_bytes);

		if (from >= to)
			continue;
		if (reclaim->piece_count == PIECES_MAX)
			flush_pieces(reclaim, outcome);
		reclaim->pieces[reclaim->piece_count++] = (struct piece){
			.region = region,
			.hva = region->hva + (from - region->gpa),
			.size_bytes = to - from,
		};
		inside_bytes += to - from;
	}
	outcome->bytes_refused =
		add_saturating(outcome->bytes_refused, range->size_bytes - inside_bytes);
}

/* --- a batch, from end to end --- */

static void add_to_stats(struct reclaim *reclaim, uint64_t range_count, uint64_t bytes_in,
                         const struct reclaim_outcome *outcome)
{
	struct reclaim_source_stats *stats = &reclaim->stats[reclaim->source];

	stats->requests++;
	stats->ranges_in += range_count;
	stats->ranges_released += outcome->ranges_released;
	stats->bytes_in = add_saturating(stats->bytes_in, bytes_in);
	stats->bytes_released += outcome->bytes_released;
	stats->bytes_absent = add_saturating(stats->bytes_absent, outcome->bytes_absent);
	stats->bytes_refused = add_saturating(stats->bytes_refused, outcome->bytes_refused);
	stats->syscalls += outcome->syscalls;
	stats->errors += reclaim->errors;
}

/* Under both locks. */
static int run_batch(struct reclaim *reclaim, struct reclaim_range *ranges, size_t count,
                     struct reclaim_outcome *ret_outcome)
{
	struct reclaim_outcome outcome = { 0 };
	struct reclaim_batch_totals totals;
	int64_t start_ns = monotonic_ns();
	size_t merged = reclaim_batch_normalise(ranges, count, &totals);
	uint64_t latency_ns;

	reclaim->errors = 0;
	reclaim->first_error = 0;
	if (reclaim->inhibit_count) {
		outcome.bytes_refused = totals.bytes_in;
	} else {
		outcome.bytes_refused = totals.bytes_clipped;
		for (size_t i = 0; i < merged; i++)
			split(reclaim, &ranges[i], &outcome);
		flush_pieces(reclaim, &outcome);
		outcome.bytes_absent = add_saturating(outcome.bytes_absent, totals.bytes_repeated);
	}
	latency_ns = (uint64_t)(monotonic_ns() - start_ns);
	add_to_stats(reclaim, count, totals.bytes_in, &outcome);
	metric_histogram_record(&reclaim->latency[reclaim->source], latency_ns);
	reclaim_trace_write(&reclaim->trace, &(struct reclaim_trace_record){
						     .time_ns = start_ns,
						     .source = reclaim_source_name(reclaim->source),
						     .ranges_in = count,
						     .ranges_released = outcome.ranges_released,
						     .bytes_in = totals.bytes_in,
						     .bytes_released = outcome.bytes_released,
						     .bytes_absent = outcome.bytes_absent,
						     .bytes_refused = outcome.bytes_refused,
						     .syscalls = outcome.syscalls,
						     .latency_ns = latency_ns,
					     });
	*ret_outcome = outcome;
	return reclaim->first_error;
}

int reclaim_release(struct reclaim *reclaim, enum reclaim_source source,
                    struct reclaim_range *ranges, size_t count, struct reclaim_outcome *ret_outcome)
{
	int r;

	gmem_lock_shared(reclaim->memory);
	pthread_mutex_lock(&reclaim->lock);
	reclaim->source = source;
	r = run_batch(reclaim, ranges, count, ret_outcome);
	pthread_mutex_unlock(&reclaim->lock);
	gmem_unlock_shared(reclaim->memory);
	return r;
}

int reclaim_release_all(struct reclaim *reclaim, enum reclaim_source source)
{
	struct reclaim_range ranges[GMEM_REGIONS_MAX];
	struct reclaim_outcome outcome;
	int r;

	gmem_lock_shared(reclaim->memory);
	pthread_mutex_lock(&reclaim->lock);
	for (size_t i = 0; i < reclaim->region_count; i++)
		ranges[i] = (struct reclaim_range){ reclaim->regions[i].gpa,
			                            reclaim->regions[i].size_bytes };
	reclaim->source = source;
	r = run_batch(reclaim, ranges, reclaim->region_count, &outcome);
	for (size_t i = 0; i < reclaim->region_count && source == RECLAIM_RESET; i++)
		region_forget_released(&reclaim->regions[i]);
	pthread_mutex_unlock(&reclaim->lock);
	gmem_unlock_shared(reclaim->memory);
	return r;
}

void reclaim_account_refused(struct reclaim *reclaim, enum reclaim_source source,
                             uint64_t range_count, uint64_t size_bytes)
{
	struct reclaim_outcome outcome = { .bytes_refused = size_bytes };

	pthread_mutex_lock(&reclaim->lock);
	reclaim->source = source;
	reclaim->errors = 0;
	add_to_stats(reclaim, range_count, size_bytes, &outcome);
	pthread_mutex_unlock(&reclaim->lock);
}

void reclaim_inhibit(struct reclaim *reclaim)
{
	pthread_mutex_lock(&reclaim->lock);
	reclaim->inhibit_count++;
	pthread_mutex_unlock(&reclaim->lock);
}

void reclaim_allow(struct reclaim *reclaim)
{
	pthread_mutex_lock(&reclaim->lock);
	assert(reclaim->inhibit_count > 0);
	reclaim->inhibit_count--;
	pthread_mutex_unlock(&reclaim->lock);
}

/* --- asking --- */

struct count_resident {
	struct reclaim *reclaim;
	struct region *region;
	uint64_t bytes;
};

static void count_run(void *ctx, uintptr_t start, uintptr_t end, bool resident)
{
	struct count_resident *count = ctx;

	if (!resident)
		return;
	count->bytes += end - start;
	note_resident(count->reclaim, count->region, start, end);
}

/* Every region; finds what has been faulted back on its way. Under both locks. */
static uint64_t look_at_everything(struct reclaim *reclaim)
{
	struct count_resident count = { .reclaim = reclaim };

	for (size_t i = 0; i < reclaim->region_count; i++) {
		struct region *region = &reclaim->regions[i];
		uintptr_t start = (uintptr_t)region->hva;

		count.region = region;
		/* What a failing scan leaves out is not counted: all there is to say about it. */
		(void)!residency_scan(&reclaim->residency, start, start + region->size_bytes,
		                      count_run, &count);
	}
	return count.bytes;
}

void reclaim_query(struct reclaim *reclaim, struct reclaim_stats *ret_stats)
{
	gmem_lock_shared(reclaim->memory);
	pthread_mutex_lock(&reclaim->lock);
	look_at_everything(reclaim);
	ret_stats->refault_bytes = reclaim->refault_bytes;
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		struct reclaim_source_stats *stats = &ret_stats->sources[i];

		*stats = reclaim->stats[i];
		stats->latency_p50_ns = metric_histogram_percentile(&reclaim->latency[i], 50);
		stats->latency_p99_ns = metric_histogram_percentile(&reclaim->latency[i], 99);
		stats->latency_max_ns = metric_histogram_max(&reclaim->latency[i]);
	}
	pthread_mutex_unlock(&reclaim->lock);
	gmem_unlock_shared(reclaim->memory);
}

uint64_t reclaim_resident_bytes(struct reclaim *reclaim)
{
	uint64_t resident_bytes;

	gmem_lock_shared(reclaim->memory);
	pthread_mutex_lock(&reclaim->lock);
	resident_bytes = look_at_everything(reclaim);
	pthread_mutex_unlock(&reclaim->lock);
	gmem_unlock_shared(reclaim->memory);
	return resident_bytes;
}

int reclaim_trace_open(struct reclaim *reclaim, const char *path, struct log *log,
                       struct error *err)
{
	int r;

	pthread_mutex_lock(&reclaim->lock);
	r = reclaim_trace_start(&reclaim->trace, path, log, err);
	pthread_mutex_unlock(&reclaim->lock);
	return r;
}
