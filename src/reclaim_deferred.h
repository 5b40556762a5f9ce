/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a region whose release is put off until their 2 MiB block is complete. Private to
 * src/reclaim*.c; one thread at a time. */
#ifndef EBB_RECLAIM_DEFERRED_H
#define EBB_RECLAIM_DEFERRED_H

#include "ebb/types.h"

struct reclaim_deferred {
	gpa_t first_gpa; /* of the first block: 2 MiB aligned, at or below the region's start */
	uint64_t block_count;          /* that the region touches */
	uint64_t *map;                 /* a bit a 4 KiB page; NULL: nothing was ever put off */
	size_t begin_block, end_block; /* bits are set in [begin, end) alone */
	size_t complete_blocks;
	uint64_t bytes;
};

void reclaim_deferred_init(struct reclaim_deferred *deferred, gpa_t gpa, uint64_t size_bytes);

/* Forgets all and frees its memory. */
void reclaim_deferred_drop(struct reclaim_deferred *deferred);

/* [gpa, gpa + size), 4 KiB aligned, inside the region. *ret_added_bytes: less than size when some
 * of it was there already. -ENOMEM. */
EBB_MUST_CHECK int reclaim_deferred_add(struct reclaim_deferred *deferred, gpa_t gpa,
                                        uint64_t size_bytes, uint64_t *ret_added_bytes);

/* Takes out what is complete, or everything, as ascending ranges that are apart from each other.
 * Returns how many bytes. */
typedef void (*reclaim_deferred_fn)(void *ctx, gpa_t gpa, uint64_t size_bytes);
uint64_t reclaim_deferred_take(struct reclaim_deferred *deferred, bool complete_only,
                               reclaim_deferred_fn fn, void *ctx);

#endif
