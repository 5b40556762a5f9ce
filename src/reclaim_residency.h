/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages of a host mapping are there. Private to src/reclaim*.c; one thread at a time. */
#ifndef EBB_RECLAIM_RESIDENCY_H
#define EBB_RECLAIM_RESIDENCY_H

#include "ebb/types.h"
#include "reclaim_host.h"

#define RESIDENCY_RUNS_MAX 512

struct residency {
	enum { RESIDENCY_UNPROBED, RESIDENCY_PAGEMAP, RESIDENCY_MINCORE } method;
	int pagemap_fd; /* -1: none */
	union {
		struct reclaim_host_run runs[RESIDENCY_RUNS_MAX];
		uint8_t pages[RESIDENCY_RUNS_MAX * sizeof(struct reclaim_host_run)];
	} buffer;
};

void residency_init(struct residency *residency);
void residency_fini(struct residency *residency);

/* Opens now what the first scan would, where it has not. */
void residency_open(struct residency *residency);

/*
 * A run that holds something: resident says that it counts in RSS; if not, it is swapped out or the
 * shared zero page. Runs come in ascending order and do not overlap.
 */
typedef void (*residency_run_fn)(void *ctx, uintptr_t start, uintptr_t end, bool resident);

/* [start, end), 4 KiB aligned, in one mapping. 0 or -errno (then runs may be missing). */
EBB_MUST_CHECK int residency_scan(struct residency *residency, uintptr_t start, uintptr_t end,
                                  residency_run_fn fn, void *ctx);

/* Whether [start, end) holds parts of huge pages; true where the host does not say. */
EBB_MUST_CHECK bool residency_holds_huge(struct residency *residency, uintptr_t start,
                                         uintptr_t end);

/* Whether what a scan left out is neither mapped nor in swap; known after the first scan. */
static inline bool residency_sees_swap(const struct residency *residency)
{
	return residency->method == RESIDENCY_PAGEMAP;
}

#endif
