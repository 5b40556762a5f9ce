/* SPDX-License-Identifier: Apache-2.0 */
/* The CMOS clock (MC146818): a sane date, that advances, without an update that never ends; and its
 * memory. */
#include "acpi.h"
#include "io.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71

#define REG_SECONDS 0
#define REG_MINUTES 2
#define REG_HOURS   4
#define REG_DAY     7
#define REG_MONTH   8
#define REG_YEAR    9
#define REG_A       0x0a
#define REG_B       0x0b
#define REG_D       0x0d
#define REG_SCRATCH 0x50

#define A_UPDATING 0x80
#define B_BINARY   0x04
#define B_24_HOURS 0x02
#define D_VALID    0x80

static uint8_t cmos_read(uint8_t reg)
{
	out8(CMOS_INDEX, reg);
	return in8(CMOS_DATA);
}

static void cmos_write(uint8_t reg, uint8_t value)
{
	out8(CMOS_INDEX, reg);
	out8(CMOS_DATA, value);
}

static unsigned int cmos_number(uint8_t reg)
{
	uint8_t value = cmos_read(reg);

	return cmos_read(REG_B) & B_BINARY ? value : (value >> 4) * 10u + (value & 15);
}

static bool wait_update_over(void)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;

	while (cmos_read(REG_A) & A_UPDATING)
		if (clock_ns() > end)
			return false;
	return true;
}

void test_main(void)
{
	const struct acpi_fadt *fadt = acpi_find("FACP");
	unsigned int seconds, year;
	uint64_t end;

	CHECK("clock is valid", cmos_read(REG_D) & D_VALID);
	CHECK("24 hours", cmos_read(REG_B) & B_24_HOURS);
	CHECK("update ends", wait_update_over());
	year = cmos_number(REG_YEAR);
	if (fadt && fadt->century)
		year += 100 * cmos_number(fadt->century);
	CHECK("year", year % 100 >= 24 && (year < 100 || (year >= 2024 && year < 2100)));
	CHECK("month", cmos_number(REG_MONTH) >= 1 && cmos_number(REG_MONTH) <= 12);
	CHECK("day", cmos_number(REG_DAY) >= 1 && cmos_number(REG_DAY) <= 31);
	CHECK("time of day", cmos_number(REG_HOURS) < 24 && cmos_number(REG_MINUTES) < 60);
	print("%u-%02u-%02u %02u:%02u\n", year, cmos_number(REG_MONTH), cmos_number(REG_DAY),
	      cmos_number(REG_HOURS), cmos_number(REG_MINUTES));

	seconds = cmos_number(REG_SECONDS);
	CHECK("seconds", seconds < 60);
	end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	while (cmos_number(REG_SECONDS) == seconds && clock_ns() < end)
		delay_us(1000);
	CHECK("seconds advance", cmos_number(REG_SECONDS) != seconds && wait_update_over());

	seconds = cmos_read(REG_SCRATCH);
	cmos_write(REG_SCRATCH, (uint8_t)(seconds ^ 0xff));
	CHECK_EQUAL("CMOS memory holds a byte", cmos_read(REG_SCRATCH), seconds ^ 0xff);
	cmos_write(REG_SCRATCH, (uint8_t)seconds);
}
