/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of guest memory are resident, asked in as few system calls as the host allows.
 *
 * DOC: two methods, chosen at the first question.
 *
 * PAGEMAP_SCAN (Linux 6.7) answers a whole span with runs instead of pages, a THP in one step, and
 * knows the shared zero page and swap: it agrees with smaps to the page. Zero pages count in no
 * RSS; a guest that only reads untouched memory maps them, 2 MiB at a time.
 *
 * mincore is the fall-back. On private anonymous memory it says what is mapped: swapped pages look
 * absent, zero pages look resident (so releasing them counts as released: wrong by what the guest
 * read and never wrote, which Linux guests hardly do). Since it cannot tell swapped from absent, an
 * absent run may hold swap; callers that would skip releasing what is absent ask
 * residency_sees_swap.
 *
 * Limits: the buffer holds 512 runs, or 12288 pages (48 MiB) of mincore; longer spans take several
 * calls.
 */
#include "reclaim_residency.h"

#include <errno.h>
#include <unistd.h>

void residency_init(struct residency *residency)
{
	residency->method = RESIDENCY_UNPROBED;
	residency->pagemap_fd = -1;
}

void residency_fini(struct residency *residency)
{
	if (residency->pagemap_fd >= 0)
		close(residency->pagemap_fd);
	residency->pagemap_fd = -1;
}

static void use_mincore(struct residency *residency)
{
	residency_fini(residency);
	residency->method = RESIDENCY_MINCORE;
}

static void probe(struct residency *residency)
{
	int fd = reclaim_host_pagemap_open();

	residency->method = fd < 0 ? RESIDENCY_MINCORE : RESIDENCY_PAGEMAP;
	residency->pagemap_fd = fd < 0 ? -1 : fd;
}

void residency_open(struct residency *residency)
{
	if (residency->method == RESIDENCY_UNPROBED)
		probe(residency);
}

static bool is_resident(const struct reclaim_host_run *run)
{
	return (run->categories & (RECLAIM_HOST_PRESENT | RECLAIM_HOST_ZERO_PAGE)) ==
	       RECLAIM_HOST_PRESENT;
}

/* Scans as much of [*cursor, end) as one call gives, and moves *cursor on. */
static int scan_pagemap(struct residency *residency, uintptr_t *cursor, uintptr_t end,
                        residency_run_fn fn, void *ctx)
{
	struct reclaim_host_run *runs = residency->buffer.runs;
	uintptr_t walk_end = *cursor;
	int count = reclaim_host_pagemap_scan(residency->pagemap_fd, *cursor, end, runs,
	                                      RESIDENCY_RUNS_MAX, &walk_end);

	if (count < 0)
		return count;
	if (walk_end <= *cursor)
		return -EIO;
	for (int i = 0; i < count; i++)
		fn(ctx, runs[i].start, runs[i].end, is_resident(&runs[i]));
	*cursor = walk_end;
	return 0;
}

static int scan_mincore(struct residency *residency, uintptr_t *cursor, uintptr_t end,
                        residency_run_fn fn, void *ctx)
{
	uint8_t *pages = residency->buffer.pages;
	uint64_t size_bytes = min_u64(end - *cursor, sizeof(residency->buffer) * PAGE_4K_BYTES);
	size_t count = size_bytes / PAGE_4K_BYTES, next;
	int r = reclaim_host_mincore((void *)*cursor, size_bytes, pages);

	if (r < 0)
		return r;
	for (size_t first = 0; first < count; first = next) {
		for (next = first + 1; next < count && (pages[next] & 1) == (pages[first] & 1);)
			next++;
		if (pages[first] & 1)
			fn(ctx, *cursor + first * PAGE_4K_BYTES, *cursor + next * PAGE_4K_BYTES,
			   true);
	}
	*cursor += size_bytes;
	return 0;
}

int residency_scan(struct residency *residency, uintptr_t start, uintptr_t end, residency_run_fn fn,
                   void *ctx)
{
	int r = 0;

	if (residency->method == RESIDENCY_UNPROBED)
		probe(residency);
	for (uintptr_t cursor = start; cursor < end && !r;) {
		if (residency->method == RESIDENCY_PAGEMAP) {
			/* An older host does not know the request: go on from here without it. */
			if (scan_pagemap(residency, &cursor, end, fn, ctx) < 0)
				use_mincore(residency);
		} else {
			r = scan_mincore(residency, &cursor, end, fn, ctx);
		}
	}
	return r;
}

bool residency_holds_huge(struct residency *residency, uintptr_t start, uintptr_t end)
{
	if (residency->method == RESIDENCY_UNPROBED)
		probe(residency);
	return residency->method != RESIDENCY_PAGEMAP ||
	       reclaim_host_pagemap_holds_huge(residency->pagemap_fd, start, end) != 0;
}
