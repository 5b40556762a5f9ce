/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that release pieces: which one frees on a backing, and as few as possible. Private to
 * src/reclaim*.c; one thread at a time, with the shared lock of guest memory. */
#ifndef EBB_RECLAIM_CALL_H
#define EBB_RECLAIM_CALL_H

#include <sys/types.h>
#include <sys/uio.h>

#include "ebb/types.h"
#include "reclaim_host.h"

#define CALL_ELEMENTS_MAX 512

struct reclaim_call {
	enum { VECTOR_UNPROBED, VECTOR_WORKS, VECTOR_NONE } vector;
	int pidfd;     /* RECLAIM_HOST_SELF, or a descriptor of ours */
	bool no_pidfd; /* see reclaim_call_open_none */
	unsigned int syscalls;
	struct iovec elements[CALL_ELEMENTS_MAX];
};

void reclaim_call_init(struct reclaim_call *call); /* zeroed before */
void reclaim_call_fini(struct reclaim_call *call);

/* The host will not let us open a descriptor of our own. It would be needed on Linux 6.13 alone:
 * before, the vector releases nothing, and behind it RECLAIM_HOST_SELF is known. */
void reclaim_call_open_none(struct reclaim_call *call);

/*
 * Releases elements[0..count), each in one mapping, or some of them from the first on. Returns how
 * many, at least one; or -errno, when the first one failed. Adds to syscalls.
 */
EBB_MUST_CHECK ssize_t reclaim_call(struct reclaim_call *call, enum reclaim_host_advice advice,
                                    size_t count);

#endif
