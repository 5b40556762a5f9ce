/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO, version 2 (VIRTIO 1.2, section 4.2).
 *
 * Devices are the LNRO0005 nodes of ACPI; where there is none, the platform's slots are tried.
 */
#include "acpi.h"
#include "mmio.h"
#include "platform.h"
#include "string.h"
#include "virtio.h"
#include <linux/virtio_mmio.h>

#define SLOT_BYTES 0x1000
#define MMIO_MAGIC 0x74726976

static uint32_t reg_read(struct virtio_device *vdev, unsigned int reg)
{
	return mmio_read32(vdev->mmio_gpa + reg);
}

static void reg_write(struct virtio_device *vdev, unsigned int reg, uint32_t value)
{
	mmio_write32(vdev->mmio_gpa + reg, value);
}

static uint8_t read_status(struct virtio_device *vdev)
{
	return (uint8_t)reg_read(vdev, VIRTIO_MMIO_STATUS);
}

static void write_status(struct virtio_device *vdev, uint8_t status)
{
	reg_write(vdev, VIRTIO_MMIO_STATUS, status);
}

static uint64_t read_device_features(struct virtio_device *vdev)
{
	uint64_t low;

	reg_write(vdev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	low = reg_read(vdev, VIRTIO_MMIO_DEVICE_FEATURES);
	reg_write(vdev, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	return low | (uint64_t)reg_read(vdev, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
}

static void write_driver_features(struct virtio_device *vdev, uint64_t features)
{
	reg_write(vdev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	reg_write(vdev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	reg_write(vdev, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	reg_write(vdev, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

static uint16_t queue_size_max(struct virtio_device *vdev, uint16_t index)
{
	reg_write(vdev, VIRTIO_MMIO_QUEUE_SEL, index);
	return (uint16_t)reg_read(vdev, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static void write_gpa(struct virtio_device *vdev, unsigned int reg, const void *ring)
{
	reg_write(vdev, reg, (uint32_t)(uintptr_t)ring);
	reg_write(vdev, reg + 4, (uint32_t)((uint64_t)(uintptr_t)ring >> 32));
}

static void queue_enable(struct virtqueue *vq)
{
	reg_write(vq->vdev, VIRTIO_MMIO_QUEUE_SEL, vq->index);
	reg_write(vq->vdev, VIRTIO_MMIO_QUEUE_NUM, vq->size);
	write_gpa(vq->vdev, VIRTIO_MMIO_QUEUE_DESC_LOW, vq->descriptors);
	write_gpa(vq->vdev, VIRTIO_MMIO_QUEUE_AVAIL_LOW, vq->available);
	write_gpa(vq->vdev, VIRTIO_MMIO_QUEUE_USED_LOW, vq->used);
	reg_write(vq->vdev, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void notify(struct virtqueue *vq)
{
	reg_write(vq->vdev, VIRTIO_MMIO_QUEUE_NOTIFY, vq->index);
}

static uint8_t take_isr(struct virtio_device *vdev)
{
	uint32_t isr = reg_read(vdev, VIRTIO_MMIO_INTERRUPT_STATUS);

	reg_write(vdev, VIRTIO_MMIO_INTERRUPT_ACK, isr);
	return (uint8_t)isr;
}

static uint32_t read_generation(struct virtio_device *vdev)
{
	return reg_read(vdev, VIRTIO_MMIO_CONFIG_GENERATION);
}

const struct virtio_transport virtio_mmio_transport = {
	.name = "mmio",
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

/* The index-th slot, in ACPI's list or the platform's. */
static bool list_slot(bool in_acpi, unsigned int index, struct acpi_device_resources *ret)
{
	if (in_acpi)
		return acpi_find_device("LNRO0005", index, ret);
	ret->size_bytes = SLOT_BYTES;
	return platform_virtio_mmio_slot(index, &ret->gpa, &ret->gsi);
}

/* The index-th slot that has a device in it. */
static bool find_slot(unsigned int index, struct acpi_device_resources *ret)
{
	bool in_acpi = acpi_find_device("LNRO0005", 0, ret);
	unsigned int i;

	for (i = 0; list_slot(in_acpi, i, ret); i++) {
		platform_map(ret->gpa, SLOT_BYTES);
		if (mmio_read32(ret->gpa + VIRTIO_MMIO_MAGIC_VALUE) != MMIO_MAGIC)
			continue;
		if (mmio_read32(ret->gpa + VIRTIO_MMIO_DEVICE_ID) && !index--)
			return true;
	}
	return false;
}

bool virtio_mmio_open(unsigned int index, struct virtio_device *ret_vdev)
{
	struct acpi_device_resources slot;

	memset(ret_vdev, 0, sizeof(*ret_vdev));
	if (!find_slot(index, &slot))
		return false;
	ret_vdev->transport = &virtio_mmio_transport;
	ret_vdev->mmio_gpa = slot.gpa;
	ret_vdev->gsi = slot.gsi;
	ret_vdev->device_id = reg_read(ret_vdev, VIRTIO_MMIO_DEVICE_ID);
	ret_vdev->config_gpa = slot.gpa + VIRTIO_MMIO_CONFIG;
	ret_vdev->config_size_bytes = slot.size_bytes - VIRTIO_MMIO_CONFIG;
	return true;
}
