/* SPDX-License-Identifier: Apache-2.0 */
/* A polling driver of virtio-net, and a ping. */
#include "net.h"

#include "memory.h"
#include "platform.h"
#include "string.h"

#define ETHERNET_BYTES 14
#define IP_BYTES       20
#define ICMP_BYTES     8
#define ICMP_OFFSET    (ETHERNET_BYTES + IP_BYTES)
#define DATA_OFFSET    (ICMP_OFFSET + ICMP_BYTES)
#define ARP_BYTES      28
#define FRAME_MAX      65536
#define ARP_EVERY_MS   100
#define PONG_WAIT_MS   2000

static const uint8_t our_ip[4] = { 10, 77, 0, 2 }, host_ip[4] = { 10, 77, 0, 1 };

static void put16(uint8_t *to, unsigned int value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static uint16_t get16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static uint16_t checksum(const uint8_t *bytes, uint32_t size_bytes)
{
	uint32_t sum = 0, i;

	for (i = 0; i + 1 < size_bytes; i += 2)
		sum += get16(bytes + i);
	if (size_bytes & 1)
		sum += (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* --- queues --- */

bool net_needs_reset(struct net *net)
{
	return net->vdev.transport->read_status(&net->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void post(struct net *net, unsigned int buffer)
{
	struct virtq_buffer room = { (uintptr_t)net->buffers + buffer * NET_BUFFER_BYTES,
		                     net->receive_bytes, true };
	int head = virtq_add(&net->vdev.queues[0], &room, 1);

	if (head >= 0)
		net->buffer_of_head[head] = (uint8_t)buffer;
}

bool net_start(struct net *net, uint64_t features, uint32_t receive_bytes)
{
	struct virtio_device *vdev = &net->vdev;
	uint16_t queue_count, i;

	if (!net->buffers) {
		net->buffers = memory_alloc(NET_BUFFERS * NET_BUFFER_BYTES, PAGE_SIZE);
		net->send_buffer = memory_alloc(FRAME_MAX, PAGE_SIZE);
		net->frame = memory_alloc(FRAME_MAX, PAGE_SIZE);
	}
	net->receive_bytes = receive_bytes;
	net->control = NULL;
	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, features))
		return false;
	net->pairs_max = 1;
	if (virtio_has_feature(vdev, VIRTIO_NET_F_MQ))
		net->pairs_max = virtio_config_read16(vdev, 8);
	queue_count =
		(uint16_t)(2 * net->pairs_max + virtio_has_feature(vdev, VIRTIO_NET_F_CTRL_VQ));
	if (queue_count > VIRTIO_QUEUE_MAX)
		return false;
	for (i = 0; i < queue_count; i++)
		if (!virtio_queue_setup(vdev, i, NET_RING_SIZE))
			return false;
	if (virtio_has_feature(vdev, VIRTIO_NET_F_CTRL_VQ))
		net->control = &vdev->queues[queue_count - 1];
	for (i = 0; i < sizeof(net->mac); i++)
		net->mac[i] = virtio_config_read8(vdev, i);
	virtio_ready(vdev);
	for (i = 0; i < NET_BUFFERS; i++)
		post(net, i);
	virtq_publish(&vdev->queues[0]);
	return !net_needs_reset(net);
}

bool net_send(struct net *net, uint16_t queue, const struct virtio_net_hdr_v1 *header,
              const void *frame, uint32_t size_bytes)
{
	struct virtq_buffer buffers[] = {
		{ (uintptr_t)net->send_buffer, NET_HEADER_BYTES, false },
		{ (uintptr_t)net->send_buffer + NET_HEADER_BYTES, size_bytes, false },
	};

	memset(net->send_buffer, 0, NET_HEADER_BYTES);
	if (header)
		memcpy(net->send_buffer, header, NET_HEADER_BYTES);
	memcpy(net->send_buffer + NET_HEADER_BYTES, frame, size_bytes);
	return virtq_transfer(&net->vdev.queues[queue], buffers, 2, NULL);
}

/* The rest of a frame that has so many buffers; false: one did not come. */
static bool gather(struct net *net, uint32_t head, uint32_t used_bytes, uint32_t *ret_bytes)
{
	const uint8_t *from = net->buffers + net->buffer_of_head[head] * NET_BUFFER_BYTES;
	uint32_t size_bytes = used_bytes - NET_HEADER_BYTES;
	unsigned int i;

	memcpy(&net->header, from, NET_HEADER_BYTES);
	memcpy(net->frame, from + NET_HEADER_BYTES, size_bytes);
	post(net, net->buffer_of_head[head]);
	for (i = 1; i < net->header.num_buffers; i++) {
		if (!virtq_wait_used(&net->vdev.queues[0], &head, &used_bytes, PONG_WAIT_MS) ||
		    size_bytes + used_bytes > FRAME_MAX)
			return false;
		memcpy(net->frame + size_bytes,
		       net->buffers + net->buffer_of_head[head] * NET_BUFFER_BYTES, used_bytes);
		size_bytes += used_bytes;
		post(net, net->buffer_of_head[head]);
	}
	*ret_bytes = size_bytes;
	return true;
}

/* --- ARP --- */

static uint32_t arp_frame(struct net *net, uint8_t *frame, unsigned int operation,
                          const uint8_t *to_mac)
{
	static const uint8_t arp_start[] = { 0, 1, 8, 0, 6, 4 };
	uint8_t *arp = frame + ETHERNET_BYTES;

	memset(frame, 0, ETHERNET_BYTES + ARP_BYTES);
	memset(frame, 0xff, 6);
	if (to_mac)
		memcpy(frame, to_mac, 6);
	memcpy(frame + 6, net->mac, 6);
	put16(frame + 12, 0x0806);
	memcpy(arp, arp_start, sizeof(arp_start));
	put16(arp + 6, operation);
	memcpy(arp + 8, net->mac, 6);
	memcpy(arp + 14, our_ip, 4);
	if (to_mac)
		memcpy(arp + 18, to_mac, 6);
	memcpy(arp + 24, host_ip, 4);
	return ETHERNET_BYTES + ARP_BYTES;
}

/* 0: not ARP for us. 1: a question, 2: an answer. */
static unsigned int arp_kind(const uint8_t *frame, uint32_t size_bytes)
{
	const uint8_t *arp = frame + ETHERNET_BYTES;

	if (size_bytes < ETHERNET_BYTES + ARP_BYTES || get16(frame + 12) != 0x0806 ||
	    memcmp(arp + 24, our_ip, 4) || memcmp(arp + 14, host_ip, 4))
		return 0;
	return get16(arp + 6);
}

uint32_t net_receive(struct net *net, unsigned int timeout_ms)
{
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * 1000000;
	uint32_t head, used_bytes, size_bytes;
	uint8_t answer[ETHERNET_BYTES + ARP_BYTES];

	do {
		if (!virtq_take_used(&net->vdev.queues[0], &head, &used_bytes)) {
			cpu_relax();
			continue;
		}
		if (head >= NET_RING_SIZE || used_bytes < NET_HEADER_BYTES ||
		    !gather(net, head, used_bytes, &size_bytes))
			return 0;
		virtq_publish(&net->vdev.queues[0]);
		if (arp_kind(net->frame, size_bytes) != 1)
			return size_bytes;
		net_send(net, 1, NULL, answer, arp_frame(net, answer, 2, net->frame + 6));
	} while (clock_ns() < end);
	return 0;
}

bool net_find_host_within(struct net *net, unsigned int timeout_ms)
{
	uint64_t end = clock_ns() + timeout_ms * 1000000ull;
	uint8_t question[ETHERNET_BYTES + ARP_BYTES];

	while (clock_ns() < end) {
		uint64_t again = clock_ns() + ARP_EVERY_MS * 1000000ull;
		uint32_t size_bytes;

		if (!net_send(net, 1, NULL, question, arp_frame(net, question, 1, NULL)))
			return false;
		do {
			size_bytes = net_receive(net, ARP_EVERY_MS);
			if (arp_kind(net->frame, size_bytes) == 2) {
				memcpy(net->host_mac, net->frame + 6, 6);
				return true;
			}
		} while (clock_ns() < again);
	}
	return false;
}

bool net_find_host(struct net *net)
{
	return net_find_host_within(net, WAIT_MAX_MS);
}

/* --- ping --- */

static uint8_t data_byte(uint16_t number, uint32_t index)
{
	return (uint8_t)(number * 31 + index * 7 + (index >> 8));
}

bool net_send_ping(struct net *net, uint16_t queue, uint16_t number, uint32_t data_bytes,
                   bool needs_csum)
{
	static uint8_t frame[DATA_OFFSET + NET_PING_MAX];
	struct virtio_net_hdr_v1 header = { 0 };
	uint8_t *ip = frame + ETHERNET_BYTES, *icmp = frame + ICMP_OFFSET;
	uint32_t i;

	memset(frame, 0, DATA_OFFSET);
	memcpy(frame, net->host_mac, 6);
	memcpy(frame + 6, net->mac, 6);
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, IP_BYTES + ICMP_BYTES + data_bytes);
	ip[8] = 64;
	ip[9] = 1; /* ICMP */
	memcpy(ip + 12, our_ip, 4);
	memcpy(ip + 16, host_ip, 4);
	put16(ip + 10, checksum(ip, IP_BYTES));
	icmp[0] = 8; /* echo */
	put16(icmp + 4, 0xebb);
	put16(icmp + 6, number);
	for (i = 0; i < data_bytes; i++)
		frame[DATA_OFFSET + i] = data_byte(number, i);
	if (needs_csum) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = ICMP_OFFSET;
		header.csum_offset = 2;
	} else {
		put16(icmp + 2, checksum(icmp, ICMP_BYTES + data_bytes));
	}
	return net_send(net, queue, &header, frame, DATA_OFFSET + data_bytes);
}

bool net_is_pong(struct net *net, uint32_t size_bytes, uint16_t *ret_number)
{
	const uint8_t *ip = net->frame + ETHERNET_BYTES, *icmp = net->frame + ICMP_OFFSET;
	uint32_t ip_bytes, i;

	if (size_bytes < DATA_OFFSET || get16(net->frame + 12) != 0x0800 || ip[9] != 1 ||
	    memcmp(ip + 12, host_ip, 4) || icmp[0] != 0 || get16(icmp + 4) != 0xebb)
		return false;
	ip_bytes = get16(ip + 2);
	if (ip_bytes < IP_BYTES + ICMP_BYTES || ETHERNET_BYTES + ip_bytes > size_bytes ||
	    checksum(icmp, ip_bytes - IP_BYTES))
		return false;
	*ret_number = get16(icmp + 6);
	for (i = 0; i < ip_bytes - IP_BYTES - ICMP_BYTES; i++)
		if (net->frame[DATA_OFFSET + i] != data_byte(*ret_number, i))
			return false;
	return true;
}

bool net_wait_pong(struct net *net, uint16_t number, uint32_t data_bytes)
{
	uint64_t end = clock_ns() + PONG_WAIT_MS * 1000000ull;
	uint16_t answered;

	while (clock_ns() < end) {
		uint32_t size_bytes = net_receive(net, PONG_WAIT_MS);

		if (net_is_pong(net, size_bytes, &answered) && answered == number)
			return size_bytes >= DATA_OFFSET + data_bytes;
	}
	return false;
}

bool net_ping(struct net *net, uint16_t queue, uint16_t number, uint32_t data_bytes)
{
	return net_send_ping(net, queue, number, data_bytes, false) &&
	       net_wait_pong(net, number, data_bytes);
}

uint8_t net_command(struct net *net, const void *bytes, uint32_t size_bytes)
{
	uint8_t *answer = net->send_buffer + PAGE_SIZE;
	struct virtq_buffer buffers[] = {
		{ (uintptr_t)net->send_buffer, size_bytes < 2 ? size_bytes : 2, false },
		{ (uintptr_t)net->send_buffer + 2, size_bytes < 2 ? 0 : size_bytes - 2, false },
		{ (uintptr_t)answer, 1, true },
	};
	uint32_t used_bytes = 0;

	*answer = 0xff;
	memcpy(net->send_buffer, bytes, size_bytes);
	if (!virtq_transfer(net->control, buffers, 3, &used_bytes) || used_bytes != 1)
		return 0xff;
	return *(volatile uint8_t *)answer;
}
