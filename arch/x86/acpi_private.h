/* SPDX-License-Identifier: Apache-2.0 */
/* How acpi.c and ssdt.c write tables: a bounded buffer that remembers that it was too small. */
#ifndef ARCH_X86_ACPI_PRIVATE_H
#define ARCH_X86_ACPI_PRIVATE_H

#include "acpi.h"

#define ACPI_OEM_ID        "EBB   "
#define ACPI_HEADER_BYTES  36
#define ACPI_TABLE_ALIGNED 16

struct acpi_writer {
	uint8_t *bytes;
	size_t used, max;
	gpa_t gpa; /* of bytes[0] */
	bool overflow;
};

void acpi_put(struct acpi_writer *writer, const void *bytes, size_t count);
void acpi_put_int(struct acpi_writer *writer, uint64_t value,
                  size_t size_bytes); /* little-endian */
void acpi_put_zeros(struct acpi_writer *writer, size_t count);
void acpi_align(struct acpi_writer *writer, size_t alignment); /* with zeros */

/* The byte that makes the sum of all of them 0. */
uint8_t acpi_checksum(const uint8_t *bytes, size_t count);

/* Returns the table's offset, for acpi_table_end, which fills in length and checksum. */
size_t acpi_table_begin(struct acpi_writer *writer, const char *signature, uint8_t revision);
void acpi_table_end(struct acpi_writer *writer, size_t table);

/* ssdt.c: what differs from VM to VM, as AML. Returns the table's offset. */
size_t acpi_write_ssdt(struct acpi_writer *writer, const struct acpi_config *config);

/* acpi_numa.c: with config->numa. Return the tables' offsets. */
size_t acpi_write_srat(struct acpi_writer *writer, const struct acpi_config *config);
size_t acpi_write_slit(struct acpi_writer *writer, const struct acpi_config *config);

#endif
