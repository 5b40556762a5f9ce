/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts of virtio over PCI: MSI-X with masking and pending bits, and the line as fall-back; on
 * virtio-rng. */
#include "platform.h"
#include "report.h"
#include "virtio.h"

static uint8_t data[64];

static bool draw(struct virtqueue *vq)
{
	struct virtq_buffer buffer = { (uintptr_t)data, sizeof(data), true };

	return virtq_transfer(vq, &buffer, 1, NULL);
}

static void quiet(void)
{
	irq_enable();
	delay_us(2000);
	irq_disable();
}

static struct virtqueue *start(struct virtio_device *vdev,
                               bool (*use_interrupts)(struct virtio_device *vdev))
{
	struct virtqueue *vq;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, 0) || !use_interrupts(vdev))
		return NULL;
	vq = virtio_queue_setup(vdev, 0, 8);
	virtio_ready(vdev);
	return vq;
}

static void test_msix(struct virtio_device *vdev)
{
	struct virtqueue *vq = start(vdev, virtio_use_msix);

	if (!vq) {
		report_fail("MSI-X", "not there");
		return;
	}
	CHECK("MSI-X: request answered", draw(vq));
	CHECK("MSI-X: one interrupt", wait_for_count(&vq->interrupts, 1) && vq->interrupts == 1);
	CHECK("MSI-X: request answered, 2nd", draw(vq));
	CHECK("MSI-X: another interrupt", wait_for_count(&vq->interrupts, 2));
	quiet();
	CHECK_EQUAL("MSI-X: no more than asked for", vq->interrupts, 2);
	CHECK_EQUAL("MSI-X: none for configuration", vdev->config_interrupts, 0);

	pci_msix_mask(&vdev->msix, 1, true);
	CHECK("masked entry: request answered", draw(vq));
	quiet();
	CHECK_EQUAL("masked entry: no interrupt", vq->interrupts, 2);
	CHECK("masked entry: pending bit", pci_msix_pending(&vdev->msix, 1));
	pci_msix_mask(&vdev->msix, 1, false);
	CHECK("unmasked: the interrupt arrives", wait_for_count(&vq->interrupts, 3));
	CHECK("unmasked: not pending any more", !pci_msix_pending(&vdev->msix, 1));
	CHECK("unmasked: next request answered", draw(vq));
	CHECK("unmasked: next interrupt", wait_for_count(&vq->interrupts, 4));
}

static void test_msix_all_masked(struct virtio_device *vdev)
{
	struct virtqueue *vq = start(vdev, virtio_use_msix);
	unsigned int control = vdev->msix.capability + PCI_MSIX_CONTROL;

	if (!vq)
		return;
	pci_write(vdev->bdf, control, 2, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
	CHECK("all masked: request answered", draw(vq));
	quiet();
	CHECK_EQUAL("all masked: no interrupt", vq->interrupts, 0);
	CHECK("all masked: pending bit", pci_msix_pending(&vdev->msix, 1));
	pci_write(vdev->bdf, control, 2, PCI_MSIX_ENABLE);
	CHECK("all unmasked: the interrupt arrives", wait_for_count(&vq->interrupts, 1));
}

/* An entry changed while it was masked takes effect: the interrupt comes by the new vector. */
static void test_msix_retarget(struct virtio_device *vdev)
{
	struct virtqueue *vq = start(vdev, virtio_use_msix);

	if (!vq)
		return;
	CHECK("retarget: request answered", draw(vq) && wait_for_count(&vq->interrupts, 1));
	pci_msix_mask(&vdev->msix, 1, true);
	pci_msix_set(&vdev->msix, 1, vdev->config_cpu_vector);
	CHECK("retarget: request answered, 2nd", draw(vq));
	CHECK("retarget: arrives by the new vector", wait_for_count(&vdev->config_interrupts, 1));
	CHECK_EQUAL("retarget: not by the old one", vq->interrupts, 1);
}

static void test_no_vector(struct virtio_device *vdev)
{
	struct virtqueue *vq;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, 0) || !virtio_use_msix(vdev))
		return;
	vdev->queues[0].msix_entry = -1;
	vq = virtio_queue_setup(vdev, 0, 8);
	virtio_ready(vdev);
	CHECK("queue without a vector: request answered", draw(vq));
	quiet();
	CHECK_EQUAL("queue without a vector: no interrupt", vq->interrupts, 0);
}

static void test_line(struct virtio_device *vdev)
{
	struct virtqueue *vq;

	pci_msix_enable(vdev->bdf, &vdev->msix, false);
	vdev->queues[0].msix_entry = -1;
	vq = start(vdev, virtio_use_line);
	if (!vq) {
		report_fail("line", "no usable interrupt line: GSI %u", vdev->gsi);
		return;
	}
	CHECK("line: request answered", draw(vq));
	CHECK("line: the interrupt arrives", wait_for_count(&vq->interrupts, 1));
	quiet();
	CHECK_EQUAL("line: one cause", vq->interrupts, 1);
	/* some KVMs accept the next one before the handler has read the ISR */
	CHECK("line: it falls when the ISR is read", vdev->spurious_interrupts <= 1);
	CHECK("line: request answered, 2nd", draw(vq));
	CHECK("line: the interrupt arrives again", wait_for_count(&vq->interrupts, 2));

	irq_mask_gsi(vdev->gsi);
	CHECK("line: request answered, polled", draw(vq));
	CHECK("line: interrupt bit of the PCI status",
	      pci_read(vdev->bdf, PCI_REG_STATUS, 2) & PCI_STATUS_INTERRUPT);
	CHECK_EQUAL("line: ISR says queue", vdev->transport->take_isr(vdev), VIRTIO_ISR_QUEUE);
	CHECK_EQUAL("line: ISR is cleared by reading", vdev->transport->take_isr(vdev), 0);
	CHECK("line: interrupt bit falls",
	      !(pci_read(vdev->bdf, PCI_REG_STATUS, 2) & PCI_STATUS_INTERRUPT));
}

void test_main(void)
{
	static struct virtio_device vdev;

	if (!virtio_find(VIRTIO_ID_RNG, 0, &vdev) || vdev.transport != &virtio_pci_transport) {
		report_skip("virtio-pci interrupts", "no virtio-rng on PCI");
		return;
	}
	test_msix(&vdev);
	test_msix_all_masked(&vdev);
	test_msix_retarget(&vdev);
	test_no_vector(&vdev);
	test_line(&vdev);
	virtio_reset(&vdev);
}
