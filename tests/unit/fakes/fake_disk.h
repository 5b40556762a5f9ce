/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory behind virtio-blk (`fakes: fake_disk`): stands in for devices/block/disk.c.
 * Requests are kept on record, may be held, and may fail.
 *
 * fake_disk is set and read by the test while nothing is in flight, or on the loop's thread.
 */
#ifndef FAKE_DISK_H
#define FAKE_DISK_H

#include "../../../devices/block/disk.h"

#define FAKE_DISK_RECORDS_MAX 4096
#define FAKE_DISK_OPEN_MAX    8
#define FAKE_DISK_SEGMENTS    8 /* of a request that are kept */

struct fake_disk_record {
	unsigned int disk_index; /* in the order they were opened */
	enum disk_op op;
	bool durable, unmap;
	uint64_t offset_bytes, size_bytes;
	unsigned int segment_count;
	struct iovec segments[FAKE_DISK_SEGMENTS]; /* the first of them */
	int result;
};

/* What comes to an end when. */
enum fake_disk_pace {
	FAKE_DISK_AT_ONCE, /* within disk_start */
	FAKE_DISK_LATER,   /* by itself, on a later turn of the loop */
	FAKE_DISK_HELD,    /* by fake_disk_release, or disk_drain */
};

struct fake_disk {
	/* What the next one that is opened is like: fake_disk_clear gives 1 MiB of zeroes that can
	 * do all. */
	int open_result; /* -errno: it cannot be */
	int why_no_ring;
	struct disk_geometry geometry;
	/* How all of them behave. */
	enum fake_disk_pace pace;
	unsigned int fail_at; /* the Nth request submitted from now, from 1; 0: none */
	int fail_result;      /* then; nothing is done */
	/* What happened to them. */
	unsigned int open_count; /* now */
	char opened_path[256];   /* the last one's */
	bool opened_readonly, opened_direct;
	struct disk *disks[FAKE_DISK_OPEN_MAX]; /* by order of opening; NULL: closed */
	unsigned int disk_count;                /* that were opened */
	unsigned int submit_count, start_count, drain_count;
	unsigned int in_flight, in_flight_max; /* submitted and not done, of all disks */
	/* In the order in which they were submitted; result is set when it is done. */
	struct fake_disk_record records[FAKE_DISK_RECORDS_MAX];
	unsigned int record_count;
};

extern struct fake_disk fake_disk;

/* All disks are closed. */
void fake_disk_clear(void);

/* What is on it. For a test to write and look at; freed by disk_close. */
uint8_t *fake_disk_bytes(struct disk *disk);

/* Ends up to count requests that were started and are held, on the loop's thread: the oldest first,
 * or the newest. Any thread. Returns how many. */
unsigned int fake_disk_release(struct disk *disk, unsigned int count, bool newest_first);

#endif
