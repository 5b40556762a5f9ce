/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps in words of 64 bits: what works on more than one bit. */
#include "ebb/bitmap.h"

/* The bits of [first, end) that lie in the word that holds first. first < end. */
static uint64_t word_mask(size_t first, size_t end)
{
	uint64_t mask = ~UINT64_C(0) << (first % 64);

	if (end / 64 == first / 64)
		mask &= ~(~UINT64_C(0) << (end % 64));
	return mask;
}

static size_t next_word_start(size_t bit)
{
	return (bit / 64 + 1) * 64;
}

void bitmap_set_range(uint64_t *map, size_t first, size_t count)
{
	size_t end = first + count;

	for (size_t bit = first; bit < end; bit = next_word_start(bit))
		map[bit / 64] |= word_mask(bit, end);
}

void bitmap_clear_range(uint64_t *map, size_t first, size_t count)
{
	size_t end = first + count;

	for (size_t bit = first; bit < end; bit = next_word_start(bit))
		map[bit / 64] &= ~word_mask(bit, end);
}

size_t bitmap_count_range(const uint64_t *map, size_t first, size_t count)
{
	size_t end = first + count, found = 0;

	for (size_t bit = first; bit < end; bit = next_word_start(bit))
		found += (size_t)__builtin_popcountll(map[bit / 64] & word_mask(bit, end));
	return found;
}

/* The first bit at or behind start whose value differs from that of invert's bits. */
static size_t find(const uint64_t *map, size_t bit_count, size_t start, uint64_t invert)
{
	for (size_t bit = start; bit < bit_count; bit = next_word_start(bit)) {
		uint64_t word = (map[bit / 64] ^ invert) & word_mask(bit, bit_count);

		if (word)
			return bit / 64 * 64 + (size_t)__builtin_ctzll(word);
	}
	return bit_count;
}

size_t bitmap_find_set(const uint64_t *map, size_t bit_count, size_t start)
{
	return find(map, bit_count, start, 0);
}

size_t bitmap_find_clear(const uint64_t *map, size_t bit_count, size_t start)
{
	return find(map, bit_count, start, ~UINT64_C(0));
}
