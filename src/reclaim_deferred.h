/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a region whose release is put off until their block is complete. Private to
 * src/reclaim*.c; one thread at a time. */
#ifndef EBB_RECLAIM_DEFERRED_H
#define EBB_RECLAIM_DEFERRED_H

#include "ebb/types.h"

struct reclaim_deferred {
	gpa_t first_gpa; /* of the first block: aligned to one, at or below the region's start */
	uint64_t block_bytes;          /* 0: nothing can be put off */
	uint64_t block_count;          /* that the region touches */
	bool whole_only;               /* see reclaim_deferred_init */
	uint64_t *map;                 /* a bit a 4 KiB page; NULL: nothing was ever put off */
	uint64_t *complete;            /* a bit a block: complete, and not taken yet */
	uint32_t *counts;              /* of bits, a block */
	size_t begin_block, end_block; /* bits are set in [begin, end) alone */
	size_t complete_blocks;
	uint64_t set_bytes; /* all bits */
	uint64_t bytes;     /* but for those of blocks that were taken: what waits */
};

/*
 * A block is 2 MiB or 1 GiB. With whole_only, parts of blocks are never taken, and what was taken
 * stays in the map: when a page of it is forgotten and added again, its block is complete again.
 */
void reclaim_deferred_init(struct reclaim_deferred *deferred, gpa_t gpa, uint64_t size_bytes,
                           uint64_t block_bytes, bool whole_only);

/* Forgets all and frees its memory. */
void reclaim_deferred_drop(struct reclaim_deferred *deferred);

/* [gpa, gpa + size), 4 KiB aligned, inside the region. *ret_added_bytes: less than size when some
 * of it was there already. -ENOMEM, -EOPNOTSUPP. */
EBB_MUST_CHECK int reclaim_deferred_add(struct reclaim_deferred *deferred, gpa_t gpa,
                                        uint64_t size_bytes, uint64_t *ret_added_bytes);

/* As above: its bits go. Returns how much of it waited. */
uint64_t reclaim_deferred_forget(struct reclaim_deferred *deferred, gpa_t gpa, uint64_t size_bytes);

enum reclaim_deferred_choice {
	DEFERRED_COMPLETE, /* blocks */
	DEFERRED_WORTH_IT, /* and parts that are worth a split, or need none */
	DEFERRED_ALL,
};

typedef void (*reclaim_deferred_fn)(void *ctx, gpa_t gpa, uint64_t size_bytes);
/* Whether the host holds the block that begins at gpa in a huge page. */
typedef bool (*reclaim_deferred_huge_fn)(void *ctx, gpa_t gpa);

/* Takes what is chosen and may be taken, as ascending ranges that are apart from each other.
 * Returns how many bytes. */
uint64_t reclaim_deferred_take(struct reclaim_deferred *deferred,
                               enum reclaim_deferred_choice choice, reclaim_deferred_fn fn,
                               reclaim_deferred_huge_fn is_huge, void *ctx);

#endif
