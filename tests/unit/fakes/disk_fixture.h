/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk on a file of this host's, for its unit tests (`fakes: disk_fixture failures`), with the
 * calls of the host's that the test can make short or fail:
 *
 *	wraps: io_uring_queue_init_params preadv pwritev fdatasync fallocate stat fstat ioctl
 *	wraps: statx nanosleep
 */
#ifndef DISK_FIXTURE_H
#define DISK_FIXTURE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "../../../devices/block/disk.h"

#define IMAGE_BYTES    (4 * MIB)
#define REQUESTS       600
#define NO_RING_RESULT (-EPERM)

struct disk_fixture {
	char folder[64], path[96];
	struct event_loop *loop;
	struct disk *disk;
	bool plain; /* no io_uring */
	bool direct, readonly;
	bool block_device;           /* the file passes for one, with blocks of 4096 */
	uint32_t direct_block_bytes; /* that O_DIRECT asks for; 0: as the host says */
	int ioctl_code;              /* errno of its ioctls; 0: they work */
	struct disk_request requests[REQUESTS];
	struct iovec segments[REQUESTS][3];
	struct disk_request *done[REQUESTS]; /* by order */
	unsigned int done_count, expected, settled_count;
	bool submit_again; /* the next one done, once */
	/* What plain calls answer. */
	size_t most_bytes; /* of one; 0: any */
	int fail_code;     /* the next one's errno; 0: none */
	unsigned int fail_count;
	unsigned int reads, writes, syncs, allocates;
	int allocate_mode; /* the last one's */
	off_t allocate_offset, allocate_size;
	unsigned int naps, naps_left; /* with the last of so many the disk is closed */
	int sync_code;                /* every fdatasync's errno; 0: none */
	int refused_mode;             /* of fallocate: any with one of these flags has EOPNOTSUPP */
};

extern struct disk_fixture fix;

/* cmocka's; a file of IMAGE_BYTES and a loop. */
int disk_set_up(void **state);
int disk_set_up_plain(void **state); /* a host without io_uring */
int disk_tear_down(void **state);

void make_file(const char *path, off_t size_bytes);
int open_disk(struct disk **ret_disk, struct error *err);
void open_it(void); /* must work */

/* The request of that number; the caller may change it before submit. */
struct disk_request *make(unsigned int i, enum disk_op op, void *bytes, uint64_t offset,
                          uint64_t size);
void submit(struct disk_request *request);
void finish(void); /* runs the loop until all that was submitted is done */
int run(enum disk_op op, void *bytes, uint64_t offset, uint64_t size);

void fill(void *bytes, size_t size, unsigned int seed);
void read_file(void *bytes, size_t size, off_t offset);
uint64_t file_blocks(void); /* of 512, that it takes of the host's disk */

#define BOTH(name)  cmocka_unit_test_setup_teardown(name, disk_set_up, disk_tear_down), PLAIN(name)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, disk_set_up_plain, disk_tear_down)

#endif
