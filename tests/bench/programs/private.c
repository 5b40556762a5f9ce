/* SPDX-License-Identifier: Apache-2.0 */
/* What memory of a VMM is its own, and what is its guest's. */
/*
 * DOC: Guest RAM is a mapping of at least half of its size, or of at least 1 GiB (RAM of more than
 * 3 GiB is in two pieces around the hole for devices, and the lower may be less than half), or one
 * of an inode whose mappings are that large together (a memfd that is mapped in pieces). The rest
 * is the VMM's, as far as it is private: what is shared with others (the C library's pages, as long
 * as another process has them) is not counted.
 */
#include "private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB_PER_MIB  1024
#define UNKNOWN_MIB  96 /* more than a thread's heap, less than any guest */
#define PIECE_MIB    1024
#define MAPPINGS_MAX 8192

struct mapping {
	unsigned long inode;
	uint64_t size_kib, rss_kib, private_kib, anonymous_kib;
};

struct mappings {
	size_t count;
	struct mapping all[MAPPINGS_MAX];
};

/* One line of smaps: a mapping begins, or something is said of the last one. */
static void take_line(struct mappings *mappings, const char *line)
{
	struct mapping *last = mappings->count ? &mappings->all[mappings->count - 1] : NULL;
	unsigned long inode;
	uint64_t kib;
	char key[32];

	if (sscanf(line, "%*x-%*x %*4s %*x %*x:%*x %lu", &inode) == 1) {
		if (mappings->count < MAPPINGS_MAX)
			mappings->all[mappings->count++] = (struct mapping){ .inode = inode };
		return;
	}
	if (!last || sscanf(line, "%31[A-Za-z_]: %lu kB", key, &kib) != 2)
		return;
	if (!strcmp(key, "Size"))
		last->size_kib = kib;
	else if (!strcmp(key, "Rss"))
		last->rss_kib = kib;
	else if (!strcmp(key, "Anonymous"))
		last->anonymous_kib = kib;
	else if (!strcmp(key, "Private_Clean") || !strcmp(key, "Private_Dirty"))
		last->private_kib += kib;
}

static bool is_ram(const struct mappings *mappings, const struct mapping *mapping,
                   uint64_t least_kib)
{
	uint64_t together_kib = 0;

	if (mapping->size_kib >= least_kib)
		return true;
	for (size_t i = 0; mapping->inode && i < mappings->count; i++)
		if (mappings->all[i].inode == mapping->inode)
			together_kib += mappings->all[i].size_kib;
	return together_kib >= least_kib;
}

static struct private_memory add_up(const struct mappings *mappings, uint64_t least_kib)
{
	struct private_memory sum = { 0 };

	for (size_t i = 0; i < mappings->count; i++) {
		const struct mapping *mapping = &mappings->all[i];
		uint64_t anonymous_kib = mapping->anonymous_kib;

		if (is_ram(mappings, mapping, least_kib)) {
			sum.ram_rss_kib += mapping->rss_kib;
			continue;
		}
		if (anonymous_kib > mapping->private_kib)
			anonymous_kib = mapping->private_kib;
		sum.anonymous_kib += anonymous_kib;
		sum.file_kib += mapping->private_kib - anonymous_kib;
	}
	return sum;
}

bool private_read(pid_t pid, uint64_t ram_mib, struct private_memory *ret)
{
	struct mappings *mappings = calloc(1, sizeof(*mappings));
	uint64_t least_mib = ram_mib ? ram_mib / 2 : UNKNOWN_MIB;
	char path[64], *line = NULL;
	size_t size = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	file = fopen(path, "re");
	while (mappings && file && getline(&line, &size, file) > 0)
		take_line(mappings, line);
	if (file)
		fclose(file);
	free(line);
	if (!mappings || !mappings->count) {
		free(mappings);
		return false;
	}
	if (least_mib > PIECE_MIB)
		least_mib = PIECE_MIB;
	*ret = add_up(mappings, least_mib * KIB_PER_MIB);
	free(mappings);
	return true;
}
