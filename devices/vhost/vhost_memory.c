/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The regions of guest memory as a vhost's memory table needs them.
 *
 * The kernel bounds the entries of its table (max_mem_regions, 64), while guest memory comes in
 * chunks, 256 an area at the most. Those of an area, or of one backing by luck, touch in
 * guest-physical and in host addresses, and are one entry then.
 */
#include "vhost_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPANS_FIRST 8

/* The first span that starts at gpa or behind it. */
static size_t find(const struct vhost_spans *spans, gpa_t gpa)
{
	size_t index = 0;

	while (index < spans->count && spans->spans[index].gpa < gpa)
		index++;
	return index;
}

int vhost_spans_add(struct vhost_spans *spans, const struct vhost_span *span)
{
	size_t index = find(spans, span->gpa);

	if (spans->count == spans->max) {
		size_t max = spans->max ? 2 * spans->max : SPANS_FIRST;
		struct vhost_span *more = reallocarray(spans->spans, max, sizeof(*more));

		if (!more)
			return -ENOMEM;
		spans->spans = more;
		spans->max = max;
	}
	memmove(&spans->spans[index + 1], &spans->spans[index],
	        (spans->count - index) * sizeof(*span));
	spans->spans[index] = *span;
	spans->count++;
	return 0;
}

void vhost_spans_remove(struct vhost_spans *spans, gpa_t gpa)
{
	size_t index = find(spans, gpa);

	if (index == spans->count || spans->spans[index].gpa != gpa)
		return;
	spans->count--;
	memmove(&spans->spans[index], &spans->spans[index + 1],
	        (spans->count - index) * sizeof(spans->spans[0]));
}

void vhost_spans_free(struct vhost_spans *spans)
{
	free(spans->spans);
	*spans = (struct vhost_spans){ .spans = NULL };
}

static bool touch(const struct vhost_span *before, const struct vhost_span *behind)
{
	/* One that ends with the address space wraps to 0, where nothing follows it. */
	return before->gpa + before->size_bytes == behind->gpa &&
	       before->hva + before->size_bytes == behind->hva;
}

size_t vhost_spans_merge(const struct vhost_spans *spans, struct vhost_span *merged)
{
	struct vhost_span last = { .size_bytes = 0 };
	size_t count = 0;

	for (size_t i = 0; i < spans->count; i++) {
		const struct vhost_span *span = &spans->spans[i];

		if (count && touch(&last, span)) {
			last.size_bytes += span->size_bytes;
		} else {
			last = *span;
			count++;
		}
		if (merged)
			merged[count - 1] = last;
	}
	return count;
}

bool vhost_spans_hold(const struct vhost_spans *spans, uint64_t hva, uint64_t size_bytes)
{
	for (size_t i = 0; i < spans->count; i++)
		if (range_contains(spans->spans[i].hva, spans->spans[i].size_bytes, hva,
		                   size_bytes))
			return true;
	return false;
}
