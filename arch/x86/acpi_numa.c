/* SPDX-License-Identifier: Apache-2.0 */
/* SRAT and SLIT: which node memory and CPUs are in, and how far nodes are apart. (ACPI 6.5, 5.2.16
 * and 5.2.17.) A proximity domain is a node's number. */
#include "acpi_private.h"

#define SRAT_REVISION      3
#define SRAT_RESERVED_1    1 /* 5.2.16: this value, for compatibility */
#define SRAT_LOCAL_APIC    0
#define SRAT_MEMORY        1
#define SRAT_ENABLED       (1U << 0)
#define SRAT_HOT_PLUGGABLE (1U << 1) /* of memory alone */
#define SLIT_REVISION      1

/* 5.2.16.1. Local APIC ids are all below 255 (topology.c): no x2APIC structures. */
static void put_cpu(struct acpi_writer *writer, unsigned int apic_id, unsigned int node)
{
	acpi_put_int(writer, SRAT_LOCAL_APIC, 1);
	acpi_put_int(writer, 16, 1);
	acpi_put_int(writer, node, 1);
	acpi_put_int(writer, apic_id, 1);
	acpi_put_int(writer, SRAT_ENABLED, 4);
	acpi_put_int(writer, 0, 1);    /* local SAPIC EID */
	acpi_put_zeros(writer, 3 + 4); /* the node's number above 255, clock domain */
}

/* 5.2.16.2. */
static void put_memory(struct acpi_writer *writer, const struct numa_range *range)
{
	acpi_put_int(writer, SRAT_MEMORY, 1);
	acpi_put_int(writer, 40, 1);
	acpi_put_int(writer, range->node, 4);
	acpi_put_int(writer, 0, 2);
	acpi_put_int(writer, range->gpa, 8);
	acpi_put_int(writer, range->size_bytes, 8);
	acpi_put_int(writer, 0, 4);
	acpi_put_int(writer, SRAT_ENABLED | (range->is_device_memory ? SRAT_HOT_PLUGGABLE : 0), 4);
	acpi_put_int(writer, 0, 8);
}

/* By nodes: guests number nodes in the order in which they see them, CPUs before memory. */
size_t acpi_write_srat(struct acpi_writer *writer, const struct acpi_config *config)
{
	const struct numa_map *map = config->numa;
	size_t table = acpi_table_begin(writer, "SRAT", SRAT_REVISION);

	acpi_put_int(writer, SRAT_RESERVED_1, 4);
	acpi_put_int(writer, 0, 8);
	for (unsigned int node = 0; node < map->node_count; node++) {
		for (unsigned int cpu = 0; cpu < config->cpu_count; cpu++)
			if (map->cpu_nodes[cpu] == node)
				put_cpu(writer, config->apic_ids[cpu], node);
	}
	for (size_t i = 0; i < map->range_count; i++)
		put_memory(writer, &map->ranges[i]);
	acpi_table_end(writer, table);
	return table;
}

size_t acpi_write_slit(struct acpi_writer *writer, const struct acpi_config *config)
{
	size_t count = config->numa->node_count;
	size_t table = acpi_table_begin(writer, "SLIT", SLIT_REVISION);

	acpi_put_int(writer, count, 8);
	for (size_t i = 0; i < count * count; i++)
		acpi_put_int(writer, numa_distance(i / count, i % count), 1);
	acpi_table_end(writer, table);
	return table;
}
