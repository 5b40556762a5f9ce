/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many reads and writes with one system call, by io_uring (src/async_io.c, the one user of
 * liburing).
 *
 * Made and destroyed on any thread; run by one alone, that of the loop it is for. No locks.
 */
#ifndef EBB_ASYNC_IO_H
#define EBB_ASYNC_IO_H

#include <sys/uio.h>

#include "ebb/error.h"
#include "ebb/types.h"

#define ASYNC_IO_OPS_MAX 256

struct async_io;

enum async_op_kind { ASYNC_READV, ASYNC_WRITEV };

struct async_op {
	enum async_op_kind kind;
	int fd;
	const struct iovec *segments; /* at most IOV_MAX */
	unsigned int segment_count;
	int64_t result; /* bytes, or -errno */
};

/*
 * depth: operations of one system call, 1 to ASYNC_IO_OPS_MAX. Where the host has no io_uring, or
 * does not allow it, the same object works with a system call an operation: async_io_is_batched
 * says which, *ret_why (may be NULL) why: 0 or -errno of the host. Makes a ring, some 10 KiB of the
 * kernel's memory, so only who has something to move creates one. -ENOMEM.
 */
EBB_MUST_CHECK int async_io_create(unsigned int depth, struct async_io **ret_io, int *ret_why);
void async_io_destroy(struct async_io *io); /* NULL is fine */
bool async_io_is_batched(const struct async_io *io);

/*
 * Starts count operations in their order, depth at a time, and returns when each has its result:
 * nothing is in flight then, and what buffers point to is the caller's again. For descriptors that
 * do not block (O_NONBLOCK): an operation that would has the result -EAGAIN; those of the same
 * descriptor and kind behind it may be tried, and succeed, or have it too. -EIO: the host lost it.
 * Returns the number of system calls it took, 0 or more.
 */
int async_io_run(struct async_io *io, struct async_op *ops, unsigned int count);

#endif
