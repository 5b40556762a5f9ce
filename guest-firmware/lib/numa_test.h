/* SPDX-License-Identifier: Apache-2.0 */
/* What machines' descriptions of NUMA are judged by, however they are told: ACPI or a device tree.
 */
#ifndef FIRMWARE_NUMA_TEST_H
#define FIRMWARE_NUMA_TEST_H

#include <stdbool.h>
#include <stdint.h>

#define NUMA_TEST_RANGES_MAX 32
#define NUMA_TEST_NODES_MAX  8
#define NUMA_TEST_CPUS_MAX   16

struct numa_description {
	unsigned int node_count, range_count;
	struct {
		uint64_t gpa, size_bytes;
		uint32_t node;
		bool hot_pluggable;
	} ranges[NUMA_TEST_RANGES_MAX];
	uint32_t cpu_nodes[NUMA_TEST_CPUS_MAX]; /* by hardware id; ~0: not told */
	uint8_t distances[NUMA_TEST_NODES_MAX][NUMA_TEST_NODES_MAX];
};

/* The command line has nodes=N, node0-mib=N and so on, cpu-nodes=0xNNN (a digit a CPU, the last one
 * is CPU 0's). hot_plug_told: ranges of memory devices have to be among the ranges. */
void numa_test(const struct numa_description *numa, bool hot_plug_told);

#endif
