/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's side of a virtio device, without a guest: a transport that counts notifications, and
 * a driver that writes rings into guest memory as Linux would, or as it should not.
 */
#ifndef FAKE_VIRTIO_DRIVER_H
#define FAKE_VIRTIO_DRIVER_H

#include "ebb/virtio.h"
#include "ebb/vm.h"

#define FAKE_DRIVER_QUEUES_MAX 8
#define FAKE_DRIVER_RING_BYTES (16 * KIB) /* of each queue */

struct fake_driver {
	struct virtio_device *vdev;
	struct vm *vm;
	gpa_t rings_gpa; /* queue n's rings at n * FAKE_DRIVER_RING_BYTES from here */
	struct fake_driver_queue {
		uint16_t size, next_descriptor, avail_index, used_index;
	} queues[FAKE_DRIVER_QUEUES_MAX];
	void (*before_hostile_kick)(void); /* gives the device a reason to look; may be NULL */
};

struct fake_driver_buffer {
	gpa_t gpa;
	uint32_t size_bytes;
	bool writable;
};

/* Seen by the transport of the device made last. */
struct fake_transport {
	_Atomic unsigned int used_notifications[FAKE_DRIVER_QUEUES_MAX];
	_Atomic unsigned int config_notifications, resets, destroyed;
	int fail_create;                                  /* -errno for the next device */
	int interrupt_fd;                                 /* what it lends; 0: nothing */
	void (*during_reset)(struct virtio_device *vdev); /* may be NULL */
};

extern struct fake_transport fake_transport;

void fake_transport_clear(void);

/* What most devices need of a VM: RAM from 0 on and an io loop. The transport is cleared. */
void fake_driver_vm_create(struct vm *vm, const struct vm_config *config, uint64_t ram_bytes);
void fake_driver_vm_destroy(struct vm *vm);

/* rings_gpa: 4 KiB aligned, FAKE_DRIVER_QUEUES_MAX * FAKE_DRIVER_RING_BYTES of RAM. */
void fake_driver_init(struct fake_driver *driver, struct vm *vm, struct device *device,
                      gpa_t rings_gpa);

/* Negotiates (features and VERSION_1), sets up queue_count queues of queue_size, DRIVER_OK. Whether
 * the device took it. */
bool fake_driver_start(struct fake_driver *driver, uint64_t features, unsigned int queue_count,
                       uint16_t queue_size);
void fake_driver_reset(struct fake_driver *driver); /* status 0 */

/* The same in three steps, for a queue that is set up in another way. */
bool fake_driver_negotiate(struct fake_driver *driver, uint64_t features);
void fake_driver_set_queue(struct fake_driver *driver, unsigned int queue_index,
                           const struct virtqueue_config *config);
bool fake_driver_go(struct fake_driver *driver);

/* Makes a chain available; returns its head. Descriptors are taken in a circle. */
uint16_t fake_driver_add(struct fake_driver *driver, unsigned int queue_index,
                         const struct fake_driver_buffer *buffers, unsigned int count);

/* Notifies, and waits until the device's loop is through with it and what it posted to itself. */
void fake_driver_kick(struct fake_driver *driver, unsigned int queue_index);
void fake_driver_settle(struct fake_driver *driver);

/* Takes the next used entry; false: there is none. */
bool fake_driver_take_used(struct fake_driver *driver, unsigned int queue_index, uint32_t *ret_head,
                           uint32_t *ret_size_bytes);

/* Runs the table of hostile chains on one queue; returns how many the device got wrong. The other
 * queues stay empty. outside_gpa: the first byte behind RAM; scratch_gpa: 16-byte aligned. */
unsigned int fake_driver_run_hostile_chains(struct fake_driver *driver, uint64_t features,
                                            unsigned int queue_index, gpa_t scratch_gpa,
                                            gpa_t outside_gpa);

/* Where the parts of a queue lie, for drivers that misbehave. */
gpa_t fake_driver_descriptors(const struct fake_driver *driver, unsigned int queue_index);
gpa_t fake_driver_avail(const struct fake_driver *driver, unsigned int queue_index);
gpa_t fake_driver_used(const struct fake_driver *driver, unsigned int queue_index);

#endif
