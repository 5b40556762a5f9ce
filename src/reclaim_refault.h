/* SPDX-License-Identifier: Apache-2.0 */
/* What was released and has come back, of one region. Private to src/reclaim*.c; one thread at a
 * time. */
#ifndef EBB_RECLAIM_REFAULT_H
#define EBB_RECLAIM_REFAULT_H

#include "ebb/reclaim.h"

/* A bit a 4 KiB page: released for that source, and not yet seen again. NULL: none so far, or no
 * memory for it (then its refaults are not counted). A page is in one map at most. */
struct reclaim_refault {
	uint64_t *released[RECLAIM_SOURCE_COUNT];
	size_t page_count;
};

struct reclaim_refault_counts {
	uint64_t bytes[RECLAIM_SOURCE_COUNT];
};

void reclaim_refault_init(struct reclaim_refault *refault, uint64_t size_bytes);

/* Frees the maps: nothing was released. */
void reclaim_refault_drop(struct reclaim_refault *refault);

/* Pages [first, first + count) are released for source. */
void reclaim_refault_released(struct reclaim_refault *refault, enum reclaim_source source,
                              size_t first, size_t count);

/* They are not, after all. */
void reclaim_refault_forget(struct reclaim_refault *refault, size_t first, size_t count);

/* They are resident: adds what of them was released before to *counts. */
void reclaim_refault_count(const struct reclaim_refault *refault, size_t first, size_t count,
                           struct reclaim_refault_counts *counts);

#endif
