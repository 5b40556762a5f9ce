/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's NUMA nodes as the architecture describes them: which memory and which vCPUs each has.
 * Pure. */
#ifndef EBB_NUMA_H
#define EBB_NUMA_H

#include "ebb/arch.h"
#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/types.h"

/* What the guest is told of the way from a node to itself and to another: what firmware says where
 * it knows no better (ACPI 6.5, 5.2.17, has 10 as the unit). */
#define NUMA_DISTANCE_LOCAL  10
#define NUMA_DISTANCE_REMOTE 20

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
 * Of a configuration that vm_config_complete let pass; without --numa all is in node 0. -EINVAL
 * with a message: device memory does not fit into 64 bits.
 */
EBB_MUST_CHECK int numa_map(const struct vm_config *config, struct numa_map *ret_map,
                            struct error *err);

#endif
