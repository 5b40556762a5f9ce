/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing a batch of ranges into order: pure. Private to src/reclaim*.c. */
#ifndef EBB_RECLAIM_BATCH_H
#define EBB_RECLAIM_BATCH_H

#include "ebb/reclaim.h"

struct reclaim_batch_totals { /* saturating: sizes are guest-controlled */
	uint64_t bytes_in;
	uint64_t bytes_wrapped;  /* past the end of all addresses */
	uint64_t bytes_clipped;  /* edges that fill no page */
	uint64_t bytes_repeated; /* mentioned before in the same batch */
};

/*
 * Clips each range inward to whole 4 KiB pages, sorts, and merges neighbours and overlaps, in
 * place. Returns how many ranges are left: ascending, apart from each other, none empty, none
 * wrapping.
 */
size_t reclaim_batch_normalise(struct reclaim_range *ranges, size_t count,
                               struct reclaim_batch_totals *ret_totals);

static inline uint64_t add_saturating(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static inline void reclaim_refuse(struct reclaim_outcome *outcome, enum reclaim_refusal refusal,
                                  uint64_t size_bytes)
{
	outcome->refused[refusal] = add_saturating(outcome->refused[refusal], size_bytes);
	outcome->bytes_refused = add_saturating(outcome->bytes_refused, size_bytes);
}

#endif
