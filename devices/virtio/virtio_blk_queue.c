/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk's queues: chains to requests of the disk, and back.
 *
 * DOC: a turn of the device takes what the rings hold, hands all of it to the host with one system
 * call, and publishes what was answered, with at most one interrupt a queue.
 *
 *	kick -> wanted -> turn: pop -> parse -> slot -> disk_submit ... disk_start
 *	                          `- refused: answered at once                 |
 *	     settled: flush, interrupt <- pushed <- status byte <- done <------'
 *
 * Slots. A popped chain's segments live until the next pop, so a request takes along what it needs
 * of them, in one of BLK_SLOTS slots that are made with the device: the guest's wish makes none.
 * When all are taken, chains stay in their rings and the driver is not asked to notify; who ends
 * lets the next ones in, queue by queue in a circle.
 *
 * No byte is copied: the host reads and writes guest memory by its own mapping, while no handler
 * runs and without guest memory's lock. That is sound by these rules:
 *  - Host addresses of guest memory stay reserved while a device is active: regions stay for a
 *    VM's life, an area's blocks come and go in place. Of what is unplugged meanwhile the host's
 *    I/O gets EFAULT (PROT_NONE); of what is plugged anew there, a guest that did not wait for its
 *    own request gets what it asked for. The areas' owners are created before disks, and so
 *    destroyed after them (device_table.c).
 *  - A VM reset, a driver's, or one queue's end waits for what is in flight, before memory is
 *    released or loaded anew.
 *  - What a request wrote is told to who watches (gmem_note_write) when it ends, under the shared
 *    lock; in a moment of quiet nothing is in flight (gmem_late_writer), so that nothing is missed.
 *  - Pages that a driver gives back while its own read into them is in flight: the read lands in
 *    them, or in pages that are nobody's any more. Releasing waits for no request but in a moment
 *    of quiet: at most as long as those take that were in flight when it came.
 * Status bytes and used elements are written by guest-physical address, found anew then.
 *
 * The status byte is the last writable one, wherever that lies. Used length: bytes from the first
 * writable one on that were written for sure (2.7.8.2): all, or none of a chain whose data was not
 * or may not have been. A chain without room for a status byte is given back with 0 bytes.
 *
 * Bounds: a turn takes up to 128 chains or 4 MiB and posts itself again.
 *
 * Threads: the device's loop.
 */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "virtio_blk_private.h"

#define TURN_CHAINS 128
#define TURN_BYTES  (4 * MIB)

static const enum disk_op disk_ops[] = {
	[BLK_READ] = DISK_READ,
	[BLK_WRITE] = DISK_WRITE,
	[BLK_FLUSH] = DISK_FLUSH,
	[BLK_DISCARD] = DISK_DISCARD,
	[BLK_WRITE_ZEROES] = DISK_WRITE_ZEROES,
};

static void count(struct virtio_blk *blk, enum blk_metric metric, uint64_t amount)
{
	metric_add(&blk->metrics[metric].counter, amount);
}

static struct virtqueue *ring_of(struct blk_queue *queue)
{
	return virtio_queue(&queue->blk->vdev, queue->index);
}

/* --- slots --- */

static struct blk_slot *take_slot(struct virtio_blk *blk)
{
	unsigned int in_flight;

	assert(blk->free_count);
	in_flight = BLK_SLOTS - --blk->free_count;
	if (in_flight > blk->in_flight_max) {
		count(blk, BLK_IN_FLIGHT_MAX, in_flight - blk->in_flight_max);
		blk->in_flight_max = in_flight;
	}
	return &blk->slots[blk->free_slots[blk->free_count]];
}

static void give_slot(struct virtio_blk *blk, struct blk_slot *slot)
{
	blk->free_slots[blk->free_count++] = (uint16_t)(slot - blk->slots);
}

/* --- answers; under the shared lock --- */

static void push(struct blk_slot *slot, size_t written_bytes)
{
	const struct virtq_chain chain = { .head_index = slot->head_index,
		                           .written_bytes = written_bytes };

	virtqueue_push(ring_of(slot->queue), &chain);
	slot->queue->pushed = true;
	give_slot(slot->queue->blk, slot);
}

/* data_whole: all in front of the status byte was written. */
static void answer(struct blk_slot *slot, uint8_t status, bool data_whole)
{
	const size_t writable_bytes = slot->writable_bytes;
	bool told = writable_bytes && !gmem_write(slot->queue->blk->vdev.device.vm->memory,
	                                          slot->status_gpa, &status, sizeof(status));

	push(slot, told && (data_whole || writable_bytes == sizeof(status)) ? writable_bytes : 0);
}

static void refuse(struct blk_slot *slot, uint8_t status)
{
	count(slot->queue->blk, BLK_REFUSED, 1);
	answer(slot, status, false);
}

/* --- to the disk --- */

static void submit(struct blk_slot *slot)
{
	struct virtio_blk *blk = slot->queue->blk;

	disk_submit(blk->disk, &slot->request);
	blk->submitted = true;
}

static void submit_next_range(struct blk_slot *slot)
{
	const struct blk_range *range = &slot->ranges[slot->range_next++];

	slot->request.offset_bytes = range->offset_bytes;
	slot->request.size_bytes = range->size_bytes;
	slot->request.unmap = range->unmap && slot->queue->blk->discards;
	submit(slot);
}

/* Keeps the chain's bytes [skip_bytes, skip_bytes + size_bytes) of its readable or its writable
 * part. Whether there was room for them. */
static bool keep_segments(struct blk_slot *slot, const struct virtq_chain *chain, size_t skip_bytes,
                          size_t size_bytes)
{
	const bool writable = slot->kind == BLK_READ;
	const unsigned int first = writable ? chain->readable_count : 0;
	const unsigned int end = first + (writable ? chain->writable_count : chain->readable_count);
	unsigned int kept = 0;

	for (unsigned int i = first; i < end && size_bytes; i++) {
		const struct iovec *segment = &chain->segments[i];
		const size_t skipped_bytes = min_u64(skip_bytes, segment->iov_len);
		const size_t part_bytes = min_u64(size_bytes, segment->iov_len - skipped_bytes);

		skip_bytes -= skipped_bytes;
		if (!part_bytes)
			continue;
		if (kept == BLK_SEGMENTS_MAX)
			return false;
		slot->segments[kept] = (struct iovec){
			.iov_base = (uint8_t *)segment->iov_base + skipped_bytes,
			.iov_len = part_bytes,
		};
		slot->segment_gpas[kept++] = chain->segment_gpas[i] + skipped_bytes;
		size_bytes -= part_bytes;
	}
	slot->request.segments = slot->segments;
	slot->request.segment_count = kept;
	return true;
}

static void start_transfer(struct blk_slot *slot, const struct virtq_chain *chain,
                           const struct blk_request *request)
{
	if (!request->size_bytes) {
		answer(slot, VIRTIO_BLK_S_OK, true);
		return;
	}
	slot->request.offset_bytes = request->offset_bytes;
	slot->request.size_bytes = request->size_bytes;
	if (keep_segments(slot, chain, request->kind == BLK_WRITE ? BLK_HEADER_BYTES : 0,
	                  request->size_bytes))
		submit(slot);
	else
		refuse(slot, VIRTIO_BLK_S_IOERR);
}

static void start_ranges(struct blk_slot *slot, struct virtq_chain *chain,
                         const struct blk_request *request)
{
	uint8_t bytes[BLK_RANGES_MAX * BLK_RANGE_BYTES], status = VIRTIO_BLK_S_IOERR;

	if (!virtq_chain_read(chain, bytes, (size_t)request->range_count * BLK_RANGE_BYTES))
		status = blk_ranges_parse(bytes, request, &slot->queue->blk->limits, slot->ranges,
		                          &slot->range_count);
	if (status != VIRTIO_BLK_S_OK)
		refuse(slot, status);
	else if (!slot->range_count)
		answer(slot, VIRTIO_BLK_S_OK, true);
	else
		submit_next_range(slot);
}

static void tell_id(struct blk_slot *slot, struct virtq_chain *chain)
{
	const char *serial = slot->queue->blk->serial;

	/* It fits: the request was parsed. */
	if (virtq_chain_write(chain, serial, VIRTIO_BLK_ID_BYTES))
		refuse(slot, VIRTIO_BLK_S_IOERR);
	else
		answer(slot, VIRTIO_BLK_S_OK, true);
}

static void start_request(struct blk_slot *slot, struct virtq_chain *chain,
                          const struct blk_request *request)
{
	struct virtio_blk *blk = slot->queue->blk;

	slot->kind = request->kind;
	slot->range_count = slot->range_next = 0;
	slot->done_bytes = 0;
	slot->request = (struct disk_request){
		.op = disk_ops[request->kind],
		.durable = request->kind != BLK_READ && request->kind != BLK_FLUSH &&
		           blk_writes_through(blk),
	};
	list_init(&slot->request.node);
	switch (request->kind) {
	case BLK_READ:
	case BLK_WRITE:
		start_transfer(slot, chain, request);
		break;
	case BLK_FLUSH:
		if (blk->readonly)
			answer(slot, VIRTIO_BLK_S_OK, true);
		else
			submit(slot);
		break;
	case BLK_GET_ID:
		tell_id(slot, chain);
		break;
	case BLK_DISCARD:
	case BLK_WRITE_ZEROES:
		start_ranges(slot, chain, request);
		break;
	}
}

/* Takes a chain that was popped; returns the bytes of data that go to or come from the disk. */
static uint64_t take_chain(struct blk_queue *queue, struct virtq_chain *chain)
{
	struct blk_slot *slot = take_slot(queue->blk);
	const unsigned int last = chain->readable_count + chain->writable_count - 1;
	uint8_t header[BLK_HEADER_BYTES], status;
	struct blk_request request;
	struct blk_shape shape;

	slot->queue = queue;
	slot->head_index = chain->head_index;
	slot->writable_bytes = chain->writable_bytes;
	if (!chain->writable_bytes) {
		refuse(slot, VIRTIO_BLK_S_IOERR);
		return 0;
	}
	slot->status_gpa = chain->segment_gpas[last] + chain->segments[last].iov_len - 1;
	if (virtq_chain_read(chain, header, sizeof(header))) {
		refuse(slot, VIRTIO_BLK_S_IOERR);
		return 0;
	}
	shape.readable_bytes = virtq_chain_readable_bytes(chain);
	shape.writable_bytes = chain->writable_bytes - sizeof(status);
	status = blk_request_parse(header, &shape, &queue->blk->limits, &request);
	if (status != VIRTIO_BLK_S_OK) {
		refuse(slot, status);
		return 0;
	}
	start_request(slot, chain, &request);
	return request.size_bytes;
}

/* --- what comes back --- */

static void count_done(struct blk_slot *slot)
{
	static const struct {
		enum blk_metric requests, bytes;
	} metrics[] = {
		[BLK_READ] = { BLK_READS, BLK_READ_BYTES },
		[BLK_WRITE] = { BLK_WRITES, BLK_WRITE_BYTES },
		[BLK_DISCARD] = { BLK_DISCARDS, BLK_DISCARD_BYTES },
		[BLK_WRITE_ZEROES] = { BLK_ZEROINGS, BLK_ZEROING_BYTES },
	};
	struct virtio_blk *blk = slot->queue->blk;

	if (slot->kind == BLK_FLUSH) {
		count(blk, BLK_FLUSHES, 1);
		return;
	}
	count(blk, metrics[slot->kind].requests, 1);
	count(blk, metrics[slot->kind].bytes,
	      slot->range_count ? slot->done_bytes : slot->request.size_bytes);
}

static uint8_t status_of(struct blk_slot *slot)
{
	static const char *const what[] = {
		[BLK_READ] = "reading",
		[BLK_WRITE] = "writing",
		[BLK_FLUSH] = "flushing",
		[BLK_DISCARD] = "discarding",
		[BLK_WRITE_ZEROES] = "writing zeroes",
	};
	struct virtio_blk *blk = slot->queue->blk;
	const struct disk_request *request = &slot->request;

	if (!request->result) {
		count_done(slot);
		return VIRTIO_BLK_S_OK;
	}
	count(blk, BLK_HOST_ERRORS, 1);
	log_message_limited(blk->vdev.device.vm->log, &blk->host_errors, LOG_WARN,
	                    "%s: %s %llu bytes at %llu: %s", blk->vdev.device.id, what[slot->kind],
	                    (unsigned long long)request->size_bytes,
	                    (unsigned long long)request->offset_bytes,
	                    strerrordesc_np(-request->result));
	return request->result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/* The host may have written some of it, whatever the result. */
static void note_written(const struct blk_slot *slot)
{
	for (unsigned int i = 0; i < slot->request.segment_count; i++)
		gmem_note_write(slot->queue->blk->vdev.device.vm->memory, slot->segment_gpas[i],
		                slot->segments[i].iov_len);
}

void blk_request_done(void *ctx, struct disk_request *request)
{
	struct virtio_blk *blk = ctx;
	struct blk_slot *slot = container_of(request, struct blk_slot, request);
	struct guest_memory *memory = blk->vdev.device.vm->memory;

	slot->done_bytes += request->size_bytes;
	if (!request->result && slot->range_next < slot->range_count) {
		submit_next_range(slot);
	} else {
		gmem_lock_shared(memory);
		if (slot->kind == BLK_READ)
			note_written(slot);
		answer(slot, status_of(slot), !request->result);
		gmem_unlock_shared(memory);
	}
}

/* --- turns --- */

struct turn {
	unsigned int chains;
	uint64_t bytes;
};

static bool is_spent(const struct turn *turn)
{
	return turn->chains >= TURN_CHAINS || turn->bytes >= TURN_BYTES;
}

/* Takes what one ring holds; it stays wanted when it may hold more. -EPROTO. */
static int serve_queue(struct blk_queue *queue, struct turn *turn)
{
	struct virtqueue *vq = ring_of(queue);
	struct virtq_chain chain;

	virtqueue_disable_notification(vq);
	while (queue->blk->free_count && !is_spent(turn)) {
		int got = virtqueue_pop(vq, &chain);

		if (got < 0)
			return got;
		turn->chains++;
		if (got) {
			turn->bytes += take_chain(queue, &chain);
			continue;
		}
		if (!virtqueue_enable_notification(vq)) {
			queue->wanted = false;
			return 0;
		}
		virtqueue_disable_notification(vq);
	}
	return 0;
}

/* From where the last turn left off. */
static void serve_queues(struct virtio_blk *blk, struct turn *turn)
{
	const unsigned int first = blk->next_queue;

	for (unsigned int i = 0; i < blk->queues_in_use; i++) {
		const unsigned int index = (first + i) % blk->queues_in_use;
		struct blk_queue *queue = &blk->queues[index];
		int ret;

		if (!queue->wanted)
			continue;
		if (!blk->free_count || is_spent(turn))
			break;
		blk->next_queue = (index + 1) % blk->queues_in_use;
		ret = serve_queue(queue, turn);
		if (ret) {
			queue->wanted = false;
			virtio_device_broken(&blk->vdev, "queue %u: not a valid ring", index);
			return;
		}
	}
}

static void publish(struct virtio_blk *blk)
{
	const uint64_t syscalls = disk_system_calls(blk->disk);

	for (unsigned int i = 0; i < blk->queues_in_use; i++) {
		if (!blk->queues[i].pushed)
			continue;
		blk->queues[i].pushed = false;
		if (virtio_queue_flush(&blk->vdev, i))
			count(blk, BLK_INTERRUPTS, 1);
	}
	count(blk, BLK_DISK_SYSCALLS, syscalls - blk->syscalls_counted);
	blk->syscalls_counted = syscalls;
}

/* Whether another turn has something to do that nobody else would tell of. */
static bool has_more(const struct virtio_blk *blk)
{
	bool wanted = false;

	for (unsigned int i = 0; i < blk->queues_in_use; i++)
		wanted = wanted || blk->queues[i].wanted;
	return blk->submitted || (wanted && blk->free_count);
}

void blk_requests_settled(void *ctx)
{
	struct virtio_blk *blk = ctx;

	if (blk->in_turn)
		return;
	publish(blk);
	if (has_more(blk))
		event_work_post(&blk->turn);
}

static void run_turn(void *ctx)
{
	struct virtio_blk *blk = ctx;
	struct guest_memory *memory = blk->vdev.device.vm->memory;
	const bool broken = virtio_status(&blk->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
	struct turn turn = { .chains = 0 };

	blk->in_turn = true;
	for (unsigned int i = 0; broken && i < blk->queues_in_use; i++)
		blk->queues[i].wanted = false;
	gmem_lock_shared(memory);
	serve_queues(blk, &turn);
	gmem_unlock_shared(memory);
	if (blk->submitted) {
		blk->submitted = false;
		disk_start(blk->disk);
	}
	publish(blk);
	blk->in_turn = false;
	if (has_more(blk))
		event_work_post(&blk->turn);
}

void blk_queue_notify(struct virtio_blk *blk, unsigned int queue_index)
{
	if (queue_index >= blk->queues_in_use)
		return;
	blk->queues[queue_index].wanted = true;
	event_work_post(&blk->turn);
}

/* --- starting and stopping --- */

static void drain(struct virtio_blk *blk)
{
	blk->in_turn = true;
	disk_drain(blk->disk);
	assert(blk->free_count == BLK_SLOTS);
	blk->submitted = false;
	publish(blk);
	blk->in_turn = false;
}

static void settle(struct gmem_late_writer *writer)
{
	struct virtio_blk *blk = container_of(writer, struct virtio_blk, writer);

	drain(blk);
	event_work_post(&blk->turn);
}

void blk_queues_start(struct virtio_blk *blk)
{
	for (unsigned int i = 0; i < BLK_QUEUES_MAX; i++)
		blk->queues[i] = (struct blk_queue){ .blk = blk, .index = i };
	blk->next_queue = 0;
	blk->in_turn = blk->submitted = false;
	blk->writer.settle = settle;
	gmem_add_late_writer(blk->vdev.device.vm->memory, &blk->writer);
}

void blk_queues_stop(struct virtio_blk *blk)
{
	event_work_cancel(&blk->turn);
	drain(blk);
	gmem_remove_late_writer(&blk->writer);
}

void blk_queue_stop(struct virtio_blk *blk, unsigned int queue_index)
{
	if (queue_index >= blk->queues_in_use)
		return;
	drain(blk);
	blk->queues[queue_index].wanted = false;
	event_work_post(&blk->turn); /* for what waited in other queues */
}

int blk_queues_create(struct virtio_blk *blk, struct vm *vm)
{
	event_work_init(&blk->turn, vm->io_loop, run_turn, blk);
	blk->slots = calloc(BLK_SLOTS, sizeof(*blk->slots));
	if (!blk->slots)
		return -ENOMEM;
	for (unsigned int i = 0; i < BLK_SLOTS; i++)
		blk->free_slots[i] = (uint16_t)(BLK_SLOTS - 1 - i);
	blk->free_count = BLK_SLOTS;
	return 0;
}

void blk_queues_destroy(struct virtio_blk *blk)
{
	free(blk->slots);
	blk->slots = NULL;
}
