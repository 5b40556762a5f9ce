/* SPDX-License-Identifier: Apache-2.0 */
/* What both transports share: initialization (VIRTIO 1.2, section 3.1), discovery by type,
 * interrupts. */
#include "virtio.h"
#include "mmio.h"
#include "platform.h"

bool virtio_enumerate(unsigned int index, struct virtio_device *ret_vdev)
{
	unsigned int pci_count = 0;

	while (pci_count <= index && virtio_pci_open(pci_count, ret_vdev))
		pci_count++;
	return pci_count > index || virtio_mmio_open(index - pci_count, ret_vdev);
}

bool virtio_find(uint32_t device_id, unsigned int index, struct virtio_device *ret_vdev)
{
	unsigned int i;

	for (i = 0; virtio_enumerate(i, ret_vdev); i++)
		if (ret_vdev->device_id == device_id && !index--)
			return true;
	return false;
}

const char *virtio_device_name(uint32_t device_id)
{
	static const char *const names[] = {
		[VIRTIO_ID_NET] = "virtio-net",         [VIRTIO_ID_BLOCK] = "virtio-blk",
		[VIRTIO_ID_CONSOLE] = "virtio-console", [VIRTIO_ID_RNG] = "virtio-rng",
		[VIRTIO_ID_BALLOON] = "virtio-balloon", [VIRTIO_ID_MEM] = "virtio-mem"
	};

	return device_id < ARRAY_SIZE(names) && names[device_id] ? names[device_id]
	                                                         : "virtio-device";
}

bool virtio_reset(struct virtio_device *vdev)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;

	vdev->transport->write_status(vdev, 0);
	while (vdev->transport->read_status(vdev)) {
		if (clock_ns() > end)
			return false;
		cpu_relax();
	}
	vdev->driver_features = 0;
	return true;
}

bool virtio_begin(struct virtio_device *vdev)
{
	if (!virtio_reset(vdev))
		return false;
	vdev->transport->write_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	vdev->transport->write_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	vdev->device_features = vdev->transport->read_device_features(vdev);
	return true;
}

bool virtio_negotiate_exactly(struct virtio_device *vdev, uint64_t features)
{
	uint8_t status =
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;

	vdev->driver_features = features;
	vdev->transport->write_driver_features(vdev, features);
	vdev->transport->write_status(vdev, status);
	return vdev->transport->read_status(vdev) == status;
}

bool virtio_negotiate(struct virtio_device *vdev, uint64_t wanted)
{
	return virtio_negotiate_exactly(vdev, (wanted | FEATURE(VIRTIO_F_VERSION_1)) &
	                                              vdev->device_features);
}

bool virtio_has_feature(const struct virtio_device *vdev, unsigned int bit)
{
	return vdev->driver_features >> bit & 1;
}

struct virtqueue *virtio_queue_setup(struct virtio_device *vdev, uint16_t index, uint16_t size)
{
	uint16_t max = index < VIRTIO_QUEUE_MAX ? vdev->transport->queue_size_max(vdev, index) : 0;

	if (!max)
		return NULL;
	virtq_init(&vdev->queues[index], vdev, index, size && size < max ? size : max);
	vdev->transport->queue_enable(&vdev->queues[index]);
	return &vdev->queues[index];
}

void virtio_ready(struct virtio_device *vdev)
{
	vdev->transport->write_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
	                                            VIRTIO_CONFIG_S_FEATURES_OK |
	                                            VIRTIO_CONFIG_S_DRIVER_OK);
}

bool virtio_start(struct virtio_device *vdev, uint64_t wanted, uint16_t queue_count)
{
	uint16_t i;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, wanted))
		return false;
	for (i = 0; i < queue_count; i++)
		if (!virtio_queue_setup(vdev, i, 64))
			return false;
	virtio_ready(vdev);
	return true;
}

uint8_t virtio_config_read8(struct virtio_device *vdev, unsigned int offset)
{
	return mmio_read8(vdev->config_gpa + offset);
}

uint16_t virtio_config_read16(struct virtio_device *vdev, unsigned int offset)
{
	return mmio_read16(vdev->config_gpa + offset);
}

uint32_t virtio_config_read32(struct virtio_device *vdev, unsigned int offset)
{
	return mmio_read32(vdev->config_gpa + offset);
}

void virtio_config_write32(struct virtio_device *vdev, unsigned int offset, uint32_t value)
{
	mmio_write32(vdev->config_gpa + offset, value);
}

static void count_interrupt(void *opaque)
{
	++*(volatile unsigned int *)opaque;
}

static void take_line_interrupt(void *opaque)
{
	struct virtio_device *vdev = opaque;
	uint8_t isr = vdev->transport->take_isr(vdev);
	unsigned int i;

	for (i = 0; (isr & VIRTIO_ISR_QUEUE) && i < VIRTIO_QUEUE_MAX; i++)
		if (vdev->queues[i].size)
			vdev->queues[i].interrupts++;
	if (isr & VIRTIO_ISR_CONFIG)
		vdev->config_interrupts++;
	if (!isr)
		vdev->spurious_interrupts++;
}

bool virtio_use_msix(struct virtio_device *vdev)
{
	unsigned int i;

	if (!vdev->has_msix || !irq_has_messages())
		return false;
	pci_msix_enable(vdev->bdf, &vdev->msix, true);
	vdev->config_cpu_vector =
		irq_vector_alloc(count_interrupt, (void *)&vdev->config_interrupts);
	pci_msix_set(&vdev->msix, 0, vdev->config_cpu_vector);
	for (i = 0; i < VIRTIO_QUEUE_MAX && i + 1 < vdev->msix.vector_count; i++) {
		struct virtqueue *vq = &vdev->queues[i];

		vq->msix_entry = (int)i + 1;
		vq->cpu_vector = irq_vector_alloc(count_interrupt, (void *)&vq->interrupts);
		pci_msix_set(&vdev->msix, i + 1, vq->cpu_vector);
	}
	return true;
}

bool virtio_use_line(struct virtio_device *vdev)
{
	if (!vdev->gsi || vdev->gsi == 0xff)
		return false;
	if (vdev->has_msix)
		pci_msix_enable(vdev->bdf, &vdev->msix, false);
	/* one vector for good: a level interrupt still on its way is acknowledged by the vector it
	 * was sent with */
	if (!vdev->line_cpu_vector)
		vdev->line_cpu_vector = irq_vector_alloc(take_line_interrupt, vdev);
	return irq_route_gsi(vdev->gsi, vdev->line_cpu_vector, true) == 0;
}
