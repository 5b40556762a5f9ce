/* SPDX-License-Identifier: Apache-2.0 */
/* --numa node=N[,mem=SIZE][,cpus=FIRST[-LAST]]…[,host-node=N]: one node of the guest's. */
#include "cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOST_NODE_MAX 1023 /* what Linux counts to, everywhere */

struct node_words {
	bool has_number;
	uint64_t number;
	struct numa_node_config node;
};

static int parse_number(struct node_words *words, const char *value, struct error *err)
{
	if (!value || cmdline_parse_uint(value, &words->number) || words->number >= NUMA_NODES_MAX)
		return error_set(err, -EINVAL, "--numa node=%s: no number of a node (give 0 to %d)",
		                 value ? value : "", NUMA_NODES_MAX - 1);
	words->has_number = true;
	return 0;
}

static int parse_mem(struct node_words *words, const char *value, struct error *err)
{
	int ret = value ? cmdline_parse_size(value, MIB, &words->node.mem_bytes) : -EINVAL;

	if (ret == -ERANGE)
		return error_set(err, -EINVAL, "--numa mem=%s: more than any guest", value);
	if (ret)
		return error_set(err, -EINVAL, "--numa mem=%s: not a size (give one such as 512M)",
		                 value ? value : "");
	words->node.mem_given = true;
	return 0;
}

/* "2" or "0-3". */
static bool parse_cpu_range(const char *value, uint64_t *ret_first, uint64_t *ret_last)
{
	char text[16];
	char *dash;

	if (!value || strlen(value) >= sizeof(text))
		return false;
	strcpy(text, value);
	dash = strchr(text, '-');
	if (dash)
		*dash = '\0';
	if (cmdline_parse_uint(text, ret_first) ||
	    cmdline_parse_uint(dash ? dash + 1 : text, ret_last))
		return false;
	return *ret_first <= *ret_last && *ret_last < VM_CPUS_MAX;
}

static int parse_cpus(struct node_words *words, const char *value, struct error *err)
{
	uint64_t first, last;

	if (!parse_cpu_range(value, &first, &last))
		return error_set(err, -EINVAL,
		                 "--numa cpus=%s: no vCPUs (give one or a range within 0 to %d, "
		                 "such as 0-3; repeat the key for more)",
		                 value ? value : "", VM_CPUS_MAX - 1);
	for (uint64_t cpu = first; cpu <= last; cpu++)
		words->node.cpus |= UINT64_C(1) << cpu;
	return 0;
}

static int parse_host_node(struct node_words *words, const char *value, struct error *err)
{
	uint64_t number;

	if (!value || cmdline_parse_uint(value, &number) || number > HOST_NODE_MAX)
		return error_set(err, -EINVAL,
		                 "--numa host-node=%s: no number of a node (give 0 to %d)",
		                 value ? value : "", HOST_NODE_MAX);
	words->node.host_node = (uint32_t)number;
	return 0;
}

static const struct numa_key {
	const char *name;
	int (*parse)(struct node_words *words, const char *value, struct error *err);
} numa_keys[] = {
	{ "node", parse_number },
	{ "mem", parse_mem },
	{ "cpus", parse_cpus },
	{ "host-node", parse_host_node },
};

static int parse_key(struct node_words *words, const char *name, const char *value,
                     struct error *err)
{
	struct cmdline_nearest nearest = { .word = name };

	for (size_t i = 0; i < ARRAY_SIZE(numa_keys); i++) {
		if (strcmp(numa_keys[i].name, name) == 0)
			return numa_keys[i].parse(words, value, err);
		cmdline_nearest_offer(&nearest, numa_keys[i].name);
	}
	if (*name >= '0' && *name <= '9')
		return error_set(err, -EINVAL,
		                 "--numa %s: a value without its key (repeat the key of a list: "
		                 "cpus=0-1,cpus=%s)",
		                 name, name);
	if (nearest.best)
		return error_set(err, -EINVAL, "--numa %s: unknown key (did you mean %s?)", name,
		                 nearest.best);
	return error_set(err, -EINVAL,
	                 "--numa %s: unknown key (the keys are: node, mem, cpus, host-node)", name);
}

int cmdline_parse_numa(void *target, const struct cmdline_option *option, const char *value,
                       struct error *err)
{
	struct numa_config *numa = &((struct vm_config *)target)->numa;
	struct node_words words = { .node = { .given = true, .host_node = NUMA_HOST_NODE_ANY } };
	char *list = (char *)(uintptr_t)value, *name, *key_value;

	(void)option;
	while (cmdline_next_key(&list, &name, &key_value)) {
		int ret = parse_key(&words, name, key_value, err);

		if (ret)
			return ret;
	}
	if (!words.has_number)
		return error_set(err, -EINVAL, "--numa: no node (give node=N,...)");
	if (numa->nodes[words.number].given)
		return error_set(err, -EINVAL, "--numa node=%u: given twice (give each node once)",
		                 (unsigned int)words.number);
	numa->nodes[words.number] = words.node;
	if (numa->node_count <= words.number)
		numa->node_count = words.number + 1;
	return 0;
}
