/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queue numbers follow the negotiated features (VIRTIO 1.2, section 5.5.2): each combination of the
 * balloon's queues.
 *
 * The reporting queue proves itself by emptying a block, the statistics queue by keeping what it is
 * given.
 */
#include "balloon.h"
#include "memory.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include <stddef.h>

static const unsigned int queue_bits[] = { VIRTIO_BALLOON_F_STATS_VQ,
	                                   VIRTIO_BALLOON_F_FREE_PAGE_HINT,
	                                   VIRTIO_BALLOON_F_REPORTING };

static void check_stats(struct virtio_device *vdev, const char *name)
{
	static struct virtio_balloon_stat stat = { .tag = VIRTIO_BALLOON_S_MEMTOT, .val = 1 };
	struct virtq_buffer buffer = { (uintptr_t)&stat, sizeof(stat), false };
	struct virtqueue *vq = &vdev->queues[balloon_stats_queue(vdev)];

	virtq_add(vq, &buffer, 1);
	virtq_publish(vq);
	EXPECT(name, !virtq_wait_used(vq, NULL, NULL, 5));
	EXPECT(name, !(vdev->transport->read_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET));
}

static void check_reporting(struct virtio_device *vdev, uint64_t block_gpa, const char *name)
{
	volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)block_gpa;

	*word = 0x5555;
	EXPECT(name, balloon_report_blocks(vdev, block_gpa, 1));
	EXPECT_EQUAL(name, *word, 0);
}

static void try_combination(struct virtio_device *vdev, unsigned int mask, uint64_t block_gpa)
{
	uint64_t features = FEATURE(VIRTIO_F_VERSION_1);
	char name[96];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(queue_bits); i++)
		features |= mask >> i & 1 ? FEATURE(queue_bits[i]) : 0;
	string_format(name, sizeof(name), "queues: inflate deflate%s%s%s",
	              mask & 1 ? " statistics" : "", mask & 2 ? " hinting" : "",
	              mask & 4 ? " reporting" : "");
	virtio_begin(vdev);
	if ((features & vdev->device_features) != features)
		return;
	EXPECT(name, virtio_negotiate_exactly(vdev, features));
	EXPECT(name, balloon_setup_queues(vdev, 0));
	virtio_ready(vdev);
	EXPECT(name,
	       balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, block_gpa + BALLOON_BLOCK_BYTES, 4));
	EXPECT(name,
	       balloon_send_pages(vdev, BALLOON_QUEUE_DEFLATE, block_gpa + BALLOON_BLOCK_BYTES, 4));
	if (mask & 1)
		check_stats(vdev, name);
	if (mask & 4)
		check_reporting(vdev, block_gpa, name);
	report_section(name);
}

void test_main(void)
{
	struct virtio_device vdev;
	uint64_t block_gpa;
	unsigned int mask;

	if (!virtio_find(VIRTIO_ID_BALLOON, 0, &vdev)) {
		report_skip("virtio-balloon", "no such device");
		return;
	}
	block_gpa = memory_reserve(2 * BALLOON_BLOCK_BYTES, BALLOON_BLOCK_BYTES);
	for (mask = 0; mask < 1u << ARRAY_SIZE(queue_bits); mask++)
		try_combination(&vdev, mask, block_gpa);
	virtio_reset(&vdev);
}
