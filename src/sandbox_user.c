/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user that ebb becomes.
 *
 * DOC: /etc/passwd is read here, line by line, and nothing else asked: the C library's own way
 * loads plugins for users of a network, which a static binary cannot, and which would stay in the
 * process.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/sandbox.h"

#define PASSWD_FILE "/etc/passwd"

static bool is_meant(const struct passwd *entry, const char *name)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", (unsigned int)entry->pw_uid);
	return strcmp(entry->pw_name, name) == 0 || strcmp(number, name) == 0;
}

int sandbox_find_user(const char *name, struct sandbox_user *ret_user, struct error *err)
{
	FILE *file = fopen(PASSWD_FILE, "re");
	struct passwd *entry;
	int ret;

	if (!file)
		return error_set_errno(err, -errno, PASSWD_FILE);
	while ((entry = fgetpwent(file)) && !is_meant(entry, name))
		;
	if (!entry)
		ret = error_set(err, -ENOENT, "%s: no user of that name or number in " PASSWD_FILE,
		                name);
	else if (entry->pw_uid == 0 || entry->pw_gid == 0)
		ret = error_set(err, -EINVAL, "%s: is root, or of root's group (name another)",
		                name);
	else
		ret = 0;
	if (!ret)
		*ret_user = (struct sandbox_user){ entry->pw_uid, entry->pw_gid };
	fclose(file);
	return ret;
}
