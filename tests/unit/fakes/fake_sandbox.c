/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for src/sandbox.c and src/sandbox_user.c: notes what is given up and who enters. */
#include "fake_sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

struct fake_sandbox fake_sandbox;

void fake_sandbox_reset(void)
{
	memset(&fake_sandbox, 0, sizeof(fake_sandbox));
}

unsigned int fake_sandbox_count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int count = 0;
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return count;
}

int sandbox_give_up(const struct sandbox_needs *needs, struct error *err)
{
	fake_sandbox.gave_up++;
	fake_sandbox.threads = fake_sandbox_count_threads();
	fake_sandbox.needs = *needs;
	if (fake_sandbox.fail_with)
		return error_set(err, fake_sandbox.fail_with, "nothing is given up");
	return 0;
}

int sandbox_enter(enum sandbox_thread kind, int pid, struct error *err)
{
	__atomic_store_n(&fake_sandbox.pid, pid, __ATOMIC_SEQ_CST);
	if (fake_sandbox.enter_fails_with)
		return error_set(err, fake_sandbox.enter_fails_with, "nobody gets in");
	__atomic_add_fetch(&fake_sandbox.entered[kind], 1, __ATOMIC_SEQ_CST);
	return 1;
}

void sandbox_entered(enum sandbox_thread kind)
{
	(void)kind;
}

int sandbox_find_user(const char *name, struct sandbox_user *ret_user, struct error *err)
{
	if (strcmp(name, "someone") != 0)
		return error_set(err, -ENOENT, "%s: no user", name);
	*ret_user = (struct sandbox_user){ 1000, 1001 };
	return 0;
}
