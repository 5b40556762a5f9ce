/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables as a guest finds them: from the RSDP on, with lengths and checksums. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/acpi_pm.h"
#include "ebb/bytes.h"

#include "../../arch/x86/acpi.h"

#define GPA   0xe0000
#define BYTES 16384

static uint8_t memory[BYTES];
static size_t used;

static int set_up(void **state)
{
	const struct acpi_config config = {
		.cpu_count = 3,
		.apic_ids = { 0, 1, 2 },
		.has_pci = true,
		.mmio64_gpa = 0x140000000,
		.mmio64_bytes = 0x800000000,
	};

	(void)state;
	memset(memory, 0xcc, sizeof(memory));
	assert_int_equal(acpi_build(&config, GPA, memory, sizeof(memory), &used), 0);
	return 0;
}

static uint8_t sum(const uint8_t *bytes, size_t count)
{
	uint8_t total = 0;

	while (count--)
		total += *bytes++;
	return total;
}

static const uint8_t *at(uint64_t gpa)
{
	assert_in_range(gpa, GPA, GPA + used - 1);
	return memory + (gpa - GPA);
}

static uint64_t root(bool extended)
{
	return extended ? load_le64(memory + 24) : load_le32(memory + 16);
}

/* The table with this signature, through RSDT or XSDT; NULL: not there. */
static const uint8_t *find(const char *signature, bool extended)
{
	size_t entry_bytes = extended ? 8 : 4;
	const uint8_t *list = at(root(extended));

	for (size_t i = 36; i < load_le32(list + 4); i += entry_bytes) {
		const uint8_t *table = at(load_le(list + i, entry_bytes));

		if (!memcmp(table, signature, 4))
			return table;
	}
	return NULL;
}

static void check_table(const uint8_t *table, const char *signature)
{
	assert_memory_equal(table, signature, 4);
	assert_true(load_le32(table + 4) >= 36);
	assert_true(table + load_le32(table + 4) <= memory + used);
	assert_int_equal(sum(table, load_le32(table + 4)), 0);
	assert_memory_equal(table + 10, "EBB   ", 6);
}

static void test_roots(void **state)
{
	static const char *const signatures[] = { "FACP", "APIC", "SSDT", "MCFG" };

	(void)state;
	assert_memory_equal(memory, "RSD PTR ", 8);
	assert_int_equal(memory[15], 2);
	assert_int_equal(sum(memory, 20), 0);
	assert_int_equal(sum(memory, 36), 0);
	check_table(at(root(false)), "RSDT");
	check_table(at(root(true)), "XSDT");
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		const uint8_t *table = find(signatures[i], true);

		assert_non_null(table);
		check_table(table, signatures[i]);
		assert_ptr_equal(table, find(signatures[i], false));
	}
}

static void test_fadt(void **state)
{
	const uint8_t *fadt = find("FACP", true);
	const uint8_t *facs = at(load_le32(fadt + 36));
	uint32_t flags = load_le32(fadt + 112);

	(void)state;
	assert_int_equal(load_le32(fadt + 4), 276);
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal((facs - memory) % 64, 0);
	check_table(at(load_le32(fadt + 40)), "DSDT");
	assert_int_equal(load_le64(fadt + 140), load_le32(fadt + 40));
	assert_int_equal(load_le16(fadt + 46), 9); /* SCI */
	assert_int_equal(load_le32(fadt + 48), 0); /* no SMI command */
	assert_int_equal(load_le32(fadt + 56), 0x600 + ACPI_PM1_EVENT_OFFSET);
	assert_int_equal(load_le32(fadt + 64), 0x600 + ACPI_PM1_CONTROL_OFFSET);
	assert_int_equal(load_le32(fadt + 76), 0x600 + ACPI_PM_TIMER_OFFSET);
	assert_int_equal(fadt[88], 4);
	assert_int_equal(fadt[89], 2);
	assert_int_equal(fadt[91], 4);
	assert_int_equal(fadt[108], 0x32);                 /* the RTC's century */
	assert_int_equal(load_le16(fadt + 109) & 0x22, 0); /* no 8042; there is an RTC */
	assert_int_equal(load_le16(fadt + 109) & 0x04, 4); /* no VGA */
	assert_int_equal(flags & 1U << 4, 0);              /* a fixed power button */
	assert_true(flags & 1U << 8 && flags & 1U << 10);
	assert_int_equal(flags & 1U << 20, 0); /* not hardware-reduced */
	/* Reset register: a byte port. */
	assert_int_equal(fadt[116], 1);
	assert_int_equal(fadt[117], 8);
	assert_int_equal(load_le64(fadt + 120), 0x600 + ACPI_PM_RESET_OFFSET);
	assert_int_equal(fadt[128], ACPI_PM_RESET_VALUE);
	/* The extended blocks say the same. */
	assert_int_equal(load_le64(fadt + 152), load_le32(fadt + 56));
	assert_int_equal(load_le64(fadt + 176), load_le32(fadt + 64));
	assert_int_equal(load_le64(fadt + 212), load_le32(fadt + 76));
}

static void test_madt(void **state)
{
	const uint8_t *madt = find("APIC", true);
	unsigned int cpus = 0, ioapics = 0, overrides = 0, nmis = 0;

	(void)state;
	assert_int_equal(load_le32(madt + 36), 0xfee00000);
	for (size_t i = 44; i < load_le32(madt + 4); i += madt[i + 1]) {
		const uint8_t *entry = madt + i;

		assert_true(entry[1] >= 2);
		switch (entry[0]) {
		case 0:
			assert_int_equal(entry[3], cpus++);
			assert_int_equal(load_le32(entry + 4), 1);
			break;
		case 1:
			assert_int_equal(load_le32(entry + 4), 0xfec00000);
			assert_int_equal(load_le32(entry + 8), 0);
			ioapics++;
			break;
		case 2:
			assert_int_equal(load_le32(entry + 4), entry[3] == 0 ? 2 : entry[3]);
			assert_int_equal(load_le16(entry + 8), entry[3] == 9 ? 0xd : 0);
			overrides++;
			break;
		case 4:
			assert_int_equal(entry[2], 0xff);
			assert_int_equal(entry[5], 1);
			nmis++;
			break;
		default:
			fail_msg("entry of type %u", entry[0]);
		}
	}
	assert_int_equal(cpus, 3);
	assert_int_equal(ioapics, 1);
	assert_int_equal(overrides, 2);
	assert_int_equal(nmis, 1);
}

static void test_mcfg(void **state)
{
	const uint8_t *mcfg = find("MCFG", true);
	struct acpi_config config = { .cpu_count = 1 };

	(void)state;
	assert_int_equal(load_le32(mcfg + 4), 60);
	assert_int_equal(load_le64(mcfg + 44), 0xe0000000);
	assert_int_equal(load_le16(mcfg + 52), 0);
	assert_int_equal(load_le16(mcfg + 54), 0); /* bus 0 alone */
	assert_int_equal(acpi_build(&config, GPA, memory, sizeof(memory), &used), 0);
	assert_null(find("MCFG", true));
	assert_null(find("MCFG", false));
}

/* Every length that is too short is told, and nothing is written behind it. */
static void test_room(void **state)
{
	struct acpi_config config = { .cpu_count = 64, .has_pci = true, .virtio_mmio_count = 32 };
	size_t needed, bytes = 0;
	uint8_t *buf;

	(void)state;
	assert_int_equal(acpi_build(&config, GPA, memory, sizeof(memory), &needed), 0);
	for (size_t max = 0; max < needed; max += 7) {
		buf = malloc(max + 1);
		assert_int_equal(acpi_build(&config, GPA, buf, max, &bytes), -ENOSPC);
		free(buf);
	}
	assert_int_equal(acpi_build(&config, GPA, memory, needed, &bytes), 0);
	assert_int_equal(bytes, needed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_roots, set_up),
		cmocka_unit_test_setup(test_fadt, set_up),
		cmocka_unit_test_setup(test_madt, set_up),
		cmocka_unit_test_setup(test_mcfg, set_up),
		cmocka_unit_test_setup(test_room, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
