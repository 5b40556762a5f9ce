/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device (VIRTIO 1.2, 2 and 3): what a device type supplies, what the core does, what a
 * transport does.
 *
 * A type is constants and four verbs. The core owns status bits, feature negotiation, config space
 * and its generation, queue set-up, the eventfds of notifications, reset. A device cannot tell PCI
 * from MMIO.
 *
 * Threads: each device has a loop (io or reclaim). activate, deactivate and queue_notify run there,
 * never at once; queue_notify with the shared lock of guest memory held. config_write runs on a
 * vCPU's thread under the device lock and must not wait, nor touch guest memory: the lock of struct
 * virtio_device comes behind guest memory's in the lock order.
 */
#ifndef EBB_VIRTIO_H
#define EBB_VIRTIO_H

#include <pthread.h>

#include "ebb/device.h"
#include "ebb/error.h"
#include "ebb/event_loop.h"
#include "ebb/ioeventfd.h"
#include "ebb/types.h"
#include "ebb/virtqueue.h"

#define VIRTIO_QUEUES_MAX       64
#define VIRTIO_CONFIG_MAX_BYTES 256

struct virtio_device;
struct virtio_transport;

struct virtio_device_info {       /* static const, one a type */
	uint32_t device_id;       /* VIRTIO_ID_* */
	uint64_t device_features; /* offered by default; the core adds VERSION_1 and RING_* */
	uint16_t queue_count;
	const uint16_t *queue_size_max; /* a power of two each */
	size_t config_size_bytes;
};

struct virtio_device_ops { /* static const, never patched; all but queue_notify may be NULL */
	/* DRIVER_OK; -errno sets NEEDS_RESET, and no deactivate follows. */
	int (*activate)(struct virtio_device *vdev);
	/* On return no thread touches guest memory for vdev. Queues are still enabled. */
	void (*deactivate)(struct virtio_device *vdev);
	void (*queue_notify)(struct virtio_device *vdev, unsigned int queue_index);
	/* The driver takes one queue of a running device back (MMIO's QueueReady): on return
	 * nothing uses it. On the loop. NULL: queue_notify alone uses queues. */
	void (*queue_stop)(struct virtio_device *vdev, unsigned int queue_index);
	/* offset and size lie in the config space; vdev->config already holds the new bytes. NULL:
	 * writes are ignored. */
	void (*config_write)(struct virtio_device *vdev, size_t offset, size_t size_bytes);
	/* Whether features that were all offered go together (2.2). NULL: any do. Under the device
	 * lock. */
	bool (*features_ok)(const struct virtio_device *vdev, uint64_t driver_features);
};

struct virtio_transport_ops { /* the other side; a device cannot tell which */
	/* Used-buffer notification. Any thread; guest memory's lock may be held. */
	void (*notify_used)(struct virtio_transport *transport, unsigned int queue_index);
	/* Any thread; the device lock may be held. */
	void (*notify_config)(struct virtio_transport *transport);
	/* Where the driver's notification of a queue is written now: all of *ret but fd. False:
	 * nowhere. Under the device lock. */
	bool (*kick_address)(struct virtio_transport *transport, unsigned int queue_index,
	                     struct ioeventfd *ret);
	/* A descriptor, the transport's, that interrupts for a queue by itself; -errno: there is
	 * none. */
	int (*interrupt_fd)(struct virtio_transport *transport, unsigned int queue_index);
	/* The driver reset the device: what the transport keeps of it goes. On the device's loop
	 * if it was started. */
	void (*reset)(struct virtio_transport *transport);
	/* The VM is reset, every vCPU paused: what lies around the device too. May be NULL. */
	void (*power_on_reset)(struct virtio_transport *transport);
	void (*destroy)(struct virtio_transport *transport);
};

struct virtio_transport { /* embedded first in a transport's own struct */
	const struct virtio_transport_ops *ops;
	struct virtio_device *vdev;
};

struct virtio_device { /* embedded first in a device's own struct */
	struct device device;
	const struct virtio_device_info *info;
	const struct virtio_device_ops *ops;
	struct virtio_transport *transport;
	struct event_loop *loop;
	uint64_t offered_features; /* info's, less what options switched off, plus the core's; fixed
	                              after create */
	pthread_mutex_t lock;      /* status, features, config, queue configuration, kicks */
	bool initialised;
	bool active; /* between activate and deactivate; the loop's thread's own */
	/* Under lock: */
	uint64_t
		driver_features; /* guest-controlled; the negotiated ones once FEATURES_OK is set */
	uint8_t status;
	uint8_t config[VIRTIO_CONFIG_MAX_BYTES];
	bool config_changed; /* since the driver last read any of it */
	uint32_t config_generation;
	struct virtqueue *queues[VIRTIO_QUEUES_MAX];
	struct virtqueue_config queue_configs[VIRTIO_QUEUES_MAX];
	bool queue_ready[VIRTIO_QUEUES_MAX]; /* enabled by the driver */
	struct virtio_kick *kicks;           /* one a queue; virtio_kick.c's, as the next two */
	unsigned int queues_lent;
	struct event_work interrupts_moved;
	struct log_ratelimit log_limit;
	struct metric_counter needs_reset_count;
};

/* Where virtio-mmio devices sit; the architecture's, through vm->virtio_mmio. */
struct virtio_mmio_layout {
	gpa_t base_gpa; /* slot n at base_gpa + n * stride_bytes */
	uint64_t stride_bytes;
	unsigned int slot_count;
	const unsigned int *gsis; /* one a slot */
};

/* --- for device types --- */

struct virtio_device_setup {
	const struct virtio_device_info *info;
	const struct virtio_device_ops *ops;
	struct event_loop *loop;
	uint64_t offered_features; /* a subset of info->device_features */
};

/*
 * Fills vdev (zeroed by the caller, who allocated it), creates its queues, and attaches the
 * transport that the VM's configuration asks for. On failure everything here is undone.
 */
EBB_MUST_CHECK int virtio_device_init(struct virtio_device *vdev, struct vm *vm,
                                      const struct device_config *config,
                                      const struct virtio_device_setup *setup, struct error *err);

/* Deactivates, detaches, frees queues; not vdev itself. Half-initialised is fine. */
void virtio_device_fini(struct virtio_device *vdev);

/* Negotiated? On the device's loop, or with its lock held. */
bool virtio_has_feature(const struct virtio_device *vdev, unsigned int feature_bit);

struct virtqueue *virtio_queue(struct virtio_device *vdev, unsigned int queue_index);

/* Publishes pushed entries of a queue and interrupts the driver if it wants that; whether it did.
 * On the device's loop; takes guest memory's shared lock itself. */
bool virtio_queue_flush(struct virtio_device *vdev, unsigned int queue_index);

/* Changes config space (under the lock, generation moved on) and tells the driver. Any thread,
 * without the lock. */
void virtio_config_update(struct virtio_device *vdev, size_t offset, const void *data,
                          size_t size_bytes);

/* The same of what changes by the driver's own request, which is told in its answer. */
void virtio_config_store(struct virtio_device *vdev, size_t offset, const void *data,
                         size_t size_bytes);

/* The driver broke VIRTIO: DEVICE_NEEDS_RESET, a metric, one rate-limited line. Any thread, without
 * the lock. */
void virtio_device_broken(struct virtio_device *vdev, const char *format, ...) EBB_PRINTF(2, 3);

/*
 * Lends a queue's two eventfds, for vhost: kick (the driver notifies) and call (interrupts the
 * driver), owned by the core. queue_notify stays silent while the queue's ring is lent too
 * (virtqueue_lend), and giving them back ends with one notification for what came meanwhile. On the
 * device's loop, between activate and deactivate. -ENOTCONN: the driver did not enable the queue;
 * -errno of eventfd and epoll.
 */
struct virtio_queue_borrower {
	/* The driver moved the queue's interrupt: call_fd is another from now on, and the one
	 * before may be closed once this returns. On the device's loop. */
	void (*call_moved)(void *ctx, unsigned int queue_index, int call_fd);
	void *ctx;
};
EBB_MUST_CHECK int virtio_queue_take_eventfds(struct virtio_device *vdev, unsigned int queue_index,
                                              const struct virtio_queue_borrower *borrower,
                                              int *ret_kick_fd, int *ret_call_fd,
                                              struct error *err);
void virtio_queue_return_eventfds(struct virtio_device *vdev, unsigned int queue_index);

/* struct device's reset, set by virtio_device_init; one with a reset of its own calls it. Main
 * thread, vCPUs paused. */
void virtio_device_reset(struct device *device);

/* --- for transports (devices/virtio/virtio_pci.c, virtio_mmio.c); on a vCPU's thread, with no lock
 * --- */

uint8_t virtio_status(struct virtio_device *vdev);
/* Judges and applies a write of the status register; 0 resets and returns when the device is quiet.
 */
void virtio_set_status(struct virtio_device *vdev, uint8_t status);
/* Words of 32 bits; behind the second there is nothing. */
uint32_t virtio_offered_features(const struct virtio_device *vdev, uint32_t word_index);
uint32_t virtio_driver_features(struct virtio_device *vdev, uint32_t word_index);
void virtio_set_driver_features(struct virtio_device *vdev, uint32_t word_index, uint32_t bits);
/* What lies outside of the config space reads as all-ones and ignores writes. */
void virtio_config_read(struct virtio_device *vdev, uint64_t offset, void *data, size_t size_bytes);
void virtio_config_write(struct virtio_device *vdev, uint64_t offset, const void *data,
                         size_t size_bytes);
uint32_t virtio_config_generation(struct virtio_device *vdev);

/* A queue's configuration; false, and zeroes, when there is no such queue. Writes are ignored once
 * the queue is ready; a size that cannot be becomes 0 (2.7: a power of two, at most the queue's
 * own). */
bool virtio_queue_config(struct virtio_device *vdev, unsigned int queue_index,
                         struct virtqueue_config *ret_config);
void virtio_queue_set_config(struct virtio_device *vdev, unsigned int queue_index,
                             const struct virtqueue_config *config);
bool virtio_queue_is_ready(struct virtio_device *vdev, unsigned int queue_index);
/* Not ready any more while the device runs: returns when it does not use the queue. */
void virtio_queue_set_ready(struct virtio_device *vdev, unsigned int queue_index, bool ready);

/* A notification that reached the transport's registers, not the ioeventfd. */
void virtio_queue_kick(struct virtio_device *vdev, unsigned int queue_index);

/* kick_address answers differently now. */
void virtio_kicks_moved(struct virtio_device *vdev);

/* interrupt_fd answers differently now. Any thread, without the lock; who borrowed call
 * descriptors is told on the loop. */
void virtio_interrupts_moved(struct virtio_device *vdev);

/* The queue's kick arrived: runs queue_notify. On the device's loop. */
void virtio_queue_kicked(struct virtio_device *vdev, unsigned int queue_index);

/* Constructors of the transports, called by virtio_device_init. */
EBB_MUST_CHECK int virtio_pci_create(struct virtio_device *vdev,
                                     struct virtio_transport **ret_transport, struct error *err);
EBB_MUST_CHECK int virtio_mmio_create(struct virtio_device *vdev,
                                      struct virtio_transport **ret_transport, struct error *err);

#endif
