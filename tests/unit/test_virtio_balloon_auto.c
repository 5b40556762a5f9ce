/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: balloon_machine fake_reclaim_host fake_virtio_driver hostile_chains test_driver fake_vm */
/* Reclaim by itself: when, as a table; and that a device comes and goes with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../devices/virtio/virtio_balloon_auto.h"
#include "balloon_machine.h"

#define S  NS_PER_S
#define MS NS_PER_MS

static void test_policy(void **state)
{
	static const struct {
		const char *what;
		struct auto_view view;
		struct auto_decision expected;
	} rows[] = {
		{ "idle, not for long",
		  { 5 * S, 0, 0, 30 * S, INT64_MAX, false },
		  { 5 * S, false } },
		{ "idle long enough",
		  { 5 * S, 0, 25 * S, 30 * S, INT64_MAX, false },
		  { 30 * S, true } },
		{ "just idle",
		  { 5 * S, 250 * MS, 25 * S, 30 * S, INT64_MAX, false },
		  { 30 * S, true } },
		{ "just not", { 5 * S, 251 * MS, 25 * S, 30 * S, INT64_MAX, false }, { 0, false } },
		{ "busy", { 5 * S, 4 * S, 3000 * S, 30 * S, INT64_MAX, false }, { 0, false } },
		{ "the last run is too near",
		  { 5 * S, 0, 25 * S, 30 * S, 299 * S, false },
		  { 30 * S, false } },
		{ "far enough",
		  { 5 * S, 0, 2500 * S, 30 * S, 300 * S, false },
		  { 2505 * S, true } },
		{ "one goes", { 5 * S, 0, 2500 * S, 30 * S, INT64_MAX, true }, { 0, false } },
		{ "a late look", { 60 * S, 1 * S, 0, 30 * S, INT64_MAX, false }, { 60 * S, true } },
		{ "no time at all", { 0, 0, 60 * S, 30 * S, INT64_MAX, false }, { 0, false } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct auto_decision decision = auto_decide(&rows[i].view);

		if (decision.start != rows[i].expected.start ||
		    decision.idle_ns != rows[i].expected.idle_ns)
			fail_msg("%s: start %d, idle %lld ms", rows[i].what, decision.start,
			         (long long)(decision.idle_ns / MS));
	}
}

static void test_worth(void **state)
{
	(void)state;
	assert_true(auto_is_worth_it(164 * MIB, 100 * MIB));
	assert_false(auto_is_worth_it(163 * MIB, 100 * MIB));
	assert_false(auto_is_worth_it(0, 100 * MIB));
	assert_true(auto_is_worth_it(64 * MIB, 0));
}

static void test_comes_and_goes_with_the_driver(void **state)
{
	struct fixture *f = *state;

	f->config.property_count = 2;
	f->config.properties[0] = (struct device_property){ "auto", { .number = 1 } };
	f->config.properties[1] = (struct device_property){ "auto-idle", { .number = 5 } };
	for (int i = 0; i < 3; i++) {
		struct balloon_run_status run;

		start(f, TELL | FEATURE(STATS_VQ));
		balloon_run_query(f->vm.balloon, &run);
		assert_int_equal(run.serial, 0);
		fake_driver_reset(&f->driver);
	}
	start(f, TELL | FEATURE(STATS_VQ));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_worth),
		TEST(test_comes_and_goes_with_the_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
