/* SPDX-License-Identifier: Apache-2.0 */
/* A program that a test plays. */
#include "fake_child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct fake_child_process fake_child_process = { .kept_fd = -1, .error_fd = -1 };

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void fake_child_process_close(void)
{
	close_one(&fake_child_process.kept_fd);
	close_one(&fake_child_process.error_fd);
}

void fake_child_process_clear(void)
{
	fake_child_process_close();
	memset(&fake_child_process, 0, sizeof(fake_child_process));
	fake_child_process.kept_fd = fake_child_process.error_fd = -1;
}

void fake_child_process_end(int wait_status)
{
	fake_child_process_close();
	fake_child_process.setup.ended(fake_child_process.setup.ctx, wait_status);
}

int child_process_start(const struct child_process_setup *setup, struct child_process **ret_child,
                        struct error *err)
{
	struct fake_child_process *fake = &fake_child_process;

	if (fake->start_result)
		return error_set_errno(err, fake->start_result, "%s", setup->argv[0]);
	fake->setup = *setup;
	for (fake->word_count = 0; setup->argv[fake->word_count]; fake->word_count++)
		snprintf(fake->words[fake->word_count], sizeof(fake->words[0]), "%s",
		         setup->argv[fake->word_count]);
	fake->kept_fd = setup->kept_fd < 0 ? -1 : fcntl(setup->kept_fd, F_DUPFD_CLOEXEC, 3);
	fake->error_fd = setup->error_fd < 0 ? -1 : fcntl(setup->error_fd, F_DUPFD_CLOEXEC, 3);
	fake->runs = true;
	fake->starts++;
	/* Nobody looks behind it. */
	*ret_child = (struct child_process *)(void *)fake;
	if (fake->started)
		fake->started();
	return 0;
}

int child_process_pid(const struct child_process *child)
{
	(void)child;
	return 4242;
}

void child_process_stop(struct child_process *child, int64_t grace_ns)
{
	(void)grace_ns;
	if (!child)
		return;
	fake_child_process.stops++;
	fake_child_process.runs = false;
	fake_child_process_close();
}
