/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces of a batch: looked at, released, accounted. Private to src/reclaim*.c; one thread at a
 * time, with the shared lock of guest memory. */
#ifndef EBB_RECLAIM_PIECES_H
#define EBB_RECLAIM_PIECES_H

#include "ebb/reclaim.h"
#include "reclaim_batch.h"
#include "reclaim_call.h"
#include "reclaim_deferred.h"
#include "reclaim_look.h"
#include "reclaim_refault.h"
#include "reclaim_refill.h"
#include "reclaim_regions.h"
#include "reclaim_residency.h"

#define PIECES_MAX CALL_ELEMENTS_MAX

struct reclaim_piece {
	struct reclaim_region *region;
	uint8_t *hva;
	uint64_t size_bytes, resident_bytes;
	bool holds_something; /* resident, swapped or zero pages */
};

struct reclaim_pieces {
	struct reclaim_call call;
	bool lazy; /* the batch's pieces */
	struct residency residency;
	struct refill *refill; /* NULL: not needed yet, or the host has none */
	uint32_t poison_value; /* what the batch's pieces, whole blocks then, read as; 0: no refill
	                        */
	struct reclaim_refault_counts refaults; /* met by releases so far */
	enum reclaim_source source;             /* of the batch under way */
	unsigned int errors;                    /* since the caller cleared it */
	int first_error;                        /* 0: none */
	size_t piece_count;
	struct reclaim_piece pieces[PIECES_MAX];
};

void reclaim_pieces_init(struct reclaim_pieces *all); /* zeroed before */
void reclaim_pieces_fini(struct reclaim_pieces *all);

/* A range inside region, aligned to its page_bytes. Neighbouring calls that ascend are looked at
 * together. Flushes when full. */
void reclaim_pieces_add(struct reclaim_pieces *all, struct reclaim_region *region, gpa_t gpa,
                        uint64_t size_bytes, struct reclaim_outcome *outcome);

/* Looks at, releases and accounts what was added. */
void reclaim_pieces_flush(struct reclaim_pieces *all, struct reclaim_outcome *outcome);

/* Adds to *look what is in [offset_bytes, offset_bytes + size_bytes) of a region. */
void reclaim_pieces_look(struct reclaim_pieces *all, const struct reclaim_region *region,
                         uint64_t offset_bytes, uint64_t size_bytes, struct reclaim_look *look);

/* Whether the host holds any of [gpa, gpa + size_bytes), as far as it is the region's, in huge
 * pages; true where it does not say. */
bool reclaim_pieces_hold_huge(struct reclaim_pieces *all, const struct reclaim_region *region,
                              gpa_t gpa, uint64_t size_bytes);

#endif
