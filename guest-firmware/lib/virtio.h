/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of virtio 1.x: discovery, status, features, queues, interrupts, over PCI or
 * MMIO.
 *
 * A test takes the steps one at a time, so that it can also take them wrongly:
 * virtio_find, virtio_begin, virtio_negotiate, virtio_use_msix or _intx or nothing,
 * virtio_queue_setup, virtio_ready.
 */
#ifndef FIRMWARE_VIRTIO_H
#define FIRMWARE_VIRTIO_H

#include "pci.h"
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_QUEUE_MAX  8
#define VIRTIO_NO_VECTOR  0xffff
#define VIRTIO_ISR_QUEUE  1
#define VIRTIO_ISR_CONFIG 2

#define FEATURE(bit) (1ull << (bit))

/* One buffer of a chain. */
struct virtq_buffer {
	uint64_t gpa;
	uint32_t size_bytes;
	bool device_writes;
};

struct virtqueue {
	struct virtio_device *vdev;
	uint16_t index, size; /* size 0: not set up */
	bool event_index;
	struct vring_desc *descriptors;
	struct vring_avail *available;
	struct vring_used *used;
	uint16_t available_index; /* of the next chain; published by virtq_publish() */
	uint16_t published_index; /* what the device was last told */
	uint16_t used_index;      /* of the next used element we take */
	uint16_t next_descriptor;
	uint64_t notify_gpa; /* PCI */
	volatile unsigned int interrupts;
	int msix_entry, cpu_vector; /* -1: none */
};

struct virtio_transport;

struct virtio_device {
	const struct virtio_transport *transport;
	uint32_t device_id;
	uint64_t device_features, driver_features;
	/* PCI */
	uint16_t bdf;
	bool has_msix;
	struct pci_msix msix;
	uint64_t common_gpa, isr_gpa, notify_gpa;
	uint32_t notify_multiplier, notify_size_bytes;
	/* both */
	uint64_t config_gpa;
	uint32_t config_size_bytes;
	uint32_t gsi;
	int line_cpu_vector; /* 0: none yet */
	volatile unsigned int config_interrupts;
	volatile unsigned int spurious_interrupts;
	int config_cpu_vector;
	/* MMIO */
	uint64_t mmio_gpa;
	struct virtqueue queues[VIRTIO_QUEUE_MAX];
};

struct virtio_transport {
	const char *name;
	uint8_t (*read_status)(struct virtio_device *vdev);
	void (*write_status)(struct virtio_device *vdev, uint8_t status);
	uint64_t (*read_device_features)(struct virtio_device *vdev);
	void (*write_driver_features)(struct virtio_device *vdev, uint64_t features);
	uint16_t (*queue_size_max)(struct virtio_device *vdev,
	                           uint16_t index); /* 0: no such queue */
	/* Programs size and ring addresses of the queue and enables it. */
	void (*queue_enable)(struct virtqueue *vq);
	void (*notify)(struct virtqueue *vq);
	/* Reads, and thereby or then acknowledges, the interrupt status. */
	uint8_t (*take_isr)(struct virtio_device *vdev);
	uint32_t (*read_generation)(struct virtio_device *vdev);
};

extern const struct virtio_transport virtio_pci_transport, virtio_mmio_transport;

/* Any virtio device, by a running index over both transports; false behind the last. */
bool virtio_enumerate(unsigned int index, struct virtio_device *ret_vdev);
/* The index-th device of one type. Every call starts from fresh: nothing is shared with an earlier
 * struct. */
bool virtio_find(uint32_t device_id, unsigned int index, struct virtio_device *ret_vdev);
bool virtio_pci_open(unsigned int index, struct virtio_device *ret_vdev);
bool virtio_mmio_open(unsigned int index, struct virtio_device *ret_vdev);

const char *virtio_device_name(uint32_t device_id);

/* Writes 0 to the status and waits until it reads 0; false after a second. */
bool virtio_reset(struct virtio_device *vdev);
/* Reset, ACKNOWLEDGE, DRIVER; reads the device's features. */
bool virtio_begin(struct virtio_device *vdev);
/* Accepts wanted & offered, sets FEATURES_OK; false when the device took it back. VERSION_1 is
 * added. */
bool virtio_negotiate(struct virtio_device *vdev, uint64_t wanted);
/* The same without any help: exactly these bits. */
bool virtio_negotiate_exactly(struct virtio_device *vdev, uint64_t features);
bool virtio_has_feature(const struct virtio_device *vdev, unsigned int bit);
/* Sets up a queue of min(size, the device's maximum) entries; size 0: the maximum. NULL when there
 * is no such queue. */
struct virtqueue *virtio_queue_setup(struct virtio_device *vdev, uint16_t index, uint16_t size);
void virtio_ready(struct virtio_device *vdev);
/* virtio_begin, virtio_negotiate; sets up the first queue_count queues; virtio_ready. Polling, no
 * interrupts. */
bool virtio_start(struct virtio_device *vdev, uint64_t wanted, uint16_t queue_count);

uint8_t virtio_config_read8(struct virtio_device *vdev, unsigned int offset);
uint16_t virtio_config_read16(struct virtio_device *vdev, unsigned int offset);
uint32_t virtio_config_read32(struct virtio_device *vdev, unsigned int offset);
void virtio_config_write32(struct virtio_device *vdev, unsigned int offset, uint32_t value);

/*
 * One MSI-X vector for configuration changes (entry 0) and one a queue, in order; call before
 * virtio_queue_setup. Later interrupts count in vq->interrupts and vdev->config_interrupts. False
 * where the device has no MSI-X or the machine takes no messages.
 */
bool virtio_use_msix(struct virtio_device *vdev);
/* The line interrupt instead: the handler takes the ISR and counts for every queue that is set up.
 */
bool virtio_use_line(struct virtio_device *vdev);

/* Queues a chain; returns its head, or -1 when the ring has no room. Not visible before
 * virtq_publish(). */
int virtq_add(struct virtqueue *vq, const struct virtq_buffer *buffers, unsigned int count);
/* The same as one indirect descriptor; table has room for count entries. */
int virtq_add_indirect(struct virtqueue *vq, struct vring_desc *table,
                       const struct virtq_buffer *buffers, unsigned int count);
/* Makes any head available, whatever its descriptors hold. */
void virtq_add_head(struct virtqueue *vq, uint16_t head);
/* Tells the device about what was added; notifies it unless it asked not to be. Returns whether it
 * was notified. */
bool virtq_publish(struct virtqueue *vq);
void virtq_notify(struct virtqueue *vq);
bool virtq_take_used(struct virtqueue *vq, uint32_t *ret_head, uint32_t *ret_size_bytes);
/* Polls for a used element; false after timeout_ms. Either result may be NULL. */
bool virtq_wait_used(struct virtqueue *vq, uint32_t *ret_head, uint32_t *ret_size_bytes,
                     unsigned int timeout_ms);
/* One chain: add, publish, wait; false, too, when the device asks for a reset. */
bool virtq_transfer(struct virtqueue *vq, const struct virtq_buffer *buffers, unsigned int count,
                    uint32_t *ret_size_bytes);

/* The driver's event index: ask for an interrupt when the device uses this element. */
void virtq_set_used_event(struct virtqueue *vq, uint16_t index);
uint16_t virtq_available_event(const struct virtqueue *vq);
void virtq_want_interrupts(struct virtqueue *vq, bool wanted);

/* Puts an empty ring of this size into memory and points vq at it. */
void virtq_init(struct virtqueue *vq, struct virtio_device *vdev, uint16_t index, uint16_t size);

#endif
