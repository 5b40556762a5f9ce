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
	int pidfd;        /* RECLAIM_HOST_SELF, or a descriptor of ours */
	bool is_opened;   /* see reclaim_call_open */
	int opened_pidfd; /* then: a descriptor until it is used, or -errno */
	unsigned int syscalls;
	struct iovec elements[CALL_ELEMENTS_MAX];
};

void reclaim_call_init(struct reclaim_call *call); /* zeroed before */
void reclaim_call_fini(struct reclaim_call *call);

/* Opens now the descriptor that it may turn out to need. Once. */
void reclaim_call_open(struct reclaim_call *call);

/*
 * Releases elements[0..count), each in one mapping, or some of them from the first on. Returns how
 * many, at least one; or -errno, when the first one failed. Adds to syscalls.
 */
EBB_MUST_CHECK ssize_t reclaim_call(struct reclaim_call *call, enum reclaim_host_advice advice,
                                    size_t count);

#endif
