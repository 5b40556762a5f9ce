/* SPDX-License-Identifier: Apache-2.0 */
/* The regions of guest memory as the memory-return engine knows them. Private to src/reclaim*.c;
 * one thread at a time. */
#ifndef EBB_RECLAIM_REGIONS_H
#define EBB_RECLAIM_REGIONS_H

#include "ebb/guest_memory.h"
#include "reclaim_deferred.h"
#include "reclaim_refault.h"

struct reclaim_region {
	gpa_t gpa;
	uint64_t size_bytes;
	uint8_t *hva;
	enum gmem_kind kind;
	uint64_t page_bytes; /* pieces are whole ones */
	bool locked;
	uint64_t block_bytes; /* a chunk of an area, of which blocks may be missing; 0: a region */
	int fd;               /* borrowed; -1: none */
	uint64_t file_offset; /* of hva */
	struct reclaim_refault refault;
	struct reclaim_deferred deferred;
};

struct reclaim_regions { /* zeroed at first */
	size_t count, max;
	struct reclaim_region *all; /* ascending */
};

/* -ENOMEM. Moves the others. */
EBB_MUST_CHECK int reclaim_regions_add(struct reclaim_regions *regions,
                                       const struct gmem_region *added);
void reclaim_regions_remove(struct reclaim_regions *regions, size_t index);
void reclaim_regions_drop(struct reclaim_regions *regions); /* all of them */

/* The index of the first region that ends behind gpa; count: none. */
size_t reclaim_regions_find(const struct reclaim_regions *regions, gpa_t gpa);

/* Frees what is remembered of a region's pages. */
void reclaim_region_forget(struct reclaim_region *region);

static inline bool reclaim_region_has_huge_pages(const struct reclaim_region *region)
{
	return region->page_bytes > PAGE_4K_BYTES;
}

/* A file keeps what is put there, and huge pages are filled in no other unit. */
static inline bool reclaim_region_can_refill(const struct reclaim_region *region)
{
	return region->kind == GMEM_ANON || region->kind == GMEM_MEMFD;
}

#endif
