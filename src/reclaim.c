/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory-return engine: guest-physical ranges in, host memory back, and an honest account of
 * it.
 *
 * DOC: owns every system call that takes guest RAM away, with its private rooms: reclaim_batch.c
 * brings a batch into order, reclaim_pieces.c looks what is there (reclaim_residency.c) and
 * releases it (reclaim_call.c), reclaim_deferred.c keeps what is put off, reclaim_refill.c makes
 * what was released read as something other than 0, reclaim_refault.c remembers what was released,
 * reclaim_look.c bounds a look at everything, reclaim_host.c holds the system calls,
 * reclaim_trace.c writes the trace, which reclaim_trace_open.c begins and ends.
 *
 *   ranges -> clip, sort, merge -> split at regions -> (put off) -> look -> release -> account
 *
 * A part of a huge page is better not released at all until the rest comes: it splits the page,
 * frees nothing until all of it is gone, and until then khugepaged may fill the hole again with new
 * memory. So reclaim_release_later puts parts off, in bitmaps (reclaim_deferred.c), until their 2
 * MiB block is complete, and complete blocks until there are 16 MiB of them: a Linux guest that
 * inflates by 1 MiB a request then costs a call for 16 MiB, and no split. Its caller says when the
 * rest has waited long enough, and whether parts go then that are not worth a split; and what its
 * owner takes back. What is put off is in no account before it is released.
 *
 * A backing of huge pages (hugetlb) frees whole ones alone. There a block is the backing's page,
 * and parts wait for as long as it takes; parts of one that may not be put off (reports: the guest
 * takes them back without a word) are refused.
 *
 * A reset machine begins anew: what was put off and what was remembered of released pages goes.
 *
 * Threads: any; a batch holds the shared lock of guest memory and then the batch lock, to its end.
 */
#include "ebb/reclaim.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/event_loop.h"
#include "reclaim_batch.h"
#include "reclaim_private.h"

/* What may wait: so much in complete blocks for company; altogether so much, or that part of RAM.
 */
#define DEFERRED_COMPLETE_MAX_BYTES (16 * MIB)
#define DEFERRED_MAX_BYTES          (64 * MIB)
#define DEFERRED_MAX_PART           32

struct batch {
	int64_t start_ns;
	uint64_t range_count, bytes_in, deferred_bytes;
	bool may_put_off;
	struct reclaim_outcome outcome;
};

const char *reclaim_source_name(enum reclaim_source source)
{
	static const char *const names[RECLAIM_SOURCE_COUNT] = {
		[RECLAIM_INFLATE] = "inflate", [RECLAIM_REPORT] = "report", [RECLAIM_HINT] = "hint",
		[RECLAIM_UNPLUG] = "unplug",   [RECLAIM_RESET] = "reset",
	};

	return names[source];
}

const char *reclaim_refusal_name(enum reclaim_refusal refusal)
{
	static const char *const names[RECLAIM_REFUSAL_COUNT] = {
		[RECLAIM_REFUSED_OUTSIDE] = "outside", [RECLAIM_REFUSED_UNALIGNED] = "unaligned",
		[RECLAIM_REFUSED_LOCKED] = "locked",   [RECLAIM_REFUSED_INHIBITED] = "inhibited",
		[RECLAIM_REFUSED_POISON] = "poison",   [RECLAIM_REFUSED_PAUSED] = "paused",
		[RECLAIM_REFUSED_LIMIT] = "limit",     [RECLAIM_REFUSED_HOST] = "host",
	};

	return names[refusal];
}

/* --- regions --- */

static int on_region_added(struct gmem_listener *listener, const struct gmem_region *added)
{
	struct reclaim *reclaim = container_of(listener, struct reclaim, listener);
	int r;

	pthread_mutex_lock(&reclaim->lock);
	r = reclaim_regions_add(&reclaim->regions, added);
	pthread_mutex_unlock(&reclaim->lock);
	return r;
}

static void on_region_removed(struct gmem_listener *listener, const struct gmem_region *removed)
{
	struct reclaim *reclaim = container_of(listener, struct reclaim, listener);
	size_t at;

	pthread_mutex_lock(&reclaim->lock);
	at = reclaim_regions_find(&reclaim->regions, removed->gpa);
	if (at < reclaim->regions.count && reclaim->regions.all[at].gpa == removed->gpa) {
		if (reclaim->pieces.refill)
			refill_forget(reclaim->pieces.refill, removed->hva);
		reclaim_regions_remove(&reclaim->regions, at);
	}
	pthread_mutex_unlock(&reclaim->lock);
}

int reclaim_create(struct guest_memory *memory, struct reclaim **ret_reclaim, struct error *err)
{
	struct reclaim *reclaim = calloc(1, sizeof(*reclaim));
	int r;

	if (!reclaim)
		return error_set_errno(err, -ENOMEM, "cannot set up memory return");
	reclaim->memory = memory;
	reclaim->status_fd = reclaim->prepared_trace.fd = -1;
	pthread_mutex_init(&reclaim->lock, NULL);
	reclaim_pieces_init(&reclaim->pieces);
	reclaim->listener.region_added = on_region_added;
	reclaim->listener.region_removed = on_region_removed;
	r = gmem_add_listener(memory, &reclaim->listener);
	if (r < 0) {
		pthread_mutex_destroy(&reclaim->lock);
		free(reclaim);
		return error_set_errno(err, r, "cannot follow guest memory");
	}
	*ret_reclaim = reclaim;
	return 0;
}

void reclaim_destroy(struct reclaim *reclaim)
{
	if (!reclaim)
		return;
	gmem_remove_listener(reclaim->memory, &reclaim->listener);
	reclaim_regions_drop(&reclaim->regions);
	reclaim_pieces_fini(&reclaim->pieces);
	(void)reclaim_trace_stop(reclaim->trace, &reclaim->trace_stats);
	if (reclaim->prepared_trace.fd >= 0)
		reclaim_trace_file_close(&reclaim->prepared_trace);
	if (reclaim->status_fd >= 0)
		close(reclaim->status_fd);
	if (reclaim->refill_is_opened && reclaim->refill_opened.fd >= 0)
		close(reclaim->refill_opened.fd);
	pthread_mutex_destroy(&reclaim->lock);
	free(reclaim);
}

/* --- putting off --- */

/* False: this is for now. */
static bool put_off(struct reclaim_region *region, gpa_t gpa, uint64_t size_bytes,
                    struct batch *batch)
{
	uint64_t added_bytes;

	if (reclaim_deferred_add(&region->deferred, gpa, size_bytes, &added_bytes) < 0)
		return false;
	batch->deferred_bytes += added_bytes;
	batch->outcome.bytes_absent += size_bytes - added_bytes;
	return true;
}

struct taken {
	struct reclaim *reclaim;
	struct reclaim_region *region;
	struct batch *batch;
};

static void take_deferred_run(void *ctx, gpa_t gpa, uint64_t size_bytes)
{
	struct taken *taken = ctx;
	struct batch *batch = taken->batch;

	batch->bytes_in += size_bytes;
	if (taken->reclaim->inhibit_count) {
		reclaim_refuse(&batch->outcome, RECLAIM_REFUSED_INHIBITED, size_bytes);
		return;
	}
	/* Blocks that are unplugged, and not released yet, are for whoever unplugs them. */
	for (uint64_t run_bytes; size_bytes; gpa += run_bytes, size_bytes -= run_bytes) {
		bool is_there;

		run_bytes = gmem_run(taken->reclaim->memory, gpa, size_bytes, &is_there);
		if (is_there)
			reclaim_pieces_add(&taken->reclaim->pieces, taken->region, gpa, run_bytes,
			                   &batch->outcome);
		else
			reclaim_refuse(&batch->outcome, RECLAIM_REFUSED_OUTSIDE, run_bytes);
	}
}

static bool block_is_huge(void *ctx, gpa_t gpa)
{
	struct taken *taken = ctx;

	return reclaim_pieces_hold_huge(&taken->reclaim->pieces, taken->region, gpa,
	                                taken->region->deferred.block_bytes);
}

/* What was put off becomes part of the batch, as far as it may go. */
static void gather_deferred(struct reclaim *reclaim, enum reclaim_deferred_choice choice,
                            struct batch *batch)
{
	for (size_t i = 0; i < reclaim->regions.count; i++) {
		struct taken taken = { reclaim, &reclaim->regions.all[i], batch };

		reclaim_deferred_take(&taken.region->deferred, choice, take_deferred_run,
		                      block_is_huge, &taken);
	}
}

/* Whether more waits than may; not of what only goes in huge pages, which waits as long as it
 * takes.
 */
static bool too_much_waits(const struct reclaim *reclaim)
{
	uint64_t waits_bytes = 0, total_bytes = gmem_total_bytes(reclaim->memory);

	for (size_t i = 0; i < reclaim->regions.count; i++) {
		const struct reclaim_region *region = &reclaim->regions.all[i];

		if (!reclaim_region_has_huge_pages(region))
			waits_bytes += region->deferred.bytes;
	}
	return waits_bytes >= max_u64(DEFERRED_MAX_BYTES, total_bytes / DEFERRED_MAX_PART);
}

/* When enough waits. */
static void gather_what_waited(struct reclaim *reclaim, struct batch *batch)
{
	uint64_t complete_bytes = 0;

	for (size_t i = 0; i < reclaim->regions.count; i++) {
		const struct reclaim_deferred *deferred = &reclaim->regions.all[i].deferred;

		complete_bytes += deferred->complete_blocks * deferred->block_bytes;
	}
	if (complete_bytes >= DEFERRED_COMPLETE_MAX_BYTES)
		gather_deferred(reclaim, DEFERRED_COMPLETE, batch);
	if (too_much_waits(reclaim))
		gather_deferred(reclaim, DEFERRED_WORTH_IT, batch);
	if (too_much_waits(reclaim))
		gather_deferred(reclaim, DEFERRED_ALL, batch);
}

/* --- a batch, from end to end; under both locks --- */

static void begin_batch(struct reclaim *reclaim, enum reclaim_source source, struct batch *batch)
{
	*batch = (struct batch){ .start_ns = monotonic_ns() };
	reclaim->pieces.source = source;
	reclaim->pieces.errors = 0;
	reclaim->pieces.first_error = 0;
	reclaim->pieces.poison_value = 0;
	if (source == RECLAIM_REPORT || source == RECLAIM_HINT)
		reclaim->pieces.poison_value = reclaim->poison_value;
	/* What the host takes later would change hinted pages after hinting is done (5.5.6.5). */
	reclaim->pieces.lazy = reclaim->lazy && !reclaim->pieces.poison_value &&
	                       (source == RECLAIM_INFLATE || source == RECLAIM_REPORT);
}

/* Pieces are whole pages of the backing, or whole blocks that can be filled again; the edges are
 * refused. */
static void release_now(struct reclaim *reclaim, struct reclaim_region *region, gpa_t from,
                        gpa_t to, struct batch *batch)
{
	enum reclaim_refusal refusal = RECLAIM_REFUSED_UNALIGNED;
	uint64_t granule_bytes = region->page_bytes, size_bytes = 0;
	gpa_t start, end;

	if (reclaim->pieces.poison_value && granule_bytes < REFILL_BLOCK_BYTES) {
		refusal = RECLAIM_REFUSED_POISON;
		granule_bytes = REFILL_BLOCK_BYTES;
	}
	start = align_up(from, granule_bytes);
	end = align_down(to, granule_bytes);
	if (start < end) {
		size_bytes = end - start;
		reclaim_pieces_add(&reclaim->pieces, region, start, size_bytes, &batch->outcome);
	}
	reclaim_refuse(&batch->outcome, refusal, to - from - size_bytes);
}

/* What was there before a block was unplugged is nobody's: nothing of it waits, was released for
 * anyone or is to read as anything. */
static void release_unplugged(struct reclaim *reclaim, struct reclaim_region *region, gpa_t gpa,
                              uint64_t size_bytes, struct batch *batch)
{
	reclaim_deferred_forget(&region->deferred, gpa, size_bytes);
	release_now(reclaim, region, gpa, gpa + size_bytes, batch);
}

/* A range that is all there, in one region. */
static void split_memory(struct reclaim *reclaim, struct reclaim_region *region, gpa_t from,
                         gpa_t to, struct batch *batch)
{
	if (region->locked)
		reclaim_refuse(&batch->outcome, RECLAIM_REFUSED_LOCKED, to - from);
	else if (!batch->may_put_off || !put_off(region, from, to - from, batch))
		release_now(reclaim, region, from, to, batch);
}

/* A range in one region: for unplug what of it is not plugged, for others what is. Returns how many
 * bytes it was for. */
static uint64_t split_region(struct reclaim *reclaim, struct reclaim_region *region, gpa_t from,
                             gpa_t to, struct batch *batch)
{
	const bool unplug = reclaim->pieces.source == RECLAIM_UNPLUG;
	uint64_t inside_bytes = 0;

	for (uint64_t run_bytes; from < to; from += run_bytes) {
		bool is_there = true;

		run_bytes = to - from;
		if (region->block_bytes)
			run_bytes = gmem_run(reclaim->memory, from, run_bytes, &is_there);
		if (is_there == unplug)
			continue;
		inside_bytes += run_bytes;
		if (unplug)
			release_unplugged(reclaim, region, from, run_bytes, batch);
		else
			split_memory(reclaim, region, from, from + run_bytes, batch);
	}
	return inside_bytes;
}

/* Cuts a merged range at the borders of regions; what no region holds is refused. */
static void split(struct reclaim *reclaim, const struct reclaim_range *range, struct batch *batch)
{
	gpa_t start = range->gpa, end = start + range->size_bytes;
	uint64_t inside_bytes = 0;

	for (size_t i = reclaim_regions_find(&reclaim->regions, start); i < reclaim->regions.count;
	     i++) {
		struct reclaim_region *region = &reclaim->regions.all[i];

		if (region->gpa >= end)
			break;
		inside_bytes += split_region(reclaim, region, max_u64(start, region->gpa),
		                             min_u64(end, region->gpa + region->size_bytes), batch);
	}
	reclaim_refuse(&batch->outcome, RECLAIM_REFUSED_OUTSIDE, range->size_bytes - inside_bytes);
}

/* What nobody can reach any more goes whatever the user said of memory in use. */
static bool is_inhibited(const struct reclaim *reclaim)
{
	return reclaim->inhibit_count && reclaim->pieces.source != RECLAIM_UNPLUG;
}

static void gather(struct reclaim *reclaim, struct reclaim_range *ranges, size_t count,
                   struct batch *batch)
{
	struct reclaim_outcome *outcome = &batch->outcome;
	struct reclaim_batch_totals totals;
	size_t merged = reclaim_batch_normalise(ranges, count, &totals);

	batch->range_count += count;
	if (is_inhibited(reclaim)) {
		reclaim_refuse(outcome, RECLAIM_REFUSED_INHIBITED, totals.bytes_in);
		batch->bytes_in = totals.bytes_in;
		return;
	}
	reclaim_refuse(outcome, RECLAIM_REFUSED_OUTSIDE, totals.bytes_wrapped);
	reclaim_refuse(outcome, RECLAIM_REFUSED_UNALIGNED, totals.bytes_clipped);
	outcome->bytes_absent = totals.bytes_repeated;
	for (size_t i = 0; i < merged; i++)
		split(reclaim, &ranges[i], batch);
	batch->bytes_in = totals.bytes_in - batch->deferred_bytes;
}

static void trace_batch(struct reclaim *reclaim, const struct batch *batch, uint64_t latency_ns)
{
	const struct reclaim_trace_row row = {
		.time_ns = batch->start_ns,
		.source = reclaim->pieces.source,
		.batches = 1,
		.ranges_in = batch->range_count,
		.bytes_in = batch->bytes_in,
		.outcome = batch->outcome,
		.errors = reclaim->pieces.errors,
		.latency_ns = latency_ns,
	};

	reclaim_trace_add(reclaim->trace, &row);
}

/* Every batch comes through here, so that the trace adds up to the account. */
static void account(struct reclaim *reclaim, const struct batch *batch, uint64_t latency_ns)
{
	struct reclaim_source_stats *stats = &reclaim->stats[reclaim->pieces.source];
	const struct reclaim_outcome *outcome = &batch->outcome;

	stats->requests++;
	stats->ranges_in += batch->range_count;
	stats->ranges_released += outcome->ranges_released;
	stats->bytes_in = add_saturating(stats->bytes_in, batch->bytes_in);
	stats->bytes_released += outcome->bytes_released;
	stats->bytes_lazy += outcome->bytes_lazy;
	stats->bytes_absent = add_saturating(stats->bytes_absent, outcome->bytes_absent);
	stats->bytes_refused = add_saturating(stats->bytes_refused, outcome->bytes_refused);
	for (size_t i = 0; i < RECLAIM_REFUSAL_COUNT; i++)
		stats->refused[i] = add_saturating(stats->refused[i], outcome->refused[i]);
	stats->syscalls += outcome->syscalls;
	stats->errors += reclaim->pieces.errors;
	if (reclaim->trace)
		trace_batch(reclaim, batch, latency_ns);
}

/* Releases what was gathered and accounts for it. */
static int end_batch(struct reclaim *reclaim, struct batch *batch)
{
	uint64_t latency_ns;

	reclaim_pieces_flush(&reclaim->pieces, &batch->outcome);
	latency_ns = (uint64_t)(monotonic_ns() - batch->start_ns);
	metric_histogram_record(&reclaim->latency[reclaim->pieces.source], latency_ns);
	account(reclaim, batch, latency_ns);
	return reclaim->pieces.first_error;
}

void reclaim_lock(struct reclaim *reclaim)
{
	gmem_lock_shared(reclaim->memory);
	pthread_mutex_lock(&reclaim->lock);
}

void reclaim_unlock(struct reclaim *reclaim)
{
	pthread_mutex_unlock(&reclaim->lock);
	gmem_unlock_shared(reclaim->memory);
}

int reclaim_release(struct reclaim *reclaim, enum reclaim_source source,
                    struct reclaim_range *ranges, size_t count, struct reclaim_outcome *ret_outcome)
{
	struct batch batch;
	int r;

	reclaim_lock(reclaim);
	begin_batch(reclaim, source, &batch);
	gather(reclaim, ranges, count, &batch);
	r = end_batch(reclaim, &batch);
	reclaim_unlock(reclaim);
	*ret_outcome = batch.outcome;
	return r;
}

int reclaim_release_later(struct reclaim *reclaim, enum reclaim_source source,
                          struct reclaim_range *ranges, size_t count,
                          struct reclaim_outcome *ret_outcome)
{
	struct batch batch;
	int r = 0;

	reclaim_lock(reclaim);
	begin_batch(reclaim, source, &batch);
	batch.range_count = reclaim->deferred_range_count;
	batch.may_put_off = true;
	gather(reclaim, ranges, count, &batch);
	gather_what_waited(reclaim, &batch);
	reclaim->deferred_range_count = batch.bytes_in ? 0 : batch.range_count;
	if (batch.bytes_in)
		r = end_batch(reclaim, &batch);
	reclaim_unlock(reclaim);
	*ret_outcome = batch.outcome;
	return r;
}

static int release_what_waited(struct reclaim *reclaim, enum reclaim_source source,
                               enum reclaim_deferred_choice choice,
                               struct reclaim_outcome *ret_outcome)
{
	struct batch batch;
	int r = 0;

	reclaim_lock(reclaim);
	begin_batch(reclaim, source, &batch);
	batch.range_count = reclaim->deferred_range_count;
	reclaim->deferred_range_count = 0;
	gather_deferred(reclaim, choice, &batch);
	if (batch.bytes_in)
		r = end_batch(reclaim, &batch);
	reclaim_unlock(reclaim);
	*ret_outcome = batch.outcome;
	return r;
}

int reclaim_release_deferred(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome)
{
	return release_what_waited(reclaim, source, DEFERRED_ALL, ret_outcome);
}

int reclaim_release_complete(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome)
{
	return release_what_waited(reclaim, source, DEFERRED_COMPLETE, ret_outcome);
}

int reclaim_release_worth_it(struct reclaim *reclaim, enum reclaim_source source,
                             struct reclaim_outcome *ret_outcome)
{
	return release_what_waited(reclaim, source, DEFERRED_WORTH_IT, ret_outcome);
}

/* Every page of [start, last]. */
static uint64_t forget_range(struct reclaim *reclaim, gpa_t start, gpa_t last)
{
	uint64_t waited_bytes = 0;

	start = align_down(start, PAGE_4K_BYTES);
	last |= PAGE_4K_BYTES - 1;
	for (size_t i = reclaim_regions_find(&reclaim->regions, start); i < reclaim->regions.count;
	     i++) {
		struct reclaim_region *region = &reclaim->regions.all[i];
		gpa_t from = max_u64(start, region->gpa);
		gpa_t to = min_u64(last, region->gpa + region->size_bytes - 1);

		if (from >= to)
			break;
		waited_bytes += reclaim_deferred_forget(&region->deferred, from, to - from + 1);
	}
	return waited_bytes;
}

uint64_t reclaim_forget_deferred(struct reclaim *reclaim, const struct reclaim_range *ranges,
                                 size_t count)
{
	uint64_t waited_bytes = 0;

	pthread_mutex_lock(&reclaim->lock);
	for (size_t i = 0; i < count; i++) {
		gpa_t last = ranges[i].gpa + (ranges[i].size_bytes - 1);

		if (ranges[i].size_bytes)
			waited_bytes += forget_range(reclaim, ranges[i].gpa,
			                             last < ranges[i].gpa ? UINT64_MAX : last);
	}
	pthread_mutex_unlock(&reclaim->lock);
	return waited_bytes;
}

uint64_t reclaim_forget_all_deferred(struct reclaim *reclaim)
{
	uint64_t waited_bytes = 0;

	pthread_mutex_lock(&reclaim->lock);
	for (size_t i = 0; i < reclaim->regions.count; i++) {
		waited_bytes += reclaim->regions.all[i].deferred.bytes;
		reclaim_deferred_drop(&reclaim->regions.all[i].deferred);
	}
	reclaim->deferred_range_count = 0;
	pthread_mutex_unlock(&reclaim->lock);
	return waited_bytes;
}

/* All of a region that is there. */
static void gather_region(struct reclaim *reclaim, struct reclaim_region *region,
                          struct batch *batch)
{
	gpa_t gpa = region->gpa, end = gpa + region->size_bytes;

	for (uint64_t run_bytes; gpa < end; gpa += run_bytes) {
		bool is_there;

		run_bytes = gmem_run(reclaim->memory, gpa, end - gpa, &is_there);
		if (!is_there)
			continue;
		batch->range_count++;
		batch->bytes_in += run_bytes;
		if (is_inhibited(reclaim))
			reclaim_refuse(&batch->outcome, RECLAIM_REFUSED_INHIBITED, run_bytes);
		else
			split_memory(reclaim, region, gpa, gpa + run_bytes, batch);
	}
}

int reclaim_release_all(struct reclaim *reclaim, enum reclaim_source source)
{
	struct batch batch;
	int r;

	reclaim_lock(reclaim);
	begin_batch(reclaim, source, &batch);
	for (size_t i = 0; i < reclaim->regions.count; i++)
		gather_region(reclaim, &reclaim->regions.all[i], &batch);
	r = end_batch(reclaim, &batch);
	for (size_t i = 0; i < reclaim->regions.count; i++) {
		struct reclaim_region *region = &reclaim->regions.all[i];

		reclaim_deferred_drop(&region->deferred); /* it went with the rest */
		if (source == RECLAIM_RESET)
			reclaim_region_forget(region);
	}
	reclaim->deferred_range_count = 0;
	reclaim_unlock(reclaim);
	return r;
}

void reclaim_account_refused(struct reclaim *reclaim, enum reclaim_source source,
                             enum reclaim_refusal refusal, uint64_t range_count,
                             uint64_t size_bytes)
{
	struct batch batch = {
		.start_ns = monotonic_ns(),
		.range_count = range_count,
		.bytes_in = size_bytes,
	};

	reclaim_refuse(&batch.outcome, refusal, size_bytes);
	pthread_mutex_lock(&reclaim->lock);
	reclaim->pieces.source = source;
	reclaim->pieces.errors = 0;
	account(reclaim, &batch, 0);
	pthread_mutex_unlock(&reclaim->lock);
}

int reclaim_set_lazy(struct reclaim *reclaim, bool lazy, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&reclaim->lock);
	for (size_t i = 0; i < reclaim->regions.count; i++)
		if (lazy && reclaim->regions.all[i].kind != GMEM_ANON)
			r = -EOPNOTSUPP;
	if (!r)
		reclaim->lazy = lazy;
	pthread_mutex_unlock(&reclaim->lock);
	if (r)
		return error_set(err, r,
		                 "lazy: goes with private anonymous memory alone (give --mem "
		                 "backing=anon, or leave lazy out)");
	return 0;
}

static bool can_refill_something(const struct reclaim *reclaim)
{
	for (size_t i = 0; i < reclaim->regions.count; i++)
		if (reclaim_region_can_refill(&reclaim->regions.all[i]))
			return true;
	return reclaim->regions.count == 0;
}

/* Lock held. */
static int create_refill(struct reclaim *reclaim, struct error *err)
{
	struct refill_opened opened = reclaim->refill_opened;

	if (!reclaim->refill_is_opened)
		return refill_create(&reclaim->pieces.refill, err);
	/* What failed for good stays so; a descriptor can be used once. */
	if (opened.fd >= 0)
		reclaim->refill_opened = (struct refill_opened){ .fd = -EPERM };
	return refill_create_opened(opened, &reclaim->pieces.refill, err);
}

int reclaim_set_poison(struct reclaim *reclaim, uint32_t poison_value, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&reclaim->lock);
	reclaim->poison_value = poison_value;
	if (poison_value && !can_refill_something(reclaim))
		r = error_set(err, -EOPNOTSUPP,
		              "memory of huge page pools and files cannot be filled again when the "
		              "guest uses it (run the guest with backing=anon or backing=memfd)");
	else if (poison_value && !reclaim->pieces.refill)
		r = create_refill(reclaim, err);
	pthread_mutex_unlock(&reclaim->lock);
	return r;
}

void reclaim_open_files(struct reclaim *reclaim)
{
	pthread_mutex_lock(&reclaim->lock);
	residency_open(&reclaim->pieces.residency);
	reclaim_call_open_none(&reclaim->pieces.call);
	reclaim->status_fd = reclaim_host_status_open();
	reclaim->refill_opened = refill_open();
	reclaim->refill_is_opened = true;
	pthread_mutex_unlock(&reclaim->lock);
}

void reclaim_inhibit(struct reclaim *reclaim)
{
	pthread_mutex_lock(&reclaim->lock);
	reclaim->inhibit_count++;
	pthread_mutex_unlock(&reclaim->lock);
}

void reclaim_allow(struct reclaim *reclaim)
{
	pthread_mutex_lock(&reclaim->lock);
	assert(reclaim->inhibit_count > 0);
	reclaim->inhibit_count--;
	pthread_mutex_unlock(&reclaim->lock);
}
