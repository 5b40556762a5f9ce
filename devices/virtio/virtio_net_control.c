/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net's control queue (VIRTIO 1.2, 5.1.6.5).
 *
 *	notify -> work: pop, copy -> parse -> allowed? -> apply -> answer, push
 *
 * DOC: the answer to a command that is malformed, unknown, not negotiated or not possible is
 * VIRTIO_NET_ERR; a chain without a byte for the answer goes back with nothing. Applying one may
 * start and stop vhost, which listens to changes of guest memory: so commands are carried out in
 * work of the loop, without guest memory's lock, and the place of the answer is found anew behind
 * that.
 *
 * Receive modes and MAC tables are accepted and change nothing: what reaches a TAP or passt's
 * socket reaches the guest. That is more than the driver asked for, as 5.1.6.5.1 and 5.1.6.5.2
 * allow (a filter may be imperfect, or silently promiscuous). An address that the driver sets shows
 * in config space until a reset.
 *
 * Bounds: a command of up to 4 KiB, which is a table of 680 addresses; 64 commands a turn.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "ebb/bytes.h"
#include "virtio_net_private.h"

#define TURN_COMMANDS 64

/* --- parse --- */

/* A table of addresses at the front of *bytes, which moves behind it. False: it is cut off. */
static bool parse_table(const uint8_t **bytes, size_t *size_bytes, unsigned int *ret_count)
{
	uint32_t count;

	if (*size_bytes < sizeof(count))
		return false;
	count = load_le32(*bytes);
	*bytes += sizeof(count);
	*size_bytes -= sizeof(count);
	if (count > *size_bytes / MAC_BYTES)
		return false;
	*bytes += (size_t)count * MAC_BYTES;
	*size_bytes -= (size_t)count * MAC_BYTES;
	*ret_count = count;
	return true;
}

static void parse_mac_table(const uint8_t *data, size_t size_bytes, struct net_command *command)
{
	if (parse_table(&data, &size_bytes, &command->unicast_count) &&
	    parse_table(&data, &size_bytes, &command->multicast_count) && !size_bytes)
		command->kind = NET_COMMAND_MAC_TABLE;
}

static void parse_mac_address(const uint8_t *data, size_t size_bytes, struct net_command *command)
{
	if (size_bytes != MAC_BYTES)
		return;
	memcpy(command->mac, data, MAC_BYTES);
	command->kind = NET_COMMAND_MAC_ADDRESS;
}

static void parse_rx_mode(const uint8_t *data, size_t size_bytes, struct net_command *command)
{
	if (size_bytes == 1 && data[0] <= 1)
		command->kind = NET_COMMAND_RX_MODE;
}

static void parse_announce_ack(const uint8_t *data, size_t size_bytes, struct net_command *command)
{
	(void)data;
	if (!size_bytes)
		command->kind = NET_COMMAND_ANNOUNCE_ACK;
}

static void parse_pairs(const uint8_t *data, size_t size_bytes, struct net_command *command)
{
	if (size_bytes != sizeof(uint16_t))
		return;
	command->pairs = load_le16(data);
	command->kind = NET_COMMAND_PAIRS;
}

static void parse_offloads(const uint8_t *data, size_t size_bytes, struct net_command *command)
{
	if (size_bytes != sizeof(uint64_t))
		return;
	command->offloads = load_le64(data);
	command->kind = NET_COMMAND_OFFLOADS;
}

struct command_shape {
	uint8_t class, command;
	/* Sets kind, and what goes with it, if the data is right. */
	void (*parse)(const uint8_t *data, size_t size_bytes, struct net_command *command_read);
};

static const struct command_shape shapes[] = {
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, parse_rx_mode },
	{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, parse_rx_mode },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, parse_mac_table },
	{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, parse_mac_address },
	{ VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, parse_announce_ack },
	{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, parse_pairs },
	{ VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, parse_offloads },
};

struct net_command net_control_parse(const uint8_t *bytes, size_t size_bytes)
{
	const size_t header_bytes = sizeof(struct virtio_net_ctrl_hdr);
	struct net_command command = { .kind = NET_COMMAND_MALFORMED };

	if (size_bytes < header_bytes || size_bytes > NET_COMMAND_BYTES_MAX)
		return command;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
		if (bytes[0] == shapes[i].class && bytes[1] == shapes[i].command)
			shapes[i].parse(bytes + header_bytes, size_bytes - header_bytes, &command);
	return command;
}

/* --- decide --- */

static bool is_one_address(const uint8_t mac[MAC_BYTES])
{
	static const uint8_t zeroes[MAC_BYTES];

	return !(mac[0] & 1) && memcmp(mac, zeroes, MAC_BYTES) != 0;
}

bool net_control_allowed(const struct net_command *command, const struct net_control_state *state)
{
	static const unsigned int needs[] = {
		[NET_COMMAND_RX_MODE] = VIRTIO_NET_F_CTRL_RX,
		[NET_COMMAND_MAC_TABLE] = VIRTIO_NET_F_CTRL_RX,
		[NET_COMMAND_MAC_ADDRESS] = VIRTIO_NET_F_CTRL_MAC_ADDR,
		[NET_COMMAND_ANNOUNCE_ACK] = VIRTIO_NET_F_GUEST_ANNOUNCE,
		[NET_COMMAND_PAIRS] = VIRTIO_NET_F_MQ,
		[NET_COMMAND_OFFLOADS] = VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
	};

	if (command->kind == NET_COMMAND_MALFORMED ||
	    !(state->features & NET_FEATURE(needs[command->kind])))
		return false;
	switch (command->kind) {
	case NET_COMMAND_MAC_ADDRESS:
		return is_one_address(command->mac);
	case NET_COMMAND_PAIRS:
		return command->pairs >= VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN &&
		       command->pairs <= state->pairs_max;
	case NET_COMMAND_OFFLOADS: /* "MUST NOT enable one that was not negotiated" */
		return !(command->offloads & ~(state->features & NET_GUEST_OFFLOADS)) &&
		       net_consistent_features(command->offloads) == command->offloads;
	default:
		return true;
	}
}

/* --- apply --- */

/* 0, or -errno of the host. */
static int apply(struct virtio_net *net, const struct net_command *command)
{
	switch (command->kind) {
	case NET_COMMAND_MAC_ADDRESS:
		virtio_config_store(&net->vdev, offsetof(struct virtio_net_config, mac),
		                    command->mac, MAC_BYTES);
		return 0;
	case NET_COMMAND_ANNOUNCE_ACK:
		net_set_status(net, net->status & (uint16_t)~VIRTIO_NET_S_ANNOUNCE, false);
		return 0;
	case NET_COMMAND_PAIRS:
		return net_set_pairs(net, command->pairs);
	case NET_COMMAND_OFFLOADS:
		return net_set_offloads(net, command->offloads);
	default:
		return 0;
	}
}

static uint8_t carry_out(struct virtio_net *net, const struct net_command *command)
{
	const struct net_control_state state = {
		.features = net->vdev.driver_features,
		.pairs_max = net->backend->queue_pairs,
	};

	net_count(net, NET_CONTROL_COMMANDS, 1);
	if (net_control_allowed(command, &state) && !apply(net, command))
		return VIRTIO_NET_OK;
	net_count(net, NET_CONTROL_REFUSED, 1);
	return VIRTIO_NET_ERR;
}

/* --- the queue --- */

/* Its number while the device runs. */
static unsigned int control_queue(const struct virtio_net *net)
{
	return virtio_has_feature(&net->vdev, VIRTIO_NET_F_MQ) ? 2 * net->backend->queue_pairs : 2;
}

static int take_command(struct virtio_net *net, struct virtqueue *vq, struct virtq_chain *chain,
                        struct net_command *ret_command)
{
	struct guest_memory *memory = net->vdev.device.vm->memory;
	uint8_t bytes[NET_COMMAND_BYTES_MAX];
	size_t size_bytes;
	int got;

	gmem_lock_shared(memory);
	got = virtqueue_pop(vq, chain);
	if (got > 0) {
		/* One byte too many is as malformed as many. */
		size_bytes = virtq_chain_readable_bytes(chain);
		if (virtq_chain_read(chain, bytes, min_u64(size_bytes, sizeof(bytes))))
			size_bytes = 0;
		*ret_command = net_control_parse(bytes, size_bytes);
	}
	gmem_unlock_shared(memory);
	return got;
}

static void answer(struct virtio_net *net, struct virtqueue *vq, struct virtq_chain *chain,
                   uint8_t ack)
{
	struct guest_memory *memory = net->vdev.device.vm->memory;

	gmem_lock_shared(memory);
	/* Without a place for it, or with one that went, the chain goes back with no bytes. */
	if (!virtq_chain_locate(chain) && virtq_chain_writable_bytes(chain))
		(void)!virtq_chain_write(chain, &ack, sizeof(ack));
	virtqueue_push(vq, chain);
	gmem_unlock_shared(memory);
}

void net_control_work(void *ctx)
{
	struct virtio_net *net = ctx;
	const unsigned int queue_index = control_queue(net);
	struct virtqueue *vq = virtio_queue(&net->vdev, queue_index);
	struct net_command command;
	struct virtq_chain chain;
	int got = 1;

	if (virtio_status(&net->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	for (unsigned int i = 0; i < TURN_COMMANDS; i++) {
		got = take_command(net, vq, &chain, &command);
		if (got <= 0)
			break;
		answer(net, vq, &chain, carry_out(net, &command));
	}
	net_flush(net, queue_index);
	if (got < 0)
		virtio_device_broken(&net->vdev, "control queue is not a valid ring");
	else if (got > 0)
		event_work_post(&net->control);
}

void net_control_notify(struct virtio_net *net)
{
	event_work_post(&net->control);
}
