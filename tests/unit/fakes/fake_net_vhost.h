/* SPDX-License-Identifier: Apache-2.0 */
/* vhost-net that does nothing but take notes (`fakes: fake_net_vhost`): stands in for
 * virtio_net_vhost.c. */
#ifndef FAKE_NET_VHOST_H
#define FAKE_NET_VHOST_H

#include "ebb/types.h"

struct fake_net_vhost {
	int create_result; /* -errno: there is no /dev/vhost-net; at first -ENOENT */
	int start_result, set_pairs_result;
	uint64_t features;
	unsigned int open_count, starts, stops, pairs; /* pairs that run now */
	unsigned int stopped_queues;                   /* a bit each */
};

extern struct fake_net_vhost fake_net_vhost;

void fake_net_vhost_clear(void);

#endif
