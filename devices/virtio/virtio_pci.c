/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over PCI, modern devices only (VIRTIO 1.2, 4.1).
 *
 * DOC: virtio-pci
 *
 * BAR 0 holds the four structures, a page each:
 *
 *	0x0000 common configuration	4.1.4.3
 *	0x1000 ISR status		4.1.4.5
 *	0x2000 device configuration	4.1.4.6
 *	0x3000 notifications		4.1.4.4: queue n at 4 * n
 *
 * BAR 1 is MSI-X, a vector for each queue and one for configuration changes; it is left out where
 * the host has no MSI. A fifth capability
 * (4.1.4.9) is a window from configuration space onto BAR 0.
 *
 * A write to common configuration of any width, at any place, is laid over the registers as they
 * read, and each register that it touches then takes its new value: one path for bytes, words and
 * the halves of 64-bit addresses alike.
 *
 * A queue's ioeventfd takes writes of any width, which lets KVM find it without decoding the
 * instruction; it follows the BAR.
 *
 * Locks: the device lock guards selectors and where the BAR is; interrupt_lock, above the PCI
 * function's, guards ISR and vectors and holds no other.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bytes.h"
#include "ebb/pci.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define VIRTIO_VENDOR_ID      0x1af4 /* 4.1.2 */
#define VIRTIO_DEVICE_ID_BASE 0x1040
#define VIRTIO_SUBSYSTEM_ID   0x40 /* 4.1.2.1: at least this, so that no legacy driver takes it */

#define BAR_REGISTERS     0
#define BAR_MSIX          1
#define REGION_BYTES      0x1000
#define COMMON_OFFSET     0x0000
#define ISR_OFFSET        0x1000
#define DEVICE_OFFSET     0x2000
#define NOTIFY_OFFSET     0x3000
#define NOTIFY_MULTIPLIER 4
#define BAR_BYTES         0x4000

#define ISR_QUEUE  1
#define ISR_CONFIG 2

struct virtio_pci {
	struct virtio_transport transport;
	struct pci_function function;
	unsigned int window; /* offset of the configuration access capability */
	/* Under the device lock: */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	gpa_t bar_gpa;
	bool bar_mapped;
	pthread_mutex_t interrupt_lock;
	/* Under interrupt_lock: */
	uint8_t isr;
	uint16_t config_vector, queue_vectors[VIRTIO_QUEUES_MAX];
};

static struct virtio_pci *from_transport(struct virtio_transport *transport)
{
	return container_of(transport, struct virtio_pci, transport);
}

static struct virtio_pci *from_function(struct pci_function *function)
{
	return container_of(function, struct virtio_pci, function);
}

/* --- interrupts --- */

/* MSI-X if the guest turned it on (4.1.5.3: then the ISR is not used), else INTx. */
static void notify(struct virtio_pci *pci, const uint16_t *vector, uint8_t isr_bit)
{
	pthread_mutex_lock(&pci->interrupt_lock);
	if (!pci_msix_trigger(&pci->function, *vector)) {
		pci->isr |= isr_bit;
		pci_set_intx(&pci->function, true);
	}
	pthread_mutex_unlock(&pci->interrupt_lock);
}

static void notify_used(struct virtio_transport *transport, unsigned int queue_index)
{
	struct virtio_pci *pci = from_transport(transport);

	notify(pci, &pci->queue_vectors[queue_index], ISR_QUEUE);
}

static void notify_config(struct virtio_transport *transport)
{
	struct virtio_pci *pci = from_transport(transport);

	notify(pci, &pci->config_vector, ISR_CONFIG);
}

static int interrupt_fd(struct virtio_transport *transport, unsigned int queue_index)
{
	struct virtio_pci *pci = from_transport(transport);
	int fd;

	pthread_mutex_lock(&pci->interrupt_lock);
	fd = pci_msix_fd(&pci->function, pci->queue_vectors[queue_index]);
	pthread_mutex_unlock(&pci->interrupt_lock);
	return fd;
}

/* Reading takes all bits and lowers the line (4.1.4.5.1). */
static uint8_t take_isr(struct virtio_pci *pci)
{
	uint8_t isr;

	pthread_mutex_lock(&pci->interrupt_lock);
	isr = pci->isr;
	pci->isr = 0;
	pci_set_intx(&pci->function, false);
	pthread_mutex_unlock(&pci->interrupt_lock);
	return isr;
}

static uint16_t get_vector(struct virtio_pci *pci, const uint16_t *vector)
{
	uint16_t value;

	pthread_mutex_lock(&pci->interrupt_lock);
	value = *vector;
	pthread_mutex_unlock(&pci->interrupt_lock);
	return value;
}

/* 4.1.5.1.2.1: what cannot be mapped reads back as NO_VECTOR. */
static void set_vector(struct virtio_pci *pci, uint16_t *vector, uint64_t value)
{
	bool valid = value <= pci->transport.vdev->info->queue_count;

	pthread_mutex_lock(&pci->interrupt_lock);
	*vector = valid ? (uint16_t)value : VIRTIO_MSI_NO_VECTOR;
	pthread_mutex_unlock(&pci->interrupt_lock);
}

/* --- common configuration --- */

/* The vector register of the selected queue; NULL: there is no such queue. */
static uint16_t *queue_vector(struct virtio_pci *pci, unsigned int queue_index)
{
	return queue_index < pci->transport.vdev->info->queue_count
	               ? &pci->queue_vectors[queue_index]
	               : NULL;
}

struct selectors {
	uint32_t device_feature, driver_feature;
	uint16_t queue;
};

static struct selectors get_selectors(struct virtio_pci *pci)
{
	struct selectors selectors;

	pthread_mutex_lock(&pci->transport.vdev->lock);
	selectors.device_feature = pci->device_feature_select;
	selectors.driver_feature = pci->driver_feature_select;
	selectors.queue = pci->queue_select;
	pthread_mutex_unlock(&pci->transport.vdev->lock);
	return selectors;
}

/* All registers as they read now. */
static void common_image(struct virtio_pci *pci, uint8_t *image)
{
	struct virtio_device *vdev = pci->transport.vdev;
	struct selectors select = get_selectors(pci);
	uint16_t *vector = queue_vector(pci, select.queue);
	struct virtqueue_config queue;

	memset(image, 0, sizeof(struct virtio_pci_common_cfg));
	store_le32(image + VIRTIO_PCI_COMMON_DFSELECT, select.device_feature);
	store_le32(image + VIRTIO_PCI_COMMON_DF,
	           virtio_offered_features(vdev, select.device_feature));
	store_le32(image + VIRTIO_PCI_COMMON_GFSELECT, select.driver_feature);
	store_le32(image + VIRTIO_PCI_COMMON_GF,
	           virtio_driver_features(vdev, select.driver_feature));
	store_le16(image + VIRTIO_PCI_COMMON_MSIX, get_vector(pci, &pci->config_vector));
	store_le16(image + VIRTIO_PCI_COMMON_NUMQ, vdev->info->queue_count);
	image[VIRTIO_PCI_COMMON_STATUS] = virtio_status(vdev);
	image[VIRTIO_PCI_COMMON_CFGGENERATION] = (uint8_t)virtio_config_generation(vdev);
	store_le16(image + VIRTIO_PCI_COMMON_Q_SELECT, select.queue);
	store_le16(image + VIRTIO_PCI_COMMON_Q_MSIX,
	           vector ? get_vector(pci, vector) : VIRTIO_MSI_NO_VECTOR);
	if (!virtio_queue_config(vdev, select.queue, &queue))
		return; /* 4.1.4.3.1: size 0, there is no such queue */
	store_le16(image + VIRTIO_PCI_COMMON_Q_SIZE, queue.size);
	store_le16(image + VIRTIO_PCI_COMMON_Q_ENABLE, virtio_queue_is_ready(vdev, select.queue));
	store_le16(image + VIRTIO_PCI_COMMON_Q_NOFF, select.queue);
	store_le64(image + VIRTIO_PCI_COMMON_Q_DESCLO, queue.descriptor_gpa);
	store_le64(image + VIRTIO_PCI_COMMON_Q_AVAILLO, queue.driver_gpa);
	store_le64(image + VIRTIO_PCI_COMMON_Q_USEDLO, queue.device_gpa);
}

static void select_by(struct virtio_pci *pci, unsigned int offset, uint64_t value)
{
	pthread_mutex_lock(&pci->transport.vdev->lock);
	if (offset == VIRTIO_PCI_COMMON_DFSELECT)
		pci->device_feature_select = (uint32_t)value;
	else if (offset == VIRTIO_PCI_COMMON_GFSELECT)
		pci->driver_feature_select = (uint32_t)value;
	else
		pci->queue_select = (uint16_t)value;
	pthread_mutex_unlock(&pci->transport.vdev->lock);
}

static void write_queue(struct virtio_pci *pci, unsigned int offset, uint64_t value)
{
	struct virtio_device *vdev = pci->transport.vdev;
	unsigned int queue_index = get_selectors(pci).queue;
	struct virtqueue_config queue;

	if (!virtio_queue_config(vdev, queue_index, &queue))
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_MSIX:
		set_vector(pci, queue_vector(pci, queue_index), value);
		virtio_interrupts_moved(vdev);
		return;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1) /* 4.1.4.3.2: a driver never writes 0 */
			virtio_queue_set_ready(vdev, queue_index, true);
		return;
	case VIRTIO_PCI_COMMON_Q_SIZE:
		queue.size = (uint16_t)value;
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		queue.descriptor_gpa = value;
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		queue.driver_gpa = value;
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		queue.device_gpa = value;
		break;
	}
	virtio_queue_set_config(vdev, queue_index, &queue);
}

static void write_device(struct virtio_pci *pci, unsigned int offset, uint64_t value)
{
	struct virtio_device *vdev = pci->transport.vdev;

	if (offset == VIRTIO_PCI_COMMON_GF)
		virtio_set_driver_features(vdev, get_selectors(pci).driver_feature,
		                           (uint32_t)value);
	else if (offset == VIRTIO_PCI_COMMON_MSIX)
		set_vector(pci, &pci->config_vector, value);
	else
		virtio_set_status(vdev, (uint8_t)value);
}

/* Registers that a driver may write, in the order of their offsets. */
static const struct common_register {
	uint8_t offset, size_bytes;
	void (*write)(struct virtio_pci *pci, unsigned int offset, uint64_t value);
} common_registers[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4, select_by },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4, select_by },
	{ VIRTIO_PCI_COMMON_GF, 4, write_device },
	{ VIRTIO_PCI_COMMON_MSIX, 2, write_device },
	{ VIRTIO_PCI_COMMON_STATUS, 1, write_device },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2, select_by },
	{ VIRTIO_PCI_COMMON_Q_SIZE, 2, write_queue },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2, write_queue },
	{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, write_queue },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 8, write_queue },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO, 8, write_queue },
	{ VIRTIO_PCI_COMMON_Q_USEDLO, 8, write_queue },
};

static void common_read(struct virtio_pci *pci, uint64_t offset, void *data,
                        unsigned int size_bytes)
{
	uint8_t image[sizeof(struct virtio_pci_common_cfg)];

	if (!range_contains(0, sizeof(image), offset, size_bytes))
		return;
	common_image(pci, image);
	memcpy(data, image + offset, size_bytes);
}

static void common_write(struct virtio_pci *pci, uint64_t offset, const void *data,
                         unsigned int size_bytes)
{
	uint8_t image[sizeof(struct virtio_pci_common_cfg)];

	if (!range_contains(0, sizeof(image), offset, size_bytes))
		return;
	common_image(pci, image);
	memcpy(image + offset, data, size_bytes);
	for (size_t i = 0; i < ARRAY_SIZE(common_registers); i++) {
		const struct common_register *reg = &common_registers[i];

		if (ranges_overlap(offset, size_bytes, reg->offset, reg->size_bytes))
			reg->write(pci, reg->offset, load_le(image + reg->offset, reg->size_bytes));
	}
}

/* --- the other structures, and BAR 0 --- */

static void isr_read(struct virtio_pci *pci, uint64_t offset, void *data, unsigned int size_bytes)
{
	memset(data, 0, size_bytes);
	if (!offset)
		*(uint8_t *)data = take_isr(pci);
}

static void device_read(struct virtio_pci *pci, uint64_t offset, void *data,
                        unsigned int size_bytes)
{
	virtio_config_read(pci->transport.vdev, offset, data, size_bytes);
}

static void device_write(struct virtio_pci *pci, uint64_t offset, const void *data,
                         unsigned int size_bytes)
{
	virtio_config_write(pci->transport.vdev, offset, data, size_bytes);
}

static void notify_write(struct virtio_pci *pci, uint64_t offset, const void *data,
                         unsigned int size_bytes)
{
	(void)data;
	(void)size_bytes;
	if (offset % NOTIFY_MULTIPLIER == 0)
		virtio_queue_kick(pci->transport.vdev, (unsigned int)(offset / NOTIFY_MULTIPLIER));
}

/* By page of the BAR; NULL: reads as all-ones, ignores writes. */
static const struct region {
	void (*read)(struct virtio_pci *pci, uint64_t offset, void *data, unsigned int size_bytes);
	void (*write)(struct virtio_pci *pci, uint64_t offset, const void *data,
	              unsigned int size_bytes);
} regions[BAR_BYTES / REGION_BYTES] = {
	[COMMON_OFFSET / REGION_BYTES] = { common_read, common_write },
	[ISR_OFFSET / REGION_BYTES] = { isr_read, NULL },
	[DEVICE_OFFSET / REGION_BYTES] = { device_read, device_write },
	[NOTIFY_OFFSET / REGION_BYTES] = { NULL, notify_write },
};

static void registers_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	const struct region *region = &regions[offset / REGION_BYTES];

	memset(data, 0xff, size_bytes);
	if (region->read)
		region->read(ctx, offset % REGION_BYTES, data, size_bytes);
}

static void registers_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	const struct region *region = &regions[offset / REGION_BYTES];

	if (region->write)
		region->write(ctx, offset % REGION_BYTES, data, size_bytes);
}

static const struct bus_ops register_ops = { .read = registers_read, .write = registers_write };

static void bar_mapped(struct pci_function *function, unsigned int bar, gpa_t gpa, bool enabled)
{
	struct virtio_pci *pci = from_function(function);

	if (bar != BAR_REGISTERS)
		return;
	pthread_mutex_lock(&pci->transport.vdev->lock);
	pci->bar_gpa = gpa;
	pci->bar_mapped = enabled;
	pthread_mutex_unlock(&pci->transport.vdev->lock);
	virtio_kicks_moved(pci->transport.vdev);
}

static bool kick_address(struct virtio_transport *transport, unsigned int queue_index,
                         struct ioeventfd *ret)
{
	struct virtio_pci *pci = from_transport(transport);

	*ret = (struct ioeventfd){
		.gpa = pci->bar_gpa + NOTIFY_OFFSET + (gpa_t)NOTIFY_MULTIPLIER * queue_index,
	};
	return pci->bar_mapped;
}

/* --- the window in configuration space --- */

/* Whether a configuration access touches the window's data, and what it looks at: an aligned access
 * of 1, 2 or 4 bytes inside BAR 0 (4.1.4.9.2). */
static bool window_target(struct virtio_pci *pci, unsigned int offset, unsigned int size_bytes,
                          uint32_t *ret_offset, uint32_t *ret_length)
{
	unsigned int data_offset = pci->window + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
	struct virtio_pci_cap cap;

	if (!ranges_overlap(offset, size_bytes, data_offset, 4))
		return false;
	pci_config_get(&pci->function, pci->window, &cap, sizeof(cap));
	*ret_offset = load_le32(&cap.offset);
	*ret_length = load_le32(&cap.length);
	return cap.bar == BAR_REGISTERS && is_power_of_two(*ret_length) && *ret_length <= 4 &&
	       *ret_offset % *ret_length == 0 &&
	       range_contains(0, BAR_BYTES, *ret_offset, *ret_length);
}

static void window_read(struct pci_function *function, unsigned int offset, unsigned int size_bytes)
{
	struct virtio_pci *pci = from_function(function);
	uint32_t target, length;
	uint8_t data[4];

	if (!window_target(pci, offset, size_bytes, &target, &length))
		return;
	registers_read(pci, target, data, length);
	pci_config_set(function, pci->window + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data),
	               data, length);
}

static void window_write(struct pci_function *function, unsigned int offset,
                         unsigned int size_bytes)
{
	struct virtio_pci *pci = from_function(function);
	uint32_t target, length;
	uint8_t data[4];

	if (!window_target(pci, offset, size_bytes, &target, &length))
		return;
	pci_config_get(function, pci->window + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data),
	               data, sizeof(data));
	registers_write(pci, target, data, length);
}

static void msix_switched(struct pci_function *function)
{
	virtio_interrupts_moved(from_function(function)->transport.vdev);
}

static const struct pci_function_ops function_ops = {
	.bar_mapped = bar_mapped,
	.msix_switched = msix_switched,
	.config_read = window_read,
	.config_write = window_write,
};

/* --- life --- */

static void reset(struct virtio_transport *transport)
{
	struct virtio_pci *pci = from_transport(transport);

	take_isr(pci);
	set_vector(pci, &pci->config_vector, VIRTIO_MSI_NO_VECTOR);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		set_vector(pci, &pci->queue_vectors[i], VIRTIO_MSI_NO_VECTOR);
	select_by(pci, VIRTIO_PCI_COMMON_DFSELECT, 0);
	select_by(pci, VIRTIO_PCI_COMMON_GFSELECT, 0);
	select_by(pci, VIRTIO_PCI_COMMON_Q_SELECT, 0);
}

static void power_on_reset(struct virtio_transport *transport)
{
	pci_function_reset(&from_transport(transport)->function);
}

static void destroy(struct virtio_transport *transport)
{
	struct virtio_pci *pci = from_transport(transport);

	pci_function_fini(&pci->function);
	pthread_mutex_destroy(&pci->interrupt_lock);
	free(pci);
}

static const struct virtio_transport_ops transport_ops = {
	.notify_used = notify_used,
	.notify_config = notify_config,
	.kick_address = kick_address,
	.interrupt_fd = interrupt_fd,
	.reset = reset,
	.power_on_reset = power_on_reset,
	.destroy = destroy,
};

/* What the guest's tools show; drivers go by the device ID. */
static uint32_t class_code(uint32_t device_id)
{
	switch (device_id) {
	case VIRTIO_ID_NET:
		return 0x020000;
	case VIRTIO_ID_BLOCK:
		return 0x018000;
	case VIRTIO_ID_CONSOLE:
		return 0x078000;
	default:
		return 0xff0000; /* fits no class */
	}
}

/* Appends a structure's capability; extra is what lies behind the common part, where the type has
 * that (4.1.4.4, 4.1.4.9). Returns as pci_add_capability. */
static int add_structure(struct virtio_pci *pci, uint8_t type, uint32_t offset, uint32_t length,
                         uint32_t extra)
{
	static const struct virtio_pci_cfg_cap window_writable = {
		.cap = { .bar = 0xff, .offset = UINT32_MAX, .length = UINT32_MAX },
		.pci_cfg_data = { 0xff, 0xff, 0xff, 0xff },
	};
	struct virtio_pci_notify_cap cap = {
		.cap = { .cap_vndr = PCI_CAP_ID_VNDR, .cfg_type = type, .bar = BAR_REGISTERS },
	};
	bool is_window = type == VIRTIO_PCI_CAP_PCI_CFG;
	bool is_longer = is_window || type == VIRTIO_PCI_CAP_NOTIFY_CFG;

	cap.cap.cap_len = is_longer ? sizeof(cap) : sizeof(cap.cap);
	store_le32(&cap.cap.offset, offset);
	store_le32(&cap.cap.length, length);
	store_le32(&cap.notify_off_multiplier, extra);
	return pci_add_capability(&pci->function, &cap,
	                          is_window ? (const uint8_t *)&window_writable : NULL,
	                          cap.cap.cap_len);
}

static int add_structures(struct virtio_pci *pci)
{
	const struct virtio_device_info *info = pci->transport.vdev->info;
	int ret = add_structure(pci, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_OFFSET,
	                        sizeof(struct virtio_pci_common_cfg), 0);

	if (ret >= 0)
		ret = add_structure(pci, VIRTIO_PCI_CAP_ISR_CFG, ISR_OFFSET, 1, 0);
	if (ret >= 0 && info->config_size_bytes)
		ret = add_structure(pci, VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE_OFFSET,
		                    (uint32_t)info->config_size_bytes, 0);
	if (ret >= 0)
		ret = add_structure(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_OFFSET,
		                    NOTIFY_MULTIPLIER * VIRTIO_QUEUES_MAX, NOTIFY_MULTIPLIER);
	if (ret >= 0)
		ret = add_structure(pci, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0);
	if (ret < 0)
		return ret;
	pci->window = (unsigned int)ret;
	return 0;
}

static int build(struct virtio_pci *pci, struct error *err)
{
	struct virtio_device *vdev = pci->transport.vdev;
	const struct pci_identity identity = {
		.vendor_id = VIRTIO_VENDOR_ID,
		.device_id = (uint16_t)(VIRTIO_DEVICE_ID_BASE + vdev->info->device_id),
		.subsystem_vendor_id = VIRTIO_VENDOR_ID,
		.subsystem_id = VIRTIO_SUBSYSTEM_ID,
		.class_code = class_code(vdev->info->device_id),
		.revision = 1,
	};
	int ret = pci_function_init(&pci->function, vdev->device.vm, &identity, &function_ops, err);

	if (ret)
		return ret;
	ret = add_structures(pci);
	if (ret)
		return error_set_errno(err, ret, "capabilities");
	ret = pci_add_memory_bar(&pci->function, BAR_REGISTERS, BAR_BYTES, &register_ops, pci, err);
	if (ret)
		return ret;
	if (!irq_router_has_msi(vdev->device.vm->irq))
		return 0; /* INTx then, and the ISR status says what for */
	return pci_add_msix(&pci->function, BAR_MSIX, vdev->info->queue_count + 1U, err);
}

int virtio_pci_create(struct virtio_device *vdev, struct virtio_transport **ret_transport,
                      struct error *err)
{
	struct virtio_pci *pci = calloc(1, sizeof(*pci));
	int ret;

	if (!pci)
		return error_set_errno(err, -ENOMEM, "virtio-pci");
	pci->transport.ops = &transport_ops;
	pci->transport.vdev = vdev;
	pthread_mutex_init(&pci->interrupt_lock, NULL);
	ret = build(pci, err);
	if (ret) {
		destroy(&pci->transport);
		return ret;
	}
	reset(&pci->transport);
	*ret_transport = &pci->transport;
	return 0;
}
