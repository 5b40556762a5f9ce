/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* Which node each range of memory and each vCPU is in, over the architecture's real memory map. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/device.h"
#include "ebb/numa.h"

static struct vm_config config;
static struct arch_memory_map memory;

static int set_up(void **state)
{
	(void)state;
	memset(&config, 0, sizeof(config));
	config.memory.size_bytes = 6 * GIB;
	config.cpu_count = 4;
	arch_memory_map(config.memory.size_bytes, &memory);
	return 0;
}

static struct numa_map map(void)
{
	struct numa_map made;
	struct error err = ERROR_INIT;

	assert_int_equal(numa_map(&config, &made, &err), 0);
	return made;
}

static struct device_config *add_device(uint64_t size_bytes, unsigned int node)
{
	struct device_config *device = &config.devices[config.device_count++];

	device_config_init(device, "virtio-mem");
	device_config_set_number(device, "size", size_bytes);
	device_config_set_number(device, "node", node);
	return device;
}

static void without_numa_there_is_one_node(void **state)
{
	struct numa_map made = map();

	(void)state;
	assert_int_equal(made.node_count, 1);
	assert_int_equal(made.range_count, memory.range_count);
	for (size_t i = 0; i < memory.range_count; i++) {
		assert_int_equal(made.ranges[i].gpa, memory.ranges[i].gpa);
		assert_int_equal(made.ranges[i].size_bytes, memory.ranges[i].size_bytes);
		assert_int_equal(made.ranges[i].node, 0);
		assert_false(made.ranges[i].is_device_memory);
	}
	for (unsigned int cpu = 0; cpu < 4; cpu++)
		assert_int_equal(made.cpu_nodes[cpu], 0);
}

/* Whatever the nodes: in address order each byte of memory once, and each node what it shall have.
 */
static void check(const struct numa_map *made)
{
	uint64_t node_bytes[NUMA_NODES_MAX] = { 0 };
	size_t index = 0;

	for (size_t i = 0; i < memory.range_count; i++) {
		gpa_t gpa = memory.ranges[i].gpa;
		gpa_t end_gpa = gpa + memory.ranges[i].size_bytes;

		for (; gpa < end_gpa; index++) {
			assert_in_range(index, 0, made->range_count - 1);
			assert_int_equal(made->ranges[index].gpa, gpa);
			assert_true(made->ranges[index].size_bytes);
			assert_false(made->ranges[index].is_device_memory);
			node_bytes[made->ranges[index].node] += made->ranges[index].size_bytes;
			gpa += made->ranges[index].size_bytes;
		}
		assert_int_equal(gpa, end_gpa);
	}
	assert_true(index == made->range_count || made->ranges[index].is_device_memory);
	for (size_t node = 0; node < NUMA_NODES_MAX; node++)
		assert_int_equal(node_bytes[node], config.numa.nodes[node].mem_bytes);
}

static void memory_is_dealt_out(void **state)
{
	static const uint64_t rows[][4] = {
		{ 2 * GIB, 4 * GIB },
		{ 3 * GIB, 3 * GIB },
		{ 4 * GIB, 2 * GIB },
		{ 0, 6 * GIB },
		{ 6 * GIB, 0 },
		{ 2 * MIB, 0, 6 * GIB - 4 * MIB, 2 * MIB },
		{ GIB, GIB, GIB, 3 * GIB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct numa_map made;

		config.numa.node_count = 4;
		for (size_t node = 0; node < 4; node++)
			config.numa.nodes[node].mem_bytes = rows[i][node];
		made = map();
		assert_int_equal(made.node_count, 4);
		check(&made);
	}
}

static void most_ranges_fit(void **state)
{
	struct numa_map made;

	(void)state;
	config.numa.node_count = NUMA_NODES_MAX;
	for (size_t node = 0; node < NUMA_NODES_MAX; node++)
		config.numa.nodes[node].mem_bytes = 6 * GIB / NUMA_NODES_MAX;
	for (unsigned int i = 0; i < VM_DEVICES_MAX; i++)
		add_device(2 * MIB, i % NUMA_NODES_MAX);
	made = map();
	check(&made);
	assert_in_range(made.range_count, NUMA_NODES_MAX + VM_DEVICES_MAX, NUMA_RANGES_MAX);
}

static void device_memory_is_in_its_devices_node(void **state)
{
	struct numa_map made;
	const struct numa_range *ranges;

	(void)state;
	config.numa.node_count = 2;
	config.numa.nodes[0].mem_bytes = 6 * GIB;
	add_device(8 * GIB, 1);
	add_device(2 * MIB, 0);
	made = map();
	check(&made);
	ranges = &made.ranges[memory.range_count];
	assert_int_equal(made.range_count, memory.range_count + 2);
	assert_int_equal(ranges[0].gpa, memory.device_memory_gpa);
	assert_int_equal(ranges[0].size_bytes, 8 * GIB);
	assert_int_equal(ranges[0].node, 1);
	assert_true(ranges[0].is_device_memory && ranges[1].is_device_memory);
	assert_int_equal(ranges[1].gpa, memory.device_memory_gpa + 8 * GIB);
	assert_int_equal(ranges[1].node, 0);
}

static void vcpus_have_nodes(void **state)
{
	struct numa_map made;

	(void)state;
	config.numa.node_count = 3;
	config.numa.nodes[2].mem_bytes = 6 * GIB;
	config.numa.nodes[1].cpus = 0x9;
	config.numa.nodes[2].cpus = 0x4;
	config.numa.nodes[0].cpus = 0x2;
	made = map();
	assert_int_equal(made.cpu_nodes[0], 1);
	assert_int_equal(made.cpu_nodes[1], 0);
	assert_int_equal(made.cpu_nodes[2], 2);
	assert_int_equal(made.cpu_nodes[3], 1);
}

static void device_memory_must_fit(void **state)
{
	struct numa_map made = { .node_count = 77 };
	struct error err = ERROR_INIT;

	(void)state;
	add_device(UINT64_MAX - 2 * MIB + 1, 0);
	assert_int_equal(numa_map(&config, &made, &err), -EINVAL);
	assert_true(err.message[0]);
	assert_int_equal(made.node_count, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_numa_there_is_one_node, set_up),
		cmocka_unit_test_setup(memory_is_dealt_out, set_up),
		cmocka_unit_test_setup(most_ranges_fit, set_up),
		cmocka_unit_test_setup(device_memory_is_in_its_devices_node, set_up),
		cmocka_unit_test_setup(vcpus_have_nodes, set_up),
		cmocka_unit_test_setup(device_memory_must_fit, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
