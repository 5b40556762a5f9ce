/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for src/reclaim_host.c: does the same to real memory, counts, and fails when told. */
#include "fake_reclaim_host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fake_reclaim_host fake_reclaim_host;

void fake_reclaim_host_reset(void)
{
	memset(&fake_reclaim_host, 0, sizeof(fake_reclaim_host));
}

static bool holds_bad_page(const void *hva, size_t size_bytes)
{
	return fake_reclaim_host.bad_hva &&
	       range_contains((uintptr_t)hva, size_bytes, (uintptr_t)fake_reclaim_host.bad_hva, 1);
}

static const int advices[] = {
	[RECLAIM_HOST_DONTNEED] = MADV_DONTNEED,
	[RECLAIM_HOST_REMOVE] = MADV_REMOVE,
	[RECLAIM_HOST_FREE] = MADV_FREE,
};

static bool is_to_fail(void *hva, size_t size_bytes, int advice)
{
	unsigned int call = fake_reclaim_host.release_calls++;

	if (!fake_reclaim_host.fail_count || call < fake_reclaim_host.fail_from ||
	    call - fake_reclaim_host.fail_from >= fake_reclaim_host.fail_count)
		return false;
	if (fake_reclaim_host.fail_halfway)
		(void)!madvise(hva, align_down(size_bytes / 2, PAGE_4K_BYTES), advice);
	return true;
}

static void check_alignment(const void *hva, size_t size_bytes)
{
	uint64_t page_bytes = fake_reclaim_host.page_bytes;

	if (page_bytes && !is_aligned((uintptr_t)hva | size_bytes, page_bytes))
		fake_reclaim_host.misaligned++;
}

int reclaim_host_madvise(void *hva, size_t size_bytes, enum reclaim_host_advice advice)
{
	fake_reclaim_host.madvise_calls++;
	fake_reclaim_host.advice_calls[advice]++;
	check_alignment(hva, size_bytes);
	if (is_to_fail(hva, size_bytes, advices[advice]))
		return -fake_reclaim_host.fail_errno;
	if (holds_bad_page(hva, size_bytes))
		return -EINVAL;
	return madvise(hva, size_bytes, advices[advice]) ? -errno : 0;
}

int reclaim_host_punch(int fd, uint64_t file_offset, uint64_t size_bytes)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	fake_reclaim_host.punch_calls++;
	if (is_to_fail(NULL, 0, 0))
		return -fake_reclaim_host.fail_errno;
	return fallocate(fd, mode, (off_t)file_offset, (off_t)size_bytes) ? -errno : 0;
}

int reclaim_host_munlock(void *hva, size_t size_bytes)
{
	fake_reclaim_host.munlock_calls++;
	/* The sanitizer's munlock does nothing. */
	return syscall(SYS_munlock, hva, size_bytes) ? -errno : 0;
}

/* As the kernel: element by element, and what was done before the one that fails. */
ssize_t reclaim_host_process_madvise(int pidfd, const struct iovec *elements, size_t count,
                                     enum reclaim_host_advice advice)
{
	ssize_t done = 0;

	fake_reclaim_host.vector_calls++;
	fake_reclaim_host.advice_calls[advice]++;
	if (fake_reclaim_host.vector_elements_max < count)
		fake_reclaim_host.vector_elements_max = count;
	if (pidfd == RECLAIM_HOST_SELF && fake_reclaim_host.no_self)
		return -EBADF;
	if (fake_reclaim_host.no_vector)
		return -EINVAL;
	if (is_to_fail(elements[0].iov_base, elements[0].iov_len, advices[advice]))
		return -fake_reclaim_host.fail_errno;
	for (size_t i = 0; i < count; i++) {
		if (fake_reclaim_host.vector_cut && i == fake_reclaim_host.vector_cut)
			break;
		check_alignment(elements[i].iov_base, elements[i].iov_len);
		if (holds_bad_page(elements[i].iov_base, elements[i].iov_len))
			return done ? done : -EINVAL;
		if (madvise(elements[i].iov_base, elements[i].iov_len, advices[advice]))
			return done ? done : -errno;
		done += (ssize_t)elements[i].iov_len;
	}
	return done;
}

int reclaim_host_pidfd_open(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	fake_reclaim_host.pidfd_opens++;
	return fd < 0 ? -errno : fd;
}

int reclaim_host_pagemap_open(void)
{
	int fd;

	if (fake_reclaim_host.no_pagemap)
		return -ENOENT;
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int reclaim_host_pagemap_scan(int pagemap_fd, uintptr_t start, uintptr_t end,
                              struct reclaim_host_run *runs, size_t max, uintptr_t *ret_walk_end)
{
	uint64_t scan[12] = { sizeof(scan),
		              0,
		              start,
		              end,
		              0,
		              (uintptr_t)runs,
		              max,
		              0,
		              0,
		              0,
		              RECLAIM_HOST_PRESENT | RECLAIM_HOST_SWAPPED,
		              RECLAIM_HOST_PRESENT | RECLAIM_HOST_SWAPPED |
		                      RECLAIM_HOST_ZERO_PAGE };
	int count;

	fake_reclaim_host.look_calls++;
	usleep(fake_reclaim_host.look_us);
	if (fake_reclaim_host.no_pagemap_scan)
		return -ENOTTY;
	if (fake_reclaim_host.runs_max && max > fake_reclaim_host.runs_max)
		scan[6] = fake_reclaim_host.runs_max;
	count = ioctl(pagemap_fd, _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, sizeof(scan)), scan);
	if (count < 0)
		return -errno;
	*ret_walk_end = scan[4];
	return count;
}

int reclaim_host_pagemap_holds_huge(int pagemap_fd, uintptr_t start, uintptr_t end)
{
	(void)pagemap_fd;
	if (fake_reclaim_host.no_pagemap_scan)
		return -ENOTTY;
	return start < (uintptr_t)fake_reclaim_host.huge_end &&
	       end > (uintptr_t)fake_reclaim_host.huge_start;
}

int reclaim_host_mincore(void *hva, size_t size_bytes, uint8_t *residency)
{
	fake_reclaim_host.look_calls++;
	return mincore(hva, size_bytes, residency) ? -errno : 0;
}

int reclaim_host_status_open(void)
{
	return -ENOENT;
}

int reclaim_host_resident_bytes(int status_fd, uint64_t *ret_bytes)
{
	(void)status_fd;
	*ret_bytes = fake_reclaim_host.resident_bytes;
	return fake_reclaim_host.resident_bytes ? 0 : -ENOENT;
}
