/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that release pieces.
 *
 * DOC: several go by one vector process_madvise on this process, a single one by madvise. A vector
 * is capped at 1 GiB, for the kernel cuts one at 2 GiB less a page, inside a THP. Whether the host
 * has it (Linux 6.13; without a descriptor 6.14) is found out by the first vector, so that a start
 * pays nothing: where the vector fails and the same piece goes by madvise, vectors are over for
 * good. Where only one piece of a vector is at fault, the others go all the same.
 *
 * A call that the host was too busy for, or that a signal cut short, is tried once more.
 */
#include "reclaim_call.h"

#include <errno.h>
#include <unistd.h>

#define VECTOR_MAX_BYTES GIB

void reclaim_call_init(struct reclaim_call *call)
{
	call->pidfd = RECLAIM_HOST_SELF;
}

void reclaim_call_fini(struct reclaim_call *call)
{
	if (call->pidfd >= 0)
		close(call->pidfd);
}

void reclaim_call_open_none(struct reclaim_call *call)
{
	call->no_pidfd = true;
}

static int release_one(struct reclaim_call *call, enum reclaim_host_advice advice)
{
	int r = 0;

	for (unsigned int attempt = 0; attempt < 2; attempt++) {
		call->syscalls++;
		r = reclaim_host_madvise(call->elements[0].iov_base, call->elements[0].iov_len,
		                         advice);
		if (r != -EAGAIN && r != -EINTR)
			break;
	}
	return r;
}

/* The vector, with a descriptor of our own where the host does not know RECLAIM_HOST_SELF. */
static ssize_t try_vector(struct reclaim_call *call, enum reclaim_host_advice advice, size_t count)
{
	ssize_t done = reclaim_host_process_madvise(call->pidfd, call->elements, count, advice);
	int fd;

	call->syscalls++;
	if (done > 0 || call->vector != VECTOR_UNPROBED || call->pidfd >= 0)
		return done;
	fd = call->no_pidfd ? -EPERM : reclaim_host_pidfd_open();
	if (fd < 0)
		return done;
	call->pidfd = fd;
	call->syscalls++;
	return reclaim_host_process_madvise(fd, call->elements, count, advice);
}

/* How many of the elements one vector takes; at least one. */
static size_t vector_size(const struct reclaim_call *call, size_t count)
{
	uint64_t total_bytes = call->elements[0].iov_len;
	size_t size = 1;

	while (size < count && total_bytes <= VECTOR_MAX_BYTES &&
	       call->elements[size].iov_len <= VECTOR_MAX_BYTES - total_bytes)
		total_bytes += call->elements[size++].iov_len;
	return size;
}

ssize_t reclaim_call(struct reclaim_call *call, enum reclaim_host_advice advice, size_t count)
{
	size_t released = 0, size = vector_size(call, count);
	ssize_t done;
	int r;

	if (size > 1 && call->vector != VECTOR_NONE) {
		done = try_vector(call, advice, size);
		if (done > 0)
			call->vector = VECTOR_WORKS;
		while (released < size && done >= (ssize_t)call->elements[released].iov_len)
			done -= (ssize_t)call->elements[released++].iov_len;
		if (released)
			return (ssize_t)released;
	}
	/* The first piece or the vector itself is at fault: the plain call tells. */
	r = release_one(call, advice);
	if (r < 0)
		return r;
	if (size > 1 && call->vector == VECTOR_UNPROBED)
		call->vector = VECTOR_NONE;
	return 1;
}
