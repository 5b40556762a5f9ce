/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of memory return: each function is one system call, so that tests can count them
 * and make them fail. Private to src/reclaim*.c.
 */
#ifndef EBB_RECLAIM_HOST_H
#define EBB_RECLAIM_HOST_H

#include <sys/types.h>
#include <sys/uio.h>

#include "ebb/types.h"

/* "This process", for reclaim_host_process_madvise, without a descriptor (Linux 6.14). */
#define RECLAIM_HOST_SELF (-10000)

/* A run of pages with the same categories, as PAGEMAP_SCAN writes it. */
struct reclaim_host_run {
	uint64_t start, end; /* host-virtual */
	uint64_t categories;
};

#define RECLAIM_HOST_PRESENT   (UINT64_C(1) << 3)
#define RECLAIM_HOST_SWAPPED   (UINT64_C(1) << 4)
#define RECLAIM_HOST_ZERO_PAGE (UINT64_C(1) << 5)
#define RECLAIM_HOST_HUGE      (UINT64_C(1) << 6)

enum reclaim_host_advice {
	RECLAIM_HOST_DONTNEED, /* frees private anonymous memory */
	RECLAIM_HOST_REMOVE,   /* punches a hole into the file of a shared mapping */
	RECLAIM_HOST_FREE,     /* private anonymous memory: the host may take it when it likes */
};

/* 0 or -errno. */
EBB_MUST_CHECK int reclaim_host_madvise(void *hva, size_t size_bytes,
                                        enum reclaim_host_advice advice);

/* Each element, in order. Bytes done, which ends with a whole element, or -errno when the first one
 * failed. */
EBB_MUST_CHECK ssize_t reclaim_host_process_madvise(int pidfd, const struct iovec *elements,
                                                    size_t count, enum reclaim_host_advice advice);

/* A hole in a file, which frees its pages, mapped or not. 0 or -errno. */
EBB_MUST_CHECK int reclaim_host_punch(int fd, uint64_t file_offset, uint64_t size_bytes);

EBB_MUST_CHECK int reclaim_host_munlock(void *hva, size_t size_bytes);

/* A descriptor of this process, or -errno. */
EBB_MUST_CHECK int reclaim_host_pidfd_open(void);

/* A descriptor of this process's page map, or -errno. */
EBB_MUST_CHECK int reclaim_host_pagemap_open(void);

/*
 * The runs of present or swapped pages in [start, end), 4 KiB aligned, in ascending order, at most
 * max of them; *ret_walk_end is how far it came. The number of runs, or -errno.
 */
EBB_MUST_CHECK int reclaim_host_pagemap_scan(int pagemap_fd, uintptr_t start, uintptr_t end,
                                             struct reclaim_host_run *runs, size_t max,
                                             uintptr_t *ret_walk_end);

/* Whether huge pages are mapped as such anywhere in it: 1, 0 or -errno. */
EBB_MUST_CHECK int reclaim_host_pagemap_holds_huge(int pagemap_fd, uintptr_t start, uintptr_t end);

/* One byte a 4 KiB page to residency[]: bit 0 says mapped. 0 or -errno. */
EBB_MUST_CHECK int reclaim_host_mincore(void *hva, size_t size_bytes, uint8_t *residency);

/* What of this process is resident, its huge pages too. 0 or -errno. */
EBB_MUST_CHECK int reclaim_host_resident_bytes(int status_fd, uint64_t *ret_bytes);

/* What that is read from; for who may not open it later. A descriptor or -errno. */
EBB_MUST_CHECK int reclaim_host_status_open(void);

#endif
