/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages whose release is put off until their block is complete.
 *
 * DOC: a bitmap in blocks, with a count of the ones of each. The map is made with the first page
 * that comes (NORESERVE: it costs what is written). A block that the region holds only a part of
 * never becomes complete and goes when everything is taken.
 *
 *	                add                       take
 *	absent ------------------> waits --------------------> taken
 *	   ^ <------------------------                           |
 *	   |           forget                                    |
 *	   '------ forget (the rest of its block waits again) ---'
 *
 * There are two kinds of blocks. Small pages that make a huge one better go together, but may go
 * apart: what is taken leaves the map. Pages of a backing that frees whole blocks alone (hugetlb)
 * never go apart, and stay in the map when they went: a block of which one page was given back to
 * its owner (forgotten), touched, and put off again is released again.
 *
 * A part is worth the split of a huge page when three quarters of its block wait. Measured on stock
 * guests (virtio_balloon_pages.c), what a balloon leaves in parts is a sixth to two thirds of a
 * block, in up to 94 pieces; to release it split 12 huge pages and added nothing to what the host
 * had available. Where the host holds the block in small pages there is nothing to split, and any
 * part is worth it.
 */
#include "reclaim_deferred.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "ebb/bitmap.h"

#define WORTH_A_SPLIT_BYTES (PAGE_2M_BYTES / 4 * 3)

void reclaim_deferred_init(struct reclaim_deferred *deferred, gpa_t gpa, uint64_t size_bytes,
                           uint64_t block_bytes, bool whole_only)
{
	*deferred = (struct reclaim_deferred){
		.block_bytes = block_bytes,
		.whole_only = whole_only,
	};
	if (!block_bytes)
		return;
	deferred->first_gpa = align_down(gpa, block_bytes);
	deferred->block_count = (gpa - deferred->first_gpa + size_bytes - 1) / block_bytes + 1;
}

static size_t block_pages(const struct reclaim_deferred *deferred)
{
	return deferred->block_bytes / PAGE_4K_BYTES;
}

static size_t map_words(const struct reclaim_deferred *deferred)
{
	return deferred->block_count * block_pages(deferred) / 64;
}

static size_t map_bytes(const struct reclaim_deferred *deferred)
{
	return map_words(deferred) * sizeof(uint64_t) +
	       BITMAP_WORDS(deferred->block_count) * sizeof(uint64_t) +
	       deferred->block_count * sizeof(uint32_t);
}

void reclaim_deferred_drop(struct reclaim_deferred *deferred)
{
	if (deferred->map)
		munmap(deferred->map, map_bytes(deferred));
	deferred->map = NULL;
	deferred->begin_block = deferred->end_block = 0;
	deferred->complete_blocks = 0;
	deferred->bytes = deferred->set_bytes = 0;
}

static uint64_t *block_words(const struct reclaim_deferred *deferred, size_t block)
{
	return deferred->map + block * block_pages(deferred) / 64;
}

static bool is_full(const struct reclaim_deferred *deferred, size_t block)
{
	return deferred->counts[block] == block_pages(deferred);
}

static bool is_taken(const struct reclaim_deferred *deferred, size_t block)
{
	return is_full(deferred, block) && !bitmap_test(deferred->complete, block);
}

static int make_map(struct reclaim_deferred *deferred)
{
	void *map;

	if (!deferred->block_bytes)
		return -EOPNOTSUPP;
	if (deferred->map)
		return 0;
	map = mmap(NULL, map_bytes(deferred), PROT_READ | PROT_WRITE,
	           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -errno;
	deferred->map = map;
	deferred->complete = deferred->map + map_words(deferred);
	deferred->counts = (uint32_t *)(deferred->complete + BITMAP_WORDS(deferred->block_count));
	return 0;
}

static void set_complete(struct reclaim_deferred *deferred, size_t block)
{
	bitmap_set(deferred->complete, block);
	deferred->complete_blocks++;
}

static void clear_complete(struct reclaim_deferred *deferred, size_t block)
{
	if (!bitmap_test(deferred->complete, block))
		return;
	bitmap_clear(deferred->complete, block);
	deferred->complete_blocks--;
}

/* A part of one block. */
struct part {
	size_t block, first, count; /* pages */
};

static bool next_part(const struct reclaim_deferred *deferred, gpa_t *gpa, uint64_t *size_bytes,
                      struct part *part)
{
	uint64_t offset = *gpa - deferred->first_gpa;
	uint64_t in_block = offset % deferred->block_bytes;
	uint64_t part_bytes = min_u64(*size_bytes, deferred->block_bytes - in_block);

	if (!*size_bytes)
		return false;
	*part = (struct part){
		.block = offset / deferred->block_bytes,
		.first = in_block / PAGE_4K_BYTES,
		.count = part_bytes / PAGE_4K_BYTES,
	};
	*gpa += part_bytes;
	*size_bytes -= part_bytes;
	return true;
}

static uint64_t add_part(struct reclaim_deferred *deferred, const struct part *part)
{
	uint64_t *words = block_words(deferred, part->block);
	size_t added = part->count - bitmap_count_range(words, part->first, part->count);

	bitmap_set_range(words, part->first, part->count);
	deferred->counts[part->block] += (uint32_t)added;
	if (added && is_full(deferred, part->block))
		set_complete(deferred, part->block);
	return added * PAGE_4K_BYTES;
}

int reclaim_deferred_add(struct reclaim_deferred *deferred, gpa_t gpa, uint64_t size_bytes,
                         uint64_t *ret_added_bytes)
{
	uint64_t added_bytes = 0;
	struct part part;
	int r = make_map(deferred);

	if (r < 0)
		return r;
	if (!deferred->set_bytes)
		deferred->begin_block = deferred->end_block =
			(gpa - deferred->first_gpa) / deferred->block_bytes;
	while (next_part(deferred, &gpa, &size_bytes, &part)) {
		added_bytes += add_part(deferred, &part);
		if (part.block < deferred->begin_block)
			deferred->begin_block = part.block;
		if (part.block >= deferred->end_block)
			deferred->end_block = part.block + 1;
	}
	deferred->bytes += added_bytes;
	deferred->set_bytes += added_bytes;
	*ret_added_bytes = added_bytes;
	return 0;
}

/* Returns how much of it waited. */
static uint64_t forget_part(struct reclaim_deferred *deferred, const struct part *part)
{
	uint64_t *words = block_words(deferred, part->block);
	size_t removed = bitmap_count_range(words, part->first, part->count);
	bool taken = is_taken(deferred, part->block);

	if (!removed)
		return 0;
	bitmap_clear_range(words, part->first, part->count);
	clear_complete(deferred, part->block);
	deferred->counts[part->block] -= (uint32_t)removed;
	deferred->set_bytes -= removed * PAGE_4K_BYTES;
	if (taken) {
		deferred->bytes += deferred->counts[part->block] * PAGE_4K_BYTES;
		return 0;
	}
	deferred->bytes -= removed * PAGE_4K_BYTES;
	return removed * PAGE_4K_BYTES;
}

uint64_t reclaim_deferred_forget(struct reclaim_deferred *deferred, gpa_t gpa, uint64_t size_bytes)
{
	gpa_t begin_gpa = deferred->first_gpa + deferred->begin_block * deferred->block_bytes;
	gpa_t last_gpa = deferred->first_gpa + deferred->end_block * deferred->block_bytes - 1;
	gpa_t last = gpa + size_bytes - 1;
	uint64_t waited_bytes = 0;
	struct part part;

	if (!deferred->set_bytes || !size_bytes || gpa > last_gpa || last < begin_gpa)
		return 0;
	gpa = max_u64(gpa, begin_gpa);
	size_bytes = min_u64(last, last_gpa) - gpa + 1;
	while (next_part(deferred, &gpa, &size_bytes, &part))
		waited_bytes += forget_part(deferred, &part);
	return waited_bytes;
}

/* Joins what is taken to runs. */
struct taking {
	struct reclaim_deferred *deferred;
	reclaim_deferred_fn fn;
	reclaim_deferred_huge_fn is_huge;
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

static void take_block(struct taking *taking, size_t block)
{
	struct reclaim_deferred *deferred = taking->deferred;
	uint64_t *words = block_words(deferred, block);
	gpa_t gpa = deferred->first_gpa + block * deferred->block_bytes;
	size_t pages = block_pages(deferred), first = 0, end;

	clear_complete(deferred, block);
	if (deferred->whole_only) {
		take_run(taking, gpa, deferred->block_bytes);
		return;
	}
	while ((first = bitmap_find_set(words, pages, first)) < pages) {
		end = bitmap_find_clear(words, pages, first);
		take_run(taking, gpa + first * PAGE_4K_BYTES, (end - first) * PAGE_4K_BYTES);
		first = end;
	}
	memset(words, 0, pages / 8);
	deferred->set_bytes -= deferred->counts[block] * PAGE_4K_BYTES;
	deferred->counts[block] = 0;
}

/* Of one block. */
static bool is_worth_it(const struct taking *taking, size_t block)
{
	const struct reclaim_deferred *deferred = taking->deferred;
	gpa_t gpa = deferred->first_gpa + block * deferred->block_bytes;

	return deferred->counts[block] * PAGE_4K_BYTES >= WORTH_A_SPLIT_BYTES ||
	       !taking->is_huge(taking->ctx, gpa);
}

static bool is_chosen(const struct taking *taking, enum reclaim_deferred_choice choice,
                      size_t block)
{
	if (bitmap_test(taking->deferred->complete, block))
		return true;
	if (choice == DEFERRED_COMPLETE || !taking->deferred->counts[block])
		return false;
	return choice == DEFERRED_ALL || is_worth_it(taking, block);
}

uint64_t reclaim_deferred_take(struct reclaim_deferred *deferred,
                               enum reclaim_deferred_choice choice, reclaim_deferred_fn fn,
                               reclaim_deferred_huge_fn is_huge, void *ctx)
{
	struct taking taking = { .deferred = deferred, .fn = fn, .is_huge = is_huge, .ctx = ctx };

	if (deferred->whole_only)
		choice = DEFERRED_COMPLETE;
	if (!deferred->bytes || (choice == DEFERRED_COMPLETE && !deferred->complete_blocks))
		return 0;
	for (size_t block = deferred->begin_block; block < deferred->end_block; block++) {
		if (is_chosen(&taking, choice, block))
			take_block(&taking, block);
	}
	if (taking.end > taking.start)
		fn(ctx, taking.start, taking.end - taking.start);
	deferred->bytes -= taking.bytes;
	return taking.bytes;
}
