/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace of released batches: a bounded ring and the thread that writes it.
 *
 * DOC: a batch copies its row into the ring and goes on. The thread takes up to a chunk of rows at
 * a time, formats and writes them with no lock held. It wakes for the first row, then waits 100 ms
 * for company or until the ring is half full: whoever releases pays for ten wake-ups a second at
 * most.
 *
 *   batch -> ring (1024 rows) -> chunk (16 KiB of text) -> file
 *              | full
 *              `-> merged: a row a source
 *
 * What finds the ring full is merged, by source, into a row that stands for all of them and is
 * written once the ring is empty: sums over the file stay true, the detail is lost and counted as
 * dropped. A file that takes no more (full disk, slow reader) keeps the thread at its chunk, which
 * it tries again every 250 ms, with one log line the first time; the ring fills up behind it. What
 * cannot be written until the end is dropped, and the file ends with the last chunk that it holds
 * whole.
 *
 * A file becomes no longer than its limit (1 GiB if nobody says another; a pipe has none). Before
 * the first chunk that would pass it, with room for one row more, comes that last row; from then on
 * batches are only counted, as dropped, and the thread sleeps until the end.
 *
 * Four times a second the thread also asks the kernel what is resident (never a batch does), and
 * writes it in a row of its own where batches came or 1 MiB has come or gone, or 10 s have passed.
 *
 * Stopping waits 2 s for the last rows. A write that hangs in the host for longer is left behind
 * with its thread, which frees everything should it ever return.
 *
 * Locks: `lock` for everything the batches share with the thread; `log_lock`, taken alone, so that
 * nobody who releases memory waits for the log.
 *
 * Syscalls: main,reclaim: fcntl
 */
#include "reclaim_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/event_loop.h"
#include "reclaim_batch.h"
#include "reclaim_host.h"

#define RING_ROWS          RECLAIM_TRACE_RING_ROWS
#define COMPANY_NS         (100 * NS_PER_MS)
#define TICK_NS            (250 * NS_PER_MS)
#define SAMPLE_MAX_NS      (10 * NS_PER_S)
#define SAMPLE_BYTES       MIB
#define STOP_MAX_NS        (2 * NS_PER_S)
#define THREAD_STACK_BYTES (128 * KIB)

struct chunk {
	char text[16 * KIB];
	size_t size_bytes, written_bytes;
	uint64_t rows;    /* of batches, in it */
	uint64_t batches; /* with a row of their own there */
};

struct reclaim_trace {
	pthread_mutex_t lock;
	pthread_cond_t wake, ended_wake;
	struct reclaim_trace_row ring[RING_ROWS];
	size_t first, count;
	struct reclaim_trace_row merged[RECLAIM_SOURCE_COUNT]; /* batches 0: none */
	bool waiting;                                          /* the thread, for the first row */
	bool stopping, ended, abandoned;
	bool full;            /* the file has its last row */
	uint64_t limit_bytes; /* 0: none */
	uint64_t rows, dropped, failed;
	pthread_mutex_t log_lock;
	struct log *log; /* borrowed; NULL: none, or gone */
	pthread_t thread;
	/* The thread's own: */
	struct reclaim_trace_file file;
	int status_fd; /* see reclaim_host_status_open; -1: opened each time */
	struct chunk chunk;
	bool refusing; /* the last write failed */
	bool told;
	int64_t sampled_ns;
	uint64_t sampled_bytes;
};

/* --- the batches' side --- */

static void merge_outcomes(struct reclaim_outcome *into, const struct reclaim_outcome *outcome)
{
	into->ranges_released += outcome->ranges_released;
	into->bytes_released += outcome->bytes_released;
	into->bytes_lazy += outcome->bytes_lazy;
	into->bytes_absent = add_saturating(into->bytes_absent, outcome->bytes_absent);
	into->bytes_refused = add_saturating(into->bytes_refused, outcome->bytes_refused);
	for (size_t i = 0; i < RECLAIM_REFUSAL_COUNT; i++)
		into->refused[i] = add_saturating(into->refused[i], outcome->refused[i]);
	into->syscalls += outcome->syscalls;
}

static void merge(struct reclaim_trace_row *into, const struct reclaim_trace_row *row)
{
	if (!into->batches) {
		*into = *row;
		return;
	}
	into->batches += row->batches;
	into->ranges_in += row->ranges_in;
	into->bytes_in = add_saturating(into->bytes_in, row->bytes_in);
	merge_outcomes(&into->outcome, &row->outcome);
	into->errors += row->errors;
	into->latency_ns = max_u64(into->latency_ns, row->latency_ns);
}

void reclaim_trace_add(struct reclaim_trace *trace, const struct reclaim_trace_row *row)
{
	bool wake;

	pthread_mutex_lock(&trace->lock);
	if (trace->full) {
		trace->dropped += row->batches;
		pthread_mutex_unlock(&trace->lock);
		return;
	}
	if (trace->count < RING_ROWS) {
		trace->ring[(trace->first + trace->count++) % RING_ROWS] = *row;
	} else {
		merge(&trace->merged[row->source], row);
		trace->dropped += row->batches;
	}
	wake = trace->waiting || trace->count == RING_ROWS / 2;
	trace->waiting = false;
	pthread_mutex_unlock(&trace->lock);
	if (wake)
		pthread_cond_signal(&trace->wake);
}

void reclaim_trace_query(struct reclaim_trace *trace, struct reclaim_trace_stats *ret_stats)
{
	pthread_mutex_lock(&trace->lock);
	*ret_stats = (struct reclaim_trace_stats){ .active = true,
		                                   .rows = trace->rows,
		                                   .dropped = trace->dropped,
		                                   .failed = trace->failed };
	pthread_mutex_unlock(&trace->lock);
}

void reclaim_trace_limit(struct reclaim_trace *trace, uint64_t limit_bytes)
{
	pthread_mutex_lock(&trace->lock);
	trace->limit_bytes = limit_bytes;
	pthread_mutex_unlock(&trace->lock);
}

/* --- the thread's side --- */

static struct timespec to_timespec(int64_t time_ns)
{
	return (struct timespec){ .tv_sec = time_ns / NS_PER_S, .tv_nsec = time_ns % NS_PER_S };
}

static bool anything_merged(const struct reclaim_trace *trace)
{
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		if (trace->merged[i].batches)
			return true;
	}
	return false;
}

/* Lock held. Until there are rows, in company if that comes soon, or a tick has passed. */
static void wait_for_rows(struct reclaim_trace *trace)
{
	struct timespec until = to_timespec(monotonic_ns() + TICK_NS);
	int r = 0;

	while (!trace->stopping && !trace->refusing && !trace->count && r != ETIMEDOUT) {
		trace->waiting = true;
		r = pthread_cond_timedwait(&trace->wake, &trace->lock, &until);
	}
	trace->waiting = false;
	if (!trace->refusing)
		until = to_timespec(monotonic_ns() + COMPANY_NS);
	/* A refusing file is tried again with each tick, however much waits for it. */
	while (!trace->stopping && r != ETIMEDOUT &&
	       (trace->refusing || trace->count < RING_ROWS / 2))
		r = pthread_cond_timedwait(&trace->wake, &trace->lock, &until);
}

/* False: the chunk is full. */
static bool put_row(struct reclaim_trace *trace, const struct reclaim_trace_row *row)
{
	struct chunk *chunk = &trace->chunk;

	if (chunk->size_bytes + RECLAIM_TRACE_ROW_MAX_BYTES > sizeof(chunk->text))
		return false;
	chunk->size_bytes +=
		reclaim_trace_file_format(&trace->file, row, chunk->text + chunk->size_bytes);
	chunk->rows += row->batches > 0;
	return true;
}

/* A row of what is resident, if it tells something new. */
static void put_sample(struct reclaim_trace *trace, bool last)
{
	struct reclaim_trace_row row = { .time_ns = monotonic_ns() };
	uint64_t change_bytes;

	if (reclaim_host_resident_bytes(trace->status_fd, &row.resident_bytes) < 0)
		return;
	change_bytes = max_u64(row.resident_bytes, trace->sampled_bytes) -
	               min_u64(row.resident_bytes, trace->sampled_bytes);
	if (!last && !trace->chunk.rows && change_bytes < SAMPLE_BYTES &&
	    row.time_ns - trace->sampled_ns < SAMPLE_MAX_NS)
		return;
	if (!put_row(trace, &row))
		return;
	trace->sampled_ns = row.time_ns;
	trace->sampled_bytes = row.resident_bytes;
}

/* Lock held, given up while formatting: rows in the ring are the thread's until it frees them. */
static void fill_chunk(struct reclaim_trace *trace, bool last)
{
	struct reclaim_trace_row merged[RECLAIM_SOURCE_COUNT] = { 0 };
	size_t first = trace->first, count = trace->count, taken = 0;

	/* Their detail is older than what comes into the ring from here on. */
	if (!count) {
		memcpy(merged, trace->merged, sizeof(merged));
		memset(trace->merged, 0, sizeof(trace->merged));
	}
	pthread_mutex_unlock(&trace->lock);
	while (taken < count && put_row(trace, &trace->ring[(first + taken) % RING_ROWS]))
		taken++;
	trace->chunk.batches = taken;
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		if (merged[i].batches)
			(void)put_row(trace, &merged[i]);
	}
	put_sample(trace, last);
	pthread_mutex_lock(&trace->lock);
	trace->first = (trace->first + taken) % RING_ROWS;
	trace->count -= taken;
}

static void tell(struct reclaim_trace *trace, int r)
{
	trace->told = true;
	pthread_mutex_lock(&trace->log_lock);
	if (trace->log)
		log_warn(trace->log,
		         "the reclaim trace cannot be written: %s (rows are merged until it can)",
		         strerror(-r));
	pthread_mutex_unlock(&trace->log_lock);
}

/* No lock held. */
static void tell_limit(struct reclaim_trace *trace)
{
	pthread_mutex_lock(&trace->log_lock);
	if (trace->log)
		log_warn(trace->log,
		         "the reclaim trace is as long as it may be, %llu MiB: it ends here (give "
		         "it more with --trace-reclaim FILE,limit=SIZE)",
		         (unsigned long long)(trace->file.whole_bytes / MIB));
	pthread_mutex_unlock(&trace->log_lock);
}

/* No lock held. 0 when the chunk is in the file. */
static int write_chunk(struct reclaim_trace *trace)
{
	struct chunk *chunk = &trace->chunk;

	while (chunk->written_bytes < chunk->size_bytes) {
		ssize_t written =
			reclaim_trace_file_write(&trace->file, chunk->text + chunk->written_bytes,
		                                 chunk->size_bytes - chunk->written_bytes);

		if (written < 0)
			return (int)written;
		chunk->written_bytes += (size_t)written;
	}
	reclaim_trace_file_mark(&trace->file, chunk->size_bytes);
	return 0;
}

/* Lock held, given up while writing. False: the file refuses. */
static bool pass_chunk(struct reclaim_trace *trace)
{
	int r;

	pthread_mutex_unlock(&trace->lock);
	r = write_chunk(trace);
	if (r < 0 && !trace->told)
		tell(trace, r);
	pthread_mutex_lock(&trace->lock);
	trace->refusing = r < 0;
	if (r < 0) {
		trace->failed++;
		return false;
	}
	trace->rows += trace->chunk.rows;
	trace->chunk.size_bytes = trace->chunk.written_bytes = 0;
	trace->chunk.rows = trace->chunk.batches = 0;
	return true;
}

/* Lock held. Whether the chunk, none of which is written, and a last row are more than the file may
 * have. */
static bool reaches_limit(const struct reclaim_trace *trace)
{
	return trace->limit_bytes && trace->chunk.size_bytes && !trace->chunk.written_bytes &&
	       trace->file.whole_bytes + trace->chunk.size_bytes + RECLAIM_TRACE_ROW_MAX_BYTES >
	               trace->limit_bytes;
}

/* Lock held, given up while writing. The chunk's place is the last row's; then nothing happens. */
static void end_at_limit(struct reclaim_trace *trace)
{
	struct reclaim_trace_row row = { .at_limit = true, .time_ns = monotonic_ns() };
	struct chunk *chunk = &trace->chunk;

	trace->full = true;
	trace->dropped += chunk->batches;
	for (; trace->count; trace->count--)
		trace->dropped += trace->ring[trace->first++ % RING_ROWS].batches;
	pthread_mutex_unlock(&trace->lock);
	chunk->rows = chunk->batches = 0;
	row.resident_bytes = trace->sampled_bytes;
	chunk->size_bytes = reclaim_trace_file_format(&trace->file, &row, chunk->text);
	tell_limit(trace);
	/* A file that does not take it now ends without. */
	if (write_chunk(trace) == 0)
		chunk->written_bytes = 0;
	chunk->size_bytes = 0;
	pthread_mutex_lock(&trace->lock);
	while (!trace->stopping)
		pthread_cond_wait(&trace->wake, &trace->lock);
}

/* Lock held. Whether to go on without a pause. */
static bool more_to_write(const struct reclaim_trace *trace, bool last)
{
	return trace->count >= (last ? 1 : RING_ROWS / 2) || anything_merged(trace);
}

static void write_rows(struct reclaim_trace *trace)
{
	for (;;) {
		bool last = trace->stopping;

		do {
			if (!trace->chunk.size_bytes)
				fill_chunk(trace, last);
			if (reaches_limit(trace)) {
				end_at_limit(trace);
				return;
			}
		} while (pass_chunk(trace) && more_to_write(trace, last));
		if (last)
			return;
		wait_for_rows(trace);
	}
}

static void free_trace(struct reclaim_trace *trace)
{
	reclaim_trace_file_close(&trace->file);
	if (trace->status_fd >= 0)
		close(trace->status_fd);
	pthread_cond_destroy(&trace->wake);
	pthread_cond_destroy(&trace->ended_wake);
	pthread_mutex_destroy(&trace->lock);
	pthread_mutex_destroy(&trace->log_lock);
	free(trace);
}

static void *thread_main(void *ctx)
{
	struct reclaim_trace *trace = ctx;
	bool abandoned;

	pthread_setname_np(pthread_self(), "trace");
	pthread_mutex_lock(&trace->lock);
	write_rows(trace);
	if (trace->chunk.written_bytes)
		reclaim_trace_file_cut(&trace->file);
	trace->dropped += trace->chunk.batches;
	for (; trace->count; trace->count--)
		trace->dropped += trace->ring[trace->first++ % RING_ROWS].batches;
	trace->ended = true;
	abandoned = trace->abandoned;
	pthread_cond_signal(&trace->ended_wake);
	pthread_mutex_unlock(&trace->lock);
	if (abandoned)
		free_trace(trace);
	return NULL;
}

/* --- its life --- */

static int start_thread(struct reclaim_trace *trace)
{
	pthread_attr_t attributes;
	sigset_t all;
	int r = pthread_attr_init(&attributes);

	if (r)
		return -r;
	sigfillset(&all); /* SIGXFSZ among them: a file that grew too long is a write that fails */
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	pthread_attr_setsigmask_np(&attributes, &all);
	r = pthread_create(&trace->thread, &attributes, thread_main, trace);
	pthread_attr_destroy(&attributes);
	return -r;
}

int reclaim_trace_start(const struct reclaim_trace_file *file, int status_fd, struct log *log,
                        struct reclaim_trace **ret_trace, struct error *err)
{
	struct reclaim_trace *trace = calloc(1, sizeof(*trace));
	struct reclaim_trace_file unused = *file;
	pthread_condattr_t attributes;
	int r;

	if (!trace) {
		reclaim_trace_file_close(&unused);
		return error_set_errno(err, -ENOMEM, "reclaim trace");
	}
	pthread_mutex_init(&trace->lock, NULL);
	pthread_mutex_init(&trace->log_lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&trace->wake, &attributes);
	pthread_cond_init(&trace->ended_wake, &attributes);
	pthread_condattr_destroy(&attributes);
	trace->file = *file;
	trace->limit_bytes = file->regular ? RECLAIM_TRACE_LIMIT_BYTES : 0;
	trace->log = log;
	/* A copy: the thread may be left behind. */
	trace->status_fd = status_fd < 0 ? -1 : fcntl(status_fd, F_DUPFD_CLOEXEC, 0);
	r = start_thread(trace);
	if (r < 0) {
		free_trace(trace);
		return error_set_errno(err, r, "reclaim trace: its thread");
	}
	*ret_trace = trace;
	return 0;
}

/* Lock held. */
static bool wait_until_ended(struct reclaim_trace *trace)
{
	struct timespec until = to_timespec(monotonic_ns() + STOP_MAX_NS);

	trace->stopping = true;
	pthread_cond_signal(&trace->wake);
	while (!trace->ended &&
	       pthread_cond_timedwait(&trace->ended_wake, &trace->lock, &until) != ETIMEDOUT)
		;
	return trace->ended;
}

int reclaim_trace_stop(struct reclaim_trace *trace, struct reclaim_trace_stats *ret_stats)
{
	pthread_t thread;
	bool ended;

	if (!trace)
		return 0;
	thread = trace->thread;
	pthread_mutex_lock(&trace->lock);
	ended = wait_until_ended(trace);
	*ret_stats = (struct reclaim_trace_stats){ .rows = trace->rows,
		                                   .dropped = trace->dropped,
		                                   .failed = trace->failed };
	trace->abandoned = !ended;
	if (!ended) {
		/* The thread may be at the log, but not for long. */
		pthread_mutex_lock(&trace->log_lock);
		trace->log = NULL;
		pthread_mutex_unlock(&trace->log_lock);
	}
	pthread_mutex_unlock(&trace->lock);
	if (!ended) {
		pthread_detach(thread);
		return -ETIMEDOUT;
	}
	pthread_join(thread, NULL);
	free_trace(trace);
	return 0;
}
