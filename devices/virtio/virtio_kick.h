/* SPDX-License-Identifier: Apache-2.0 */
/* The eventfds behind queue notifications, between virtio.c and virtio_kick.c. */
#ifndef EBB_VIRTIO_KICK_H
#define EBB_VIRTIO_KICK_H

#include "ebb/virtio.h"

/* One a queue, none of them open. -ENOMEM. */
EBB_MUST_CHECK int virtio_kicks_create(struct virtio_device *vdev);
void virtio_kicks_destroy(struct virtio_device *vdev); /* stopped, or never created */

/* Opens and watches an eventfd for each ready queue. On the device's loop. -errno: those
 * before stay open until they are stopped. */
EBB_MUST_CHECK int virtio_kicks_start(struct virtio_device *vdev);
void virtio_kicks_stop(struct virtio_device *vdev);

#endif
