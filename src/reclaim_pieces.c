/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of a batch: looked at, released, accounted.
 *
 * DOC: a piece is a merged range inside one region. Looking comes first because the host does not
 * say what an advice freed. Pieces close to each other are looked at with one call: as long as a
 * gap is no larger than what the pieces before it cover plus 2 MiB, so a scan never walks much more
 * than twice what was asked for. A piece that holds nothing, neither memory nor swap, is not
 * released at all: no system call, and no MMU notifier for KVM to run.
 *
 * What is left goes by one vector process_madvise on this process; a single piece by madvise. A
 * vector is capped at 1 GiB, for the kernel cuts one at 2 GiB less a page, inside a THP. Whether
 * the host has it (Linux 6.13; without a descriptor 6.14) is found out by the first vector, so that
 * a start pays nothing: where the vector fails and the same piece goes by madvise, vectors are over
 * for good.
 *
 * Released pages are remembered (reclaim_refault.c). One that is seen resident has been faulted
 * back: counted for good at the next release of it, for the time being at a query.
 *
 * Backings: private anonymous memory, where MADV_DONTNEED frees at once and at 4 KiB. The others
 * fit behind release_one and release_group: shared memfd and files need MADV_REMOVE or a punched
 * hole (DONTNEED on them frees nothing), hugetlb the same at its page size, with parts put off
 * until a page is complete.
 */
#include "reclaim_pieces.h"

#include <unistd.h>

#include "reclaim_batch.h"
#include "reclaim_host.h"

#define VECTOR_MAX_BYTES GIB
#define GAP_MIN_BYTES    PAGE_2M_BYTES

void reclaim_pieces_init(struct reclaim_pieces *all)
{
	all->pidfd = RECLAIM_HOST_SELF;
	residency_init(&all->residency);
}

void reclaim_pieces_fini(struct reclaim_pieces *all)
{
	if (all->pidfd >= 0)
		close(all->pidfd);
	residency_fini(&all->residency);
	refill_destroy(all->refill);
}

/* --- regions --- */

void reclaim_region_forget(struct reclaim_region *region)
{
	reclaim_refault_drop(&region->refault);
	reclaim_deferred_drop(&region->deferred);
}

/* --- looking: what is there --- */

/* Pages that were resident and go now: what of them was released before had come back. */
static void note_going(struct reclaim_pieces *all, struct reclaim_region *region, uintptr_t start,
                       uintptr_t end)
{
	size_t first = (start - (uintptr_t)region->hva) / PAGE_4K_BYTES;
	size_t count = (end - start) / PAGE_4K_BYTES;

	reclaim_refault_count(&region->refault, first, count, &all->refaults);
	reclaim_refault_released(&region->refault, all->source, first, count);
}

struct look {
	struct reclaim_pieces *all;
	struct reclaim_piece *piece,
		*end; /* the first that the next run can touch; behind the last */
};

static void look_at_run(void *ctx, uintptr_t start, uintptr_t end, bool resident)
{
	struct look *look = ctx;

	for (struct reclaim_piece *piece = look->piece; piece < look->end; piece++) {
		uintptr_t piece_start = (uintptr_t)piece->hva;
		uintptr_t piece_end = piece_start + piece->size_bytes;
		uintptr_t from = max_u64(start, piece_start), to = min_u64(end, piece_end);

		if (piece_start >= end)
			return;
		if (piece_end <= end)
			look->piece = piece + 1;
		if (from >= to)
			continue;
		piece->holds_something = true;
		if (!resident)
			continue;
		piece->resident_bytes += to - from;
		note_going(look->all, piece->region, from, to);
	}
}

/* The first piece behind first that one scan would not take along. */
static size_t cluster_end(const struct reclaim_pieces *all, size_t first)
{
	uint64_t covered_bytes = all->pieces[first].size_bytes;
	size_t next = first + 1;

	for (; next < all->piece_count; next++) {
		const struct reclaim_piece *last = &all->pieces[next - 1];
		const struct reclaim_piece *piece = &all->pieces[next];

		if (piece->region != last->region ||
		    (uint64_t)(piece->hva - last->hva) - last->size_bytes >
		            covered_bytes + GAP_MIN_BYTES)
			break;
		covered_bytes += piece->size_bytes;
	}
	return next;
}

static void look_at_pieces(struct reclaim_pieces *all)
{
	for (size_t first = 0, next; first < all->piece_count; first = next) {
		struct reclaim_piece *start = &all->pieces[first], *last;
		struct look look = { .all = all, .piece = start };

		next = cluster_end(all, first);
		look.end = &all->pieces[next];
		last = look.end - 1;
		if (residency_scan(&all->residency, (uintptr_t)start->hva,
		                   (uintptr_t)last->hva + last->size_bytes, look_at_run, &look) < 0)
			all->errors++;
		/* Absent may still be swapped out: release it. */
		for (; start < look.end && !residency_sees_swap(&all->residency); start++)
			start->holds_something = true;
	}
}

/* --- releasing --- */

static void refuse_piece(const struct reclaim_piece *piece, struct reclaim_outcome *outcome)
{
	outcome->bytes_refused = add_saturating(outcome->bytes_refused, piece->size_bytes);
	reclaim_refault_forget(&piece->region->refault,
	                       (size_t)(piece->hva - piece->region->hva) / PAGE_4K_BYTES,
	                       piece->size_bytes / PAGE_4K_BYTES);
}

static void account_piece(struct reclaim_pieces *all, const struct reclaim_piece *piece, int result,
                          struct reclaim_outcome *outcome)
{
	if (result == 0) {
		outcome->ranges_released++;
		outcome->bytes_released += piece->resident_bytes;
		outcome->bytes_absent += piece->size_bytes - piece->resident_bytes;
		return;
	}
	refuse_piece(piece, outcome);
	all->errors++;
	if (!all->first_error)
		all->first_error = result;
}

static int release_one(struct reclaim_pieces *all, const struct reclaim_piece *piece,
                       struct reclaim_outcome *outcome)
{
	int r = reclaim_host_madvise(piece->hva, piece->size_bytes);

	outcome->syscalls++;
	account_piece(all, piece, r, outcome);
	return r;
}

/* The vector, with a descriptor of our own where the host does not know RECLAIM_HOST_SELF. */
static ssize_t try_vector(struct reclaim_pieces *all, size_t count, struct reclaim_outcome *outcome)
{
	ssize_t done = reclaim_host_process_madvise(all->pidfd, all->elements, count);
	int fd;

	outcome->syscalls++;
	if (done > 0 || all->vector != VECTOR_UNPROBED || all->pidfd >= 0)
		return done;
	fd = reclaim_host_pidfd_open();
	if (fd < 0)
		return done;
	all->pidfd = fd;
	outcome->syscalls++;
	return reclaim_host_process_madvise(fd, all->elements, count);
}

/* Releases pieces[0..count) or some of them, at least the first. Returns how many were dealt with.
 */
static size_t release_group(struct reclaim_pieces *all, const struct reclaim_piece *pieces,
                            size_t count, struct reclaim_outcome *outcome)
{
	size_t released = 0;
	ssize_t done;

	for (size_t i = 0; i < count; i++)
		all->elements[i] = (struct iovec){ pieces[i].hva, pieces[i].size_bytes };
	done = try_vector(all, count, outcome);
	if (done > 0)
		all->vector = VECTOR_WORKS;
	while (released < count && done >= (ssize_t)pieces[released].size_bytes) {
		done -= (ssize_t)pieces[released].size_bytes;
		account_piece(all, &pieces[released++], 0, outcome);
	}
	if (released)
		return released;
	/* The first piece or the vector itself is at fault: the plain call tells. */
	if (release_one(all, &pieces[0], outcome) == 0 && all->vector == VECTOR_UNPROBED)
		all->vector = VECTOR_NONE;
	return 1;
}

/* What a piece reads as, once it is released. False: it must not be. */
static bool guard_piece(struct reclaim_pieces *all, const struct reclaim_piece *piece)
{
	const struct refill_memory memory = { .hva = piece->region->hva,
		                              .size_bytes = piece->region->size_bytes };

	if (all->poison_value)
		return all->refill && refill_guard(all->refill, &memory, piece->hva,
		                                   piece->size_bytes, all->poison_value) == 0;
	if (all->refill)
		refill_unguard(all->refill, piece->hva, piece->size_bytes);
	return true;
}

/* How many pieces of pieces[0..count) one vector takes; at least one. */
static size_t group_size(const struct reclaim_piece *pieces, size_t count)
{
	uint64_t total_bytes = pieces[0].size_bytes;
	size_t size = 1;

	while (size < count && total_bytes <= VECTOR_MAX_BYTES &&
	       pieces[size].size_bytes <= VECTOR_MAX_BYTES - total_bytes)
		total_bytes += pieces[size++].size_bytes;
	return size;
}

/* Leaves those that there is something to release of. Returns how many. */
static size_t sift_pieces(struct reclaim_pieces *all, struct reclaim_outcome *outcome)
{
	struct reclaim_piece *pieces = all->pieces;
	size_t count = 0;

	for (size_t i = 0; i < all->piece_count; i++) {
		if (!pieces[i].holds_something && all->poison_value)
			outcome->bytes_absent += pieces[i].size_bytes;
		else if (!guard_piece(all, &pieces[i]))
			refuse_piece(&pieces[i], outcome);
		else if (pieces[i].holds_something)
			pieces[count++] = pieces[i];
		else
			outcome->bytes_absent += pieces[i].size_bytes;
	}
	return count;
}

static void release_pieces(struct reclaim_pieces *all, struct reclaim_outcome *outcome)
{
	struct reclaim_piece *pieces = all->pieces;
	size_t count = sift_pieces(all, outcome);

	for (size_t i = 0, size; i < count; i += size) {
		size = group_size(&pieces[i], count - i);
		if (size > 1 && all->vector != VECTOR_NONE) {
			size = release_group(all, &pieces[i], size, outcome);
		} else {
			size = 1;
			(void)!release_one(all, &pieces[i], outcome);
		}
	}
}

void reclaim_pieces_flush(struct reclaim_pieces *all, struct reclaim_outcome *outcome)
{
	look_at_pieces(all);
	if (all->refill)
		refill_lock(all->refill);
	release_pieces(all, outcome);
	if (all->refill)
		refill_unlock(all->refill);
	all->piece_count = 0;
}

void reclaim_pieces_add(struct reclaim_pieces *all, struct reclaim_region *region, gpa_t gpa,
                        uint64_t size_bytes, struct reclaim_outcome *outcome)
{
	if (all->piece_count == PIECES_MAX)
		reclaim_pieces_flush(all, outcome);
	all->pieces[all->piece_count++] = (struct reclaim_piece){
		.region = region,
		.hva = region->hva + (gpa - region->gpa),
		.size_bytes = size_bytes,
	};
}

/* --- a region --- */

struct look_at_slice {
	const struct reclaim_region *region;
	struct reclaim_look *look;
};

static void count_run(void *ctx, uintptr_t start, uintptr_t end, bool resident)
{
	const struct look_at_slice *slice = ctx;

	if (!resident)
		return;
	slice->look->resident_bytes += end - start;
	reclaim_refault_count(&slice->region->refault,
	                      (start - (uintptr_t)slice->region->hva) / PAGE_4K_BYTES,
	                      (end - start) / PAGE_4K_BYTES, &slice->look->back);
}

void reclaim_pieces_look(struct reclaim_pieces *all, const struct reclaim_region *region,
                         uint64_t offset_bytes, uint64_t size_bytes, struct reclaim_look *look)
{
	struct look_at_slice slice = { region, look };
	uintptr_t start = (uintptr_t)region->hva + offset_bytes;

	/* What a failing scan leaves out is not counted: all there is to say about it. */
	(void)!residency_scan(&all->residency, start, start + size_bytes, count_run, &slice);
	look->looked_bytes += size_bytes;
}
