/* SPDX-License-Identifier: Apache-2.0 */
/* Command line words. */
#include "command_line.h"
#include "platform.h"
#include "string.h"

/* The text after the name: "" or "=value...". NULL when the word is not there. */
static const char *find_word(const char *name)
{
	size_t length = strlen(name);
	const char *at = boot_info.command_line;

	while (*at) {
		while (*at == ' ')
			at++;
		if (!strncmp(at, name, length) &&
		    (!at[length] || at[length] == ' ' || at[length] == '='))
			return at + length;
		while (*at && *at != ' ')
			at++;
	}
	return NULL;
}

bool option_present(const char *name)
{
	return find_word(name) != NULL;
}

uint64_t option_u64(const char *name, uint64_t fallback)
{
	const char *value = find_word(name);

	return value && *value == '=' ? string_to_u64(value + 1) : fallback;
}
