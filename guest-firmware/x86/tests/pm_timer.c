/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI PM timer: 3.579545 MHz, never back (ACPI 6.5, section 4.8.3.3). */
#include "acpi.h"
#include "io.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define PM_TIMER_HZ 3579545u

void test_main(void)
{
	const struct acpi_fadt *fadt = acpi_find("FACP");
	uint32_t mask, start, now, before, ticks, backwards = 0;
	uint64_t start_ns, passed_ns;

	if (!fadt || !fadt->pm_timer) {
		report_fail("PM timer", "not in the FADT");
		return;
	}
	mask = fadt->flags & ACPI_FADT_TIMER_32BIT ? 0xffffffff : 0x00ffffff;
	start_ns = clock_ns(); /* the first time this takes some ms */
	start = before = in32((uint16_t)fadt->pm_timer);
	start_ns = clock_ns();
	do {
		now = in32((uint16_t)fadt->pm_timer);
		backwards += ((now - before) & mask) > mask / 2;
		before = now;
	} while (clock_ns() - start_ns < 20000000);
	passed_ns = clock_ns() - start_ns;
	ticks = (now - start) & mask;
	CHECK("it counts", ticks > 0);
	CHECK_EQUAL("it never goes back", backwards, 0);
	CHECK("bits above its width are 0", !(now & ~mask));
	/* two clocks side by side: within a quarter, however busy the machine is */
	CHECK("its rate", ticks * 1000000000ull / PM_TIMER_HZ > passed_ns * 3 / 4 &&
	                          ticks * 1000000000ull / PM_TIMER_HZ < passed_ns * 5 / 4);
	print("%u ticks in %lu us\n", ticks, passed_ns / 1000);
}
