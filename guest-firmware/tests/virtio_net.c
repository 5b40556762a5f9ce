/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (VIRTIO 1.2, section 5.1) over a network that answers pings: frames go out and come
 * back with every byte right, in one buffer and over several, one at a time and many, by each pair
 * of queues; commands, and a reset in the middle of it.
 *
 * With the word own on the command line ebb itself moves the frames. Linux's vhost-net before 6.14
 * leaves num_buffers as it was where buffers are not merged (5.1.6.3.2 asks for 1).
 */
#include "command_line.h"
#include "net.h"
#include "platform.h"
#include "report.h"
#include "string.h"

#define F(name) FEATURE(VIRTIO_NET_F_##name)

#define BASIC         (F(MAC) | F(STATUS))
#define VHOST_WAIT_MS 3000

static struct net net;
static uint16_t number;

static void test_config(void)
{
	uint64_t wanted = option_u64("mac", 0), mac = 0;
	unsigned int i;

	for (i = 0; i < 6; i++)
		mac = mac << 8 | net.mac[i];
	if (wanted)
		CHECK_EQUAL("address as given", mac, wanted);
	else
		CHECK_EQUAL("address of an interface, locally administered", mac >> 40 & 3, 2);
	CHECK_EQUAL("link is up", virtio_config_read16(&net.vdev, 6), VIRTIO_NET_S_LINK_UP);
}

static void test_sizes(const char *name)
{
	static const uint32_t sizes[] = { 0, 1, 18, 56, 57, 243, 1000, 1471, NET_PING_MAX };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT(name, net_ping(&net, 1, ++number, sizes[i]));
	}
	report_section(name);
}

static void test_one_buffer(void)
{
	if (!CHECK("comes up", net_start(&net, BASIC, NET_BUFFER_BYTES)))
		return;
	test_config();
	if (!CHECK("the host answers", net_find_host(&net)))
		return;
	test_sizes("pings of all sizes");
	if (option_present("own"))
		CHECK_EQUAL("one buffer each", net.header.num_buffers, 1);
	CHECK_EQUAL("no offload was asked for", net.header.flags | net.header.gso_type, 0);
}

static void test_merged(void)
{
	if (!CHECK("merging: comes up",
	           net_start(&net, BASIC | F(MRG_RXBUF) | FEATURE(VIRTIO_RING_F_EVENT_IDX), 128)))
		return;
	if (!virtio_has_feature(&net.vdev, VIRTIO_NET_F_MRG_RXBUF)) {
		report_skip("merging", "not offered");
		return;
	}
	CHECK("merging: the host answers", net_find_host(&net));
	test_sizes("merging: pings of all sizes");
	/* 12 and 1514 bytes in parts of 128 */
	CHECK_EQUAL("merging: twelve buffers", net.header.num_buffers, 12);
}

/* Whether the ping that was sent last is answered when one behind it is. */
static bool answered_before_next(void)
{
	uint16_t first = number, answered;
	unsigned int tries;

	CHECK("checksum by the host: another", net_send_ping(&net, 1, ++number, 100, false));
	for (tries = 0; tries < 20; tries++) {
		if (!net_is_pong(&net, net_receive(&net, 500), &answered))
			continue;
		if (answered == first)
			return net_wait_pong(&net, number, 100);
		if (answered == number)
			return false;
	}
	return false;
}

static void test_checksums(void)
{
	if (!net_start(&net, BASIC | F(CSUM) | F(GUEST_CSUM), NET_BUFFER_BYTES) ||
	    !virtio_has_feature(&net.vdev, VIRTIO_NET_F_CSUM)) {
		report_skip("checksum by the host", "not offered");
		return;
	}
	/* Over vhost it is the kernel's answer: that of 6.12 on RISC-V answers no frame. */
	if (!net_find_host_within(&net, option_present("own") ? WAIT_MAX_MS : VHOST_WAIT_MS) &&
	    !option_present("own")) {
		report_skip("checksum by the host", "this kernel's vhost answers nothing");
		return;
	}
	CHECK("checksum by the host: sent", net_send_ping(&net, 1, ++number, 100, true));
	if (option_present("own") ? net_wait_pong(&net, number, 100) : answered_before_next())
		report_pass("checksum by the host: answered");
	else if (option_present("own"))
		report_fail("checksum by the host: answered", "no answer");
	else
		report_skip("checksum by the host: answered", "not by this kernel's vhost");
}

/* All are sent before the first answer is taken. */
static void test_many(void)
{
	uint32_t seen = 0;
	uint16_t first = (uint16_t)(number + 1), answered;
	unsigned int i;

	if (!net_start(&net, BASIC | F(MRG_RXBUF), NET_BUFFER_BYTES) || !net_find_host(&net))
		return;
	for (i = 0; i < 24; i++)
		EXPECT("many at once", net_send_ping(&net, 1, ++number, 200 + i, false));
	for (i = 0; i < 48 && seen != 0xffffff; i++)
		if (net_is_pong(&net, net_receive(&net, 500), &answered) &&
		    (uint16_t)(answered - first) < 24)
			seen |= 1u << (uint16_t)(answered - first);
	EXPECT_EQUAL("many at once", seen, 0xffffff);
	report_section("many at once");
}

static void test_commands(void)
{
	static const uint8_t promiscuous[] = { VIRTIO_NET_CTRL_RX, 0, 1 };
	static const uint8_t table[2 + 4 + 6 + 4] = { VIRTIO_NET_CTRL_MAC, 0, 1, 0, 0, 0, 2 };
	static const uint8_t address[] = { VIRTIO_NET_CTRL_MAC, 1, 2, 0, 0, 0, 0, 9 };
	uint8_t mac[6];
	unsigned int i;

	if (!net_start(&net, BASIC | F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_MAC_ADDR),
	               NET_BUFFER_BYTES) ||
	    !net.control) {
		report_skip("commands", "no control queue");
		return;
	}
	CHECK_EQUAL("commands: promiscuous", net_command(&net, promiscuous, 3), VIRTIO_NET_OK);
	CHECK_EQUAL("commands: table of addresses", net_command(&net, table, sizeof(table)),
	            VIRTIO_NET_OK);
	CHECK_EQUAL("commands: address", net_command(&net, address, sizeof(address)),
	            VIRTIO_NET_OK);
	for (i = 0; i < 6; i++)
		mac[i] = virtio_config_read8(&net.vdev, i);
	CHECK("commands: address is in the config space", !memcmp(mac, address + 2, 6));
	memcpy(net.mac, mac, 6);
	CHECK("commands: the host answers to it", net_find_host(&net));
	CHECK("commands: ping", net_ping(&net, 1, ++number, 300));
}

/* The host sends by the pair of queues that a flow came from, in time; so receive from any. */
static void test_pairs(void)
{
	uint8_t pairs[] = { VIRTIO_NET_CTRL_MQ, 0, 0, 0 };

	if (!net_start(&net, BASIC | F(CTRL_VQ) | F(MQ) | F(MRG_RXBUF), NET_BUFFER_BYTES) ||
	    net.pairs_max < 2) {
		report_skip("pairs of queues", "one is all there is");
		return;
	}
	CHECK("pairs: the host answers", net_find_host(&net));
	pairs[2] = (uint8_t)net.pairs_max;
	CHECK_EQUAL("pairs: all", net_command(&net, pairs, 4), VIRTIO_NET_OK);
	EXPECT("pairs: sent by each", net_send_ping(&net, 1, ++number, 64, false));
	EXPECT("pairs: sent by each", net_send_ping(&net, 3, ++number, 64, false));
	report_section("pairs: sent by each");
	pairs[2] = 1;
	CHECK_EQUAL("pairs: one again", net_command(&net, pairs, 4), VIRTIO_NET_OK);
	while (net_receive(&net, 20))
		;
	CHECK("pairs: ping by the one", net_find_host(&net) && net_ping(&net, 1, ++number, 64));
}

static void test_resets(void)
{
	unsigned int i, k;

	for (i = 0; i < 10; i++) {
		EXPECT("reset with frames under way",
		       net_start(&net, BASIC | F(MRG_RXBUF), NET_BUFFER_BYTES));
		for (k = 0; k < 4; k++)
			EXPECT("reset with frames under way",
			       net_send_ping(&net, 1, ++number, 1000, false));
		EXPECT("reset with frames under way", virtio_reset(&net.vdev));
	}
	report_section("reset with frames under way");
	CHECK("works after that", net_start(&net, BASIC, NET_BUFFER_BYTES) && net_find_host(&net) &&
	                                  net_ping(&net, 1, ++number, 1000));
}

void test_main(void)
{
	if (!virtio_find(VIRTIO_ID_NET, 0, &net.vdev)) {
		report_skip("virtio-net", "no such device");
		return;
	}
	test_one_buffer();
	if (report_failed())
		return; /* nobody is there who would answer */
	test_merged();
	test_checksums();
	test_many();
	test_commands();
	test_pairs();
	test_resets();
}
