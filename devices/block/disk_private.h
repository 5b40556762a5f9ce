/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a disk share: disk.c its requests, disk_open.c its file, disk_space.c discards
 * and zeroes, disk_bounce.c what is not aligned for O_DIRECT.
 */
#ifndef DISK_PRIVATE_H
#define DISK_PRIVATE_H

#include "disk.h"
#include "ebb/async_queue.h"

#define DISK_BOUNCE_BYTES    (256 * KIB)
#define DISK_ZEROES_BYTES    (64 * KIB)
#define DISK_ZERO_SEGMENTS   16 /* of that, all of them the same bytes */
#define DISK_RETRIES_MAX     16
#define DISK_BLOCK_BYTES_MAX (64 * KIB)

/* A request that the host works on. */
struct disk_job {
	struct list node; /* of those that are free, or wait for a sync or for the bounce buffer */
	struct disk *disk;
	struct disk_request *request;
	struct async_task task;
	void (*step)(struct disk_job *job, int64_t result); /* what follows the task */
	struct iovec rest;                                  /* of a segment that was done in part */
	uint64_t done_bytes;
	unsigned int retries;
};

/* The buffer that stands in where O_DIRECT does not take the guest's: one request's at a time. */
struct disk_bounce {
	int fd; /* a memfd, so that the kernel copies from and to guest memory; -1: no O_DIRECT */
	uint8_t *bytes;
	struct list waiting;
	struct disk_job *job; /* whose turn it is */
	/* Requests of parts of blocks, which run alone: nothing else is started before they are
	 * done. */
	unsigned int alone_count;
	uint64_t piece_offset_bytes, piece_bytes, piece_done_bytes;
	struct iovec segment;
};

struct disk {
	disk_done_fn done;
	void (*settled)(void *ctx);
	void *ctx;
	int fd;
	bool readonly, is_block_device;
	struct disk_geometry geometry;
	struct async_queue *queue;
	uint64_t system_calls; /* but the queue's */

	struct list submitted; /* disk_request.node */
	struct list free_jobs;
	unsigned int job_count; /* at work */
	unsigned int running;   /* of those: on the medium, but for syncs and the bounce buffer */
	bool starting;

	/* fdatasync: one at a time, for all that wait when it starts. */
	struct async_task sync;
	bool sync_in_flight;
	unsigned int sync_retries;
	struct list sync_waiting, sync_covered;

	/* O_DIRECT: what it asks for; 1 without. */
	bool direct;
	uint32_t direct_memory_bytes, direct_offset_bytes;
	struct disk_bounce bounce;

	/* What this host was seen not to be able to. */
	bool no_punch, no_zero_range;
	void *zeroes; /* DISK_ZEROES_BYTES of them */
	struct iovec zero_segments[DISK_ZERO_SEGMENTS];

	struct disk_job jobs[DISK_DEPTH_MAX];
};

/* disk.c */
void disk_job_submit(struct disk_job *job, void (*step)(struct disk_job *job, int64_t result));
/* Whether result says to do the same again, which is done then. */
bool disk_job_retries(struct disk_job *job, int64_t result);
void disk_job_end(struct disk_job *job, int result);
/* Ends it when what it wrote is on the medium, if that was asked for. */
void disk_job_settle(struct disk_job *job);
/* Writes or reads on, from done_bytes. */
void disk_job_transfer(struct disk_job *job);
bool disk_fits_direct(const struct disk *disk, const struct disk_request *request);

/* disk_open.c: fills in fd and all that is known by it. */
EBB_MUST_CHECK int disk_file_open(struct disk *disk, const struct disk_setup *setup,
                                  struct error *err);

/* disk_space.c */
EBB_MUST_CHECK int disk_space_open(struct disk *disk, struct error *err);
void disk_space_close(struct disk *disk);
void disk_space_start(struct disk_job *job);

/* disk_bounce.c */
EBB_MUST_CHECK int disk_bounce_open(struct disk *disk, struct error *err);
void disk_bounce_close(struct disk *disk);
void disk_bounce_start(struct disk_job *job);
void disk_bounce_run(struct disk *disk);

#endif
