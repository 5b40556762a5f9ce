/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of an ACPI table, and the end of the buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../arch/x86/acpi_private.h"
#include "ebb/bytes.h"

static void test_table(void **state)
{
	uint8_t bytes[128], sum = 0;
	struct acpi_writer writer = { .bytes = bytes, .max = sizeof(bytes) };
	size_t table;

	(void)state;
	acpi_put_int(&writer, 0x1122334455667788, 3); /* out of line */
	table = acpi_table_begin(&writer, "TEST", 7);
	assert_int_equal(table, ACPI_TABLE_ALIGNED);
	assert_memory_equal(bytes, "\x88\x77\x66\0\0\0\0\0\0\0\0\0\0\0\0\0TEST", 20);
	assert_int_equal(writer.used, table + ACPI_HEADER_BYTES);
	acpi_put(&writer, "body", 4);
	acpi_table_end(&writer, table);
	assert_int_equal(load_le32(bytes + table + 4), ACPI_HEADER_BYTES + 4);
	assert_int_equal(bytes[table + 8], 7);
	for (size_t i = table; i < writer.used; i++)
		sum = (uint8_t)(sum + bytes[i]);
	assert_int_equal(sum, 0);
	assert_false(writer.overflow);
}

static void test_end_of_the_buffer(void **state)
{
	uint8_t bytes[ACPI_HEADER_BYTES + 1];
	struct acpi_writer writer = { .bytes = bytes, .max = ACPI_HEADER_BYTES };
	size_t table;

	(void)state;
	bytes[ACPI_HEADER_BYTES] = 0x5a;
	table = acpi_table_begin(&writer, "TEST", 1);
	assert_false(writer.overflow);
	acpi_put_int(&writer, 0, 1);
	assert_true(writer.overflow);
	acpi_table_end(&writer, table); /* length and checksum stay as they were */
	assert_int_equal(load_le32(bytes + 4), 0);
	assert_int_equal(bytes[ACPI_HEADER_BYTES], 0x5a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_end_of_the_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
