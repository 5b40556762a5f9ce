/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon's free page hinting (VIRTIO 1.2, 5.5.6.5), a round at a time.
 *
 * DOC: a hint is not a gift. The driver may take a hinted page back at any time and without a word
 * (Linux does under memory pressure), so hints have no effect when they come. They are collected,
 * and in the end those pages are released that provably hold nothing the guest wrote since
 * (page_proof.h: not written since before the command id was shown, or holding zeroes alone).
 *
 *	        start: proof begins, new command id shown
 *	idle ----------------------------------------------> asked
 *	                                                       | driver: the command id
 *	                                                       v
 *	idle <---- DONE shown ---- deciding <--------------- hinting
 *	   all judged, released     |    ^   driver: STOP, or 10 s
 *	                            +----+ moments of quiet
 *	asked, hinting, deciding -> idle    stop, or the driver does not answer for 10 s: DONE,
 *	                                    nothing released; the driver goes: likewise
 *
 * Deciding happens in moments of quiet (vm_quiet), each for some 10 ms: what was written is read
 * anew, then blocks are judged and released in the same moment, so that no write comes in between.
 * Whole blocks of 2 MiB alone are released: a part would split a huge page.
 *
 * The driver MUST treat what it hinted as uninitialised, so released pages may read as zeroes, or
 * as the poison value where reports are refilled with it; then pages of zeroes are no proof and
 * stay. After DONE nothing of them changes: the engine releases hints at once, never lazily.
 *
 * A driver that keeps to nothing: command ids and STOP out of turn change nothing; pages outside of
 * a round, or behind another command id, are ignored and counted; a page counts once however often
 * it is hinted. A round keeps three bits a page of RAM. Every buffer is given back at once.
 *
 * A command id is not used again before all others were, so never before the driver's STOP.
 *
 * Threads: the reclaim loop; start and stop come from the main thread and are carried over.
 */
#include <errno.h>

#include "ebb/event_loop.h"
#include "ebb/page_map.h"
#include "ebb/page_proof.h"
#include "virtio_balloon_private.h"

#define COMMAND_ID_BYTES  4
#define FIRST_COMMAND_ID  2 /* below: STOP and DONE */
#define ROUND_MAX_NS      (10 * NS_PER_S)
#define MOMENT_NS         (10 * NS_PER_MS)
#define RELEASE_MAX_BYTES (64 * MIB) /* judged and released before the clock is looked at */
#define BLOCK_BYTES       PAGE_2M_BYTES

static const uint32_t command_stop = VIRTIO_BALLOON_CMD_ID_STOP;

/* --- the round's life --- */

static void set_state(struct balloon *balloon, enum balloon_hint_state state)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->hint.status.state = state;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

/* Only this loop writes it. */
static enum balloon_hint_state state_of(const struct balloon *balloon)
{
	return balloon->hint.status.state;
}

static void show_command_id(struct balloon *balloon, uint32_t command_id)
{
	uint8_t bytes[COMMAND_ID_BYTES];

	store_le32(bytes, command_id);
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->hint.shown_id = command_id;
	pthread_mutex_unlock(&balloon->vdev.lock);
	virtio_config_update(&balloon->vdev, BALLOON_CONFIG_OFFSET(free_page_hint_cmd_id), bytes,
	                     sizeof(bytes));
}

static void forget_round(struct balloon *balloon)
{
	struct balloon_hint *hint = &balloon->hint;

	if (hint->timer)
		event_timer_cancel(hint->timer);
	page_proof_stop(hint->proof);
	page_map_destroy(hint->pages);
	hint->proof = NULL;
	hint->pages = NULL;
	hint->accepting = false;
	set_state(balloon, BALLOON_HINT_IDLE);
}

static void end_round(struct balloon *balloon)
{
	forget_round(balloon);
	show_command_id(balloon, VIRTIO_BALLOON_CMD_ID_DONE);
}

static void begin_deciding(struct balloon *balloon)
{
	balloon->hint.accepting = false;
	set_state(balloon, BALLOON_HINT_DECIDING);
	vm_quiet_request(&balloon->hint.quiet);
}

static void on_round_too_long(void *ctx)
{
	struct balloon *balloon = ctx;

	if (state_of(balloon) == BALLOON_HINT_HINTING)
		begin_deciding(balloon);
	else if (state_of(balloon) == BALLOON_HINT_ASKED)
		end_round(balloon);
}

static uint32_t next_command_id(uint32_t last_id)
{
	return last_id >= FIRST_COMMAND_ID && last_id < UINT32_MAX ? last_id + 1 : FIRST_COMMAND_ID;
}

static int begin_round(struct balloon *balloon)
{
	struct balloon_hint *hint = &balloon->hint;
	struct vm *vm = balloon->vdev.device.vm;
	struct balloon_hint_status *status = &hint->status;
	uint32_t command_id = next_command_id(status->command_id);
	int result = 0;

	if (!hint->timer)
		result = event_timer_create(vm->reclaim_loop, on_round_too_long, balloon,
		                            &hint->timer);
	if (!result)
		result = page_map_create(vm->memory, &hint->pages);
	if (!result)
		result = page_proof_start(vm, &hint->proof);
	if (result) {
		forget_round(balloon);
		return result;
	}
	hint->region_index = 0;
	hint->next_gpa = 0;
	pthread_mutex_lock(&balloon->vdev.lock);
	*status = (struct balloon_hint_status){
		.state = BALLOON_HINT_ASKED,
		.command_id = command_id,
		.sees_writes = page_proof_sees_writes(hint->proof),
		.rounds = status->rounds,
	};
	pthread_mutex_unlock(&balloon->vdev.lock);
	event_timer_set(hint->timer, ROUND_MAX_NS, 0);
	show_command_id(balloon, command_id);
	return 0;
}

/* --- what the driver says --- */

static void take_command(struct balloon *balloon, uint32_t command_id)
{
	struct balloon_hint *hint = &balloon->hint;
	enum balloon_hint_state state = state_of(balloon);

	if (command_id == command_stop) {
		if (state == BALLOON_HINT_HINTING) /* else it is an earlier round's */
			begin_deciding(balloon);
	} else if (command_id == hint->status.command_id && state == BALLOON_HINT_ASKED) {
		hint->accepting = true;
		set_state(balloon, BALLOON_HINT_HINTING);
	} else {
		/* What follows belongs to it; the right one again changes nothing. */
		hint->accepting =
			command_id == hint->status.command_id && state == BALLOON_HINT_HINTING;
	}
}

/* Whole pages of RAM that were not named before. */
static uint64_t add_pages(struct page_map *pages, gpa_t gpa, uint64_t size_bytes)
{
	gpa_t first = align_up(gpa, PAGE_4K_BYTES);
	gpa_t end = align_down(gpa + size_bytes, PAGE_4K_BYTES);

	return first < end ? page_map_add(pages, first, end - first) : 0;
}

/* Segments lie in RAM, so their ends do not wrap. */
static void take_pages(struct balloon *balloon, const struct virtq_chain *chain)
{
	struct balloon_hint *hint = &balloon->hint;
	uint64_t added_bytes = 0;

	for (unsigned int i = 0; hint->accepting && i < chain->writable_count; i++) {
		unsigned int segment = chain->readable_count + i;

		added_bytes += add_pages(hint->pages, chain->segment_gpas[segment],
		                         chain->segments[segment].iov_len);
	}
	pthread_mutex_lock(&balloon->vdev.lock);
	hint->status.hinted_bytes += added_bytes;
	hint->status.ignored_bytes += chain->writable_bytes - added_bytes;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

static void take_chain(struct balloon *balloon, struct virtq_chain *chain)
{
	uint8_t command[COMMAND_ID_BYTES];

	if (chain->readable_bytes == sizeof(command) &&
	    virtq_chain_read(chain, command, sizeof(command)) == 0)
		take_command(balloon, load_le32(command));
	else if (chain->readable_bytes)
		balloon->hint.accepting = false; /* no command id: 5.5.6.5.1 */
	if (chain->writable_bytes)
		take_pages(balloon, chain);
}

void balloon_serve_hints(struct balloon *balloon, unsigned int queue_index)
{
	struct virtqueue *vq = virtio_queue(&balloon->vdev, queue_index);
	int r = 1;

	for (unsigned int i = 0; i < BALLOON_CHAINS_MAX && r > 0; i++) {
		struct virtq_chain chain;

		r = virtqueue_pop(vq, &chain);
		if (r <= 0)
			break;
		take_chain(balloon, &chain);
		virtqueue_push(vq, &chain);
	}
	virtio_queue_flush(&balloon->vdev, queue_index);
	if (r < 0)
		virtio_device_broken(&balloon->vdev, "queue %u is not a valid ring", queue_index);
	else if (r > 0)
		balloon_ask_for_another_turn(balloon, queue_index);
}

void balloon_hint_driver_gone(struct balloon *balloon)
{
	forget_round(balloon);
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->hint.shown_id = VIRTIO_BALLOON_CMD_ID_STOP;
	store_le32(&balloon->vdev.config[BALLOON_CONFIG_OFFSET(free_page_hint_cmd_id)],
	           VIRTIO_BALLOON_CMD_ID_STOP);
	pthread_mutex_unlock(&balloon->vdev.lock);
}

/* --- deciding: in a moment of quiet --- */

/* Adds a block to the batch if all of it was hinted and none of it touched. */
static void judge_block(struct balloon *balloon, gpa_t gpa, uint64_t size_bytes,
                        struct balloon_hint_status *found)
{
	struct balloon_hint *hint = &balloon->hint;
	uint64_t hinted_bytes = page_map_count_bytes(hint->pages, gpa, size_bytes);
	struct page_proof_tally tally = { 0 };
	struct reclaim_range *last = balloon->ranges + balloon->range_count - 1;

	if (hinted_bytes < BLOCK_BYTES) {
		found->kept_bytes += hinted_bytes;
		return;
	}
	if (!page_proof_judge(hint->proof, gpa, size_bytes, !balloon->poison_taken, &tally)) {
		found->touched_bytes += tally.touched_bytes;
		found->kept_bytes += size_bytes - tally.touched_bytes;
		return;
	}
	found->zero_bytes += tally.zero_bytes;
	if (balloon->range_count && last->gpa + last->size_bytes == gpa)
		last->size_bytes += size_bytes;
	else
		balloon->ranges[balloon->range_count++] = (struct reclaim_range){ gpa, size_bytes };
}

/* Judges what comes next of the region, up to the block behind the limit. */
static uint64_t judge_region(struct balloon *balloon, gpa_t gpa, uint64_t size_bytes,
                             struct balloon_hint_status *found)
{
	struct balloon_hint *hint = &balloon->hint;
	gpa_t last = gpa + (size_bytes - 1), next = hint->next_gpa < gpa ? gpa : hint->next_gpa;
	uint64_t judged_bytes = 0;

	while (next <= last && judged_bytes < RELEASE_MAX_BYTES) {
		uint64_t block_bytes = min_u64(align_down(next, BLOCK_BYTES) + BLOCK_BYTES - next,
		                               last - next + 1);

		judge_block(balloon, next, block_bytes, found);
		judged_bytes += block_bytes;
		next += block_bytes;
		if (!next) /* the end of the address space */
			break;
	}
	hint->next_gpa = next;
	if (!next || next > last) {
		hint->region_index++;
		hint->next_gpa = 0;
	}
	return judged_bytes;
}

static void release_batch(struct balloon *balloon, struct balloon_hint_status *found)
{
	struct reclaim_outcome outcome = { 0 };

	if (balloon->range_count)
		(void)reclaim_release(balloon->vdev.device.vm->reclaim, RECLAIM_HINT,
		                      balloon->ranges, balloon->range_count, &outcome);
	balloon->range_count = 0;
	found->released_bytes += outcome.bytes_released;
}

/* RELEASE_MAX_BYTES of blocks, or what a region has left. Whether there is more. */
static bool decide_part(struct balloon *balloon)
{
	struct balloon_hint *hint = &balloon->hint;
	struct balloon_hint_status found = { 0 };
	uint64_t size_bytes;
	gpa_t gpa;

	if (hint->region_index == page_map_region_count(hint->pages))
		return false;
	page_map_region(hint->pages, hint->region_index, &gpa, &size_bytes);
	judge_region(balloon, gpa, size_bytes, &found);
	release_batch(balloon, &found);
	pthread_mutex_lock(&balloon->vdev.lock);
	hint->status.touched_bytes += found.touched_bytes;
	hint->status.kept_bytes += found.kept_bytes;
	hint->status.zero_bytes += found.zero_bytes;
	hint->status.released_bytes += found.released_bytes;
	pthread_mutex_unlock(&balloon->vdev.lock);
	return true;
}

/* Nothing more can be proven: what was not judged stays. */
static void keep_rest(struct balloon *balloon)
{
	struct balloon_hint *hint = &balloon->hint;
	struct balloon_hint_status found = { 0 };
	uint64_t size_bytes;
	gpa_t gpa;

	for (; hint->region_index < page_map_region_count(hint->pages); hint->region_index++) {
		page_map_region(hint->pages, hint->region_index, &gpa, &size_bytes);
		if (hint->next_gpa > gpa) {
			size_bytes -= hint->next_gpa - gpa;
			gpa = hint->next_gpa;
		}
		found.kept_bytes += page_map_count_bytes(hint->pages, gpa, size_bytes);
		hint->next_gpa = 0;
	}
	pthread_mutex_lock(&balloon->vdev.lock);
	hint->status.kept_bytes += found.kept_bytes;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

static void decide(void *ctx)
{
	struct balloon *balloon = ctx;
	const int64_t deadline_ns = monotonic_ns() + MOMENT_NS;
	bool more = true;

	if (state_of(balloon) != BALLOON_HINT_DECIDING) /* the round was ended meanwhile */
		return;
	if (page_proof_refresh(balloon->hint.proof)) {
		keep_rest(balloon);
		more = false;
	}
	while (more && monotonic_ns() < deadline_ns)
		more = decide_part(balloon);
	if (more) {
		vm_quiet_request(&balloon->hint.quiet);
		return;
	}
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->hint.status.rounds++;
	pthread_mutex_unlock(&balloon->vdev.lock);
	end_round(balloon);
}

/* --- balloon.h --- */

struct start_call {
	struct balloon *balloon;
	struct error *err;
	int result;
};

static void start(void *ctx)
{
	struct start_call *call = ctx;
	struct virtio_device *vdev = &call->balloon->vdev;

	if (!(vdev->offered_features & UINT64_C(1) << VIRTIO_BALLOON_F_FREE_PAGE_HINT))
		call->result = error_set(call->err, -ENOTSUP,
		                         "free page hinting is off (start ebb with --balloon "
		                         "free-page-hint)");
	else if (!vdev->active || !virtio_has_feature(vdev, VIRTIO_BALLOON_F_FREE_PAGE_HINT))
		call->result = error_set(call->err, -ENODEV,
		                         "free page hinting: the guest has no driver for it yet");
	else if (call->balloon->hint.pages)
		call->result = error_set(call->err, -EBUSY,
		                         "free page hinting: a round goes already (stop it, or "
		                         "wait for its end)");
	else if ((call->result = begin_round(call->balloon)) < 0)
		error_set_errno(call->err, call->result, "free page hinting");
}

int balloon_hint_start(struct balloon *balloon, struct error *err)
{
	struct start_call call = { .balloon = balloon, .err = err };

	event_loop_call(balloon->vdev.loop, start, &call);
	return call.result;
}

static void stop(void *ctx)
{
	struct balloon *balloon = ctx;

	if (balloon->hint.pages)
		end_round(balloon);
}

void balloon_hint_stop(struct balloon *balloon)
{
	event_loop_call(balloon->vdev.loop, stop, balloon);
}

const char *balloon_hint_state_name(enum balloon_hint_state state)
{
	static const char *const names[] = {
		[BALLOON_HINT_IDLE] = "idle",
		[BALLOON_HINT_ASKED] = "asked",
		[BALLOON_HINT_HINTING] = "hinting",
		[BALLOON_HINT_DECIDING] = "deciding",
	};

	return names[state];
}

/* --- set-up and end --- */

void balloon_hint_init(struct balloon *balloon, struct vm *vm)
{
	vm_quiet_init(&balloon->hint.quiet, vm, decide, balloon);
}

void balloon_hint_fini(struct balloon *balloon)
{
	vm_quiet_cancel(&balloon->hint.quiet);
	event_timer_destroy(balloon->hint.timer);
}
