/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on every backing: the call that frees there, in whole pages of the backing; hostile
 * ranges; and hosts whose calls fail. Huge pages are small ones in disguise, watched for parts. */
/* fakes: fake_reclaim_host fake_guest_memory_backing reclaim_fixture */
#include "reclaim_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_reclaim_host.h"

static const struct gmem_backing small = { .kind = GMEM_ANON };
static const struct gmem_backing thp = { .kind = GMEM_ANON, .thp = true };
static const struct gmem_backing memfd = { .kind = GMEM_MEMFD, .thp = true };
static const struct gmem_backing file = { .kind = GMEM_FILE, .path = "ram" };
static const struct gmem_backing huge = { .kind = GMEM_HUGETLB, .page_bytes = PAGE_2M_BYTES };
static const struct gmem_backing *const backings[] = { &small, &thp, &memfd, &file, &huge };

static struct fixture *on(const struct gmem_backing *backing)
{
	void *state;

	assert_int_equal(set_up_with(&state, backing), 0);
	fake_reclaim_host.page_bytes = backing->page_bytes;
	return state;
}

static void off(struct fixture *f)
{
	void *state = f;

	assert_int_equal(fake_reclaim_host.misaligned, 0);
	tear_down(&state);
}

static struct reclaim_source_stats stats_of(struct fixture *f, enum reclaim_source source)
{
	struct reclaim_stats stats;

	reclaim_query(f->reclaim, &stats);
	assert_adds_up(&stats.sources[source]);
	return stats.sources[source];
}

static uint64_t deferred_bytes(struct fixture *f)
{
	struct reclaim_stats stats;

	reclaim_query(f->reclaim, &stats);
	return stats.deferred_bytes;
}

static void test_the_call_that_frees(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(backings); i++) {
		struct fixture *f = on(backings[i]);
		bool anon = backings[i]->kind == GMEM_ANON;
		struct reclaim_range ranges[] = { { 4 * MIB, 2 * MIB }, { 8 * MIB, 4 * MIB } };

		touch(f, 0, 16 * MIB);
		assert_int_equal(release(f, ranges, 2).bytes_released, 6 * MIB);
		assert_int_equal(release_range(f, 0, 2 * MIB).bytes_released, 2 * MIB);
		assert_int_equal(fake_reclaim_host.advice_calls[RECLAIM_HOST_DONTNEED],
		                 anon ? 2 : 0);
		assert_int_equal(fake_reclaim_host.advice_calls[RECLAIM_HOST_REMOVE], anon ? 0 : 2);
		assert_int_equal(resident(f, 0, 16 * MIB), 8 * MIB);
		assert_int_equal(*span(f, 4 * MIB, 1), 0);
		assert_int_equal(*span(f, 2 * MIB, 1), 0x5a);
		assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_RESET), 0);
		assert_int_equal(reclaim_resident_bytes(f->reclaim), 0);
		off(f);
	}
}

/* What is in shared memory without being mapped goes too, though nothing is seen of it. */
static void test_shared_memory_may_hide_something(void **state)
{
	struct fixture *f = on(&memfd);
	struct gmem_region region;
	uint8_t byte = 1;

	(void)state;
	gmem_list_regions(f->memory, &region, 1);
	assert_int_equal(pwrite(region.fd, &byte, 1, 5 * MIB), 1);
	assert_int_equal(release_range(f, 4 * MIB, 2 * MIB).bytes_absent, 2 * MIB);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(*span(f, 5 * MIB, 1), 0);
	off(f);
}

static void test_parts_of_huge_pages_are_refused(void **state)
{
	struct fixture *f = on(&huge);
	struct reclaim_outcome outcome;

	(void)state;
	touch(f, 0, 8 * MIB);
	outcome = release_range(f, MIB, MIB);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_UNALIGNED], MIB);
	outcome = release_range(f, MIB, 6 * MIB);
	assert_int_equal(outcome.bytes_released, 4 * MIB);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_UNALIGNED], 2 * MIB);
	assert_int_equal(resident(f, 0, 8 * MIB), 4 * MIB);
	off(f);
}

/* By 4 KiB in any order, in as many requests as it takes. */
static void test_huge_pages_become_whole(void **state)
{
	struct fixture *f = on(&huge);
	uint64_t released = 0;

	(void)state;
	touch(f, 0, 4 * MIB);
	for (uint64_t i = 0; i < 1023; i++)
		released += later(f, (i * 757 & 1023) * PAGE, PAGE).bytes_released;
	released += release_deferred(f).bytes_released;
	/* All but one page: one block is whole. */
	assert_int_equal(released, 2 * MIB);
	assert_int_equal(deferred_bytes(f), 2 * MIB - PAGE);
	assert_int_equal(release_deferred(f).bytes_released, 0);
	later(f, (1023 * 757 & 1023) * PAGE, PAGE);
	assert_int_equal(release_deferred(f).bytes_released, 2 * MIB);
	assert_int_equal(deferred_bytes(f), 0);
	assert_int_equal(resident(f, 0, 4 * MIB), 0);
	off(f);
}

static void test_pages_of_a_gib(void **state)
{
	const struct gmem_backing gib = { .kind = GMEM_HUGETLB, .page_bytes = PAGE_1G_BYTES };
	struct guest_memory *memory;
	struct reclaim *reclaim;
	struct fixture f;

	(void)state;
	fake_reclaim_host_reset();
	fake_reclaim_host.page_bytes = PAGE_1G_BYTES;
	assert_int_equal(guest_memory_create(&memory, NULL), 0);
	assert_int_equal(gmem_add_region(memory, 0, 2 * GIB, &gib, NULL), 0);
	assert_int_equal(reclaim_create(memory, &reclaim, NULL), 0);
	f = (struct fixture){ memory, reclaim };
	touch(&f, 0, 8 * PAGE);
	touch(&f, GIB + 5 * MIB, 4 * PAGE);
	for (uint64_t mib = 0; mib < 1024; mib++)
		assert_int_equal(later(&f, (1023 - mib) * MIB, MIB).bytes_released,
		                 mib == 1023 ? 8 * PAGE : 0);
	assert_int_equal(release_range(&f, GIB, GIB - PAGE).refused[RECLAIM_REFUSED_UNALIGNED],
	                 GIB - PAGE);
	assert_int_equal(release_range(&f, GIB, GIB).bytes_released, 4 * PAGE);
	assert_int_equal(fake_reclaim_host.misaligned, 0);
	reclaim_destroy(reclaim);
	guest_memory_destroy(memory);
}

static void test_locked_memory_stays(void **state)
{
	const struct gmem_backing locked = { .lock = true };
	struct fixture *f = on(&locked);

	(void)state;
	touch(f, 0, 4 * MIB);
	assert_int_equal(release_range(f, 0, 2 * MIB).refused[RECLAIM_REFUSED_LOCKED], 2 * MIB);
	assert_int_equal(later(f, 0, MIB).refused[RECLAIM_REFUSED_LOCKED], MIB);
	assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_RESET), 0);
	assert_int_equal(resident(f, 0, 4 * MIB), 4 * MIB);
	assert_int_equal(release_calls(), 0);
	assert_int_equal(stats_of(f, RECLAIM_RESET).refused[RECLAIM_REFUSED_LOCKED],
	                 LOW_BYTES + HIGH_BYTES);
	off(f);
}

static void test_inhibited_by_reason(void **state)
{
	struct fixture *f = on(&thp);

	(void)state;
	reclaim_inhibit(f->reclaim);
	assert_int_equal(release_range(f, 0, MIB).refused[RECLAIM_REFUSED_INHIBITED], MIB);
	reclaim_allow(f->reclaim);
	off(f);
}

static void test_lazy(void **state)
{
	struct reclaim_range ranges[] = { { 4 * MIB, 2 * MIB }, { 8 * MIB, 2 * MIB } };
	struct fixture *f = on(&thp);
	struct reclaim_stats stats;

	(void)state;
	assert_int_equal(reclaim_set_lazy(f->reclaim, true, NULL), 0);
	touch(f, 0, 8 * MIB);
	assert_int_equal(release(f, ranges, 2).bytes_lazy, 2 * MIB);
	assert_int_equal(later(f, 0, 2 * MIB).bytes_lazy, 0);
	assert_int_equal(release_deferred(f).bytes_lazy, 2 * MIB);
	assert_int_equal(fake_reclaim_host.advice_calls[RECLAIM_HOST_FREE], 2);
	assert_int_equal(fake_reclaim_host.advice_calls[RECLAIM_HOST_DONTNEED], 0);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, 0);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_lazy, 2 * MIB);
	/* It never went, so it does not come back. */
	touch(f, 0, 8 * MIB);
	reclaim_query(f->reclaim, &stats);
	assert_int_equal(stats.refault_bytes, 0);
	/* A reset machine has no use for it. */
	assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_RESET), 0);
	assert_int_equal(stats_of(f, RECLAIM_RESET).bytes_released, 8 * MIB);
	assert_int_equal(reclaim_set_lazy(f->reclaim, false, NULL), 0);
	touch(f, 0, 2 * MIB);
	assert_int_equal(release_range(f, 0, 2 * MIB).bytes_released, 2 * MIB);
	off(f);
}

static void test_lazy_goes_with_anonymous_memory(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = on(&memfd);

	(void)state;
	assert_int_equal(reclaim_set_lazy(f->reclaim, true, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.message, "backing=anon"));
	assert_int_equal(reclaim_set_lazy(f->reclaim, false, &err), 0);
	touch(f, 0, 2 * MIB);
	assert_int_equal(release_range(f, 0, 2 * MIB).bytes_released, 2 * MIB);
	off(f);
}

/* --- hostile ranges --- */

static const struct hostile {
	struct reclaim_range ranges[3]; /* a size of 0 ends them */
	uint64_t freed_bytes;           /* of small pages; of huge ones: */
	uint64_t huge_freed_bytes;
} hostile[] = {
	{ { { LOW_BYTES - 2 * MIB, 64 * GIB } }, 10 * MIB, 10 * MIB },
	{ { { LOW_BYTES - MIB, 2 * MIB } }, MIB, 0 },
	{ { { HIGH_GPA + HIGH_BYTES - 2 * MIB, UINT64_MAX } }, 2 * MIB, 2 * MIB },
	{ { { LOW_BYTES, HIGH_GPA - LOW_BYTES } }, 0, 0 },
	{ { { 0, 4 * MIB }, { 2 * MIB, 4 * MIB }, { 1 * MIB, 4 * MIB } }, 6 * MIB, 6 * MIB },
	{ { { 2 * MIB, 2 * MIB }, { 2 * MIB, 2 * MIB }, { 2 * MIB, 2 * MIB } }, 2 * MIB, 2 * MIB },
	{ { { MIB, 2 * MIB }, { 5 * MIB, 2 * MIB } }, 4 * MIB, 0 },
	{ { { MIB + 1, 6 * MIB } }, 6 * MIB - PAGE, 4 * MIB },
	{ { { PAGE - 1, PAGE + 1 } }, PAGE, 0 },
	{ { { 2 * MIB, 2 * MIB - 1 } }, 2 * MIB - PAGE, 0 },
	{ { { UINT64_MAX - PAGE, PAGE }, { UINT64_MAX, UINT64_MAX } }, 0, 0 },
	{ { { 0, UINT64_MAX } }, 20 * MIB, 20 * MIB },
};

/* What is there before: at the borders of both regions. */
static const struct reclaim_range populated[] = {
	{ 0, 8 * MIB },
	{ LOW_BYTES - 4 * MIB, 4 * MIB },
	{ HIGH_GPA, 4 * MIB },
	{ HIGH_GPA + HIGH_BYTES - 4 * MIB, 4 * MIB },
};

static uint64_t populated_bytes(struct fixture *f)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < ARRAY_SIZE(populated); i++)
		bytes += resident(f, populated[i].gpa, populated[i].size_bytes);
	return bytes;
}

/* Returns what the kernel says is gone. */
static uint64_t release_hostile(struct fixture *f, const struct hostile *row, bool may_wait)
{
	struct reclaim_range ranges[3];
	struct reclaim_outcome outcome;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(populated); i++)
		touch(f, populated[i].gpa, populated[i].size_bytes);
	assert_int_equal(populated_bytes(f), 20 * MIB);
	memcpy(ranges, row->ranges, sizeof(ranges));
	while (count < 3 && ranges[count].size_bytes)
		count++;
	if (may_wait) {
		assert_int_equal(
			reclaim_release_later(f->reclaim, RECLAIM_INFLATE, ranges, count, &outcome),
			0);
		release_deferred(f);
	} else {
		assert_int_equal(
			reclaim_release(f->reclaim, RECLAIM_INFLATE, ranges, count, &outcome), 0);
	}
	return 20 * MIB - populated_bytes(f);
}

static void test_hostile_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(backings); i++) {
		for (size_t j = 0; j < 2 * ARRAY_SIZE(hostile); j++) {
			const struct hostile *row = &hostile[j / 2];
			struct fixture *f = on(backings[i]);
			uint64_t freed = release_hostile(f, row, j & 1);
			struct reclaim_source_stats stats = stats_of(f, RECLAIM_INFLATE);

			assert_int_equal(freed, backings[i]->page_bytes ? row->huge_freed_bytes
			                                                : row->freed_bytes);
			assert_int_equal(stats.bytes_released, freed);
			assert_int_equal(stats.errors, 0);
			off(f);
		}
	}
}

/* --- hosts that fail --- */

static const int errors[] = { EINVAL, EAGAIN, ENOMEM, EPERM };

/* Six pieces apart from each other. What the host says of them is what the account says. */
static void release_under_fire(struct fixture *f)
{
	struct reclaim_range ranges[6];
	struct reclaim_outcome outcome;
	uint64_t before, after;
	int r;

	for (size_t i = 0; i < 48; i += 2)
		touch(f, i * MIB, PAGE);
	for (size_t i = 0; i < 6; i++)
		ranges[i] = (struct reclaim_range){ i * 8 * MIB, (i % 3 + 1) * 2 * MIB };
	before = resident(f, 0, 48 * MIB);
	r = reclaim_release(f->reclaim, RECLAIM_REPORT, ranges, 6, &outcome);
	after = resident(f, 0, 48 * MIB);
	assert_true(before > after || outcome.bytes_refused);
	assert_int_equal(outcome.bytes_released, before - after);
	assert_int_equal(outcome.bytes_released + outcome.bytes_absent + outcome.bytes_refused,
	                 24 * MIB);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_HOST], outcome.bytes_refused);
	assert_int_equal(r<0, outcome.bytes_refused> 0);
	stats_of(f, RECLAIM_REPORT);
}

static void fail_calls(unsigned int from, unsigned int count, int error, bool halfway)
{
	fake_reclaim_host.fail_from = fake_reclaim_host.release_calls + from;
	fake_reclaim_host.fail_count = count;
	fake_reclaim_host.fail_errno = error;
	fake_reclaim_host.fail_halfway = halfway;
}

static void test_each_call_fails_in_turn(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(backings) * ARRAY_SIZE(errors) * 2; i++) {
		struct fixture *f = on(backings[i / 2 / ARRAY_SIZE(errors)]);
		int error = errors[i / 2 % ARRAY_SIZE(errors)];

		fake_reclaim_host.no_vector = i & 1;
		for (unsigned int from = 0; from < (i & 1 ? 7 : 3); from++) {
			/* One call; it and the one that tries again; all of them. */
			fail_calls(from, 1, error, false);
			release_under_fire(f);
			fail_calls(from, 3, error, false);
			release_under_fire(f);
			fail_calls(from, 100, error, true);
			release_under_fire(f);
			fail_calls(0, 0, 0, false);
			release_under_fire(f);
			assert_int_equal(resident(f, 0, 2 * MIB), 0);
		}
		off(f);
	}
}

static void test_the_rest_of_the_batch_goes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(backings); i++) {
		struct fixture *f = on(backings[i]);
		struct reclaim_source_stats stats;

		fake_reclaim_host.bad_hva = span(f, 16 * MIB + PAGE, 1);
		release_under_fire(f);
		stats = stats_of(f, RECLAIM_REPORT);
		assert_int_equal(stats.refused[RECLAIM_REFUSED_HOST], 6 * MIB);
		assert_int_equal(stats.bytes_released + stats.bytes_absent, 18 * MIB);
		assert_int_equal(resident(f, 0, 2 * MIB) + resident(f, 40 * MIB, 6 * MIB), 0);
		assert_int_equal(stats.errors, 1);
		fake_reclaim_host.bad_hva = NULL;
		release_under_fire(f);
		off(f);
	}
}

/* A busy host is asked once more. */
static void test_busy_for_a_moment(void **state)
{
	struct fixture *f = on(&thp);

	(void)state;
	touch(f, 0, 2 * MIB);
	fail_calls(0, 1, EAGAIN, false);
	assert_int_equal(release_range(f, 0, 2 * MIB).bytes_released, 2 * MIB);
	assert_int_equal(release_calls(), 2);
	off(f);
}

static void test_short_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(backings) * 5; i++) {
		struct fixture *f = on(backings[i / 5]);

		fake_reclaim_host.vector_cut = 1 + i % 5;
		release_under_fire(f);
		assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_refused, 0);
		off(f);
	}
}

/* Half of a piece went before its call failed. */
static void test_halfway(void **state)
{
	struct reclaim_range range = { 0, 4 * MIB };
	struct fixture *f = on(&memfd);
	struct reclaim_outcome outcome;

	(void)state;
	touch(f, 0, 4 * MIB);
	fail_calls(0, 1, ENOMEM, true);
	assert_int_equal(reclaim_release(f->reclaim, RECLAIM_REPORT, &range, 1, &outcome), -ENOMEM);
	assert_int_equal(outcome.bytes_released, 2 * MIB);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_HOST], 2 * MIB);
	off(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_call_that_frees),
		cmocka_unit_test(test_shared_memory_may_hide_something),
		cmocka_unit_test(test_parts_of_huge_pages_are_refused),
		cmocka_unit_test(test_huge_pages_become_whole),
		cmocka_unit_test(test_pages_of_a_gib),
		cmocka_unit_test(test_locked_memory_stays),
		cmocka_unit_test(test_inhibited_by_reason),
		cmocka_unit_test(test_lazy),
		cmocka_unit_test(test_lazy_goes_with_anonymous_memory),
		cmocka_unit_test(test_hostile_ranges),
		cmocka_unit_test(test_each_call_fails_in_turn),
		cmocka_unit_test(test_the_rest_of_the_batch_goes),
		cmocka_unit_test(test_busy_for_a_moment),
		cmocka_unit_test(test_short_counts),
		cmocka_unit_test(test_halfway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
