/* SPDX-License-Identifier: Apache-2.0 */
/* A polling driver of virtio-blk. */
#include "blk.h"

#include <stddef.h>

#include "memory.h"
#include "platform.h"
#include "string.h"

static void make_requests(struct blk *blk)
{
	unsigned int i;

	if (blk->requests)
		return;
	blk->requests = memory_alloc(BLK_REQUESTS * sizeof(*blk->requests), 64);
	for (i = 0; i < BLK_REQUESTS; i++)
		blk->requests[i].data =
			(uint8_t *)(uintptr_t)memory_reserve(BLK_DATA_BYTES, PAGE_SIZE);
}

bool blk_needs_reset(struct blk *blk)
{
	return blk->vdev.transport->read_status(&blk->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

bool blk_start(struct blk *blk, uint64_t features)
{
	struct virtio_device *vdev = &blk->vdev;
	uint16_t i;

	make_requests(blk);
	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, features))
		return false;
	blk->sectors = virtio_config_read32(vdev, 0) | (uint64_t)virtio_config_read32(vdev, 4)
	                                                       << 32;
	blk->queue_count = 1;
	if (virtio_has_feature(vdev, VIRTIO_BLK_F_MQ))
		blk->queue_count =
			virtio_config_read16(vdev, offsetof(struct virtio_blk_config, num_queues));
	if (blk->queue_count > VIRTIO_QUEUE_MAX)
		blk->queue_count = VIRTIO_QUEUE_MAX;
	for (i = 0; i < blk->queue_count; i++)
		if (!virtio_queue_setup(vdev, i, BLK_RING_SIZE))
			return false;
	virtio_ready(vdev);
	return !blk_needs_reset(blk);
}

bool blk_add(struct blk *blk, uint16_t queue, unsigned int n, uint32_t type, uint64_t sector,
             uint32_t data_bytes)
{
	struct blk_request *request = &blk->requests[n];
	const bool device_writes = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	struct virtq_buffer buffers[3];
	unsigned int count = 0;

	request->header = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	request->status = BLK_NO_ANSWER;
	buffers[count++] = (struct virtq_buffer){ (uintptr_t)&request->header,
		                                  sizeof(request->header), false };
	if (data_bytes)
		buffers[count++] = (struct virtq_buffer){ (uintptr_t)request->data, data_bytes,
			                                  device_writes };
	buffers[count++] = (struct virtq_buffer){ (uintptr_t)&request->status, 1, true };
	request->head = virtq_add(&blk->vdev.queues[queue], buffers, count);
	return request->head >= 0;
}

uint8_t blk_ask_queue(struct blk *blk, uint16_t queue, uint32_t type, uint64_t sector,
                      uint32_t data_bytes, uint32_t *ret_used_bytes)
{
	struct virtqueue *vq = &blk->vdev.queues[queue];
	uint32_t head = 0;

	if (!blk_add(blk, queue, 0, type, sector, data_bytes))
		return BLK_NO_ANSWER;
	virtq_publish(vq);
	if (!virtq_wait_used(vq, &head, ret_used_bytes, WAIT_MAX_MS) ||
	    head != (uint32_t)blk->requests[0].head)
		return BLK_NO_ANSWER;
	return blk->requests[0].status;
}

uint8_t blk_ask(struct blk *blk, uint32_t type, uint64_t sector, uint32_t data_bytes)
{
	return blk_ask_queue(blk, 0, type, sector, data_bytes, NULL);
}

uint8_t blk_ask_ranges(struct blk *blk, uint32_t type, const struct blk_range *ranges,
                       unsigned int count)
{
	if (!blk->requests)
		return BLK_NO_ANSWER;
	memcpy(blk->requests[0].data, ranges, count * sizeof(*ranges));
	return blk_ask(blk, type, 0, (uint32_t)(count * sizeof(*ranges)));
}
