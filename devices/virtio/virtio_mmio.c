/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO, version 2 (VIRTIO 1.2, 4.2).
 *
 * Control registers take aligned accesses of 32 bits, as 4.2.2.2 has drivers do; others read as
 * all-ones and are ignored. The config space at 0x100 takes any. A queue's ioeventfd matches its
 * number written to QueueNotify. One level interrupt, shared by what InterruptStatus tells apart.
 *
 * The architecture says where slots are; a device takes the first free one and publishes what it
 * occupies, for ACPI or FDT.
 *
 * Locks: the device lock guards selectors; interrupt_lock guards InterruptStatus and the line, and
 * holds no other but irq.c's.
 */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/irq.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define MAGIC_VALUE    0x74726976 /* "virt" */
#define VERSION        2
#define VENDOR_ID      0x20626265 /* "ebb " */
#define REGISTER_BYTES 0x200

struct virtio_mmio {
	struct virtio_transport transport;
	gpa_t gpa;
	bool on_bus;
	struct irq_line *line;
	/* Under the device lock: */
	uint32_t device_feature_select, driver_feature_select, queue_select;
	pthread_mutex_t interrupt_lock;
	uint32_t interrupt_status; /* under interrupt_lock, as the line */
};

static struct virtio_mmio *from_transport(struct virtio_transport *transport)
{
	return container_of(transport, struct virtio_mmio, transport);
}

/* 4.2.2.1: a bit stays, and the line is up, until the driver acknowledges it. */
static void change_interrupts(struct virtio_mmio *mmio, uint32_t set, uint32_t clear)
{
	pthread_mutex_lock(&mmio->interrupt_lock);
	mmio->interrupt_status = (mmio->interrupt_status | set) & ~clear;
	irq_line_set(mmio->line, mmio->interrupt_status);
	pthread_mutex_unlock(&mmio->interrupt_lock);
}

static void notify_used(struct virtio_transport *transport, unsigned int queue_index)
{
	(void)queue_index;
	change_interrupts(from_transport(transport), VIRTIO_MMIO_INT_VRING, 0);
}

static void notify_config(struct virtio_transport *transport)
{
	change_interrupts(from_transport(transport), VIRTIO_MMIO_INT_CONFIG, 0);
}

static uint32_t interrupt_status(struct virtio_mmio *mmio)
{
	uint32_t status;

	pthread_mutex_lock(&mmio->interrupt_lock);
	status = mmio->interrupt_status;
	pthread_mutex_unlock(&mmio->interrupt_lock);
	return status;
}

static uint32_t get_select(struct virtio_mmio *mmio, const uint32_t *select)
{
	uint32_t value;

	pthread_mutex_lock(&mmio->transport.vdev->lock);
	value = *select;
	pthread_mutex_unlock(&mmio->transport.vdev->lock);
	return value;
}

static void set_select(struct virtio_mmio *mmio, uint32_t *select, uint32_t value)
{
	pthread_mutex_lock(&mmio->transport.vdev->lock);
	*select = value;
	pthread_mutex_unlock(&mmio->transport.vdev->lock);
}

static uint32_t queue_size_max(struct virtio_device *vdev, unsigned int queue_index)
{
	return queue_index < vdev->info->queue_count ? vdev->info->queue_size_max[queue_index] : 0;
}

static uint32_t read_register(struct virtio_mmio *mmio, uint64_t offset)
{
	struct virtio_device *vdev = mmio->transport.vdev;
	unsigned int queue_index = get_select(mmio, &mmio->queue_select);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC_VALUE;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return vdev->info->device_id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR_ID;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_offered_features(vdev,
		                               get_select(mmio, &mmio->device_feature_select));
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return queue_size_max(vdev, queue_index);
	case VIRTIO_MMIO_QUEUE_READY:
		return virtio_queue_is_ready(vdev, queue_index);
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return interrupt_status(mmio);
	case VIRTIO_MMIO_STATUS:
		return virtio_status(vdev);
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return virtio_config_generation(vdev);
	default: /* write-only, unknown; SHMLen and SHMBase of regions that do not exist (4.2.2) */
		return UINT32_MAX;
	}
}

static void set_half(gpa_t *gpa, bool high, uint32_t value)
{
	*gpa = high ? (*gpa & UINT32_MAX) | (gpa_t)value << 32
	            : (*gpa & ~(gpa_t)UINT32_MAX) | value;
}

static void write_queue(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct virtio_device *vdev = mmio->transport.vdev;
	unsigned int queue_index = get_select(mmio, &mmio->queue_select);
	struct virtqueue_config queue;
	bool high = offset & 4;

	if (!virtio_queue_config(vdev, queue_index, &queue))
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_READY:
		virtio_queue_set_ready(vdev, queue_index, value & 1);
		return;
	case VIRTIO_MMIO_QUEUE_NUM:
		queue.size = value > VIRTQUEUE_SIZE_MAX ? 0 : (uint16_t)value;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&queue.descriptor_gpa, high, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&queue.driver_gpa, high, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&queue.device_gpa, high, value);
		break;
	default:
		return;
	}
	virtio_queue_set_config(vdev, queue_index, &queue);
}

static void write_register(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct virtio_device *vdev = mmio->transport.vdev;

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		set_select(mmio, &mmio->device_feature_select, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		set_select(mmio, &mmio->driver_feature_select, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_set_driver_features(vdev, get_select(mmio, &mmio->driver_feature_select),
		                           value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		set_select(mmio, &mmio->queue_select, value);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_queue_kick(vdev, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		change_interrupts(mmio, 0, value);
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_set_status(vdev, (uint8_t)value);
		break;
	default:
		write_queue(mmio, offset, value);
	}
}

static void mmio_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct virtio_mmio *mmio = ctx;

	memset(data, 0xff, size_bytes);
	if (offset >= VIRTIO_MMIO_CONFIG)
		virtio_config_read(mmio->transport.vdev, offset - VIRTIO_MMIO_CONFIG, data,
		                   size_bytes);
	else if (size_bytes == 4 && is_aligned(offset, 4))
		store_le32(data, read_register(mmio, offset));
}

static void mmio_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct virtio_mmio *mmio = ctx;

	if (offset >= VIRTIO_MMIO_CONFIG)
		virtio_config_write(mmio->transport.vdev, offset - VIRTIO_MMIO_CONFIG, data,
		                    size_bytes);
	else if (size_bytes == 4 && is_aligned(offset, 4))
		write_register(mmio, offset, load_le32(data));
}

static const struct bus_ops mmio_ops = { .read = mmio_read, .write = mmio_write };

static bool kick_address(struct virtio_transport *transport, unsigned int queue_index,
                         struct ioeventfd *ret)
{
	*ret = (struct ioeventfd){
		.gpa = from_transport(transport)->gpa + VIRTIO_MMIO_QUEUE_NOTIFY,
		.size_bytes = 4,
		.match = true,
		.value = queue_index,
	};
	return true;
}

static int interrupt_fd(struct virtio_transport *transport, unsigned int queue_index)
{
	(void)transport;
	(void)queue_index;
	return -ENOTSUP; /* InterruptStatus is ours to set */
}

static void reset(struct virtio_transport *transport)
{
	struct virtio_mmio *mmio = from_transport(transport);

	change_interrupts(mmio, 0, UINT32_MAX);
	set_select(mmio, &mmio->device_feature_select, 0);
	set_select(mmio, &mmio->driver_feature_select, 0);
	set_select(mmio, &mmio->queue_select, 0);
}

static void destroy(struct virtio_transport *transport)
{
	struct virtio_mmio *mmio = from_transport(transport);

	if (mmio->on_bus)
		bus_remove(transport->vdev->device.vm->mmio, mmio->gpa);
	irq_line_destroy(mmio->line);
	pthread_mutex_destroy(&mmio->interrupt_lock);
	free(mmio);
}

static const struct virtio_transport_ops transport_ops = {
	.notify_used = notify_used,
	.notify_config = notify_config,
	.kick_address = kick_address,
	.interrupt_fd = interrupt_fd,
	.reset = reset,
	.destroy = destroy,
};

/* Takes the first free slot; returns its number or -errno. */
static int take_slot(struct virtio_mmio *mmio, struct vm *vm)
{
	const struct virtio_mmio_layout *layout = vm->virtio_mmio;

	for (unsigned int slot = 0; layout && slot < layout->slot_count; slot++) {
		gpa_t gpa = layout->base_gpa + slot * layout->stride_bytes;
		int ret = bus_add(vm->mmio, gpa, REGISTER_BYTES, &mmio_ops, mmio, "virtio-mmio");

		if (ret == -EEXIST)
			continue;
		if (ret)
			return ret;
		mmio->gpa = gpa;
		mmio->on_bus = true;
		return (int)slot;
	}
	return -ENOSPC;
}

static int build(struct virtio_mmio *mmio, struct error *err)
{
	struct device *device = &mmio->transport.vdev->device;
	struct vm *vm = device->vm;
	unsigned int gsi;
	int ret = take_slot(mmio, vm);

	if (ret < 0)
		return error_set_errno(err, ret, "virtio-mmio slot");
	gsi = vm->virtio_mmio->gsis[ret];
	ret = irq_line_create(vm->irq, gsi, &mmio->line);
	if (ret)
		return error_set_errno(err, ret, "interrupt %u", gsi);
	device_add_resource(device, DEVICE_RESOURCE_MMIO, mmio->gpa, REGISTER_BYTES);
	device_add_resource(device, DEVICE_RESOURCE_GSI, gsi, 1);
	device->compatible = "virtio,mmio";
	return 0;
}

int virtio_mmio_create(struct virtio_device *vdev, struct virtio_transport **ret_transport,
                       struct error *err)
{
	struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));
	int ret;

	if (!mmio)
		return error_set_errno(err, -ENOMEM, "virtio-mmio");
	mmio->transport.ops = &transport_ops;
	mmio->transport.vdev = vdev;
	pthread_mutex_init(&mmio->interrupt_lock, NULL);
	ret = build(mmio, err);
	if (ret) {
		destroy(&mmio->transport);
		return ret;
	}
	*ret_transport = &mmio->transport;
	return 0;
}
