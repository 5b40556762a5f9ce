/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* Nodes as a whole: no gap, all memory and every vCPU in one of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/config_private.h"
#include "ebb/device.h"

static struct vm_config config;

static int set_up(void **state)
{
	(void)state;
	vm_config_init(&config);
	config.memory.size_bytes = 4 * GIB;
	config.cpu_count = 4;
	return 0;
}

static struct numa_node_config *give(size_t number)
{
	struct numa_node_config *node = &config.numa.nodes[number];

	*node = (struct numa_node_config){ .given = true, .host_node = NUMA_HOST_NODE_ANY };
	if (config.numa.node_count <= number)
		config.numa.node_count = number + 1;
	return node;
}

static struct numa_node_config *give_mem(size_t number, uint64_t mem_bytes)
{
	struct numa_node_config *node = give(number);

	node->mem_given = true;
	node->mem_bytes = mem_bytes;
	return node;
}

static void refused(const char *message)
{
	struct error err = ERROR_INIT;

	assert_int_equal(config_complete_numa(&config, &err), -EINVAL);
	assert_string_equal(err.message, message);
}

static void taken(void)
{
	struct error err = ERROR_INIT;

	assert_int_equal(config_complete_numa(&config, &err), 0);
	assert_string_equal(err.message, "");
}

static void without_numa_there_are_no_nodes(void **state)
{
	(void)state;
	taken();
	assert_int_equal(config.numa.node_count, 0);
}

static void one_node_has_it_all(void **state)
{
	(void)state;
	config.memory.size_bytes = 513 * MIB + 4096;
	give(0);
	taken();
	assert_int_equal(config.numa.nodes[0].mem_bytes, 513 * MIB + 4096);
	assert_int_equal(config.numa.nodes[0].cpus, 0xf);
	give_mem(0, 513 * MIB + 4096);
	taken();
}

static void the_one_that_says_nothing_has_the_rest(void **state)
{
	(void)state;
	give_mem(0, GIB);
	give(1);
	give_mem(2, 512 * MIB);
	taken();
	assert_int_equal(config.numa.nodes[1].mem_bytes, 2560 * MIB);
	give_mem(0, 3584 * MIB);
	give(1);
	taken();
	assert_int_equal(config.numa.nodes[1].mem_bytes, 0);
	give(2);
	give(1);
	refused("--numa node=2: no mem (one node may leave it out and has the rest; node 1 does)");
}

static void memory_adds_up(void **state)
{
	(void)state;
	give_mem(0, 2 * GIB);
	give_mem(1, 2 * GIB);
	taken();
	give_mem(1, 2 * GIB - 2 * MIB);
	refused("--numa mem: the nodes have 4094M together, less than --mem 4G (a node that leaves "
	        "mem out has the rest)");
	give_mem(1, 2 * GIB + 2 * MIB);
	refused("--numa mem: the nodes have 4098M together, more than --mem 4G");
	give_mem(1, 5 * GIB);
	refused("--numa node=1 mem=5G: more than all memory (--mem is 4G)");
	give_mem(1, UINT64_MAX);
	refused("--numa node=1 mem=18446744073709551615: more than all memory (--mem is 4G)");
	give_mem(1, 0);
	give_mem(0, 4 * GIB);
	taken(); /* for a device alone */
}

static void no_huge_page_is_cut(void **state)
{
	(void)state;
	give(1);
	give_mem(0, 513 * MIB);
	refused("--numa node=0 mem=513M: uneven (give a multiple of 2M)");
	config.memory.backing.page_bytes = GIB;
	give_mem(0, 512 * MIB);
	refused("--numa node=0 mem=512M: uneven (give a multiple of 1G)");
	give_mem(0, GIB);
	taken();
}

static void numbers_have_no_gap(void **state)
{
	(void)state;
	give(2);
	give_mem(0, GIB);
	refused("--numa node=2: without node 1 (nodes are numbered from 0 without a gap; add it)");
}

static void vcpus_are_in_one_node_each(void **state)
{
	(void)state;
	give(0)->cpus = 0x1;
	give_mem(1, GIB)->cpus = 0x4;
	taken();
	assert_int_equal(config.numa.nodes[0].cpus, 0xb);
	assert_int_equal(config.numa.nodes[1].cpus, 0x4);
	give_mem(1, GIB)->cpus = 0xc;
	refused("--numa node=1 cpus=3: another node has that vCPU (leave it out in one of them)");
	give_mem(1, GIB)->cpus = 0x30;
	refused("--numa node=1 cpus=4: no such vCPU (--cpus 4 gives 0 to 3)");
}

static void vcpus_are_spread(void **state)
{
	static const struct {
		unsigned int cpus;
		uint64_t nodes[3];
	} rows[] = {
		{ 1, { 0x1, 0, 0 } },
		{ 2, { 0x1, 0x2, 0 } },
		{ 3, { 0x1, 0x2, 0x4 } },
		{ 4, { 0x3, 0x4, 0x8 } },
		{ 6, { 0x3, 0xc, 0x30 } },
		{ 64, { 0x3fffff, UINT64_C(0x7ffffc00000), UINT64_C(0xfffff80000000000) } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		config.cpu_count = rows[i].cpus;
		give(0);
		give_mem(1, 0);
		give_mem(2, 0);
		taken();
		for (size_t node = 0; node < 3; node++)
			assert_int_equal(config.numa.nodes[node].cpus, rows[i].nodes[node]);
	}
}

static void a_file_is_placed_by_the_host(void **state)
{
	(void)state;
	give(0)->host_node = 1;
	taken();
	give(0)->host_node = 1;
	config.memory.backing.kind = GMEM_FILE;
	refused("--numa node=0 host-node=1: the host places the file of --mem backing=file itself "
	        "(leave one of them out)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_numa_there_are_no_nodes, set_up),
		cmocka_unit_test_setup(one_node_has_it_all, set_up),
		cmocka_unit_test_setup(the_one_that_says_nothing_has_the_rest, set_up),
		cmocka_unit_test_setup(memory_adds_up, set_up),
		cmocka_unit_test_setup(no_huge_page_is_cut, set_up),
		cmocka_unit_test_setup(numbers_have_no_gap, set_up),
		cmocka_unit_test_setup(vcpus_are_in_one_node_each, set_up),
		cmocka_unit_test_setup(vcpus_are_spread, set_up),
		cmocka_unit_test_setup(a_file_is_placed_by_the_host, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
