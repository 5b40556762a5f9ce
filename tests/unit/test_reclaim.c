/* SPDX-License-Identifier: Apache-2.0 */
/* The memory-return engine on real anonymous memory: what is released, with how many calls, and
 * whether the account of it is true. */
/* fakes: fake_reclaim_host reclaim_fixture */
#include "reclaim_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ebb/log.h"
#include "fake_reclaim_host.h"

static void test_nothing(void **state)
{
	struct reclaim_outcome outcome = release(*state, NULL, 0);

	assert_int_equal(outcome.bytes_released, 0);
	assert_int_equal(release_calls(), 0);
	outcome = release_range(*state, 5 * MIB, 0);
	assert_int_equal(outcome.bytes_refused, 0);
}

static void test_one_range(void **state)
{
	struct fixture *f = *state;
	struct reclaim_outcome outcome;

	touch(f, 0, 4 * MIB);
	outcome = release_range(f, MIB, 2 * MIB);
	assert_int_equal(outcome.bytes_released, 2 * MIB);
	assert_int_equal(outcome.ranges_released, 1);
	assert_int_equal(outcome.syscalls, 1);
	assert_int_equal(fake_reclaim_host.madvise_calls, 1);
	assert_int_equal(fake_reclaim_host.vector_calls, 0);
	assert_int_equal(resident(f, MIB, 2 * MIB), 0);
	/* Its neighbours are whole. */
	assert_int_equal(resident(f, 0, 4 * MIB), 2 * MIB);
	assert_int_equal(span(f, MIB - 1, 1)[0], 0);
	assert_int_equal(span(f, MIB - PAGE, 1)[0], 0x5a);
	assert_int_equal(span(f, 3 * MIB, 1)[0], 0x5a);
	assert_int_equal(span(f, MIB, 1)[0], 0);
}

static void test_reporting_pass_is_one_call(void **state)
{
	struct fixture *f = *state;
	struct reclaim_range ranges[32];
	struct reclaim_outcome outcome;

	touch(f, 0, LOW_BYTES);
	/* 32 blocks of 2 MiB, none next to another but two pairs, in no order. */
	for (size_t i = 0; i < 32; i++)
		ranges[i] = (struct reclaim_range){ (i * 19 % 48) * PAGE_2M_BYTES, PAGE_2M_BYTES };
	outcome = release(f, ranges, 32);
	assert_int_equal(outcome.bytes_released, 64 * MIB);
	assert_int_equal(outcome.syscalls, 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(fake_reclaim_host.vector_calls, 1);
	assert_in_range(fake_reclaim_host.look_calls, 1, 2);
	assert_int_equal(resident(f, 0, LOW_BYTES), LOW_BYTES - 64 * MIB);
}

static void test_descending_pages_merge(void **state)
{
	struct fixture *f = *state;
	struct reclaim_range ranges[256];
	struct reclaim_outcome outcome;

	touch(f, 8 * MIB, MIB);
	for (size_t i = 0; i < 256; i++)
		ranges[i] = (struct reclaim_range){ 9 * MIB - (i + 1) * PAGE, PAGE };
	outcome = release(f, ranges, 256);
	assert_int_equal(outcome.bytes_released, MIB);
	assert_int_equal(outcome.ranges_released, 1);
	assert_int_equal(fake_reclaim_host.madvise_calls, 1);
	assert_int_equal(fake_reclaim_host.vector_calls, 0);
	assert_int_equal(fake_reclaim_host.look_calls, 1);
}

static void test_shuffled_pages_merge(void **state)
{
	struct fixture *f = *state;
	struct reclaim_range *ranges = calloc(4096, sizeof(*ranges));
	struct reclaim_outcome outcome;

	touch(f, 16 * MIB, 16 * MIB);
	for (size_t i = 0; i < 4096; i++)
		ranges[i] = (struct reclaim_range){ 16 * MIB + i * 2731 % 4096 * PAGE, PAGE };
	outcome = release(f, ranges, 4096);
	assert_int_equal(outcome.bytes_released, 16 * MIB);
	assert_int_equal(outcome.ranges_released, 1);
	assert_int_equal(release_calls(), 1);
	free(ranges);
}

static void test_repeats_and_overlaps_count_once(void **state)
{
	struct fixture *f = *state;
	struct reclaim_range ranges[] = {
		{ 2 * MIB, MIB }, { 2 * MIB, MIB },         { 2 * MIB + 512 * KIB, MIB },
		{ MIB, MIB },     { 2 * MIB + PAGE, PAGE },
	};
	struct reclaim_outcome outcome;

	touch(f, 0, 8 * MIB);
	outcome = release(f, ranges, ARRAY_SIZE(ranges));
	assert_int_equal(outcome.bytes_released, 2 * MIB + 512 * KIB);
	assert_int_equal(outcome.bytes_absent, MIB + 512 * KIB + PAGE);
	assert_int_equal(outcome.ranges_released, 1);
	assert_int_equal(resident(f, 0, 8 * MIB), 8 * MIB - outcome.bytes_released);
}

static void test_edges_are_clipped_inward(void **state)
{
	struct fixture *f = *state;
	struct reclaim_outcome outcome;

	touch(f, 0, MIB);
	outcome = release_range(f, PAGE + 1, 3 * PAGE);
	assert_int_equal(outcome.bytes_released, 2 * PAGE);
	assert_int_equal(outcome.bytes_refused, PAGE);
	assert_int_equal(span(f, PAGE, 1)[0], 0x5a);
	assert_int_equal(span(f, 4 * PAGE, 1)[0], 0x5a);
	outcome = release_range(f, 8 * PAGE + 1, PAGE);
	assert_int_equal(outcome.bytes_refused, PAGE);
	outcome = release_range(f, 8 * PAGE, PAGE - 1);
	assert_int_equal(outcome.bytes_refused, PAGE - 1);
	assert_int_equal(resident(f, 0, MIB), MIB - 2 * PAGE);
}

static void test_outside_is_refused(void **state)
{
	static const struct reclaim_range outside[] = {
		{ LOW_BYTES, MIB },
		{ HIGH_GPA - MIB, MIB },
		{ HIGH_GPA + HIGH_BYTES, TIB },
		{ UINT64_MAX - PAGE + 1, PAGE },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX - 2 * PAGE, UINT64_MAX },
		{ (uint64_t)UINT32_MAX << 12, PAGE },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
		struct reclaim_outcome outcome =
			release_range(f, outside[i].gpa, outside[i].size_bytes);

		assert_int_equal(outcome.bytes_refused, outside[i].size_bytes);
	}
	assert_int_equal(release_calls(), 0);
}

static void test_sum_of_sizes_may_overflow(void **state)
{
	struct fixture *f = *state;
	struct reclaim_range ranges[4];
	struct reclaim_outcome outcome;
	struct reclaim_stats stats;

	for (size_t i = 0; i < 4; i++)
		ranges[i] = (struct reclaim_range){ 2 * HIGH_GPA, UINT64_MAX };
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_REPORT, ranges, 4, &outcome), 0);
	assert_int_equal(outcome.bytes_released, 0);
	reclaim_query(f->reclaim, &stats);
	assert_true(stats.sources[RECLAIM_REPORT].bytes_in == UINT64_MAX);
}

static void test_split_at_regions(void **state)
{
	struct fixture *f = *state;
	struct reclaim_outcome outcome;

	touch(f, LOW_BYTES - MIB, MIB);
	touch(f, HIGH_GPA, MIB);
	outcome = release_range(f, LOW_BYTES - MIB, HIGH_GPA + MIB - (LOW_BYTES - MIB));
	assert_int_equal(outcome.bytes_released, 2 * MIB);
	assert_int_equal(outcome.bytes_refused, HIGH_GPA - LOW_BYTES);
	assert_int_equal(outcome.ranges_released, 2);
	assert_int_equal(fake_reclaim_host.vector_calls, 1);
	assert_int_equal(resident(f, LOW_BYTES - MIB, MIB), 0);
	assert_int_equal(resident(f, HIGH_GPA, MIB), 0);
}

static void test_absent_is_not_released(void **state)
{
	struct fixture *f = *state;
	struct reclaim_range ranges[] = { { 0, MIB }, { 2 * MIB, MIB }, { 4 * MIB, MIB } };
	struct reclaim_outcome outcome;
	volatile uint8_t byte;

	touch(f, 2 * MIB, 64 * PAGE);
	byte = *span(f, 0, 1); /* the zero page is in nobody's RSS */
	(void)byte;
	outcome = release(f, ranges, 3);
	assert_int_equal(outcome.bytes_released, 64 * PAGE);
	assert_int_equal(outcome.bytes_absent, 3 * MIB - 64 * PAGE);
	assert_int_equal(fake_reclaim_host.vector_elements_max, 2);
	outcome = release_range(f, 2 * MIB, MIB);
	assert_int_equal(outcome.bytes_absent, MIB);
	assert_int_equal(outcome.syscalls, 0);
}

static void test_many_pieces(void **state)
{
	struct fixture *f = *state;
	struct reclaim_range *ranges = calloc(1500, sizeof(*ranges));
	struct reclaim_outcome outcome;

	touch(f, 0, 3000 * PAGE);
	for (size_t i = 0; i < 1500; i++)
		ranges[i] = (struct reclaim_range){ i * 2 * PAGE, PAGE };
	outcome = release(f, ranges, 1500);
	assert_int_equal(outcome.bytes_released, 1500 * PAGE);
	assert_int_equal(outcome.ranges_released, 1500);
	assert_int_equal(outcome.syscalls, 3); /* vectors of up to 512 */
	assert_int_equal(resident(f, 0, 3000 * PAGE), 1500 * PAGE);
	free(ranges);
}

static void test_refault(void **state)
{
	struct fixture *f = *state;
	struct reclaim_stats stats;

	touch(f, 0, 4 * MIB);
	release_range(f, 0, 8 * MIB);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.refault_bytes, 0);
	/* Half of it comes back, and a page that was never there is no refault. */
	touch(f, 0, 2 * MIB);
	touch(f, 6 * MIB, PAGE);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.refault_bytes, 2 * MIB);
	/* Asked again, it is not counted again. */
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.refault_bytes, 2 * MIB);
	/* Released, back and released again between two queries. */
	release_range(f, 0, MIB);
	touch(f, 0, MIB);
	release_range(f, 0, MIB);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.refault_bytes, 3 * MIB);
	assert_int_equal(reclaim_resident_bytes(f->reclaim), MIB + PAGE);
}

/* By the source that released what came back last. */
static void test_refault_by_source(void **state)
{
	struct reclaim_range inflated = { 0, 2 * MIB }, reported = { MIB, 3 * MIB };
	struct fixture *f = *state;
	struct reclaim_outcome outcome;
	struct reclaim_stats stats;

	touch(f, 0, 4 * MIB);
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_INFLATE, &inflated, 1, &outcome), 0);
	touch(f, 0, 2 * MIB);
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_REPORT, &reported, 1, &outcome), 0);
	touch(f, 2 * MIB, PAGE);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.sources[RECLAIM_INFLATE].refault_bytes, 2 * MIB);
	assert_int_equal(stats.sources[RECLAIM_REPORT].refault_bytes, PAGE);
	assert_int_equal(stats.sources[RECLAIM_RESET].refault_bytes, 0);
	assert_int_equal(stats.refault_bytes, 2 * MIB + PAGE);
	assert_int_equal(stats.resident_bytes, MIB + PAGE);
	assert_int_equal(stats.looked_bytes, stats.total_bytes);
	assert_int_equal(stats.total_bytes, LOW_BYTES + HIGH_BYTES);
}

/* A look that takes too long is a sample, and says so. */
static void test_slow_look_is_a_sample(void **state)
{
	struct fixture *f = *state;
	struct reclaim_stats stats;

	touch(f, 0, LOW_BYTES);
	touch(f, HIGH_GPA, HIGH_BYTES);
	release_range(f, 0, LOW_BYTES);
	release_range(f, HIGH_GPA, HIGH_BYTES);
	for (gpa_t gpa = 0; gpa < LOW_BYTES; gpa += 2 * PAGE)
		touch(f, gpa, PAGE);
	for (gpa_t gpa = HIGH_GPA; gpa < HIGH_GPA + HIGH_BYTES; gpa += 2 * PAGE)
		touch(f, gpa, PAGE);
	fake_reclaim_host.runs_max = 64 * KIB;
	fake_reclaim_host.look_us = 20000;
	fake_reclaim_host.resident_bytes = 57 * MIB;
	reclaim_query(f->reclaim, &stats);
	assert_in_range(stats.looked_bytes, 1, stats.total_bytes - 1);
	assert_int_equal(stats.looked_bytes % (16 * MIB), 0);
	assert_int_equal(stats.resident_bytes, 57 * MIB);
	assert_in_range(stats.sources[RECLAIM_REPORT].refault_bytes, 55 * MIB, 56 * MIB);
	/* No word of the process: the sample has to do for that too. */
	fake_reclaim_host.resident_bytes = 0;
	assert_in_range(reclaim_resident_bytes(f->reclaim), 55 * MIB, 56 * MIB);
}

static void test_inhibit_nests(void **state)
{
	struct fixture *f = *state;
	struct reclaim_outcome outcome;

	touch(f, 0, MIB);
	reclaim_inhibit(f->reclaim);
	reclaim_inhibit(f->reclaim);
	reclaim_allow(f->reclaim);
	outcome = release_range(f, 0, MIB);
	assert_int_equal(outcome.bytes_refused, MIB);
	assert_int_equal(resident(f, 0, MIB), MIB);
	reclaim_allow(f->reclaim);
	outcome = release_range(f, 0, MIB);
	assert_int_equal(outcome.bytes_released, MIB);
}

static void test_release_all(void **state)
{
	struct fixture *f = *state;
	struct reclaim_stats stats;

	touch(f, 0, 10 * MIB);
	touch(f, HIGH_GPA + HIGH_BYTES - PAGE, PAGE);
	touch(f, 20 * MIB, MIB);
	release_range(f, 20 * MIB, MIB);
	fake_reclaim_host.madvise_calls = 0;
	assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_RESET), 0);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(reclaim_resident_bytes(f->reclaim), 0);
	/* A machine that begins anew takes nothing back. */
	touch(f, 0, MIB);
	touch(f, 20 * MIB, MIB);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.refault_bytes, 0);
	assert_int_equal(stats.sources[RECLAIM_RESET].bytes_released, 10 * MIB + PAGE);
	assert_int_equal(stats.sources[RECLAIM_RESET].bytes_in, LOW_BYTES + HIGH_BYTES);
}

static void test_accounts_by_source(void **state)
{
	struct fixture *f = *state;
	struct reclaim_range range = { 0, MIB };
	struct reclaim_outcome outcome;
	struct reclaim_stats stats;

	touch(f, 0, MIB);
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_INFLATE, &range, 1, &outcome), 0);
	reclaim_account_refused(f->reclaim, RECLAIM_REPORT, RECLAIM_REFUSED_POISON, 32, 64 * MIB);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.sources[RECLAIM_INFLATE].requests, 1);
	assert_int_equal(stats.sources[RECLAIM_INFLATE].ranges_in, 1);
	assert_int_equal(stats.sources[RECLAIM_INFLATE].bytes_released, MIB);
	assert_int_equal(stats.sources[RECLAIM_INFLATE].syscalls, 1);
	assert_true(stats.sources[RECLAIM_INFLATE].latency_max_ns > 0);
	assert_true(stats.sources[RECLAIM_INFLATE].latency_p50_ns <=
	            stats.sources[RECLAIM_INFLATE].latency_max_ns);
	assert_int_equal(stats.sources[RECLAIM_REPORT].requests, 1);
	assert_int_equal(stats.sources[RECLAIM_REPORT].ranges_in, 32);
	assert_int_equal(stats.sources[RECLAIM_REPORT].bytes_in, 64 * MIB);
	assert_int_equal(stats.sources[RECLAIM_REPORT].bytes_refused, 64 * MIB);
	assert_int_equal(stats.sources[RECLAIM_HINT].requests, 0);
	assert_string_equal(reclaim_source_name(RECLAIM_UNPLUG), "unplug");
}

static void test_region_goes(void **state)
{
	struct fixture *f = *state;
	struct reclaim_outcome outcome;

	touch(f, HIGH_GPA, MIB);
	release_range(f, HIGH_GPA, MIB);
	assert_int_equal(gmem_remove_region(f->memory, HIGH_GPA), 0);
	outcome = release_range(f, HIGH_GPA, MIB);
	assert_int_equal(outcome.bytes_refused, MIB);
	/* Back in another place: nothing is remembered of it. */
	assert_int_equal(gmem_add_region(f->memory, HIGH_GPA, MIB, NULL, NULL), 0);
	touch(f, HIGH_GPA, MIB);
	outcome = release_range(f, HIGH_GPA, MIB);
	assert_int_equal(outcome.bytes_released, MIB);
}

/* Random batches against a plain model of which pages are there. */
static void test_agrees_with_a_model(void **state)
{
	enum { PAGES = 4096, ROUNDS = 60 };
	struct fixture *f = *state;
	uint8_t *there = calloc(PAGES, 1);
	uint32_t seed = 12345;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct reclaim_range ranges[40];
		struct reclaim_outcome outcome;
		uint64_t expected = 0;

		for (unsigned int i = 0; i < 40; i++) {
			uint32_t page = (seed = seed * 1664525 + 1013904223) >> 20;
			uint32_t count = (seed = seed * 1664525 + 1013904223) >> 26;

			for (uint32_t p = page; p < page + count && p < PAGES; p++) {
				touch(f, p * PAGE, PAGE);
				there[p] = 1;
			}
		}
		for (unsigned int i = 0; i < 40; i++) {
			uint32_t page = (seed = seed * 1664525 + 1013904223) >> 20;
			uint32_t count = (seed = seed * 1664525 + 1013904223) >> 26;

			ranges[i] = (struct reclaim_range){ page * PAGE, count * PAGE };
			for (uint32_t p = page; p < page + count && p < PAGES; p++) {
				expected += there[p] * PAGE;
				there[p] = 0;
			}
		}
		outcome = release(f, ranges, 40);
		assert_int_equal(outcome.bytes_released, expected);
		assert_int_equal(outcome.bytes_refused, 0);
	}
	for (uint64_t p = 0; p < PAGES; p++)
		assert_int_equal(resident(f, p * PAGE, PAGE), there[p] * PAGE);
	free(there);
}

/* A column of a trace (CSV), added up over the rows of a source. */
static uint64_t trace_sum(const char *path, const char *source, unsigned int column)
{
	char line[512];
	uint64_t sum = 0;
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		char *rest = line, *field = NULL;
		bool counts = false;

		for (unsigned int i = 0; i <= column; i++) {
			field = strsep(&rest, ",\n");
			assert_non_null(field);
			if (i == 1)
				counts = !strcmp(field, source);
		}
		if (counts)
			sum += strtoull(field, NULL, 10);
	}
	fclose(file);
	return sum;
}

static void trace_is_account(struct fixture *f, const char *path)
{
	struct reclaim_stats stats;

	reclaim_query(f->reclaim, &stats);
	for (enum reclaim_source i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		const struct reclaim_source_stats *source = &stats.sources[i];
		const uint64_t columns[] = { source->ranges_in,    source->ranges_released,
			                     source->bytes_in,     source->bytes_released,
			                     source->bytes_absent, source->bytes_refused,
			                     source->syscalls };

		for (unsigned int column = 0; column < ARRAY_SIZE(columns); column++)
			assert_int_equal(trace_sum(path, reclaim_source_name(i), 2 + column),
			                 columns[column]);
		assert_int_equal(trace_sum(path, reclaim_source_name(i), 10), source->errors);
		assert_int_equal(trace_sum(path, reclaim_source_name(i), 11), source->requests);
		assert_int_equal(trace_sum(path, reclaim_source_name(i), 13), source->bytes_lazy);
		for (unsigned int reason = 0; reason < RECLAIM_REFUSAL_COUNT; reason++)
			assert_int_equal(trace_sum(path, reclaim_source_name(i), 14 + reason),
			                 source->refused[reason]);
	}
}

/* Every way into the account is in the trace. */
static void test_trace_adds_up_to_the_account(void **state)
{
	struct reclaim_range refused = { 64 * GIB, MIB }, bad = { 4 * MIB, MIB };
	struct fixture *f = *state;
	struct reclaim_outcome outcome;
	struct reclaim_stats stats;
	char path[] = "/tmp/ebb-test-XXXXXX.csv";

	close(mkstemps(path, 4));
	assert_int_equal(reclaim_trace_open(f->reclaim, path, true, NULL, NULL), 0);
	touch(f, 0, 16 * MIB);
	release_range(f, 0, 3 * MIB);
	later(f, 8 * MIB, 3 * MIB);
	release_deferred(f);
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_HINT, &refused, 1, &outcome), 0);
	fake_reclaim_host.bad_hva = span(f, 4 * MIB, 1);
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_INFLATE, &bad, 1, &outcome), -EINVAL);
	fake_reclaim_host.bad_hva = NULL;
	reclaim_account_refused(f->reclaim, RECLAIM_REPORT, RECLAIM_REFUSED_PAUSED, 32, 64 * MIB);
	assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_RESET), 0);
	reclaim_query(f->reclaim, &stats);
	assert_true(stats.trace.active);
	assert_int_equal(reclaim_trace_close(f->reclaim, NULL), 0);
	trace_is_account(f, path);
	assert_int_equal(trace_sum(path, "reset", 5), 16 * MIB - 6 * MIB);
	reclaim_query(f->reclaim, &stats);
	assert_false(stats.trace.active);
	assert_int_equal(stats.trace.rows, 6);
	unlink(path);
}

static void test_one_trace_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	char path[] = "/tmp/ebb-test-XXXXXX.csv", other[64];

	close(mkstemps(path, 4));
	snprintf(other, sizeof(other), "%s.csv", path);
	assert_int_equal(reclaim_trace_close(f->reclaim, &err), -ENOENT);
	assert_int_equal(reclaim_trace_open(f->reclaim, path, false, NULL, NULL), -EEXIST);
	assert_int_equal(reclaim_trace_open(f->reclaim, path, true, NULL, NULL), 0);
	assert_int_equal(reclaim_trace_open(f->reclaim, other, false, NULL, &err), -EBUSY);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(reclaim_trace_close(f->reclaim, NULL), 0);
	assert_int_equal(reclaim_trace_open(f->reclaim, other, false, NULL, &err), 0);
	/* The engine's end is the trace's end: its last rows are there. */
	touch(f, 0, MIB);
	release_range(f, 0, MIB);
	reclaim_destroy(f->reclaim);
	f->reclaim = NULL;
	assert_int_equal(trace_sum(other, "report", 5), MIB);
	unlink(path);
	unlink(other);
}

/* Handed over, or opened before there was anything to write: one trace all the same. */
static void test_a_trace_that_is_open_already(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/ebb-test-XXXXXX.csv", other[] = "/tmp/ebb-test-XXXXXX.csv";
	int fd = mkstemps(path, 4);

	close(mkstemps(other, 4));
	assert_int_equal(reclaim_trace_start_prepared(f->reclaim, NULL, NULL), 0);
	assert_int_equal(reclaim_trace_close(f->reclaim, NULL), -ENOENT);
	assert_int_equal(reclaim_trace_open_fd(f->reclaim, STDERR_FILENO + 1000, false, NULL, NULL),
	                 -EBADF);
	assert_int_equal(reclaim_trace_prepare(f->reclaim, other, NULL), 0);
	assert_int_equal(reclaim_trace_open_fd(f->reclaim, fd, false, NULL, NULL), 0);
	assert_int_equal(reclaim_trace_open_fd(f->reclaim, fd, false, NULL, NULL), -EBUSY);
	close(fd);
	touch(f, 0, MIB);
	release_range(f, 0, MIB);
	assert_int_equal(reclaim_trace_close(f->reclaim, NULL), 0);
	assert_int_equal(trace_sum(path, "report", 5), MIB);
	assert_int_equal(reclaim_trace_start_prepared(f->reclaim, NULL, NULL), 0);
	assert_int_equal(reclaim_trace_open(f->reclaim, path, true, NULL, NULL), -EBUSY);
	touch(f, 0, 2 * MIB);
	release_range(f, 0, 2 * MIB);
	assert_int_equal(reclaim_trace_close(f->reclaim, NULL), 0);
	assert_int_equal(trace_sum(other, "report", 5), 2 * MIB);
	unlink(path);
	unlink(other);
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_THP(name) cmocka_unit_test_setup_teardown(name, set_up_thp, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing),
		TEST(test_one_range),
		TEST(test_reporting_pass_is_one_call),
		TEST_THP(test_reporting_pass_is_one_call),
		TEST(test_descending_pages_merge),
		TEST(test_shuffled_pages_merge),
		TEST_THP(test_shuffled_pages_merge),
		TEST(test_repeats_and_overlaps_count_once),
		TEST(test_edges_are_clipped_inward),
		TEST(test_outside_is_refused),
		TEST(test_sum_of_sizes_may_overflow),
		TEST(test_split_at_regions),
		TEST(test_absent_is_not_released),
		TEST(test_many_pieces),
		TEST(test_refault),
		TEST(test_refault_by_source),
		TEST(test_slow_look_is_a_sample),
		TEST(test_inhibit_nests),
		TEST(test_release_all),
		TEST(test_accounts_by_source),
		TEST(test_region_goes),
		TEST(test_agrees_with_a_model),
		TEST(test_trace_adds_up_to_the_account),
		TEST(test_one_trace_at_a_time),
		TEST(test_a_trace_that_is_open_already),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
