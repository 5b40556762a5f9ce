/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue, device side (VIRTIO 1.2, 2.7), with indirect descriptors and event index.
 *
 * The one room that touches ring memory. A device sees chains, never descriptors: each descriptor
 * is read once, the chain is bounded by the queue size, every address is translated with its
 * length. All of it is guest-controlled.
 *
 * Threads: one thread at a time uses a queue between activate and deactivate (the device's loop),
 * holding the shared lock of guest memory from pop to push (virtio.c holds it around queue_notify).
 * Set-up happens only while the queue is not in use.
 */
#ifndef EBB_VIRTQUEUE_H
#define EBB_VIRTQUEUE_H

#include <sys/uio.h>

#include "ebb/guest_memory.h"
#include "ebb/types.h"

#define VIRTQUEUE_SIZE_MAX       1024
#define VIRTQ_CHAIN_SEGMENTS_MAX 1024

struct virtqueue;

/* One popped chain. Lives in the caller; its segments in the queue, valid until the next pop of the
 * same queue unless the queue was made with room for several (virtqueue_create). */
struct virtq_chain {
	uint16_t head_index;
	struct iovec *segments; /* readable ones first */
	gpa_t *segment_gpas;
	unsigned int readable_count, writable_count;
	size_t readable_bytes, writable_bytes; /* in all */
	size_t read_bytes, written_bytes;      /* so far */
};

/* size_max: a power of two up to VIRTQUEUE_SIZE_MAX. memory is borrowed. */
EBB_MUST_CHECK int virtqueue_create(struct guest_memory *memory, uint16_t size_max,
                                    struct virtqueue **ret_queue);
void virtqueue_destroy(struct virtqueue *vq);

/* Configuration by the driver, through the transport. Values are kept as written and judged by
 * virtqueue_enable. */
struct virtqueue_config {
	uint16_t size;
	gpa_t descriptor_gpa, driver_gpa,
		device_gpa;         /* descriptor table, available ring, used ring */
	bool indirect, event_index; /* negotiated */
};

uint16_t virtqueue_size_max(const struct virtqueue *vq);

/* -EINVAL: size, alignment (2.7: 16, 2, 4); -EFAULT: a ring outside guest memory. Starts at index
 * 0. */
EBB_MUST_CHECK int virtqueue_enable(struct virtqueue *vq, const struct virtqueue_config *config);
void virtqueue_disable(struct virtqueue *vq); /* forgets everything */
bool virtqueue_is_enabled(const struct virtqueue *vq);

/* 1 got one, 0 empty, -EPROTO the driver broke VIRTIO (the queue then answers -EPROTO until
 * disabled), -EFAULT is never returned. */
EBB_MUST_CHECK int virtqueue_pop(struct virtqueue *vq, struct virtq_chain *ret_chain);

static inline size_t virtq_chain_readable_bytes(const struct virtq_chain *chain)
{
	return chain->readable_bytes - chain->read_bytes;
}

static inline size_t virtq_chain_writable_bytes(const struct virtq_chain *chain)
{
	return chain->writable_bytes - chain->written_bytes;
}

/* Exactly size_bytes, moving forward; -EMSGSIZE, with nothing copied, when the chain has fewer
 * left. */
EBB_MUST_CHECK int virtq_chain_read(struct virtq_chain *chain, void *buf, size_t size_bytes);
EBB_MUST_CHECK int virtq_chain_write(struct virtq_chain *chain, const void *buf, size_t size_bytes);

/* Direct access for paths without copies: the writable segments as iovecs; the device then says how
 * much it wrote. */
struct iovec *virtq_chain_writable_segments(struct virtq_chain *chain, unsigned int *ret_count);
void virtq_chain_note_written(struct virtq_chain *chain, size_t size_bytes);

/* A used entry with the bytes written; visible to the driver after virtqueue_flush. At most
 * queue-size entries between flushes. */
void virtqueue_push(struct virtqueue *vq, const struct virtq_chain *chain);

/* Publishes the pushed entries with one index store. */
void virtqueue_flush(struct virtqueue *vq);

/* Whether the driver wants a used-buffer notification for what was published since the last time
 * this said true (2.7.7, 2.7.10). */
bool virtqueue_should_notify(struct virtqueue *vq);

/* Asks the driver for (or against) available-buffer notifications. After enabling, pop once more:
 * true when buffers came meanwhile. */
bool virtqueue_enable_notification(struct virtqueue *vq);
void virtqueue_disable_notification(struct virtqueue *vq);

#endif
