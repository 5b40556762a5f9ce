/* SPDX-License-Identifier: Apache-2.0 */
/* A table's frame and what is put into it: header, length, checksum (ACPI 6.5, 5.2.6), in a buffer
 * that has an end. */
#include <string.h>

#include "acpi_private.h"
#include "ebb/bytes.h"

#define OEM_TABLE_ID     "EBBX86  "
#define OEM_REVISION     1
#define CREATOR_ID       "EBB "
#define CREATOR_REVISION 1

void acpi_put(struct acpi_writer *writer, const void *bytes, size_t count)
{
	if (count > writer->max - writer->used) {
		writer->overflow = true;
		return;
	}
	memcpy(writer->bytes + writer->used, bytes, count);
	writer->used += count;
}

void acpi_put_int(struct acpi_writer *writer, uint64_t value, size_t size_bytes)
{
	uint8_t bytes[8];

	store_le64(bytes, value);
	acpi_put(writer, bytes, size_bytes);
}

void acpi_put_zeros(struct acpi_writer *writer, size_t count)
{
	while (count--)
		acpi_put_int(writer, 0, 1);
}

void acpi_align(struct acpi_writer *writer, size_t alignment)
{
	acpi_put_zeros(writer, align_up(writer->used, alignment) - writer->used);
}

uint8_t acpi_checksum(const uint8_t *bytes, size_t count)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += bytes[i];
	return (uint8_t)-sum;
}

size_t acpi_table_begin(struct acpi_writer *writer, const char *signature, uint8_t revision)
{
	size_t table;

	acpi_align(writer, ACPI_TABLE_ALIGNED);
	table = writer->used;
	acpi_put(writer, signature, 4);
	acpi_put_int(writer, 0, 4); /* length */
	acpi_put_int(writer, revision, 1);
	acpi_put_int(writer, 0, 1); /* checksum */
	acpi_put(writer, ACPI_OEM_ID, 6);
	acpi_put(writer, OEM_TABLE_ID, 8);
	acpi_put_int(writer, OEM_REVISION, 4);
	acpi_put(writer, CREATOR_ID, 4);
	acpi_put_int(writer, CREATOR_REVISION, 4);
	return table;
}

void acpi_table_end(struct acpi_writer *writer, size_t table)
{
	size_t bytes = writer->used - table;

	if (writer->overflow)
		return;
	store_le32(writer->bytes + table + 4, (uint32_t)bytes);
	writer->bytes[table + 9] = acpi_checksum(writer->bytes + table, bytes);
}
