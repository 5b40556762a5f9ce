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
#include "ebb/types.h"
#include "ebb/virtio.h"

struct vhost;

struct vhost_setup {
	const char *path; /* "/dev/vhost-net" */
	struct virtio_device *vdev;
	unsigned int first_queue, queue_count; /* of vdev: what it works on */
	/*
	 * Attaches (attach) or detaches the back end of one of its queues (0 to queue_count - 1),
	 * on an open vhost descriptor; 0 or -errno. NULL: it has none of its own. vhost calls it
	 * last of a start and first of a stop.
	 */
	int (*set_backend)(void *ctx, int vhost_fd, unsigned int queue, bool attach);
	void *ctx;
};

/* Opens it and takes ownership; the memory table follows guest memory from here on. Messages name
 * the path and what to do (modprobe, group, vhost=off). -ENOENT, -EACCES, -EPERM, -ENODEV, -ENOMEM.
 */
EBB_MUST_CHECK int vhost_create(const struct vhost_setup *setup, struct vhost **ret_vhost,
                                struct error *err);
void vhost_destroy(struct vhost *vhost); /* stops it; NULL is fine */

/* What the kernel can do, VIRTIO_F_* and VHOST_F_*. */
uint64_t vhost_features(const struct vhost *vhost);

/* For the device's own ioctls. Borrowed. */
int vhost_fd(const struct vhost *vhost);

/*
 * Between activate and deactivate: lends the enabled queues to the kernel. features: of
 * vhost_features. All or nothing. An error that the kernel meets later (its err eventfd) makes the
 * device need a reset, with a metric and a line that names the queue.
 */
EBB_MUST_CHECK int vhost_start(struct vhost *vhost, uint64_t features, struct error *err);

/* On return the kernel touches no guest memory for it, and the queues are the loop's again, where
 * the kernel left off. Not started: does nothing. */
void vhost_stop(struct vhost *vhost);
bool vhost_is_started(const struct vhost *vhost);

#endif
