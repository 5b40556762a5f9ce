/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of one split virtqueue, written byte by byte into guest memory: right chains
 * and wrong ones. It knows nothing of a device or a transport.
 */
#ifndef TEST_DRIVER_H
#define TEST_DRIVER_H

#include <linux/virtio_ring.h>

#include "ebb/guest_memory.h"
#include "ebb/virtqueue.h"

struct test_ring {
	struct guest_memory *memory;
	uint16_t size;
	gpa_t descriptor_gpa, driver_gpa, device_gpa;
	uint16_t next_descriptor, avail_index, used_index; /* the driver's own */
};

/* Bytes that test_ring_init takes, for a size up to VIRTQUEUE_SIZE_MAX. */
#define TEST_RING_BYTES (32 * KIB)

/* Puts the three areas at gpa (16-byte aligned) and zeroes them. */
void test_ring_init(struct test_ring *ring, struct guest_memory *memory, gpa_t gpa, uint16_t size);

/* What a transport would hand on. */
struct virtqueue_config test_ring_config(const struct test_ring *ring, bool indirect,
                                         bool event_index);

/* Writes descriptor `index` of the table at table_gpa. */
struct test_descriptor {
	gpa_t gpa;
	uint32_t size_bytes;
	uint16_t flags, next; /* VRING_DESC_F_* */
};
void test_write_descriptor(struct guest_memory *memory, gpa_t table_gpa, unsigned int index,
                           struct test_descriptor descriptor);

/* Chains descriptors one behind the other, NEXT added as needed, from next_descriptor on; returns
 * the head. Not yet available. */
uint16_t test_ring_chain(struct test_ring *ring, const struct test_descriptor *descriptors,
                         unsigned int count);

/* Puts a head into the available ring and moves the index. */
void test_ring_offer(struct test_ring *ring, uint16_t head_index);
void test_ring_set_avail_index(struct test_ring *ring, uint16_t avail_index);
void test_ring_set_avail_flags(struct test_ring *ring, uint16_t flags);
void test_ring_set_used_event(struct test_ring *ring, uint16_t index);

/* Both at once, for one buffer. */
uint16_t test_ring_offer_buffer(struct test_ring *ring, gpa_t gpa, uint32_t size_bytes,
                                bool writable);

uint16_t test_ring_used_index(const struct test_ring *ring);
uint16_t test_ring_used_flags(const struct test_ring *ring);
uint16_t test_ring_avail_event(const struct test_ring *ring);

/* The next used entry; false: none. */
bool test_ring_take_used(struct test_ring *ring, uint32_t *ret_head, uint32_t *ret_size_bytes);

#endif
