/* SPDX-License-Identifier: Apache-2.0 */
/* Finding ACPI tables, and the fields of them that firmware needs (ACPI 6.5, chapter 5). */
#ifndef FIRMWARE_ACPI_H
#define FIRMWARE_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct acpi_header {
	char signature[4];
	uint32_t length_bytes;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision, creator_id, creator_revision;
} __attribute__((packed));

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_gpa;
	/* revision 2 */
	uint32_t length_bytes;
	uint64_t xsdt_gpa;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

/* Generic address structure. */
struct acpi_gas {
	uint8_t space, bit_width, bit_offset, access_size;
	uint64_t gpa;
} __attribute__((packed));

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs_gpa, dsdt_gpa;
	uint8_t reserved0, pm_profile;
	uint16_t sci_gsi;
	uint32_t smi_command_port;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0,
		gpe1;
	uint8_t pm1_event_bytes, pm1_control_bytes, pm2_control_bytes, pm_timer_bytes, gpe0_bytes,
		gpe1_bytes;
	uint8_t gpe1_base, cstate;
	uint16_t latency2, latency3, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_flags;
	uint8_t minor_version;
	uint64_t x_facs_gpa, x_dsdt_gpa;
	struct acpi_gas x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control,
		x_pm_timer;
	struct acpi_gas x_gpe0, x_gpe1;
} __attribute__((packed));

#define ACPI_FADT_RESET_SUPPORTED (1u << 10)
#define ACPI_FADT_TIMER_32BIT     (1u << 8)
#define ACPI_SPACE_MEMORY         0
#define ACPI_SPACE_IO             1

struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic_gpa, flags;
	uint8_t entries[];
} __attribute__((packed));

struct acpi_mcfg_entry {
	uint64_t gpa;
	uint16_t segment;
	uint8_t bus_start, bus_end;
	uint32_t reserved;
} __attribute__((packed));

struct acpi_mcfg {
	struct acpi_header header;
	uint64_t reserved;
	struct acpi_mcfg_entry entries[];
} __attribute__((packed));

/* NULL when there is none. The platform's area is scanned where the loader did not say. */
const struct acpi_rsdp *acpi_find_rsdp(void);
/* The RSDP in the platform's area, whatever the loader said; NULL when there is none. */
const struct acpi_rsdp *acpi_scan_rsdp(void);

unsigned int acpi_table_count(void);
/* In the XSDT's order (the RSDT's where there is no XSDT); NULL past the end. */
const struct acpi_header *acpi_table(unsigned int index);
/* The first table of this signature, or NULL. */
const void *acpi_find(const char *signature);
const struct acpi_header *acpi_dsdt(void);

bool acpi_checksum_good(const void *table, size_t size_bytes);

/*
 * The sleep type of \_S5 in the DSDT, or -1. It is found by the shape of its bytes (a name, a
 * package, a small integer), as nothing here interprets AML.
 */
int acpi_s5_sleep_type(void);

/* One device found by the shape of its bytes: its _HID and, behind it, a fixed memory range and an
 * interrupt. */
struct acpi_device_resources {
	uint64_t gpa;
	uint32_t size_bytes;
	uint32_t gsi;
};
/* The index-th device of this hardware id in DSDT and SSDTs, from 0. False when there is none. */
bool acpi_find_device(const char *hardware_id, unsigned int index,
                      struct acpi_device_resources *ret_resources);

/* Enabled CPUs in the MADT, and the index-th one's hardware id; without ACPI, what the platform's
 * own description says. */
unsigned int acpi_cpu_count(void);
uint32_t acpi_cpu_id(unsigned int index);

#endif
