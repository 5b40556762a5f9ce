/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk's requests cost the host: system calls a request with 32 in flight, and the time
 * beside that of one pread or pwrite after the other on the same file.
 *
 * DOC: a row is a kind of request, through the page cache or past it. Each round does so many
 * requests by disk.c, then the same ones by plain calls; of the rounds' times and counts the median
 * counts, so that a machine with much else to do changes little. No guest runs: the disk alone,
 * with 32 requests that are submitted anew as they end.
 *
 * Prints a line a row and, last, "N passed, N failed, N skipped".
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ebb/event_loop.h"

#include "../../devices/block/disk.h"

#define FILE_BYTES (64 * MIB)
#define DEPTH      32
#define ROUNDS     7
#define CALLS_MAX  0.2
#define TRIES      3

struct row {
	const char *name;
	bool write, random, direct;
	uint32_t block_bytes;
	unsigned int requests; /* of a round */
	double least_rate;     /* of plain calls' */
};

struct bench {
	const char *path;
	const struct row *row;
	struct event_loop *loop;
	struct disk *disk;
	struct disk_request requests[DEPTH];
	struct iovec segments[DEPTH];
	uint8_t *memory;
	uint64_t *offsets; /* of a round's requests */
	unsigned int submitted, done;
	bool wrong;
	unsigned int passed, failed, skipped;
};

/* --- by disk.c --- */

static void submit_next(struct bench *bench, struct disk_request *request)
{
	if (bench->submitted == bench->row->requests)
		return;
	request->offset_bytes = bench->offsets[bench->submitted++];
	disk_submit(bench->disk, request);
}

static void on_done(void *ctx, struct disk_request *request)
{
	struct bench *bench = ctx;

	bench->wrong |= request->result != 0;
	bench->done++;
	submit_next(bench, request);
}

static void on_settled(void *ctx)
{
	struct bench *bench = ctx;

	disk_start(bench->disk);
	if (bench->done == bench->row->requests)
		event_loop_stop(bench->loop);
}

static int64_t run_disk(struct bench *bench, double *ret_calls)
{
	uint64_t before = disk_system_calls(bench->disk);
	int64_t start_ns = monotonic_ns(), end_ns;

	bench->submitted = bench->done = 0;
	for (unsigned int i = 0; i < DEPTH; i++)
		submit_next(bench, &bench->requests[i]);
	disk_start(bench->disk);
	bench->wrong |= event_loop_run(bench->loop) != 0;
	end_ns = monotonic_ns();
	*ret_calls = (double)(disk_system_calls(bench->disk) - before) / bench->row->requests;
	return end_ns - start_ns;
}

/* --- by plain calls --- */

static int64_t run_plain(struct bench *bench, int fd)
{
	const struct row *row = bench->row;
	int64_t start_ns = monotonic_ns();

	for (unsigned int i = 0; i < row->requests; i++) {
		ssize_t done_bytes;

		if (row->write)
			done_bytes = pwrite(fd, bench->memory, row->block_bytes,
			                    (off_t)bench->offsets[i]);
		else
			done_bytes = pread(fd, bench->memory, row->block_bytes,
			                   (off_t)bench->offsets[i]);
		bench->wrong |= done_bytes != (ssize_t)row->block_bytes;
	}
	return monotonic_ns() - start_ns;
}

/* --- a row --- */

static int compare(const void *a, const void *b)
{
	const double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(values[0]), compare);
	return values[ROUNDS / 2];
}

static void choose_offsets(struct bench *bench, unsigned int round)
{
	const uint64_t blocks = FILE_BYTES / bench->row->block_bytes;
	uint64_t state = round + 1;

	for (unsigned int i = 0; i < bench->row->requests; i++) {
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		bench->offsets[i] =
			(bench->row->random ? state >> 33 : i) % blocks * bench->row->block_bytes;
	}
}

static void prepare(struct bench *bench)
{
	const struct row *row = bench->row;

	for (unsigned int i = 0; i < DEPTH; i++) {
		bench->segments[i] =
			(struct iovec){ bench->memory + i * row->block_bytes, row->block_bytes };
		bench->requests[i] = (struct disk_request){
			.op = row->write ? DISK_WRITE : DISK_READ,
			.size_bytes = row->block_bytes,
			.segments = &bench->segments[i],
			.segment_count = 1,
		};
	}
}

/* last: it is told, whatever it is. Whether it was. */
static bool report(struct bench *bench, double calls, double rate, double plain_us, bool last)
{
	const struct row *row = bench->row;
	const int why = disk_why_no_ring(bench->disk);
	const bool good = !bench->wrong && (why || calls <= CALLS_MAX) && rate >= row->least_rate;

	if (!good && !last)
		return false;
	printf("%s disk/%s: %.3f system calls a request (at most %.1f), %.2f times the rate of "
	       "plain calls (at least %.1f), which take %.1f us%s%s\n",
	       good ? "PASS" : "FAIL", row->name, calls, CALLS_MAX, rate, row->least_rate, plain_us,
	       bench->wrong ? ": a request failed" : "", why ? ": without io_uring here" : "");
	fflush(stdout);
	*(good ? &bench->passed : &bench->failed) += 1;
	return true;
}

static bool run_rounds(struct bench *bench, int fd, bool last)
{
	double calls[ROUNDS], rates[ROUNDS], plain_us[ROUNDS];

	for (unsigned int round = 0; round < ROUNDS; round++) {
		int64_t disk_ns, plain_ns;

		choose_offsets(bench, round);
		if (round % 2) {
			disk_ns = run_disk(bench, &calls[round]);
			plain_ns = run_plain(bench, fd);
		} else {
			plain_ns = run_plain(bench, fd);
			disk_ns = run_disk(bench, &calls[round]);
		}
		rates[round] = (double)plain_ns / (double)disk_ns;
		plain_us[round] = (double)plain_ns / bench->row->requests / NS_PER_US;
	}
	return report(bench, median(calls), median(rates), median(plain_us), last);
}

static void run_row(struct bench *bench, const struct row *row)
{
	const struct disk_setup setup = { .path = bench->path,
		                          .direct = row->direct,
		                          .loop = bench->loop,
		                          .settled = on_settled };
	struct error err = ERROR_INIT;
	int fd;

	bench->row = row;
	if (disk_open(&setup, on_done, bench, &bench->disk, &err)) {
		printf("SKIP disk/%s: %s\n", row->name, err.message);
		bench->skipped++;
		return;
	}
	fd = open(bench->path, O_RDWR | O_CLOEXEC | (row->direct ? O_DIRECT : 0));
	if (fd >= 0) {
		prepare(bench);
		bench->wrong = false;
		for (unsigned int tries = 1; !run_rounds(bench, fd, tries == TRIES); tries++)
			; /* a machine that has much else to do */
		close(fd);
	} else {
		printf("SKIP disk/%s: %s\n", row->name, strerror(errno));
		bench->skipped++;
	}
	disk_close(bench->disk);
}

/* A file that is all there, not of a memory file system if there is another. */
static char *make_file(const uint8_t *bytes)
{
	static const char *const folders[] = { "/var/tmp", "/tmp" };

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		uint64_t offset_bytes = 0;
		char *path = NULL;
		int fd;

		if (asprintf(&path, "%s/ebb-disk-table-XXXXXX", folders[i]) < 0)
			continue;
		fd = mkostemp(path, O_CLOEXEC);
		while (fd >= 0 && offset_bytes < FILE_BYTES &&
		       pwrite(fd, bytes, MIB, (off_t)offset_bytes) == (ssize_t)MIB)
			offset_bytes += MIB;
		if (fd >= 0) {
			(void)!fdatasync(fd);
			close(fd);
		}
		if (offset_bytes == FILE_BYTES)
			return path;
		if (fd >= 0)
			unlink(path);
		free(path);
	}
	return NULL;
}

int main(void)
{
	static const struct row rows[] = {
		{ "read, 4 KiB in any order", false, true, false, 4096, 4096, 0.2 },
		{ "write, 4 KiB in any order", true, true, false, 4096, 4096, 0.2 },
		{ "read, 64 KiB in order", false, false, false, 65536, 1024, 0.4 },
		{ "write, 64 KiB in order", true, false, false, 65536, 1024, 0.4 },
		{ "direct read, 4 KiB in any order", false, true, true, 4096, 512, 1 },
		{ "direct write, 4 KiB in any order", true, true, true, 4096, 512, 0.7 },
		{ "direct read, 64 KiB in order", false, false, true, 65536, 256, 1 },
		{ "direct write, 64 KiB in order", true, false, true, 65536, 256, 0.5 },
	};
	struct bench bench = { 0 };
	struct error err = ERROR_INIT;

	bench.memory = aligned_alloc(PAGE_4K_BYTES, 65536 * DEPTH);
	bench.offsets = calloc(4096, sizeof(bench.offsets[0]));
	if (!bench.memory || !bench.offsets || event_loop_create(NULL, &bench.loop, &err)) {
		printf("FAIL disk: no memory\n0 passed, 1 failed, 0 skipped\n");
		return 1;
	}
	memset(bench.memory, 0x5a, 65536 * DEPTH);
	bench.path = make_file(bench.memory);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (bench.path) {
			run_row(&bench, &rows[i]);
			continue;
		}
		printf("SKIP disk/%s: no file could be made for it\n", rows[i].name);
		bench.skipped++;
	}
	if (bench.path)
		unlink(bench.path);
	event_loop_destroy(bench.loop);
	printf("%u passed, %u failed, %u skipped\n", bench.passed, bench.failed, bench.skipped);
	return bench.failed ? 1 : 0;
}
