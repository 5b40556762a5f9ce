/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net's queues in the hands of vhost-net.
 *
 * A vhost-net descriptor works on two queues, so each pair has one of its own, and with it a worker
 * of the kernel's: pairs run side by side. The back end's descriptor of the pair is what a queue is
 * attached to. Pairs that the driver does not use stay with no vhost at work; frames of theirs are
 * the back end's to steer elsewhere (net_backend_ops.set_queue_pairs).
 *
 * What a packet carries (checksums, segmentation) passes between guest and TAP without vhost; it
 * spreads received frames over several buffers itself (MRG_RXBUF).
 */
#include "virtio_net_vhost.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>

#include "../net/net_backend.h"
#include "../vhost/vhost.h"

#define VHOST_NET_PATH   "/dev/vhost-net"
#define QUEUES_OF_A_PAIR 2
#define OWN_FEATURES     (UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)

struct net_vhost_pair {
	struct net_vhost *net;
	unsigned int index;
	struct vhost *vhost;
};

struct net_vhost {
	struct net_vhost_setup setup;
	unsigned int started; /* pairs */
	struct net_vhost_pair pairs[NET_QUEUE_PAIRS_MAX];
};

static int set_backend(void *ctx, int vhost_fd, unsigned int queue, bool attach)
{
	const struct net_vhost_pair *pair = ctx;
	struct net_backend *backend = pair->net->setup.backend;
	int tap_fd = -1;

	if (attach) {
		tap_fd = backend->ops->vhost_fd(backend, pair->index);
		if (tap_fd < 0)
			return tap_fd;
	}
	return vhost_net_set_backend(vhost_fd, queue, tap_fd);
}

static int open_pair(struct net_vhost_pair *pair, struct error *err)
{
	const struct net_vhost_setup *net = &pair->net->setup;
	const struct vhost_setup setup = {
		.path = VHOST_NET_PATH,
		.vm = net->vm,
		.vdev = net->vdev,
		.first_queue = QUEUES_OF_A_PAIR * pair->index,
		.queue_count = QUEUES_OF_A_PAIR,
		.set_backend = set_backend,
		.ctx = pair,
		.error_count = net->error_count,
	};

	if (net->backend->ops->vhost_fd(net->backend, pair->index) < 0)
		return error_set(err, -ENOTSUP, "%s: vhost cannot be used with it",
		                 net->backend->name);
	return vhost_create(&setup, &pair->vhost, err);
}

int net_vhost_create(const struct net_vhost_setup *setup, struct net_vhost **ret_vhost,
                     struct error *err)
{
	struct net_vhost *vhost = calloc(1, sizeof(*vhost));
	int result = 0;

	assert(setup->pair_count && setup->pair_count <= NET_QUEUE_PAIRS_MAX);
	if (!vhost)
		return error_set_errno(err, -ENOMEM, VHOST_NET_PATH);
	vhost->setup = *setup;
	for (unsigned int i = 0; i < setup->pair_count && !result; i++) {
		vhost->pairs[i].net = vhost;
		vhost->pairs[i].index = i;
		result = open_pair(&vhost->pairs[i], err);
	}
	if (result < 0) {
		net_vhost_destroy(vhost);
		return result;
	}
	*ret_vhost = vhost;
	return 0;
}

void net_vhost_destroy(struct net_vhost *vhost)
{
	if (!vhost)
		return;
	for (unsigned int i = 0; i < vhost->setup.pair_count; i++)
		vhost_destroy(vhost->pairs[i].vhost);
	free(vhost);
}

uint64_t net_vhost_features(const struct net_vhost *vhost)
{
	uint64_t features = OWN_FEATURES;

	for (unsigned int i = 0; i < vhost->setup.pair_count; i++)
		features &= vhost_features(vhost->pairs[i].vhost);
	return features;
}

static void stop_down_to(struct net_vhost *vhost, unsigned int pairs)
{
	while (vhost->started > pairs)
		vhost_stop(vhost->pairs[--vhost->started].vhost);
}

int net_vhost_set_pairs(struct net_vhost *vhost, unsigned int pairs, struct error *err)
{
	const unsigned int before = vhost->started;

	assert(pairs <= vhost->setup.pair_count);
	stop_down_to(vhost, pairs);
	while (vhost->started < pairs) {
		int result = vhost_start(vhost->pairs[vhost->started].vhost,
		                         vhost->setup.vdev->driver_features, err);

		if (result < 0) {
			stop_down_to(vhost, before);
			return result;
		}
		vhost->started++;
	}
	return 0;
}

int net_vhost_start(struct net_vhost *vhost, unsigned int pairs, struct error *err)
{
	assert(!vhost->started);
	return net_vhost_set_pairs(vhost, pairs, err);
}

void net_vhost_stop(struct net_vhost *vhost)
{
	stop_down_to(vhost, 0);
}

void net_vhost_stop_queue(struct net_vhost *vhost, unsigned int queue_index)
{
	if (queue_index / QUEUES_OF_A_PAIR < vhost->setup.pair_count)
		vhost_stop_queue(vhost->pairs[queue_index / QUEUES_OF_A_PAIR].vhost,
		                 queue_index % QUEUES_OF_A_PAIR);
}
