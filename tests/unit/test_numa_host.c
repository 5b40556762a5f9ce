/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table fake_arch */
/* wraps: syscall */
/* Which mappings are bound to which node of the host, and what is said where that fails. */
#include <errno.h>
#include <linux/mempolicy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "ebb/guest_memory.h"
#include "ebb/numa.h"

#include "fake_arch.h"

static struct {
	struct vm_config config;
	struct guest_memory *memory;
	uint8_t *ram;
	int fail_errno;      /* mbind fails */
	int unknown_errno;   /* get_mempolicy fails */
	unsigned int probes; /* of get_mempolicy */
	size_t count;
	struct {
		uint8_t *hva;
		uint64_t size_bytes;
		int node; /* the one bit that is set */
		unsigned int flags;
	} binds[8];
} t;

long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	const unsigned long *nodes;
	unsigned long *mask, max;
	va_list arguments;

	if (number == SYS_get_mempolicy) {
		t.probes++;
		if (t.unknown_errno) {
			errno = t.unknown_errno;
			return -1;
		}
		va_start(arguments, number);
		assert_null(va_arg(arguments, void *));
		mask = va_arg(arguments, unsigned long *);
		assert_int_equal(va_arg(arguments, unsigned int), 1024);
		assert_null(va_arg(arguments, void *));
		assert_int_equal(va_arg(arguments, int), MPOL_F_MEMS_ALLOWED);
		va_end(arguments);
		mask[0] = 0x203; /* nodes 0, 1, 9 and 1023 */
		mask[15] = 1UL << 63;
		return 0;
	}
	assert_int_equal(number, SYS_mbind);
	assert_in_range(t.count, 0, ARRAY_SIZE(t.binds) - 1);
	if (t.fail_errno) {
		errno = t.fail_errno;
		return -1;
	}
	va_start(arguments, number);
	t.binds[t.count].hva = va_arg(arguments, uint8_t *);
	t.binds[t.count].size_bytes = va_arg(arguments, uint64_t);
	assert_int_equal(va_arg(arguments, int), MPOL_BIND);
	nodes = va_arg(arguments, const unsigned long *);
	max = va_arg(arguments, unsigned int);
	t.binds[t.count].flags = va_arg(arguments, unsigned int);
	va_end(arguments);
	assert_int_equal(max, 1025);
	t.binds[t.count].node = -1;
	for (int node = 0; node < 1024; node++) {
		if (!(nodes[node / 64] >> node % 64 & 1))
			continue;
		assert_int_equal(t.binds[t.count].node, -1);
		t.binds[t.count].node = node;
	}
	t.count++;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	fake_arch_reset();
	t.config.memory.size_bytes = 64 * MIB;
	t.config.cpu_count = 1;
	t.config.numa.node_count = 3;
	for (size_t node = 0; node < 3; node++)
		t.config.numa.nodes[node].host_node = NUMA_HOST_NODE_ANY;
	t.config.numa.nodes[0].mem_bytes = 16 * MIB;
	t.config.numa.nodes[1].mem_bytes = 2 * MIB;
	t.config.numa.nodes[2].mem_bytes = 46 * MIB;
	assert_int_equal(guest_memory_create(&t.memory, NULL), 0);
	assert_int_equal(gmem_add_region(t.memory, 0, 64 * MIB, NULL, NULL), 0);
	gmem_lock_shared(t.memory);
	t.ram = gmem_span(t.memory, 0, 64 * MIB);
	gmem_unlock_shared(t.memory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	guest_memory_destroy(t.memory);
	return 0;
}

static void nobody_asked(void **state)
{
	(void)state;
	assert_int_equal(numa_bind_memory(&t.config, t.memory, NULL), 0);
	t.config.numa.node_count = 0;
	assert_int_equal(numa_bind_memory(&t.config, t.memory, NULL), 0);
	assert_int_equal(t.count + t.probes, 0);
	assert_false(numa_backing(&t.config, 0).has_host_node);
}

static void parts_are_bound(void **state)
{
	(void)state;
	t.config.numa.nodes[1].host_node = 0;
	t.config.numa.nodes[2].host_node = 1023;
	assert_int_equal(numa_bind_memory(&t.config, t.memory, NULL), 0);
	assert_int_equal(t.count, 2);
	assert_ptr_equal(t.binds[0].hva, t.ram + 16 * MIB);
	assert_int_equal(t.binds[0].size_bytes, 2 * MIB);
	assert_int_equal(t.binds[0].node, 0);
	assert_int_equal(t.binds[0].flags, 0);
	assert_ptr_equal(t.binds[1].hva, t.ram + 18 * MIB);
	assert_int_equal(t.binds[1].size_bytes, 46 * MIB);
	assert_int_equal(t.binds[1].node, 1023);
	assert_int_equal(t.probes, 1);
}

/* What a memory device plugs comes from its node's node. */
static void areas_are_bound_as_they_are_plugged(void **state)
{
	struct gmem_backing backing;
	struct gmem_area *area;
	uint8_t *hva;

	(void)state;
	t.config.numa.nodes[1].host_node = 1;
	assert_false(numa_backing(&t.config, 0).has_host_node);
	assert_false(numa_backing(&t.config, 3).has_host_node);
	backing = numa_backing(&t.config, 1);
	assert_true(backing.has_host_node);
	assert_int_equal(backing.host_node, 1);
	assert_int_equal(gmem_add_area(t.memory, &(struct gmem_extent){ GIB, 64 * MIB, 2 * MIB },
	                               &backing, &area, NULL),
	                 0);
	assert_int_equal(t.count, 0);
	assert_int_equal(gmem_plug(area, GIB + 4 * MIB, 6 * MIB), 0);
	gmem_lock_shared(t.memory);
	hva = gmem_span(t.memory, GIB + 4 * MIB, 6 * MIB);
	gmem_unlock_shared(t.memory);
	assert_int_equal(t.count, 1);
	assert_ptr_equal(t.binds[0].hva, hva);
	assert_int_equal(t.binds[0].size_bytes, 6 * MIB);
	assert_int_equal(t.binds[0].node, 1);
	t.fail_errno = EIO;
	assert_int_equal(gmem_plug(area, GIB, 2 * MIB), -ENOMEM);
	assert_int_equal(gmem_area_plugged_bytes(area), 6 * MIB);
	assert_int_equal(gmem_unplug(area, GIB + 4 * MIB, 6 * MIB), 0);
	gmem_remove_area(area);
}

static void nodes_are_looked_for_at_the_start(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	/* Node 1 has no memory but what devices may bring. */
	t.config.numa.nodes[2].mem_bytes += t.config.numa.nodes[1].mem_bytes;
	t.config.numa.nodes[1].mem_bytes = 0;
	t.config.numa.nodes[1].host_node = 1;
	assert_int_equal(numa_bind_memory(&t.config, t.memory, &err), 0);
	assert_int_equal(t.count, 0);
	t.config.numa.nodes[1].host_node = 2;
	assert_int_equal(numa_bind_memory(&t.config, t.memory, &err), -EINVAL);
	assert_string_equal(err.message,
	                    "--numa node=1 host-node=2: this host has no memory there (see "
	                    "/sys/devices/system/node/has_memory)");
	t.config.numa.nodes[1].host_node = 1024;
	assert_int_equal(numa_bind_memory(&t.config, t.memory, &err), -EINVAL);
	t.unknown_errno = ENOSYS;
	assert_int_equal(numa_bind_memory(&t.config, t.memory, &err), -ENOTSUP);
	assert_string_equal(err.message,
	                    "--numa node=1 host-node=1024: this host's kernel has no NUMA (leave "
	                    "host-node out)");
}

static void what_is_there_already_moves(void **state)
{
	(void)state;
	t.config.numa.nodes[0].host_node = 1;
	t.config.memory.backing.prealloc = true;
	assert_int_equal(numa_bind_memory(&t.config, t.memory, NULL), 0);
	assert_int_equal(t.count, 1);
	assert_int_equal(t.binds[0].flags, MPOL_MF_MOVE | MPOL_MF_STRICT);
}

static void failures_are_explained(void **state)
{
	static const struct {
		int host_errno, code;
		const char *message;
	} rows[] = {
		{ EINVAL, -EINVAL,
		  "--numa node=2 host-node=9: this host has no memory there (see "
		  "/sys/devices/system/node/has_memory)" },
		{ ENOSYS, -ENOTSUP,
		  "--numa node=2 host-node=9: this host's kernel has no NUMA (leave host-node "
		  "out)" },
		{ EPERM, -EPERM,
		  "--numa node=2 host-node=9: this process may not choose nodes (a container may "
		  "forbid mbind; leave host-node out)" },
		{ EIO, -EIO, "--numa node=2 host-node=9: Input/output error" },
	};

	(void)state;
	t.config.numa.nodes[2].host_node = 9;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = ERROR_INIT;

		t.fail_errno = rows[i].host_errno;
		assert_int_equal(numa_bind_memory(&t.config, t.memory, &err), rows[i].code);
		assert_string_equal(err.message, rows[i].message);
	}
	assert_int_equal(numa_bind(t.ram, 4096, 1024, false), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parts_are_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(areas_are_bound_as_they_are_plugged, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(nodes_are_looked_for_at_the_start, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(what_is_there_already_moves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(failures_are_explained, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
