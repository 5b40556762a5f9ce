/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net's control queue: what commands say, which are allowed, what they do. */
/* fakes: net_machine fake_net_backend fake_net_vhost fake_virtio_driver hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bytes.h"
#include "net_machine.h"

#define F(name)  NET_FEATURE(VIRTIO_NET_F_##name)
#define ALL_CTRL \
	(F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE) | F(MQ) | \
	 F(CTRL_GUEST_OFFLOADS) | F(GUEST_CSUM) | F(GUEST_TSO4))
#define CONTROL_QUEUE 6 /* of three pairs */

static int set_up(void **state)
{
	return net_machine_set_up(state, 3);
}

/* --- parse --- */

static void test_parse(void **state)
{
	static const struct {
		const char *bytes;
		size_t size_bytes;
		enum net_command_kind kind;
	} table[] = {
		{ "", 0, NET_COMMAND_MALFORMED },
		{ "\0", 1, NET_COMMAND_MALFORMED },
		{ "\0\0", 2, NET_COMMAND_MALFORMED },     /* no mode */
		{ "\0\0\1", 3, NET_COMMAND_RX_MODE },     /* promiscuous on */
		{ "\0\0\0", 3, NET_COMMAND_RX_MODE },     /* and off */
		{ "\0\0\2", 3, NET_COMMAND_MALFORMED },   /* neither */
		{ "\0\0\1\1", 4, NET_COMMAND_MALFORMED }, /* too long */
		{ "\0\1\1", 3, NET_COMMAND_RX_MODE },     /* all multicast */
		{ "\0\2\1", 3, NET_COMMAND_MALFORMED },   /* an extra mode */
		{ "\1\0\0\0\0\0\0\0\0\0", 10, NET_COMMAND_MAC_TABLE },
		{ "\1\0\0\0\0\0\0\0\0", 9, NET_COMMAND_MALFORMED },
		{ "\1\0\0\0\0\0\0\0\0\0\0", 11, NET_COMMAND_MALFORMED },
		{ "\1\0\1\0\0\0abcdef\0\0\0\0", 16, NET_COMMAND_MAC_TABLE },
		{ "\1\0\0\0\0\0\1\0\0\0abcdef", 16, NET_COMMAND_MAC_TABLE },
		{ "\1\0\1\0\0\0abcde\0\0\0\0", 15, NET_COMMAND_MALFORMED },
		{ "\1\0\xff\xff\xff\xff\0\0\0\0", 10, NET_COMMAND_MALFORMED },
		{ "\1\0\0\0\0\0\xab\xaa\xaa\x2a", 10, NET_COMMAND_MALFORMED }, /* 6 * n wraps */
		{ "\1\0\xab\xaa\xaa\x2a\0\0\0\0", 10, NET_COMMAND_MALFORMED },
		{ "\1\1\2\0\0\0\0\1", 8, NET_COMMAND_MAC_ADDRESS },
		{ "\1\1\2\0\0\0\0", 7, NET_COMMAND_MALFORMED },
		{ "\1\1\2\0\0\0\0\1\1", 9, NET_COMMAND_MALFORMED },
		{ "\1\2", 2, NET_COMMAND_MALFORMED },
		{ "\2\0\1\0", 4, NET_COMMAND_MALFORMED }, /* VLAN */
		{ "\3\0", 2, NET_COMMAND_ANNOUNCE_ACK },
		{ "\3\0\0", 3, NET_COMMAND_MALFORMED },
		{ "\3\1", 2, NET_COMMAND_MALFORMED },
		{ "\4\0\1\0", 4, NET_COMMAND_PAIRS },
		{ "\4\0\1", 3, NET_COMMAND_MALFORMED },
		{ "\4\0\1\0\0", 5, NET_COMMAND_MALFORMED },
		{ "\4\1\1\0", 4, NET_COMMAND_MALFORMED }, /* RSS */
		{ "\5\0\0\0\0\0\0\0\0\0", 10, NET_COMMAND_OFFLOADS },
		{ "\5\0\0\0\0\0\0\0\0", 9, NET_COMMAND_MALFORMED },
		{ "\6\0\0\0", 4, NET_COMMAND_MALFORMED },
		{ "\xff\xff\0\0", 4, NET_COMMAND_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		/* On the heap, of the size that is said: the sanitizer sees every byte too many. */
		uint8_t *bytes = malloc(table[i].size_bytes ? table[i].size_bytes : 1);
		struct net_command command;

		memcpy(bytes, table[i].bytes, table[i].size_bytes);
		command = net_control_parse(bytes, table[i].size_bytes);
		if (command.kind != table[i].kind)
			fail_msg("row %zu: kind %d", i, (int)command.kind);
		free(bytes);
	}
}

static void test_parse_values(void **state)
{
	static const uint8_t pairs[] = { 4, 0, 0x34, 0x12 };
	static const uint8_t offloads[] = { 5, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
	static const uint8_t address[] = { 1, 1, 2, 3, 4, 5, 6, 7 };
	struct net_command command;
	uint8_t table[2 + 4 + 6 + 4 + 12] = { 1, 0 };

	(void)state;
	assert_int_equal(net_control_parse(pairs, sizeof(pairs)).pairs, 0x1234);
	assert_int_equal(net_control_parse(offloads, sizeof(offloads)).offloads,
	                 0x0807060504030201);
	command = net_control_parse(address, sizeof(address));
	assert_memory_equal(command.mac, address + 2, MAC_BYTES);
	store_le32(table + 2, 1);
	store_le32(table + 12, 2);
	command = net_control_parse(table, sizeof(table));
	assert_int_equal(command.unicast_count, 1);
	assert_int_equal(command.multicast_count, 2);
}

static void test_parse_the_longest(void **state)
{
	uint8_t *bytes = calloc(1, NET_COMMAND_BYTES_MAX + 6);
	const uint32_t count = (NET_COMMAND_BYTES_MAX - 10) / 6;
	const size_t size_bytes = 10 + 6 * count;

	(void)state;
	bytes[0] = VIRTIO_NET_CTRL_MAC;
	store_le32(bytes + 2, count);
	assert_int_equal(net_control_parse(bytes, size_bytes).kind, NET_COMMAND_MAC_TABLE);
	store_le32(bytes + 2, count + 1);
	assert_int_equal(net_control_parse(bytes, size_bytes + 6).kind, NET_COMMAND_MALFORMED);
	free(bytes);
}

/* --- decide --- */

static struct net_command of_kind(enum net_command_kind kind)
{
	return (struct net_command){ .kind = kind, .pairs = 1, .mac = { 2 } };
}

static void test_a_command_needs_its_feature(void **state)
{
	static const struct {
		enum net_command_kind kind;
		uint64_t feature;
	} table[] = {
		{ NET_COMMAND_RX_MODE, F(CTRL_RX) },
		{ NET_COMMAND_MAC_TABLE, F(CTRL_RX) },
		{ NET_COMMAND_MAC_ADDRESS, F(CTRL_MAC_ADDR) },
		{ NET_COMMAND_ANNOUNCE_ACK, F(GUEST_ANNOUNCE) },
		{ NET_COMMAND_PAIRS, F(MQ) },
		{ NET_COMMAND_OFFLOADS, F(CTRL_GUEST_OFFLOADS) },
	};
	struct net_control_state now = { .features = ~UINT64_C(0), .pairs_max = 1 };
	struct net_command command = of_kind(NET_COMMAND_MALFORMED);

	(void)state;
	assert_false(net_control_allowed(&command, &now));
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		command = of_kind(table[i].kind);
		now.features = table[i].feature;
		assert_true(net_control_allowed(&command, &now));
		now.features = ~table[i].feature;
		assert_false(net_control_allowed(&command, &now));
	}
}

static void test_allowed_values(void **state)
{
	const struct net_control_state now = {
		.features = ALL_CTRL,
		.pairs_max = 3,
	};
	static const struct {
		struct net_command command;
		bool allowed;
	} table[] = {
		{ { .kind = NET_COMMAND_PAIRS, .pairs = 0 }, false },
		{ { .kind = NET_COMMAND_PAIRS, .pairs = 1 }, true },
		{ { .kind = NET_COMMAND_PAIRS, .pairs = 3 }, true },
		{ { .kind = NET_COMMAND_PAIRS, .pairs = 4 }, false },
		{ { .kind = NET_COMMAND_PAIRS, .pairs = 0xffff }, false },
		{ { .kind = NET_COMMAND_MAC_ADDRESS, .mac = { 2 } }, true },
		{ { .kind = NET_COMMAND_MAC_ADDRESS, .mac = { 0 } }, false },
		{ { .kind = NET_COMMAND_MAC_ADDRESS, .mac = { 1, 0, 0x5e } }, false },
		{ { .kind = NET_COMMAND_OFFLOADS, .offloads = 0 }, true },
		{ { .kind = NET_COMMAND_OFFLOADS, .offloads = F(GUEST_CSUM) }, true },
		{ { .kind = NET_COMMAND_OFFLOADS, .offloads = F(GUEST_TSO4) }, false },
		{ { .kind = NET_COMMAND_OFFLOADS, .offloads = F(GUEST_CSUM) | F(GUEST_TSO4) },
		  true },
		{ { .kind = NET_COMMAND_OFFLOADS, .offloads = F(GUEST_CSUM) | F(GUEST_TSO6) },
		  false }, /* not negotiated */
		{ { .kind = NET_COMMAND_OFFLOADS, .offloads = F(CTRL_VQ) }, false },
		{ { .kind = NET_COMMAND_OFFLOADS, .offloads = ~UINT64_C(0) }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (net_control_allowed(&table[i].command, &now) != table[i].allowed)
			fail_msg("row %zu", i);
}

/* --- the queue --- */

static uint8_t command(struct net_machine *m, const char *bytes, size_t size_bytes)
{
	return net_machine_command(m, CONTROL_QUEUE, bytes, size_bytes);
}

static void start(struct net_machine *m)
{
	assert_true(fake_driver_start(&m->driver, ALL_CTRL, CONTROL_QUEUE + 1, 16));
}

static bool needs_reset(struct net_machine *m)
{
	return virtio_status(m->driver.vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void test_answers(void **state)
{
	struct net_machine *m = *state;

	start(m);
	assert_int_equal(command(m, "\0\0\1", 3), VIRTIO_NET_OK);
	assert_int_equal(command(m, "\0\1\1", 3), VIRTIO_NET_OK);
	assert_int_equal(command(m, "\0\5\1", 3), VIRTIO_NET_ERR);
	assert_int_equal(command(m, "\1\0\1\0\0\0abcdef\0\0\0\0", 16), VIRTIO_NET_OK);
	assert_int_equal(command(m, "\2\0\1\0", 4), VIRTIO_NET_ERR);
	assert_int_equal(net_machine_metric(m, "control_commands"), 5);
	assert_int_equal(net_machine_metric(m, "control_refused"), 2);
	assert_int_equal(fake_transport.used_notifications[CONTROL_QUEUE], 5);
	assert_false(needs_reset(m));
}

static void test_pairs(void **state)
{
	struct net_machine *m = *state;

	start(m);
	assert_int_equal(fake_net.pairs, 1);
	assert_int_equal(command(m, "\4\0\3\0", 4), VIRTIO_NET_OK);
	assert_int_equal(fake_net.pairs, 3);
	assert_int_equal(command(m, "\4\0\2\0", 4), VIRTIO_NET_OK);
	assert_int_equal(fake_net.pairs, 2);
	assert_int_equal(command(m, "\4\0\0\0", 4), VIRTIO_NET_ERR);
	assert_int_equal(command(m, "\4\0\4\0", 4), VIRTIO_NET_ERR);
	assert_int_equal(fake_net.pairs, 2);
	/* One alone after a reset. */
	fake_driver_reset(&m->driver);
	start(m);
	assert_int_equal(fake_net.pairs, 1);
}

static void test_pairs_that_are_not_enabled(void **state)
{
	struct net_machine *m = *state;

	/* Queues 0 to 3, and the control queue. */
	assert_true(fake_driver_negotiate(&m->driver, ALL_CTRL));
	for (unsigned int i = 0; i <= CONTROL_QUEUE; i++) {
		const struct virtqueue_config config = {
			.size = 16,
			.descriptor_gpa = fake_driver_descriptors(&m->driver, i),
			.driver_gpa = fake_driver_avail(&m->driver, i),
			.device_gpa = fake_driver_used(&m->driver, i),
		};

		m->driver.queues[i].size = 16;
		if (i < 4 || i == CONTROL_QUEUE)
			fake_driver_set_queue(&m->driver, i, &config);
	}
	assert_true(fake_driver_go(&m->driver));
	assert_int_equal(command(m, "\4\0\3\0", 4), VIRTIO_NET_ERR);
	assert_int_equal(fake_net.pairs, 1);
	assert_int_equal(command(m, "\4\0\2\0", 4), VIRTIO_NET_OK);
	assert_int_equal(fake_net.pairs, 2);
}

static void test_offloads(void **state)
{
	struct net_machine *m = *state;

	start(m);
	assert_int_equal(fake_net.offloads & NET_GUEST_OFFLOADS, F(GUEST_CSUM) | F(GUEST_TSO4));
	assert_int_equal(command(m, "\5\0\2\0\0\0\0\0\0\0", 10), VIRTIO_NET_OK);
	assert_int_equal(fake_net.offloads & NET_GUEST_OFFLOADS, F(GUEST_CSUM));
	assert_int_equal(command(m, "\5\0\x80\0\0\0\0\0\0\0", 10), VIRTIO_NET_ERR);
	fake_net.set_offloads_result = -EIO;
	assert_int_equal(command(m, "\5\0\0\0\0\0\0\0\0\0", 10), VIRTIO_NET_ERR);
	fake_net.set_offloads_result = 0;
	assert_int_equal(fake_net.offloads & NET_GUEST_OFFLOADS, F(GUEST_CSUM));
	fake_driver_reset(&m->driver);
	start(m);
	assert_int_equal(fake_net.offloads & NET_GUEST_OFFLOADS, F(GUEST_CSUM) | F(GUEST_TSO4));
}

static void test_no_place_for_an_answer(void **state)
{
	const struct fake_driver_buffer buffers[] = { { NET_BUFFERS_GPA, 4, false } };
	struct net_machine *m = *state;
	uint32_t head, size_bytes;

	start(m);
	assert_int_equal(gmem_write(m->vm.memory, NET_BUFFERS_GPA, "\4\0\2\0", 4), 0);
	fake_driver_add(&m->driver, CONTROL_QUEUE, buffers, 1);
	fake_driver_kick(&m->driver, CONTROL_QUEUE);
	assert_true(fake_driver_take_used(&m->driver, CONTROL_QUEUE, &head, &size_bytes));
	assert_int_equal(size_bytes, 0);
	assert_false(needs_reset(m));
	assert_int_equal(command(m, "\0\0\1", 3), VIRTIO_NET_OK);
}

static struct net_machine *shrinking;

static void shrink(void)
{
	if (gmem_remove_region(shrinking->vm.memory, 64 * MIB))
		abort();
}

/* Commands run without guest memory's lock: the place of the answer may go meanwhile. */
static void test_place_of_the_answer_goes(void **state)
{
	const struct fake_driver_buffer buffers[] = { { NET_BUFFERS_GPA, 4, false },
		                                      { 64 * MIB, 1, true } };
	struct net_machine *m = *state;
	uint32_t head, size_bytes;

	assert_int_equal(gmem_add_region(m->vm.memory, 64 * MIB, 2 * MIB, NULL, NULL), 0);
	shrinking = m;
	start(m);
	fake_net.during_set_pairs = shrink;
	assert_int_equal(gmem_write(m->vm.memory, NET_BUFFERS_GPA, "\4\0\2\0", 4), 0);
	fake_driver_add(&m->driver, CONTROL_QUEUE, buffers, 2);
	fake_driver_kick(&m->driver, CONTROL_QUEUE);
	fake_net.during_set_pairs = NULL;
	assert_int_equal(fake_net.pairs, 2);
	assert_true(fake_driver_take_used(&m->driver, CONTROL_QUEUE, &head, &size_bytes));
	assert_int_equal(size_bytes, 0);
	assert_int_equal(command(m, "\0\0\1", 3), VIRTIO_NET_OK);
}

static void test_command_of_megabytes(void **state)
{
	const struct fake_driver_buffer buffers[] = { { 0, 2 * MIB, false },
		                                      { 0, 1 * MIB, false },
		                                      { NET_BUFFERS_GPA, 4, true } };
	struct net_machine *m = *state;
	uint32_t head, size_bytes;

	start(m);
	fake_driver_add(&m->driver, CONTROL_QUEUE, buffers, 3);
	fake_driver_kick(&m->driver, CONTROL_QUEUE);
	assert_true(fake_driver_take_used(&m->driver, CONTROL_QUEUE, &head, &size_bytes));
	assert_int_equal(size_bytes, 1);
	assert_int_equal(*(uint8_t *)gmem_span(m->vm.memory, NET_BUFFERS_GPA, 1), VIRTIO_NET_ERR);
}

/* A queue full of commands, one notification. */
static void test_many_at_once(void **state)
{
	const struct fake_driver_buffer buffers[] = { { NET_BUFFERS_GPA, 3, false },
		                                      { NET_BUFFERS_GPA + 8, 1, true } };
	struct net_machine *m = *state;
	uint32_t head, size_bytes;
	unsigned int used = 0;

	assert_true(fake_driver_start(&m->driver, ALL_CTRL, CONTROL_QUEUE + 1, 256));
	assert_int_equal(gmem_write(m->vm.memory, NET_BUFFERS_GPA, "\0\0\1", 3), 0);
	for (unsigned int i = 0; i < 128; i++)
		fake_driver_add(&m->driver, CONTROL_QUEUE, buffers, 2);
	fake_driver_kick(&m->driver, CONTROL_QUEUE);
	while (fake_driver_take_used(&m->driver, CONTROL_QUEUE, &head, &size_bytes))
		used++;
	assert_int_equal(used, 128);
	assert_int_equal(fake_transport.used_notifications[CONTROL_QUEUE], 2); /* turns */
}

static void test_hostile_chains(void **state)
{
	struct net_machine *m = *state;

	assert_int_equal(fake_driver_run_hostile_chains(&m->driver, ALL_CTRL, CONTROL_QUEUE,
	                                                NET_BUFFERS_GPA, NET_RAM_BYTES),
	                 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, net_machine_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_values),
		cmocka_unit_test(test_parse_the_longest),
		cmocka_unit_test(test_a_command_needs_its_feature),
		cmocka_unit_test(test_allowed_values),
		TEST(test_answers),
		TEST(test_pairs),
		TEST(test_pairs_that_are_not_enabled),
		TEST(test_offloads),
		TEST(test_no_place_for_an_answer),
		TEST(test_place_of_the_answer_goes),
		TEST(test_command_of_megabytes),
		TEST(test_many_at_once),
		TEST(test_hostile_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
