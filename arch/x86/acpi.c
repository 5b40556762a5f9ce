/* SPDX-License-Identifier: Apache-2.0 */
/* RSDP, XSDT, FADT, FACS, MADT, MCFG; SRAT and SLIT are in acpi_numa.c. (ACPI 6.5, chapter 5; PCI
 * Firmware Specification 3.3, 4.1.2.)
 */
/*
 * DOC: The tables
 *
 *   RSDP ─> RSDT (32-bit guests, test kernels) ─┬─> FADT ─> FACS, DSDT (dsdt.asl)
 *      └──> XSDT ───────────────────────────────┼─> MADT
 *                                               ├─> SSDT (ssdt.c)
 *                                               ├─> MCFG (with a PCI host bridge)
 *                                               ├─> SRAT (with nodes or device memory)
 *                                               └─> SLIT (with several nodes)
 *
 * A PC with fixed hardware, not "hardware-reduced": PM1a, the PM timer, a power button, S5, a reset
 * register, SCI on GSI 9. Boot flags: there is no VGA and no keyboard, there is a CMOS RTC. The
 * keyboard controller's bit is clear although ports 0x60 and 0x64 answer: nothing is attached to
 * it, and a guest need not look.
 */
#include <errno.h>
#include <string.h>

#include "acpi_private.h"
#include "dsdt.h"
#include "ebb/acpi_pm.h"
#include "ebb/bytes.h"
#include "layout.h"

#define RSDP_V1_BYTES 20
#define RSDP_BYTES    36
#define FACS_BYTES    64
#define FACS_ALIGNED  64
#define TABLES_MAX    6

/* 5.2.3.2: generic address of a port register. */
static void put_port(struct acpi_writer *writer, uint64_t port, uint8_t size_bytes)
{
	uint8_t access = size_bytes == 1 ? 1 : size_bytes == 2 ? 2 : 3;

	acpi_put_int(writer, 1, 1); /* system I/O */
	acpi_put_int(writer, size_bytes * 8U, 1);
	acpi_put_int(writer, 0, 1);
	acpi_put_int(writer, access, 1);
	acpi_put_int(writer, port, 8);
}

static void put_no_port(struct acpi_writer *writer)
{
	acpi_put_zeros(writer, 12);
}

#define PM1_EVENT_PORT   (X86_PORT_ACPI_PM + ACPI_PM1_EVENT_OFFSET)
#define PM1_CONTROL_PORT (X86_PORT_ACPI_PM + ACPI_PM1_CONTROL_OFFSET)
#define PM_TIMER_PORT    (X86_PORT_ACPI_PM + ACPI_PM_TIMER_OFFSET)
#define RESET_PORT       (X86_PORT_ACPI_PM + ACPI_PM_RESET_OFFSET)

#define FADT_REVISION       6
#define FADT_MINOR          3
#define NO_C2_LATENCY_US    0xfff
#define NO_C3_LATENCY_US    0xfff
#define RTC_CENTURY_INDEX   0x32
#define BOOT_LEGACY_DEVICES 0x0001
#define BOOT_NO_VGA         0x0004
#define BOOT_NO_ASPM        0x0010

#define FADT_WBINVD  (1U << 0)
#define FADT_PROC_C1 (1U << 2)
#define FADT_NO_SLEEP_BUTTON \
	(1U << 5) /* 1: not fixed hardware; the power button's bit stays 0: it is */
#define FADT_NO_RTC_WAKE    (1U << 6)
#define FADT_TIMER_32_BITS  (1U << 8)
#define FADT_RESET_REGISTER (1U << 10)

/* Table 5.9, the first half: what ACPI 1.0 had. */
static void put_fadt_legacy(struct acpi_writer *writer, gpa_t facs_gpa, gpa_t dsdt_gpa)
{
	acpi_put_int(writer, facs_gpa, 4);
	acpi_put_int(writer, dsdt_gpa, 4);
	acpi_put_zeros(writer, 2); /* reserved, preferred power profile */
	acpi_put_int(writer, X86_GSI_SCI, 2);
	acpi_put_zeros(writer, 8); /* no SMI command: always in ACPI mode */
	acpi_put_int(writer, PM1_EVENT_PORT, 4);
	acpi_put_int(writer, 0, 4);
	acpi_put_int(writer, PM1_CONTROL_PORT, 4);
	acpi_put_zeros(writer, 8); /* PM1b, PM2 */
	acpi_put_int(writer, PM_TIMER_PORT, 4);
	acpi_put_zeros(writer, 8);  /* no general-purpose events */
	acpi_put_int(writer, 4, 1); /* lengths: PM1 event, PM1 control, PM2, timer, GPE0, GPE1 */
	acpi_put_int(writer, 2, 1);
	acpi_put_int(writer, 0, 1);
	acpi_put_int(writer, 4, 1);
	acpi_put_zeros(writer, 4); /* and GPE1 base, C-state control */
	acpi_put_int(writer, NO_C2_LATENCY_US, 2);
	acpi_put_int(writer, NO_C3_LATENCY_US, 2);
	acpi_put_zeros(writer, 8); /* flush size and stride, duty cycle, alarm */
	acpi_put_int(writer, RTC_CENTURY_INDEX, 1);
	acpi_put_int(writer, BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_ASPM, 2);
	acpi_put_int(writer, 0, 1);
	acpi_put_int(writer,
	             FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_RTC_WAKE |
	                     FADT_TIMER_32_BITS | FADT_RESET_REGISTER,
	             4);
}

static size_t write_fadt(struct acpi_writer *writer, gpa_t facs_gpa, gpa_t dsdt_gpa)
{
	size_t table = acpi_table_begin(writer, "FACP", FADT_REVISION);

	put_fadt_legacy(writer, facs_gpa, dsdt_gpa);
	put_port(writer, RESET_PORT, 1);
	acpi_put_int(writer, ACPI_PM_RESET_VALUE, 1);
	acpi_put_int(writer, 0, 2); /* Arm boot flags */
	acpi_put_int(writer, FADT_MINOR, 1);
	acpi_put_int(writer, 0, 8); /* the 32-bit FACS address is the one that counts */
	acpi_put_int(writer, dsdt_gpa, 8);
	put_port(writer, PM1_EVENT_PORT, 4);
	put_no_port(writer);
	put_port(writer, PM1_CONTROL_PORT, 2);
	put_no_port(writer);
	put_no_port(writer);
	put_port(writer, PM_TIMER_PORT, 4);
	put_no_port(writer);
	put_no_port(writer);
	put_no_port(writer);       /* sleep control */
	put_no_port(writer);       /* sleep status */
	acpi_put_zeros(writer, 8); /* hypervisor vendor */
	acpi_table_end(writer, table);
	return table;
}

/* 5.2.10: the one table with no common header and no checksum. */
static gpa_t write_facs(struct acpi_writer *writer)
{
	uint8_t facs[FACS_BYTES] = { 0 };
	size_t table;

	acpi_align(writer, FACS_ALIGNED);
	table = writer->used;
	memcpy(facs, "FACS", 4);
	store_le32(facs + 4, sizeof(facs));
	facs[32] = 2; /* version */
	acpi_put(writer, facs, sizeof(facs));
	return writer->gpa + table;
}

#define MADT_REVISION    5
#define MADT_HAS_PICS    1
#define MADT_CPU_ENABLED 1
#define MADT_LEVEL_HIGH  0xd /* flags of an override: active high, level */
#define MADT_ALL_CPUS    0xff
#define MADT_NMI_LINT    1
#define MADT_IOAPIC_ID   0

static void put_override(struct acpi_writer *writer, uint8_t isa_irq, uint32_t gsi, uint16_t flags)
{
	acpi_put_int(writer, 2, 1);
	acpi_put_int(writer, 10, 1);
	acpi_put_int(writer, 0, 1); /* ISA */
	acpi_put_int(writer, isa_irq, 1);
	acpi_put_int(writer, gsi, 4);
	acpi_put_int(writer, flags, 2);
}

/* 5.2.12. APIC ids are all below 255 (topology.c): no x2APIC entries. */
static size_t write_madt(struct acpi_writer *writer, const struct acpi_config *config)
{
	size_t table = acpi_table_begin(writer, "APIC", MADT_REVISION);

	acpi_put_int(writer, X86_LAPIC_GPA, 4);
	acpi_put_int(writer, MADT_HAS_PICS, 4);
	for (unsigned int i = 0; i < config->cpu_count; i++) {
		acpi_put_int(writer, 0, 1);
		acpi_put_int(writer, 8, 1);
		acpi_put_int(writer, i, 1); /* UID */
		acpi_put_int(writer, config->apic_ids[i], 1);
		acpi_put_int(writer, MADT_CPU_ENABLED, 4);
	}
	acpi_put_int(writer, 1, 1);
	acpi_put_int(writer, 12, 1);
	acpi_put_int(writer, MADT_IOAPIC_ID, 2);
	acpi_put_int(writer, X86_IOAPIC_GPA, 4);
	acpi_put_int(writer, 0, 4);
	put_override(writer, X86_GSI_PIT, X86_PIT_IOAPIC_PIN, 0);
	put_override(writer, X86_GSI_SCI, X86_GSI_SCI, MADT_LEVEL_HIGH);
	acpi_put_int(writer, 4, 1); /* LAPIC NMI */
	acpi_put_int(writer, 6, 1);
	acpi_put_int(writer, MADT_ALL_CPUS, 1);
	acpi_put_int(writer, 0, 2);
	acpi_put_int(writer, MADT_NMI_LINT, 1);
	acpi_table_end(writer, table);
	return table;
}

static size_t write_mcfg(struct acpi_writer *writer)
{
	size_t table = acpi_table_begin(writer, "MCFG", 1);

	acpi_put_int(writer, 0, 8);
	acpi_put_int(writer, X86_PCI_ECAM_GPA, 8);
	acpi_put_int(writer, 0, 2); /* segment */
	acpi_put_int(writer, 0, 1); /* first and last bus */
	acpi_put_int(writer, 0, 1);
	acpi_put_int(writer, 0, 4);
	acpi_table_end(writer, table);
	return table;
}

/* RSDT with 4-byte entries, XSDT with 8-byte ones. */
static size_t write_root(struct acpi_writer *writer, const char *signature, size_t entry_bytes,
                         const size_t *tables, size_t count)
{
	size_t table = acpi_table_begin(writer, signature, 1);

	for (size_t i = 0; i < count; i++)
		acpi_put_int(writer, writer->gpa + tables[i], entry_bytes);
	acpi_table_end(writer, table);
	return table;
}

/* 5.2.5.3, in the room that was left for it. */
static void fill_rsdp(struct acpi_writer *writer, size_t rsdt, size_t xsdt)
{
	uint8_t *rsdp = writer->bytes;

	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, ACPI_OEM_ID, 6);
	rsdp[15] = 2; /* revision */
	store_le32(rsdp + 16, (uint32_t)(writer->gpa + rsdt));
	store_le32(rsdp + 20, RSDP_BYTES);
	store_le64(rsdp + 24, writer->gpa + xsdt);
	rsdp[8] = acpi_checksum(rsdp, RSDP_V1_BYTES);
	rsdp[32] = acpi_checksum(rsdp, RSDP_BYTES);
}

int acpi_build(const struct acpi_config *config, gpa_t gpa, uint8_t *buf, size_t max_bytes,
               size_t *ret_bytes)
{
	struct acpi_writer writer = { .bytes = buf, .max = max_bytes, .gpa = gpa };
	size_t tables[TABLES_MAX], count = 0, dsdt, rsdt, xsdt;
	gpa_t facs_gpa;

	acpi_put_zeros(&writer, RSDP_BYTES);
	facs_gpa = write_facs(&writer);
	acpi_align(&writer, ACPI_TABLE_ALIGNED);
	dsdt = writer.used;
	acpi_put(&writer, dsdt_aml, dsdt_aml_bytes);
	acpi_align(&writer, ACPI_TABLE_ALIGNED);
	tables[count++] = write_fadt(&writer, facs_gpa, gpa + dsdt);
	tables[count++] = write_madt(&writer, config);
	tables[count++] = acpi_write_ssdt(&writer, config);
	if (config->has_pci)
		tables[count++] = write_mcfg(&writer);
	if (config->numa)
		tables[count++] = acpi_write_srat(&writer, config);
	if (config->numa && config->numa->node_count > 1)
		tables[count++] = acpi_write_slit(&writer, config);
	rsdt = write_root(&writer, "RSDT", 4, tables, count);
	xsdt = write_root(&writer, "XSDT", 8, tables, count);
	if (writer.overflow)
		return -ENOSPC;
	fill_rsdp(&writer, rsdt, xsdt);
	*ret_bytes = writer.used;
	return 0;
}
