/* SPDX-License-Identifier: Apache-2.0 */
/* A user with an empty XDG_RUNTIME_DIR of its own: see user_folder.h. */
#include "user_folder.h"

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NOBODY 65534

static char folder[32];
static bool was_root;

const char *user_folder_enter(void)
{
	strcpy(folder, "/tmp/ebb-test-XXXXXX");
	if (!mkdtemp(folder))
		abort();
	was_root = geteuid() == 0;
	if (was_root && (chown(folder, NOBODY, NOBODY) != 0 || seteuid(NOBODY) != 0))
		abort();
	/* Changing users hides a process from its own leak checker. */
	prctl(PR_SET_DUMPABLE, 1);
	setenv("XDG_RUNTIME_DIR", folder, 1);
	return folder;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

void user_folder_leave(void)
{
	if (was_root && seteuid(0) != 0)
		abort();
	prctl(PR_SET_DUMPABLE, 1);
	if (nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
		abort();
}
