/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Becomes another user for good: asuser UID GID[,GID…] PROGRAM ARG… With the first group as its own
 * and all of them beside; numbers, so that no list of users is read. Runs beside ebb.
 */

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GROUPS_MAX 8

int main(int argc, char **argv)
{
	gid_t groups[GROUPS_MAX];
	size_t count = 0;
	char *list, *end;
	uid_t user;

	if (argc < 4)
		return 2;
	user = (uid_t)strtoul(argv[1], NULL, 10);
	for (list = argv[2]; *list && count < GROUPS_MAX; list = *end ? end + 1 : end)
		groups[count++] = (gid_t)strtoul(list, &end, 10);
	if (!user || !count || setgroups(count, groups) || setgid(groups[0]) || setuid(user)) {
		perror("asuser");
		return 1;
	}
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
