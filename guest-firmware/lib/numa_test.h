/* SPDX-License-Identifier: Apache-2.0 */
/* What machines' descriptions of NUMA are judged by, however they are told: ACPI or a device tree.
 */
#ifndef FIRMWARE_NUMA_TEST_H
#define FIRMWARE_NUMA_TEST_H

#include <stdbool.h>
#include <stdint.h>

#define NUMA_TEST_RANGES_MAX 32
#define NUMA_TEST_NODES_MAX  8
#define NUMA_TEST_CPU_IDS    256

struct numa_description {
	unsigned int node_count, range_count;
	struct {
		uint64_t gpa, size_bytes;
		uint32_t node;
		bool hot_pluggable;
	} ranges[NUMA_TEST_RANGES_MAX];
	uint32_t cpu_nodes[NUMA_TEST_CPU_IDS]; /* by hardware id; ~0: not told */
	uint8_t distances[NUMA_TEST_NODES_MAX][NUMA_TEST_NODES_MAX];
};

/* The command line has nodes=N, node0-mib=N and so on, cpu-nodes=0xNNN (a digit a CPU, in their
 * order, the last one is the first's). hot_plug_told: ranges of memory devices have to be among the
 * ranges. */
void numa_test(const struct numa_description *numa, bool hot_plug_told);

#endif
