/* SPDX-License-Identifier: Apache-2.0 */
/* A disk in memory behind virtio-blk. */
#include "fake_disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk {
	struct disk_setup setup;
	disk_done_fn done;
	void *ctx;
	struct disk_geometry geometry;
	uint8_t *bytes;
	unsigned int index;
	struct list submitted, started; /* disk_request.node */
	struct event_work later;
	uint64_t system_calls;
};

struct fake_disk fake_disk;

/* Of each request in flight, its record. */
static const struct disk_request *recorded[FAKE_DISK_RECORDS_MAX];

void fake_disk_clear(void)
{
	assert(!fake_disk.open_count);
	memset(&fake_disk, 0, sizeof(fake_disk));
	memset(recorded, 0, sizeof(recorded));
	fake_disk.geometry = (struct disk_geometry){
		.size_bytes = MIB,
		.logical_block_bytes = 512,
		.physical_block_bytes = 4096,
		.discard_granularity_bytes = 4096,
		.can_discard = true,
		.can_write_zeroes = true,
	};
}

uint8_t *fake_disk_bytes(struct disk *disk)
{
	return disk->bytes;
}

static void transfer(struct disk *disk, const struct disk_request *request)
{
	uint8_t *at = disk->bytes + request->offset_bytes;

	for (unsigned int i = 0; i < request->segment_count; i++) {
		const struct iovec *segment = &request->segments[i];

		if (!segment->iov_len)
			continue;
		if (request->op == DISK_READ)
			memcpy(segment->iov_base, at, segment->iov_len);
		else
			memcpy(at, segment->iov_base, segment->iov_len);
		at += segment->iov_len;
	}
}

static int carry_out(struct disk *disk, const struct disk_request *request)
{
	switch (request->op) {
	case DISK_READ:
	case DISK_WRITE:
		transfer(disk, request);
		return 0;
	case DISK_FLUSH:
		return 0;
	case DISK_DISCARD:
	case DISK_WRITE_ZEROES:
		memset(disk->bytes + request->offset_bytes, 0, request->size_bytes);
		return 0;
	}
	return -EINVAL;
}

/* request is on no list when its owner hears of it, who may free it or submit it again. */
static void finish(struct disk *disk, struct disk_request *request)
{
	list_remove(&request->node);
	if (!request->result)
		request->result = carry_out(disk, request);
	for (unsigned int i = fake_disk.record_count; i-- > 0;) {
		if (recorded[i] != request)
			continue;
		fake_disk.records[i].result = request->result;
		recorded[i] = NULL;
		break;
	}
	fake_disk.in_flight--;
	disk->done(disk->ctx, request);
}

static unsigned int finish_started(struct disk *disk, unsigned int count, bool newest_first)
{
	unsigned int finished = 0;

	while (finished < count && !list_is_empty(&disk->started)) {
		struct list *node = newest_first ? disk->started.prev : disk->started.next;

		finish(disk, container_of(node, struct disk_request, node));
		finished++;
	}
	if (finished && disk->setup.settled)
		disk->setup.settled(disk->ctx);
	return finished;
}

static void finish_later(void *ctx)
{
	finish_started(ctx, UINT32_MAX, false);
}

struct release {
	struct disk *disk;
	unsigned int count, released;
	bool newest_first;
};

static void release_here(void *ctx)
{
	struct release *release = ctx;

	release->released = finish_started(release->disk, release->count, release->newest_first);
}

unsigned int fake_disk_release(struct disk *disk, unsigned int count, bool newest_first)
{
	struct release release = { .disk = disk, .count = count, .newest_first = newest_first };

	event_loop_call(disk->setup.loop, release_here, &release);
	return release.released;
}

/* --- disk.h --- */

int disk_open(const struct disk_setup *setup, disk_done_fn done, void *ctx, struct disk **ret_disk,
              struct error *err)
{
	struct disk *disk;

	if (fake_disk.open_result)
		return error_set(err, fake_disk.open_result, "no disk");
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return error_set_errno(err, -ENOMEM, "disk");
	disk->bytes = calloc(1, fake_disk.geometry.size_bytes);
	if (!disk->bytes) {
		free(disk);
		return error_set_errno(err, -ENOMEM, "disk");
	}
	assert(fake_disk.disk_count < FAKE_DISK_OPEN_MAX);
	disk->setup = *setup;
	disk->done = done;
	disk->ctx = ctx;
	disk->geometry = fake_disk.geometry;
	disk->index = fake_disk.disk_count++;
	list_init(&disk->submitted);
	list_init(&disk->started);
	event_work_init(&disk->later, setup->loop, finish_later, disk);
	snprintf(fake_disk.opened_path, sizeof(fake_disk.opened_path), "%s", setup->path);
	fake_disk.opened_readonly = setup->readonly;
	fake_disk.opened_direct = setup->direct;
	fake_disk.disks[disk->index] = disk;
	fake_disk.open_count++;
	*ret_disk = disk;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	assert(list_is_empty(&disk->submitted) && list_is_empty(&disk->started));
	event_work_cancel(&disk->later);
	fake_disk.disks[disk->index] = NULL;
	fake_disk.open_count--;
	free(disk->bytes);
	free(disk);
}

const struct disk_geometry *disk_geometry(const struct disk *disk)
{
	return &disk->geometry;
}

/* What the header leaves to the caller. */
static void check(const struct disk *disk, const struct disk_request *request)
{
	uint64_t size_bytes = 0;

	assert(request->op == DISK_FLUSH ||
	       range_contains(0, disk->geometry.size_bytes, request->offset_bytes,
	                      request->size_bytes));
	assert(!disk->setup.readonly || request->op == DISK_READ || request->op == DISK_FLUSH);
	if (request->op != DISK_READ && request->op != DISK_WRITE)
		return;
	assert(request->segment_count <= DISK_SEGMENTS_MAX);
	for (unsigned int i = 0; i < request->segment_count; i++)
		size_bytes += request->segments[i].iov_len;
	assert(size_bytes == request->size_bytes);
	(void)size_bytes;
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
	struct fake_disk_record *record = &fake_disk.records[fake_disk.record_count];

	check(disk, request);
	request->result = 0;
	if (fake_disk.fail_at && --fake_disk.fail_at == 0)
		request->result = fake_disk.fail_result;
	if (fake_disk.record_count < FAKE_DISK_RECORDS_MAX) {
		*record = (struct fake_disk_record){
			.disk_index = disk->index,
			.op = request->op,
			.durable = request->durable,
			.unmap = request->unmap,
			.offset_bytes = request->offset_bytes,
			.size_bytes = request->size_bytes,
			.segment_count = request->segment_count,
		};
		for (unsigned int i = 0; i < request->segment_count && i < FAKE_DISK_SEGMENTS; i++)
			record->segments[i] = request->segments[i];
		recorded[fake_disk.record_count++] = request;
	}
	fake_disk.submit_count++;
	fake_disk.in_flight++;
	if (fake_disk.in_flight > fake_disk.in_flight_max)
		fake_disk.in_flight_max = fake_disk.in_flight;
	list_append(&disk->submitted, &request->node);
}

static void move_to_started(struct disk *disk)
{
	list_for_each_safe (node, &disk->submitted) {
		list_remove(node);
		list_append(&disk->started, node);
	}
}

void disk_start(struct disk *disk)
{
	fake_disk.start_count++;
	disk->system_calls += !list_is_empty(&disk->submitted);
	move_to_started(disk);
	if (fake_disk.pace == FAKE_DISK_AT_ONCE)
		finish_started(disk, UINT32_MAX, false);
	else if (fake_disk.pace == FAKE_DISK_LATER && !list_is_empty(&disk->started))
		event_work_post(&disk->later);
}

void disk_drain(struct disk *disk)
{
	fake_disk.drain_count++;
	while (!list_is_empty(&disk->submitted) || !list_is_empty(&disk->started)) {
		move_to_started(disk);
		finish_started(disk, UINT32_MAX, false);
	}
}

int disk_why_no_ring(const struct disk *disk)
{
	(void)disk;
	return fake_disk.why_no_ring;
}

uint64_t disk_system_calls(const struct disk *disk)
{
	return disk->system_calls;
}
