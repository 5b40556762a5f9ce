/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mem's queue: a turn takes all requests that it holds and answers them after their effect.
 *
 * DOC: queue_notify runs with guest memory's shared lock, which changing guest memory needs
 * exclusively: it copies the requests, and mem_carry_out, posted to the same loop, does the rest.
 *
 *	popped -> judged -> grouped -> carried out -> answered, all of a turn with one interrupt
 *	              \________________________________/
 *	               nothing to carry out: ERROR, NACK, STATE
 *
 * Each request is judged against what the area says is plugged, which is what it would be after
 * those before it: requests to plug (or to unplug) that share no block gather in a group; one that
 * the group's outcome bears on, be it by its kind, its blocks or the requested size, has the group
 * carried out first. A group's blocks are merged: one gmem_plug or gmem_unplug for each run of
 * neighbours, one release for all of them. Where that fails, each request is tried by itself, so
 * that each has its own true answer; what the host could not do is BUSY. Linux tries that again
 * later.
 *
 * Bounds: a queue of 512; a turn ends after 64 effects on guest memory, then others get theirs, and
 * what is not answered yet waits.
 *
 * Threads: the reclaim loop. mem_unplug_all also on the main thread, while the device is not
 * active.
 */
#include <stdlib.h>

#include "virtio_mem_private.h"

#define EFFECTS_PER_TURN 64

/* --- taking requests in: under the shared lock --- */

/* Where the answer goes: addresses, for the memory behind them may be gone by then. Whether there
 * is room for it. */
static bool note_response_parts(struct mem_entry *entry, struct virtq_chain *chain)
{
	size_t left_bytes = MEM_RESPONSE_BYTES;

	for (unsigned int i = 0; left_bytes && i < chain->writable_count; i++) {
		unsigned int index = chain->readable_count + i;
		size_t part_bytes = min_u64(chain->segments[index].iov_len, left_bytes);

		entry->parts[entry->part_count++] =
			(struct mem_response_part){ chain->segment_gpas[index], part_bytes };
		left_bytes -= part_bytes;
	}
	if (left_bytes)
		entry->part_count = 0;
	return !left_bytes;
}

static void take_in(struct memory_device *device, struct virtq_chain *chain)
{
	struct mem_entry *entry = &device->batch->entries[device->batch->count++];
	uint8_t bytes[MEM_REQUEST_BYTES];

	*entry = (struct mem_entry){ .head_index = chain->head_index,
		                     .request = { .kind = MEMORY_DEVICE_INVALID } };
	/* What could not be answered is not done either. */
	if (note_response_parts(entry, chain) && virtq_chain_read(chain, bytes, sizeof(bytes)) == 0)
		mem_request_parse(bytes, &entry->request);
}

void mem_queue_notify(struct virtio_device *vdev, unsigned int queue_index)
{
	struct memory_device *device = memory_device_of(vdev);
	struct virtqueue *vq = virtio_queue(vdev, queue_index);
	struct virtq_chain chain;
	int r = 0;

	while (device->batch->count < MEM_REQUESTS_MAX && (r = virtqueue_pop(vq, &chain)) > 0)
		take_in(device, &chain);
	if (device->batch->count)
		event_work_post(&device->carry_out);
	if (r < 0)
		virtio_device_broken(vdev, "queue %u is not a valid ring", queue_index);
}

void mem_forget_requests(struct memory_device *device)
{
	device->batch->count = 0;
	device->batch->range_count = 0;
}

/* --- ranges --- */

static int compare_ranges(const void *a, const void *b)
{
	gpa_t a_gpa = ((const struct reclaim_range *)a)->gpa;
	gpa_t b_gpa = ((const struct reclaim_range *)b)->gpa;

	return (a_gpa > b_gpa) - (a_gpa < b_gpa);
}

/* Ascending, neighbours as one; they do not overlap. Returns how many are left. */
static size_t merge(struct reclaim_range *ranges, size_t count)
{
	size_t last = 0;

	if (!count)
		return 0;
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (size_t i = 1; i < count; i++) {
		if (ranges[last].gpa + ranges[last].size_bytes == ranges[i].gpa)
			ranges[last].size_bytes += ranges[i].size_bytes;
		else
			ranges[++last] = ranges[i];
	}
	return last + 1;
}

static struct reclaim_range range_of(const struct memory_device *device,
                                     const struct mem_entry *entry)
{
	return (struct reclaim_range){ entry->request.gpa,
		                       entry->request.block_count * device->block_bytes };
}

static enum mem_blocks look_at(struct memory_device *device, struct reclaim_range range)
{
	bool plugged = false;

	if (gmem_area_run(device->area, range.gpa, range.size_bytes, &plugged) < range.size_bytes)
		return MEM_BLOCKS_MIXED;
	return plugged ? MEM_BLOCKS_PLUGGED : MEM_BLOCKS_UNPLUGGED;
}

/* --- effects: without guest memory's lock --- */

static int release(struct memory_device *device, const struct reclaim_range *ranges, size_t count)
{
	struct reclaim_outcome outcome;
	int r;

	if (!count)
		return 0;
	/* The engine sorts and merges what it is given. */
	if (ranges != device->batch->released)
		memcpy(device->batch->released, ranges, count * sizeof(*ranges));
	r = reclaim_release(device->vdev.device.vm->reclaim, RECLAIM_UNPLUG,
	                    device->batch->released, count, &outcome);
	device->batch->effects++;
	return r;
}

static int apply(struct memory_device *device, enum memory_device_request kind,
                 struct reclaim_range range)
{
	int r = kind == MEMORY_DEVICE_PLUG ? gmem_plug(device->area, range.gpa, range.size_bytes)
	                                   : gmem_unplug(device->area, range.gpa, range.size_bytes);

	device->batch->effects++;
	if (r < 0)
		log_message_limited(device->vdev.device.vm->log, &device->host_limit, LOG_WARN,
		                    "%s: %s of %llu MiB: %s", device->vdev.device.id,
		                    memory_device_request_name(kind),
		                    (unsigned long long)(range.size_bytes / MIB),
		                    strerrordesc_np(-r));
	/* Of what it asked the host for, some may have come. */
	if (r < 0 && kind == MEMORY_DEVICE_PLUG)
		(void)release(device, &range, 1);
	return r;
}

/* The blocks are unplugged, their memory could not be released: they are plugged as before. 0, or
 * -errno: they stay unplugged. */
static int take_back(struct memory_device *device, struct reclaim_range range, int why)
{
	int r = gmem_plug_again(device->area, range.gpa, range.size_bytes);

	log_message_limited(device->vdev.device.vm->log, &device->host_limit, LOG_WARN,
	                    "%s: %llu MiB unplugged are not released: %s%s%s",
	                    device->vdev.device.id, (unsigned long long)(range.size_bytes / MIB),
	                    strerrordesc_np(-why), r < 0 ? "; they stay unplugged: " : "",
	                    r < 0 ? strerrordesc_np(-r) : "");
	return r;
}

/* The requests of the group that lie in a merged range, one by one, for together it failed. */
static void apply_each(struct memory_device *device, struct reclaim_range merged)
{
	struct mem_batch *batch = device->batch;

	for (size_t i = 0; i < batch->count; i++) {
		struct mem_entry *entry = &batch->entries[i];
		struct reclaim_range range = range_of(device, entry);

		if (!entry->is_grouped ||
		    !range_contains(merged.gpa, merged.size_bytes, range.gpa, range.size_bytes))
			continue;
		if (range.size_bytes == merged.size_bytes ||
		    apply(device, batch->group_kind, range) < 0)
			entry->answer = MEMORY_DEVICE_BUSY;
	}
}

/* A range of several whose release failed: by itself, unless it was, and r is how that ended.
 * -errno: it could not be released and is plugged as before. 0: it stays unplugged. */
static int release_alone(struct memory_device *device, struct reclaim_range range, bool was_alone,
                         int r)
{
	if (!was_alone)
		r = release(device, &range, 1);
	return r < 0 && take_back(device, range, r) == 0 ? r : 0;
}

static void release_each(struct memory_device *device, size_t count, int r)
{
	struct mem_batch *batch = device->batch;

	for (size_t i = 0; i < batch->count; i++) {
		struct mem_entry *entry = &batch->entries[i];

		if (!entry->is_grouped || entry->answer != MEMORY_DEVICE_ACK)
			continue;
		if (release_alone(device, range_of(device, entry), count == 1, r) < 0)
			entry->answer = MEMORY_DEVICE_BUSY;
	}
}

/* All that the group has unplugged. */
static void release_group(struct memory_device *device)
{
	struct mem_batch *batch = device->batch;
	size_t count = 0;
	int r;

	for (size_t i = 0; i < batch->count; i++)
		if (batch->entries[i].is_grouped && batch->entries[i].answer == MEMORY_DEVICE_ACK)
			batch->released[count++] = range_of(device, &batch->entries[i]);
	r = release(device, batch->released, count);
	if (r < 0)
		release_each(device, count, r);
	gmem_trim(device->area);
}

static void carry_out_group(struct memory_device *device)
{
	struct mem_batch *batch = device->batch;
	size_t count = merge(batch->ranges, batch->range_count);

	if (!count)
		return;
	for (size_t i = 0; i < count; i++)
		if (apply(device, batch->group_kind, batch->ranges[i]) < 0)
			apply_each(device, batch->ranges[i]);
	if (batch->group_kind == MEMORY_DEVICE_UNPLUG)
		release_group(device);
	for (size_t i = 0; i < batch->count; i++)
		batch->entries[i].is_grouped = false;
	batch->range_count = 0;
	batch->group_bytes = 0;
	mem_publish_plugged(device);
}

/* --- unplugging all --- */

/* The next runs of plugged blocks from *from on, which is moved behind them. */
static size_t find_plugged(struct memory_device *device, gpa_t *from)
{
	gpa_t end_gpa = device->gpa + device->region_bytes;
	size_t count = 0;

	while (*from < end_gpa && count < MEM_REQUESTS_MAX) {
		bool plugged = false;
		uint64_t run_bytes = gmem_area_run(device->area, *from, end_gpa - *from, &plugged);

		if (plugged)
			device->batch->ranges[count++] = (struct reclaim_range){ *from, run_bytes };
		*from += run_bytes;
	}
	return count;
}

/* 0, or -errno: some are plugged as before, with what they held. */
static int unplug_runs(struct memory_device *device, size_t count)
{
	const struct reclaim_range *ranges = device->batch->ranges;
	size_t done = 0;
	int r = 0, released;

	while (done < count && !r) {
		r = apply(device, MEMORY_DEVICE_UNPLUG, ranges[done]);
		done += r == 0;
	}
	if (r < 0) {
		for (size_t i = 0; i < done; i++)
			(void)take_back(device, ranges[i], r);
		return r;
	}
	released = release(device, ranges, count);
	for (size_t i = 0; released < 0 && i < count; i++) {
		int alone = release_alone(device, ranges[i], count == 1, released);

		r = r ? r : alone;
	}
	return r;
}

int mem_unplug_all(struct memory_device *device)
{
	gpa_t next_gpa = device->gpa;
	size_t count;
	int r = 0;

	while (r == 0 && (count = find_plugged(device, &next_gpa)) > 0)
		r = unplug_runs(device, count);
	gmem_trim(device->area);
	return r;
}

static enum memory_device_answer unplug_all(struct memory_device *device)
{
	/* What it fails at may be the release alone, of blocks that are unplugged for good. */
	(void)!mem_unplug_all(device);
	mem_publish_plugged(device);
	if (gmem_area_plugged_bytes(device->area))
		return MEMORY_DEVICE_BUSY;
	mem_shrink_usable(device);
	return MEMORY_DEVICE_ACK;
}

/* --- a turn --- */

/* Whether the group may grow by a valid request: its outcome does not bear on the request's answer.
 */
static bool joins_group(const struct memory_device *device, const struct mem_entry *entry,
                        const struct mem_limits *limits)
{
	const struct mem_batch *batch = device->batch;
	struct reclaim_range range = range_of(device, entry);

	if (entry->request.kind != batch->group_kind)
		return false;
	if (entry->request.kind == MEMORY_DEVICE_PLUG &&
	    limits->plugged_bytes + batch->group_bytes + range.size_bytes > limits->requested_bytes)
		return false;
	for (size_t i = 0; i < batch->range_count; i++)
		if (ranges_overlap(batch->ranges[i].gpa, batch->ranges[i].size_bytes, range.gpa,
		                   range.size_bytes))
			return false;
	return true;
}

static void add_to_group(struct memory_device *device, struct mem_entry *entry)
{
	struct mem_batch *batch = device->batch;
	struct reclaim_range range = range_of(device, entry);

	entry->is_grouped = true;
	batch->group_kind = entry->request.kind;
	batch->group_bytes += range.size_bytes;
	batch->ranges[batch->range_count++] = range;
}

static void serve(struct memory_device *device, struct mem_entry *entry)
{
	enum memory_device_request kind = entry->request.kind;
	struct mem_limits limits;

	mem_query_limits(device, &limits);
	entry->answer = MEMORY_DEVICE_ERROR;
	if (!mem_request_is_valid(&entry->request, &limits))
		return;
	if (device->batch->range_count && !joins_group(device, entry, &limits)) {
		carry_out_group(device);
		mem_query_limits(device, &limits);
	}
	if (kind == MEMORY_DEVICE_UNPLUG_ALL) {
		entry->answer = unplug_all(device);
		return;
	}
	entry->blocks = look_at(device, range_of(device, entry));
	entry->answer = mem_request_judge(&entry->request, &limits, entry->blocks);
	if (entry->answer == MEMORY_DEVICE_ACK && kind != MEMORY_DEVICE_STATE)
		add_to_group(device, entry);
}

/* Returns the bytes written: none where the driver's buffer is no memory any more. */
static size_t write_response(struct memory_device *device, const struct mem_entry *entry)
{
	bool has_state =
		entry->request.kind == MEMORY_DEVICE_STATE && entry->answer == MEMORY_DEVICE_ACK;
	uint8_t bytes[MEM_RESPONSE_BYTES];
	size_t written_bytes = 0;

	mem_response_store(bytes, entry->answer, has_state ? entry->blocks : MEM_BLOCKS_PLUGGED);
	for (unsigned int i = 0; i < entry->part_count; i++) {
		const struct mem_response_part *part = &entry->parts[i];

		if (gmem_write(device->vdev.device.vm->memory, part->gpa, bytes + written_bytes,
		               part->size_bytes) < 0)
			break;
		written_bytes += part->size_bytes;
	}
	return written_bytes;
}

/* The first count entries. */
static void answer(struct memory_device *device, size_t count)
{
	struct virtqueue *vq = virtio_queue(&device->vdev, 0);
	struct mem_batch *batch = device->batch;

	gmem_lock_shared(device->vdev.device.vm->memory);
	for (size_t i = 0; i < count; i++) {
		const struct mem_entry *entry = &batch->entries[i];
		struct virtq_chain chain = { .head_index = entry->head_index };

		chain.written_bytes = write_response(device, entry);
		virtqueue_push(vq, &chain);
		metric_increment(&device->answers[entry->request.kind][entry->answer]);
	}
	gmem_unlock_shared(device->vdev.device.vm->memory);
	virtio_queue_flush(&device->vdev, 0);
	batch->count -= count;
	memmove(batch->entries, batch->entries + count, batch->count * sizeof(*batch->entries));
}

void mem_carry_out(void *ctx)
{
	struct memory_device *device = ctx;
	struct mem_batch *batch = device->batch;
	size_t served = 0;

	batch->effects = 0;
	while (served < batch->count && batch->effects < EFFECTS_PER_TURN)
		serve(device, &batch->entries[served++]);
	carry_out_group(device);
	answer(device, served);
	if (batch->count)
		event_work_post(&device->carry_out);
}
