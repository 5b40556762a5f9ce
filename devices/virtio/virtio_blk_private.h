/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of virtio-blk share: the device (virtio_blk.c), what requests say and whether they
 * may be carried out (virtio_blk_request.c), and the queues (virtio_blk_queue.c). */
#ifndef VIRTIO_BLK_PRIVATE_H
#define VIRTIO_BLK_PRIVATE_H

#include <linux/virtio_blk.h>

#include "../block/disk.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define BLK_FEATURE(name) (UINT64_C(1) << VIRTIO_BLK_F_##name)

#define BLK_SECTOR_BYTES 512
#define BLK_HEADER_BYTES 16
#define BLK_RANGE_BYTES  16

#define BLK_QUEUE_SIZE 256
#define BLK_QUEUES_MAX 16

/* Of a chain: a descriptor each is for header and status. */
#define BLK_DESCRIPTORS_MAX (BLK_QUEUE_SIZE - 2)
/* As it is popped: descriptors, and what borders of guest memory's regions split (virtqueue.c). */
#define BLK_SEGMENTS_MAX (BLK_QUEUE_SIZE + 64)
/* Of a descriptor, for drivers that ask; keeps what such a driver sends below the next. */
#define BLK_SEGMENT_BYTES_MAX (64 * KIB)
#define BLK_REQUEST_BYTES_MAX (64 * MIB)
/* Of a discard. */
#define BLK_RANGES_MAX          32
#define BLK_DISCARD_SECTORS_MAX (GIB / BLK_SECTOR_BYTES)
/* Of write-zeroes, one range: a host that has to write them takes no longer than for a write, which
 * is what a reset may have to wait for. */
#define BLK_ZEROES_SECTORS_MAX (BLK_REQUEST_BYTES_MAX / BLK_SECTOR_BYTES)

/* Requests of a device in flight; more stay in their rings. */
#define BLK_SLOTS 128

/* --- what a request says --- */

enum blk_kind {
	BLK_READ,
	BLK_WRITE,
	BLK_FLUSH,
	BLK_GET_ID,
	BLK_DISCARD,
	BLK_WRITE_ZEROES,
};

struct blk_limits { /* what a request is judged by */
	uint64_t size_bytes;
	uint64_t features; /* negotiated */
	bool readonly;
};

struct blk_shape {             /* of its chain */
	size_t readable_bytes; /* behind the header */
	size_t writable_bytes; /* in front of the status byte */
};

struct blk_request {
	enum blk_kind kind;
	uint64_t offset_bytes, size_bytes; /* READ, WRITE */
	unsigned int range_count;          /* DISCARD, WRITE_ZEROES: as sent */
};

struct blk_range {
	uint64_t offset_bytes, size_bytes;
	bool unmap;
};

/* Both are pure, and return VIRTIO_BLK_S_OK, or what the answer is without doing anything. */
uint8_t blk_request_parse(const uint8_t header[BLK_HEADER_BYTES], const struct blk_shape *shape,
                          const struct blk_limits *limits, struct blk_request *ret_request);
/* The ranges of a request that was parsed, request->range_count times BLK_RANGE_BYTES. Empty ones
 * are left out of ranges, of which *ret_count stay. */
uint8_t blk_ranges_parse(const uint8_t *bytes, const struct blk_request *request,
                         const struct blk_limits *limits, struct blk_range *ranges,
                         unsigned int *ret_count);

/* --- the queues --- */

enum blk_metric {
	BLK_READS,
	BLK_READ_BYTES,
	BLK_WRITES,
	BLK_WRITE_BYTES,
	BLK_FLUSHES,
	BLK_DISCARDS,
	BLK_DISCARD_BYTES,
	BLK_ZEROINGS,
	BLK_ZEROING_BYTES,
	BLK_HOST_ERRORS, /* what the host could not do */
	BLK_REFUSED,     /* what no driver should have asked for, or not asked so */
	BLK_IN_FLIGHT_MAX,
	BLK_DISK_SYSCALLS,
	BLK_INTERRUPTS,
	BLK_METRIC_COUNT
};

/* A request from pop to push: what is left of its chain. */
struct blk_slot {
	struct disk_request request;
	struct blk_queue *queue;
	enum blk_kind kind;
	uint16_t head_index;
	size_t writable_bytes; /* of the chain, status and all; 0: there is no room for an answer */
	gpa_t status_gpa;
	unsigned int range_count, range_next;
	uint64_t done_bytes; /* of ranges */
	struct blk_range ranges[BLK_RANGES_MAX];
	gpa_t segment_gpas[BLK_SEGMENTS_MAX];
	struct iovec segments[BLK_SEGMENTS_MAX];
};

struct blk_queue {
	struct virtio_blk *blk;
	unsigned int index;
	bool wanted; /* there may be chains to take */
	bool pushed; /* there are used elements to publish */
};

struct virtio_blk {
	struct virtio_device vdev;
	struct virtio_device_info info;
	uint16_t queue_sizes[BLK_QUEUES_MAX];
	uint8_t space[VIRTIO_CONFIG_MAX_BYTES]; /* config space as it is made */
	bool cache_default;
	bool cached;                      /* writeback in config space; under the device lock */
	char serial[VIRTIO_BLK_ID_BYTES]; /* no NUL where it is as long */
	bool readonly, discards;
	struct disk *disk;
	struct blk_limits limits; /* while active */
	unsigned int queue_count, queues_in_use, next_queue;
	struct blk_queue queues[BLK_QUEUES_MAX];
	struct event_work turn;
	bool in_turn;   /* and publishes itself */
	bool submitted; /* to the disk, which was not started since */
	struct gmem_late_writer writer;
	struct blk_slot *slots; /* BLK_SLOTS */
	uint16_t free_slots[BLK_SLOTS];
	unsigned int free_count;
	unsigned int in_flight_max;
	uint64_t syscalls_counted;
	struct log_ratelimit host_errors;
	struct metric metrics[BLK_METRIC_COUNT];
};

/* All on the device's loop unless it says otherwise. */
EBB_MUST_CHECK int blk_queues_create(struct virtio_blk *blk, struct vm *vm); /* main. -ENOMEM */
void blk_queues_destroy(struct virtio_blk *blk);                             /* main */
void blk_queues_start(struct virtio_blk *blk);
/* On return nothing is in flight, and the answers of what was are published. */
void blk_queues_stop(struct virtio_blk *blk);
void blk_queue_notify(struct virtio_blk *blk, unsigned int queue_index);
void blk_queue_stop(struct virtio_blk *blk, unsigned int queue_index); /* likewise */
/* The disk's: of each request, and after some of them. */
void blk_request_done(void *ctx, struct disk_request *request);
void blk_requests_settled(void *ctx);

/* Whether what is written has to be on the medium before it is answered (5.2.6.2). */
bool blk_writes_through(struct virtio_blk *blk);

#endif
