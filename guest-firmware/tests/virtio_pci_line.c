/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt line of virtio over PCI, where a machine takes no messages and where it does: each
 * device's arrives, falls when its cause is acknowledged, and stays away while it is masked.
 */
#include "platform.h"
#include "print.h"
#include "report.h"
#include "virtio.h"

#define ROUNDS 20u

static uint8_t data[64];

static void quiet(void)
{
	irq_enable();
	delay_us(2000);
	irq_disable();
}

/* The queue of each type on which a device answers whatever it is given. */
static bool easy_queue(const struct virtio_device *vdev, uint16_t *ret_queue, bool *ret_writes)
{
	*ret_writes = vdev->device_id == VIRTIO_ID_RNG;
	*ret_queue = vdev->device_id == VIRTIO_ID_CONSOLE;
	data[0] = '.';
	return vdev->device_id == VIRTIO_ID_RNG || vdev->device_id == VIRTIO_ID_CONSOLE;
}

static bool ask(struct virtqueue *vq, bool writes)
{
	struct virtq_buffer buffer = { (uintptr_t)data, writes ? sizeof(data) : 1, writes };

	return virtq_transfer(vq, &buffer, 1, NULL);
}

static struct virtqueue *start(struct virtio_device *vdev, uint16_t queue)
{
	struct virtqueue *vq = NULL;
	uint16_t i;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, 0) || !virtio_use_line(vdev))
		return NULL;
	for (i = 0; i <= queue; i++)
		vq = virtio_queue_setup(vdev, i, 8);
	virtio_ready(vdev);
	return vq;
}

static void test_device(struct virtio_device *vdev, uint16_t queue, bool writes)
{
	struct virtqueue *vq = start(vdev, queue);
	unsigned int i;

	if (!vq) {
		report_fail("comes up", "no usable interrupt line: GSI %u", vdev->gsi);
		return;
	}
	for (i = 0; i < ROUNDS; i++) {
		EXPECT("answered", ask(vq, writes));
		EXPECT("arrives", wait_for_count(&vq->interrupts, i + 1));
	}
	report_section("20 interrupts for 20 requests");
	quiet();
	CHECK_EQUAL("no more than asked for", vq->interrupts, ROUNDS);

	CHECK("interrupts off: answered", ask(vq, writes) && ask(vq, writes));
	CHECK("interrupts off: bit of the PCI status",
	      pci_read(vdev->bdf, PCI_REG_STATUS, 2) & PCI_STATUS_INTERRUPT);
	quiet();
	CHECK_EQUAL("interrupts on: one for two requests", vq->interrupts, ROUNDS + 1);
	CHECK("acknowledged: bit falls",
	      !(pci_read(vdev->bdf, PCI_REG_STATUS, 2) & PCI_STATUS_INTERRUPT));

	pci_write(vdev->bdf, PCI_REG_COMMAND, 2,
	          PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
	quiet(); /* some KVMs accept one more before the handler has read the ISR: it comes now */
	CHECK("disabled: answered", ask(vq, writes));
	quiet();
	CHECK_EQUAL("disabled: none", vq->interrupts, ROUNDS + 1);
	pci_write(vdev->bdf, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK("enabled again: arrives", wait_for_count(&vq->interrupts, ROUNDS + 2));

	irq_mask_gsi(vdev->gsi);
	quiet();
	CHECK("masked: answered", ask(vq, writes));
	quiet();
	CHECK_EQUAL("masked: none", vq->interrupts, ROUNDS + 2);
	CHECK_EQUAL("masked: the cause is queue", vdev->transport->take_isr(vdev),
	            VIRTIO_ISR_QUEUE);
	CHECK("reset", virtio_reset(vdev));
}

void test_main(void)
{
	static struct virtio_device vdevs[8];
	char prefix[48];
	unsigned int i, tried = 0;
	uint16_t queue;
	bool writes;

	for (i = 0; i < ARRAY_SIZE(vdevs) && virtio_pci_open(i, &vdevs[i]); i++) {
		if (!easy_queue(&vdevs[i], &queue, &writes))
			continue;
		string_format(prefix, sizeof(prefix),
		              "%s: ", virtio_device_name(vdevs[i].device_id));
		report_prefix(prefix);
		test_device(&vdevs[i], queue, writes);
		tried++;
	}
	report_prefix("");
	if (!tried)
		report_skip("virtio-pci line", "no virtio-rng or -console on PCI");
}
