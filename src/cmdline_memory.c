/* SPDX-License-Identifier: Apache-2.0 */
/* --mem SIZE[,KEY[=VALUE],…]: guest RAM and what is behind it. */
#include "cmdline.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static int parse_memory_size(struct vm_config *config, const char *value, struct error *err)
{
	int ret = cmdline_parse_size(value, MIB, &config->memory.size_bytes);

	if (ret == -ERANGE)
		return error_set(err, -EINVAL, "--mem %s: more than any guest (give 1M to 16T)",
		                 value);
	if (ret)
		return error_set(err, -EINVAL,
		                 "--mem %s: not a size (give whole K, M, G or T, such as 512M; a "
		                 "bare number is MiB)",
		                 value);
	return 0;
}

static int parse_backing(struct memory_config *memory, const char *value, struct error *err)
{
	static const char *const names[] = {
		[GMEM_ANON] = "anon",
		[GMEM_MEMFD] = "memfd",
		[GMEM_HUGETLB] = "hugetlb",
		[GMEM_FILE] = "file",
	};

	for (size_t i = 0; value && i < ARRAY_SIZE(names); i++) {
		if (strcmp(value, names[i]) == 0) {
			memory->backing.kind = (enum gmem_kind)i;
			return 0;
		}
	}
	return error_set(err, -EINVAL,
	                 "--mem backing=%s: unknown (give anon, memfd, hugetlb or file)",
	                 value ? value : "");
}

static int parse_page_size(struct memory_config *memory, const char *value, struct error *err)
{
	uint64_t page_bytes = 0;

	if (!value || cmdline_parse_size(value, MIB, &page_bytes) ||
	    (page_bytes != PAGE_2M_BYTES && page_bytes != PAGE_1G_BYTES))
		return error_set(err, -EINVAL, "--mem page-size=%s: no huge page (give 2M or 1G)",
		                 value ? value : "");
	memory->backing.page_bytes = page_bytes;
	return 0;
}

static int parse_path(struct memory_config *memory, const char *value, struct error *err)
{
	if (!value || !*value)
		return error_set(err, -EINVAL, "--mem path: empty (give path=FILE)");
	memory->backing.path = value;
	return 0;
}

static int parse_thp(struct memory_config *memory, const char *value, struct error *err)
{
	if (cmdline_parse_bool(value, &memory->backing.thp))
		return error_set(err, -EINVAL, "--mem thp=%s: cannot be read (give on or off)",
		                 value);
	memory->thp_given = true;
	return 0;
}

static int parse_lock(struct memory_config *memory, const char *value, struct error *err)
{
	if (cmdline_parse_bool(value, &memory->backing.lock))
		return error_set(err, -EINVAL, "--mem lock=%s: cannot be read (give on or off)",
		                 value);
	return 0;
}

static int parse_prealloc(struct memory_config *memory, const char *value, struct error *err)
{
	if (cmdline_parse_bool(value, &memory->backing.prealloc))
		return error_set(err, -EINVAL, "--mem prealloc=%s: cannot be read (give on or off)",
		                 value);
	return 0;
}

static const struct memory_key {
	const char *name;
	int (*parse)(struct memory_config *memory, const char *value, struct error *err);
} memory_keys[] = {
	{ "backing", parse_backing }, { "page-size", parse_page_size }, { "path", parse_path },
	{ "lock", parse_lock },       { "prealloc", parse_prealloc },   { "thp", parse_thp },
};

static const struct memory_key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(memory_keys); i++)
		if (strcmp(memory_keys[i].name, name) == 0)
			return &memory_keys[i];
	return NULL;
}

static int unknown_key(const char *name, struct error *err)
{
	struct cmdline_nearest nearest = { .word = name };

	for (size_t i = 0; i < ARRAY_SIZE(memory_keys); i++)
		cmdline_nearest_offer(&nearest, memory_keys[i].name);
	if (nearest.best)
		return error_set(err, -EINVAL, "--mem %s: unknown key (did you mean %s?)", name,
		                 nearest.best);
	return error_set(err, -EINVAL,
	                 "--mem %s: unknown key (the keys are: backing, page-size, path, lock, "
	                 "prealloc, thp)",
	                 name);
}

int cmdline_parse_memory(void *target, const struct cmdline_option *option, const char *value,
                         struct error *err)
{
	struct vm_config *config = target;
	char *list = (char *)(uintptr_t)value, *name, *key_value;
	bool first = true;

	(void)option;
	for (; cmdline_next_key(&list, &name, &key_value); first = false) {
		const struct memory_key *key = find_key(name);
		int ret;

		if (key)
			ret = key->parse(&config->memory, key_value, err);
		else if (first && !key_value)
			ret = parse_memory_size(config, name, err);
		else
			ret = unknown_key(name, err);
		if (ret)
			return ret;
	}
	return 0;
}
