/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device status and feature negotiation of every virtio device (VIRTIO 1.2,
 * sections 2.1, 2.2, 3.1).
 *
 * The word "lenient" leaves out what section 2.2 lets a device choose.
 */
#include "command_line.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "virtio.h"

#define STATUS_STARTED (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define UNOFFERED_BIT  63

static void test_reset(struct virtio_device *vdev)
{
	CHECK("reset: status reads 0", virtio_reset(vdev));
	CHECK("reset: twice", virtio_reset(vdev));
	vdev->transport->write_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	CHECK_EQUAL("status: ACKNOWLEDGE", vdev->transport->read_status(vdev),
	            VIRTIO_CONFIG_S_ACKNOWLEDGE);
	vdev->transport->write_status(vdev, STATUS_STARTED);
	CHECK_EQUAL("status: DRIVER", vdev->transport->read_status(vdev), STATUS_STARTED);
}

static void test_features(struct virtio_device *vdev)
{
	CHECK("features: comes up", virtio_begin(vdev));
	CHECK("features: VERSION_1 offered", vdev->device_features & FEATURE(VIRTIO_F_VERSION_1));
	CHECK("features: indirect descriptors offered",
	      vdev->device_features & FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
	CHECK("features: event index offered",
	      vdev->device_features & FEATURE(VIRTIO_RING_F_EVENT_IDX));
	CHECK("features: all accepted", virtio_negotiate(vdev, vdev->device_features));

	virtio_begin(vdev);
	CHECK("features: none but VERSION_1", virtio_negotiate(vdev, 0));
	virtio_begin(vdev);
	CHECK("features: FEATURES_OK refused without VERSION_1",
	      !virtio_negotiate_exactly(vdev, 0));
	virtio_begin(vdev);
	if (!option_present("lenient"))
		CHECK("features: FEATURES_OK refused with a bit not offered",
		      !virtio_negotiate_exactly(vdev, FEATURE(VIRTIO_F_VERSION_1) |
		                                              FEATURE(UNOFFERED_BIT)));
	virtio_begin(vdev);
	CHECK("features: accepted after refusals", virtio_negotiate(vdev, 0));
}

static void test_features_frozen(struct virtio_device *vdev)
{
	virtio_begin(vdev);
	CHECK("frozen: accepted", virtio_negotiate(vdev, 0));
	vdev->transport->write_driver_features(vdev, FEATURE(UNOFFERED_BIT));
	virtio_ready(vdev);
	CHECK("frozen: a later feature write changes nothing",
	      !(vdev->transport->read_status(vdev) &
	        (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)));
	vdev->transport->write_status(vdev,
	                              vdev->transport->read_status(vdev) | VIRTIO_CONFIG_S_FAILED);
	CHECK("FAILED is kept", vdev->transport->read_status(vdev) & VIRTIO_CONFIG_S_FAILED);
	CHECK("reset after FAILED", virtio_reset(vdev));
}

static void test_generation(struct virtio_device *vdev)
{
	uint32_t generation;

	virtio_begin(vdev);
	virtio_negotiate(vdev, 0);
	generation = vdev->transport->read_generation(vdev);
	delay_us(1000);
	CHECK_EQUAL("config generation is steady", vdev->transport->read_generation(vdev),
	            generation);
}

/* DRIVER_OK without a single queue is legal; so is notifying nothing, and a queue set up after
 * reset. */
static void test_without_queues(struct virtio_device *vdev)
{
	unsigned int i;

	for (i = 0; i < 5; i++) {
		EXPECT("DRIVER_OK without queues", virtio_begin(vdev) && virtio_negotiate(vdev, 0));
		virtio_ready(vdev);
		EXPECT("DRIVER_OK without queues",
		       (vdev->transport->read_status(vdev) &
		        ~(unsigned int)VIRTIO_CONFIG_S_NEEDS_RESET) == 0xf);
		EXPECT("DRIVER_OK without queues", virtio_reset(vdev));
	}
	report_section("DRIVER_OK without queues, 5 times");
}

static void test_queue_sizes(struct virtio_device *vdev)
{
	uint16_t i, max, count = 0;

	virtio_begin(vdev);
	virtio_negotiate(vdev, vdev->device_features);
	for (i = 0; i < VIRTIO_QUEUE_MAX; i++) {
		max = vdev->transport->queue_size_max(vdev, i);
		EXPECT("queue sizes are powers of two", !(max & (max - 1)) && max <= 32768);
		count = (uint16_t)(count + (max != 0));
	}
	EXPECT("queue sizes are powers of two", count > 0);
	report_section("queue sizes are powers of two");
	CHECK_EQUAL("no queue 1000", vdev->transport->queue_size_max(vdev, 1000), 0);
	CHECK_EQUAL("no queue 65535", vdev->transport->queue_size_max(vdev, 65535), 0);
	virtio_reset(vdev);
}

void test_main(void)
{
	struct virtio_device vdev;
	char prefix[48];
	unsigned int i;

	for (i = 0; virtio_enumerate(i, &vdev); i++) {
		string_format(prefix, sizeof(prefix), "%s/%s: ", virtio_device_name(vdev.device_id),
		              vdev.transport->name);
		report_prefix(prefix);
		test_reset(&vdev);
		test_features(&vdev);
		test_features_frozen(&vdev);
		test_generation(&vdev);
		test_without_queues(&vdev);
		test_queue_sizes(&vdev);
	}
	report_prefix("");
	if (!i)
		report_skip("virtio", "no virtio device");
}
