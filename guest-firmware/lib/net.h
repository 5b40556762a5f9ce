/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver of virtio-net (VIRTIO 1.2, section 5.1) that polls, and as much of IPv4 as a ping needs:
 * we are 10.77.0.2, the host's end of the network is 10.77.0.1.
 */
#ifndef FIRMWARE_NET_H
#define FIRMWARE_NET_H

#include "virtio.h"
#include <linux/virtio_net.h>

#define NET_HEADER_BYTES 12
#define NET_RING_SIZE    64
#define NET_BUFFERS      32
#define NET_BUFFER_BYTES 2048 /* each has its place of this size, and uses as much as asked */
#define NET_PING_MAX     1472 /* of data: a packet of 1500 bytes */

struct net {
	struct virtio_device vdev;
	uint8_t mac[6], host_mac[6];
	uint16_t pairs_max;              /* 1 without MQ */
	struct virtqueue *control;       /* NULL: not negotiated */
	uint32_t receive_bytes;          /* of each buffer */
	uint8_t *buffers, *send_buffer;  /* allocated once */
	uint8_t *frame;                  /* what net_receive copied, without its header */
	struct virtio_net_hdr_v1 header; /* of that frame */
	uint8_t buffer_of_head[NET_RING_SIZE];
};

/* Reset, these features of those offered, queues set up (all pairs with MQ), NET_BUFFERS receive
 * buffers of so many bytes posted to the first. net->vdev is one that was found. */
bool net_start(struct net *net, uint64_t features, uint32_t receive_bytes);

/* The next frame for us, in net->frame; its size, or 0 when none came. ARP is answered here. */
uint32_t net_receive(struct net *net, unsigned int timeout_ms);

/* One frame, by queue (1, 3 ...); false when the device did not use it. header: NULL for zeroes. */
bool net_send(struct net *net, uint16_t queue, const struct virtio_net_hdr_v1 *header,
              const void *frame, uint32_t size_bytes);

/* Asks for the host's MAC address until it answers; false after WAIT_MAX_MS, or after timeout_ms. */
bool net_find_host(struct net *net);
bool net_find_host_within(struct net *net, unsigned int timeout_ms);

/* A ping by queue, and its answer with every byte right. Buffers that the answer took. */
bool net_ping(struct net *net, uint16_t queue, uint16_t number, uint32_t data_bytes);

/* The same in two steps, for several at once. needs_csum: the host has to fill in the checksum. */
bool net_send_ping(struct net *net, uint16_t queue, uint16_t number, uint32_t data_bytes,
                   bool needs_csum);
/* Until that ping's answer is there; other frames may come first, such as a late answer to ARP. */
bool net_wait_pong(struct net *net, uint16_t number, uint32_t data_bytes);
/* Whether net->frame, of so many bytes, is the answer; *ret_number says to which. */
bool net_is_pong(struct net *net, uint32_t size_bytes, uint16_t *ret_number);

/* A command: the answer, or 0xff when none came. */
uint8_t net_command(struct net *net, const void *bytes, uint32_t size_bytes);

bool net_needs_reset(struct net *net);

#endif
