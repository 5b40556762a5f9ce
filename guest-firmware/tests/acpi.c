/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables: checksums, sizes, places, and what the operating system needs from them (ACPI 6.5,
 * chapter 5). */
#include "acpi.h"
#include "command_line.h"
#include "mmio.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "string.h"

#define MADT_IOAPIC   1
#define MADT_OVERRIDE 2

static bool in_ram(uint64_t gpa, uint64_t size_bytes)
{
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];

		if (entry->type == MEMORY_MAP_RAM && gpa < entry->gpa + entry->size_bytes &&
		    entry->gpa < gpa + size_bytes)
			return true;
	}
	return false;
}

static bool test_rsdp(void)
{
	const struct acpi_rsdp *rsdp = acpi_find_rsdp(), *scanned = acpi_scan_rsdp();

	if (!CHECK("RSDP is there", rsdp != NULL))
		return false;
	CHECK("RSDP signature", !memcmp(rsdp->signature, "RSD PTR ", 8));
	CHECK("RSDP checksum", acpi_checksum_good(rsdp, 20));
	CHECK("RSDP lies in 0xe0000-0xfffff, too", scanned && !memcmp(scanned, rsdp, 20));
	if (option_present("lenient"))
		return true;
	CHECK_EQUAL("RSDP revision", rsdp->revision, 2);
	CHECK_EQUAL("RSDP length", rsdp->length_bytes, sizeof(*rsdp));
	CHECK("RSDP extended checksum", acpi_checksum_good(rsdp, sizeof(*rsdp)));
	return CHECK("XSDT is there",
	             rsdp->xsdt_gpa && !memcmp((const void *)rsdp->xsdt_gpa, "XSDT", 4));
}

static void check_table(const struct acpi_header *table)
{
	char name[5] = { 0 };

	memcpy(name, table->signature, 4);
	EXPECT(name, table->length_bytes >= sizeof(*table) && table->length_bytes < 0x100000);
	EXPECT(name, acpi_checksum_good(table, table->length_bytes));
	EXPECT(name, !in_ram((uintptr_t)table, table->length_bytes));
}

static void test_tables(void)
{
	unsigned int i;

	CHECK("there are tables", acpi_table_count() >= 2);
	for (i = 0; i < acpi_table_count(); i++)
		check_table(acpi_table(i));
	if (EXPECT("DSDT is there", acpi_dsdt() != NULL)) {
		EXPECT("DSDT signature", !memcmp(acpi_dsdt()->signature, "DSDT", 4));
		check_table(acpi_dsdt());
	}
	report_section("all tables: checksum, length, outside usable RAM");
}

static void test_fadt(void)
{
	const struct acpi_fadt *fadt = acpi_find("FACP");

	if (!CHECK("FADT is there", fadt != NULL))
		return;
	CHECK("FADT: PM timer", fadt->pm_timer && fadt->pm_timer_bytes == 4);
	CHECK("FADT: PM1a event and control", fadt->pm1a_event && fadt->pm1a_control &&
	                                              fadt->pm1_event_bytes >= 4 &&
	                                              fadt->pm1_control_bytes >= 2);
	CHECK("FADT: an SCI", fadt->sci_gsi > 0 && fadt->sci_gsi < 24);
	CHECK("FADT: reset register",
	      (fadt->flags & ACPI_FADT_RESET_SUPPORTED) && fadt->reset_register.gpa);
	CHECK("FADT: FACS aligned", !(fadt->facs_gpa & 63));
	CHECK("DSDT has \\_S5", acpi_s5_sleep_type() >= 0 && acpi_s5_sleep_type() <= 7);
}

static void test_madt(void)
{
	const struct acpi_madt *madt = acpi_find("APIC");
	uint32_t offset, size_bytes, cpus = acpi_cpu_count();
	unsigned int ioapics = 0, i, j;

	if (!CHECK("MADT is there", madt != NULL))
		return;
	CHECK_EQUAL("MADT: local APIC address", madt->lapic_gpa, 0xfee00000);
	size_bytes = madt->header.length_bytes - (uint32_t)sizeof(*madt);
	for (offset = 0; offset + 2 <= size_bytes && madt->entries[offset + 1] >= 2;
	     offset += madt->entries[offset + 1]) {
		const uint8_t *entry = madt->entries + offset;

		ioapics += entry[0] == MADT_IOAPIC;
		if (entry[0] == MADT_OVERRIDE)
			EXPECT("MADT: overrides name ISA sources", entry[2] == 0 && entry[3] < 16);
	}
	EXPECT_EQUAL("MADT: entries fill the table", offset, size_bytes);
	report_section("MADT: entries fill the table, overrides name ISA sources");
	CHECK("MADT: an I/O APIC", ioapics >= 1);
	CHECK_EQUAL("MADT: number of CPUs", cpus, option_u64("cpus", cpus));
	for (i = 0; i < cpus; i++)
		for (j = 0; j < i; j++)
			EXPECT("MADT: ids are unique", acpi_cpu_id(i) != acpi_cpu_id(j));
	EXPECT_EQUAL("MADT: the first is this one", acpi_cpu_id(0), cpu_hardware_id());
	report_section("MADT: ids are unique, the first is this CPU's");
}

static void test_mcfg(void)
{
	const struct acpi_mcfg *mcfg = acpi_find("MCFG");

	if (!mcfg) {
		report_skip("MCFG", "not there");
		return;
	}
	CHECK("MCFG: one entry or more",
	      mcfg->header.length_bytes >= sizeof(*mcfg) + sizeof(mcfg->entries[0]));
	CHECK_EQUAL("MCFG: aligned", mcfg->entries[0].gpa & 0xfffff, 0);
	CHECK("MCFG: segment 0, bus 0", !mcfg->entries[0].segment && !mcfg->entries[0].bus_start);
	platform_map(mcfg->entries[0].gpa, 0x100000);
	CHECK("MCFG: a host bridge answers there", mmio_read16(mcfg->entries[0].gpa) != 0xffff);
	CHECK("MCFG: not usable RAM", !in_ram(mcfg->entries[0].gpa, 0x100000));
}

void test_main(void)
{
	if (!test_rsdp())
		return;
	test_tables();
	test_fadt();
	test_madt();
	test_mcfg();
}
