/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes in the device tree: numa-node-id of harts and memory, distance-map. Words: lib/numa_test.h.
 */
#include "fdt.h"
#include "numa_test.h"
#include "platform.h"
#include "report.h"
#include "string.h"

static struct numa_description numa;

static void take_memory(void)
{
	uint64_t gpa, size_bytes;
	struct fdt_node node;
	unsigned int i, j;

	for (i = 0; fdt_find_type("memory", i, &node); i++)
		for (j = 0; fdt_reg(&node, j, &gpa, &size_bytes); j++) {
			if (numa.range_count == NUMA_TEST_RANGES_MAX)
				return;
			numa.ranges[numa.range_count].gpa = gpa;
			numa.ranges[numa.range_count].size_bytes = size_bytes;
			numa.ranges[numa.range_count++].node = fdt_u32(&node, "numa-node-id", ~0u);
		}
}

static void take_harts(void)
{
	struct fdt_node node;
	unsigned int i;
	uint32_t id;

	for (i = 0; fdt_find_type("cpu", i, &node); i++) {
		id = fdt_u32(&node, "reg", ~0u);
		if (id < NUMA_TEST_CPU_IDS)
			numa.cpu_nodes[id] = fdt_u32(&node, "numa-node-id", ~0u);
	}
}

/* Rows of three cells: from, to, distance. */
static void take_distances(void)
{
	uint32_t size_bytes, row;
	struct fdt_node node;
	const uint8_t *matrix;

	if (!CHECK("there is a distance map",
	           fdt_find_compatible("numa-distance-map-v1", 0, &node)))
		return;
	matrix = fdt_property(&node, "distance-matrix", &size_bytes);
	for (row = 0; matrix && (row + 1) * 12 <= size_bytes; row++) {
		uint32_t from = fdt_cell(matrix, row * 3), to = fdt_cell(matrix, row * 3 + 1);

		if (from >= NUMA_TEST_NODES_MAX || to >= NUMA_TEST_NODES_MAX)
			continue;
		numa.distances[from][to] = (uint8_t)fdt_cell(matrix, row * 3 + 2);
		if (from + 1 > numa.node_count)
			numa.node_count = from + 1;
	}
}

void test_main(void)
{
	memset(numa.cpu_nodes, 0xff, sizeof(numa.cpu_nodes));
	take_memory();
	take_harts();
	take_distances();
	numa_test(&numa, false);
}
