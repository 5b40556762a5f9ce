/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of virtio over MMIO, of every device, and its interrupt (VIRTIO 1.2, section 4.2).
 */
#include "mmio.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "virtio.h"
#include <linux/virtio_mmio.h>

static uint32_t reg(struct virtio_device *vdev, unsigned int offset)
{
	return mmio_read32(vdev->mmio_gpa + offset);
}

static void set_reg(struct virtio_device *vdev, unsigned int offset, uint32_t value)
{
	mmio_write32(vdev->mmio_gpa + offset, value);
}

static void test_identity(struct virtio_device *vdev)
{
	CHECK_EQUAL("magic", reg(vdev, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	CHECK_EQUAL("version", reg(vdev, VIRTIO_MMIO_VERSION), 2);
	set_reg(vdev, VIRTIO_MMIO_MAGIC_VALUE, 0);
	set_reg(vdev, VIRTIO_MMIO_DEVICE_ID, 0);
	CHECK_EQUAL("magic is read-only", reg(vdev, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	CHECK_EQUAL("device id is read-only", reg(vdev, VIRTIO_MMIO_DEVICE_ID), vdev->device_id);
}

static void test_features(struct virtio_device *vdev)
{
	virtio_begin(vdev);
	set_reg(vdev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	CHECK_EQUAL("no device features behind bit 63", reg(vdev, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	CHECK("comes up", virtio_negotiate(vdev, vdev->device_features));
}

static void test_queue_registers(struct virtio_device *vdev)
{
	uint32_t max;

	virtio_begin(vdev);
	virtio_negotiate(vdev, 0);
	set_reg(vdev, VIRTIO_MMIO_QUEUE_SEL, 0);
	max = reg(vdev, VIRTIO_MMIO_QUEUE_NUM_MAX);
	CHECK("queue: maximum is a power of two", max && !(max & (max - 1)));
	CHECK_EQUAL("queue: not ready at first", reg(vdev, VIRTIO_MMIO_QUEUE_READY), 0);
	virtio_queue_setup(vdev, 0, 0);
	CHECK_EQUAL("queue: ready", reg(vdev, VIRTIO_MMIO_QUEUE_READY), 1);
	virtio_reset(vdev);
	set_reg(vdev, VIRTIO_MMIO_QUEUE_SEL, 0);
	CHECK_EQUAL("queue: not ready after reset", reg(vdev, VIRTIO_MMIO_QUEUE_READY), 0);
	set_reg(vdev, VIRTIO_MMIO_QUEUE_SEL, 0xffffffff);
	CHECK_EQUAL("queue: wild number has no entries", reg(vdev, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	CHECK_EQUAL("interrupt status is 0 after reset", reg(vdev, VIRTIO_MMIO_INTERRUPT_STATUS),
	            0);
}

static void test_bad_queues(struct virtio_device *vdev)
{
	static const uint32_t sizes[] = { 0, 3, 0x8000, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		virtio_begin(vdev);
		virtio_negotiate(vdev, 0);
		set_reg(vdev, VIRTIO_MMIO_QUEUE_SEL, 0);
		set_reg(vdev, VIRTIO_MMIO_QUEUE_NUM, sizes[i]);
		set_reg(vdev, VIRTIO_MMIO_QUEUE_DESC_LOW, 0xfffff000);
		set_reg(vdev, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0xffffffff);
		set_reg(vdev, VIRTIO_MMIO_QUEUE_READY, 1);
		virtio_ready(vdev);
		set_reg(vdev, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		set_reg(vdev, VIRTIO_MMIO_QUEUE_NOTIFY, 0xffff);
		delay_us(500);
		EXPECT("bad queue sizes and addresses", virtio_reset(vdev));
	}
	EXPECT("bad queue sizes and addresses", virtio_begin(vdev) && virtio_negotiate(vdev, 0));
	report_section("bad queue sizes and addresses");
}

static void test_reads(struct virtio_device *vdev)
{
	unsigned int offset;

	virtio_reset(vdev);
	for (offset = 0; offset < 0x140; offset++) {
		mmio_read8(vdev->mmio_gpa + offset);
		mmio_read16(vdev->mmio_gpa + offset);
		mmio_read32(vdev->mmio_gpa + offset);
	}
	report_pass("reads of any width and offset");
	CHECK("works after them", virtio_begin(vdev) && virtio_negotiate(vdev, 0));
}

static void test_interrupt(struct virtio_device *vdev)
{
	static uint8_t data[32];
	struct virtq_buffer buffer = { (uintptr_t)data, sizeof(data), true };
	struct virtqueue *vq;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, 0) || !virtio_use_line(vdev)) {
		report_skip("interrupt", "ACPI does not name the GSI");
		return;
	}
	vq = virtio_queue_setup(vdev, 0, 8);
	virtio_ready(vdev);
	CHECK("interrupt: request answered", virtq_transfer(vq, &buffer, 1, NULL));
	CHECK("interrupt: arrives", wait_for_count(&vq->interrupts, 1));
	CHECK("interrupt: request answered, 2nd", virtq_transfer(vq, &buffer, 1, NULL));
	CHECK("interrupt: arrives again", wait_for_count(&vq->interrupts, 2));
	irq_mask_gsi(vdev->gsi);
	CHECK("interrupt: request answered, masked", virtq_transfer(vq, &buffer, 1, NULL));
	CHECK_EQUAL("interrupt status says queue", reg(vdev, VIRTIO_MMIO_INTERRUPT_STATUS),
	            VIRTIO_ISR_QUEUE);
	set_reg(vdev, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_ISR_QUEUE);
	CHECK_EQUAL("interrupt status falls when acknowledged",
	            reg(vdev, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

void test_main(void)
{
	static struct virtio_device vdev;
	char prefix[48];
	unsigned int i;

	for (i = 0; virtio_mmio_open(i, &vdev); i++) {
		string_format(prefix, sizeof(prefix), "%s: ", virtio_device_name(vdev.device_id));
		report_prefix(prefix);
		test_identity(&vdev);
		test_features(&vdev);
		test_queue_registers(&vdev);
		test_bad_queues(&vdev);
		test_reads(&vdev);
		if (vdev.device_id == VIRTIO_ID_RNG)
			test_interrupt(&vdev);
		virtio_reset(&vdev);
	}
	report_prefix("");
	if (!i)
		report_skip("virtio-mmio", "no such device");
}
