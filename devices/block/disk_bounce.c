/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What O_DIRECT does not take as it is, through a buffer that it does.
 *
 * Syscalls: io: pread pwrite
 *
 * DOC: a request whose memory is not aligned, or that has parts of blocks, goes through one buffer
 * of 256 KiB, piece by piece, and one request at a time: it is seldom, as drivers align to the
 * blocks they are told of. A piece is whole blocks:
 *
 *	read               block -> buffer -> guest
 *	write              guest -> buffer -> block
 *	write, of parts    block -> buffer, guest -> buffer -> block
 *
 * The last one puts back what it found around its own bytes. So that no other write gets lost in
 * between, such a request waits for all that are at work and runs alone; what comes meanwhile waits
 * for it.
 *
 * The buffer is a memfd's: the kernel copies between it and the guest's memory, which may have gone
 * away since, and says EFAULT where we would be killed.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk_private.h"

int disk_bounce_open(struct disk *disk, struct error *err)
{
	struct disk_bounce *bounce = &disk->bounce;
	void *bytes;

	if (!disk->direct)
		return 0;
	bounce->fd = memfd_create("ebb-disk", MFD_CLOEXEC);
	if (bounce->fd < 0 || ftruncate(bounce->fd, (off_t)DISK_BOUNCE_BYTES))
		return error_set_errno(err, -errno, "a buffer for direct I/O");
	bytes = mmap(NULL, DISK_BOUNCE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, bounce->fd, 0);
	if (bytes == MAP_FAILED)
		return error_set_errno(err, -errno, "a buffer for direct I/O");
	bounce->bytes = bytes;
	return 0;
}

void disk_bounce_close(struct disk *disk)
{
	if (disk->bounce.bytes)
		munmap(disk->bounce.bytes, DISK_BOUNCE_BYTES);
	if (disk->bounce.fd >= 0)
		close(disk->bounce.fd);
}

static bool has_parts(const struct disk *disk, const struct disk_request *request)
{
	return request->op != DISK_READ &&
	       !is_aligned(request->offset_bytes | request->size_bytes, disk->direct_offset_bytes);
}

static void end_job(struct disk_job *job, int result)
{
	struct disk_bounce *bounce = &job->disk->bounce;

	bounce->alone_count -= has_parts(job->disk, job->request);
	bounce->job = NULL;
	if (result)
		disk_job_end(job, result);
	else
		disk_job_settle(job);
}

/* Of the piece, what the request is about. */
static uint64_t wanted_bytes(const struct disk_job *job, uint64_t *ret_skip_bytes)
{
	const struct disk_request *request = job->request;
	const struct disk_bounce *bounce = &job->disk->bounce;
	uint64_t start = request->offset_bytes + job->done_bytes;
	uint64_t end = min_u64(request->offset_bytes + request->size_bytes,
	                       bounce->piece_offset_bytes + bounce->piece_bytes);

	*ret_skip_bytes = start - bounce->piece_offset_bytes;
	return end - start;
}

/* Between the request's segments, from done_bytes on, and the buffer. 0 or -EFAULT. */
static int copy(struct disk_job *job)
{
	const struct disk_request *request = job->request;
	uint64_t at, left_bytes = wanted_bytes(job, &at), skip_bytes = job->done_bytes;

	if (request->op == DISK_WRITE_ZEROES) {
		memset(job->disk->bounce.bytes + at, 0, left_bytes);
		return 0;
	}
	for (unsigned int i = 0; left_bytes && i < request->segment_count; i++) {
		const struct iovec *segment = &request->segments[i];
		uint64_t skipped_bytes = min_u64(skip_bytes, segment->iov_len);
		uint64_t bytes = min_u64(segment->iov_len - skipped_bytes, left_bytes);
		uint8_t *hva = (uint8_t *)segment->iov_base + skipped_bytes;
		ssize_t copied;

		skip_bytes -= skipped_bytes;
		if (!bytes)
			continue;
		if (request->op == DISK_READ)
			copied = pread(job->disk->bounce.fd, hva, bytes, (off_t)at);
		else
			copied = pwrite(job->disk->bounce.fd, hva, bytes, (off_t)at);
		job->disk->system_calls++;
		if (copied < 0 || (uint64_t)copied != bytes)
			return -EFAULT;
		at += bytes;
		left_bytes -= bytes;
	}
	return 0;
}

static void start_piece(struct disk_job *job);

static void transfer_piece(struct disk_job *job, enum async_task_kind kind);

static void end_piece(struct disk_job *job)
{
	uint64_t skip_bytes;

	job->done_bytes += wanted_bytes(job, &skip_bytes);
	if (job->done_bytes < job->request->size_bytes)
		start_piece(job);
	else
		end_job(job, 0);
}

static void write_piece(struct disk_job *job)
{
	int r = copy(job);

	if (r)
		end_job(job, r);
	else
		transfer_piece(job, ASYNC_TASK_WRITE);
}

static void step_piece(struct disk_job *job, int64_t result)
{
	struct disk_bounce *bounce = &job->disk->bounce;
	int r;

	if (disk_job_retries(job, result))
		return;
	if (result >= 0)
		result -= result % job->disk->direct_offset_bytes;
	if (result <= 0) {
		end_job(job, result ? (int)result : -EIO);
		return;
	}
	bounce->piece_done_bytes += (uint64_t)result;
	if (bounce->piece_done_bytes < bounce->piece_bytes) {
		transfer_piece(job, job->task.kind);
	} else if (job->task.kind == ASYNC_TASK_WRITE) {
		end_piece(job);
	} else if (job->request->op == DISK_READ) {
		r = copy(job);
		if (r)
			end_job(job, r);
		else
			end_piece(job);
	} else {
		bounce->piece_done_bytes = 0;
		write_piece(job);
	}
}

static void transfer_piece(struct disk_job *job, enum async_task_kind kind)
{
	struct disk_bounce *bounce = &job->disk->bounce;

	bounce->segment = (struct iovec){ bounce->bytes + bounce->piece_done_bytes,
		                          bounce->piece_bytes - bounce->piece_done_bytes };
	job->task.kind = kind;
	job->task.durable = kind == ASYNC_TASK_WRITE && job->request->durable;
	job->task.offset_bytes = bounce->piece_offset_bytes + bounce->piece_done_bytes;
	job->task.segments = &bounce->segment;
	job->task.segment_count = 1;
	disk_job_submit(job, step_piece);
}

static void start_piece(struct disk_job *job)
{
	const struct disk_request *request = job->request;
	struct disk_bounce *bounce = &job->disk->bounce;
	const uint64_t block_bytes = job->disk->direct_offset_bytes;
	uint64_t start = request->offset_bytes + job->done_bytes;
	uint64_t end = request->offset_bytes + request->size_bytes, skip_bytes;

	bounce->piece_offset_bytes = align_down(start, block_bytes);
	bounce->piece_bytes =
		min_u64(align_up(end, block_bytes) - bounce->piece_offset_bytes, DISK_BOUNCE_BYTES);
	bounce->piece_done_bytes = 0;
	if (request->op == DISK_READ || wanted_bytes(job, &skip_bytes) < bounce->piece_bytes)
		transfer_piece(job, ASYNC_TASK_READ);
	else
		write_piece(job);
}

void disk_bounce_start(struct disk_job *job)
{
	job->disk->bounce.alone_count += has_parts(job->disk, job->request);
	list_append(&job->disk->bounce.waiting, &job->node);
}

/* Lets the next one have the buffer, when it may. One that writes parts of blocks is the only one
 * that runs: those that wait for the buffer are not yet at work. */
void disk_bounce_run(struct disk *disk)
{
	struct disk_bounce *bounce = &disk->bounce;

	while (!bounce->job && !list_is_empty(&bounce->waiting)) {
		struct disk_job *job = container_of(bounce->waiting.next, struct disk_job, node);
		unsigned int waiting = 0;

		list_for_each (node, &bounce->waiting)
			waiting++;
		if (has_parts(disk, job->request) && disk->running > waiting)
			return;
		list_remove(&job->node);
		bounce->job = job;
		start_piece(job);
	}
}
