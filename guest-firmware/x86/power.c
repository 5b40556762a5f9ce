/* SPDX-License-Identifier: Apache-2.0 */
/* Power-off by ACPI S5 (ACPI 6.5, section 4.8.3.2). */
#include "acpi.h"
#include "io.h"
#include "platform.h"

#define PM1_SLEEP_ENABLE     0x2000
#define PM1_SLEEP_TYPE_SHIFT 10

void platform_power_off(void)
{
	const struct acpi_fadt *fadt = acpi_find("FACP");
	int type = acpi_s5_sleep_type();

	if (!fadt || type < 0)
		return;
	if (fadt->smi_command_port && fadt->acpi_enable)
		out8((uint16_t)fadt->smi_command_port, fadt->acpi_enable);
	out16((uint16_t)fadt->pm1a_control,
	      (uint16_t)(type << PM1_SLEEP_TYPE_SHIFT | PM1_SLEEP_ENABLE));
	delay_us(100000);
}
