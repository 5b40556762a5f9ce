/* SPDX-License-Identifier: Apache-2.0 */
/* Boot memory dealt out to nodes in their order, device memory to its devices' nodes. Pure. */
#include "ebb/numa.h"

#include <assert.h>

#include "ebb/device_memory.h"

static void add_range(struct numa_map *map, gpa_t gpa, uint64_t size_bytes, unsigned int node,
                      bool is_device_memory)
{
	assert(map->range_count < NUMA_RANGES_MAX);
	map->ranges[map->range_count++] = (struct numa_range){
		.gpa = gpa,
		.size_bytes = size_bytes,
		.node = node,
		.is_device_memory = is_device_memory,
	};
}

/* Each node takes what is left of a range and goes on in the next. */
static void deal_out_boot_memory(const struct vm_config *config, struct numa_map *map)
{
	struct arch_memory_map memory;
	unsigned int node = 0;
	uint64_t node_left_bytes;

	arch_memory_map(config->memory.size_bytes, &memory);
	node_left_bytes = config->numa.node_count ? config->numa.nodes[0].mem_bytes
	                                          : config->memory.size_bytes;
	for (size_t i = 0; i < memory.range_count; i++) {
		gpa_t gpa = memory.ranges[i].gpa;
		uint64_t left_bytes = memory.ranges[i].size_bytes;

		while (left_bytes) {
			uint64_t part_bytes = min_u64(left_bytes, node_left_bytes);

			if (part_bytes)
				add_range(map, gpa, part_bytes, node, false);
			gpa += part_bytes;
			left_bytes -= part_bytes;
			node_left_bytes -= part_bytes;
			if (left_bytes) {
				assert(node + 1 < config->numa.node_count);
				node_left_bytes = config->numa.nodes[++node].mem_bytes;
			}
		}
	}
}

struct gmem_backing numa_backing(const struct vm_config *config, unsigned int node)
{
	struct gmem_backing backing = config->memory.backing;

	if (node < config->numa.node_count &&
	    config->numa.nodes[node].host_node != NUMA_HOST_NODE_ANY) {
		backing.has_host_node = true;
		backing.host_node = config->numa.nodes[node].host_node;
	}
	return backing;
}

int numa_map(const struct vm_config *config, struct numa_map *ret_map, struct error *err)
{
	const struct numa_config *numa = &config->numa;
	struct numa_map map = { .node_count = numa->node_count ? numa->node_count : 1 };
	struct device_memory_layout devices;
	int ret = device_memory_layout(config, &devices, err);

	if (ret)
		return ret;
	deal_out_boot_memory(config, &map);
	for (size_t i = 0; i < devices.range_count; i++)
		add_range(&map, devices.ranges[i].gpa, devices.ranges[i].size_bytes,
		          devices.ranges[i].node, true);
	for (size_t node = 0; node < numa->node_count; node++) {
		for (unsigned int cpu = 0; cpu < config->cpu_count; cpu++)
			if (numa->nodes[node].cpus >> cpu & 1)
				map.cpu_nodes[cpu] = (uint8_t)node;
	}
	*ret_map = map;
	return 0;
}
