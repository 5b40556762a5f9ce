/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver of virtio-net that keeps to nothing (VIRTIO 1.2, sections 2.7, 5.1): rings where there
 * is no memory, buffers of no bytes and of 4 GiB, headers and commands that make no sense, a number
 * of queues that is not there. The device says so or asks for a reset, and pings go on after that.
 *
 * With the word vhost on the command line the host's kernel moves the frames: what is wrong with a
 * receive buffer it learns when a frame comes, and a frame to be sent that it cannot make sense of
 * may stop the queue for good without a word (Linux 6.1: shorter than a header; refused in a
 * batch). What is asked then is that a reset mends it.
 */
#include "command_line.h"
#include "memory.h"
#include "net.h"
#include "platform.h"
#include "report.h"
#include "string.h"

#define F(name) FEATURE(VIRTIO_NET_F_##name)

#define BASIC (F(MAC) | F(STATUS) | F(MRG_RXBUF))
#define CONTROL \
	(F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_MAC_ADDR) | F(CTRL_GUEST_OFFLOADS) | F(GUEST_CSUM))

#define OUTSIDE_GPA 0x7ffffffff000ull
#define HOLE_GPA    0xfd000000ull /* no RAM below 4 GiB is there on any machine we run on */
#define SETTLE_MS   100

static struct net net;
static uint16_t number;

static bool start(uint64_t features)
{
	return net_start(&net, features, NET_BUFFER_BYTES);
}

/* After whatever it was. */
static void check_works(const char *name)
{
	EXPECT(name, virtio_reset(&net.vdev));
	EXPECT(name, start(BASIC) && net_find_host(&net) && net_ping(&net, 1, ++number, 200));
	report_section(name);
}

static bool wait_for_needs_reset(void)
{
	uint64_t end = clock_ns() + SETTLE_MS * 1000000ull;

	while (!net_needs_reset(&net) && clock_ns() < end)
		cpu_relax();
	return net_needs_reset(&net);
}

static uint64_t ram_end(void)
{
	uint64_t end = 0;
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];

		if (entry->type == MEMORY_MAP_RAM && entry->gpa + entry->size_bytes > end)
			end = entry->gpa + entry->size_bytes;
	}
	return end;
}

/* --- rings --- */

/* All queues right but for one area of one queue. */
static bool start_with_area(uint16_t queue, unsigned int area, uint64_t gpa)
{
	struct virtio_device *vdev = &net.vdev;
	uint16_t i;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, BASIC | CONTROL))
		return false;
	for (i = 0; i < 3; i++) {
		struct virtqueue *vq = &vdev->queues[i];

		virtq_init(vq, vdev, i, NET_RING_SIZE);
		if (i == queue && area == 0)
			vq->descriptors = (void *)(uintptr_t)gpa;
		if (i == queue && area == 1)
			vq->available = (void *)(uintptr_t)gpa;
		if (i == queue && area == 2)
			vq->used = (void *)(uintptr_t)gpa;
		vdev->transport->queue_enable(vq);
	}
	virtio_ready(vdev);
	return true;
}

static void test_rings(void)
{
	/* The next to last one begins in memory, and ends behind it. */
	const uint64_t places[] = { OUTSIDE_GPA, HOLE_GPA, ram_end(), ram_end() - 16, 0ull - 4096 };
	uint16_t queue;
	unsigned int area, i;

	for (queue = 0; queue < 3; queue++) {
		for (area = 0; area < 3; area++) {
			for (i = 0; i < ARRAY_SIZE(places); i++) {
				EXPECT("rings outside of memory",
				       start_with_area(queue, area, places[i]));
				EXPECT("rings outside of memory", wait_for_needs_reset());
				virtq_notify(&net.vdev.queues[queue == 0]);
			}
		}
	}
	report_section("rings outside of memory");
	check_works("rings outside of memory: works again");
}

/* Registers of a queue that runs are written: that is ignored, or it asks for a reset. */
static void test_moved_ring(void)
{
	struct virtqueue moved;
	uint16_t queue;

	for (queue = 0; queue < 2; queue++) {
		EXPECT("ring moved while running", start(BASIC) && net_find_host(&net));
		moved = net.vdev.queues[queue];
		moved.descriptors = (void *)(uintptr_t)OUTSIDE_GPA;
		moved.used = (void *)(uintptr_t)HOLE_GPA;
		net.vdev.transport->queue_enable(&moved);
		EXPECT("ring moved while running",
		       net_ping(&net, 1, ++number, 100) || net_needs_reset(&net));
	}
	report_section("ring moved while running");
	check_works("ring moved while running: works again");
}

/* --- buffers --- */

/* One chain; whether the device used it. Others, which frames came to, do not count. */
static bool offer(uint16_t queue, const struct virtq_buffer *buffers, unsigned int count)
{
	struct virtqueue *vq = &net.vdev.queues[queue];
	uint64_t end = clock_ns() + SETTLE_MS * 1000000ull;
	int head = virtq_add(vq, buffers, count);
	uint32_t used_head;

	virtq_publish(vq);
	virtq_notify(vq); /* it may not have asked for that: it has other buffers */
	while (clock_ns() < end) {
		if (virtq_take_used(vq, &used_head, NULL) && used_head == (uint32_t)head)
			return true;
		if (net_needs_reset(&net))
			return false;
		cpu_relax();
	}
	return false;
}

/* The same of what is to be sent: used, or the device asks for a reset; of the host's kernel no
 * more is asked than is said above. */
static bool offer_odd(const struct virtq_buffer *buffers, unsigned int count)
{
	return offer(1, buffers, count) || net_needs_reset(&net) || option_present("vhost");
}

static void test_empty_buffers(void)
{
	const uint64_t gpa = (uintptr_t)net.send_buffer;
	const struct virtq_buffer nothing = { gpa, 0, false }, room = { gpa, 0, true };
	const struct virtq_buffer half[] = { { gpa, 11, false }, { gpa, 0, false } };
	const struct virtq_buffer wrong = { gpa, 100, true }, back = { gpa, 100, false };

	EXPECT("buffers of no bytes", start(BASIC));
	EXPECT("buffers of no bytes", offer_odd(&nothing, 1));
	EXPECT("buffers of no bytes", start(BASIC));
	EXPECT("buffers of no bytes", offer_odd(half, 2));
	EXPECT("buffers of no bytes", start(BASIC));
	EXPECT("buffers of no bytes", offer_odd(&wrong, 1));
	if (!option_present("vhost")) {
		EXPECT("buffers of no bytes", start(BASIC));
		EXPECT("buffers of no bytes", offer(0, &room, 1) || net_needs_reset(&net));
		EXPECT("buffers of no bytes", start(BASIC));
		EXPECT("buffers of no bytes", offer(0, &back, 1) || net_needs_reset(&net));
	}
	report_section("buffers of no bytes");
	check_works("buffers of no bytes: works again");
}

static void test_huge_buffers(void)
{
	const uint64_t gpa = (uintptr_t)net.send_buffer;
	struct virtq_buffer whole = { gpa, 0xffffffff, false };
	struct virtq_buffer halves[] = { { gpa, 0x80000000, false }, { gpa, 0x80000000, false } };
	struct virtq_buffer outside = { OUTSIDE_GPA, 100, false };
	struct virtq_buffer frame = { gpa, 200000, false };
	uint16_t queue;

	for (queue = 0; queue < 2; queue++) {
		const bool later = queue == 0 && option_present("vhost");

		whole.device_writes = outside.device_writes = queue == 0;
		halves[0].device_writes = halves[1].device_writes = queue == 0;
		EXPECT("buffers of 4 GiB", start(BASIC) && !offer(queue, &whole, 1));
		EXPECT("buffers of 4 GiB", later || wait_for_needs_reset());
		EXPECT("buffers of 4 GiB", start(BASIC) && !offer(queue, halves, 2));
		EXPECT("buffers of 4 GiB", later || wait_for_needs_reset());
		EXPECT("buffers of 4 GiB", start(BASIC) && !offer(queue, &outside, 1));
		EXPECT("buffers of 4 GiB", later || wait_for_needs_reset());
	}
	report_section("buffers of 4 GiB");
	/* In memory, but no frame's length. */
	EXPECT("frame of 200000 bytes", start(BASIC));
	EXPECT("frame of 200000 bytes", offer_odd(&frame, 1));
	check_works("frame of 200000 bytes");
}

/* Headers of any bytes in front of frames of any: each frame is used, or the device asks. */
static void test_headers(void)
{
	static const uint32_t sizes[] = { 14, 60, 1514, 0, 1, 13 };
	const unsigned int rounds = option_present("vhost") ? 36 : 150;
	struct virtio_net_hdr_v1 *header = (void *)net.send_buffer;
	struct virtq_buffer frame = { (uintptr_t)header, 0, false };
	uint64_t seed = 88172645463325252ull;
	unsigned int i, k;

	EXPECT("headers that make no sense", start(BASIC | F(CSUM) | F(HOST_TSO4)));
	memset(net.send_buffer, 0x45, NET_HEADER_BYTES + 1514);
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < sizeof(*header); k++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			net.send_buffer[k] = (uint8_t)(seed >> 32);
		}
		if (i & 1)
			header->flags &= 1;
		if (i & 2)
			header->gso_type = (uint8_t)(header->gso_type % 6);
		if (i & 4)
			header->csum_start = (uint16_t)(header->csum_start % 64);
		frame.size_bytes = NET_HEADER_BYTES + sizes[i % ARRAY_SIZE(sizes)];
		if (offer(1, &frame, 1))
			continue;
		EXPECT("headers that make no sense",
		       net_needs_reset(&net) || option_present("vhost"));
		EXPECT("headers that make no sense", start(BASIC | F(CSUM)));
	}
	report_section("headers that make no sense");
	check_works("headers that make no sense: works again");
}

/* --- commands --- */

static void test_commands(void)
{
	static const struct {
		const char *bytes;
		uint32_t size_bytes;
	} commands[] = {
		{ "\0\0", 2 },                          /* nothing to set it to */
		{ "\0\0\1\1", 4 },                      /* too much */
		{ "\0\0\7", 3 },                        /* neither on nor off */
		{ "\0\2\1", 3 },                        /* was not negotiated */
		{ "\1\0", 2 },                          /* no table */
		{ "\1\0\377\377\377\377\0\0\0\0", 10 }, /* a table of 24 GiB */
		{ "\1\0\253\252\252\52\0\0\0\0", 10 },  /* one whose size wraps */
		{ "\1\0\1\0\0\0\2\0\0\0\0\1", 12 },     /* the second table is missing */
		{ "\1\1\2\0\0", 5 },                    /* half an address */
		{ "\1\1\1\0\136\0\0\1", 8 },            /* a group's */
		{ "\1\1\0\0\0\0\0\0", 8 },              /* nobody's */
		{ "\2\0\1\0", 4 },                      /* VLAN */
		{ "\3\0", 2 },                          /* nobody asked */
		{ "\4\0\1\0", 4 },                      /* MQ was not negotiated */
		{ "\5\0\0\0\0\0\0\0\0\200", 10 },       /* no such offload */
		{ "\5\0\200\0\0\0\0\0\0\0", 10 },       /* TSO without what it needs */
		{ "\377\377\377\377", 4 },
	};
	unsigned int i;

	if (!start(BASIC | CONTROL) || !net.control) {
		report_skip("commands", "no control queue");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		EXPECT_EQUAL("commands that are refused",
		             net_command(&net, commands[i].bytes, commands[i].size_bytes),
		             VIRTIO_NET_ERR);
	EXPECT_EQUAL("commands that are refused", net_command(&net, "\0\0\1", 3), VIRTIO_NET_OK);
	EXPECT("commands that are refused", !net_needs_reset(&net));
	report_section("commands that are refused");
}

static void test_command_chains(void)
{
	const uint64_t gpa = (uintptr_t)net.send_buffer;
	const uint16_t control = 2;
	const struct virtq_buffer mute = { gpa, 3, false };
	const struct virtq_buffer no_command = { gpa, 1, true };
	const struct virtq_buffer outside[] = { { gpa, 3, false }, { OUTSIDE_GPA, 1, true } };
	const struct virtq_buffer reversed[] = { { gpa + 8, 1, true }, { gpa, 3, false } };
	const struct virtq_buffer large[] = { { gpa, 65536, false },
		                              { (uintptr_t)net.frame, 1, true } };

	if (!start(BASIC | CONTROL) || !net.control)
		return;
	EXPECT("chains of commands", offer(control, &mute, 1) || net_needs_reset(&net));
	EXPECT("chains of commands", start(BASIC | CONTROL));
	EXPECT("chains of commands", offer(control, &no_command, 1) || net_needs_reset(&net));
	EXPECT("chains of commands", start(BASIC | CONTROL));
	EXPECT("chains of commands", offer(control, large, 2) && net.frame[0] == VIRTIO_NET_ERR);
	EXPECT("chains of commands", !offer(control, outside, 2) && wait_for_needs_reset());
	EXPECT("chains of commands", start(BASIC | CONTROL));
	EXPECT("chains of commands", !offer(control, reversed, 2) && wait_for_needs_reset());
	report_section("chains of commands");
	check_works("commands: works again");
}

static uint8_t set_pairs(unsigned int pairs)
{
	const uint8_t command[] = { VIRTIO_NET_CTRL_MQ, 0, (uint8_t)pairs, (uint8_t)(pairs >> 8) };

	return net_command(&net, command, sizeof(command));
}

/* Only the first pair, and the control queue where it is with MQ. */
static bool start_one_pair(unsigned int pairs_max)
{
	struct virtio_device *vdev = &net.vdev;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, BASIC | CONTROL | F(MQ)) ||
	    !virtio_queue_setup(vdev, 0, NET_RING_SIZE) ||
	    !virtio_queue_setup(vdev, 1, NET_RING_SIZE) ||
	    !virtio_queue_setup(vdev, (uint16_t)(2 * pairs_max), NET_RING_SIZE))
		return false;
	net.control = &vdev->queues[2 * pairs_max];
	virtio_ready(vdev);
	return !net_needs_reset(&net);
}

static void test_pairs(void)
{
	const uint64_t features = BASIC | CONTROL | F(MQ);
	unsigned int i, pairs_max;

	if (!start(features) || net.pairs_max < 2) {
		report_skip("number of queues", "one pair is all there is");
		return;
	}
	pairs_max = net.pairs_max;
	EXPECT_EQUAL("number of queues", set_pairs(0), VIRTIO_NET_ERR);
	EXPECT_EQUAL("number of queues", set_pairs(pairs_max + 1), VIRTIO_NET_ERR);
	EXPECT_EQUAL("number of queues", set_pairs(0x8000), VIRTIO_NET_ERR);
	EXPECT_EQUAL("number of queues", set_pairs(0xffff), VIRTIO_NET_ERR);
	EXPECT_EQUAL("number of queues", set_pairs(pairs_max), VIRTIO_NET_OK);
	report_section("number of queues");
	EXPECT("queues that are not enabled", start_one_pair(pairs_max));
	EXPECT_EQUAL("queues that are not enabled", set_pairs(pairs_max), VIRTIO_NET_ERR);
	report_section("queues that are not enabled");
	EXPECT("number of queues changed in traffic", start(features) && net_find_host(&net));
	for (i = 0; i < 30; i++) {
		EXPECT("number of queues changed in traffic",
		       net_send_ping(&net, 1, ++number, 64, false));
		EXPECT_EQUAL("number of queues changed in traffic", set_pairs(1 + i % pairs_max),
		             VIRTIO_NET_OK);
		virtq_notify(&net.vdev.queues[3]); /* in use, or not */
	}
	report_section("number of queues changed in traffic");
	check_works("number of queues: works again");
}

void test_main(void)
{
	if (!virtio_find(VIRTIO_ID_NET, 0, &net.vdev)) {
		report_skip("virtio-net", "no such device");
		return;
	}
	if (!CHECK("works", start(BASIC) && net_find_host(&net) && net_ping(&net, 1, ++number, 64)))
		return;
	test_rings();
	test_moved_ring();
	test_empty_buffers();
	test_huge_buffers();
	test_headers();
	test_commands();
	test_command_chains();
	test_pairs();
}
