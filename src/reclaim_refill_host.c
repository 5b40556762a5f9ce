/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of refilling, one function each. */
/* Syscalls: main,reclaim: ioctl:userfaultfd read */
#include "reclaim_refill_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* /dev/userfaultfd came with Linux 6.1, UFFDIO_MOVE with 6.8; build hosts have older headers
 * (Documentation/admin-guide/mm/userfaultfd.rst). */
#define NEW_REQUEST _IO(0xaa, 0)

struct move {
	uint64_t target, source, size_bytes, mode;
	int64_t done_bytes;
};

#define MOVE_REQUEST      _IOWR(UFFDIO, 5, struct move)
#define MOVE_WITHOUT_WAKE 1

#define FLAGS (O_CLOEXEC | O_NONBLOCK)

int refill_host_open_device(void)
{
	int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int refill_host_new(int device_fd)
{
	int fd = ioctl(device_fd, NEW_REQUEST, FLAGS);

	return fd < 0 ? -errno : fd;
}

int refill_host_open_syscall(void)
{
	long fd = syscall(SYS_userfaultfd, FLAGS);

	return fd < 0 ? -errno : (int)fd;
}

int refill_host_handshake(int fd, uint64_t *ret_features)
{
	struct uffdio_api api = { .api = UFFD_API };

	if (ioctl(fd, UFFDIO_API, &api))
		return -errno;
	*ret_features = api.features;
	return 0;
}

int refill_host_register(int fd, void *hva, size_t size_bytes)
{
	struct uffdio_register range = {
		.range = { (uintptr_t)hva, size_bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(fd, UFFDIO_REGISTER, &range) ? -errno : 0;
}

int refill_host_unregister(int fd, void *hva, size_t size_bytes)
{
	struct uffdio_range range = { (uintptr_t)hva, size_bytes };

	return ioctl(fd, UFFDIO_UNREGISTER, &range) ? -errno : 0;
}

int refill_host_wake(int fd, void *hva, size_t size_bytes)
{
	struct uffdio_range range = { (uintptr_t)hva, size_bytes };

	return ioctl(fd, UFFDIO_WAKE, &range) ? -errno : 0;
}

ssize_t refill_host_copy(int fd, void *hva, const void *source, size_t size_bytes)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)hva,
		.src = (uintptr_t)source,
		.len = size_bytes,
		.mode = UFFDIO_COPY_MODE_DONTWAKE,
	};

	if (!ioctl(fd, UFFDIO_COPY, &copy))
		return (ssize_t)size_bytes;
	return copy.copy > 0 ? copy.copy : -errno;
}

ssize_t refill_host_move(int fd, void *hva, void *source, size_t size_bytes)
{
	struct move move = {
		.target = (uintptr_t)hva,
		.source = (uintptr_t)source,
		.size_bytes = size_bytes,
		.mode = MOVE_WITHOUT_WAKE,
	};

	if (!ioctl(fd, MOVE_REQUEST, &move))
		return (ssize_t)size_bytes;
	return move.done_bytes > 0 ? move.done_bytes : -errno;
}

int refill_host_next(int fd, uintptr_t *ret_hva)
{
	struct uffd_msg message;
	ssize_t got;

	do {
		got = read(fd, &message, sizeof(message));
		if (got < 0)
			return errno == EAGAIN ? 0 : -errno;
	} while (got != sizeof(message) || message.event != UFFD_EVENT_PAGEFAULT);
	*ret_hva = message.arg.pagefault.address;
	return 1;
}
