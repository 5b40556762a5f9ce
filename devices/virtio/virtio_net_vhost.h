/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net's queues in the hands of vhost-net: a vhost a pair of queues, on the descriptors of a
 * back end. The device stays virtio_net.c's; of the control queue this knows nothing.
 *
 * Threads: as vhost.h: created and destroyed on main, all else on the device's loop.
 */
#ifndef VIRTIO_NET_VHOST_H
#define VIRTIO_NET_VHOST_H

#include "ebb/error.h"
#include "ebb/metrics.h"
#include "ebb/types.h"
#include "ebb/virtio.h"

struct net_backend;
struct net_vhost;

struct net_vhost_setup {
	struct vm *vm;
	struct virtio_device *vdev;  /* may be initialised later; pair n is queues 2n and 2n + 1 */
	struct net_backend *backend; /* with vhost_fd for each pair; outlives it */
	unsigned int pair_count;     /* 1 to NET_QUEUE_PAIRS_MAX */
	struct metric_counter *error_count; /* NULL: nobody counts */
};

/* Opens /dev/vhost-net once a pair. -ENOTSUP: the back end has no descriptor for it; else as
 * vhost_create. */
EBB_MUST_CHECK int net_vhost_create(const struct net_vhost_setup *setup,
                                    struct net_vhost **ret_vhost, struct error *err);
/* After virtio_device_fini, before the back end; NULL is fine. */
void net_vhost_destroy(struct net_vhost *vhost);

/* Of VIRTIO_NET_F_*, what the kernel has to do itself and can (MRG_RXBUF). Offloads pass through:
 * they are the back end's. */
uint64_t net_vhost_features(const struct net_vhost *vhost);

/*
 * From activate on: lends the first pairs of queues, those of them that the driver enabled, with
 * what was negotiated; the back end has got its offloads and set_queue_pairs before. All or
 * nothing; as vhost_start.
 */
EBB_MUST_CHECK int net_vhost_start(struct net_vhost *vhost, unsigned int pairs, struct error *err);

/* The driver uses so many pairs now: starts or stops the difference. On an error as many as before
 * run. More: after set_queue_pairs of the back end; fewer: before it. */
EBB_MUST_CHECK int net_vhost_set_pairs(struct net_vhost *vhost, unsigned int pairs,
                                       struct error *err);

/* deactivate. Not started: does nothing. */
void net_vhost_stop(struct net_vhost *vhost);

/* queue_stop of struct virtio_device_ops; queues that are not its own are ignored. */
void net_vhost_stop_queue(struct net_vhost *vhost, unsigned int queue_index);

#endif
