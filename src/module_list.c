/* SPDX-License-Identifier: Apache-2.0 */
/* Reads modules.dep (kmod, modules.dep(5)). */
#include "module_list.h"

#include <errno.h>
#include <string.h>

#define SUFFIX ".ko" /* and perhaps what says how it is packed */

struct module_path module_file_name(struct module_path path)
{
	const char *slash = memrchr(path.text, '/', path.length);
	size_t skipped = slash ? (size_t)(slash + 1 - path.text) : 0;

	return (struct module_path){ path.text + skipped, path.length - skipped };
}

static char fold(char letter)
{
	return letter == '-' ? '_' : letter;
}

static bool is_called(struct module_path path, const char *name)
{
	struct module_path file = module_file_name(path);
	size_t length = strlen(name);

	if (file.length < length + strlen(SUFFIX) ||
	    memcmp(file.text + length, SUFFIX, strlen(SUFFIX)) != 0)
		return false;
	for (size_t i = 0; i < length; i++)
		if (fold(file.text[i]) != fold(name[i]))
			return false;
	file.text += length + strlen(SUFFIX);
	file.length -= length + strlen(SUFFIX);
	return !file.length || file.text[0] == '.';
}

/* Below its folder as far as its text goes; the rest is for who opens it. */
static bool is_usable(struct module_path path)
{
	if (!path.length || path.length > MODULE_PATH_MAX || path.text[0] == '/')
		return false;
	for (size_t i = 0; i < path.length; i++)
		if ((unsigned char)path.text[i] <= ' ' || path.text[i] == 0x7f)
			return false;
	return true;
}

static int add_path(struct module_list *list, struct module_path path)
{
	if (!is_usable(path))
		return -EINVAL;
	for (size_t i = 0; i < list->count; i++)
		if (list->paths[i].length == path.length &&
		    memcmp(list->paths[i].text, path.text, path.length) == 0)
			return 0;
	if (list->count == MODULE_LIST_MAX)
		return -E2BIG;
	list->paths[list->count++] = path;
	return 0;
}

/* What a line says behind the ':', from its end to its beginning: what is needed first is last. */
static int add_needed(struct module_list *list, const char *text, size_t length)
{
	int ret = 0;

	while (!ret) {
		size_t begin;

		while (length && text[length - 1] == ' ')
			length--;
		if (!length)
			break;
		for (begin = length; begin && text[begin - 1] != ' '; begin--)
			;
		ret = add_path(list, (struct module_path){ text + begin, length - begin });
		length = begin;
	}
	return ret;
}

int module_list_add(struct module_list *list, const char *text, size_t size_bytes, const char *name)
{
	while (size_bytes) {
		const char *newline = memchr(text, '\n', size_bytes);
		size_t length = newline ? (size_t)(newline - text) : size_bytes;
		const char *colon = memchr(text, ':', length);
		struct module_path path = { text, colon ? (size_t)(colon - text) : 0 };

		if (colon && is_called(path, name)) {
			int ret = add_needed(list, colon + 1, length - path.length - 1);

			if (!ret)
				ret = add_path(list, path);
			return ret ? ret : 1;
		}
		length += newline ? 1 : 0;
		text += length;
		size_bytes -= length;
	}
	return 0;
}
