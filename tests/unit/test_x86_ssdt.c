/* SPDX-License-Identifier: Apache-2.0 */
/* The generated AML, read back object by object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"

#include "../../arch/x86/acpi_private.h"

static uint8_t memory[8192];

static size_t build(const struct acpi_config *config)
{
	struct acpi_writer writer = { .bytes = memory, .max = sizeof(memory) };
	size_t table = acpi_write_ssdt(&writer, config);

	assert_false(writer.overflow);
	assert_int_equal(table, 0);
	assert_int_equal(load_le32(memory + 4), writer.used);
	return writer.used;
}

/* Name (\NAME, value) */
static size_t expect_integer(size_t at, const char *name, uint64_t value)
{
	assert_int_equal(memory[at], 0x08);
	assert_int_equal(memory[at + 1], '\\');
	assert_memory_equal(memory + at + 2, name, 4);
	assert_int_equal(memory[at + 6], 0x0e);
	assert_int_equal(load_le64(memory + at + 7), value);
	return at + 15;
}

static size_t package_bytes(const uint8_t *package)
{
	assert_int_equal(package[0] >> 4, 4); /* one more byte follows */
	return (package[0] & 0xfU) | (size_t)package[1] << 4;
}

static size_t expect_device(size_t at, unsigned int index, const struct acpi_config *config)
{
	const uint8_t *aml = memory + at;
	size_t end = at + 2 + package_bytes(aml + 2);
	const uint8_t *crs = aml + 41;
	char name[5];

	snprintf(name, sizeof(name), "VM%02X", index);
	assert_memory_equal(aml, "\x5b\x82", 2);
	assert_memory_equal(aml + 4, "\\._SB_", 6);
	assert_memory_equal(aml + 10, name, 4);
	assert_memory_equal(aml + 14, "\x08_HID\x0dLNRO0005", 15); /* and its NUL */
	assert_memory_equal(aml + 29, "\x08_UID\x0a", 6);
	assert_int_equal(aml[35], index);
	assert_memory_equal(aml + 36, "\x08_CRS", 5);
	assert_int_equal(crs[0], 0x11);
	assert_int_equal(package_bytes(crs + 1), 2 + 2 + 23);
	assert_int_equal(crs[4], 23);
	assert_int_equal(crs[5], 0x86); /* Memory32Fixed */
	assert_int_equal(load_le32(crs + 9), config->virtio_mmio[index].gpa);
	assert_int_equal(load_le32(crs + 13), config->virtio_mmio[index].size_bytes);
	assert_int_equal(crs[17], 0x89);       /* Interrupt */
	assert_int_equal(crs[20] & 0x02, 0);   /* level */
	assert_int_equal(crs[20] & 0x08, 0x8); /* shared */
	assert_int_equal(load_le32(crs + 22), config->virtio_mmio[index].gsi);
	assert_int_equal(crs[26], 0x79);
	assert_ptr_equal(crs + 28, memory + end);
	return end;
}

static void test_integers(void **state)
{
	const struct acpi_config config = {
		.has_pci = true,
		.mmio64_gpa = 0x1080000000,
		.mmio64_bytes = 0x40000000,
	};
	size_t end = build(&config), at = ACPI_HEADER_BYTES;

	(void)state;
	at = expect_integer(at, "EPCI", 1);
	at = expect_integer(at, "EMMB", 0x1080000000);
	at = expect_integer(at, "EMML", 0x40000000);
	assert_int_equal(at, end);
}

static void test_devices(void **state)
{
	struct acpi_config config = { .virtio_mmio_count = ACPI_VIRTIO_MMIO_MAX };
	size_t end, at = ACPI_HEADER_BYTES;

	(void)state;
	for (unsigned int i = 0; i < ACPI_VIRTIO_MMIO_MAX; i++) {
		config.virtio_mmio[i].gpa = 0xd0000000 + i * 0x1000;
		config.virtio_mmio[i].size_bytes = 0x200;
		config.virtio_mmio[i].gsi = 5 + i % 4;
	}
	end = build(&config);
	at = expect_integer(at, "EPCI", 0);
	at = expect_integer(at, "EMMB", 0);
	at = expect_integer(at, "EMML", 0);
	for (unsigned int i = 0; i < ACPI_VIRTIO_MMIO_MAX; i++)
		at = expect_device(at, i, &config);
	assert_int_equal(at, end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
