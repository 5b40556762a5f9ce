/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue (VIRTIO 1.2, section 2.7).
 *
 * Descriptors are taken round robin and never tracked: tests have few chains in flight and know
 * them.
 */
#include "memory.h"
#include "platform.h"
#include "virtio.h"

#define LOOK_MS 50 /* after so long, whether the device gave up */

void virtq_init(struct virtqueue *vq, struct virtio_device *vdev, uint16_t index, uint16_t size)
{
	uint8_t *memory;
	size_t descriptors_bytes = 16u * size, available_bytes = 6 + 2u * size,
	       used_bytes = 6 + 8u * size;
	size_t used_offset = (descriptors_bytes + available_bytes + 3) & ~(size_t)3;

	memory = memory_alloc(used_offset + used_bytes, 4096);
	vq->vdev = vdev;
	vq->index = index;
	vq->size = size;
	vq->event_index = virtio_has_feature(vdev, VIRTIO_RING_F_EVENT_IDX);
	vq->descriptors = (struct vring_desc *)memory;
	vq->available = (struct vring_avail *)(memory + descriptors_bytes);
	vq->used = (struct vring_used *)(memory + used_offset);
	vq->available_index = 0;
	vq->published_index = 0;
	vq->used_index = 0;
	vq->next_descriptor = 0;
	vq->interrupts = 0;
}

static volatile uint16_t *used_event(const struct virtqueue *vq)
{
	return &vq->available->ring[vq->size];
}

uint16_t virtq_available_event(const struct virtqueue *vq)
{
	return *(volatile uint16_t *)&vq->used->ring[vq->size];
}

void virtq_set_used_event(struct virtqueue *vq, uint16_t index)
{
	*used_event(vq) = index;
	memory_barrier();
}

void virtq_want_interrupts(struct virtqueue *vq, bool wanted)
{
	*(volatile uint16_t *)&vq->available->flags = wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
	memory_barrier();
}

void virtq_add_head(struct virtqueue *vq, uint16_t head)
{
	vq->available->ring[vq->available_index++ & (vq->size - 1)] = head;
}

static void fill(struct vring_desc *descriptor, const struct virtq_buffer *buffer, uint16_t next,
                 bool last)
{
	descriptor->addr = buffer->gpa;
	descriptor->len = buffer->size_bytes;
	descriptor->flags = (uint16_t)((buffer->device_writes ? VRING_DESC_F_WRITE : 0) |
	                               (last ? 0 : VRING_DESC_F_NEXT));
	descriptor->next = last ? 0 : next;
}

int virtq_add(struct virtqueue *vq, const struct virtq_buffer *buffers, unsigned int count)
{
	uint16_t head = vq->next_descriptor, at = head;
	unsigned int i;

	if (!count || count > vq->size ||
	    (uint16_t)(vq->available_index - vq->used_index) >= vq->size)
		return -1;
	for (i = 0; i < count; i++) {
		uint16_t next = (uint16_t)(at + 1) & (vq->size - 1);

		fill(&vq->descriptors[at], &buffers[i], next, i == count - 1);
		at = next;
	}
	vq->next_descriptor = at;
	virtq_add_head(vq, head);
	return head;
}

int virtq_add_indirect(struct virtqueue *vq, struct vring_desc *table,
                       const struct virtq_buffer *buffers, unsigned int count)
{
	uint16_t head = vq->next_descriptor;
	unsigned int i;

	if (!count || (uint16_t)(vq->available_index - vq->used_index) >= vq->size)
		return -1;
	for (i = 0; i < count; i++)
		fill(&table[i], &buffers[i], (uint16_t)(i + 1), i == count - 1);
	vq->descriptors[head] =
		(struct vring_desc){ (uintptr_t)table, count * (uint32_t)sizeof(*table),
		                     VRING_DESC_F_INDIRECT, 0 };
	vq->next_descriptor = (uint16_t)(head + 1) & (vq->size - 1);
	virtq_add_head(vq, head);
	return head;
}

void virtq_notify(struct virtqueue *vq)
{
	vq->vdev->transport->notify(vq);
}

bool virtq_publish(struct virtqueue *vq)
{
	uint16_t old = vq->published_index, new = vq->available_index;
	bool wanted;

	compiler_barrier();
	*(volatile uint16_t *)&vq->available->idx = new;
	vq->published_index = new;
	memory_barrier();
	if (vq->event_index)
		wanted = vring_need_event(virtq_available_event(vq), new, old);
	else
		wanted = !(*(volatile uint16_t *)&vq->used->flags & VRING_USED_F_NO_NOTIFY);
	if (wanted)
		virtq_notify(vq);
	return wanted;
}

bool virtq_take_used(struct virtqueue *vq, uint32_t *ret_head, uint32_t *ret_size_bytes)
{
	const struct vring_used_elem *element;

	if (*(volatile uint16_t *)&vq->used->idx == vq->used_index)
		return false;
	memory_barrier();
	element = &vq->used->ring[vq->used_index++ & (vq->size - 1)];
	if (ret_head)
		*ret_head = element->id;
	if (ret_size_bytes)
		*ret_size_bytes = element->len;
	return true;
}

bool virtq_wait_used(struct virtqueue *vq, uint32_t *ret_head, uint32_t *ret_size_bytes,
                     unsigned int timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * 1000000;
	bool taken;

	while (!(taken = virtq_take_used(vq, ret_head, ret_size_bytes)) && clock_ns() < end)
		cpu_relax();
	return taken;
}

bool virtq_transfer(struct virtqueue *vq, const struct virtq_buffer *buffers, unsigned int count,
                    uint32_t *ret_size_bytes)
{
	int head = virtq_add(vq, buffers, count);
	unsigned int waited_ms = 0;
	uint32_t used_head;

	if (head < 0)
		return false;
	virtq_publish(vq);
	while (!virtq_wait_used(vq, &used_head, ret_size_bytes, LOOK_MS)) {
		waited_ms += LOOK_MS;
		if (waited_ms > WAIT_MAX_MS ||
		    vq->vdev->transport->read_status(vq->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET)
			return false;
	}
	return used_head == (uint32_t)head;
}
