/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-net that takes notes. */
#include "fake_net_vhost.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "../../../devices/virtio/virtio_net_vhost.h"

struct net_vhost {
	struct net_vhost_setup setup;
};

struct fake_net_vhost fake_net_vhost;

void fake_net_vhost_clear(void)
{
	memset(&fake_net_vhost, 0, sizeof(fake_net_vhost));
	fake_net_vhost.create_result = -ENOENT;
	fake_net_vhost.features = UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF;
}

int net_vhost_create(const struct net_vhost_setup *setup, struct net_vhost **ret_vhost,
                     struct error *err)
{
	struct net_vhost *vhost;

	if (fake_net_vhost.create_result)
		return error_set(err, fake_net_vhost.create_result, "/dev/vhost-net is not there");
	vhost = calloc(1, sizeof(*vhost));
	if (!vhost)
		return error_set_errno(err, -ENOMEM, "vhost");
	vhost->setup = *setup;
	fake_net_vhost.open_count++;
	*ret_vhost = vhost;
	return 0;
}

void net_vhost_destroy(struct net_vhost *vhost)
{
	if (vhost)
		fake_net_vhost.open_count--;
	free(vhost);
}

uint64_t net_vhost_features(const struct net_vhost *vhost)
{
	(void)vhost;
	return fake_net_vhost.features;
}

int net_vhost_start(struct net_vhost *vhost, unsigned int pairs, struct error *err)
{
	(void)vhost;
	if (fake_net_vhost.start_result)
		return error_set(err, fake_net_vhost.start_result, "it does not start");
	fake_net_vhost.starts++;
	fake_net_vhost.pairs = pairs;
	return 0;
}

int net_vhost_set_pairs(struct net_vhost *vhost, unsigned int pairs, struct error *err)
{
	(void)vhost;
	if (fake_net_vhost.set_pairs_result)
		return error_set(err, fake_net_vhost.set_pairs_result, "not so many");
	fake_net_vhost.pairs = pairs;
	return 0;
}

void net_vhost_stop(struct net_vhost *vhost)
{
	(void)vhost;
	fake_net_vhost.stops += fake_net_vhost.pairs != 0;
	fake_net_vhost.pairs = 0;
}

void net_vhost_stop_queue(struct net_vhost *vhost, unsigned int queue_index)
{
	(void)vhost;
	fake_net_vhost.stopped_queues |= 1U << queue_index;
}
