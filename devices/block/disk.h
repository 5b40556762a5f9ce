/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of the host's: a raw image or a block device, read and written with many requests in
 * flight. Knows nothing of virtqueues; who uses it judges what a guest asked for.
 *
 * Threads: opened and closed on any thread while nothing is in flight; the rest, and done, on the
 * loop it was given. No locks.
 */
#ifndef DISK_H
#define DISK_H

#include <sys/uio.h>

#include "ebb/error.h"
#include "ebb/event_loop.h"
#include "ebb/list.h"
#include "ebb/types.h"

/* Requests in flight of one disk; more wait in disk.c. */
#define DISK_DEPTH_MAX 256

/* Segments of one request: IOV_MAX. */
#define DISK_SEGMENTS_MAX 1024

struct disk;

struct disk_setup {
	const char *path; /* borrowed until disk_close */
	bool readonly;    /* opened so, and locked shared */
	bool direct;      /* O_DIRECT; what is not aligned for it goes through a buffer of ours */
	struct event_loop *loop;
	/* After some were done, with disk_open's ctx: the place to tell a driver of all of them at
	 * once. May be NULL. */
	void (*settled)(void *ctx);
};

struct disk_geometry {
	uint64_t size_bytes;           /* whole sectors of 512 */
	uint32_t logical_block_bytes;  /* 512 or more, a power of two */
	uint32_t physical_block_bytes; /* what the host writes at once without reading first */
	uint32_t discard_granularity_bytes;
	bool can_discard;      /* holes can be punched: space comes back to the host */
	bool can_write_zeroes; /* zeroes without writing them */
};

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES };

/* The caller's, from disk_submit until done is called for it. */
struct disk_request {
	struct list node; /* disk.c's */
	enum disk_op op;
	bool durable; /* WRITE, WRITE_ZEROES, DISCARD: on the medium before it is done */
	bool unmap;   /* WRITE_ZEROES: space may be given back */
	uint64_t offset_bytes, size_bytes; /* within the disk, checked by the caller */
	const struct iovec *segments;      /* READ, WRITE: size_bytes in all; may be guest memory */
	unsigned int segment_count;
	int result; /* 0, or -errno: then what was asked for may have been done in part */
};

typedef void (*disk_done_fn)(void *ctx, struct disk_request *request);

/*
 * done is called once for each request, never from within disk_submit; disk_start may call it for
 * what completed at once. It may submit and start requests, the same one too. -EINVAL: the user's
 * to mend (no such file, no image, locked by another VMM, empty), with what to do; -ENOMEM, -errno.
 */
EBB_MUST_CHECK int disk_open(const struct disk_setup *setup, disk_done_fn done, void *ctx,
                             struct disk **ret_disk, struct error *err);
void disk_close(struct disk *disk); /* NULL is fine; nothing may be in flight */

const struct disk_geometry *disk_geometry(const struct disk *disk);

/* Takes a request; it goes to the host with the next disk_start. No order among requests that are
 * not done; FLUSH covers what was done before it was submitted. */
void disk_submit(struct disk *disk, struct disk_request *request);

/* Hands all that was submitted to the host: one system call, whatever their number. */
void disk_start(struct disk *disk);

/* Returns when everything submitted is done (done was called for each). */
void disk_drain(struct disk *disk);

/* 0: by io_uring. -errno: why the host does not let us, or no longer: every operation is a system
 * call then, which its loop waits for. */
int disk_why_no_ring(const struct disk *disk);

/* System calls so far, for `ebb stat` and figures. */
uint64_t disk_system_calls(const struct disk *disk);

#endif
