/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon's inflate and deflate queues. */
/* fakes: balloon_machine fake_reclaim_host fake_virtio_driver hostile_chains test_driver fake_vm */
/* fakes: fake_pressure */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "balloon_machine.h"
#include "fake_pressure.h"

/* --- inflate and deflate --- */

static void test_inflate_descending(void **state)
{
	struct fixture *f = *state;

	start(f, ALL);
	touch(f, 0, 2 * MIB);
	store_pfns(f, BUFFER_GPA, 255, -1, 256);
	add_pfns(f, INFLATE, BUFFER_GPA, 1024);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
	assert_int_equal(fake_transport.used_notifications[INFLATE], 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, MIB);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).ranges_in, 256);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).ranges_released, 1);
	assert_int_equal(*hva(f, 0), 0);
	assert_int_equal(*hva(f, MIB), 0x5a);
}

static void test_inflate_requests_are_one_batch(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	touch(f, 0, 16 * MIB);
	for (unsigned int i = 0; i < 16; i++) {
		store_pfns(f, BUFFER_GPA + i * 1024, (16 - i) * 256 - 1, -1, 256);
		add_pfns(f, INFLATE, BUFFER_GPA + i * 1024, 1024);
	}
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 16);
	assert_int_equal(fake_transport.used_notifications[INFLATE], 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 16 * MIB);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).requests, 1);
}

static void test_inflate_outside_ram(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	touch(f, 0, PAGE);
	store_pfns(f, BUFFER_GPA, 0, 0, 1);
	store_pfns(f, BUFFER_GPA + 4, (uint32_t)(RAM_BYTES / PAGE), 1, 1);
	store_pfns(f, BUFFER_GPA + 8, UINT32_MAX, 0, 1);
	add_pfns(f, INFLATE, BUFFER_GPA, 12);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, PAGE);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_refused, 2 * PAGE);
}

static void test_inflate_more_than_a_request_may_hold(void **state)
{
	const uint32_t pfns = 20000;
	struct fixture *f = *state;
	struct reclaim_source_stats stats;

	start(f, 0);
	store_pfns(f, BUFFER_GPA, 0, 0, pfns);
	add_pfns(f, INFLATE, BUFFER_GPA, pfns * 4 + 3);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
	stats = stats_of(f, RECLAIM_INFLATE);
	assert_int_equal(stats.bytes_in, pfns * PAGE);
	assert_int_equal(stats.bytes_refused, (pfns - 16384) * PAGE);
}

/* Chains as long as they may be are not all served in one turn, in which nobody else gets his. */
static void test_turns_are_bounded(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	store_pfns(f, BUFFER_GPA, 0, 0, 16384);
	for (unsigned int i = 0; i < 3; i++)
		add_pfns(f, INFLATE, BUFFER_GPA, 16384 * 4);
	fake_driver_kick(&f->driver, INFLATE);
	while (take_all_used(f, INFLATE))
		fake_driver_settle(&f->driver);
	assert_int_equal(f->driver.queues[INFLATE].used_index, 3);
	assert_int_equal(fake_transport.used_notifications[INFLATE], 3);
}

static void test_inflate_empty_and_odd(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 3 };
	struct fixture *f = *state;

	start(f, 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		add_pfns(f, INFLATE, BUFFER_GPA, sizes[i]);
	/* Only writable buffers: nothing to read. */
	fake_driver_add(&f->driver, INFLATE, &(struct fake_driver_buffer){ BUFFER_GPA, 64, true },
	                1);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 4);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).requests, 0);
	assert_true(status(f).driver_ready);
}

static void test_inflate_split_over_buffers(void **state)
{
	struct fixture *f = *state;
	const struct fake_driver_buffer buffers[] = { { BUFFER_GPA, 2, false },
		                                      { BUFFER_GPA + 2, 5, false },
		                                      { BUFFER_GPA + 7, 1, false } };

	start(f, 0);
	touch(f, 0, 8 * PAGE);
	store_pfns(f, BUFFER_GPA, 3, 2, 2);
	fake_driver_add(&f->driver, INFLATE, buffers, 3);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * PAGE);
	assert_int_equal(*hva(f, 3 * PAGE), 0);
	assert_int_equal(*hva(f, 5 * PAGE), 0);
	assert_int_equal(*hva(f, 4 * PAGE), 0x5a);
}

static void test_deflate_releases_nothing(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	touch(f, 0, MIB);
	store_pfns(f, BUFFER_GPA, 0, 1, 256);
	add_pfns(f, DEFLATE, BUFFER_GPA, 1024);
	fake_driver_kick(&f->driver, DEFLATE);
	assert_int_equal(take_all_used(f, DEFLATE), 1);
	assert_int_equal(fake_transport.used_notifications[DEFLATE], 1);
	assert_int_equal(release_calls(), 0);
	assert_int_equal(*hva(f, 0), 0x5a);
}

/* --- putting off --- */

static void inflate_mib(struct fixture *f, unsigned int mib)
{
	store_pfns(f, BUFFER_GPA, (mib + 1) * 256 - 1, -1, 256);
	add_pfns(f, INFLATE, BUFFER_GPA, 1024);
	fake_driver_kick(&f->driver, INFLATE);
	assert_int_equal(take_all_used(f, INFLATE), 1);
}

static void test_inflate_waits_for_whole_blocks(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 32 * MIB);
	for (unsigned int mib = 32; mib-- > 0;)
		inflate_mib(f, mib);
	assert_int_equal(release_calls(), 2);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 32 * MIB);
	assert_int_equal(fake_transport.used_notifications[INFLATE], 32);
}

static void test_deflate_takes_back_what_waits(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 2 * MIB);
	inflate_mib(f, 0);
	assert_int_equal(release_calls(), 0);
	store_pfns(f, BUFFER_GPA, 1, 1, 1);
	add_pfns(f, DEFLATE, BUFFER_GPA, 4);
	fake_driver_kick(&f->driver, DEFLATE);
	assert_int_equal(take_all_used(f, DEFLATE), 1);
	/* The page's release is off, and only its; the rest of its block still waits. */
	assert_int_equal(release_calls(), 0);
	touch(f, PAGE, PAGE);
	inflate_mib(f, 1);
	assert_int_equal(release_calls(), 0);
	fake_driver_reset(&f->driver);
	assert_int_equal(*hva(f, PAGE), 0x5a);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * MIB - PAGE);
}

static void test_rest_is_released_in_time(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 2 * MIB);
	balloon_set_release(f->vm.balloon, &(struct balloon_release){ .hold_ns = 50 * NS_PER_MS });
	inflate_mib(f, 0);
	for (unsigned int tries = 0; tries < 5000; tries++) {
		if (stats_of(f, RECLAIM_INFLATE).bytes_released == MIB)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	}
	fail_msg("it still waits");
}

#define A_WHILE_NS (200 * NS_PER_MS)

static void hold_for_a_while(struct fixture *f)
{
	balloon_set_release(f->vm.balloon, &(struct balloon_release){ .hold_ns = A_WHILE_NS });
	fake_driver_settle(&f->driver);
}

static void wait_for_a_release(struct fixture *f)
{
	for (unsigned int tries = 0; tries < 5000 && !release_calls(); tries++)
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	fake_driver_settle(&f->driver);
}

/* Of 0 to 2 MiB, which is one, and 2 to 4 MiB, which is none, half each. */
static void inflate_half_of_a_huge_page(struct fixture *f)
{
	start(f, TELL);
	touch(f, 0, 4 * MIB);
	fake_reclaim_host.huge_start = hva(f, 0);
	fake_reclaim_host.huge_end = hva(f, 0) + 2 * MIB;
	hold_for_a_while(f);
	inflate_mib(f, 0);
	inflate_mib(f, 2);
}

/* What would split a huge page for half of it stays when its time is up; what splits nothing goes.
 */
static void test_parts_of_huge_pages_wait_on(void **state)
{
	struct fixture *f = *state;

	inflate_half_of_a_huge_page(f);
	wait_for_a_release(f);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, MIB);
	assert_int_equal(*hva(f, 0), 0x5a);
	assert_int_equal(*hva(f, 2 * MIB), 0);
	/* Until it is asked for. */
	hold_for_a_while(f);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * MIB);
}

static void test_pressure_ends_all_waiting(void **state)
{
	struct fixture *f = *state;

	inflate_half_of_a_huge_page(f);
	wait_for_a_release(f);
	assert_int_equal(*hva(f, 0), 0x5a);
	fake_pressure_rise();
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * MIB);
	assert_int_equal(*hva(f, 0), 0);
}

/* A host that never says that it is short would never get them. */
static void test_without_pressure_told_time_ends_all_waiting(void **state)
{
	struct fixture *f = *state;

	fake_pressure.is_not_told = true;
	inflate_half_of_a_huge_page(f);
	wait_for_a_release(f);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * MIB);
	fake_pressure_clear();
}

static void test_page_by_page(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 2 * MIB);
	balloon_set_release(f->vm.balloon, &(struct balloon_release){ .page_by_page = true });
	inflate_mib(f, 0);
	assert_int_equal(release_calls(), 256);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, MIB);
}

static void test_hold_time_is_what_is_set(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 2 * MIB);
	balloon_set_release(f->vm.balloon, &(struct balloon_release){ .hold_ns = 60 * NS_PER_S });
	inflate_mib(f, 0);
	nanosleep(&(struct timespec){ .tv_nsec = 300 * NS_PER_MS }, NULL);
	assert_int_equal(release_calls(), 0);
	/* Setting it anew asks for what waits. */
	balloon_set_release(f->vm.balloon, &(struct balloon_release){ .hold_ns = 0 });
	fake_driver_settle(&f->driver);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, MIB);
}

/* With the time that holds for everyone: blocks that are whole do not wait for it. */
static void test_whole_blocks_do_not_wait_long(void **state)
{
	struct fixture *f = *state;

	start(f, TELL);
	touch(f, 0, 4 * MIB);
	for (unsigned int mib = 3; mib-- > 0;)
		inflate_mib(f, mib);
	assert_int_equal(release_calls(), 0);
	for (unsigned int tries = 0; tries < 5000 && !release_calls(); tries++)
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	fake_driver_settle(&f->driver);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * MIB);
	nanosleep(&(struct timespec){ .tv_nsec = 300 * NS_PER_MS }, NULL);
	assert_int_equal(stats_of(f, RECLAIM_INFLATE).bytes_released, 2 * MIB);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_inflate_descending),
		TEST(test_inflate_requests_are_one_batch),
		TEST(test_inflate_outside_ram),
		TEST(test_inflate_more_than_a_request_may_hold),
		TEST(test_turns_are_bounded),
		TEST(test_inflate_empty_and_odd),
		TEST(test_inflate_split_over_buffers),
		TEST(test_deflate_releases_nothing),
		TEST(test_inflate_waits_for_whole_blocks),
		TEST(test_deflate_takes_back_what_waits),
		TEST(test_rest_is_released_in_time),
		TEST(test_parts_of_huge_pages_wait_on),
		TEST(test_pressure_ends_all_waiting),
		TEST(test_without_pressure_told_time_ends_all_waiting),
		TEST(test_whole_blocks_do_not_wait_long),
		TEST(test_page_by_page),
		TEST(test_hold_time_is_what_is_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
