/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a batch of ranges into order.
 *
 * DOC: guests send neighbours next to each other, Linux in descending order (page frame numbers of
 * an inflating balloon). So one pass joins each range with the one before it, which leaves a few
 * runs of hundreds; only these are sorted. The sort is a heapsort: no memory, and no order of input
 * that makes it slow.
 */
#include "reclaim_batch.h"

/* Whether anything is left of the range after clipping it. */
static bool clip(struct reclaim_range *range, struct reclaim_batch_totals *totals)
{
	uint64_t start = range->gpa, end = start + range->size_bytes, size_bytes = 0;

	totals->bytes_in = add_saturating(totals->bytes_in, range->size_bytes);
	if (end < start) {
		totals->bytes_wrapped = add_saturating(totals->bytes_wrapped, end);
		range->size_bytes -= end;
		end = UINT64_MAX;
	}
	end = align_down(end, PAGE_4K_BYTES);
	if (start <= UINT64_MAX - PAGE_4K_BYTES) {
		start = align_up(start, PAGE_4K_BYTES);
		if (start < end)
			size_bytes = end - start;
	}
	totals->bytes_clipped =
		add_saturating(totals->bytes_clipped, range->size_bytes - size_bytes);
	range->gpa = start;
	range->size_bytes = size_bytes;
	return size_bytes > 0;
}

/* Joins next to last if they are neighbours that do not overlap. */
static bool join(struct reclaim_range *last, const struct reclaim_range *next)
{
	if (last->gpa + last->size_bytes == next->gpa)
		last->size_bytes += next->size_bytes;
	else if (next->gpa + next->size_bytes == last->gpa)
		*last = (struct reclaim_range){ next->gpa, next->size_bytes + last->size_bytes };
	else
		return false;
	return true;
}

static void sift_down(struct reclaim_range *heap, size_t count, size_t parent)
{
	struct reclaim_range moving = heap[parent];

	for (size_t child; (child = 2 * parent + 1) < count; parent = child) {
		if (child + 1 < count && heap[child + 1].gpa > heap[child].gpa)
			child++;
		if (heap[child].gpa <= moving.gpa)
			break;
		heap[parent] = heap[child];
	}
	heap[parent] = moving;
}

static void sort(struct reclaim_range *ranges, size_t count)
{
	size_t sorted = 1;

	while (sorted < count && ranges[sorted - 1].gpa <= ranges[sorted].gpa)
		sorted++;
	if (sorted >= count)
		return;
	for (size_t parent = count / 2; parent-- > 0;)
		sift_down(ranges, count, parent);
	for (size_t last = count - 1; last > 0; last--) {
		struct reclaim_range largest = ranges[0];

		ranges[0] = ranges[last];
		ranges[last] = largest;
		sift_down(ranges, last, 0);
	}
}

size_t reclaim_batch_normalise(struct reclaim_range *ranges, size_t count,
                               struct reclaim_batch_totals *ret_totals)
{
	struct reclaim_batch_totals totals = { 0 };
	size_t runs = 0, merged = 0;

	for (size_t i = 0; i < count; i++) {
		struct reclaim_range range = ranges[i];

		if (clip(&range, &totals) && !(runs && join(&ranges[runs - 1], &range)))
			ranges[runs++] = range;
	}
	sort(ranges, runs);
	for (size_t i = 0; i < runs; i++) {
		struct reclaim_range range = ranges[i], *last;
		uint64_t last_end, end = range.gpa + range.size_bytes;

		last = merged ? &ranges[merged - 1] : NULL;
		last_end = last ? last->gpa + last->size_bytes : 0;
		if (!last || range.gpa > last_end) {
			ranges[merged++] = range;
			continue;
		}
		totals.bytes_repeated =
			add_saturating(totals.bytes_repeated, min_u64(last_end, end) - range.gpa);
		last->size_bytes = max_u64(last_end, end) - last->gpa;
	}
	*ret_totals = totals;
	return merged;
}
