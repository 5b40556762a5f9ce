/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps of any length in words of 64 bits. Not thread-safe. Bit indexes are the caller's to
 * bound. */
#ifndef EBB_BITMAP_H
#define EBB_BITMAP_H

#include "ebb/types.h"

#define BITMAP_WORDS(bit_count) (((bit_count) + 63) / 64)

static inline bool bitmap_test(const uint64_t *map, size_t bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

static inline void bitmap_set(uint64_t *map, size_t bit)
{
	map[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void bitmap_clear(uint64_t *map, size_t bit)
{
	map[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

/* [first, first + count) */
void bitmap_set_range(uint64_t *map, size_t first, size_t count);
void bitmap_clear_range(uint64_t *map, size_t first, size_t count);
size_t bitmap_count_range(const uint64_t *map, size_t first, size_t count);

/* The first set (clear) bit at or behind start, or bit_count. */
size_t bitmap_find_set(const uint64_t *map, size_t bit_count, size_t start);
size_t bitmap_find_clear(const uint64_t *map, size_t bit_count, size_t start);

#endif
