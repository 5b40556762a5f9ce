/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the guest's nodes to nodes of the host: memory policies of mappings (mbind(2)). */
/* Syscalls: main,reclaim: mbind */
#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ebb/guest_memory.h"
#include "ebb/numa.h"

#define LONG_BITS      (8 * sizeof(unsigned long))
#define HOST_NODES_MAX 1024

int numa_bind(void *hva, uint64_t size_bytes, uint32_t host_node, bool move)
{
	unsigned long nodes[HOST_NODES_MAX / LONG_BITS] = { 0 };
	unsigned int flags = move ? MPOL_MF_MOVE | MPOL_MF_STRICT : 0;

	if (host_node >= HOST_NODES_MAX)
		return -EINVAL;
	nodes[host_node / LONG_BITS] = 1UL << host_node % LONG_BITS;
	/* The kernel counts one bit less than it is told. */
	if (syscall(SYS_mbind, hva, size_bytes, MPOL_BIND, nodes, HOST_NODES_MAX + 1, flags))
		return -errno;
	return 0;
}

static int cannot_bind(int code, unsigned int node, uint32_t host_node, struct error *err)
{
	if (code == -EINVAL)
		return error_set(err, code,
		                 "--numa node=%u host-node=%u: this host has no memory there (see "
		                 "/sys/devices/system/node/has_memory)",
		                 node, host_node);
	if (code == -ENOSYS)
		return error_set(err, -ENOTSUP,
		                 "--numa node=%u host-node=%u: this host's kernel has no NUMA "
		                 "(leave host-node out)",
		                 node, host_node);
	if (code == -EPERM)
		return error_set(err, code,
		                 "--numa node=%u host-node=%u: this process may not choose nodes "
		                 "(a container may forbid mbind; leave host-node out)",
		                 node, host_node);
	return error_set_errno(err, code, "--numa node=%u host-node=%u", node, host_node);
}

/* Also of nodes that have no memory yet: later is too late for a message. */
static int check_host_nodes(const struct numa_config *numa, struct error *err)
{
	unsigned long allowed[HOST_NODES_MAX / LONG_BITS] = { 0 };
	bool is_known = false;

	for (size_t i = 0; i < numa->node_count; i++) {
		uint32_t host_node = numa->nodes[i].host_node;

		if (host_node == NUMA_HOST_NODE_ANY)
			continue;
		if (!is_known && syscall(SYS_get_mempolicy, NULL, allowed, HOST_NODES_MAX, NULL,
		                         MPOL_F_MEMS_ALLOWED))
			return cannot_bind(-errno, (unsigned int)i, host_node, err);
		is_known = true;
		if (host_node >= HOST_NODES_MAX ||
		    !(allowed[host_node / LONG_BITS] >> host_node % LONG_BITS & 1))
			return cannot_bind(-EINVAL, (unsigned int)i, host_node, err);
	}
	return 0;
}

int numa_bind_memory(const struct vm_config *config, struct guest_memory *memory, struct error *err)
{
	struct numa_map map;
	int ret = numa_map(config, &map, err);

	if (!ret)
		ret = check_host_nodes(&config->numa, err);
	if (ret || !config->numa.node_count)
		return ret;
	for (size_t i = 0; !ret && i < map.range_count; i++) {
		const struct numa_range *range = &map.ranges[i];
		uint32_t host_node = config->numa.nodes[range->node].host_node;
		void *hva;

		if (range->is_device_memory || host_node == NUMA_HOST_NODE_ANY)
			continue;
		gmem_lock_shared(memory);
		hva = gmem_span(memory, range->gpa, range->size_bytes);
		ret = hva ? numa_bind(hva, range->size_bytes, host_node,
		                      config->memory.backing.prealloc)
		          : -EFAULT;
		gmem_unlock_shared(memory);
		if (ret)
			ret = cannot_bind(ret, range->node, host_node, err);
	}
	return ret;
}
