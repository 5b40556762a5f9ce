/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of guest pages: a bit for each 4 KiB page of guest memory, as its regions are when the map
 * is made. 32 KiB of address space for each GiB, of which what is never set costs nothing.
 *
 * Not thread-safe. Ranges are guest-controlled: any value is safe, what lies outside of the regions
 * is in no set.
 */
#ifndef EBB_PAGE_MAP_H
#define EBB_PAGE_MAP_H

#include "ebb/guest_memory.h"
#include "ebb/types.h"

struct page_map;

/* -ENOMEM. Takes the shared lock of guest memory. */
EBB_MUST_CHECK int page_map_create(struct guest_memory *memory, struct page_map **ret_map);
void page_map_destroy(struct page_map *map);

/* Adds every page of which a byte lies in the range. Returns the bytes of those that were not in
 * the set. */
uint64_t page_map_add(struct page_map *map, gpa_t gpa, uint64_t size_bytes);

/* Bytes of the range's pages that are in the set. */
uint64_t page_map_count_bytes(const struct page_map *map, gpa_t gpa, uint64_t size_bytes);

/* The regions that it is of, in ascending order, and a region's words: bit 0 of the first is the
 * region's first page, as KVM's dirty log has it. */
size_t page_map_region_count(const struct page_map *map);
void page_map_region(const struct page_map *map, size_t index, gpa_t *ret_gpa,
                     uint64_t *ret_size_bytes);
uint64_t *page_map_words(struct page_map *map, size_t index);

#endif
