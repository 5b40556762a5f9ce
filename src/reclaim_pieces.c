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
 * What is left is released (reclaim_call.c) by the call that frees on its backing:
 *
 *	private anonymous   MADV_DONTNEED; MADV_FREE when it is to go lazily
 *	memfd, file         MADV_REMOVE, which punches a hole (DONTNEED frees nothing there); the
 *	                    hole itself where the mapping has no rights (RECLAIM_UNPLUG)
 *	hugetlb             the same, of whole pages alone: the kernel accepts parts and frees
 *	                    nothing
 *
 * Shared memory may be there without being mapped, or in swap: it is released even where nothing is
 * seen of it, and what was not seen counts as absent. Where a call fails, another look says what
 * it did before it failed.
 *
 * Released pages are remembered (reclaim_refault.c). One that is seen resident has been faulted
 * back: counted for good at the next release of it, for the time being at a query.
 */
#include "reclaim_pieces.h"

#define GAP_MIN_BYTES PAGE_2M_BYTES

void reclaim_pieces_init(struct reclaim_pieces *all)
{
	reclaim_call_init(&all->call);
	residency_init(&all->residency);
}

void reclaim_pieces_fini(struct reclaim_pieces *all)
{
	reclaim_call_fini(&all->call);
	residency_fini(&all->residency);
	refill_destroy(all->refill);
}

/* The call that frees what a piece holds. */
static enum reclaim_host_advice advice_of(const struct reclaim_pieces *all,
                                          const struct reclaim_piece *piece)
{
	if (piece->region->kind != GMEM_ANON)
		return RECLAIM_HOST_REMOVE;
	return all->lazy ? RECLAIM_HOST_FREE : RECLAIM_HOST_DONTNEED;
}

/* --- looking: what is there --- */

/* Pages that were resident and go now: what of them was released before had come back. */
static void note_going(struct reclaim_pieces *all, struct reclaim_region *region, uintptr_t start,
                       uintptr_t end)
{
	size_t first = (start - (uintptr_t)region->hva) / PAGE_4K_BYTES;
	size_t count = (end - start) / PAGE_4K_BYTES;

	reclaim_refault_count(&region->refault, first, count, &all->refaults);
	/* They stay for now, and are no refaults when they are seen; or nobody's, if they are. */
	if (all->lazy || all->source == RECLAIM_UNPLUG)
		reclaim_refault_forget(&region->refault, first, count);
	else
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

/* Whether there may be more than a scan shows. */
static bool may_hide_something(const struct reclaim_pieces *all,
                               const struct reclaim_region *region)
{
	if (all->source == RECLAIM_UNPLUG && region->fd >= 0)
		return true; /* put into the file by whoever plugged it, perhaps without a mapping
		              */
	if (reclaim_region_has_huge_pages(region))
		return false; /* huge pages are mapped when they are made, and never swapped */
	return region->kind != GMEM_ANON || !residency_sees_swap(&all->residency);
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
		for (; start < look.end; start++)
			start->holds_something |= may_hide_something(all, start->region);
	}
}

/* --- releasing --- */

static void count_more(void *ctx, uintptr_t start, uintptr_t end, bool resident)
{
	if (resident)
		*(uint64_t *)ctx += end - start;
}

static void refuse_piece(const struct reclaim_piece *piece, uint64_t size_bytes,
                         enum reclaim_refusal refusal, struct reclaim_outcome *outcome)
{
	reclaim_refuse(outcome, refusal, size_bytes);
	reclaim_refault_forget(&piece->region->refault,
	                       (size_t)(piece->hva - piece->region->hva) / PAGE_4K_BYTES,
	                       piece->size_bytes / PAGE_4K_BYTES);
}

/* What went although the host's call failed is released all the same. */
static void account_failure(struct reclaim_pieces *all, const struct reclaim_piece *piece,
                            int error, struct reclaim_outcome *outcome)
{
	uintptr_t start = (uintptr_t)piece->hva;
	uint64_t left_bytes = 0, gone_bytes = 0;

	if (residency_scan(&all->residency, start, start + piece->size_bytes, count_more,
	                   &left_bytes) == 0 &&
	    left_bytes < piece->resident_bytes)
		gone_bytes = piece->resident_bytes - left_bytes;
	outcome->bytes_released += gone_bytes;
	refuse_piece(piece, piece->size_bytes - gone_bytes, RECLAIM_REFUSED_HOST, outcome);
	all->errors++;
	if (!all->first_error)
		all->first_error = error;
}

static void account_piece(const struct reclaim_piece *piece, bool lazy,
                          struct reclaim_outcome *outcome)
{
	outcome->ranges_released++;
	if (lazy)
		outcome->bytes_lazy += piece->resident_bytes;
	else
		outcome->bytes_released += piece->resident_bytes;
	outcome->bytes_absent += piece->size_bytes - piece->resident_bytes;
}

/* A file's part of an unplugged piece, whose mapping has no rights that MADV_REMOVE would ask for.
 */
static ssize_t punch(struct reclaim_pieces *all, const struct reclaim_piece *piece)
{
	const struct reclaim_region *region = piece->region;
	int r;

	all->call.syscalls++;
	r = reclaim_host_punch(region->fd,
	                       region->file_offset + (uint64_t)(piece->hva - region->hva),
	                       piece->size_bytes);
	return r < 0 ? r : 1;
}

/* Pieces[0..count), of one advice. */
static ssize_t release_alike(struct reclaim_pieces *all, const struct reclaim_piece *pieces,
                             size_t count, enum reclaim_host_advice advice)
{
	if (all->source == RECLAIM_UNPLUG && pieces[0].region->fd >= 0)
		return punch(all, &pieces[0]);
	for (size_t i = 0; i < count; i++)
		all->call.elements[i] = (struct iovec){ pieces[i].hva, pieces[i].size_bytes };
	return reclaim_call(&all->call, advice, count);
}

/* Releases pieces[0..count) or some of them, at least the first. Returns how many were dealt with.
 */
static size_t release_some(struct reclaim_pieces *all, const struct reclaim_piece *pieces,
                           size_t count, struct reclaim_outcome *outcome)
{
	enum reclaim_host_advice advice = advice_of(all, &pieces[0]);
	size_t size = 0;
	ssize_t done;

	while (size < count && advice_of(all, &pieces[size]) == advice)
		size++;
	done = release_alike(all, pieces, size, advice);
	if (done < 0) {
		account_failure(all, &pieces[0], (int)done, outcome);
		return 1;
	}
	for (ssize_t i = 0; i < done; i++)
		account_piece(&pieces[i], advice == RECLAIM_HOST_FREE, outcome);
	return (size_t)done;
}

/* What a piece reads as, once it is released. False: it must not be. */
static bool guard_piece(struct reclaim_pieces *all, const struct reclaim_piece *piece)
{
	const struct refill_memory memory = {
		.hva = piece->region->hva,
		.size_bytes = piece->region->size_bytes,
		.shared = piece->region->kind != GMEM_ANON,
	};

	if (all->poison_value)
		return all->refill && reclaim_region_can_refill(piece->region) &&
		       refill_guard(all->refill, &memory, piece->hva, piece->size_bytes,
		                    all->poison_value) == 0;
	if (all->refill)
		refill_unguard(all->refill, piece->hva, piece->size_bytes);
	return true;
}

/* Nobody's memory any more: what was remembered of it goes, and a lock, which would keep it. */
static void part_with(const struct reclaim_piece *piece)
{
	const struct reclaim_region *region = piece->region;

	reclaim_refault_forget(&piece->region->refault,
	                       (size_t)(piece->hva - region->hva) / PAGE_4K_BYTES,
	                       piece->size_bytes / PAGE_4K_BYTES);
	if (region->locked)
		(void)!reclaim_host_munlock(piece->hva, piece->size_bytes);
}

/* Leaves those that there is something to release of. Returns how many. */
static size_t sift_pieces(struct reclaim_pieces *all, struct reclaim_outcome *outcome)
{
	struct reclaim_piece *pieces = all->pieces;
	size_t count = 0;

	for (size_t i = 0; i < all->piece_count; i++) {
		if (all->source == RECLAIM_UNPLUG)
			part_with(&pieces[i]);
		if (!pieces[i].holds_something && all->poison_value)
			outcome->bytes_absent += pieces[i].size_bytes;
		else if (!guard_piece(all, &pieces[i]))
			refuse_piece(&pieces[i], pieces[i].size_bytes, RECLAIM_REFUSED_POISON,
			             outcome);
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

	all->call.syscalls = 0;
	for (size_t i = 0; i < count;)
		i += release_some(all, &pieces[i], count - i, outcome);
	outcome->syscalls += all->call.syscalls;
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

bool reclaim_pieces_hold_huge(struct reclaim_pieces *all, const struct reclaim_region *region,
                              gpa_t gpa, uint64_t size_bytes)
{
	gpa_t from = max_u64(gpa, region->gpa);
	gpa_t to = min_u64(gpa + size_bytes, region->gpa + region->size_bytes);

	return residency_holds_huge(&all->residency, (uintptr_t)region->hva + (from - region->gpa),
	                            (uintptr_t)region->hva + (to - region->gpa));
}
