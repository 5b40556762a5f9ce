/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages whose release is put off until their 2 MiB block is complete.
 *
 * DOC: a bitmap in blocks of 512 pages, so that a block is 8 words: complete when all are ones. The
 * map is made with the first page that comes (NORESERVE: it costs what is written). A block that
 * the region holds only a part of never becomes complete and goes when everything is taken.
 */
#include "reclaim_deferred.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "ebb/bitmap.h"

#define BLOCK_PAGES (PAGE_2M_BYTES / PAGE_4K_BYTES)
#define BLOCK_WORDS (BLOCK_PAGES / 64)

void reclaim_deferred_init(struct reclaim_deferred *deferred, gpa_t gpa, uint64_t size_bytes)
{
	gpa_t first_gpa = align_down(gpa, PAGE_2M_BYTES);
	uint64_t last_offset = gpa - first_gpa + size_bytes - 1;

	*deferred = (struct reclaim_deferred){
		.first_gpa = first_gpa,
		.block_count = last_offset / PAGE_2M_BYTES + 1,
	};
}

static size_t map_bytes(const struct reclaim_deferred *deferred)
{
	return deferred->block_count * BLOCK_WORDS * sizeof(uint64_t);
}

void reclaim_deferred_drop(struct reclaim_deferred *deferred)
{
	if (deferred->map)
		munmap(deferred->map, map_bytes(deferred));
	deferred->map = NULL;
	deferred->begin_block = deferred->end_block = 0;
	deferred->complete_blocks = 0;
	deferred->bytes = 0;
}

static uint64_t *block_words(const struct reclaim_deferred *deferred, size_t block)
{
	return deferred->map + block * BLOCK_WORDS;
}

static bool is_filled_with(const uint64_t *words, uint64_t value)
{
	for (size_t i = 0; i < BLOCK_WORDS; i++)
		if (words[i] != value)
			return false;
	return true;
}

static int make_map(struct reclaim_deferred *deferred)
{
	void *map;

	if (deferred->map)
		return 0;
	map = mmap(NULL, map_bytes(deferred), PROT_READ | PROT_WRITE,
	           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	deferred->map = map;
	return 0;
}

/* Pages [first, end) of one block. */
static uint64_t add_to_block(struct reclaim_deferred *deferred, size_t block, size_t first,
                             size_t end)
{
	uint64_t *words = block_words(deferred, block);
	uint64_t added = end - first - bitmap_count_range(words, first, end - first);

	bitmap_set_range(words, first, end - first);
	if (added && is_filled_with(words, UINT64_MAX))
		deferred->complete_blocks++;
	return added * PAGE_4K_BYTES;
}

int reclaim_deferred_add(struct reclaim_deferred *deferred, gpa_t gpa, uint64_t size_bytes,
                         uint64_t *ret_added_bytes)
{
	size_t page = (gpa - deferred->first_gpa) / PAGE_4K_BYTES;
	size_t end = page + size_bytes / PAGE_4K_BYTES;
	size_t begin_block = page / BLOCK_PAGES, end_block = (end - 1) / BLOCK_PAGES + 1;
	uint64_t added_bytes = 0;
	int r = make_map(deferred);

	if (r < 0)
		return r;
	for (size_t block = begin_block; block < end_block; block++) {
		size_t first_page = block * BLOCK_PAGES;

		added_bytes +=
			add_to_block(deferred, block, page > first_page ? page - first_page : 0,
		                     min_u64(end - first_page, BLOCK_PAGES));
	}
	if (!deferred->bytes || begin_block < deferred->begin_block)
		deferred->begin_block = begin_block;
	if (!deferred->bytes || end_block > deferred->end_block)
		deferred->end_block = end_block;
	deferred->bytes += added_bytes;
	*ret_added_bytes = added_bytes;
	return 0;
}

/* Joins what is taken to runs. */
struct taking {
	struct reclaim_deferred *deferred;
	reclaim_deferred_fn fn;
	void *ctx;
	gpa_t start, end; /* the run so far */
	uint64_t bytes;
};

static void take_run(struct taking *taking, gpa_t start, uint64_t size_bytes)
{
	if (start != taking->end) {
		if (taking->end > taking->start)
			taking->fn(taking->ctx, taking->start, taking->end - taking->start);
		taking->start = start;
	}
	taking->end = start + size_bytes;
	taking->bytes += size_bytes;
}

static void take_block(struct taking *taking, size_t block, bool complete)
{
	uint64_t *words = block_words(taking->deferred, block);
	gpa_t gpa = taking->deferred->first_gpa + block * PAGE_2M_BYTES;
	size_t first = 0, end;

	if (complete)
		taking->deferred->complete_blocks--;
	while ((first = bitmap_find_set(words, BLOCK_PAGES, first)) < BLOCK_PAGES) {
		end = bitmap_find_clear(words, BLOCK_PAGES, first);
		take_run(taking, gpa + first * PAGE_4K_BYTES, (end - first) * PAGE_4K_BYTES);
		first = end;
	}
	memset(words, 0, BLOCK_WORDS * sizeof(*words));
}

uint64_t reclaim_deferred_take(struct reclaim_deferred *deferred, bool complete_only,
                               reclaim_deferred_fn fn, void *ctx)
{
	struct taking taking = { .deferred = deferred, .fn = fn, .ctx = ctx };

	if (!deferred->bytes || (complete_only && !deferred->complete_blocks))
		return 0;
	for (size_t block = deferred->begin_block; block < deferred->end_block; block++) {
		const uint64_t *words = block_words(deferred, block);
		bool complete = is_filled_with(words, UINT64_MAX);

		if (complete || !(complete_only || is_filled_with(words, 0)))
			take_block(&taking, block, complete);
	}
	if (taking.end > taking.start)
		fn(ctx, taking.start, taking.end - taking.start);
	deferred->bytes -= taking.bytes;
	return taking.bytes;
}
