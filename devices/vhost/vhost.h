/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vhost device of the host's kernel that works on some queues of a virtio device.
 *
 * vhost.c is the one place that knows <linux/vhost.h>. It lends the queues' rings and eventfds
 * (virtqueue.h, virtio.h), keeps the kernel's memory table true by listening to guest memory, and
 * gives everything back in the order that leaves nothing in use.
 *
 * Threads: created and destroyed on main; started and stopped on the device's loop; memory changes
 * on whatever thread makes them.
 */
#ifndef DEVICES_VHOST_H
#define DEVICES_VHOST_H

#include "ebb/error.h"
#include "ebb/metrics.h"
#include "ebb/types.h"
#include "ebb/virtio.h"

#define VHOST_QUEUES_MAX 2 /* of one vhost: a pair of net's, vsock's two for packets */

struct vhost;

struct vhost_setup {
	const char *path; /* "/dev/vhost-net"; a literal */
	struct vm *vm;
	/* Borrowed; not looked at before it is started, so it may be initialised later. */
	struct virtio_device *vdev;
	unsigned int first_queue, queue_count; /* of vdev: what it works on */
	/*
	 * Attaches (attach) or detaches the back end of one of its queues (0 to queue_count - 1)
	 * by an ioctl on an open vhost descriptor (vhost_net_set_backend, vhost_vsock_set_running);
	 * 0 or -errno. Called last of a start and first of a stop, also when guest memory changes
	 * under a ring and around a moment of quiet: any thread, one at a time. Detaching what is
	 * not attached is harmless.
	 */
	int (*set_backend)(void *ctx, int vhost_fd, unsigned int queue, bool attach);
	void *ctx;
	struct metric_counter *error_count; /* the kernel's errors; NULL: nobody counts */
};

/*
 * Opens it and takes ownership; the memory table follows guest memory from here on, and what the
 * kernel has no room for in it is not added to guest memory. Messages name the path and what to do
 * (modprobe, group). -ENOENT, -EACCES, -EPERM, -ENODEV, -ENOTSUP (a kernel too old), -E2BIG (too
 * many regions), -ENOMEM, other -errno of the kernel.
 */
EBB_MUST_CHECK int vhost_create(const struct vhost_setup *setup, struct vhost **ret_vhost,
                                struct error *err);
/* Stops it if its device is there still; NULL is fine. */
void vhost_destroy(struct vhost *vhost);

/* What the kernel can do, VIRTIO_F_* and VHOST_F_*. */
uint64_t vhost_features(const struct vhost *vhost);

/* For the device's own ioctls. Borrowed. */
int vhost_fd(const struct vhost *vhost);

/*
 * Between activate and deactivate: lends the enabled queues to the kernel. features: the
 * negotiated ones; those that are not of vhost_features, or would change what the kernel does to a
 * packet's header, are left out. All or nothing. An error that the kernel meets later (its err
 * eventfd) stops it and makes the device need a reset, with a metric, a line that names the queue,
 * and VM_EVENT_VHOST_ERROR (one a second at most). -EBUSY: a queue has chains out; -errno of the
 * kernel.
 */
EBB_MUST_CHECK int vhost_start(struct vhost *vhost, uint64_t features, struct error *err);

/* On return the kernel touches no guest memory for it, and the queues are the loop's again, where
 * the kernel left off. Not started: does nothing. */
void vhost_stop(struct vhost *vhost);
bool vhost_is_started(const struct vhost *vhost);

/* The same of one queue (0 to queue_count - 1), which its driver takes back; the others go on. */
void vhost_stop_queue(struct vhost *vhost, unsigned int queue);

/* --- for set_backend --- */

/* vhost-net: the queue's frames go to and come from tap_fd; -1: nowhere. */
EBB_MUST_CHECK int vhost_net_set_backend(int vhost_fd, unsigned int queue, int tap_fd);

/* vhost-vsock: all queues at once. */
EBB_MUST_CHECK int vhost_vsock_set_running(int vhost_fd, bool running);
/* -EADDRINUSE: another guest has it; -EINVAL. */
EBB_MUST_CHECK int vhost_vsock_set_guest_cid(int vhost_fd, uint64_t cid);

#endif
