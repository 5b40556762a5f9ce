/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of refilling: each function is one system call on a userfaultfd, so that tests
 * can count them and make them fail. Private to src/reclaim_refill*.c.
 */
#ifndef EBB_RECLAIM_REFILL_HOST_H
#define EBB_RECLAIM_REFILL_HOST_H

#include <sys/types.h>

#include "ebb/types.h"

/* What an open one says of its host: pages may be moved in (Linux 6.8), shared memory may be
 * guarded. */
#define REFILL_HOST_SHARED (UINT64_C(1) << 5)
#define REFILL_HOST_MOVE   (UINT64_C(1) << 16)

/* A descriptor that sees the kernel's own faults too (KVM's, vhost's): of /dev/userfaultfd, which
 * is opened first, or by the system call; or -errno. */
EBB_MUST_CHECK int refill_host_open_device(void);
EBB_MUST_CHECK int refill_host_new(int device_fd);
EBB_MUST_CHECK int refill_host_open_syscall(void);

/* The handshake that comes first. 0 or -errno. */
EBB_MUST_CHECK int refill_host_handshake(int fd, uint64_t *ret_features);

/* Whole pages. From now on, accesses to what is missing there wait; no more do so, and those that
 * do are woken; those that do are woken. 0 or -errno. */
EBB_MUST_CHECK int refill_host_register(int fd, void *hva, size_t size_bytes);
EBB_MUST_CHECK int refill_host_unregister(int fd, void *hva, size_t size_bytes);
EBB_MUST_CHECK int refill_host_wake(int fd, void *hva, size_t size_bytes);

/* Puts pages where they are missing, in one step each, and wakes nobody. Bytes done, from the
 * beginning, or -errno when the first page failed. */
EBB_MUST_CHECK ssize_t refill_host_copy(int fd, void *hva, const void *source, size_t size_bytes);
EBB_MUST_CHECK ssize_t refill_host_move(int fd, void *hva, void *source, size_t size_bytes);

/* The next access that waits: 1 with its page, 0 none, or -errno. */
EBB_MUST_CHECK int refill_host_next(int fd, uintptr_t *ret_hva);

#endif
