/* SPDX-License-Identifier: Apache-2.0 */
/* What control asks of memory devices; devices/virtio/virtio_mem.c answers. Any thread unless it
 * says otherwise. */
#ifndef EBB_MEMORY_DEVICE_H
#define EBB_MEMORY_DEVICE_H

#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/types.h"

struct memory_device;
struct vm;

/* What the driver asked for, by what it got (VIRTIO 1.2, 5.15.6). */
enum memory_device_answer {
	MEMORY_DEVICE_ACK,
	MEMORY_DEVICE_NACK,  /* not what the requested size allows now */
	MEMORY_DEVICE_BUSY,  /* the host could not, or must not now */
	MEMORY_DEVICE_ERROR, /* not a valid request */
	MEMORY_DEVICE_ANSWER_COUNT
};

enum memory_device_request {
	MEMORY_DEVICE_PLUG,
	MEMORY_DEVICE_UNPLUG,
	MEMORY_DEVICE_UNPLUG_ALL,
	MEMORY_DEVICE_STATE,
	MEMORY_DEVICE_INVALID, /* of no known type, or cut short */
	MEMORY_DEVICE_REQUEST_COUNT
};

struct memory_device_status {
	char id[DEVICE_ID_MAX];
	gpa_t gpa;
	unsigned int node;
	uint64_t block_bytes;
	uint64_t region_bytes, usable_bytes, requested_bytes, plugged_bytes;
	bool driver_ready;
	uint64_t negotiated_features;
	uint64_t answers[MEMORY_DEVICE_REQUEST_COUNT][MEMORY_DEVICE_ANSWER_COUNT];
	/* Accesses of the guest's to blocks that are not plugged; the last one. */
	uint64_t touches;
	uint64_t touched_block;    /* counted from the region's start; with touches */
	unsigned int touched_vcpu; /* with touches */
	uint64_t slots;            /* KVM memory slots of the region, now */
};

/* In order of creation: NULL begins, NULL ends. */
struct memory_device *memory_device_next(struct vm *vm, const struct memory_device *device);
struct memory_device *memory_device_find(struct vm *vm, const char *id); /* or NULL */

void memory_device_query(const struct memory_device *device,
                         struct memory_device_status *ret_status);

/*
 * Asks the guest for a size: it plugs and unplugs by itself, VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE
 * tells. -EINVAL with a message: no multiple of the block size, or more than the region. With no
 * driver that is no error: one that comes finds the size.
 */
EBB_MUST_CHECK int memory_device_set_requested(struct memory_device *device,
                                               uint64_t requested_bytes, struct error *err);

/* "ack", "nack", "busy", "error"; "plug", "unplug", "unplug_all", "state", "invalid". */
const char *memory_device_answer_name(enum memory_device_answer answer);
const char *memory_device_request_name(enum memory_device_request request);

#endif
