/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at all of guest memory that never takes long: at slices, in an order that spreads them, as
 * many as its time allows. Private to src/reclaim*.c; pure.
 *
 * DOC: looking at 1 GiB takes the host 0.04 ms of huge pages and 5 to 12 ms of 4 KiB pages, and
 * nobody knows before which they are. So a look is exact where all slices fit in its time - some
 * TiB of huge pages, some 6 GiB of small ones - and a sample else. What a sample found stands for
 * all; a batch that comes in between waits for one slice at most.
 */
#ifndef EBB_RECLAIM_LOOK_H
#define EBB_RECLAIM_LOOK_H

#include "reclaim_refault.h"

#define RECLAIM_LOOK_SLICE_BYTES (16 * MIB)
#define RECLAIM_LOOK_MAX_NS      (50 * NS_PER_MS)

struct reclaim_look {
	uint64_t looked_bytes, resident_bytes; /* of what was looked at */
	struct reclaim_refault_counts back;    /* resident there, and released before */
};

/* Slice i * step % count, for i from 0 on, visits each of count once, and spreads each beginning
 * over all. */
size_t reclaim_look_step(size_t count);

/* What was found in looked_bytes of total_bytes, for all of them; at most total_bytes. */
uint64_t reclaim_look_extrapolate(uint64_t found_bytes, uint64_t looked_bytes,
                                  uint64_t total_bytes);

#endif
