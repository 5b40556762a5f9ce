/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was released and has come back, of one region.
 *
 * DOC: a bit a page and source, set by a release, in maps that are made with a source's first
 * release and cost memory only where something was released: 32 KiB a GiB. A page that is
 * resident with its bit set was faulted back. A release that meets such a page counts it for good
 * and says anew whose it is; a query counts what is back at that moment and changes nothing, so
 * that it may look at a sample (reclaim_look.h).
 */
#include "reclaim_refault.h"

#include <sys/mman.h>

#include "ebb/bitmap.h"

static size_t map_bytes(const struct reclaim_refault *refault)
{
	return BITMAP_WORDS(refault->page_count) * sizeof(uint64_t);
}

void reclaim_refault_init(struct reclaim_refault *refault, uint64_t size_bytes)
{
	*refault = (struct reclaim_refault){ .page_count = size_bytes / PAGE_4K_BYTES };
}

void reclaim_refault_drop(struct reclaim_refault *refault)
{
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		if (refault->released[i])
			munmap(refault->released[i], map_bytes(refault));
		refault->released[i] = NULL;
	}
}

static uint64_t *map_of(struct reclaim_refault *refault, enum reclaim_source source)
{
	void *map;

	if (refault->released[source])
		return refault->released[source];
	map = mmap(NULL, map_bytes(refault), PROT_READ | PROT_WRITE,
	           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	refault->released[source] = map == MAP_FAILED ? NULL : map;
	return refault->released[source];
}

void reclaim_refault_released(struct reclaim_refault *refault, enum reclaim_source source,
                              size_t first, size_t count)
{
	uint64_t *map = map_of(refault, source);

	reclaim_refault_forget(refault, first, count);
	if (map)
		bitmap_set_range(map, first, count);
}

void reclaim_refault_forget(struct reclaim_refault *refault, size_t first, size_t count)
{
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		if (refault->released[i])
			bitmap_clear_range(refault->released[i], first, count);
	}
}

void reclaim_refault_count(const struct reclaim_refault *refault, size_t first, size_t count,
                           struct reclaim_refault_counts *counts)
{
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		if (refault->released[i])
			counts->bytes[i] += bitmap_count_range(refault->released[i], first, count) *
			                    PAGE_4K_BYTES;
	}
}
