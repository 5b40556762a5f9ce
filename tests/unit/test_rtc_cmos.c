/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* The real-time clock, with a host clock that the test sets: reading, setting, formats, flags,
 * alarms. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/event_loop.h"
#include "fake_arch.h"
#include "fake_pc.h"

#define GSI 8

#define A_UPDATING 0x80
#define B_SET      0x80
#define B_PERIODIC 0x40
#define B_ALARM    0x20
#define B_UPDATE   0x10
#define B_BINARY   0x04
#define B_24_HOURS 0x02

/* 2026-11-21 (a Saturday) 13:07:58 */
#define HOST_S INT64_C(1795266478)

static _Atomic int64_t host_s, host_ns;

/* The wall clock is the test's; every other clock the host's. */
int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	if (clock != CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, clock, ret_time);
	ret_time->tv_sec = host_s;
	ret_time->tv_nsec = host_ns;
	return 0;
}

static void set_host(int64_t s, int64_t ns)
{
	host_s = s;
	host_ns = ns;
}

static uint8_t get(struct fake_pc *pc, uint8_t reg)
{
	pc_outb(pc, 0x70, reg);
	return pc_inb(pc, 0x71);
}

static void put(struct fake_pc *pc, uint8_t reg, uint8_t value)
{
	pc_outb(pc, 0x70, reg);
	pc_outb(pc, 0x71, value);
}

static int set_up(void **state)
{
	static struct fake_pc pc;

	set_host(HOST_S, 0);
	fake_pc_create(&pc);
	fake_pc_add(&pc, "rtc-cmos");
	*state = &pc;
	return 0;
}

static int tear_down(void **state)
{
	fake_pc_destroy(*state);
	return 0;
}

static void check_date(struct fake_pc *pc, const char *expected)
{
	char text[32];

	snprintf(text, sizeof(text), "%02x%02x-%02x-%02x %02x:%02x:%02x %x", get(pc, 0x32),
	         get(pc, 9), get(pc, 8), get(pc, 7), get(pc, 4), get(pc, 2), get(pc, 0),
	         get(pc, 6));
	assert_string_equal(text, expected);
}

static void test_reads_host_time(void **state)
{
	struct fake_pc *pc = *state;

	check_date(pc, "2026-11-21 13:07:58 7");
	set_host(HOST_S + 2, 999999999);
	check_date(pc, "2026-11-21 13:08:00 7");
	set_host(951825599, 0);
	check_date(pc, "2000-02-29 11:59:59 3");
	assert_int_equal(get(pc, 0x0d), 0x80);
	assert_int_equal(get(pc, 0x0b), B_24_HOURS);
	assert_int_equal(get(pc, 0x0a), 0x26);
	assert_int_equal(get(pc, 0x80 | 2), get(pc, 2)); /* the NMI bit is no part of the index */
}

static void test_update_in_progress(void **state)
{
	struct fake_pc *pc = *state;
	unsigned int updating = 0;

	for (int64_t us = 0; us < 1000000; us += us < 999000 ? 100 : 1) {
		set_host(HOST_S, us * 1000);
		updating += !!(get(pc, 0x0a) & A_UPDATING);
	}
	assert_int_equal(updating, 244);
	set_host(HOST_S, 999900000);
	assert_true(get(pc, 0x0a) & A_UPDATING);
	put(pc, 0x0b, B_SET | B_24_HOURS); /* a stopped clock does not update */
	assert_false(get(pc, 0x0a) & A_UPDATING);
	put(pc, 0x0a, 0xff);
	assert_false(get(pc, 0x0a) & A_UPDATING); /* read-only */
}

static void test_formats(void **state)
{
	struct fake_pc *pc = *state;

	put(pc, 0x0b, B_BINARY | B_24_HOURS);
	assert_int_equal(get(pc, 0), 58);
	assert_int_equal(get(pc, 4), 13);
	assert_int_equal(get(pc, 9), 26);
	put(pc, 0x0b, 0); /* BCD, 12 hours */
	assert_int_equal(get(pc, 4), 0x81);
	set_host(HOST_S - 3600, 0);
	assert_int_equal(get(pc, 4), 0x92); /* 12 pm is noon */
	set_host(HOST_S - 13 * 3600, 0);
	assert_int_equal(get(pc, 4), 0x12); /* 12 am is midnight */
	put(pc, 0x0b, B_BINARY);
	assert_int_equal(get(pc, 4), 12);
}

/* As Linux sets it: stop, reset the divider, write, start both. */
static void test_set_as_linux_does(void **state)
{
	struct fake_pc *pc = *state;

	put(pc, 0x0b, get(pc, 0x0b) | B_SET);
	put(pc, 0x0a, get(pc, 0x0a) | 0x70);
	put(pc, 9, 0x31);
	put(pc, 8, 0x12);
	put(pc, 7, 0x31);
	put(pc, 4, 0x23);
	put(pc, 2, 0x59);
	put(pc, 0, 0x59);
	put(pc, 0x32, 0x20);
	set_host(HOST_S + 5, 250000000);
	check_date(pc, "2031-12-31 23:59:59 7"); /* stopped; the weekday is what it was */
	put(pc, 0x0b, B_24_HOURS);
	check_date(pc, "2031-12-31 23:59:59 7");
	put(pc, 0x0a, 0x26);
	/* The divider starts in the middle of a second: 0.5 s to the next. */
	set_host(HOST_S + 5, 740000000);
	check_date(pc, "2031-12-31 23:59:59 4");
	set_host(HOST_S + 5, 760000000);
	check_date(pc, "2032-01-01 00:00:00 5");
	set_host(HOST_S + 5 + 86400, 760000000);
	check_date(pc, "2032-01-02 00:00:00 6");
}

static void test_set_while_running(void **state)
{
	struct fake_pc *pc = *state;

	set_host(HOST_S, 600000000);
	put(pc, 4, 0x01);
	check_date(pc, "2026-11-21 01:07:58 7");
	set_host(HOST_S, 990000000);
	check_date(pc, "2026-11-21 01:07:58 7"); /* the fraction was kept */
	set_host(HOST_S + 1, 10000000);
	check_date(pc, "2026-11-21 01:07:59 7");
}

static void test_nonsense_is_survived(void **state)
{
	struct fake_pc *pc = *state;

	for (unsigned int value = 0; value < 256; value++) {
		for (unsigned int mode = 0; mode < 8; mode += 2) {
			put(pc, 0x0b, B_SET | mode);
			for (uint8_t reg = 0; reg < 0x0a; reg++)
				put(pc, reg, value);
			put(pc, 0x32, value);
			put(pc, 0x0b, mode);
			for (uint8_t reg = 0; reg < 0x80; reg++)
				get(pc, reg);
		}
	}
	put(pc, 0x0b, B_24_HOURS);
	assert_true(get(pc, 0) <= 0x59);
	assert_true(get(pc, 8) >= 0x01 && get(pc, 8) <= 0x12);
}

static void test_memory_survives_reset(void **state)
{
	struct fake_pc *pc = *state;
	struct device *device = device_find(&pc->vm, "rtc-cmos");

	put(pc, 0x0f, 0xa5);
	put(pc, 0x7f, 0x5a);
	put(pc, 4, 0x02);
	put(pc, 0x0b, B_24_HOURS | B_UPDATE | B_ALARM | B_PERIODIC);
	device->reset(device);
	assert_int_equal(get(pc, 0x0f), 0xa5);
	assert_int_equal(get(pc, 0x7f), 0x5a);
	assert_int_equal(get(pc, 4), 0x02);
	assert_int_equal(get(pc, 0x0b), B_24_HOURS);
	assert_false(fake_arch_level(GSI));
}

static void test_polled_flags(void **state)
{
	struct fake_pc *pc = *state;

	get(pc, 0x0c);
	assert_int_equal(get(pc, 0x0c) & B_UPDATE, 0);
	set_host(HOST_S + 1, 0);
	assert_int_equal(get(pc, 0x0c) & (B_UPDATE | 0x80), B_UPDATE); /* no request: not enabled */
	assert_int_equal(get(pc, 0x0c) & B_UPDATE, 0);
}

static bool wait_for_level(bool level)
{
	int64_t until_ns = monotonic_ns() + 10 * NS_PER_S;

	while (fake_arch_level(GSI) != level) {
		if (monotonic_ns() > until_ns)
			return false;
		usleep(1000);
	}
	return true;
}

static void test_update_interrupt(void **state)
{
	struct fake_pc *pc = *state;

	set_host(HOST_S, 999000000);
	put(pc, 0x0b, B_24_HOURS | B_UPDATE);
	set_host(HOST_S + 1, 1000000);
	assert_true(wait_for_level(true));
	assert_int_equal(get(pc, 0x0c) & (0x80 | B_UPDATE), 0x80 | B_UPDATE);
	assert_false(fake_arch_level(GSI));
	assert_int_equal(get(pc, 0x0c) & 0x80, 0);
}

static void test_alarm(void **state)
{
	struct fake_pc *pc = *state;

	put(pc, 1, 0x00); /* at 13:08:00 */
	put(pc, 3, 0x08);
	put(pc, 5, 0xff); /* of any hour */
	set_host(HOST_S, 999000000);
	put(pc, 0x0b, B_24_HOURS | B_ALARM);
	set_host(HOST_S + 1, 999000000); /* :59 is not it */
	usleep(20000);
	assert_false(fake_arch_level(GSI));
	put(pc, 0x0b, B_24_HOURS | B_ALARM);
	set_host(HOST_S + 2, 1000000);
	assert_true(wait_for_level(true));
	assert_int_equal(get(pc, 0x0c) & (0x80 | B_ALARM), 0x80 | B_ALARM);
	assert_int_equal(get(pc, 5), 0xff); /* an alarm register is no time register */
}

static void test_periodic_interrupt(void **state)
{
	struct fake_pc *pc = *state;

	put(pc, 0x0a, 0x26);
	put(pc, 0x0b, B_24_HOURS | B_PERIODIC);
	for (int i = 0; i < 3; i++) {
		assert_true(wait_for_level(true));
		assert_int_equal(get(pc, 0x0c) & (0x80 | B_PERIODIC), 0x80 | B_PERIODIC);
	}
	put(pc, 0x0a, 0x20); /* no rate */
	get(pc, 0x0c);
	usleep(5000);
	assert_false(fake_arch_level(GSI));
}

static void test_ports(void **state)
{
	struct fake_pc *pc = *state;

	assert_int_equal(pc_inb(pc, 0x70), 0xff);
	pc_outw(pc, 0x70, 0x7742); /* index and data */
	assert_int_equal(get(pc, 0x42), 0x77);
	assert_int_equal(pc_inw(pc, 0x70), 0x77ff);
	put(pc, 0x0c, 0xff);
	put(pc, 0x0d, 0);
	assert_int_equal(get(pc, 0x0d), 0x80);
}

static void test_refused(void **state)
{
	struct fake_pc pc;

	(void)state;
	fake_pc_create(&pc);
	fake_pc_add_refused(&pc, "rtc-cmos", 0x71);
	fake_pc_destroy(&pc);
}

#define on_pc(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_pc(test_reads_host_time),
		on_pc(test_update_in_progress),
		on_pc(test_formats),
		on_pc(test_set_as_linux_does),
		on_pc(test_set_while_running),
		on_pc(test_nonsense_is_survived),
		on_pc(test_memory_survives_reset),
		on_pc(test_polled_flags),
		on_pc(test_update_interrupt),
		on_pc(test_alarm),
		on_pc(test_periodic_interrupt),
		on_pc(test_ports),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
