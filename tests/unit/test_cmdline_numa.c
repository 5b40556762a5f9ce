/* SPDX-License-Identifier: Apache-2.0 */
/* The words of --numa. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/cmdline.h"

static struct vm_config config;

static int set_up(void **state)
{
	(void)state;
	memset(&config, 0, sizeof(config));
	return 0;
}

static int parse(const char *words, struct error *err)
{
	char text[128];

	strcpy(text, words);
	return cmdline_parse_numa(&config, NULL, text, err);
}

static void keys_are_taken(void **state)
{
	const struct numa_node_config *nodes = config.numa.nodes;

	(void)state;
	assert_int_equal(parse("node=1,mem=2G,cpus=0-1,cpus=5,cpus=62-63,host-node=3", NULL), 0);
	assert_int_equal(config.numa.node_count, 2);
	assert_true(nodes[1].given && nodes[1].mem_given && !nodes[0].given);
	assert_int_equal(nodes[1].mem_bytes, 2 * GIB);
	assert_int_equal(nodes[1].cpus, UINT64_C(0xc000000000000023));
	assert_int_equal(nodes[1].host_node, 3);
	assert_int_equal(parse("mem=64,node=0", NULL), 0);
	assert_int_equal(config.numa.node_count, 2);
	assert_int_equal(nodes[0].mem_bytes, 64 * MIB);
	assert_int_equal(nodes[0].cpus, 0);
	assert_int_equal(nodes[0].host_node, NUMA_HOST_NODE_ANY);
	assert_int_equal(parse("node=15", NULL), 0);
	assert_int_equal(config.numa.node_count, 16);
	assert_false(nodes[15].mem_given);
}

static void mistakes_are_named(void **state)
{
	static const struct {
		const char *words, *message;
	} rows[] = {
		{ "", "--numa : unknown key (the keys are: node, mem, cpus, host-node)" },
		{ "mem=1G", "--numa: no node (give node=N,...)" },
		{ "node", "--numa node=: no number of a node (give 0 to 15)" },
		{ "node=16", "--numa node=16: no number of a node (give 0 to 15)" },
		{ "node=-1", "--numa node=-1: no number of a node (give 0 to 15)" },
		{ "node=0,mem=much", "--numa mem=much: not a size (give one such as 512M)" },
		{ "node=0,mem", "--numa mem=: not a size (give one such as 512M)" },
		{ "node=0,mem=99999999T", "--numa mem=99999999T: more than any guest" },
		{ "node=0,cpus=0-1,4", "--numa 4: a value without its key (repeat the key of a "
		                       "list: cpus=0-1,cpus=4)" },
		{ "node=0,cpus=3-1", "--numa cpus=3-1: no vCPUs (give one or a range within 0 to "
		                     "63, such as 0-3; repeat the key for more)" },
		{ "node=0,cpus=0-64", "--numa cpus=0-64: no vCPUs (give one or a range within 0 to "
		                      "63, such as 0-3; repeat the key for more)" },
		{ "node=0,cpus=",
		  "--numa cpus=: no vCPUs (give one or a range within 0 to 63, such "
		  "as 0-3; repeat the key for more)" },
		{ "node=0,cpus=0-1-2", "--numa cpus=0-1-2: no vCPUs (give one or a range within 0 "
		                       "to 63, such as 0-3; repeat the key for more)" },
		{ "node=0,cpus=18446744073709551615",
		  "--numa cpus=18446744073709551615: no vCPUs (give one or a range within 0 to 63, "
		  "such as 0-3; repeat the key for more)" },
		{ "node=0,host-node=1024",
		  "--numa host-node=1024: no number of a node (give 0 to 1023)" },
		{ "node=0,host-node", "--numa host-node=: no number of a node (give 0 to 1023)" },
		{ "node=0,cpu=1", "--numa cpu: unknown key (did you mean cpus?)" },
		{ "node=0,distance=3",
		  "--numa distance: unknown key (the keys are: node, mem, cpus, host-node)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(parse(rows[i].words, &err), -EINVAL);
		assert_string_equal(err.message, rows[i].message);
		assert_int_equal(config.numa.node_count, 0);
	}
}

static void a_node_is_given_once(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(parse("node=1,mem=1G", NULL), 0);
	assert_int_equal(parse("node=1,cpus=1", &err), -EINVAL);
	assert_string_equal(err.message, "--numa node=1: given twice (give each node once)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(keys_are_taken, set_up),
		cmocka_unit_test_setup(mistakes_are_named, set_up),
		cmocka_unit_test_setup(a_node_is_given_once, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
