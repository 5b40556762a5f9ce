/* SPDX-License-Identifier: Apache-2.0 */
/* A set of guest pages, as bitmaps of guest memory's regions. */
#include "ebb/page_map.h"

#include <errno.h>
#include <stdlib.h>

#include "ebb/bitmap.h"

struct part {
	gpa_t gpa;
	uint64_t size_bytes;
	uint64_t *words;
};

struct page_map {
	size_t count;
	struct part parts[]; /* ascending */
};

/* All regions, as they are at one moment. */
static struct gmem_region *list_all(struct guest_memory *memory, size_t *ret_count)
{
	struct gmem_region *regions;
	size_t count;

	gmem_lock_shared(memory);
	count = gmem_list_regions(memory, NULL, 0);
	regions = calloc(count + 1, sizeof(*regions));
	if (regions)
		*ret_count = gmem_list_regions(memory, regions, count);
	gmem_unlock_shared(memory);
	return regions;
}

int page_map_create(struct guest_memory *memory, struct page_map **ret_map)
{
	size_t count = 0;
	struct gmem_region *regions = list_all(memory, &count);
	struct page_map *map = calloc(1, sizeof(*map) + count * sizeof(map->parts[0]));
	bool complete = regions && map;

	for (size_t i = 0; complete && i < count; i++) {
		struct part *part = &map->parts[map->count++];

		part->gpa = regions[i].gpa;
		part->size_bytes = regions[i].size_bytes;
		part->words = calloc(BITMAP_WORDS(part->size_bytes / PAGE_4K_BYTES),
		                     sizeof(*part->words));
		complete = part->words;
	}
	free(regions);
	if (!complete) {
		page_map_destroy(map);
		return -ENOMEM;
	}
	*ret_map = map;
	return 0;
}

void page_map_destroy(struct page_map *map)
{
	if (!map)
		return;
	for (size_t i = 0; i < map->count; i++)
		free(map->parts[i].words);
	free(map);
}

/* The pages of a part that the range touches; false: none. */
static bool clip(const struct part *part, gpa_t gpa, uint64_t size_bytes, size_t *ret_first,
                 size_t *ret_count)
{
	gpa_t last = gpa + (size_bytes - 1), part_last = part->gpa + (part->size_bytes - 1);

	if (last < gpa) /* past the end of the address space */
		last = UINT64_MAX;
	if (!size_bytes || last < part->gpa || gpa > part_last)
		return false;
	if (gpa < part->gpa)
		gpa = part->gpa;
	last = min_u64(last, part_last);
	*ret_first = (gpa - part->gpa) / PAGE_4K_BYTES;
	*ret_count = (last - part->gpa) / PAGE_4K_BYTES - *ret_first + 1;
	return true;
}

uint64_t page_map_add(struct page_map *map, gpa_t gpa, uint64_t size_bytes)
{
	uint64_t added_pages = 0;
	size_t first, count;

	for (size_t i = 0; i < map->count; i++) {
		struct part *part = &map->parts[i];

		if (!clip(part, gpa, size_bytes, &first, &count))
			continue;
		added_pages += count - bitmap_count_range(part->words, first, count);
		bitmap_set_range(part->words, first, count);
	}
	return added_pages * PAGE_4K_BYTES;
}

uint64_t page_map_count_bytes(const struct page_map *map, gpa_t gpa, uint64_t size_bytes)
{
	uint64_t pages = 0;
	size_t first, count;

	for (size_t i = 0; i < map->count; i++)
		if (clip(&map->parts[i], gpa, size_bytes, &first, &count))
			pages += bitmap_count_range(map->parts[i].words, first, count);
	return pages * PAGE_4K_BYTES;
}

size_t page_map_region_count(const struct page_map *map)
{
	return map->count;
}

void page_map_region(const struct page_map *map, size_t index, gpa_t *ret_gpa,
                     uint64_t *ret_size_bytes)
{
	*ret_gpa = map->parts[index].gpa;
	*ret_size_bytes = map->parts[index].size_bytes;
}

uint64_t *page_map_words(struct page_map *map, size_t index)
{
	return map->parts[index].words;
}
