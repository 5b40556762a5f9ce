/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Space of a disk that goes back to the host, and zeroes that nobody writes.
 *
 * DOC: a discard punches a hole: the file has less on the host's disk, and reads as zeroes there. A
 * block device does the same with its blocks, in whole logical ones. Zeroes are a hole as well,
 * where the guest lets us, or a range that the file system keeps as zeroes; where it can neither,
 * they are written, a MiB at a time, out of one page of the host's. What the host was seen not to
 * be able to is not asked of it again.
 *
 * Whether a file's holes can be punched is found out at set-up, behind its end, where there is
 * nothing to lose; of a block device only with the first.
 *
 * Syscalls: none after set-up
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk_private.h"

#define PUNCH      (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO_RANGE (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

int disk_space_open(struct disk *disk, struct error *err)
{
	void *zeroes;

	if (disk->readonly)
		return 0;
	zeroes = mmap(NULL, DISK_ZEROES_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (zeroes == MAP_FAILED)
		return error_set_errno(err, -errno, "a buffer of zeroes");
	disk->zeroes = zeroes;
	for (unsigned int i = 0; i < DISK_ZERO_SEGMENTS; i++)
		disk->zero_segments[i] = (struct iovec){ zeroes, DISK_ZEROES_BYTES };
	disk->no_punch = !disk->is_block_device &&
	                 fallocate(disk->fd, PUNCH, (off_t)disk->geometry.size_bytes,
	                           (off_t)PAGE_4K_BYTES) < 0;
	disk->geometry.can_discard = disk->geometry.can_write_zeroes = !disk->no_punch;
	return 0;
}

void disk_space_close(struct disk *disk)
{
	if (disk->zeroes)
		munmap(disk->zeroes, DISK_ZEROES_BYTES);
}

/* The host has no such thing for this disk, rather than an error with it. */
static bool is_missing(int64_t result)
{
	return result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV || result == -EINVAL;
}

static void allocate(struct disk_job *job, int mode, void (*step)(struct disk_job *, int64_t))
{
	job->task.kind = ASYNC_TASK_ALLOCATE;
	job->task.mode = mode;
	disk_job_submit(job, step);
}

/* --- zeroes --- */

static void write_zeroes(struct disk_job *job);

static void step_write(struct disk_job *job, int64_t result)
{
	if (disk_job_retries(job, result))
		return;
	if (result >= 0)
		result -= result % job->disk->direct_offset_bytes;
	if (result <= 0) {
		disk_job_end(job, result ? (int)result : -EIO);
		return;
	}
	job->done_bytes += (uint64_t)result;
	write_zeroes(job);
}

static void write_zeroes(struct disk_job *job)
{
	const struct disk_request *request = job->request;
	uint64_t left_bytes = request->size_bytes - job->done_bytes;
	uint64_t segments = min_u64(left_bytes / DISK_ZEROES_BYTES, DISK_ZERO_SEGMENTS);

	if (!left_bytes) {
		disk_job_settle(job);
		return;
	}
	job->task.kind = ASYNC_TASK_WRITE;
	job->task.offset_bytes = request->offset_bytes + job->done_bytes;
	job->task.segments = job->disk->zero_segments;
	job->task.segment_count = (unsigned int)segments;
	if (!segments) {
		job->rest = (struct iovec){ job->disk->zeroes, left_bytes };
		job->task.segments = &job->rest;
		job->task.segment_count = 1;
	}
	disk_job_submit(job, step_write);
}

static void zero(struct disk_job *job);

static void step_zero(struct disk_job *job, int64_t result)
{
	if (disk_job_retries(job, result))
		return;
	if (!is_missing(result)) {
		if (result < 0)
			disk_job_end(job, (int)result);
		else
			disk_job_settle(job);
		return;
	}
	if (job->task.mode == PUNCH)
		job->disk->no_punch = true;
	else
		job->disk->no_zero_range = true;
	zero(job);
}

static void zero(struct disk_job *job)
{
	struct disk *disk = job->disk;
	const struct disk_request *request = job->request;
	const uint64_t bounds_bytes = request->offset_bytes | request->size_bytes;
	const bool whole = !disk->is_block_device ||
	                   is_aligned(bounds_bytes, disk->geometry.logical_block_bytes);

	job->task.offset_bytes = request->offset_bytes;
	job->task.size_bytes = request->size_bytes;
	if (whole && request->unmap && !disk->no_punch)
		allocate(job, PUNCH, step_zero);
	else if (whole && !disk->no_zero_range)
		allocate(job, ZERO_RANGE, step_zero);
	else if (!is_aligned(bounds_bytes, disk->direct_offset_bytes))
		disk_bounce_start(job);
	else
		write_zeroes(job);
}

/* --- discards --- */

static void step_discard(struct disk_job *job, int64_t result)
{
	if (disk_job_retries(job, result))
		return;
	if (is_missing(result)) {
		job->disk->no_punch = true;
		result = -EOPNOTSUPP;
	}
	if (result < 0)
		disk_job_end(job, (int)result);
	else
		disk_job_settle(job);
}

static void discard(struct disk_job *job)
{
	const struct disk_request *request = job->request;
	const struct disk *disk = job->disk;
	uint64_t block_bytes = disk->is_block_device ? disk->geometry.logical_block_bytes : 1;
	uint64_t start = align_up(request->offset_bytes, block_bytes);
	uint64_t end = align_down(request->offset_bytes + request->size_bytes, block_bytes);

	if (disk->no_punch) {
		disk_job_end(job, -EOPNOTSUPP);
		return;
	}
	if (start >= end) {
		disk_job_settle(job);
		return;
	}
	job->task.offset_bytes = start;
	job->task.size_bytes = end - start;
	allocate(job, PUNCH, step_discard);
}

void disk_space_start(struct disk_job *job)
{
	if (job->request->op == DISK_DISCARD)
		discard(job);
	else
		zero(job);
}
