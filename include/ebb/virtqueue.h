/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue, device side (VIRTIO 1.2, 2.7), with indirect descriptors and event index.
 *
 * The one room that touches ring memory. A device sees chains, never descriptors: each descriptor
 * is read once, the chain is bounded by the queue size, every address is translated with its
 * length. All of it is guest-controlled.
 *
 * Threads: one thread at a time uses a queue between activate and deactivate (the device's loop),
 * holding the shared lock of guest memory from pop to push (virtio.c holds it around queue_notify;
 * whoever pushes at another time takes it). Set-up happens only while the queue is not in use.
 */
#ifndef EBB_VIRTQUEUE_H
#define EBB_VIRTQUEUE_H

#include <sys/uio.h>

#include "ebb/guest_memory.h"
#include "ebb/types.h"

#define VIRTQUEUE_SIZE_MAX 1024

struct virtqueue;

struct virtq_cursor { /* virtqueue.c's own */
	unsigned int segment;
	size_t offset_bytes;
};

/*
 * One popped chain. Lives in the caller. Its segments live in the queue, until the next pop of the
 * same queue: a device that holds several chains copies what it needs first; pushing needs
 * head_index and written_bytes alone. A descriptor of no bytes has no segment; one that lies in two
 * neighbouring regions has two.
 */
struct virtq_chain {
	uint16_t head_index;
	struct iovec *segments; /* readable ones first */
	gpa_t *segment_gpas;
	unsigned int readable_count, writable_count;
	size_t readable_bytes, writable_bytes; /* in all */
	size_t read_bytes, written_bytes;      /* so far */
	struct virtq_cursor reader, writer;
	uint64_t generation;         /* of guest memory, that the segments belong to */
	struct guest_memory *memory; /* virtqueue.c's own */
};

/* size_max: a power of two up to VIRTQUEUE_SIZE_MAX. memory is borrowed. -ENOMEM. */
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

/* -EINVAL: size, alignment (2.7: 16, 2, 4); -EFAULT: a ring that does not lie in one region of
 * guest memory. Starts at index 0. */
EBB_MUST_CHECK int virtqueue_enable(struct virtqueue *vq, const struct virtqueue_config *config);
void virtqueue_disable(struct virtqueue *vq); /* forgets everything, popped chains too */
bool virtqueue_is_enabled(const struct virtqueue *vq);

/*
 * 1 got one, 0 empty (or the queue is not enabled), -EPROTO the driver broke VIRTIO; the queue then
 * answers -EPROTO until it is disabled. A queue never has more chains out than its size. When it is
 * empty, the driver has been asked to notify (unless the device declined notifications).
 */
EBB_MUST_CHECK int virtqueue_pop(struct virtqueue *vq, struct virtq_chain *ret_chain);

static inline size_t virtq_chain_readable_bytes(const struct virtq_chain *chain)
{
	return chain->readable_bytes - chain->read_bytes;
}

static inline size_t virtq_chain_writable_bytes(const struct virtq_chain *chain)
{
	return chain->writable_bytes - chain->written_bytes;
}

/* For who holds a chain without guest memory's lock, once it has that again: what is not read yet
 * and what is writable is found anew where guest memory changed. -EFAULT: some of it is gone, and
 * the chain is good for nothing but pushing. */
EBB_MUST_CHECK int virtq_chain_locate(struct virtq_chain *chain);

/* Exactly size_bytes, moving forward; -EMSGSIZE, with nothing copied, when the chain has fewer
 * left. */
EBB_MUST_CHECK int virtq_chain_read(struct virtq_chain *chain, void *buf, size_t size_bytes);
EBB_MUST_CHECK int virtq_chain_write(struct virtq_chain *chain, const void *buf, size_t size_bytes);

/* Direct access for paths without copies: all writable segments as iovecs, from the first byte. The
 * device then says how much it wrote (at most what is left), before it gives back the lock of guest
 * memory: whoever watches writes hears of it there (guest_memory.h). */
struct iovec *virtq_chain_writable_segments(struct virtq_chain *chain, unsigned int *ret_count);
void virtq_chain_note_written(struct virtq_chain *chain, size_t size_bytes);

/* Gives a popped chain back, with the bytes written; visible to the driver after virtqueue_flush.
 * Any order. Ignored once the queue was disabled. */
void virtqueue_push(struct virtqueue *vq, const struct virtq_chain *chain);

/* Publishes the pushed entries with one index store. */
void virtqueue_flush(struct virtqueue *vq);

/* Whether the driver wants a used-buffer notification for what was published since the last call
 * (2.7.7). */
bool virtqueue_should_notify(struct virtqueue *vq);

/* Asks the driver for (or against) available-buffer notifications (2.7.10); on from the start.
 * Enabling says true when buffers are there that it will not notify of: pop on. */
bool virtqueue_enable_notification(struct virtqueue *vq);
void virtqueue_disable_notification(struct virtqueue *vq);

/*
 * Lending the ring to the host's kernel (vhost), which then is the device side: host addresses of
 * the three parts, each of them checked to lie in guest memory whole, and where to go on. They are
 * the kernel's to touch, by this mapping, for as long as guest memory stays what it is there.
 *
 * While it is lent, every call above finds nothing to do. -ENOTCONN: not enabled; -EALREADY: lent;
 * -EBUSY: chains are out, or pushed and not published; -EPROTO: broken, -EFAULT: its memory is
 * gone.
 */
struct virtqueue_loan {
	void *descriptors, *driver_area, *device_area;
	uint64_t descriptor_bytes, driver_bytes, device_bytes;
	uint16_t size;
	uint16_t next_avail;
};
EBB_MUST_CHECK int virtqueue_lend(struct virtqueue *vq, struct virtqueue_loan *ret_loan);

/* The borrower is through, and took available entries up to next_avail. What it published is read
 * from the ring, and so guest-controlled: -EPROTO, with the queue broken, when the two cannot be;
 * -EFAULT likewise, when the ring is gone. Not lent: does nothing. */
int virtqueue_take_back(struct virtqueue *vq, uint16_t next_avail);
bool virtqueue_is_lent(const struct virtqueue *vq);

#endif
