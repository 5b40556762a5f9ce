/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's memory pressure.
 *
 * DOC: a trigger of the kernel's pressure stall information: what is written to the file is the
 * condition, and EPOLLPRI says that it holds. A window of whole 2 s is open to every user (Linux
 * 6.5); shorter ones need CAP_SYS_RESOURCE, and older kernels need it for any. An error on the
 * descriptor is the end of the watch, not of anything else.
 *
 * Syscalls: reclaim: fcntl write
 */
#include "ebb/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PRESSURE_FILE "/proc/pressure/memory"
#define TRIGGER       "some 150000 2000000"

struct pressure_watch {
	struct event_source *source;
	event_work_fn fn;
	void *ctx;
	int fd;
};

static void pressure_rose(void *ctx, uint32_t epoll_events)
{
	struct pressure_watch *watch = ctx;

	if (epoll_events & EPOLLERR) {
		(void)!event_loop_modify(watch->source, 0);
		return;
	}
	if (epoll_events & EPOLLPRI)
		watch->fn(watch->ctx);
}

int pressure_open(void)
{
	int fd = open(PRESSURE_FILE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -EOPNOTSUPP : fd;
}

int pressure_watch_create(struct event_loop *loop, int fd, event_work_fn fn, void *ctx,
                          struct pressure_watch **ret_watch)
{
	struct pressure_watch *watch = calloc(1, sizeof(*watch));
	int r = -EOPNOTSUPP;

	if (!watch)
		return -ENOMEM;
	watch->fn = fn;
	watch->ctx = ctx;
	watch->fd = fd == -1 ? pressure_open() : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (watch->fd < 0)
		goto free_watch;
	if (write(watch->fd, TRIGGER, strlen(TRIGGER) + 1) < 0)
		goto close_fd;
	r = event_loop_add(loop, watch->fd, EPOLLPRI, pressure_rose, watch, &watch->source);
	if (r < 0)
		goto close_fd;
	*ret_watch = watch;
	return 0;

close_fd:
	close(watch->fd);
free_watch:
	free(watch);
	return r;
}

void pressure_watch_destroy(struct pressure_watch *watch)
{
	if (!watch)
		return;
	event_loop_remove(watch->source);
	close(watch->fd);
	free(watch);
}
