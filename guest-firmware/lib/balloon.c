/* SPDX-License-Identifier: Apache-2.0 */
/* Balloon requests. */
#include "balloon.h"
#include "memory.h"
#include "platform.h"
#include <stddef.h>

uint16_t balloon_stats_queue(const struct virtio_device *vdev)
{
	return virtio_has_feature(vdev, VIRTIO_BALLOON_F_STATS_VQ) ? 2 : 0;
}

uint16_t balloon_hint_queue(const struct virtio_device *vdev)
{
	if (!virtio_has_feature(vdev, VIRTIO_BALLOON_F_FREE_PAGE_HINT))
		return 0;
	return (uint16_t)(2 + virtio_has_feature(vdev, VIRTIO_BALLOON_F_STATS_VQ));
}

uint16_t balloon_reporting_queue(const struct virtio_device *vdev)
{
	if (!virtio_has_feature(vdev, VIRTIO_BALLOON_F_REPORTING))
		return 0;
	return (uint16_t)(balloon_queue_count(vdev) - 1);
}

uint16_t balloon_queue_count(const struct virtio_device *vdev)
{
	return (uint16_t)(2 + virtio_has_feature(vdev, VIRTIO_BALLOON_F_STATS_VQ) +
	                  virtio_has_feature(vdev, VIRTIO_BALLOON_F_FREE_PAGE_HINT) +
	                  virtio_has_feature(vdev, VIRTIO_BALLOON_F_REPORTING));
}

bool balloon_setup_queues(struct virtio_device *vdev, uint16_t size)
{
	uint16_t i;

	for (i = 0; i < balloon_queue_count(vdev); i++)
		if (!virtio_queue_setup(vdev, i, size))
			return false;
	return true;
}

bool balloon_send_pages(struct virtio_device *vdev, uint16_t queue, uint64_t first_gpa,
                        unsigned int count)
{
	uint32_t pfns[BALLOON_REQUEST_MAX], pfn = (uint32_t)(first_gpa >> VIRTIO_BALLOON_PFN_SHIFT);
	struct virtq_buffer buffer = { (uintptr_t)pfns, count * 4, false };
	unsigned int i;

	if (count > BALLOON_REQUEST_MAX)
		return false;
	for (i = 0; i < count; i++)
		pfns[i] = pfn + count - 1 - i;
	return virtq_transfer(&vdev->queues[queue], &buffer, 1, NULL);
}

bool balloon_report_blocks(struct virtio_device *vdev, uint64_t first_gpa, unsigned int count)
{
	struct virtq_buffer buffers[BALLOON_REPORT_MAX];
	unsigned int i;

	if (count > BALLOON_REPORT_MAX)
		return false;
	for (i = 0; i < count; i++)
		buffers[i] = (struct virtq_buffer){ first_gpa + (uint64_t)i * BALLOON_BLOCK_BYTES,
			                            BALLOON_BLOCK_BYTES, true };
	return virtq_transfer(&vdev->queues[balloon_reporting_queue(vdev)], buffers, count, NULL);
}

uint32_t balloon_num_pages(struct virtio_device *vdev)
{
	return virtio_config_read32(vdev, offsetof(struct virtio_balloon_config, num_pages));
}

void balloon_set_actual(struct virtio_device *vdev, uint32_t pages)
{
	virtio_config_write32(vdev, offsetof(struct virtio_balloon_config, actual), pages);
}
