/* SPDX-License-Identifier: Apache-2.0 */
/* What tests see and steer of the faked system calls of memory return. */
#ifndef FAKE_RECLAIM_HOST_H
#define FAKE_RECLAIM_HOST_H

#include "../../../src/reclaim_host.h"

struct fake_reclaim_host {
	/* Seen: */
	unsigned int madvise_calls, vector_calls, pidfd_opens, look_calls;
	unsigned int punch_calls, munlock_calls;
	size_t vector_elements_max;
	unsigned int release_calls;   /* both kinds, that reached a host that has them */
	unsigned int advice_calls[3]; /* by reclaim_host_advice */
	unsigned int misaligned;      /* pieces that are not whole pages of page_bytes */
	/* Steered: */
	bool no_self;                      /* before Linux 6.14 */
	bool no_vector;                    /* before Linux 6.13 */
	bool no_pagemap;                   /* no /proc */
	bool no_pagemap_scan;              /* before Linux 6.7 */
	size_t vector_cut;                 /* each vector ends after so many elements */
	size_t runs_max;                   /* a scan returns so many runs at most */
	unsigned int look_us;              /* what a look takes longer */
	uint64_t resident_bytes;           /* of the process; 0: it cannot be told */
	const void *huge_start, *huge_end; /* what is said to be in huge pages */
	const void *bad_hva;               /* a range that holds this page fails */
	/* Release calls [from, from + count), counted from 0, fail with that. */
	unsigned int fail_from, fail_count;
	int fail_errno;
	bool fail_halfway;   /* they do the first half of their first piece */
	uint64_t page_bytes; /* the backing's; 0: small ones */
};

extern struct fake_reclaim_host fake_reclaim_host;

void fake_reclaim_host_reset(void);

#endif
