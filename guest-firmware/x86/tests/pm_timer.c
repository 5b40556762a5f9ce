/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI PM timer: 3.579545 MHz, never back (ACPI 6.5, section 4.8.3.3). */
#include "acpi.h"
#include "io.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define PM_TIMER_HZ 3579545u
#define MEASURE_NS  20000000

/* The timer and the clock just before and behind its reading, however far these are apart. */
struct reading {
	uint64_t before_ns, after_ns;
	uint32_t ticks;
};

static struct reading read_timer(uint16_t port)
{
	struct reading reading = { .before_ns = clock_ns() };

	reading.ticks = in32(port);
	reading.after_ns = clock_ns();
	return reading;
}

static uint64_t ticks_in(uint64_t ns)
{
	return ns * PM_TIMER_HZ / 1000000000u;
}

void test_main(void)
{
	const struct acpi_fadt *fadt = acpi_find("FACP");
	uint32_t mask, before, ticks, backwards = 0;
	struct reading start, now;
	uint64_t least_ns, most_ns;
	uint16_t port;

	if (!fadt || !fadt->pm_timer) {
		report_fail("PM timer", "not in the FADT");
		return;
	}
	mask = fadt->flags & ACPI_FADT_TIMER_32BIT ? 0xffffffff : 0x00ffffff;
	port = (uint16_t)fadt->pm_timer;
	clock_ns(); /* the first time this takes some ms */
	start = read_timer(port);
	before = start.ticks;
	do {
		now = read_timer(port);
		backwards += ((now.ticks - before) & mask) > mask / 2;
		before = now.ticks;
	} while (now.before_ns - start.after_ns < MEASURE_NS);
	ticks = (now.ticks - start.ticks) & mask;
	least_ns = now.before_ns - start.after_ns;
	most_ns = now.after_ns - start.before_ns;
	CHECK("it counts", ticks > 0);
	CHECK_EQUAL("it never goes back", backwards, 0);
	CHECK("bits above its width are 0", !(now.ticks & ~mask));
	/* two clocks side by side: within a quarter, between the bounds that hold however busy the
	 * machine is */
	CHECK("its rate",
	      ticks + 2 >= ticks_in(least_ns) * 3 / 4 && ticks <= ticks_in(most_ns) * 5 / 4 + 2);
	print("%u ticks in %lu to %lu us\n", ticks, least_ns / 1000, most_ns / 1000);
}
