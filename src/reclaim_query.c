/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of memory return when somebody asks: the account, and a look at what is resident. */
#include "ebb/event_loop.h"
#include "ebb/reclaim.h"
#include "reclaim_private.h"

static size_t slices_of(const struct reclaim_region *region)
{
	return (size_t)(align_up(region->size_bytes, RECLAIM_LOOK_SLICE_BYTES) /
	                RECLAIM_LOOK_SLICE_BYTES);
}

/* Of a chunk, what is plugged. */
static void look_at_part(struct reclaim *reclaim, const struct reclaim_region *region,
                         uint64_t offset_bytes, uint64_t size_bytes, struct reclaim_look *look)
{
	for (uint64_t run_bytes; size_bytes; offset_bytes += run_bytes, size_bytes -= run_bytes) {
		bool is_there = true;

		run_bytes = size_bytes;
		if (region->block_bytes)
			run_bytes = gmem_run(reclaim->memory, region->gpa + offset_bytes,
			                     size_bytes, &is_there);
		if (is_there)
			reclaim_pieces_look(&reclaim->pieces, region, offset_bytes, run_bytes,
			                    look);
	}
}

/* Regions may come and go between two slices: one that is not there any more is no loss. */
static void look_at_slice(struct reclaim *reclaim, size_t slice, struct reclaim_look *look)
{
	const struct reclaim_regions *regions = &reclaim->regions;
	size_t i = 0;

	while (i < regions->count && slice >= slices_of(&regions->all[i]))
		slice -= slices_of(&regions->all[i++]);
	if (i < regions->count) {
		const struct reclaim_region *region = &regions->all[i];
		uint64_t offset_bytes = slice * RECLAIM_LOOK_SLICE_BYTES;

		look_at_part(reclaim, region, offset_bytes,
		             min_u64(region->size_bytes - offset_bytes, RECLAIM_LOOK_SLICE_BYTES),
		             look);
	}
}

/* As far as time allows. Returns how much there is. */
static uint64_t look_around(struct reclaim *reclaim, struct reclaim_look *ret_look)
{
	int64_t end_ns = monotonic_ns() + RECLAIM_LOOK_MAX_NS;
	uint64_t total_bytes;
	size_t count = 0, step;

	*ret_look = (struct reclaim_look){ 0 };
	reclaim_lock(reclaim);
	for (size_t i = 0; i < reclaim->regions.count; i++)
		count += slices_of(&reclaim->regions.all[i]);
	total_bytes = gmem_total_bytes(reclaim->memory);
	reclaim_unlock(reclaim);
	step = reclaim_look_step(count);
	for (size_t i = 0; i < count && (i == 0 || monotonic_ns() < end_ns); i++) {
		reclaim_lock(reclaim);
		look_at_slice(reclaim, i * step % count, ret_look);
		reclaim_unlock(reclaim);
	}
	return total_bytes;
}

/* Where not all could be looked at: the kernel's word on the process, a MiB or two too much. */
static uint64_t resident_of(const struct reclaim *reclaim, const struct reclaim_look *look,
                            uint64_t total_bytes)
{
	uint64_t process_bytes;

	if (look->looked_bytes >= total_bytes ||
	    reclaim_host_resident_bytes(reclaim->status_fd, &process_bytes) < 0)
		return reclaim_look_extrapolate(look->resident_bytes, look->looked_bytes,
		                                total_bytes);
	return min_u64(process_bytes, total_bytes);
}

void reclaim_query(struct reclaim *reclaim, struct reclaim_stats *ret_stats)
{
	struct reclaim_look look;
	int64_t start_ns = monotonic_ns();
	uint64_t total_bytes = look_around(reclaim, &look);

	*ret_stats = (struct reclaim_stats){
		.resident_bytes = resident_of(reclaim, &look, total_bytes),
		.looked_bytes = look.looked_bytes,
		.total_bytes = total_bytes,
		.look_ns = (uint64_t)(monotonic_ns() - start_ns),
	};
	reclaim_lock(reclaim);
	for (size_t i = 0; i < reclaim->regions.count; i++)
		ret_stats->deferred_bytes += reclaim->regions.all[i].deferred.bytes;
	if (reclaim->pieces.refill)
		refill_query(reclaim->pieces.refill, &ret_stats->refill);
	ret_stats->trace = reclaim->trace_stats;
	if (reclaim->trace)
		reclaim_trace_query(reclaim->trace, &ret_stats->trace);
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		struct reclaim_source_stats *stats = &ret_stats->sources[i];

		*stats = reclaim->stats[i];
		stats->refault_bytes = reclaim->pieces.refaults.bytes[i] +
		                       reclaim_look_extrapolate(look.back.bytes[i],
		                                                look.looked_bytes, total_bytes);
		ret_stats->refault_bytes += stats->refault_bytes;
		stats->latency_p50_ns = metric_histogram_percentile(&reclaim->latency[i], 50);
		stats->latency_p99_ns = metric_histogram_percentile(&reclaim->latency[i], 99);
		stats->latency_max_ns = metric_histogram_max(&reclaim->latency[i]);
	}
	reclaim_unlock(reclaim);
}

uint64_t reclaim_resident_bytes(struct reclaim *reclaim)
{
	struct reclaim_look look;
	uint64_t total_bytes = look_around(reclaim, &look);

	return resident_of(reclaim, &look, total_bytes);
}
