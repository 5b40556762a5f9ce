/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of the host's: requests to operations in flight, and back.
 *
 * DOC: a request takes one of DISK_DEPTH_MAX jobs and goes through operations of the host's, one at
 * a time, until it is done:
 *
 *	read, write    readv or writev, and again for what was left of a short one; what O_DIRECT
 *	               does not take as it is goes through disk_bounce.c
 *	flush          fdatasync
 *	discard, write zeroes    disk_space.c
 *
 * Nothing acknowledged is lost: a write is told as done when the host has all of it, and what was
 * done before a flush came, or was to be durable, when an fdatasync that started after it has
 * ended. One fdatasync is under way at a time, for all that wait for one when it starts: those that
 * come meanwhile may not be covered by it and wait for the next, together. With O_DIRECT a durable
 * write is RWF_DSYNC instead: a device that can writes it through.
 *
 * An error is the request's own (a full host disk: -ENOSPC, a bad block: -EIO, memory that went
 * away: -EFAULT) and changes nothing for those after it. An fdatasync that failed is told to all
 * that waited for it; the host forgets such an error once it told it, so the next may succeed. A
 * read that ends before its request does has met the end of an image that shrank: -EIO.
 *
 * Memory: the jobs, made with the disk.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk_private.h"

/* --- jobs --- */

static struct disk_job *take_job(struct disk *disk, struct disk_request *request)
{
	struct disk_job *job = container_of(disk->free_jobs.next, struct disk_job, node);

	list_remove(&job->node);
	job->request = request;
	job->done_bytes = 0;
	job->retries = 0;
	job->task.fd = disk->fd;
	job->task.durable = false;
	disk->job_count++;
	return job;
}

void disk_job_submit(struct disk_job *job, void (*step)(struct disk_job *job, int64_t result))
{
	job->step = step;
	async_queue_submit(job->disk->queue, &job->task);
}

/* The host did nothing, and might the next time. */
static bool came_to_nothing(int64_t result)
{
	return result == -EINTR || result == -EAGAIN || result == -ECANCELED;
}

bool disk_job_retries(struct disk_job *job, int64_t result)
{
	if (!came_to_nothing(result) || job->retries == DISK_RETRIES_MAX)
		return false;
	job->retries++;
	async_queue_submit(job->disk->queue, &job->task);
	return true;
}

static void free_job(struct disk_job *job, int result)
{
	struct disk *disk = job->disk;
	struct disk_request *request = job->request;

	list_append(&disk->free_jobs, &job->node);
	disk->job_count--;
	/* After all retries: nobody else has a use for it. */
	request->result = came_to_nothing(result) ? -EIO : result;
	disk->done(disk->ctx, request);
}

void disk_job_end(struct disk_job *job, int result)
{
	job->disk->running--;
	free_job(job, result);
}

void disk_job_settle(struct disk_job *job)
{
	const struct disk_request *request = job->request;

	if (!request->durable || request->op == DISK_READ || job->task.durable) {
		disk_job_end(job, 0);
		return;
	}
	job->disk->running--;
	list_append(&job->disk->sync_waiting, &job->node);
}

/* --- fdatasync --- */

static void start_sync(struct disk *disk)
{
	if (disk->sync_in_flight || list_is_empty(&disk->sync_waiting))
		return;
	list_for_each_safe (node, &disk->sync_waiting) {
		list_remove(node);
		list_append(&disk->sync_covered, node);
	}
	disk->sync_in_flight = true;
	disk->sync_retries = 0;
	disk->sync.kind = ASYNC_TASK_SYNC;
	disk->sync.fd = disk->fd;
	async_queue_submit(disk->queue, &disk->sync);
}

static void end_sync(struct disk *disk)
{
	int64_t result = disk->sync.result;

	if (came_to_nothing(result) && disk->sync_retries < DISK_RETRIES_MAX) {
		disk->sync_retries++;
		async_queue_submit(disk->queue, &disk->sync);
		return;
	}
	/* Those who are told may start requests: a flush among them is not covered by this one. */
	while (!list_is_empty(&disk->sync_covered)) {
		struct list *node = disk->sync_covered.next;

		list_remove(node);
		free_job(container_of(node, struct disk_job, node), (int)result);
	}
	disk->sync_in_flight = false;
}

/* --- reads and writes --- */

/* The segment that done_bytes lies in, and how far; there is one. */
static unsigned int find_segment(const struct disk_request *request, uint64_t done_bytes,
                                 uint64_t *ret_skip_bytes)
{
	unsigned int i = 0;

	while (request->segments[i].iov_len <= done_bytes)
		done_bytes -= request->segments[i++].iov_len;
	*ret_skip_bytes = done_bytes;
	return i;
}

static void step_transfer(struct disk_job *job, int64_t result)
{
	const struct disk_request *request = job->request;

	if (disk_job_retries(job, result))
		return;
	if (result < 0) {
		disk_job_end(job, (int)result);
		return;
	}
	/* A direct one goes on where one may start. */
	result -= result % job->disk->direct_offset_bytes;
	if (!result || (uint64_t)result > request->size_bytes - job->done_bytes) {
		disk_job_end(job, -EIO);
		return;
	}
	job->done_bytes += (uint64_t)result;
	if (job->done_bytes < request->size_bytes)
		disk_job_transfer(job);
	else
		disk_job_settle(job);
}

void disk_job_transfer(struct disk_job *job)
{
	const struct disk_request *request = job->request;
	uint64_t skip_bytes;
	unsigned int i = find_segment(request, job->done_bytes, &skip_bytes);

	job->task.kind = request->op == DISK_READ ? ASYNC_TASK_READ : ASYNC_TASK_WRITE;
	job->task.durable = request->durable && job->disk->direct && request->op == DISK_WRITE;
	job->task.offset_bytes = request->offset_bytes + job->done_bytes;
	job->task.segments = &request->segments[i];
	job->task.segment_count = request->segment_count - i;
	if (skip_bytes) { /* its end goes alone */
		job->rest.iov_base = (uint8_t *)request->segments[i].iov_base + skip_bytes;
		job->rest.iov_len = request->segments[i].iov_len - skip_bytes;
		job->task.segments = &job->rest;
		job->task.segment_count = 1;
	}
	disk_job_submit(job, step_transfer);
}

bool disk_fits_direct(const struct disk *disk, const struct disk_request *request)
{
	if (!disk->direct)
		return true;
	if (!is_aligned(request->offset_bytes | request->size_bytes, disk->direct_offset_bytes))
		return false;
	for (unsigned int i = 0; i < request->segment_count; i++)
		if (!is_aligned((uintptr_t)request->segments[i].iov_base,
		                disk->direct_memory_bytes) ||
		    !is_aligned(request->segments[i].iov_len, disk->direct_offset_bytes))
			return false;
	return true;
}

/* --- requests --- */

static void start_request(struct disk *disk, struct disk_request *request)
{
	struct disk_job *job = take_job(disk, request);

	if (request->op == DISK_FLUSH && !disk->readonly) {
		list_append(&disk->sync_waiting, &job->node);
		return;
	}
	disk->running++;
	if (request->op == DISK_FLUSH)
		disk_job_end(job, 0);
	else if (request->op != DISK_READ && disk->readonly)
		disk_job_end(job, -EROFS);
	else if (!request->size_bytes)
		disk_job_settle(job);
	else if (request->op == DISK_DISCARD || request->op == DISK_WRITE_ZEROES)
		disk_space_start(job);
	else if (disk_fits_direct(disk, request))
		disk_job_transfer(job);
	else
		disk_bounce_start(job);
}

/* All that can be: as long as there are jobs, and nothing wants to be alone. */
static void start_requests(struct disk *disk)
{
	if (disk->starting) /* called by who was told that a request is done */
		return;
	disk->starting = true;
	while (!list_is_empty(&disk->submitted) && !list_is_empty(&disk->free_jobs) &&
	       !disk->bounce.alone_count) {
		struct list *node = disk->submitted.next;

		list_remove(node);
		start_request(disk, container_of(node, struct disk_request, node));
	}
	disk_bounce_run(disk);
	start_sync(disk);
	disk->starting = false;
}

static void on_done(void *ctx, struct async_task *task)
{
	struct disk *disk = ctx;
	struct disk_job *job;

	if (task == &disk->sync) {
		end_sync(disk);
		return;
	}
	job = container_of(task, struct disk_job, task);
	job->step(job, task->result);
}

static void on_settled(void *ctx)
{
	struct disk *disk = ctx;

	start_requests(disk);
	if (disk->settled)
		disk->settled(disk->ctx);
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
	list_append(&disk->submitted, &request->node);
}

void disk_start(struct disk *disk)
{
	start_requests(disk);
	async_queue_start(disk->queue);
}

void disk_drain(struct disk *disk)
{
	while (disk->job_count || !list_is_empty(&disk->submitted)) {
		start_requests(disk);
		async_queue_drain(disk->queue);
	}
}

/* --- open and close --- */

static const struct async_queue_ops queue_ops = { .done = on_done, .settled = on_settled };

static void init_lists(struct disk *disk)
{
	list_init(&disk->submitted);
	list_init(&disk->free_jobs);
	list_init(&disk->sync_waiting);
	list_init(&disk->sync_covered);
	list_init(&disk->bounce.waiting);
	for (unsigned int i = 0; i < DISK_DEPTH_MAX; i++) {
		disk->jobs[i].disk = disk;
		list_append(&disk->free_jobs, &disk->jobs[i].node);
	}
}

int disk_open(const struct disk_setup *setup, disk_done_fn done, void *ctx, struct disk **ret_disk,
              struct error *err)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int r;

	if (!disk)
		return error_set_errno(err, -ENOMEM, "%s", setup->path);
	disk->done = done;
	disk->settled = setup->settled;
	disk->ctx = ctx;
	disk->fd = disk->bounce.fd = -1;
	init_lists(disk);
	r = disk_file_open(disk, setup, err);
	if (!r)
		r = disk_space_open(disk, err);
	if (!r)
		r = disk_bounce_open(disk, err);
	if (!r) {
		r = async_queue_create(setup->loop, DISK_DEPTH_MAX, &queue_ops, disk, &disk->queue);
		if (r)
			error_set_errno(err, r, "operations in flight");
	}
	if (r) {
		disk_close(disk);
		error_prefix(err, "%s", setup->path);
		return r;
	}
	*ret_disk = disk;
	return 0;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	assert(!disk->job_count && list_is_empty(&disk->submitted));
	async_queue_destroy(disk->queue);
	disk_bounce_close(disk);
	disk_space_close(disk);
	if (disk->fd >= 0)
		close(disk->fd);
	free(disk);
}

const struct disk_geometry *disk_geometry(const struct disk *disk)
{
	return &disk->geometry;
}

int disk_why_no_ring(const struct disk *disk)
{
	return async_queue_why_no_ring(disk->queue);
}

uint64_t disk_system_calls(const struct disk *disk)
{
	return disk->system_calls + async_queue_system_calls(disk->queue);
}
