/* SPDX-License-Identifier: Apache-2.0 */
/* What tests see and steer of the faked system calls of memory return. */
#ifndef FAKE_RECLAIM_HOST_H
#define FAKE_RECLAIM_HOST_H

#include "../../../src/reclaim_host.h"

struct fake_reclaim_host {
	/* Seen: */
	unsigned int madvise_calls, vector_calls, pidfd_opens, look_calls;
	size_t vector_elements_max;
	/* Steered: */
	bool no_self;            /* before Linux 6.14 */
	bool no_vector;          /* before Linux 6.13 */
	bool no_pagemap;         /* no /proc */
	bool no_pagemap_scan;    /* before Linux 6.7 */
	size_t vector_cut;       /* each vector ends after so many elements */
	size_t runs_max;         /* a scan returns so many runs at most */
	unsigned int look_us;    /* what a look takes longer */
	uint64_t resident_bytes; /* of the process; 0: it cannot be told */
	const void *bad_hva;     /* a range that holds this page fails */
};

extern struct fake_reclaim_host fake_reclaim_host;

void fake_reclaim_host_reset(void);

#endif
