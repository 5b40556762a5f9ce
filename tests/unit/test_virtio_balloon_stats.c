/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon's statistics. */
/* fakes: balloon_machine fake_reclaim_host fake_virtio_driver hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <time.h>

#include "balloon_machine.h"

/* --- statistics --- */

static void add_stats(struct fixture *f, gpa_t at, uint64_t value, unsigned int tags,
                      uint32_t extra)
{
	for (unsigned int i = 0; i < tags; i++) {
		store_le16(hva(f, at + i * 10), (uint16_t)i);
		store_le64(hva(f, at + i * 10 + 2), value + i);
	}
	add_pfns(f, STATS, at, tags * 10 + extra);
}

static void test_stats_tags(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(STATS_VQ));
	assert_true(status(f).stats[0] == UINT64_MAX);
	assert_int_equal(status(f).stats_updated_ns, 0);
	add_stats(f, BUFFER_GPA, 1000, 10, 7); /* 10 tags and an odd end */
	fake_driver_kick(&f->driver, STATS);
	for (unsigned int tag = 0; tag < 10; tag++)
		assert_int_equal(status(f).stats[tag], 1000 + tag);
	assert_true(status(f).stats[10] == UINT64_MAX);
	assert_true(status(f).stats_updated_ns > 0);
	/* A newer message with 16 tags and 200 that nobody knows returns the older one. */
	add_stats(f, BUFFER_GPA + PAGE, 2000, 216, 0);
	fake_driver_kick(&f->driver, STATS);
	for (unsigned int tag = 0; tag < 16; tag++)
		assert_int_equal(status(f).stats[tag], 2000 + tag);
	assert_int_equal(take_all_used(f, STATS), 1);
	/* What a message leaves out is not told. */
	add_stats(f, BUFFER_GPA, 3000, 1, 0);
	fake_driver_kick(&f->driver, STATS);
	assert_true(status(f).stats[1] == UINT64_MAX);
}

static void wait_for_used(struct fixture *f)
{
	uint32_t head, size_bytes;

	for (unsigned int tries = 0; tries < 2000; tries++) {
		if (fake_driver_take_used(&f->driver, STATS, &head, &size_bytes))
			return;
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	}
	fail_msg("statistics were not asked for");
}

static void test_stats_interval(void **state)
{
	struct error err = ERROR_INIT;
	struct fixture *f = *state;

	create(f);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 1, &err), -ENOTSUP);
	start(f, FEATURE(STATS_VQ));
	add_stats(f, BUFFER_GPA, 0, 1, 0);
	fake_driver_kick(&f->driver, STATS);
	assert_int_equal(take_all_used(f, STATS), 0);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 1, &err), 0);
	wait_for_used(f);
	assert_int_equal(status(f).stats_interval_s, 1);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 0, &err), 0);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, UINT64_MAX, &err), -EINVAL);
	/* With no chain in hand the timer has nothing to do. */
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 3600, &err), 0);
	fake_driver_settle(&f->driver);
	fake_driver_reset(&f->driver);
	start(f, 0);
	assert_int_equal(balloon_set_stats_interval(f->vm.balloon, 1, &err), -ENOTSUP);
}

static void test_stats_interval_from_the_start(void **state)
{
	struct fixture *f = *state;

	f->config.property_count = 1;
	f->config.properties[0] = (struct device_property){ "stats-interval", { .number = 1 } };
	start(f, FEATURE(STATS_VQ));
	add_stats(f, BUFFER_GPA, 0, 1, 0);
	fake_driver_kick(&f->driver, STATS);
	wait_for_used(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_stats_tags),
		TEST(test_stats_interval),
		TEST(test_stats_interval_from_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
