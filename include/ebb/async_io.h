/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many reads and writes with one system call, by io_uring (src/async_io.c, the one user of
 * liburing).
 *
 * One thread at a time uses a ring: that of the loop it was made for.
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
 * depth: operations at once, 1 to ASYNC_IO_OPS_MAX. Where the host has no io_uring, or does not
 * allow it, the same object works with a system call an operation: async_io_is_batched says which,
 * *ret_why (may be NULL) why. -ENOMEM.
 */
EBB_MUST_CHECK int async_io_create(unsigned int depth, struct async_io **ret_io, int *ret_why);
void async_io_destroy(struct async_io *io); /* NULL is fine */
bool async_io_is_batched(const struct async_io *io);

/*
 * Starts all in their order, and returns when each has its result: what buffers point to is the
 * caller's again then. For descriptors that do not block (O_NONBLOCK): an operation that would has
 * the result -EAGAIN, and those of the same descriptor behind it are still tried. Returns the
 * number of system calls it took, or -errno when nothing was started.
 */
EBB_MUST_CHECK int async_io_run(struct async_io *io, struct async_op *ops, unsigned int count);

#endif
