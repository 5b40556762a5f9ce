/* SPDX-License-Identifier: Apache-2.0 */
/* See failures.h. __wrap_* and __real_* are the linker's names (ld --wrap). */
#include "failures.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <cmocka.h>

#define CALLS_MAX 5000 /* of one create */

static __thread struct {
	bool armed, failed;
	unsigned int left;
} mine;

void failures_arm(unsigned int n)
{
	mine.armed = true;
	mine.failed = false;
	mine.left = n;
}

bool failures_disarm(void)
{
	mine.armed = false;
	return mine.failed;
}

static bool fails(int code)
{
	if (!mine.armed || mine.left--)
		return false;
	mine.armed = false;
	mine.failed = true;
	errno = code;
	return true;
}

#define WRAP(type, name, parameters, arguments, code, failure) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		return fails(code) ? failure : __real_##name arguments; \
	}

WRAP(void *, malloc, (size_t size_bytes), (size_bytes), ENOMEM, NULL)
WRAP(void *, calloc, (size_t count, size_t size_bytes), (count, size_bytes), ENOMEM, NULL)
WRAP(void *, realloc, (void *memory, size_t size_bytes), (memory, size_bytes), ENOMEM, NULL)
WRAP(void *, reallocarray, (void *memory, size_t count, size_t size_bytes),
     (memory, count, size_bytes), ENOMEM, NULL)
WRAP(char *, strdup, (const char *text), (text), ENOMEM, NULL)
WRAP(void *, mmap, (void *hva, size_t size_bytes, int prot, int flags, int fd, off_t offset),
     (hva, size_bytes, prot, flags, fd, offset), ENOMEM, MAP_FAILED)
WRAP(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *), void *ctx),
     (thread, attributes, start, ctx), EAGAIN, EAGAIN)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE, -1)
WRAP(int, bind, (int fd, const struct sockaddr *name, socklen_t size_bytes), (fd, name, size_bytes),
     ENOMEM, -1)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), ENOMEM, -1)
WRAP(int, eventfd, (unsigned int count, int flags), (count, flags), EMFILE, -1)
WRAP(int, epoll_create1, (int flags), (flags), EMFILE, -1)
WRAP(int, epoll_ctl, (int epoll_fd, int operation, int fd, struct epoll_event *event),
     (epoll_fd, operation, fd, event), ENOSPC, -1)
WRAP(int, signalfd, (int fd, const sigset_t *signals, int flags), (fd, signals, flags), EMFILE, -1)
WRAP(int, memfd_create, (const char *name, unsigned int flags), (name, flags), EMFILE, -1)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return fails(EMFILE) ? -1 : __real_open(path, flags, mode);
}

unsigned int failures_run(failures_create_fn create, void (*destroy)(void *ctx), void *ctx)
{
	unsigned int fds = open_fd_count(), failed_creates = 0;

	for (unsigned int n = 0; n < CALLS_MAX; n++) {
		struct error err = ERROR_INIT;
		bool came;
		int ret;

		failures_arm(n);
		ret = create(ctx, &err);
		came = failures_disarm();
		if (!ret && destroy)
			destroy(ctx);
		if (open_fd_count() != fds)
			fail_msg("call %u: %u descriptors before, %u after", n, fds,
			         open_fd_count());
		if (!came && ret)
			fail_msg("nothing failed, and yet: %s", err.message);
		if (!came)
			return failed_creates;
		failed_creates += ret < 0;
		if (ret && !err.message[0])
			fail_msg("call %u: %d, without a word", n, ret);
	}
	fail_msg("a create with more than %d calls", CALLS_MAX);
	return 0;
}
