/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that release: on every host that ebb meets, and on hosts whose calls fail. */
/* fakes: fake_reclaim_host reclaim_fixture */
#include "reclaim_fixture.h"

#include "fake_reclaim_host.h"
#include <errno.h>
#include <stdlib.h>

/* Every host that ebb meets releases and counts the same. */
static void check_host(struct fixture *f, unsigned int calls_first, unsigned int calls_then)
{
	for (unsigned int round = 0; round < 2; round++) {
		struct reclaim_range ranges[] = {
			{ 4 * MIB, MIB },
			{ 8 * MIB, MIB },
			{ HIGH_GPA, MIB },
			{ 0, MIB },
		};
		struct reclaim_outcome outcome;

		for (size_t i = 0; i < 4; i++)
			touch(f, ranges[i].gpa, 128 * PAGE);
		outcome = release(f, ranges, 4);
		assert_int_equal(outcome.bytes_released, 4 * 128 * PAGE);
		assert_int_equal(outcome.bytes_absent, 4 * 128 * PAGE);
		assert_int_equal(outcome.ranges_released, 4);
		assert_int_equal(outcome.syscalls, round ? calls_then : calls_first);
		assert_int_equal(resident(f, 0, 16 * MIB) + resident(f, HIGH_GPA, MIB), 0);
	}
}

static void test_host_without_self_pidfd(void **state)
{
	fake_reclaim_host.no_self = true;
	check_host(*state, 2, 1);
	assert_int_equal(fake_reclaim_host.pidfd_opens, 1);
}

static void test_host_without_vectors(void **state)
{
	fake_reclaim_host.no_self = true;
	fake_reclaim_host.no_vector = true;
	check_host(*state, 2 + 4, 4);
	assert_int_equal(fake_reclaim_host.pidfd_opens, 1);
	assert_int_equal(fake_reclaim_host.vector_calls, 2);
}

static void test_host_without_pagemap(void **state)
{
	fake_reclaim_host.no_pagemap = true;
	check_host(*state, 1, 1);
}

static void test_host_without_pagemap_scan(void **state)
{
	fake_reclaim_host.no_pagemap_scan = true;
	check_host(*state, 1, 1);
}

static void test_vectors_cut_short(void **state)
{
	fake_reclaim_host.vector_cut = 2;
	check_host(*state, 2, 2);
}

static void test_scans_cut_short(void **state)
{
	fake_reclaim_host.runs_max = 1;
	check_host(*state, 1, 1);
}

static void check_refusing_host(struct fixture *f)
{
	struct reclaim_range ranges[] = { { 0, MIB }, { 4 * MIB, MIB }, { 8 * MIB, MIB } };
	struct reclaim_outcome outcome;
	struct reclaim_stats stats;

	touch(f, 0, 16 * MIB);
	fake_reclaim_host.bad_hva = span(f, 4 * MIB + PAGE, 1);
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_INFLATE, ranges, 3, &outcome),
	                 -EINVAL);
	assert_int_equal(outcome.bytes_released, 2 * MIB);
	assert_int_equal(outcome.bytes_refused, MIB);
	assert_int_equal(outcome.ranges_released, 2);
	assert_int_equal(resident(f, 0, 16 * MIB), 14 * MIB);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.sources[RECLAIM_INFLATE].errors, 1);
	assert_int_equal(stats.refault_bytes, 0);
	assert_int_equal(stats.sources[RECLAIM_REPORT].requests, 0);
}

static void test_host_refuses_one(void **state)
{
	check_refusing_host(*state);
}

static void test_host_without_vectors_refuses_one(void **state)
{
	fake_reclaim_host.no_vector = true;
	check_refusing_host(*state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_host_without_self_pidfd), TEST(test_host_without_vectors),
		TEST(test_host_without_pagemap),    TEST(test_host_without_pagemap_scan),
		TEST(test_vectors_cut_short),       TEST(test_scans_cut_short),
		TEST(test_host_refuses_one),        TEST(test_host_without_vectors_refuses_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
