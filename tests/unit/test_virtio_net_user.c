/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-net's data path in ebb, between a fake driver and a fake network. */
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
#include "net_driver.h"

static int set_up(void **state)
{
	return net_machine_set_up(state, 2);
}

/* --- send --- */

static void test_sends(void **state)
{
	struct net_machine *m = *state;
	uint32_t size_bytes;

	assert_true(start(m, 0));
	memset(memory(m, NET_BUFFERS_GPA), 0xab, 100);
	add_frame(m, SEND, NET_BUFFERS_GPA, 100);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(fake_net.sent_count, 1);
	assert_int_equal(fake_net.sent[0].size_bytes, 100);
	assert_memory_equal(fake_net.sent[0].bytes, memory(m, NET_BUFFERS_GPA), 100);
	assert_true(take(m, SEND, &size_bytes));
	assert_int_equal(size_bytes, 0);
	assert_int_equal(net_machine_metric(m, "frames_sent"), 1);
	assert_int_equal(net_machine_metric(m, "bytes_sent"), 100);
	assert_int_equal(net_machine_metric(m, "backend_syscalls"),
	                 fake_net.send_calls + fake_net.receive_calls);
}

static void test_sends_from_many_segments(void **state)
{
	const struct fake_driver_buffer buffers[] = {
		{ NET_BUFFERS_GPA, 5, false },
		{ NET_BUFFERS_GPA + 100, 7, false },
		{ NET_BUFFERS_GPA + 200, 0, false },
		{ NET_BUFFERS_GPA + 300, 60, false },
		{ NET_BUFFERS_GPA + 400, 8, true }, /* not a frame's business */
	};
	struct net_machine *m = *state;

	assert_true(start(m, 0));
	for (unsigned int i = 0; i < 60; i++)
		memory(m, NET_BUFFERS_GPA + 300)[i] = (uint8_t)i;
	fake_driver_add(&m->driver, SEND, buffers, ARRAY_SIZE(buffers));
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(fake_net.sent[0].size_bytes, 72);
	assert_memory_equal(fake_net.sent[0].bytes + 12, memory(m, NET_BUFFERS_GPA + 300), 60);
}

static void test_sends_in_batches_and_interrupts_once(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, 0));
	for (unsigned int i = 0; i < 100; i++)
		add_frame(m, SEND, NET_BUFFERS_GPA + i * 64, 64);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(fake_net.sent_count, 100);
	assert_int_equal(fake_net.send_calls, 2);
	assert_int_equal(fake_net.batch_max, 64);
	assert_int_equal(take_all(m, SEND), 100);
	assert_int_equal(fake_transport.used_notifications[SEND], 1);
	assert_int_equal(net_machine_metric(m, "interrupts"), 1);
}

static void test_drops_what_is_no_frame(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, 0));
	add_frame(m, SEND, NET_BUFFERS_GPA, NET_HEADER_BYTES - 1);
	add_frame(m, SEND, NET_BUFFERS_GPA, 60);
	add_frame(m, SEND, NET_BUFFERS_GPA, NET_FRAME_BYTES_MAX + 1);
	add_frame(m, SEND, NET_BUFFERS_GPA, NET_FRAME_BYTES_MAX);
	fake_driver_add(&m->driver, SEND,
	                &(struct fake_driver_buffer){ NET_BUFFERS_GPA, 100, true }, 1);
	add_frame(m, SEND, NET_BUFFERS_GPA, 0);
	add_frame(m, SEND, NET_BUFFERS_GPA, NET_HEADER_BYTES);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(fake_net.sent_count, 3);
	assert_int_equal(fake_net.sent[0].size_bytes, 60);
	assert_int_equal(fake_net.sent[1].size_bytes, NET_FRAME_BYTES_MAX);
	assert_int_equal(fake_net.sent[2].size_bytes, NET_HEADER_BYTES);
	assert_int_equal(take_all(m, SEND), 7);
	assert_int_equal(net_machine_metric(m, "send_dropped"), 4);
	assert_false(needs_reset(m));
}

static void test_frames_that_the_host_refuses(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, 0));
	fake_net.frame_result = -EINVAL;
	add_frame(m, SEND, NET_BUFFERS_GPA, 60);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(take_all(m, SEND), 1);
	assert_int_equal(net_machine_metric(m, "send_dropped"), 1);
	assert_int_equal(net_machine_metric(m, "frames_sent"), 0);
	fake_net.frame_result = 0;
	add_frame(m, SEND, NET_BUFFERS_GPA, 60);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(net_machine_metric(m, "frames_sent"), 1);
}

static void test_waits_for_a_slow_network(void **state)
{
	struct net_machine *m = *state;
	unsigned int calls;

	assert_true(start(m, 0));
	fake_net_block(0, 3);
	for (unsigned int i = 0; i < 10; i++) {
		memory(m, NET_BUFFERS_GPA + i * 64)[20] = (uint8_t)i;
		add_frame(m, SEND, NET_BUFFERS_GPA + i * 64, 64);
	}
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(fake_net.sent_count, 3);
	assert_int_equal(take_all(m, SEND), 3);
	calls = fake_net.send_calls;
	fake_driver_kick(&m->driver, SEND); /* does not make it faster */
	settle(m);
	assert_int_equal(fake_net.send_calls, calls);
	fake_net_unblock(0);
	settle(m);
	assert_int_equal(fake_net.sent_count, 10);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(fake_net.sent[i].bytes[20], i);
	assert_int_equal(take_all(m, SEND), 7);
}

static void test_a_frame_waits_across_a_change_of_memory(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, 0));
	fake_net_block(0, 0);
	memory(m, NET_BUFFERS_GPA)[20] = 0x77;
	add_frame(m, SEND, NET_BUFFERS_GPA, 64);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(gmem_add_region(m->vm.memory, 64 * MIB, 2 * MIB, NULL, NULL), 0);
	fake_net_unblock(0);
	settle(m);
	assert_int_equal(fake_net.sent_count, 1);
	assert_int_equal(fake_net.sent[0].bytes[20], 0x77);
}

static void test_a_buffer_that_goes_breaks_the_device(void **state)
{
	struct net_machine *m = *state;

	assert_int_equal(gmem_add_region(m->vm.memory, 64 * MIB, 2 * MIB, NULL, NULL), 0);
	assert_true(start(m, 0));
	fake_net_block(0, 0);
	add_frame(m, SEND, 64 * MIB, 64);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(gmem_remove_region(m->vm.memory, 64 * MIB), 0);
	fake_net_unblock(0);
	settle(m);
	assert_int_equal(fake_net.sent_count, 0);
	assert_true(needs_reset(m));
	fake_driver_reset(&m->driver);
	assert_true(start(m, 0));
	add_frame(m, SEND, NET_BUFFERS_GPA, 64);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(fake_net.sent_count, 1);
}

/* With the event index the driver is asked to notify of the next buffer, and of none before. */
static void test_asks_for_kicks_only_when_idle(void **state)
{
	struct net_machine *m = *state;
	const uint16_t *avail_event;

	assert_true(start(m, EVENT_INDEX));
	avail_event = (const void *)memory(m, fake_driver_used(&m->driver, SEND) + 4 +
	                                              8 * QUEUE_SIZE);
	assert_int_equal(le16toh(*avail_event), 0);
	fake_net_block(0, 2);
	for (unsigned int i = 0; i < 5; i++)
		add_frame(m, SEND, NET_BUFFERS_GPA, 64);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(le16toh(*avail_event), 0); /* not while it waits */
	fake_net_unblock(0);
	settle(m);
	assert_int_equal(le16toh(*avail_event), 5);
}

static void test_reset_drops_what_waits(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, 0));
	fake_net_block(0, 0);
	add_frame(m, SEND, NET_BUFFERS_GPA, 64);
	fake_driver_kick(&m->driver, SEND);
	fake_driver_reset(&m->driver);
	fake_net_unblock(0);
	settle(m);
	assert_int_equal(fake_net.sent_count, 0);
	assert_true(start(m, 0));
	assert_int_equal(take_all(m, SEND), 0);
	add_frame(m, SEND, NET_BUFFERS_GPA, 64);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(fake_net.sent_count, 1);
}

/* --- pairs, links, drivers that misbehave --- */

static void test_pairs_come_and_go(void **state)
{
	static const uint8_t two[] = { VIRTIO_NET_CTRL_MQ, 0, 2, 0 };
	static const uint8_t one[] = { VIRTIO_NET_CTRL_MQ, 0, 1, 0 };
	struct net_machine *m = *state;

	assert_true(start(m, F(CTRL_VQ) | F(MQ)));
	add_room(m, 2, NET_BUFFERS_GPA, 2048);
	add_frame(m, 3, NET_BUFFERS_GPA + BUFFER_STEP, 64);
	fake_driver_kick(&m->driver, 2);
	fake_driver_kick(&m->driver, 3);
	arrive(1, 100);
	settle(m);
	assert_int_equal(fake_net.sent_count, 0); /* 5.1.6.5.6.2: not before it is told to */
	assert_int_equal(take_all(m, 2) + take_all(m, 3), 0);
	assert_int_equal(net_machine_command(m, 4, two, sizeof(two)), VIRTIO_NET_OK);
	settle(m);
	assert_int_equal(fake_net.sent_count, 1);
	assert_int_equal(fake_net.sent[0].pair, 1);
	assert_int_equal(take_all(m, 2), 1);
	assert_int_equal(take_all(m, 3), 1);
	add_room(m, 2, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, 2);
	assert_int_equal(net_machine_command(m, 4, one, sizeof(one)), VIRTIO_NET_OK);
	arrive(1, 100);
	settle(m);
	assert_int_equal(take_all(m, 2), 0);
	assert_int_equal(fake_net_waiting(1), 1);
}

static uint16_t link_status(struct net_machine *m)
{
	uint8_t bytes[2];

	virtio_config_read(m->driver.vdev, offsetof(struct virtio_net_config, status), bytes, 2);
	return load_le16(bytes);
}

static void check_lost(struct net_machine *m)
{
	assert_int_equal(link_status(m), 0);
	assert_int_equal(fake_transport.config_notifications, 1);
	assert_false(needs_reset(m));
	/* What is sent now is dropped, and its buffer the guest's again. */
	add_frame(m, SEND, NET_BUFFERS_GPA + BUFFER_STEP, 64);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(take_all(m, SEND), 1);
	assert_int_equal(fake_net.sent_count, 0);
	fake_driver_reset(&m->driver);
	fake_net.set_pairs_result = fake_net.set_offloads_result = -EBADFD;
	assert_true(start(m, F(STATUS)));
	assert_int_equal(link_status(m), 0);
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	assert_int_equal(take_all(m, RECEIVE), 0);
}

static void test_the_other_end_hangs_up(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, F(STATUS)));
	fake_net_hang_up(0);
	settle(m);
	check_lost(m);
}

static void test_receiving_fails(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, F(STATUS)));
	fake_net.receive_result = -EBADFD;
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	check_lost(m);
}

static void test_sending_fails(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, F(STATUS)));
	fake_net.send_result = -ECONNRESET;
	for (unsigned int i = 0; i < 5; i++)
		add_frame(m, SEND, NET_BUFFERS_GPA, 64);
	fake_driver_kick(&m->driver, SEND);
	assert_int_equal(take_all(m, SEND), 5);
	assert_int_equal(net_machine_metric(m, "send_dropped"), 5);
	check_lost(m);
}

static void test_a_queue_that_is_taken_back(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, F(MRG_RXBUF)));
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	virtio_queue_set_ready(m->driver.vdev, RECEIVE, false);
	arrive(0, 100);
	settle(m);
	assert_int_equal(memory(m, NET_BUFFERS_GPA + 12)[0], 0);
	assert_false(needs_reset(m));
}

static void test_hostile_chains(void **state)
{
	struct net_machine *m = *state;

	for (unsigned int queue = RECEIVE; queue <= SEND; queue++) {
		assert_int_equal(fake_driver_run_hostile_chains(&m->driver, 0, queue,
		                                                NET_BUFFERS_GPA, NET_RAM_BYTES),
		                 0);
		assert_int_equal(fake_driver_run_hostile_chains(&m->driver, F(MRG_RXBUF), queue,
		                                                NET_BUFFERS_GPA, NET_RAM_BYTES),
		                 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, net_machine_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_sends),
		TEST(test_sends_from_many_segments),
		TEST(test_sends_in_batches_and_interrupts_once),
		TEST(test_drops_what_is_no_frame),
		TEST(test_frames_that_the_host_refuses),
		TEST(test_waits_for_a_slow_network),
		TEST(test_a_frame_waits_across_a_change_of_memory),
		TEST(test_a_buffer_that_goes_breaks_the_device),
		TEST(test_asks_for_kicks_only_when_idle),
		TEST(test_reset_drops_what_waits),
		TEST(test_pairs_come_and_go),
		TEST(test_the_other_end_hangs_up),
		TEST(test_receiving_fails),
		TEST(test_sending_fails),
		TEST(test_a_queue_that_is_taken_back),
		TEST(test_hostile_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
