/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of --numa as a whole: numbers without a gap, all of memory and every vCPU in one node
 * each. Pure. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmdline.h"
#include "config_private.h"

#define NODE_ALIGNED_BYTES PAGE_2M_BYTES /* of a huge page no half lies in another node */

static int check_numbers(const struct numa_config *numa, struct error *err)
{
	for (size_t i = 0; i < numa->node_count; i++)
		if (!numa->nodes[i].given)
			return error_set(err, -EINVAL,
			                 "--numa node=%zu: without node %zu (nodes are numbered "
			                 "from 0 without a gap; add it)",
			                 numa->node_count - 1, i);
	return 0;
}

static int check_node_memory(const struct memory_config *memory, const struct numa_config *numa,
                             struct error *err)
{
	uint64_t aligned_bytes = max_u64(NODE_ALIGNED_BYTES, memory->backing.page_bytes);
	char text[SIZE_TEXT_MAX], limit_text[SIZE_TEXT_MAX];

	for (size_t i = 0; i < numa->node_count; i++) {
		const struct numa_node_config *node = &numa->nodes[i];

		cmdline_format_size(node->mem_bytes, text);
		if (node->mem_bytes > memory->size_bytes)
			return error_set(err, -EINVAL,
			                 "--numa node=%zu mem=%s: more than all memory (--mem is "
			                 "%s)",
			                 i, text,
			                 cmdline_format_size(memory->size_bytes, limit_text));
		/* All of memory may be in one node, whatever its size. */
		if (!is_aligned(node->mem_bytes, aligned_bytes) &&
		    node->mem_bytes != memory->size_bytes)
			return error_set(err, -EINVAL,
			                 "--numa node=%zu mem=%s: uneven (give a multiple of %s)",
			                 i, text, cmdline_format_size(aligned_bytes, limit_text));
		if (node->host_node != NUMA_HOST_NODE_ANY && memory->backing.kind == GMEM_FILE)
			return error_set(err, -EINVAL,
			                 "--numa node=%zu host-node=%u: the host places the file "
			                 "of --mem backing=file itself (leave one of them out)",
			                 i, node->host_node);
	}
	return 0;
}

/* At most 16 nodes of at most 16 TiB each: sums do not overflow. */
static int complete_node_memory(const struct memory_config *memory, struct numa_config *numa,
                                struct error *err)
{
	size_t without = numa->node_count;
	uint64_t sum_bytes = 0;
	char text[SIZE_TEXT_MAX], limit_text[SIZE_TEXT_MAX];

	for (size_t i = 0; i < numa->node_count; i++) {
		sum_bytes += numa->nodes[i].mem_bytes;
		if (numa->nodes[i].mem_given)
			continue;
		if (without < numa->node_count)
			return error_set(err, -EINVAL,
			                 "--numa node=%zu: no mem (one node may leave it out and "
			                 "has the rest; node %zu does)",
			                 i, without);
		without = i;
	}
	cmdline_format_size(sum_bytes, text);
	cmdline_format_size(memory->size_bytes, limit_text);
	if (sum_bytes > memory->size_bytes)
		return error_set(err, -EINVAL,
		                 "--numa mem: the nodes have %s together, more than --mem %s", text,
		                 limit_text);
	if (without < numa->node_count)
		numa->nodes[without].mem_bytes = memory->size_bytes - sum_bytes;
	else if (sum_bytes < memory->size_bytes)
		return error_set(err, -EINVAL,
		                 "--numa mem: the nodes have %s together, less than --mem %s (a "
		                 "node that leaves mem out has the rest)",
		                 text, limit_text);
	return 0;
}

/* Nobody said where vCPUs are: as many in each node, neighbours together. */
static void spread_cpus(struct numa_config *numa, unsigned int cpu_count)
{
	for (unsigned int cpu = 0; cpu < cpu_count; cpu++) {
		size_t node =
			cpu_count < numa->node_count ? cpu : cpu * numa->node_count / cpu_count;

		numa->nodes[node].cpus |= UINT64_C(1) << cpu;
	}
}

static int complete_cpus(struct numa_config *numa, unsigned int cpu_count, struct error *err)
{
	uint64_t all = cpu_count < 64 ? (UINT64_C(1) << cpu_count) - 1 : UINT64_MAX, placed = 0;

	for (size_t i = 0; i < numa->node_count; i++) {
		uint64_t unknown = numa->nodes[i].cpus & ~all, twice = numa->nodes[i].cpus & placed;

		if (unknown)
			return error_set(err, -EINVAL,
			                 "--numa node=%zu cpus=%d: no such vCPU (--cpus %u gives "
			                 "0 to %u)",
			                 i, __builtin_ctzll(unknown), cpu_count, cpu_count - 1);
		if (twice)
			return error_set(err, -EINVAL,
			                 "--numa node=%zu cpus=%d: another node has that vCPU "
			                 "(leave it out in one of them)",
			                 i, __builtin_ctzll(twice));
		placed |= numa->nodes[i].cpus;
	}
	if (placed)
		numa->nodes[0].cpus |= all & ~placed;
	else
		spread_cpus(numa, cpu_count);
	return 0;
}

int config_complete_numa(struct vm_config *config, struct error *err)
{
	struct numa_config *numa = &config->numa;
	int ret;

	if (!numa->node_count)
		return 0;
	ret = check_numbers(numa, err);
	if (!ret)
		ret = check_node_memory(&config->memory, numa, err);
	if (!ret)
		ret = complete_node_memory(&config->memory, numa, err);
	return ret ? ret : complete_cpus(numa, config->cpu_count, err);
}
