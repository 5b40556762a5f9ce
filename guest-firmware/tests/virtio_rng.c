/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng (VIRTIO 1.2, section 5.4): requests of several sizes are filled, and differently each
 * time. */
#include "platform.h"
#include "report.h"
#include "string.h"
#include "virtio.h"

static uint8_t data[2][4096];

static bool draw(struct virtqueue *vq, uint8_t *to, uint32_t size_bytes, uint32_t *ret_size_bytes)
{
	struct virtq_buffer buffer = { (uintptr_t)to, size_bytes, true };

	return virtq_transfer(vq, &buffer, 1, ret_size_bytes);
}

static void test_sizes(struct virtqueue *vq)
{
	static const uint32_t sizes[] = { 1, 7, 64, 512, 4096 };
	uint32_t got;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		got = 0;
		EXPECT("request sizes", draw(vq, data[0], sizes[i], &got));
		EXPECT("request sizes", got >= 1 && got <= sizes[i]);
	}
	report_section("request sizes");
}

static void test_bounds(struct virtqueue *vq)
{
	uint32_t got = 0;

	memset(data[0], 0xee, sizeof(data[0]));
	CHECK("bounded: answered", draw(vq, data[0] + 64, 64, &got));
	CHECK("bounded: nothing in front", memory_scan64(data[0], 0xeeeeeeeeeeeeeeee, 8) == 8);
	CHECK("bounded: nothing behind", memory_scan64(data[0] + 128, 0xeeeeeeeeeeeeeeee, 8) == 8);
}

static void test_chain(struct virtqueue *vq)
{
	struct virtq_buffer buffers[] = { { (uintptr_t)data[0], 16, true },
		                          { (uintptr_t)data[1], 16, true } };
	uint32_t got = 0;

	memset(data, 0, sizeof(data));
	CHECK("chain of two: answered", virtq_transfer(vq, buffers, 2, &got));
	CHECK("chain of two: length", got >= 1 && got <= 32);
	if (got == 32)
		CHECK("chain of two: both filled", memory_scan64(data[1], 0, 2) < 2);
}

void test_main(void)
{
	struct virtio_device vdev;
	uint32_t got[2] = { 0, 0 };

	if (!virtio_find(VIRTIO_ID_RNG, 0, &vdev)) {
		report_skip("virtio-rng", "no such device");
		return;
	}
	if (!CHECK("comes up", virtio_start(&vdev, 0, 1)))
		return;
	CHECK("first draw", draw(&vdev.queues[0], data[0], 64, &got[0]));
	CHECK("second draw", draw(&vdev.queues[0], data[1], 64, &got[1]));
	CHECK("draws differ", got[0] >= 16 && got[1] >= 16 && memcmp(data[0], data[1], 16));
	test_sizes(&vdev.queues[0]);
	test_bounds(&vdev.queues[0]);
	test_chain(&vdev.queues[0]);
	CHECK_EQUAL("no other queue", vdev.transport->queue_size_max(&vdev, 1), 0);
	CHECK("reset", virtio_reset(&vdev));
	CHECK("works after reset",
	      virtio_start(&vdev, 0, 1) && draw(&vdev.queues[0], data[0], 64, &got[0]));
}
