/* SPDX-License-Identifier: Apache-2.0 */
/* The SSDT: what dsdt.asl leaves open, and one node a virtio-mmio device. (ACPI 6.5, chapters 6.4
 * and 20.) */
#include <stdio.h>
#include <string.h>

#include "acpi_private.h"
#include "ebb/bytes.h"

#define AML_NAME      0x08
#define AML_BYTE      0x0a
#define AML_QWORD     0x0e
#define AML_STRING    0x0d
#define AML_BUFFER    0x11
#define AML_DUAL_NAME 0x2e
#define AML_ROOT      0x5c
#define AML_EXTENDED  0x5b
#define AML_DEVICE    0x82

#define RESOURCE_MEMORY32_FIXED 0x86
#define RESOURCE_INTERRUPT      0x89
#define RESOURCE_END            0x79
#define MEMORY_WRITABLE         0x01
#define INTERRUPT_CONSUMER      0x01
#define INTERRUPT_SHARED        0x08 /* level, active high */

/* 20.2.4, the two-byte form: a package of up to 4095 bytes, its own length included. */
#define PACKAGE_LENGTH_BYTES 2

static size_t begin_package(struct acpi_writer *writer)
{
	size_t package = writer->used;

	acpi_put_int(writer, 0, PACKAGE_LENGTH_BYTES);
	return package;
}

static void end_package(struct acpi_writer *writer, size_t package)
{
	size_t bytes = writer->used - package;

	if (writer->overflow)
		return;
	writer->bytes[package] = (uint8_t)(0x40 | (bytes & 0xf));
	writer->bytes[package + 1] = (uint8_t)(bytes >> 4);
}

/* name has four characters. */
static void put_name(struct acpi_writer *writer, const char *name)
{
	acpi_put_int(writer, AML_NAME, 1);
	acpi_put(writer, name, 4);
}

static void put_root_integer(struct acpi_writer *writer, const char *name, uint64_t value)
{
	acpi_put_int(writer, AML_NAME, 1);
	acpi_put_int(writer, AML_ROOT, 1);
	acpi_put(writer, name, 4);
	acpi_put_int(writer, AML_QWORD, 1);
	acpi_put_int(writer, value, 8);
}

static void put_virtio_resources(struct acpi_writer *writer, uint64_t gpa, uint32_t size_bytes,
                                 uint32_t gsi)
{
	size_t package;

	put_name(writer, "_CRS");
	acpi_put_int(writer, AML_BUFFER, 1);
	package = begin_package(writer);
	acpi_put_int(writer, AML_BYTE, 1);
	acpi_put_int(writer, 12 + 9 + 2, 1); /* the three descriptors */
	acpi_put_int(writer, RESOURCE_MEMORY32_FIXED, 1);
	acpi_put_int(writer, 9, 2);
	acpi_put_int(writer, MEMORY_WRITABLE, 1);
	acpi_put_int(writer, gpa, 4);
	acpi_put_int(writer, size_bytes, 4);
	acpi_put_int(writer, RESOURCE_INTERRUPT, 1);
	acpi_put_int(writer, 6, 2);
	acpi_put_int(writer, INTERRUPT_CONSUMER | INTERRUPT_SHARED, 1);
	acpi_put_int(writer, 1, 1);
	acpi_put_int(writer, gsi, 4);
	acpi_put_int(writer, RESOURCE_END, 1);
	acpi_put_int(writer, 0, 1); /* 6.4.2.9: a checksum of 0 is not looked at */
	end_package(writer, package);
}

/* \_SB.VMnn, as Linux's virtio_mmio driver looks for it. */
static void put_virtio_device(struct acpi_writer *writer, const struct acpi_config *config,
                              size_t index)
{
	static const char hid[] = "LNRO0005";
	char name[5];
	size_t package;

	snprintf(name, sizeof(name), "VM%02X", (unsigned int)(index & 0xff));
	acpi_put_int(writer, AML_EXTENDED, 1);
	acpi_put_int(writer, AML_DEVICE, 1);
	package = begin_package(writer);
	acpi_put_int(writer, AML_ROOT, 1);
	acpi_put_int(writer, AML_DUAL_NAME, 1);
	acpi_put(writer, "_SB_", 4);
	acpi_put(writer, name, 4);
	put_name(writer, "_HID");
	acpi_put_int(writer, AML_STRING, 1);
	acpi_put(writer, hid, sizeof(hid));
	put_name(writer, "_UID");
	acpi_put_int(writer, AML_BYTE, 1);
	acpi_put_int(writer, index, 1);
	put_virtio_resources(writer, config->virtio_mmio[index].gpa,
	                     config->virtio_mmio[index].size_bytes, config->virtio_mmio[index].gsi);
	end_package(writer, package);
}

size_t acpi_write_ssdt(struct acpi_writer *writer, const struct acpi_config *config)
{
	size_t table = acpi_table_begin(writer, "SSDT", 2);

	put_root_integer(writer, "EPCI", config->has_pci);
	put_root_integer(writer, "EMMB", config->mmio64_gpa);
	put_root_integer(writer, "EMML", config->mmio64_bytes);
	for (size_t i = 0; i < config->virtio_mmio_count; i++)
		put_virtio_device(writer, config, i);
	acpi_table_end(writer, table);
	return table;
}
