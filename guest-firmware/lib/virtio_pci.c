/* SPDX-License-Identifier: Apache-2.0 */
/* virtio over PCI, modern only (VIRTIO 1.2, section 4.1). */
#include "mmio.h"
#include "platform.h"
#include "string.h"
#include "virtio.h"
#include <linux/virtio_pci.h>

#define VIRTIO_PCI_VENDOR      0x1af4
#define VIRTIO_PCI_MODERN_BASE 0x1040

static uint8_t read_status(struct virtio_device *vdev)
{
	return mmio_read8(vdev->common_gpa + VIRTIO_PCI_COMMON_STATUS);
}

static void write_status(struct virtio_device *vdev, uint8_t status)
{
	mmio_write8(vdev->common_gpa + VIRTIO_PCI_COMMON_STATUS, status);
}

static uint64_t read_device_features(struct virtio_device *vdev)
{
	uint64_t low;

	mmio_write32(vdev->common_gpa + VIRTIO_PCI_COMMON_DFSELECT, 0);
	low = mmio_read32(vdev->common_gpa + VIRTIO_PCI_COMMON_DF);
	mmio_write32(vdev->common_gpa + VIRTIO_PCI_COMMON_DFSELECT, 1);
	return low | (uint64_t)mmio_read32(vdev->common_gpa + VIRTIO_PCI_COMMON_DF) << 32;
}

static void write_driver_features(struct virtio_device *vdev, uint64_t features)
{
	mmio_write32(vdev->common_gpa + VIRTIO_PCI_COMMON_GFSELECT, 0);
	mmio_write32(vdev->common_gpa + VIRTIO_PCI_COMMON_GF, (uint32_t)features);
	mmio_write32(vdev->common_gpa + VIRTIO_PCI_COMMON_GFSELECT, 1);
	mmio_write32(vdev->common_gpa + VIRTIO_PCI_COMMON_GF, (uint32_t)(features >> 32));
}

static uint16_t queue_size_max(struct virtio_device *vdev, uint16_t index)
{
	if (index >= mmio_read16(vdev->common_gpa + VIRTIO_PCI_COMMON_NUMQ))
		return 0;
	mmio_write16(vdev->common_gpa + VIRTIO_PCI_COMMON_Q_SELECT, index);
	return mmio_read16(vdev->common_gpa + VIRTIO_PCI_COMMON_Q_SIZE);
}

static void write_gpa(uint64_t reg_gpa, const void *ring)
{
	uint64_t gpa = (uintptr_t)ring;

	mmio_write32(reg_gpa, (uint32_t)gpa);
	mmio_write32(reg_gpa + 4, (uint32_t)(gpa >> 32));
}

static void queue_enable(struct virtqueue *vq)
{
	uint64_t common = vq->vdev->common_gpa;

	mmio_write16(common + VIRTIO_PCI_COMMON_Q_SELECT, vq->index);
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_SIZE, vq->size);
	write_gpa(common + VIRTIO_PCI_COMMON_Q_DESCLO, vq->descriptors);
	write_gpa(common + VIRTIO_PCI_COMMON_Q_AVAILLO, vq->available);
	write_gpa(common + VIRTIO_PCI_COMMON_Q_USEDLO, vq->used);
	vq->notify_gpa =
		vq->vdev->notify_gpa + (uint64_t)mmio_read16(common + VIRTIO_PCI_COMMON_Q_NOFF) *
					       vq->vdev->notify_multiplier;
	if (vq->msix_entry > 0) {
		mmio_write16(common + VIRTIO_PCI_COMMON_MSIX, 0);
		mmio_write16(common + VIRTIO_PCI_COMMON_Q_MSIX, (uint16_t)vq->msix_entry);
	}
	mmio_write16(common + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
}

static void notify(struct virtqueue *vq)
{
	mmio_write16(vq->notify_gpa, vq->index);
}

static uint8_t take_isr(struct virtio_device *vdev)
{
	return mmio_read8(vdev->isr_gpa);
}

static uint32_t read_generation(struct virtio_device *vdev)
{
	return mmio_read8(vdev->common_gpa + VIRTIO_PCI_COMMON_CFGGENERATION);
}

const struct virtio_transport virtio_pci_transport = {
	.name = "pci",
	.read_status = read_status,
	.write_status = write_status,
	.read_device_features = read_device_features,
	.write_driver_features = write_driver_features,
	.queue_size_max = queue_size_max,
	.queue_enable = queue_enable,
	.notify = notify,
	.take_isr = take_isr,
	.read_generation = read_generation,
};

/* Takes the first capability of each type, as section 4.1.4 tells drivers to. */
static void read_capabilities(struct virtio_device *vdev)
{
	unsigned int cap = 0;

	while ((cap = pci_find_capability(vdev->bdf, PCI_CAP_VENDOR, cap))) {
		uint8_t type = (uint8_t)pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);
		uint8_t bar = (uint8_t)pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_BAR, 1);
		uint32_t size_bytes = pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_LENGTH, 4);
		uint64_t gpa;

		if (bar > 5 || type < VIRTIO_PCI_CAP_COMMON_CFG || type > VIRTIO_PCI_CAP_DEVICE_CFG)
			continue;
		gpa = pci_bar(vdev->bdf, bar).gpa +
		      pci_read(vdev->bdf, cap + VIRTIO_PCI_CAP_OFFSET, 4);
		if (type == VIRTIO_PCI_CAP_COMMON_CFG && !vdev->common_gpa) {
			vdev->common_gpa = gpa;
		} else if (type == VIRTIO_PCI_CAP_NOTIFY_CFG && !vdev->notify_gpa) {
			vdev->notify_gpa = gpa;
			vdev->notify_size_bytes = size_bytes;
			vdev->notify_multiplier =
				pci_read(vdev->bdf, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		} else if (type == VIRTIO_PCI_CAP_ISR_CFG && !vdev->isr_gpa) {
			vdev->isr_gpa = gpa;
		} else if (type == VIRTIO_PCI_CAP_DEVICE_CFG && !vdev->config_gpa) {
			vdev->config_gpa = gpa;
			vdev->config_size_bytes = size_bytes;
		}
	}
}

bool virtio_pci_open(unsigned int index, struct virtio_device *ret_vdev)
{
	uint16_t bdf, id;

	memset(ret_vdev, 0, sizeof(*ret_vdev));
	if (!pci_find(VIRTIO_PCI_VENDOR, 0xffff, index, &bdf))
		return false;
	id = (uint16_t)pci_read(bdf, PCI_REG_DEVICE, 2);
	/* transitional devices have ids of their own and the type in the subsystem */
	ret_vdev->device_id = id >= VIRTIO_PCI_MODERN_BASE ? (uint32_t)id - VIRTIO_PCI_MODERN_BASE
	                                                   : pci_read(bdf, PCI_REG_SUBSYSTEM, 2);
	ret_vdev->transport = &virtio_pci_transport;
	ret_vdev->bdf = bdf;
	read_capabilities(ret_vdev);
	ret_vdev->has_msix = pci_msix_find(bdf, &ret_vdev->msix);
	if (ret_vdev->has_msix)
		pci_msix_enable(bdf, &ret_vdev->msix, false);
	ret_vdev->gsi = platform_pci_gsi(bdf);
	pci_write(bdf, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	return ret_vdev->common_gpa && ret_vdev->notify_gpa;
}
