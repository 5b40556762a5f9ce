/* SPDX-License-Identifier: Apache-2.0 */
/* SRAT and SLIT (ACPI 6.5, sections 5.2.16 and 5.2.17). Words: lib/numa_test.h. */
#include "acpi.h"
#include "numa_test.h"
#include "platform.h"
#include "report.h"
#include "string.h"

#define SRAT_ENTRIES       48
#define SRAT_LOCAL_APIC    0
#define SRAT_MEMORY        1
#define SRAT_ENABLED       1u
#define SRAT_HOT_PLUGGABLE 2u
#define SLIT_ENTRIES       44

static struct numa_description numa;

static uint64_t little(const uint8_t *at, unsigned int size_bytes)
{
	uint64_t value = 0;

	while (size_bytes--)
		value = value << 8 | at[size_bytes];
	return value;
}

static void take_cpu(const uint8_t *entry)
{
	if ((little(entry + 4, 4) & SRAT_ENABLED))
		numa.cpu_nodes[entry[3]] = entry[2];
}

static void take_memory(const uint8_t *entry)
{
	uint32_t flags = (uint32_t)little(entry + 28, 4);

	if (!(flags & SRAT_ENABLED) || numa.range_count == NUMA_TEST_RANGES_MAX)
		return;
	numa.ranges[numa.range_count].node = (uint32_t)little(entry + 2, 4);
	numa.ranges[numa.range_count].gpa = little(entry + 8, 8);
	numa.ranges[numa.range_count].size_bytes = little(entry + 16, 8);
	numa.ranges[numa.range_count++].hot_pluggable = flags & SRAT_HOT_PLUGGABLE;
}

static void take_srat(const struct acpi_header *srat)
{
	const uint8_t *table = (const uint8_t *)srat;
	uint32_t at = SRAT_ENTRIES;

	while (at + 2 <= srat->length_bytes && table[at + 1] &&
	       at + table[at + 1] <= srat->length_bytes) {
		if (table[at] == SRAT_LOCAL_APIC && table[at + 1] == 16)
			take_cpu(table + at);
		else if (table[at] == SRAT_MEMORY && table[at + 1] == 40)
			take_memory(table + at);
		else
			report_fail("SRAT", "entry of type %u, %u bytes", table[at], table[at + 1]);
		at += table[at + 1];
	}
	CHECK_EQUAL("SRAT: entries fill the table", at, srat->length_bytes);
}

static void take_slit(const struct acpi_header *slit)
{
	const uint8_t *table = (const uint8_t *)slit;
	unsigned int count = (unsigned int)little(table + 36, 8), i, j;

	if (!CHECK("SLIT: as long as its matrix",
	           count <= NUMA_TEST_NODES_MAX &&
	                   slit->length_bytes == SLIT_ENTRIES + count * count))
		return;
	numa.node_count = count;
	for (i = 0; i < count; i++)
		for (j = 0; j < count; j++)
			numa.distances[i][j] = table[SLIT_ENTRIES + i * count + j];
}

void test_main(void)
{
	const struct acpi_header *srat = acpi_find("SRAT"), *slit = acpi_find("SLIT");

	if (!CHECK("there are SRAT and SLIT", srat && slit))
		return;
	CHECK("their sums are right", acpi_checksum_good(srat, srat->length_bytes) &&
	                                      acpi_checksum_good(slit, slit->length_bytes));
	memset(numa.cpu_nodes, 0xff, sizeof(numa.cpu_nodes));
	take_srat(srat);
	take_slit(slit);
	numa_test(&numa, true);
}
