/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon's free page reporting, and poison. */
/* fakes: balloon_machine fake_reclaim_host fake_refill_host fake_virtio_driver */
/* fakes: hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ebb/log.h"

#include "../../src/reclaim_refill.h"
#include "balloon_machine.h"
#include "fake_refill_host.h"

static int begin(void **state)
{
	fake_refill_host_reset();
	return set_up(state);
}

/* --- reporting and poison --- */

static void test_report_is_one_call(void **state)
{
	struct fake_driver_buffer buffers[32];
	struct fixture *f = *state;

	start(f, FEATURE(REPORTING));
	touch(f, 0, 56 * MIB);
	for (unsigned int i = 0; i < 13; i++)
		buffers[i] =
			(struct fake_driver_buffer){ i * 2 * PAGE_2M_BYTES, PAGE_2M_BYTES, true };
	fake_driver_add(&f->driver, 2, buffers, 13);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(take_all_used(f, 2), 1);
	assert_int_equal(fake_transport.used_notifications[2], 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, 26 * MIB);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).ranges_in, 13);
	for (unsigned int i = 0; i < 13; i++) {
		assert_int_equal(*hva(f, i * 2 * PAGE_2M_BYTES), 0);
		assert_int_equal(*hva(f, (i * 2 + 1) * PAGE_2M_BYTES), 0x5a);
	}
}

static void test_reports_of_single_buffers_are_one_batch(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(REPORTING));
	touch(f, 0, 32 * MIB);
	for (unsigned int i = 0; i < 16; i++)
		fake_driver_add(
			&f->driver, 2,
			&(struct fake_driver_buffer){ i * PAGE_2M_BYTES, PAGE_2M_BYTES, true }, 1);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(take_all_used(f, 2), 16);
	assert_int_equal(fake_transport.used_notifications[2], 1);
	assert_int_equal(release_calls(), 1);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, 32 * MIB);
}

/* A driver's own memory of requests must not be released behind its back. */
static void test_readable_buffers_are_no_reports(void **state)
{
	struct fixture *f = *state;
	const struct fake_driver_buffer buffers[] = { { 0, MIB, false }, { 2 * MIB, MIB, true } };

	start(f, FEATURE(REPORTING));
	touch(f, 0, 4 * MIB);
	fake_driver_add(&f->driver, 2, buffers, 2);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(*hva(f, 0), 0x5a);
	assert_int_equal(*hva(f, 2 * MIB), 0);
}

/* A host that has no userfaultfd for its user. */
static void take_privilege(void)
{
	fake_refill_host.errors[FAKE_OPEN_DEVICE] = -EACCES;
	fake_refill_host.errors[FAKE_OPEN_SYSCALL] = -EPERM;
}

/* A block of 0x5a is reported; what it reads as says whether it was released. */
static void report_with_poison(struct fixture *f, uint64_t features, uint32_t poison, uint8_t after)
{
	struct reclaim_source_stats before = { 0 };

	if (f->device)
		before = stats_of(f, RECLAIM_REPORT);
	else
		create(f);
	write_config(f, CONFIG(poison_val), poison);
	start(f, FEATURE(REPORTING) | features);
	touch(f, 2 * MIB, 2 * MIB);
	fake_driver_add(&f->driver, 2, &(struct fake_driver_buffer){ 2 * MIB, 2 * MIB, true }, 1);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(take_all_used(f, 2), 1);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_refused - before.bytes_refused,
	                 after == 0x5a ? 2 * MIB : 0);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released - before.bytes_released,
	                 after == 0x5a ? 0 : 2 * MIB);
	for (uint64_t offset = 0; offset < 2 * MIB; offset += PAGE)
		assert_int_equal(*hva(f, 2 * MIB + offset), after);
}

static bool refills(void)
{
	struct refill *refill;

	if (refill_create(&refill, NULL))
		return false;
	refill_destroy(refill);
	return true;
}

static void test_poison_is_refilled(void **state)
{
	if (!refills())
		skip();
	report_with_poison(*state, FEATURE(PAGE_POISON), 0xaaaaaaaa, 0xaa);
}

static void test_poison_keeps_reports(void **state)
{
	take_privilege();
	report_with_poison(*state, FEATURE(PAGE_POISON), 0xaaaaaaaa, 0x5a);
	/* Another driver is another question. */
	fake_driver_reset(&((struct fixture *)*state)->driver);
	report_with_poison(*state, 0, 0, 0);
}

static void test_poison_of_zero_releases(void **state)
{
	report_with_poison(*state, FEATURE(PAGE_POISON), 0, 0);
	assert_int_equal(fake_refill_host.all_calls, 0);
}

static void test_poison_not_negotiated_releases(void **state)
{
	report_with_poison(*state, 0, 0xaaaaaaaa, 0);
	assert_int_equal(fake_refill_host.all_calls, 0);
}

static void test_poison_ends_with_the_driver(void **state)
{
	struct fixture *f = *state;

	take_privilege();
	report_with_poison(f, FEATURE(PAGE_POISON), 0xaaaaaaaa, 0x5a);
	assert_int_equal(status(f).poison_value, 0xaaaaaaaa);
	fake_driver_reset(&f->driver);
	assert_int_equal(status(f).poison_value, 0);
}

/* It must not; what it then finds is right all the same. */
static void test_poison_changes_under_way(void **state)
{
	struct fixture *f = *state;

	if (!refills())
		skip();
	report_with_poison(f, FEATURE(PAGE_POISON), 0x11111111, 0x11);
	write_config(f, CONFIG(poison_val), 0x22222222);
	touch(f, 4 * MIB, 2 * MIB);
	fake_driver_add(&f->driver, 2, &(struct fake_driver_buffer){ 4 * MIB, 2 * MIB, true }, 1);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(*hva(f, 4 * MIB), 0x22);
	assert_int_equal(*hva(f, 2 * MIB), 0x11);
}

/* However often a driver comes and goes. */
static void test_poison_does_not_flood_the_log(void **state)
{
	struct fixture *f = *state;
	unsigned int lines = 0, drivers = 50;
	char text[16384];
	ssize_t got;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(log_create(fds[1], LOG_WARN, &f->vm.log), 0);
	take_privilege();
	create(f);
	for (unsigned int i = 0; i < drivers; i++) {
		write_config(f, CONFIG(poison_val), 0xaaaaaaaa);
		start(f, FEATURE(REPORTING) | FEATURE(PAGE_POISON));
		fake_driver_add(&f->driver, 2, &(struct fake_driver_buffer){ 2 * MIB, PAGE, true },
		                1);
		fake_driver_kick(&f->driver, 2);
		fake_driver_reset(&f->driver);
	}
	got = read(fds[0], text, sizeof(text) - 1);
	text[got < 0 ? 0 : got] = '\0';
	assert_non_null(strstr(text, "0xaaaaaaaa"));
	assert_non_null(strstr(text, "vm.unprivileged_userfaultfd=1"));
	for (ssize_t i = 0; i < got; i++)
		lines += text[i] == '\n';
	assert_true(lines > 0 && lines < drivers / 2);
	log_destroy(f->vm.log);
	f->vm.log = NULL;
	close(fds[0]);
	close(fds[1]);
}

/* --- what the user says --- */

/* Reports count ranges of size_bytes from 0 up, in one request. */
static void report(struct fixture *f, unsigned int count, uint32_t size_bytes)
{
	struct fake_driver_buffer buffers[16];

	for (unsigned int i = 0; i < count; i++)
		buffers[i] = (struct fake_driver_buffer){ i * 2 * PAGE_2M_BYTES, size_bytes, true };
	fake_driver_add(&f->driver, 2, buffers, count);
	fake_driver_kick(&f->driver, 2);
	assert_int_equal(take_all_used(f, 2), 1); /* always acknowledged */
}

static void set_reporting(struct fixture *f, bool paused, uint64_t min_range, uint64_t rate)
{
	balloon_set_reporting(f->vm.balloon,
	                      &(struct balloon_reporting){ paused, min_range, rate });
}

static uint64_t paused_bytes(struct fixture *f)
{
	return stats_of(f, RECLAIM_REPORT).refused[RECLAIM_REFUSED_PAUSED];
}

static void test_paused(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(REPORTING));
	touch(f, 0, 8 * MIB);
	set_reporting(f, true, 0, 0);
	report(f, 2, PAGE_2M_BYTES);
	assert_int_equal(release_calls(), 0);
	assert_int_equal(paused_bytes(f), 4 * MIB);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_in, 4 * MIB);
	assert_int_equal(*hva(f, 0), 0x5a);
	set_reporting(f, false, 0, 0);
	report(f, 2, PAGE_2M_BYTES);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, 4 * MIB);
	assert_int_equal(paused_bytes(f), 4 * MIB);
	assert_int_equal(*hva(f, 0), 0);
}

static void test_least_range(void **state)
{
	struct fixture *f = *state;

	start(f, FEATURE(REPORTING));
	touch(f, 0, 8 * MIB);
	set_reporting(f, false, 2 * MIB, 0);
	report(f, 2, PAGE_2M_BYTES - PAGE);
	assert_int_equal(release_calls(), 0);
	assert_int_equal(paused_bytes(f), 4 * MIB - 2 * PAGE);
	report(f, 2, PAGE_2M_BYTES);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, 4 * MIB);
}

static void test_rate(void **state)
{
	struct reclaim_source_stats stats;
	struct fixture *f = *state;

	start(f, FEATURE(REPORTING));
	touch(f, 0, 48 * MIB);
	/* The bucket is full at first: 4 MiB, so two blocks, and the third finds it empty. */
	set_reporting(f, false, 0, 4 * MIB);
	report(f, 4, PAGE_2M_BYTES);
	stats = stats_of(f, RECLAIM_REPORT);
	assert_true(stats.bytes_released >= 4 * MIB && stats.bytes_released <= 6 * MIB);
	assert_int_equal(stats.bytes_in, 8 * MIB);
	assert_int_equal(stats.bytes_released + paused_bytes(f), 8 * MIB);
	/* It fills: after a while the next is released. */
	for (unsigned int tries = 0; tries < 5000; tries++) {
		report(f, 1, PAGE_2M_BYTES);
		if (stats_of(f, RECLAIM_REPORT).bytes_released +
		            stats_of(f, RECLAIM_REPORT).bytes_absent >
		    stats.bytes_released)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
	}
	fail_msg("it never fills");
}

/* Numbers of any size are limits as well. */
static void test_rates_without_measure(void **state)
{
	static const uint64_t rates[] = { 1, UINT64_MAX, INT64_MAX, UINT64_C(1) << 60 };
	struct fixture *f = *state;

	start(f, FEATURE(REPORTING));
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		set_reporting(f, false, 0, rates[i]);
		report(f, 16, PAGE_2M_BYTES);
	}
	/* At a byte a second one range went, and paid for the days to come. */
	set_reporting(f, false, 0, 0);
	report(f, 16, PAGE_2M_BYTES);
	assert_true(paused_bytes(f) >= 15 * PAGE_2M_BYTES);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_in, 5 * 16 * PAGE_2M_BYTES);
}

static void test_lazy(void **state)
{
	struct fixture *f = *state;

	f->config.property_count = 1;
	f->config.properties[0] = (struct device_property){ "lazy", { .number = 1 } };
	start(f, FEATURE(REPORTING));
	touch(f, 0, 4 * MIB);
	report(f, 2, PAGE_2M_BYTES);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_released, 0);
	assert_int_equal(stats_of(f, RECLAIM_REPORT).bytes_lazy, 2 * MIB);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_report_is_one_call),
		TEST(test_reports_of_single_buffers_are_one_batch),
		TEST(test_readable_buffers_are_no_reports),
		TEST(test_poison_is_refilled),
		TEST(test_poison_keeps_reports),
		TEST(test_poison_of_zero_releases),
		TEST(test_poison_not_negotiated_releases),
		TEST(test_poison_ends_with_the_driver),
		TEST(test_poison_changes_under_way),
		TEST(test_poison_does_not_flood_the_log),
		TEST(test_paused),
		TEST(test_least_range),
		TEST(test_rate),
		TEST(test_rates_without_measure),
		TEST(test_lazy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
