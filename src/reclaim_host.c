/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of memory return, one function each. */
/* Syscalls: main,reclaim: fallocate ioctl:pagemap madvise mincore munlock */
/* Syscalls: main,reclaim: pread process_madvise */
#include "reclaim_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* PAGEMAP_SCAN came with Linux 6.7; build hosts have older headers (Documentation/admin-guide/mm/
 * pagemap.rst). */
struct pagemap_scan {
	uint64_t size_bytes, flags;
	uint64_t start, end, walk_end;
	uint64_t runs, runs_max, pages_max;
	uint64_t inverted, all_of, any_of, returned;
};

#define PAGEMAP_SCAN_REQUEST _IOWR('f', 16, struct pagemap_scan)

static const int advices[] = {
	[RECLAIM_HOST_DONTNEED] = MADV_DONTNEED,
	[RECLAIM_HOST_REMOVE] = MADV_REMOVE,
	[RECLAIM_HOST_FREE] = MADV_FREE,
};

int reclaim_host_madvise(void *hva, size_t size_bytes, enum reclaim_host_advice advice)
{
	return madvise(hva, size_bytes, advices[advice]) ? -errno : 0;
}

ssize_t reclaim_host_process_madvise(int pidfd, const struct iovec *elements, size_t count,
                                     enum reclaim_host_advice advice)
{
	ssize_t done = process_madvise(pidfd, elements, count, advices[advice], 0);

	return done < 0 ? -errno : done;
}

int reclaim_host_punch(int fd, uint64_t file_offset, uint64_t size_bytes)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)file_offset,
	                 (off_t)size_bytes)
	               ? -errno
	               : 0;
}

int reclaim_host_munlock(void *hva, size_t size_bytes)
{
	return munlock(hva, size_bytes) ? -errno : 0;
}

int reclaim_host_pidfd_open(void)
{
	long fd = syscall(SYS_pidfd_open, getpid(), 0);

	return fd < 0 ? -errno : (int)fd;
}

int reclaim_host_pagemap_open(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int reclaim_host_pagemap_scan(int pagemap_fd, uintptr_t start, uintptr_t end,
                              struct reclaim_host_run *runs, size_t max, uintptr_t *ret_walk_end)
{
	struct pagemap_scan scan = {
		.size_bytes = sizeof(scan),
		.start = start,
		.end = end,
		.runs = (uintptr_t)runs,
		.runs_max = max,
		.any_of = RECLAIM_HOST_PRESENT | RECLAIM_HOST_SWAPPED,
		.returned = RECLAIM_HOST_PRESENT | RECLAIM_HOST_SWAPPED | RECLAIM_HOST_ZERO_PAGE,
	};
	int count = ioctl(pagemap_fd, PAGEMAP_SCAN_REQUEST, &scan);

	if (count < 0)
		return -errno;
	*ret_walk_end = scan.walk_end;
	return count;
}

int reclaim_host_pagemap_holds_huge(int pagemap_fd, uintptr_t start, uintptr_t end)
{
	struct reclaim_host_run run;
	struct pagemap_scan scan = {
		.size_bytes = sizeof(scan),
		.start = start,
		.end = end,
		.runs = (uintptr_t)&run,
		.runs_max = 1,
		.all_of = RECLAIM_HOST_HUGE,
		.returned = RECLAIM_HOST_HUGE,
	};
	int count = ioctl(pagemap_fd, PAGEMAP_SCAN_REQUEST, &scan);

	return count < 0 ? -errno : count;
}

int reclaim_host_mincore(void *hva, size_t size_bytes, uint8_t *residency)
{
	return mincore(hva, size_bytes, residency) ? -errno : 0;
}

/* The number of KiB behind a key of /proc/PID/status; 0 when it is not there. */
static uint64_t status_kib(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? strtoull(line + strlen(key), NULL, 10) : 0;
}

int reclaim_host_status_open(void)
{
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* VmRSS leaves out what comes from a pool of huge pages (Documentation/filesystems/proc.rst). */
int reclaim_host_resident_bytes(int status_fd, uint64_t *ret_bytes)
{
	char status[4096];
	int fd = status_fd < 0 ? reclaim_host_status_open() : status_fd;
	ssize_t size_bytes;

	if (fd < 0)
		return fd;
	size_bytes = pread(fd, status, sizeof(status) - 1, 0);
	if (status_fd < 0)
		close(fd);
	if (size_bytes <= 0)
		return -EIO;
	status[size_bytes] = '\0';
	*ret_bytes = (status_kib(status, "\nVmRSS:") + status_kib(status, "\nHugetlbPages:")) * KIB;
	return 0;
}
