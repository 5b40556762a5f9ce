/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of one split virtqueue. */
#include "test_driver.h"

#include <assert.h>
#include <string.h>

#include "ebb/bytes.h"

static void put(struct guest_memory *memory, gpa_t gpa, const void *bytes, size_t size_bytes)
{
	int ret = gmem_write(memory, gpa, bytes, size_bytes);

	assert(ret == 0);
	(void)ret;
}

static void put_u16(const struct test_ring *ring, gpa_t gpa, uint16_t value)
{
	uint8_t bytes[2];

	store_le16(bytes, value);
	put(ring->memory, gpa, bytes, sizeof(bytes));
}

static uint64_t get(const struct test_ring *ring, gpa_t gpa, size_t size_bytes)
{
	uint8_t bytes[8];
	int ret = gmem_read(ring->memory, gpa, bytes, size_bytes);

	assert(ret == 0);
	(void)ret;
	return load_le(bytes, size_bytes);
}

static gpa_t avail_entry(const struct test_ring *ring, unsigned int index)
{
	return ring->driver_gpa + offsetof(struct vring_avail, ring) + 2ULL * index;
}

static gpa_t used_entry(const struct test_ring *ring, unsigned int index)
{
	return ring->device_gpa + offsetof(struct vring_used, ring) +
	       sizeof(struct vring_used_elem) * index;
}

void test_ring_init(struct test_ring *ring, struct guest_memory *memory, gpa_t gpa, uint16_t size)
{
	static const uint8_t zeroes[TEST_RING_BYTES];

	*ring = (struct test_ring){ .memory = memory, .size = size };
	put(memory, gpa, zeroes, sizeof(zeroes));
	ring->descriptor_gpa = gpa;
	ring->driver_gpa = gpa + sizeof(struct vring_desc) * size;
	ring->device_gpa = align_up(avail_entry(ring, size + 1U), VRING_USED_ALIGN_SIZE);
	assert(used_entry(ring, size) + 2 <= gpa + TEST_RING_BYTES);
}

struct virtqueue_config test_ring_config(const struct test_ring *ring, bool indirect,
                                         bool event_index)
{
	return (struct virtqueue_config){
		.size = ring->size,
		.descriptor_gpa = ring->descriptor_gpa,
		.driver_gpa = ring->driver_gpa,
		.device_gpa = ring->device_gpa,
		.indirect = indirect,
		.event_index = event_index,
	};
}

void test_write_descriptor(struct guest_memory *memory, gpa_t table_gpa, unsigned int index,
                           struct test_descriptor descriptor)
{
	uint8_t bytes[sizeof(struct vring_desc)];

	store_le64(bytes + offsetof(struct vring_desc, addr), descriptor.gpa);
	store_le32(bytes + offsetof(struct vring_desc, len), descriptor.size_bytes);
	store_le16(bytes + offsetof(struct vring_desc, flags), descriptor.flags);
	store_le16(bytes + offsetof(struct vring_desc, next), descriptor.next);
	put(memory, table_gpa + sizeof(bytes) * index, bytes, sizeof(bytes));
}

uint16_t test_ring_chain(struct test_ring *ring, const struct test_descriptor *descriptors,
                         unsigned int count)
{
	uint16_t head_index = ring->next_descriptor;

	for (unsigned int i = 0; i < count; i++) {
		struct test_descriptor descriptor = descriptors[i];
		uint16_t index = ring->next_descriptor;

		ring->next_descriptor = (uint16_t)((index + 1) % ring->size);
		if (i + 1 < count) {
			descriptor.flags |= VRING_DESC_F_NEXT;
			descriptor.next = ring->next_descriptor;
		}
		test_write_descriptor(ring->memory, ring->descriptor_gpa, index, descriptor);
	}
	return head_index;
}

void test_ring_set_avail_index(struct test_ring *ring, uint16_t avail_index)
{
	ring->avail_index = avail_index;
	put_u16(ring, ring->driver_gpa + offsetof(struct vring_avail, idx), avail_index);
}

void test_ring_offer(struct test_ring *ring, uint16_t head_index)
{
	put_u16(ring, avail_entry(ring, ring->avail_index % ring->size), head_index);
	test_ring_set_avail_index(ring, (uint16_t)(ring->avail_index + 1));
}

void test_ring_set_avail_flags(struct test_ring *ring, uint16_t flags)
{
	put_u16(ring, ring->driver_gpa + offsetof(struct vring_avail, flags), flags);
}

void test_ring_set_used_event(struct test_ring *ring, uint16_t index)
{
	put_u16(ring, avail_entry(ring, ring->size), index);
}

uint16_t test_ring_offer_buffer(struct test_ring *ring, gpa_t gpa, uint32_t size_bytes,
                                bool writable)
{
	struct test_descriptor descriptor = {
		.gpa = gpa,
		.size_bytes = size_bytes,
		.flags = writable ? VRING_DESC_F_WRITE : 0,
	};
	uint16_t head_index = test_ring_chain(ring, &descriptor, 1);

	test_ring_offer(ring, head_index);
	return head_index;
}

uint16_t test_ring_used_index(const struct test_ring *ring)
{
	return (uint16_t)get(ring, ring->device_gpa + offsetof(struct vring_used, idx), 2);
}

uint16_t test_ring_used_flags(const struct test_ring *ring)
{
	return (uint16_t)get(ring, ring->device_gpa + offsetof(struct vring_used, flags), 2);
}

uint16_t test_ring_avail_event(const struct test_ring *ring)
{
	return (uint16_t)get(ring, used_entry(ring, ring->size), 2);
}

bool test_ring_take_used(struct test_ring *ring, uint32_t *ret_head, uint32_t *ret_size_bytes)
{
	gpa_t entry_gpa = used_entry(ring, ring->used_index % ring->size);

	if (test_ring_used_index(ring) == ring->used_index)
		return false;
	*ret_head = (uint32_t)get(ring, entry_gpa, 4);
	*ret_size_bytes = (uint32_t)get(ring, entry_gpa + 4, 4);
	ring->used_index++;
	return true;
}
