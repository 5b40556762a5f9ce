/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest-requested reset by "via=1" the keyboard controller, 2 port 0xcf9, 3 ACPI's reset
 * register: the second boot finds devices and memory as after power-on. A byte of CMOS memory,
 * which survives, tells the boots apart.
 */
#include "acpi.h"
#include "aftermath.h"
#include "command_line.h"
#include "io.h"
#include "memory.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define CMOS_INDEX      0x70
#define CMOS_DATA       0x71
#define CMOS_BOOT_COUNT 0x51

#define VIA_KEYBOARD 1
#define VIA_CF9      2
#define VIA_ACPI     3

static uint8_t boot_count(void)
{
	out8(CMOS_INDEX, CMOS_BOOT_COUNT);
	return in8(CMOS_DATA);
}

static void set_boot_count(uint8_t count)
{
	out8(CMOS_INDEX, CMOS_BOOT_COUNT);
	out8(CMOS_DATA, count);
}

static void request_reset(unsigned int via)
{
	const struct acpi_fadt *fadt = acpi_find("FACP");

	if (via == VIA_KEYBOARD) {
		out8(0x64, 0xfe);
	} else if (via == VIA_CF9) {
		out8(0xcf9, 0x02);
		out8(0xcf9, 0x06);
	} else if (via == VIA_ACPI && fadt && fadt->reset_register.space == ACPI_SPACE_IO) {
		out8((uint16_t)fadt->reset_register.gpa, fadt->reset_value);
	}
	delay_us(1000000);
}

void test_main(void)
{
	unsigned int via = (unsigned int)option_u64("via", VIA_KEYBOARD);
	uint64_t marker_gpa = memory_reserve(AFTERMATH_BYTES, 2u << 20);
	uint8_t boots = boot_count();

	if (boots == 0x5a) {
		set_boot_count(0);
		print("second boot\n");
		aftermath_check(marker_gpa, option_present("lenient"));
		return;
	}
	set_boot_count(0x5a);
	if (!CHECK("CMOS memory holds the mark", boot_count() == 0x5a))
		return;
	aftermath_make(marker_gpa);
	irq_enable();
	print("asking for a reset\n");
	request_reset(via);
	report_fail("reset", "the machine goes on");
}
