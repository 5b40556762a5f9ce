/* SPDX-License-Identifier: Apache-2.0 */
/* rtc-cmos: the PC's real-time clock, an MC146818, with its 128 bytes of memory. */
/*
 * DOC: The clock
 *
 * Guest time is the host's UTC plus an offset that the guest sets by writing the clock. It runs
 * unless SET (register B) or a divider reset (register A) stops it; the registers are computed
 * from it when they are read, and it from them when a stopped clock starts: after SET at the
 * start of a second, after a divider reset in the middle of one, as on the chip. What the guest
 * writes is taken as it is and brought into range.
 *
 *	                     UIP, 244 us
 *	second n ............|#######|second n + 1 ............|#######|
 *	                             ^ registers step, UF, alarm
 *
 * Update and alarm flags come from a timer at each second's start that runs only while one of
 * their interrupts is enabled; polled, the update and periodic flags are worked out when register
 * C is read. The periodic interrupt keeps to 1024 Hz: the faster rates come at that pace.
 *
 * Memory and time survive a reset of the guest; interrupt enables and flags do not (the chip's
 * RESET pin). Year 2000 and later by the century byte 0x32 (the FADT names it).
 *
 * Threads: registers on vCPU threads, timers on the main loop; one lock.
 *
 * Motorola MC146818A data sheet.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ebb/bus.h"
#include "ebb/event_loop.h"
#include "ebb/irq.h"
#include "ebb/vm.h"

#include "device_table.h"

#define RTC_PORT  0x70
#define RTC_BYTES 2

enum rtc_register {
	RTC_SECONDS,
	RTC_SECONDS_ALARM,
	RTC_MINUTES,
	RTC_MINUTES_ALARM,
	RTC_HOURS,
	RTC_HOURS_ALARM,
	RTC_WEEKDAY,
	RTC_DAY,
	RTC_MONTH,
	RTC_YEAR,
	RTC_A,
	RTC_B,
	RTC_C,
	RTC_D,
	RTC_CENTURY = 0x32,
	RTC_REGISTER_COUNT = 0x80,
};

#define A_UPDATE_IN_PROGRESS 0x80
#define A_DIVIDER_RESET      0x60 /* both bits */
#define A_RATE               0x0f
#define A_POWER_ON           0x26 /* 32.768 kHz, 1024 Hz */

#define B_SET         0x80
#define B_PERIODIC    0x40 /* the three enables have the places of their flags in C */
#define B_ALARM       0x20
#define B_UPDATE      0x10
#define B_SQUARE_WAVE 0x08
#define B_BINARY      0x04
#define B_24_HOURS    0x02
#define B_INTERRUPTS  (B_PERIODIC | B_ALARM | B_UPDATE)
#define C_REQUEST     0x80
#define D_VALID       0x80
#define HOURS_PM      0x80
#define ALARM_ANY     0xc0 /* both bits: this field matches always */

#define UPDATE_WINDOW_NS (244 * NS_PER_US)
#define PERIOD_MIN_NS    976563
#define HALF_SECOND_NS   (NS_PER_S / 2)
#define DIVIDER_HZ       32768

struct rtc_time {
	int64_t s; /* since 1970 */
	int64_t ns;
};

struct rtc {
	struct device device;
	bool on_bus;
	struct irq_line *line;
	struct event_timer *second_timer, *periodic_timer;
	pthread_mutex_t lock;
	/* Under lock. Guest-controlled: */
	uint8_t index; /* below RTC_REGISTER_COUNT */
	uint8_t cmos[RTC_REGISTER_COUNT];
	struct rtc_time offset; /* guest time less host time; ns from 0 */
	/* Ours: */
	int64_t update_seen_s;    /* guest second that UF was last worked out for */
	int64_t periodic_seen_ns; /* monotonic, the same for PF */
};

/* --- time --- */

static struct rtc_time time_sum(struct rtc_time a, struct rtc_time b)
{
	struct rtc_time sum = { a.s + b.s, a.ns + b.ns };

	if (sum.ns >= NS_PER_S) {
		sum.s++;
		sum.ns -= NS_PER_S;
	}
	return sum;
}

static struct rtc_time time_difference(struct rtc_time a, struct rtc_time b)
{
	struct rtc_time difference = { a.s - b.s, a.ns - b.ns };

	if (difference.ns < 0) {
		difference.s--;
		difference.ns += NS_PER_S;
	}
	return difference;
}

static struct rtc_time host_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (struct rtc_time){ now.tv_sec, now.tv_nsec };
}

static struct rtc_time guest_time(const struct rtc *rtc)
{
	return time_sum(host_time(), rtc->offset);
}

static bool is_stopped(const struct rtc *rtc)
{
	return rtc->cmos[RTC_B] & B_SET || (rtc->cmos[RTC_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static bool is_time_register(unsigned int reg)
{
	switch (reg) {
	case RTC_SECONDS:
	case RTC_MINUTES:
	case RTC_HOURS:
	case RTC_WEEKDAY:
	case RTC_DAY:
	case RTC_MONTH:
	case RTC_YEAR:
	case RTC_CENTURY:
		return true;
	default:
		return false;
	}
}

/* --- registers as numbers --- */

static uint8_t encode(const struct rtc *rtc, int value)
{
	value = (value % 100 + 100) % 100;
	return rtc->cmos[RTC_B] & B_BINARY ? value : value / 10 << 4 | value % 10;
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->cmos[RTC_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 0x0f);
}

static uint8_t encode_hours(const struct rtc *rtc, int hours)
{
	if (rtc->cmos[RTC_B] & B_24_HOURS)
		return encode(rtc, hours);
	return encode(rtc, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? HOURS_PM : 0);
}

static int decode_hours(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[RTC_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & ~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

/*
 * The calendar, by hand: the C library's reads the host's time zone from a file first. Years count
 * from March here, so that the day that some have more is their last: 365 days, one more each 4th
 * year, none each 100th, one each 400th; months of 153 days in five, from March on.
 */
#define DAY_S         (INT64_C(24) * 60 * 60)
#define DAYS_TO_EPOCH 719468 /* from 0000-03-01 to 1970-01-01, a Thursday */
#define ERA_DAYS      146097 /* 400 years */

static int64_t floor_div(int64_t value, int64_t by)
{
	return value / by - (value % by < 0);
}

/* The years that end at the latest this many days into an era of 400. */
static int64_t whole_years(int64_t era_day)
{
	return (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
}

static void split_time(int64_t seconds, struct tm *tm)
{
	const int64_t unix_day = floor_div(seconds, DAY_S);
	const int64_t day = unix_day + DAYS_TO_EPOCH;
	const int64_t era = floor_div(day, ERA_DAYS), era_day = day - era * ERA_DAYS;
	const int64_t year = whole_years(era_day), second = seconds - unix_day * DAY_S;
	const int64_t year_day = era_day - (365 * year + year / 4 - year / 100);
	const int64_t month = (5 * year_day + 2) / 153; /* 0: March */

	*tm = (struct tm){
		.tm_sec = (int)(second % 60),
		.tm_min = (int)(second / 60 % 60),
		.tm_hour = (int)(second / 3600),
		.tm_wday = (int)(unix_day + 4 - floor_div(unix_day + 4, 7) * 7),
		.tm_mday = (int)(year_day - (153 * month + 2) / 5 + 1),
		.tm_mon = (int)(month < 10 ? month + 2 : month - 10),
		.tm_year = (int)(era * 400 + year + (month >= 10) - 1900),
	};
}

static int64_t join_time(const struct tm *tm)
{
	const int64_t months = tm->tm_year * INT64_C(12) + 1900 * 12 + tm->tm_mon - 2;
	const int64_t year = floor_div(months, 12), month = months - year * 12;
	const int64_t era = floor_div(year, 400), era_year = year - era * 400;
	const int64_t day = era * ERA_DAYS + era_year * 365 + era_year / 4 - era_year / 100 +
	                    (153 * month + 2) / 5 + tm->tm_mday - 1 - DAYS_TO_EPOCH;

	return ((day * 24 + tm->tm_hour) * 60 + tm->tm_min) * 60 + tm->tm_sec;
}

static void registers_from_time(struct rtc *rtc, int64_t seconds)
{
	struct tm tm;

	split_time(seconds, &tm);
	rtc->cmos[RTC_SECONDS] = encode(rtc, tm.tm_sec);
	rtc->cmos[RTC_MINUTES] = encode(rtc, tm.tm_min);
	rtc->cmos[RTC_HOURS] = encode_hours(rtc, tm.tm_hour);
	rtc->cmos[RTC_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->cmos[RTC_DAY] = encode(rtc, tm.tm_mday);
	rtc->cmos[RTC_MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->cmos[RTC_YEAR] = encode(rtc, tm.tm_year);
	rtc->cmos[RTC_CENTURY] = encode(rtc, (tm.tm_year + 1900) / 100);
}

/* Any bytes at all: the fields are small, and what is out of range is carried. */
static int64_t time_from_registers(const struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->cmos[RTC_SECONDS]),
		.tm_min = decode(rtc, rtc->cmos[RTC_MINUTES]),
		.tm_hour = decode_hours(rtc, rtc->cmos[RTC_HOURS]),
		.tm_mday = decode(rtc, rtc->cmos[RTC_DAY]),
		.tm_mon = decode(rtc, rtc->cmos[RTC_MONTH]) - 1,
		.tm_year = decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 +
		           decode(rtc, rtc->cmos[RTC_YEAR]) - 1900,
	};

	return join_time(&tm);
}

static void refresh_registers(struct rtc *rtc)
{
	if (!is_stopped(rtc))
		registers_from_time(rtc, guest_time(rtc).s);
}

/* The clock's time is now what the registers say and ns. */
static void set_time(struct rtc *rtc, int64_t ns)
{
	struct rtc_time time = { time_from_registers(rtc), ns };

	rtc->offset = time_difference(time, host_time());
	rtc->update_seen_s = time.s;
}

/* --- interrupts --- */

static void raise_flags(struct rtc *rtc, uint8_t flags)
{
	rtc->cmos[RTC_C] |= flags;
	if (rtc->cmos[RTC_C] & rtc->cmos[RTC_B] & B_INTERRUPTS)
		rtc->cmos[RTC_C] |= C_REQUEST;
	else
		rtc->cmos[RTC_C] &= ~C_REQUEST;
	irq_line_set(rtc->line, rtc->cmos[RTC_C] & C_REQUEST);
}

/* 0: the rate is "none". */
static int64_t period_ns(const struct rtc *rtc)
{
	unsigned int rate = rtc->cmos[RTC_A] & A_RATE;

	if (!rate)
		return 0;
	if (rate < 3) /* data sheet, table 5: 256 and 128 Hz */
		rate += 7;
	return (INT64_C(1) << (rate - 1)) * NS_PER_S / DIVIDER_HZ;
}

static void arm_second_timer(struct rtc *rtc)
{
	if (rtc->cmos[RTC_B] & (B_ALARM | B_UPDATE) && !is_stopped(rtc))
		event_timer_set(rtc->second_timer, NS_PER_S - guest_time(rtc).ns, 0);
	else
		event_timer_cancel(rtc->second_timer);
}

static void arm_periodic_timer(struct rtc *rtc)
{
	int64_t period = period_ns(rtc);

	if (period && period < PERIOD_MIN_NS)
		period = PERIOD_MIN_NS;
	if (period && rtc->cmos[RTC_B] & B_PERIODIC)
		event_timer_set(rtc->periodic_timer, period, period);
	else
		event_timer_cancel(rtc->periodic_timer);
}

static bool alarm_field_matches(int field, int alarm, uint8_t alarm_byte)
{
	return (alarm_byte & ALARM_ANY) == ALARM_ANY || field == alarm;
}

static bool alarm_matches(struct rtc *rtc)
{
	const uint8_t *cmos = rtc->cmos;

	return alarm_field_matches(decode(rtc, cmos[RTC_SECONDS]),
	                           decode(rtc, cmos[RTC_SECONDS_ALARM]), cmos[RTC_SECONDS_ALARM]) &&
	       alarm_field_matches(decode(rtc, cmos[RTC_MINUTES]),
	                           decode(rtc, cmos[RTC_MINUTES_ALARM]), cmos[RTC_MINUTES_ALARM]) &&
	       alarm_field_matches(decode_hours(rtc, cmos[RTC_HOURS]),
	                           decode_hours(rtc, cmos[RTC_HOURS_ALARM]), cmos[RTC_HOURS_ALARM]);
}

static void on_second(void *ctx)
{
	struct rtc *rtc = ctx;
	struct rtc_time now;

	pthread_mutex_lock(&rtc->lock);
	now = guest_time(rtc);
	if (!is_stopped(rtc) && now.s != rtc->update_seen_s) {
		registers_from_time(rtc, now.s);
		rtc->update_seen_s = now.s;
		raise_flags(rtc, B_UPDATE | (alarm_matches(rtc) ? B_ALARM : 0));
	}
	arm_second_timer(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static void on_period(void *ctx)
{
	struct rtc *rtc = ctx;

	pthread_mutex_lock(&rtc->lock);
	/* A period that ended while the guest was switching it off is no longer told. */
	if (rtc->cmos[RTC_B] & B_PERIODIC && period_ns(rtc))
		raise_flags(rtc, B_PERIODIC);
	pthread_mutex_unlock(&rtc->lock);
}

/* --- register accesses; under the lock --- */

static uint8_t read_a(struct rtc *rtc)
{
	bool updating = !is_stopped(rtc) && guest_time(rtc).ns >= NS_PER_S - UPDATE_WINDOW_NS;

	return rtc->cmos[RTC_A] | (updating ? A_UPDATE_IN_PROGRESS : 0);
}

/* The flags since the last reading, those that nobody waits for among them; reading clears all. */
static uint8_t read_c(struct rtc *rtc)
{
	int64_t second = guest_time(rtc).s, now_ns = monotonic_ns(), period = period_ns(rtc);
	uint8_t flags = rtc->cmos[RTC_C];

	if (!is_stopped(rtc) && second != rtc->update_seen_s)
		flags |= B_UPDATE;
	if (period && now_ns - rtc->periodic_seen_ns >= period)
		flags |= B_PERIODIC;
	/* A second that an enabled interrupt still has to tell of is on_second's. */
	if (!(rtc->cmos[RTC_B] & (B_ALARM | B_UPDATE)))
		rtc->update_seen_s = second;
	rtc->periodic_seen_ns = now_ns;
	rtc->cmos[RTC_C] = 0;
	raise_flags(rtc, 0);
	return flags;
}

static uint8_t read_register(struct rtc *rtc, unsigned int reg)
{
	if (is_time_register(reg))
		refresh_registers(rtc);
	switch (reg) {
	case RTC_A:
		return read_a(rtc);
	case RTC_C:
		return read_c(rtc);
	case RTC_D:
		return D_VALID;
	default:
		return rtc->cmos[reg];
	}
}

/* A or B: what starts and stops the clock. */
static void write_control(struct rtc *rtc, unsigned int reg, uint8_t value)
{
	bool was_stopped = is_stopped(rtc);

	if (!was_stopped)
		refresh_registers(rtc);
	if (reg == RTC_A)
		value &= ~A_UPDATE_IN_PROGRESS;
	else if (value & B_SET)
		value &= ~B_UPDATE;
	rtc->cmos[reg] = value;
	if (was_stopped && !is_stopped(rtc))
		set_time(rtc, reg == RTC_A ? HALF_SECOND_NS : 0);
	if (reg == RTC_B)
		raise_flags(rtc, 0);
	arm_second_timer(rtc);
	arm_periodic_timer(rtc);
}

static void write_register(struct rtc *rtc, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case RTC_A:
	case RTC_B:
		write_control(rtc, reg, value);
		return;
	case RTC_C:
	case RTC_D:
		return;
	default:
		break;
	}
	if (!is_time_register(reg) || is_stopped(rtc)) {
		rtc->cmos[reg] = value;
		return;
	}
	refresh_registers(rtc);
	rtc->cmos[reg] = value;
	set_time(rtc, guest_time(rtc).ns);
}

static void rtc_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct rtc *rtc = ctx;
	uint8_t *bytes = data;

	memset(bytes, 0xff, size_bytes); /* the index is write-only */
	if (offset + size_bytes < RTC_BYTES)
		return;
	pthread_mutex_lock(&rtc->lock);
	bytes[size_bytes - 1] = read_register(rtc, rtc->index);
	pthread_mutex_unlock(&rtc->lock);
}

static void rtc_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct rtc *rtc = ctx;
	const uint8_t *bytes = data;

	pthread_mutex_lock(&rtc->lock);
	for (unsigned int i = 0; i < size_bytes; i++) {
		if (offset + i == 0) /* bit 7 masks the NMI, of which there is none */
			rtc->index = bytes[i] % RTC_REGISTER_COUNT;
		else
			write_register(rtc, rtc->index, bytes[i]);
	}
	pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_ops = { .read = rtc_read, .write = rtc_write };

/* --- life --- */

static void rtc_reset(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);

	pthread_mutex_lock(&rtc->lock);
	rtc->index = 0;
	rtc->cmos[RTC_C] = 0;
	write_control(rtc, RTC_B, rtc->cmos[RTC_B] & ~(B_INTERRUPTS | B_SQUARE_WAVE));
	pthread_mutex_unlock(&rtc->lock);
}

static void rtc_destroy(struct device *device)
{
	struct rtc *rtc;

	if (!device)
		return;
	rtc = container_of(device, struct rtc, device);
	if (rtc->on_bus)
		bus_remove(device->vm->pio, RTC_PORT);
	event_timer_destroy(rtc->second_timer);
	event_timer_destroy(rtc->periodic_timer);
	irq_line_destroy(rtc->line);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

static int rtc_connect(struct rtc *rtc, unsigned int gsi, struct error *err)
{
	struct vm *vm = rtc->device.vm;
	int rc = irq_line_create(vm->irq, gsi, &rtc->line);

	if (rc < 0)
		return error_set_errno(err, rc, "interrupt line %u", gsi);
	rc = event_timer_create(vm->main_loop, on_second, rtc, &rtc->second_timer);
	if (!rc)
		rc = event_timer_create(vm->main_loop, on_period, rtc, &rtc->periodic_timer);
	if (rc < 0)
		return error_set_errno(err, rc, "timer");
	rc = bus_add(vm->pio, RTC_PORT, RTC_BYTES, &rtc_ops, rtc, rtc->device.id);
	if (rc < 0)
		return error_set_errno(err, rc, "port 0x%x", RTC_PORT);
	rtc->on_bus = true;
	return 0;
}

static int rtc_create(struct vm *vm, const struct device_config *config, struct device **ret_device,
                      struct error *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	unsigned int gsi = device_config_number(config, "gsi");
	int rc;

	if (!rtc)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&rtc->device, vm, config);
	rtc->device.reset = rtc_reset;
	rtc->cmos[RTC_A] = A_POWER_ON;
	rtc->cmos[RTC_B] = B_24_HOURS;
	rtc->update_seen_s = guest_time(rtc).s;
	rtc->periodic_seen_ns = monotonic_ns();
	pthread_mutex_init(&rtc->lock, NULL);
	rc = rtc_connect(rtc, gsi, err);
	if (rc < 0) {
		rtc_destroy(&rtc->device);
		return rc;
	}
	device_add_resource(&rtc->device, DEVICE_RESOURCE_PIO, RTC_PORT, RTC_BYTES);
	device_add_resource(&rtc->device, DEVICE_RESOURCE_GSI, gsi, 1);
	*ret_device = &rtc->device;
	return 0;
}

static const struct device_option rtc_options[] = {
	{ .key = "gsi", .type = DEVICE_OPTION_UINT, .default_value = 8 },
};

const struct device_class rtc_cmos_class = {
	.name = "rtc-cmos",
	.help = "MC146818 real-time clock and its memory",
	.options = rtc_options,
	.option_count = ARRAY_SIZE(rtc_options),
	.create = rtc_create,
	.destroy = rtc_destroy,
};
