/* SPDX-License-Identifier: Apache-2.0 */
/* APIC ids: unique, of packages that are nodes, 0 for vCPU 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../arch/x86/topology.h"

static struct vm_config config;

static int set_up(void **state)
{
	(void)state;
	memset(&config, 0, sizeof(config));
	return 0;
}

/* Whatever the nodes: no id twice, none too high, and CPUs of two nodes in no common package. */
static void check(void)
{
	struct x86_package package = x86_topology_package(&config);
	unsigned int ids[VM_CPUS_MAX];

	assert_int_equal(x86_topology_apic_id(&config, 0), 0);
	for (unsigned int cpu = 0; cpu < config.cpu_count; cpu++) {
		ids[cpu] = x86_topology_apic_id(&config, cpu);
		assert_in_range(ids[cpu], 0, X86_XAPIC_IDS_MAX - 1);
		for (unsigned int other = 0; other < cpu; other++) {
			bool same_node = false;

			assert_int_not_equal(ids[cpu], ids[other]);
			for (size_t node = 0; node < config.numa.node_count; node++)
				same_node |= config.numa.nodes[node].cpus >> cpu & 1 &&
				             config.numa.nodes[node].cpus >> other & 1;
			if (package.cpus < config.cpu_count)
				assert_int_equal(ids[cpu] >> package.id_bits ==
				                         ids[other] >> package.id_bits,
				                 same_node);
		}
	}
}

static void without_nodes_there_is_one_package(void **state)
{
	(void)state;
	for (config.cpu_count = 1; config.cpu_count <= VM_CPUS_MAX; config.cpu_count++) {
		struct x86_package package = x86_topology_package(&config);

		assert_int_equal(package.cpus, config.cpu_count);
		assert_in_range(1U << package.id_bits, config.cpu_count, 2 * config.cpu_count - 1);
		for (unsigned int cpu = 0; cpu < config.cpu_count; cpu++)
			assert_int_equal(x86_topology_apic_id(&config, cpu), cpu);
	}
}

/* Also when another node has memory. */
static void one_node_with_cpus_is_one_package(void **state)
{
	(void)state;
	config.cpu_count = 5;
	config.numa.node_count = 2;
	config.numa.nodes[1].cpus = 0x1f;
	assert_int_equal(x86_topology_package(&config).cpus, 5);
	assert_int_equal(x86_topology_apic_id(&config, 4), 4);
}

static void a_node_is_a_package(void **state)
{
	(void)state;
	config.cpu_count = 4;
	config.numa.node_count = 2;
	config.numa.nodes[0].cpus = 0x3;
	config.numa.nodes[1].cpus = 0xc;
	assert_int_equal(x86_topology_package(&config).cpus, 2);
	assert_int_equal(x86_topology_package(&config).id_bits, 3);
	assert_int_equal(x86_topology_apic_id(&config, 1), 1);
	assert_int_equal(x86_topology_apic_id(&config, 2), 8);
	assert_int_equal(x86_topology_apic_id(&config, 3), 9);
	check();
	/* vCPU 0 has id 0 wherever it is. */
	config.numa.nodes[0].cpus = 0x2;
	config.numa.nodes[1].cpus = 0xd;
	assert_int_equal(x86_topology_package(&config).cpus, 3);
	assert_int_equal(x86_topology_apic_id(&config, 1), 8);
	assert_int_equal(x86_topology_apic_id(&config, 2), 1);
	assert_int_equal(x86_topology_apic_id(&config, 3), 2);
	check();
}

static void any_nodes_have_ids(void **state)
{
	(void)state;
	for (unsigned int nodes = 2; nodes <= NUMA_NODES_MAX; nodes++) {
		for (unsigned int cpus = 1; cpus <= VM_CPUS_MAX; cpus += 7) {
			memset(&config, 0, sizeof(config));
			config.cpu_count = cpus;
			config.numa.node_count = nodes;
			for (unsigned int cpu = 0; cpu < cpus; cpu++)
				config.numa.nodes[cpu * 5 % nodes].cpus |= UINT64_C(1) << cpu;
			check();
		}
	}
}

/* 16 packages of up to 49 need more than 254 ids: one package then. */
static void ids_run_out(void **state)
{
	(void)state;
	config.cpu_count = VM_CPUS_MAX;
	config.numa.node_count = NUMA_NODES_MAX;
	for (size_t node = 1; node < NUMA_NODES_MAX; node++)
		config.numa.nodes[node].cpus = UINT64_C(1) << node;
	config.numa.nodes[0].cpus = ~UINT64_C(0xfffe);
	assert_int_equal(x86_topology_package(&config).cpus, VM_CPUS_MAX);
	assert_int_equal(x86_topology_apic_id(&config, 63), 63);
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_nodes_there_is_one_package, set_up),
		cmocka_unit_test_setup(one_node_with_cpus_is_one_package, set_up),
		cmocka_unit_test_setup(a_node_is_a_package, set_up),
		cmocka_unit_test_setup(any_nodes_have_ids, set_up),
		cmocka_unit_test_setup(ids_run_out, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
