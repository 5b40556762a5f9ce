/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which modules have to be loaded for some that are wanted, from the text of modules.dep as depmod
 * writes it: lines "PATH: PATH…", the module's own file and those it needs, the one that is to be
 * loaded first last. Pure; the text is hostile.
 */
#ifndef MODULE_LIST_H
#define MODULE_LIST_H

#include <stddef.h>

#include "ebb/types.h"

#define MODULE_LIST_MAX 64  /* modules in all */
#define MODULE_PATH_MAX 200 /* without NUL */

/* A path as modules.dep has it, relative to its folder; within the text, no NUL behind it. */
struct module_path {
	const char *text;
	size_t length;
};

struct module_list { /* zeroed by its owner */
	struct module_path paths[MODULE_LIST_MAX];
	size_t count;
};

/*
 * Adds the module called name ('-' and '_' are the same) behind all it needs; what is in the list
 * already is not added again. 1; 0: the text has no such module; -EINVAL: a path that is absolute,
 * has a control character or is too long; -E2BIG: more than MODULE_LIST_MAX. The list is of no use
 * after an error.
 */
EBB_MUST_CHECK int module_list_add(struct module_list *list, const char *text, size_t size_bytes,
                                   const char *name);

/* The file's name: what stands behind the last '/'. */
struct module_path module_file_name(struct module_path path);

#endif
