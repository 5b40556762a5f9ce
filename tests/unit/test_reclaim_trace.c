/* SPDX-License-Identifier: Apache-2.0 */
/* The trace's ring and thread: every batch is in the file or counted, and nobody waits for it. */
/* fakes: fake_reclaim_trace_file fake_reclaim_host */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../../src/reclaim_trace.h"
#include "ebb/event_loop.h"
#include "fake_reclaim_host.h"
#include "fake_reclaim_trace_file.h"

#define ROW_BYTES sizeof(struct reclaim_trace_row)

static struct fake_reclaim_trace_file *const fake = &fake_reclaim_trace_file;

static int set_up(void **state)
{
	const struct reclaim_trace_file file = { .fd = -1 };
	struct reclaim_trace *trace;

	fake_reclaim_trace_file_reset();
	fake_reclaim_host_reset();
	assert_int_equal(reclaim_trace_start(&file, -1, NULL, &trace, NULL), 0);
	*state = trace;
	return 0;
}

/* A test ends its trace itself. */
static struct reclaim_trace_stats stop(struct reclaim_trace *trace)
{
	struct reclaim_trace_stats stats;

	assert_int_equal(reclaim_trace_stop(trace, &stats), 0);
	assert_int_equal(fake->closes, 1);
	return stats;
}

/* Batch number n, counted from 1. */
static void add(struct reclaim_trace *trace, uint64_t n)
{
	const struct reclaim_trace_row row = {
		.time_ns = (int64_t)n,
		.source = n % 2 ? RECLAIM_INFLATE : RECLAIM_REPORT,
		.batches = 1,
		.ranges_in = 2,
		.bytes_in = 5 * n,
		.outcome = { .ranges_released = 1,
		             .bytes_released = n,
		             .bytes_lazy = n,
		             .bytes_absent = 2 * n,
		             .bytes_refused = n,
		             .refused = { [RECLAIM_REFUSED_LIMIT] = n },
		             .syscalls = 3 },
		.errors = n % 3 == 0,
		.latency_ns = n,
	};

	reclaim_trace_add(trace, &row);
}

static void add_many(struct reclaim_trace *trace, uint64_t count)
{
	for (uint64_t n = 1; n <= count; n++)
		add(trace, n);
}

/* What the file's rows say, added up, is what count batches did. */
static void file_adds_up(uint64_t count)
{
	struct reclaim_trace_row sum = { 0 };
	uint64_t numbers = count * (count + 1) / 2;

	for (size_t i = 0; i < fake->row_count; i++) {
		const struct reclaim_trace_row *row = &fake->rows[i];

		sum.batches += row->batches;
		sum.ranges_in += row->ranges_in;
		sum.bytes_in += row->bytes_in;
		sum.outcome.ranges_released += row->outcome.ranges_released;
		sum.outcome.bytes_released += row->outcome.bytes_released;
		sum.outcome.bytes_lazy += row->outcome.bytes_lazy;
		sum.outcome.bytes_absent += row->outcome.bytes_absent;
		sum.outcome.bytes_refused += row->outcome.bytes_refused;
		sum.outcome.refused[RECLAIM_REFUSED_LIMIT] +=
			row->outcome.refused[RECLAIM_REFUSED_LIMIT];
		sum.outcome.syscalls += row->outcome.syscalls;
		sum.errors += row->errors;
	}
	assert_int_equal(sum.batches, count);
	assert_int_equal(sum.ranges_in, 2 * count);
	assert_int_equal(sum.bytes_in, 5 * numbers);
	assert_int_equal(sum.outcome.ranges_released, count);
	assert_int_equal(sum.outcome.bytes_released, numbers);
	assert_int_equal(sum.outcome.bytes_lazy, numbers);
	assert_int_equal(sum.outcome.bytes_absent, 2 * numbers);
	assert_int_equal(sum.outcome.bytes_refused, numbers);
	assert_int_equal(sum.outcome.refused[RECLAIM_REFUSED_LIMIT], numbers);
	assert_int_equal(sum.outcome.syscalls, 3 * count);
	assert_int_equal(sum.errors, count / 3);
}

static void wait_for_writes(unsigned int count)
{
	pthread_mutex_lock(&fake->lock);
	while (fake->writes < count)
		pthread_cond_wait(&fake->changed, &fake->lock);
	pthread_mutex_unlock(&fake->lock);
}

static void steer(size_t room_bytes, bool hangs)
{
	pthread_mutex_lock(&fake->lock);
	fake->room_bytes = room_bytes;
	fake->hangs = hangs;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

static void a_trace_of_nothing_is_empty(void **state)
{
	struct reclaim_trace_stats stats = stop(*state);

	assert_int_equal(fake->row_count, 0);
	assert_int_equal(stats.rows, 0);
	assert_int_equal(stats.dropped, 0);
	assert_false(stats.active);
	assert_int_equal(reclaim_trace_stop(NULL, &stats), 0);
}

static void every_batch_has_a_row_in_order(void **state)
{
	const uint64_t count = RECLAIM_TRACE_RING_ROWS;
	struct reclaim_trace_stats stats;

	add_many(*state, count);
	stats = stop(*state);
	assert_int_equal(stats.rows, count);
	assert_int_equal(stats.dropped, 0);
	assert_int_equal(stats.failed, 0);
	assert_int_equal(fake->row_count, count);
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(fake->rows[i].time_ns, i + 1);
	file_adds_up(count);
}

/* Rows arrive without anybody stopping the trace. */
static void rows_are_written_soon(void **state)
{
	struct reclaim_trace_stats stats = { .rows = 0 };
	int64_t end_ns = monotonic_ns() + 10 * NS_PER_S;

	add(*state, 1);
	while (!stats.rows && monotonic_ns() < end_ns) {
		usleep(10000);
		reclaim_trace_query(*state, &stats);
	}
	assert_int_equal(stats.rows, 1);
	assert_true(stats.active);
	stop(*state);
}

/* A hanging write: the ring fills, the rest is merged, and adding goes on at once. */
static void what_finds_no_room_is_merged(void **state)
{
	const uint64_t count = 3 * RECLAIM_TRACE_RING_ROWS;
	struct reclaim_trace_stats stats;
	uint64_t merged = 0;

	steer(SIZE_MAX, true);
	add(*state, 1);
	wait_for_writes(1); /* that row is under way */
	for (uint64_t n = 2; n <= count; n++)
		add(*state, n);
	reclaim_trace_query(*state, &stats);
	assert_int_equal(stats.dropped, count - 1 - RECLAIM_TRACE_RING_ROWS);
	assert_int_equal(stats.rows, 0);
	steer(SIZE_MAX, false);
	stats = stop(*state);
	file_adds_up(count);
	for (size_t i = 0; i < fake->row_count; i++) {
		if (fake->rows[i].batches > 1)
			merged += fake->rows[i].batches;
	}
	assert_int_equal(merged, stats.dropped);
	/* A row a source, with the worst of what it stands for. */
	assert_int_equal(fake->row_count, 1 + RECLAIM_TRACE_RING_ROWS + 2);
	assert_int_equal(stats.rows, fake->row_count);
	assert_int_equal(fake->rows[fake->row_count - 2].source, RECLAIM_INFLATE);
	assert_int_equal(fake->rows[fake->row_count - 1].latency_ns, count);
}

/* Full in the middle of a row, and empty again: no row is torn, nothing is lost for good. */
static void a_full_disk_that_is_emptied_loses_nothing(void **state)
{
	const uint64_t count = 2 * RECLAIM_TRACE_RING_ROWS;
	struct reclaim_trace_stats stats;

	steer(100 * ROW_BYTES + ROW_BYTES / 2, false);
	add_many(*state, count);
	wait_for_writes(5);
	reclaim_trace_query(*state, &stats);
	assert_true(stats.failed > 0);
	assert_int_equal(fake->row_count, 100);
	steer(SIZE_MAX, false);
	stats = stop(*state);
	file_adds_up(count);
	assert_int_equal(fake->cuts, 0);
}

/* Full to the end: what has no row is counted, and the file ends with a whole one. */
static void a_full_disk_loses_rows_and_counts_them(void **state)
{
	const uint64_t count = 2 * RECLAIM_TRACE_RING_ROWS;
	struct reclaim_trace_stats stats;

	steer(400 * ROW_BYTES + 1, false);
	add_many(*state, count);
	stats = stop(*state);
	assert_int_equal(fake->cuts, 1);
	assert_int_equal(fake->text_bytes % ROW_BYTES, 0);
	assert_true(fake->row_count > 0 && fake->row_count <= 400);
	assert_int_equal(stats.rows, fake->row_count);
	assert_int_equal(stats.rows + stats.dropped, count);
	assert_true(stats.failed > 0);
}

static void a_full_disk_is_told_of_once(void **state)
{
	const struct reclaim_trace_file file = { .fd = -1 };
	struct reclaim_trace_stats stats;
	struct reclaim_trace *trace;
	char text[1024] = "";
	struct log *log;
	int lines[2];

	stop(*state);
	fake_reclaim_trace_file_reset();
	assert_int_equal(pipe(lines), 0);
	assert_int_equal(log_create(lines[1], LOG_INFO, &log), 0);
	steer(0, false);
	assert_int_equal(reclaim_trace_start(&file, -1, log, &trace, NULL), 0);
	add(trace, 1);
	wait_for_writes(3);
	stats = stop(trace);
	assert_int_equal(stats.dropped, 1);
	close(lines[1]);
	assert_true(read(lines[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "reclaim trace cannot be written: No space left on device"));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	log_destroy(log);
	close(lines[0]);
}

static struct reclaim_trace_stats wait_for_stats(struct reclaim_trace *trace, uint64_t rows,
                                                 uint64_t dropped)
{
	struct reclaim_trace_stats stats = { .rows = 0 };
	int64_t end_ns = monotonic_ns() + 10 * NS_PER_S;

	while ((stats.rows < rows || stats.dropped < dropped) && monotonic_ns() < end_ns) {
		usleep(10000);
		reclaim_trace_query(trace, &stats);
	}
	return stats;
}

/* As long as it may be: a last row says so, and what comes then is counted. */
static void a_file_ends_at_its_limit(void **state)
{
	const uint64_t limit_bytes = 40 * ROW_BYTES + RECLAIM_TRACE_ROW_MAX_BYTES;
	struct reclaim_trace_stats stats;
	unsigned int writes;

	reclaim_trace_limit(*state, limit_bytes);
	add_many(*state, 10);
	stats = wait_for_stats(*state, 10, 0);
	assert_int_equal(stats.rows, 10);
	add_many(*state, 100);
	stats = wait_for_stats(*state, 10, 100);
	assert_int_equal(stats.dropped, 100);
	wait_for_writes(2);
	usleep(50000);
	writes = fake->writes;
	add_many(*state, 2 * RECLAIM_TRACE_RING_ROWS);
	usleep(600000); /* two ticks */
	assert_int_equal(fake->writes, writes);
	stats = stop(*state);
	assert_int_equal(fake->writes, writes);
	assert_int_equal(stats.rows, 10);
	assert_int_equal(stats.dropped, 100 + 2 * RECLAIM_TRACE_RING_ROWS);
	assert_int_equal(stats.failed, 0);
	assert_true(fake->text_bytes <= limit_bytes);
	assert_true(fake->rows[fake->row_count - 1].at_limit);
	assert_int_equal(fake->rows[fake->row_count - 1].batches, 0);
	assert_int_equal(fake->cuts, 0);
	file_adds_up(10);
}

/* The last row itself finds no room: the file ends with a whole one before. */
static void a_full_disk_at_the_limit(void **state)
{
	struct reclaim_trace_stats stats;

	steer(10 * ROW_BYTES + ROW_BYTES / 2, false);
	reclaim_trace_limit(*state, 10 * ROW_BYTES + RECLAIM_TRACE_ROW_MAX_BYTES);
	add_many(*state, 5);
	wait_for_stats(*state, 5, 0);
	add_many(*state, 100);
	stats = wait_for_stats(*state, 5, 100);
	usleep(50000);
	stats = stop(*state);
	assert_int_equal(stats.rows + stats.dropped, 105);
	assert_int_equal(fake->text_bytes % ROW_BYTES, 0);
	file_adds_up(5);
}

/* A host that never comes back from a write: stopping takes its 2 s, the rest is the thread's. */
static void a_write_that_hangs_is_left_behind(void **state)
{
	struct reclaim_trace_stats stats;

	steer(SIZE_MAX, true);
	add(*state, 1);
	wait_for_writes(1);
	assert_int_equal(reclaim_trace_stop(*state, &stats), -ETIMEDOUT);
	assert_int_equal(stats.rows, 0);
	pthread_mutex_lock(&fake->lock);
	assert_int_equal(fake->closes, 0);
	fake->hangs = false;
	pthread_cond_broadcast(&fake->changed);
	while (!fake->closes)
		pthread_cond_wait(&fake->changed, &fake->lock);
	pthread_mutex_unlock(&fake->lock);
	usleep(50000); /* it still frees itself, which the leak check looks at */
}

/* What is resident is in rows of its own: at the beginning, when it changes, at the end. */
static void resident_memory_is_sampled(void **state)
{
	const struct reclaim_trace_file file = { .fd = -1 };
	struct reclaim_trace *trace;

	stop(*state);
	fake_reclaim_trace_file_reset();
	fake_reclaim_host.resident_bytes = 5 * MIB;
	assert_int_equal(reclaim_trace_start(&file, -1, NULL, &trace, NULL), 0);
	wait_for_writes(1);
	add(trace, 1);
	stop(trace);
	assert_in_range(fake->row_count, 3, 4);
	assert_int_equal(fake->rows[0].batches, 0);
	assert_int_equal(fake->rows[0].resident_bytes, 5 * MIB);
	assert_int_equal(fake->rows[fake->row_count - 1].resident_bytes, 5 * MIB);
	file_adds_up(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
		TEST(a_trace_of_nothing_is_empty),
		TEST(every_batch_has_a_row_in_order),
		TEST(rows_are_written_soon),
		TEST(what_finds_no_room_is_merged),
		TEST(a_full_disk_that_is_emptied_loses_nothing),
		TEST(a_full_disk_loses_rows_and_counts_them),
		TEST(a_full_disk_is_told_of_once),
		TEST(a_file_ends_at_its_limit),
		TEST(a_full_disk_at_the_limit),
		TEST(a_write_that_hangs_is_left_behind),
		TEST(resident_memory_is_sampled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
