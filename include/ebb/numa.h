/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's NUMA nodes as the architecture describes them: which memory and which vCPUs each has;
 * and where the host has their memory. */
#ifndef EBB_NUMA_H
#define EBB_NUMA_H

#include "ebb/arch.h"
#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/types.h"

struct guest_memory;

/* What the guest is told of the way from a node to itself and to another: what firmware says where
 * it knows no better (ACPI 6.5, 5.2.17, has 10 as the unit). */
static inline uint8_t numa_distance(size_t from, size_t to)
{
	return from == to ? 10 : 20;
}

/* A node's boot memory lies in one range, or goes over from one of the architecture's into the
 * next. */
#define NUMA_RANGES_MAX (ARCH_MEMORY_RANGES_MAX + NUMA_NODES_MAX + VM_DEVICES_MAX)

struct numa_range {
	gpa_t gpa;
	uint64_t size_bytes; /* not 0 */
	unsigned int node;
	bool is_device_memory; /* comes and goes; else boot memory */
};

struct numa_map {
	size_t node_count; /* at least 1 */
	size_t range_count;
	struct numa_range ranges[NUMA_RANGES_MAX]; /* ascending; boot memory first */
	uint8_t cpu_nodes[VM_CPUS_MAX];
};

/*
 * Pure. Of a configuration that vm_config_complete let pass; without --numa all is in node 0.
 * -EINVAL with a message: device memory does not fit into 64 bits.
 */
EBB_MUST_CHECK int numa_map(const struct vm_config *config, struct numa_map *ret_map,
                            struct error *err);

/*
 * Of what guest memory is there, each part whose node has a host_node comes from that node alone,
 * also what is there already. Set-up, once regions are there. -EINVAL: the host has no such node;
 * -ENOTSUP: it has no NUMA; -errno of the host. With a message.
 */
EBB_MUST_CHECK int numa_bind_memory(const struct vm_config *config, struct guest_memory *memory,
                                    struct error *err);

/* Pure: what is behind device memory of a node that vm_config_complete let pass: --mem's backing,
 * on the node's host_node. */
struct gmem_backing numa_backing(const struct vm_config *config, unsigned int node);

/* The same as numa_bind_memory of [hva, hva + size_bytes), whole pages; move: also what is there
 * already. -errno. */
EBB_MUST_CHECK int numa_bind(void *hva, uint64_t size_bytes, uint32_t host_node, bool move);

#endif
