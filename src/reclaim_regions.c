/* SPDX-License-Identifier: Apache-2.0 */
/* The regions of guest memory as the memory-return engine knows them. */
#include "reclaim_regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REGIONS_FIRST 4

static struct reclaim_region make_region(const struct gmem_region *added)
{
	struct reclaim_region region = {
		.gpa = added->gpa,
		.size_bytes = added->size_bytes,
		.hva = added->hva,
		.kind = added->kind,
		.page_bytes = added->page_bytes,
		.locked = added->locked,
		.block_bytes = added->block_bytes,
		.fd = added->fd,
		.file_offset = added->file_offset,
	};
	uint64_t deferred_block_bytes = PAGE_2M_BYTES;

	if (reclaim_region_has_huge_pages(&region))
		deferred_block_bytes = region.page_bytes;
	else if (added->kind == GMEM_ANON && !added->thp)
		deferred_block_bytes = 0; /* nothing to be gained */
	reclaim_refault_init(&region.refault, added->size_bytes);
	reclaim_deferred_init(&region.deferred, added->gpa, added->size_bytes, deferred_block_bytes,
	                      reclaim_region_has_huge_pages(&region));
	return region;
}

size_t reclaim_regions_find(const struct reclaim_regions *regions, gpa_t gpa)
{
	size_t low = 0, high = regions->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct reclaim_region *region = &regions->all[middle];

		if (region->gpa + (region->size_bytes - 1) < gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int grow(struct reclaim_regions *regions)
{
	size_t max = regions->max ? 2 * regions->max : REGIONS_FIRST;
	struct reclaim_region *all;

	if (regions->count < regions->max)
		return 0;
	all = reallocarray(regions->all, max, sizeof(*all));
	if (!all)
		return -ENOMEM;
	regions->all = all;
	regions->max = max;
	return 0;
}

int reclaim_regions_add(struct reclaim_regions *regions, const struct gmem_region *added)
{
	size_t at = reclaim_regions_find(regions, added->gpa);
	int r = grow(regions);

	if (r < 0)
		return r;
	memmove(&regions->all[at + 1], &regions->all[at],
	        (regions->count - at) * sizeof(regions->all[0]));
	regions->all[at] = make_region(added);
	regions->count++;
	return 0;
}

void reclaim_regions_remove(struct reclaim_regions *regions, size_t index)
{
	reclaim_region_forget(&regions->all[index]);
	regions->count--;
	memmove(&regions->all[index], &regions->all[index + 1],
	        (regions->count - index) * sizeof(regions->all[0]));
}

void reclaim_regions_drop(struct reclaim_regions *regions)
{
	for (size_t i = 0; i < regions->count; i++)
		reclaim_region_forget(&regions->all[i]);
	free(regions->all);
	*regions = (struct reclaim_regions){ 0 };
}

void reclaim_region_forget(struct reclaim_region *region)
{
	reclaim_refault_drop(&region->refault);
	reclaim_deferred_drop(&region->deferred);
}
