/* SPDX-License-Identifier: Apache-2.0 */
/* What is put off until its block is complete, and what its owner takes back before. */
/* fakes: fake_reclaim_host reclaim_fixture */
#include "reclaim_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/reclaim_deferred.h"
#include "fake_reclaim_host.h"

static void test_parts_wait_for_the_rest(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, 8 * MIB);
	assert_int_equal(later(f, 3 * MIB, MIB).bytes_released, 0);
	assert_int_equal(later(f, 2 * MIB, MIB).bytes_released, 0);
	assert_int_equal(later(f, 5 * MIB, PAGE).bytes_released, 0);
	assert_int_equal(release_calls(), 0);
	assert_int_equal(resident(f, 0, 8 * MIB), 8 * MIB);
	assert_int_equal(inflate_stats(f).requests, 0);
	assert_int_equal(release_deferred(f).bytes_released, 2 * MIB + PAGE);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(resident(f, 0, 8 * MIB), 6 * MIB - PAGE);
	assert_int_equal(inflate_stats(f).requests, 1);
	assert_int_equal(inflate_stats(f).ranges_in, 3);
	assert_int_equal(inflate_stats(f).ranges_released, 2);
	/* Once. */
	assert_int_equal(release_deferred(f).bytes_released, 0);
	assert_int_equal(inflate_stats(f).requests, 1);
}

/* As Linux inflates: descending, 1 MiB a request. */
static void test_complete_blocks_go_together(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, 64 * MIB);
	for (unsigned int i = 0; i < 64; i++) {
		struct reclaim_range ranges[256];
		struct reclaim_outcome outcome;

		for (unsigned int p = 0; p < 256; p++)
			ranges[p] = (struct reclaim_range){ (64 - i) * MIB - (p + 1) * PAGE, PAGE };
		assert_int_equal(
			reclaim_release_later(f->reclaim, RECLAIM_INFLATE, ranges, 256, &outcome),
			0);
		assert_int_equal(outcome.bytes_released, i % 16 == 15 ? 16 * MIB : 0);
	}
	assert_int_equal(fake_reclaim_host.madvise_calls, 4);
	assert_int_equal(fake_reclaim_host.vector_calls, 0);
	assert_int_equal(resident(f, 0, 64 * MIB), 0);
	assert_int_equal(inflate_stats(f).ranges_in, 64 * 256);
	assert_int_equal(inflate_stats(f).ranges_released, 4);
	assert_int_equal(release_deferred(f).bytes_released, 0);
}

static void test_no_more_than_so_much_waits(void **state)
{
	struct fixture *f = *state;
	uint64_t waiting = 0, most = 0;

	touch(f, 0, LOW_BYTES);
	for (unsigned int block = 0; block < 48; block++) {
		/* Never a whole one. */
		uint64_t released =
			later(f, block * PAGE_2M_BYTES, PAGE_2M_BYTES - PAGE).bytes_released;

		waiting += PAGE_2M_BYTES - PAGE;
		assert_true(released == 0 || released == waiting);
		waiting -= released;
		most = waiting > most ? waiting : most;
	}
	assert_in_range(most, 60 * MIB, 64 * MIB);
	assert_int_equal(fake_reclaim_host.vector_calls, 1);
}

/* What the host says of huge pages: there are none but in [gpa, gpa + size_bytes). */
static void huge_pages_in(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	fake_reclaim_host.huge_start = span(f, gpa, size_bytes);
	fake_reclaim_host.huge_end = span(f, gpa, size_bytes) + size_bytes;
}

static struct reclaim_outcome release_worth_it(struct fixture *f)
{
	struct reclaim_outcome outcome;

	assert_int_equal(reclaim_release_worth_it(f->reclaim, RECLAIM_INFLATE, &outcome), 0);
	return outcome;
}

static uint64_t waiting(struct fixture *f)
{
	struct reclaim_stats stats;

	reclaim_query(f->reclaim, &stats);
	return stats.deferred_bytes;
}

#define WORTH_BYTES (PAGE_2M_BYTES / 4 * 3)

static void test_parts_split_no_huge_page_for_little(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, 10 * MIB);
	huge_pages_in(f, 0, 6 * MIB);
	later(f, 0, WORTH_BYTES - PAGE);
	later(f, 2 * MIB + PAGE, WORTH_BYTES);
	later(f, 4 * MIB, 2 * MIB);
	later(f, 6 * MIB, PAGE);           /* nothing to split */
	later(f, 8 * MIB + MIB, 2 * PAGE); /* nor here */
	assert_int_equal(release_worth_it(f).bytes_released, WORTH_BYTES + 2 * MIB + 3 * PAGE);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(resident(f, 0, 2 * MIB), 2 * MIB);
	assert_int_equal(resident(f, 2 * MIB, 2 * MIB), 2 * MIB - WORTH_BYTES);
	assert_int_equal(resident(f, 6 * MIB, 4 * MIB), 4 * MIB - 3 * PAGE);
	assert_int_equal(waiting(f), WORTH_BYTES - PAGE);
	assert_int_equal(release_worth_it(f).bytes_released, 0);
	/* The page that makes it worth it; the host took its huge page apart; it is asked for. */
	later(f, PAGE_2M_BYTES - PAGE, PAGE);
	assert_int_equal(release_worth_it(f).bytes_released, WORTH_BYTES);
	later(f, 4 * MIB, PAGE);
	assert_int_equal(release_worth_it(f).bytes_released, 0);
	later(f, 6 * MIB, MIB);
	assert_int_equal(release_deferred(f).bytes_released, MIB - PAGE);
	assert_int_equal(waiting(f), 0);
}

/* A host that does not say where its huge pages are has them everywhere. */
static void test_unknown_huge_pages_are_not_split(void **state)
{
	struct fixture *f = *state;

	fake_reclaim_host.no_pagemap_scan = true;
	touch(f, 0, 4 * MIB);
	later(f, 0, MIB);
	later(f, 2 * MIB, WORTH_BYTES);
	assert_int_equal(release_worth_it(f).bytes_released, WORTH_BYTES);
	assert_int_equal(waiting(f), MIB);
	fake_reclaim_host.no_pagemap_scan = false;
	assert_int_equal(release_deferred(f).bytes_released, MIB);
}

/* At the bound, what is worth it goes first; the rest only when that was not enough. */
static void test_the_bound_splits_no_more_than_it_must(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, LOW_BYTES);
	huge_pages_in(f, 0, LOW_BYTES);
	for (unsigned int block = 0; block < 24; block++)
		later(f, block * PAGE_2M_BYTES, block % 2 ? MIB : WORTH_BYTES);
	assert_int_equal(waiting(f), 12 * (MIB + WORTH_BYTES));
	for (unsigned int block = 24; block < 46; block++)
		later(f, block * PAGE_2M_BYTES, WORTH_BYTES);
	assert_int_equal(release_calls(), 0);
	assert_int_equal(waiting(f), 63 * MIB);
	later(f, 46 * PAGE_2M_BYTES, WORTH_BYTES);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(waiting(f), 12 * MIB);
	later(f, 47 * PAGE_2M_BYTES, MIB);
	assert_int_equal(release_calls(), 1);
}

static void test_waiting_twice_counts_once(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, 2 * MIB);
	later(f, 0, MIB);
	assert_int_equal(later(f, MIB - PAGE, 2 * PAGE).bytes_absent, PAGE);
	assert_int_equal(later(f, HIGH_GPA + HIGH_BYTES, MIB).bytes_refused, MIB);
	assert_int_equal(release_deferred(f).bytes_released, MIB + PAGE);
	assert_int_equal(inflate_stats(f).bytes_in, 2 * MIB + 2 * PAGE);
	/* One complete block, however often it is named. */
	touch(f, 0, 2 * MIB);
	later(f, 0, 2 * MIB);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(later(f, 0, 2 * MIB).bytes_absent, 2 * MIB);
	assert_int_equal(release_deferred(f).bytes_released, 2 * MIB);
}

static void test_without_huge_pages_nothing_waits(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, 2 * MIB);
	assert_int_equal(later(f, 0, MIB).bytes_released, MIB);
}

static void test_blocks_at_a_border(void **state)
{
	const struct gmem_backing backing = { .thp = true };
	const gpa_t gpa = 8 * GIB + MIB;
	struct fixture *f = *state;

	assert_int_equal(gmem_add_region(f->memory, gpa, 3 * MIB, &backing, NULL), 0);
	touch(f, gpa, 3 * MIB);
	/* Through the border between two regions' blocks, and over both ends. */
	assert_int_equal(later(f, gpa - MIB, 5 * MIB).bytes_refused, 2 * MIB);
	assert_int_equal(release_deferred(f).bytes_released, 3 * MIB);
	assert_int_equal(resident(f, gpa, 3 * MIB), 0);
	assert_int_equal(release_calls(), 1);
	later(f, gpa, MIB);
	assert_int_equal(gmem_remove_region(f->memory, gpa), 0);
	assert_int_equal(release_deferred(f).bytes_released, 0);
}

static void test_reset_forgets_what_waits(void **state)
{
	struct fixture *f = *state;
	struct reclaim_stats stats;

	touch(f, 0, 2 * MIB);
	later(f, 0, MIB);
	assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_RESET), 0);
	touch(f, 0, 2 * MIB);
	/* Nor are its ranges counted with those that come later. */
	later(f, MIB, PAGE);
	assert_int_equal(release_deferred(f).bytes_released, PAGE);
	assert_int_equal(resident(f, 0, 2 * MIB), 2 * MIB - PAGE);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.sources[RECLAIM_INFLATE].ranges_in, 1);
	assert_int_equal(release_deferred(f).bytes_released, 0);
}

/* What was released with everything is not released once more when its owner has it back. */
static void test_release_of_all_leaves_nothing_waiting(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, 2 * MIB);
	later(f, 0, MIB);
	assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_INFLATE), 0);
	touch(f, 0, 2 * MIB);
	assert_int_equal(release_deferred(f).bytes_released, 0);
	assert_int_equal(resident(f, 0, 2 * MIB), 2 * MIB);
}

static void test_inhibit_refuses_what_waits(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, 2 * MIB);
	later(f, 0, MIB);
	reclaim_inhibit(f->reclaim);
	assert_int_equal(later(f, MIB, PAGE).bytes_refused, PAGE);
	assert_int_equal(release_deferred(f).bytes_refused, MIB);
	reclaim_allow(f->reclaim);
	assert_int_equal(release_deferred(f).bytes_released, 0);
	assert_int_equal(resident(f, 0, 2 * MIB), 2 * MIB);
}

/* Random requests, waiting or not, end like a plain model of them. */
static void test_waiting_agrees_with_a_model(void **state)
{
	enum { PAGES = 8192, ROUNDS = 400 };
	struct fixture *f = *state;
	uint8_t *given = calloc(PAGES, 1);
	uint64_t expected = 0, released = 0;
	uint32_t seed = 99;

	touch(f, 0, PAGES * PAGE);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		uint32_t page = (seed = seed * 1664525 + 1013904223) >> 19;
		uint32_t count = 1 + ((seed = seed * 1664525 + 1013904223) >> 24);

		count = page + count > PAGES ? PAGES - page : count;
		released += later(f, page * PAGE, count * PAGE).bytes_released;
		for (uint32_t p = page; p < page + count; p++) {
			expected += !given[p] * PAGE;
			given[p] = 1;
		}
		if (round % 64 == 63)
			released += release_deferred(f).bytes_released;
	}
	released += release_deferred(f).bytes_released;
	assert_int_equal(released, expected);
	for (uint64_t p = 0; p < PAGES; p++)
		assert_int_equal(resident(f, p * PAGE, PAGE), !given[p] * PAGE);
	free(given);
	inflate_stats(f);
}

/* --- taken back --- */

static uint64_t forget(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	struct reclaim_range range = { gpa, size_bytes };

	return reclaim_forget_deferred(f->reclaim, &range, 1);
}

static void test_taken_back_is_not_released(void **state)
{
	struct fixture *f = *state;
	struct reclaim_stats stats;

	touch(f, 0, 8 * MIB);
	later(f, 0, 2 * MIB);
	later(f, 3 * MIB, MIB);
	/* A page that is only touched by the range is taken back whole. */
	assert_int_equal(forget(f, 5 * PAGE + 7, 1), PAGE);
	assert_int_equal(forget(f, 5 * PAGE, PAGE), 0);
	assert_int_equal(forget(f, 3 * MIB - PAGE, 2 * PAGE), PAGE);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.deferred_bytes, 3 * MIB - 2 * PAGE);
	/* No guest memory, no bytes, no end. */
	assert_int_equal(forget(f, 6 * MIB, 0), 0);
	assert_int_equal(forget(f, LOW_BYTES, HIGH_GPA - LOW_BYTES), 0);
	assert_int_equal(forget(f, UINT64_MAX, 1), 0);
	assert_int_equal(forget(f, HIGH_GPA, UINT64_MAX), 0);
	assert_int_equal(release_deferred(f).bytes_released, 3 * MIB - 2 * PAGE);
	assert_int_equal(*span(f, 5 * PAGE, 1), 0x5a);
	assert_int_equal(*span(f, 3 * MIB, 1), 0x5a);
	assert_int_equal(forget(f, 0, UINT64_MAX), 0);
}

static void test_all_taken_back(void **state)
{
	struct fixture *f = *state;

	touch(f, 0, 8 * MIB);
	later(f, 0, 7 * MIB);
	later(f, HIGH_GPA, PAGE);
	assert_int_equal(reclaim_forget_all_deferred(f->reclaim), 7 * MIB + PAGE);
	assert_int_equal(reclaim_forget_all_deferred(f->reclaim), 0);
	assert_int_equal(release_deferred(f).bytes_released, 0);
	assert_int_equal(resident(f, 0, 8 * MIB), 8 * MIB);
	assert_int_equal(inflate_stats(f).requests, 0);
}

/* --- the map alone: blocks that go whole, against a plain model --- */

enum { BLOCKS = 4, PAGES_A_BLOCK = 512, PAGES = BLOCKS * PAGES_A_BLOCK };

struct model {
	uint8_t set[PAGES];
	bool taken[BLOCKS];
	bool seen[BLOCKS]; /* by the take under way */
};

static void see_taken(void *ctx, gpa_t gpa, uint64_t size_bytes)
{
	struct model *model = ctx;

	assert_int_equal(gpa % PAGE_2M_BYTES, 0);
	assert_int_equal(size_bytes % PAGE_2M_BYTES, 0);
	for (size_t i = 0; i < size_bytes / PAGE_2M_BYTES; i++)
		model->seen[(gpa - GIB) / PAGE_2M_BYTES + i] = true;
}

static size_t count_set(const struct model *model, size_t first, size_t count)
{
	size_t set = 0;

	for (size_t page = first; page < first + count; page++)
		set += model->set[page];
	return set;
}

static uint64_t waiting_bytes(const struct model *model)
{
	size_t pages = 0;

	for (size_t block = 0; block < BLOCKS; block++)
		if (!model->taken[block])
			pages += count_set(model, block * PAGES_A_BLOCK, PAGES_A_BLOCK);
	return pages * PAGE;
}

static void check_take(struct reclaim_deferred *deferred, struct model *model)
{
	memset(model->seen, 0, sizeof(model->seen));
	reclaim_deferred_take(deferred, DEFERRED_ALL, see_taken, NULL, model);
	for (size_t block = 0; block < BLOCKS; block++) {
		bool full = count_set(model, block * PAGES_A_BLOCK, PAGES_A_BLOCK) == PAGES_A_BLOCK;

		assert_int_equal(model->seen[block], full && !model->taken[block]);
		model->taken[block] = full;
	}
}

static void test_whole_blocks_agree_with_a_model(void **state)
{
	struct reclaim_deferred deferred;
	struct model model = { 0 };
	uint32_t seed = 7;

	(void)state;
	reclaim_deferred_init(&deferred, GIB, BLOCKS * PAGE_2M_BYTES, PAGE_2M_BYTES, true);
	for (unsigned int round = 0; round < 3000; round++) {
		uint32_t first = (seed = seed * 1664525 + 1013904223) >> 21;
		uint32_t count = 1 + ((seed = seed * 1664525 + 1013904223) >> 22);
		bool adds = round % 7 < 5;
		uint64_t added_bytes;

		count = min_u64(adds ? count : count / 64 + 1, PAGES - first);
		if (adds) {
			uint64_t fresh = count - count_set(&model, first, count);

			assert_int_equal(reclaim_deferred_add(&deferred, GIB + first * PAGE,
			                                      count * PAGE, &added_bytes),
			                 0);
			assert_int_equal(added_bytes, fresh * PAGE);
		} else {
			reclaim_deferred_forget(&deferred, GIB + first * PAGE, count * PAGE);
		}
		memset(&model.set[first], adds, count);
		for (size_t block = 0; block < BLOCKS; block++)
			model.taken[block] &= count_set(&model, block * PAGES_A_BLOCK,
			                                PAGES_A_BLOCK) == PAGES_A_BLOCK;
		assert_int_equal(deferred.bytes, waiting_bytes(&model));
		if (round % 3 == 0)
			check_take(&deferred, &model);
		assert_int_equal(deferred.bytes, waiting_bytes(&model));
	}
	reclaim_deferred_drop(&deferred);
	assert_int_equal(deferred.bytes, 0);
}

static void test_nothing_to_put_off(void **state)
{
	struct reclaim_deferred deferred;
	uint64_t added_bytes;

	(void)state;
	reclaim_deferred_init(&deferred, 0, GIB, 0, false);
	assert_int_equal(reclaim_deferred_add(&deferred, 0, PAGE, &added_bytes), -EOPNOTSUPP);
	assert_int_equal(reclaim_deferred_forget(&deferred, 0, GIB), 0);
	reclaim_deferred_drop(&deferred);
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_THP(name) cmocka_unit_test_setup_teardown(name, set_up_thp, tear_down)
	const struct CMUnitTest tests[] = {
		TEST_THP(test_parts_wait_for_the_rest),
		TEST_THP(test_complete_blocks_go_together),
		TEST_THP(test_no_more_than_so_much_waits),
		TEST_THP(test_parts_split_no_huge_page_for_little),
		TEST_THP(test_unknown_huge_pages_are_not_split),
		TEST_THP(test_the_bound_splits_no_more_than_it_must),
		TEST_THP(test_waiting_twice_counts_once),
		TEST(test_without_huge_pages_nothing_waits),
		TEST_THP(test_blocks_at_a_border),
		TEST_THP(test_reset_forgets_what_waits),
		TEST_THP(test_release_of_all_leaves_nothing_waiting),
		TEST_THP(test_inhibit_refuses_what_waits),
		TEST_THP(test_waiting_agrees_with_a_model),
		TEST_THP(test_taken_back_is_not_released),
		TEST_THP(test_all_taken_back),
		cmocka_unit_test(test_whole_blocks_agree_with_a_model),
		cmocka_unit_test(test_nothing_to_put_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
