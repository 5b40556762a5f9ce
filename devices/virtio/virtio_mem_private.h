/* SPDX-License-Identifier: Apache-2.0 */
/* What the rooms of virtio-mem share; DOC in virtio_mem.c. */
#ifndef VIRTIO_MEM_PRIVATE_H
#define VIRTIO_MEM_PRIVATE_H

#include <linux/virtio_mem.h>
#include <pthread.h>

#include "ebb/bytes.h"
#include "ebb/guest_memory.h"
#include "ebb/memory_device.h"
#include "ebb/metrics.h"
#include "ebb/reclaim.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define MEM_REQUESTS_MAX   512 /* the queue's size: what a turn may find in it */
#define MEM_REQUEST_BYTES  24  /* of each kind (VIRTIO 1.2, 5.15.6) */
#define MEM_RESPONSE_BYTES 10

#define MEM_CONFIG_OFFSET(field) offsetof(struct virtio_mem_config, field)

/* --- virtio_mem_request.c: pure --- */

struct mem_request { /* guest-controlled all */
	enum memory_device_request kind;
	gpa_t gpa; /* but for MEMORY_DEVICE_UNPLUG_ALL, and INVALID */
	uint16_t block_count;
};

struct mem_limits {
	gpa_t gpa; /* of the region */
	uint64_t block_bytes, usable_bytes, requested_bytes, plugged_bytes;
};

enum mem_blocks { MEM_BLOCKS_PLUGGED, MEM_BLOCKS_UNPLUGGED, MEM_BLOCKS_MIXED };

void mem_request_parse(const uint8_t bytes[MEM_REQUEST_BYTES], struct mem_request *ret_request);

/* Whether it is of a known kind and, where it names blocks, names at least one, aligned, and none
 * outside of the usable region. */
bool mem_request_is_valid(const struct mem_request *request, const struct mem_limits *limits);

/* The answer to a valid one, given what its blocks are: MEMORY_DEVICE_ACK means that it is to be
 * carried out. */
enum memory_device_answer mem_request_judge(const struct mem_request *request,
                                            const struct mem_limits *limits,
                                            enum mem_blocks blocks);

/* blocks: of a STATE request that was acknowledged. */
void mem_response_store(uint8_t bytes[MEM_RESPONSE_BYTES], enum memory_device_answer answer,
                        enum mem_blocks blocks);

/* How much of the region a driver may use that is asked for requested_bytes. */
uint64_t mem_usable_bytes(uint64_t requested_bytes, uint64_t region_bytes, uint64_t block_bytes,
                          uint64_t boot_bytes);

/* --- virtio_mem_batch.c --- */

struct mem_response_part {
	gpa_t gpa;
	size_t size_bytes;
};

struct mem_entry { /* a request from its pop to its answer */
	uint16_t head_index;
	struct mem_request request;
	bool is_grouped; /* waits for the group's effect */
	enum memory_device_answer answer;
	enum mem_blocks blocks;
	unsigned int part_count;
	struct mem_response_part parts[MEM_RESPONSE_BYTES]; /* where the answer goes */
};

struct mem_batch {    /* the loop's own; while the device is not active, the main thread's */
	size_t count; /* entries: popped, not answered */
	struct mem_entry entries[MEM_REQUESTS_MAX];
	/* The group: requests of one kind, judged and not yet carried out. */
	enum memory_device_request group_kind;
	uint64_t group_bytes;
	size_t range_count;
	struct reclaim_range ranges[MEM_REQUESTS_MAX];   /* the group's blocks */
	struct reclaim_range released[MEM_REQUESTS_MAX]; /* what goes to the reclaim engine */
	unsigned int effects;                            /* carried out in this turn */
};

enum mem_metric {
	MEM_METRIC_PLUGGED_BYTES,
	MEM_METRIC_UNPLUGGED_BYTES,
	MEM_METRIC_UNPLUGGED_TOUCHES,
	MEM_METRIC_COUNT
};

struct memory_device {
	struct virtio_device vdev;
	struct gmem_area *area; /* what is plugged, says it alone */
	gpa_t gpa;
	uint64_t region_bytes, block_bytes;
	uint64_t boot_bytes;
	unsigned int node;
	bool has_registers;        /* the region is on the bus */
	pthread_mutex_t size_lock; /* one change of the sizes in config space at a time; taken
	                              before the device lock, by nobody who holds guest memory's */
	struct event_work carry_out;
	struct mem_batch *batch; /* a mapping: what no driver ever fills costs no memory */
	struct log_ratelimit touch_limit, host_limit, refuse_limit;
	struct metric metrics[MEM_METRIC_COUNT];
	struct metric_counter answers[MEMORY_DEVICE_REQUEST_COUNT][MEMORY_DEVICE_ANSWER_COUNT];
	/* Under the device lock: the last touch of a block that is not plugged. */
	uint64_t touched_block;
	unsigned int touched_vcpu;
};

static inline struct memory_device *memory_device_of(const struct virtio_device *vdev)
{
	return (struct memory_device *)(uintptr_t)vdev; /* embedded first */
}

/* virtio_device_ops. */
void mem_queue_notify(struct virtio_device *vdev, unsigned int queue_index);
void mem_forget_requests(struct memory_device *device); /* no driver any more; on the loop */

void mem_carry_out(void *ctx); /* struct event_work */

/* Unplugs what is plugged. 0, or -errno with the rest plugged as it was. On the loop, or while the
 * device is not active. Without guest memory's lock. */
EBB_MUST_CHECK int mem_unplug_all(struct memory_device *device);

/* --- virtio_mem.c --- */

void mem_query_limits(struct memory_device *device, struct mem_limits *ret_limits);

/* plugged_size follows the area; the user is told. */
void mem_publish_plugged(struct memory_device *device);

/* usable_region_size goes back to what the requested size needs. Nothing is plugged. */
void mem_shrink_usable(struct memory_device *device);

#endif
