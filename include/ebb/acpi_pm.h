/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register block of devices/acpi_pm.c, for it and for the FADT and DSDT that describe it (ACPI
 * 6.5, 4.8.3). Offsets are from the block's base port; the device publishes base, size and SCI as
 * its resources.
 */
#ifndef EBB_ACPI_PM_H
#define EBB_ACPI_PM_H

#define ACPI_PM_BLOCK_BYTES 16

#define ACPI_PM1_EVENT_OFFSET   0  /* PM1a_EVT_BLK: status (2), enable (2); length 4 */
#define ACPI_PM1_CONTROL_OFFSET 4  /* PM1a_CNT_BLK; length 2 */
#define ACPI_PM_TIMER_OFFSET    8  /* PM_TMR_BLK; length 4, 32 bits valid (TMR_VAL_EXT) */
#define ACPI_PM_RESET_OFFSET    12 /* RESET_REG, 1 byte */

#define ACPI_PM_RESET_VALUE 1 /* RESET_VALUE */
#define ACPI_PM_SLP_TYP_S5  5 /* \_S5 of the DSDT */

#define ACPI_PM_TIMER_HZ 3579545

#endif
