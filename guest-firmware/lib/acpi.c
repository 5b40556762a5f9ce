/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables, by pointers and, for the two things AML holds, by the shape of the bytes. */
#include "acpi.h"
#include "platform.h"
#include "string.h"

#define AML_BYTE_PREFIX        0x0a
#define AML_PACKAGE_OP         0x12
#define AML_MEMORY32_FIXED     0x86
#define AML_EXTENDED_INTERRUPT 0x89

#define MADT_LOCAL_APIC   0
#define MADT_LOCAL_X2APIC 9

static const void *at(uint64_t gpa)
{
	return (const void *)(uintptr_t)gpa;
}

bool acpi_checksum_good(const void *table, size_t size_bytes)
{
	const uint8_t *bytes = table;
	uint8_t sum = 0;

	while (size_bytes--)
		sum = (uint8_t)(sum + *bytes++);
	return !sum;
}

const struct acpi_rsdp *acpi_scan_rsdp(void)
{
	uint64_t gpa, end;

	if (!platform_rsdp_area(&gpa, &end))
		return NULL;
	for (; gpa < end; gpa += 16) {
		const struct acpi_rsdp *rsdp = at(gpa);

		if (!memcmp(rsdp->signature, "RSD PTR ", 8) && acpi_checksum_good(rsdp, 20))
			return rsdp;
	}
	return NULL;
}

const struct acpi_rsdp *acpi_find_rsdp(void)
{
	if (boot_info.rsdp_gpa)
		return at(boot_info.rsdp_gpa);
	return acpi_scan_rsdp();
}

/* The root table, and the size of its entries. */
static const struct acpi_header *root_table(size_t *ret_entry_bytes)
{
	const struct acpi_rsdp *rsdp = acpi_find_rsdp();

	*ret_entry_bytes = 4;
	if (!rsdp)
		return NULL;
	if (rsdp->revision >= 2 && rsdp->xsdt_gpa) {
		*ret_entry_bytes = 8;
		return at(rsdp->xsdt_gpa);
	}
	return at(rsdp->rsdt_gpa);
}

unsigned int acpi_table_count(void)
{
	size_t entry_bytes;
	const struct acpi_header *root = root_table(&entry_bytes);

	if (!root || root->length_bytes < sizeof(*root))
		return 0;
	return (unsigned int)((root->length_bytes - sizeof(*root)) / entry_bytes);
}

const struct acpi_header *acpi_table(unsigned int index)
{
	size_t entry_bytes;
	const struct acpi_header *root = root_table(&entry_bytes);
	uint64_t gpa = 0;

	if (index >= acpi_table_count())
		return NULL;
	memcpy(&gpa, (const uint8_t *)(root + 1) + index * entry_bytes, entry_bytes);
	return at(gpa);
}

const void *acpi_find(const char *signature)
{
	unsigned int i, count = acpi_table_count();

	for (i = 0; i < count; i++)
		if (!memcmp(acpi_table(i)->signature, signature, 4))
			return acpi_table(i);
	return NULL;
}

const struct acpi_header *acpi_dsdt(void)
{
	const struct acpi_fadt *fadt = acpi_find("FACP");

	if (!fadt)
		return NULL;
	if (fadt->header.length_bytes >= offsetof(struct acpi_fadt, x_pm1a_event) &&
	    fadt->x_dsdt_gpa)
		return at(fadt->x_dsdt_gpa);
	return fadt->dsdt_gpa ? at(fadt->dsdt_gpa) : NULL;
}

/* Bytes of AML from offset on that start with pattern; NULL when there is none. */
static const uint8_t *find_bytes(const uint8_t *from, const uint8_t *end, const char *pattern,
                                 size_t length)
{
	for (; from + length <= end; from++)
		if (*from == (uint8_t)*pattern && !memcmp(from, pattern, length))
			return from;
	return NULL;
}

int acpi_s5_sleep_type(void)
{
	const struct acpi_header *dsdt = acpi_dsdt();
	const uint8_t *end, *p;

	if (!dsdt)
		return -1;
	end = (const uint8_t *)dsdt + dsdt->length_bytes;
	p = find_bytes((const uint8_t *)(dsdt + 1), end, "_S5_", 4);
	if (!p || p + 10 > end || p[4] != AML_PACKAGE_OP)
		return -1;
	p += 5;
	p += (*p >> 6) + 1; /* the package's length: 1 to 4 bytes */
	p++;                /* number of elements */
	return *p == AML_BYTE_PREFIX ? p[1] : *p;
}

static uint32_t little32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* Resources between from and the next device of the same kind. */
static bool parse_resources(const uint8_t *from, const uint8_t *end,
                            struct acpi_device_resources *ret)
{
	static const char memory_header[] = { (char)AML_MEMORY32_FIXED, 9, 0 };
	static const char interrupt_header[] = { (char)AML_EXTENDED_INTERRUPT, 6, 0 };
	const uint8_t *memory = find_bytes(from, end, memory_header, 3), *interrupt;

	if (!memory || memory + 12 > end)
		return false;
	ret->gpa = little32(memory + 4);
	ret->size_bytes = little32(memory + 8);
	interrupt = find_bytes(memory + 12, end, interrupt_header, 3);
	ret->gsi = interrupt && interrupt + 9 <= end ? little32(interrupt + 5) : 0;
	return true;
}

bool acpi_find_device(const char *hardware_id, unsigned int index,
                      struct acpi_device_resources *ret_resources)
{
	size_t length = strlen(hardware_id);
	unsigned int i, count = acpi_table_count();

	for (i = 0; i <= count; i++) {
		const struct acpi_header *table = i ? acpi_table(i - 1) : acpi_dsdt();
		const uint8_t *p, *end, *next;

		if (!table || (i && memcmp(table->signature, "SSDT", 4)))
			continue;
		end = (const uint8_t *)table + table->length_bytes;
		for (p = (const uint8_t *)(table + 1);
		     (p = find_bytes(p, end, hardware_id, length)); p++) {
			if (index--)
				continue;
			next = find_bytes(p + 1, end, hardware_id, length);
			return parse_resources(p, next ? next : end, ret_resources);
		}
	}
	return false;
}

/* Walks the MADT to the index-th enabled CPU; returns how many it passed, index included where it
 * is there. */
static unsigned int walk_cpus(unsigned int index, uint32_t *ret_id)
{
	const struct acpi_madt *madt = acpi_find("APIC");
	unsigned int count = 0, offset = 0, size_bytes;

	if (!madt)
		return 0;
	size_bytes = madt->header.length_bytes - (unsigned int)sizeof(*madt);
	while (offset + 2 <= size_bytes) {
		const uint8_t *entry = madt->entries + offset;

		if (!entry[1])
			break;
		offset += entry[1];
		if (entry[0] == MADT_LOCAL_APIC && entry[1] >= 8 && (little32(entry + 4) & 1))
			*ret_id = entry[3];
		else if (entry[0] == MADT_LOCAL_X2APIC && entry[1] >= 16 &&
		         (little32(entry + 8) & 1))
			*ret_id = little32(entry + 4);
		else
			continue;
		if (count++ == index)
			break;
	}
	return count;
}

unsigned int acpi_cpu_count(void)
{
	uint32_t id;

	return acpi_find("APIC") ? walk_cpus(~0u, &id) : platform_cpu_count();
}

uint32_t acpi_cpu_id(unsigned int index)
{
	uint32_t id = 0;

	if (!acpi_find("APIC"))
		return platform_cpu_id(index);
	walk_cpus(index, &id);
	return id;
}
