/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes as the command line says, memory and CPUs all in one of them, memory devices too. */
#include "numa_test.h"
#include "acpi.h"
#include "command_line.h"
#include "memory_device.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define MIB_SHIFT      20
#define SELF_DISTANCE  10
#define ROUNDING_BYTES (1u << 20) /* a PC keeps some of the first MiB to itself */

/* Bytes of [gpa, gpa + size_bytes) that are in the description's ranges of boot memory. */
static uint64_t covered(const struct numa_description *numa, uint64_t gpa, uint64_t size_bytes)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < numa->range_count; i++) {
		uint64_t start = numa->ranges[i].gpa, end = start + numa->ranges[i].size_bytes;

		start = start > gpa ? start : gpa;
		end = end < gpa + size_bytes ? end : gpa + size_bytes;
		if (!numa->ranges[i].hot_pluggable && start < end)
			sum += end - start;
	}
	return sum;
}

static void test_boot_memory(const struct numa_description *numa)
{
	uint64_t sums[NUMA_TEST_NODES_MAX] = { 0 }, wanted;
	char name[16];
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++)
		if (boot_info.memory_map[i].type == MEMORY_MAP_RAM)
			EXPECT_EQUAL("all RAM is in a node",
			             covered(numa, boot_info.memory_map[i].gpa,
			                     boot_info.memory_map[i].size_bytes),
			             boot_info.memory_map[i].size_bytes);
	report_section("all RAM is in one node, and in no other");
	for (i = 0; i < numa->range_count; i++)
		if (!numa->ranges[i].hot_pluggable && numa->ranges[i].node < NUMA_TEST_NODES_MAX)
			sums[numa->ranges[i].node] += numa->ranges[i].size_bytes;
	for (i = 0; i < numa->node_count; i++) {
		string_format(name, sizeof(name), "node%u-mib", i);
		wanted = option_u64(name, 0) << MIB_SHIFT;
		EXPECT("each node has what it was given",
		       sums[i] <= wanted && sums[i] + ROUNDING_BYTES >= wanted);
	}
	report_section("each node has what it was given");
}

static void test_cpus(const struct numa_description *numa)
{
	uint64_t wanted = option_u64("cpu-nodes", 0);
	unsigned int i;

	for (i = 0; i < acpi_cpu_count(); i++)
		EXPECT_EQUAL("each CPU is in its node",
		             numa->cpu_nodes[acpi_cpu_id(i) % NUMA_TEST_CPU_IDS],
		             wanted >> 4 * i & 15);
	report_section("each CPU is in its node");
}

static void test_distances(const struct numa_description *numa)
{
	unsigned int i, j;

	for (i = 0; i < numa->node_count; i++)
		for (j = 0; j < numa->node_count; j++)
			EXPECT("distances: 10 to itself, more to others, the same back",
			       (numa->distances[i][j] == SELF_DISTANCE) == (i == j) &&
			               numa->distances[i][j] >= SELF_DISTANCE &&
			               numa->distances[i][j] == numa->distances[j][i]);
	report_section("distances: 10 to itself, more to others, the same back");
}

static bool has_hot_pluggable(const struct numa_description *numa,
                              const struct virtio_mem_config *config)
{
	unsigned int i;

	for (i = 0; i < numa->range_count; i++)
		if (numa->ranges[i].hot_pluggable && numa->ranges[i].gpa == config->addr &&
		    numa->ranges[i].size_bytes == config->region_size)
			return numa->ranges[i].node == config->node_id;
	return false;
}

static void test_devices(const struct numa_description *numa, bool hot_plug_told)
{
	struct virtio_mem_config config;
	struct virtio_device vdev;
	unsigned int i;

	for (i = 0; virtio_find(VIRTIO_ID_MEM, i, &vdev); i++) {
		EXPECT("a memory device says its node",
		       virtio_begin(&vdev) &&
		               vdev.device_features & FEATURE(VIRTIO_MEM_F_ACPI_PXM));
		mem_config(&vdev, &config);
		EXPECT("its node is one", config.node_id < numa->node_count);
		EXPECT("its region is in the description, or is not to be",
		       !hot_plug_told || has_hot_pluggable(numa, &config));
		EXPECT_EQUAL("its region is no boot memory",
		             covered(numa, config.addr, config.region_size), 0);
		print("memory device at 0x%lx: node %u\n", (unsigned long)config.addr,
		      config.node_id);
	}
	report_section("memory devices are in their nodes");
	CHECK_EQUAL("so many there are", i, option_u64("devices", 0));
}

void numa_test(const struct numa_description *numa, bool hot_plug_told)
{
	if (!CHECK_EQUAL("nodes", numa->node_count, option_u64("nodes", 0)))
		return;
	test_boot_memory(numa);
	test_cpus(numa);
	test_distances(numa);
	test_devices(numa, hot_plug_told);
}
