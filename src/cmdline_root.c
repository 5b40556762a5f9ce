/* SPDX-License-Identifier: Apache-2.0 */
/* The option --root: a folder, and how it is used. */
#include <errno.h>
#include <string.h>

#include "cmdline.h"

static int take_key(struct vm_config *config, const char *key, const char *value, struct error *err)
{
	struct cmdline_nearest nearest = { .word = key };

	if (strcmp(key, "rw") == 0) {
		if (cmdline_parse_bool(value, &config->root_writable))
			return error_set(err, -EINVAL,
			                 "--root rw=%s: cannot be read (give on or off)", value);
		return 0;
	}
	if (strcmp(key, "modules") == 0) {
		if (!value || !*value)
			return error_set(err, -EINVAL,
			                 "--root modules: no value (give modules=DIR)");
		config->root_modules_path = value;
		return 0;
	}
	cmdline_nearest_offer(&nearest, "rw");
	cmdline_nearest_offer(&nearest, "modules");
	if (nearest.best)
		return error_set(err, -EINVAL, "--root %s: unknown key (did you mean %s?)", key,
		                 nearest.best);
	return error_set(err, -EINVAL, "--root %s: unknown key (the keys are: rw, modules)", key);
}

int cmdline_parse_root(void *target, const struct cmdline_option *option, const char *value,
                       struct error *err)
{
	struct vm_config *config = target;
	char *list = (char *)(uintptr_t)value, *key, *key_value;
	char *comma = strchr(list, ',');
	int ret = 0;

	(void)option;
	if (!*list || comma == list)
		return error_set(err, -EINVAL, "--root: no folder (give DIR first)");
	if (config->root_path)
		return error_set(err, -EINVAL, "--root %s: one root is named already: %s", value,
		                 config->root_path);
	if (comma)
		*comma = '\0';
	config->root_path = value;
	list = comma ? comma + 1 : NULL;
	while (!ret && cmdline_next_key(&list, &key, &key_value))
		ret = take_key(config, key, key_value, err);
	return ret;
}
