/* SPDX-License-Identifier: Apache-2.0 */
/* The receiving half of virtio-net's data path in ebb, between a fake driver and a fake network. */
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

/* --- receive --- */

static void test_receives(void **state)
{
	static const uint8_t zeroes[10];
	struct net_machine *m = *state;
	uint32_t size_bytes;

	assert_true(start(m, 0));
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	arrive(0, 100);
	settle(m);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 100);
	/* Without GUEST_CSUM nothing but num_buffers is said. */
	assert_memory_equal(memory(m, NET_BUFFERS_GPA), zeroes, 10);
	assert_int_equal(load_le16(memory(m, NET_BUFFERS_GPA + 10)), 1);
	assert_memory_equal(memory(m, NET_BUFFERS_GPA + 12), "data", 4);
	assert_int_equal(memory(m, NET_BUFFERS_GPA)[99], 0x5a);
	assert_int_equal(memory(m, NET_BUFFERS_GPA)[100], 0);
	assert_int_equal(net_machine_metric(m, "frames_received"), 1);
	assert_int_equal(net_machine_metric(m, "bytes_received"), 100);
	assert_int_equal(fake_transport.used_notifications[RECEIVE], 1);
}

static void test_the_header_reaches_who_asked_for_it(void **state)
{
	static const uint8_t header[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 0 };
	struct net_machine *m = *state;

	assert_true(start(m, F(GUEST_CSUM)));
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	arrive(0, 100);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 1);
	assert_memory_equal(memory(m, NET_BUFFERS_GPA), header, sizeof(header));
}

static void test_frames_of_before_are_dropped(void **state)
{
	struct net_machine *m = *state;

	for (unsigned int i = 0; i < 200; i++)
		fake_net_put(0, "", 0, 1000);
	fake_net_arrive(0);
	assert_true(start(m, 0));
	assert_int_equal(fake_net_waiting(0), 0);
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 0);
	assert_int_equal(net_machine_metric(m, "receive_dropped"), 200);
	arrive(0, 100);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 1);
}

static void test_merges_buffers(void **state)
{
	struct net_machine *m = *state;
	uint32_t size_bytes;

	assert_true(start(m, F(MRG_RXBUF)));
	for (unsigned int i = 0; i < 20; i++)
		add_room(m, RECEIVE, NET_BUFFERS_GPA + i * BUFFER_STEP, 128);
	fake_driver_kick(&m->driver, RECEIVE);
	fake_net_put(0, "", 0, 300); /* 128 + 128 + 44 */
	fake_net_put(0, "", 0, 128);
	arrive(0, 129);
	settle(m);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 128);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 128);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 44);
	assert_int_equal(load_le16(memory(m, NET_BUFFERS_GPA + 10)), 3);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 128);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 128);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 1);
	assert_false(take(m, RECEIVE, &size_bytes));
	assert_int_equal(net_machine_metric(m, "frames_received"), 3);
	assert_int_equal(net_machine_metric(m, "receive_dropped"), 0);
}

/* A header in pieces is written in pieces. */
static void test_header_across_segments(void **state)
{
	const struct fake_driver_buffer buffers[] = {
		{ NET_BUFFERS_GPA, 3, true },
		{ NET_BUFFERS_GPA + 100, 8, true },
		{ NET_BUFFERS_GPA + 200, 1, true },
		{ NET_BUFFERS_GPA + 300, 2000, true },
	};
	struct net_machine *m = *state;

	assert_true(start(m, F(GUEST_CSUM)));
	fake_driver_add(&m->driver, RECEIVE, buffers, ARRAY_SIZE(buffers));
	fake_driver_kick(&m->driver, RECEIVE);
	arrive(0, 16);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 1);
	assert_memory_equal(memory(m, NET_BUFFERS_GPA), "\1\2\3", 4);
	assert_memory_equal(memory(m, NET_BUFFERS_GPA + 100), "\4\5\6\7\10\11\12\1", 9);
	assert_memory_equal(memory(m, NET_BUFFERS_GPA + 200), "\0", 2);
	assert_memory_equal(memory(m, NET_BUFFERS_GPA + 300), "data", 5);
}

static void test_a_frame_too_long_is_dropped(void **state)
{
	struct net_machine *m = *state;
	uint32_t size_bytes;

	assert_true(start(m, 0));
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 128);
	add_room(m, RECEIVE, NET_BUFFERS_GPA + BUFFER_STEP, 128);
	fake_driver_kick(&m->driver, RECEIVE);
	fake_net_put(0, "", 0, 129);
	arrive(0, 77);
	settle(m);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 77);
	assert_false(take(m, RECEIVE, &size_bytes));
	assert_int_equal(net_machine_metric(m, "receive_dropped"), 1);
	/* Its buffer is good for another. */
	arrive(0, 78);
	settle(m);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 78);
}

static void test_without_buffers_nobody_looks(void **state)
{
	struct net_machine *m = *state;
	unsigned int calls;

	assert_true(start(m, 0));
	arrive(0, 100);
	settle(m);
	assert_int_equal(first_pair(m)->watched, 0);
	calls = fake_net.receive_calls;
	settle(m);
	assert_int_equal(fake_net.receive_calls, calls);
	assert_int_equal(fake_net_waiting(0), 1);
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 4096);
	add_room(m, RECEIVE, NET_BUFFERS_GPA + BUFFER_STEP, 4096);
	fake_driver_kick(&m->driver, RECEIVE);
	assert_int_equal(take_all(m, RECEIVE), 1);
	assert_int_equal(first_pair(m)->watched, EPOLLIN);
	arrive(0, 100);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 1);
	/* And again, when all are used. */
	arrive(0, 100);
	settle(m);
	calls = fake_net.receive_calls;
	settle(m);
	assert_int_equal(fake_net.receive_calls, calls);
	assert_int_equal(fake_net_waiting(0), 1);
}

static void test_buffers_of_no_use_go_back(void **state)
{
	struct net_machine *m = *state;
	uint32_t size_bytes;

	assert_true(start(m, F(MRG_RXBUF)));
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 0);
	add_room(m, RECEIVE, NET_BUFFERS_GPA, NET_HEADER_BYTES - 1);
	fake_driver_add(&m->driver, RECEIVE,
	                &(struct fake_driver_buffer){ NET_BUFFERS_GPA, 2048, false }, 1);
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(take(m, RECEIVE, &size_bytes));
		assert_int_equal(size_bytes, 0);
	}
	assert_false(take(m, RECEIVE, &size_bytes));
	arrive(0, 100);
	settle(m);
	assert_true(take(m, RECEIVE, &size_bytes));
	assert_int_equal(size_bytes, 100);
	assert_false(needs_reset(m));
}

/* With offloads a frame may have 64 KiB: one is not lost because the driver is behind with its
 * buffers, and a driver that has no more is not waited for. A host that stands still for longer
 * than that wait is asked again. */
static void test_waits_for_room(void **state)
{
	struct net_machine *m = *state;
	uint64_t dropped = 0;
	unsigned int tries = 0;

	assert_true(start(m, F(MRG_RXBUF) | F(GUEST_CSUM) | F(GUEST_TSO4)));
	for (unsigned int i = 0; i < 10; i++)
		add_room(m, RECEIVE, NET_BUFFERS_GPA + i * BUFFER_STEP, 2048);
	do {
		assert_true(tries++ < 50);
		for (unsigned int i = 0; i < 30; i++)
			add_room(m, RECEIVE, NET_BUFFERS_GPA + i * BUFFER_STEP, 2048);
		fake_driver_kick(&m->driver, RECEIVE);
		arrive(0, 60000); /* leaves 10 of 40 */
		settle(m);
		assert_int_equal(take_all(m, RECEIVE), 30);
		fake_net_put(0, "", 0, 60000);
		fake_net_arrive(0);
		fake_driver_settle(&m->driver);
		dropped = net_machine_metric(m, "receive_dropped");
	} while (!fake_net_waiting(0));
	assert_int_equal(fake_net_waiting(0), 1);
	for (unsigned int i = 0; i < 30; i++)
		add_room(m, RECEIVE, NET_BUFFERS_GPA + i * BUFFER_STEP, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	assert_int_equal(take_all(m, RECEIVE), 30);
	assert_int_equal(net_machine_metric(m, "receive_dropped"), dropped);
}

/* Of two that come together the second is a long one, and what is left behind room for the first
 * would not hold it. */
static void test_only_whole_rooms(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, F(MRG_RXBUF) | F(GUEST_CSUM) | F(GUEST_TSO4)));
	for (unsigned int i = 0; i < 40; i++)
		add_room(m, RECEIVE, NET_BUFFERS_GPA + i * BUFFER_STEP, 2048);
	fake_net_put(0, "", 0, 100);
	fake_net_put(0, "", 0, 60000);
	fake_net_arrive(0);
	fake_driver_kick(&m->driver, RECEIVE);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 31);
	assert_int_equal(net_machine_metric(m, "receive_dropped"), 0);
}

static void test_does_not_wait_for_ever(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, F(MRG_RXBUF) | F(GUEST_CSUM) | F(GUEST_TSO4)));
	for (unsigned int i = 0; i < 40; i++)
		add_room(m, RECEIVE, NET_BUFFERS_GPA + i * BUFFER_STEP, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	arrive(0, 60000);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 30);
	for (unsigned int i = 0; i < 100 && !take_all(m, RECEIVE); i++) {
		if (!fake_net_waiting(0))
			arrive(0, 100);
		usleep(1000);
		fake_driver_settle(&m->driver);
	}
	assert_int_equal(net_machine_metric(m, "frames_received"), 2);
}

static void test_a_turn_is_bounded(void **state)
{
	struct net_machine *m = *state;
	unsigned int received = 0;

	assert_true(start(m, 0));
	for (unsigned int i = 0; i < QUEUE_SIZE; i++)
		add_room(m, RECEIVE, NET_BUFFERS_GPA + i * 2048, 2048);
	for (unsigned int i = 0; i < FAKE_NET_FED_MAX; i++)
		fake_net_put(0, "", 0, 1000);
	fake_net_arrive(0);
	fake_driver_kick(&m->driver, RECEIVE);
	received = take_all(m, RECEIVE);
	assert_int_equal(received, QUEUE_SIZE);
	assert_int_equal(fake_net_waiting(0), FAKE_NET_FED_MAX - QUEUE_SIZE);
	/* 128 frames, batches of 64. */
	assert_in_range(fake_net.receive_calls, 2, 4);
	assert_in_range(fake_transport.used_notifications[RECEIVE], 1, 2);
}

static void test_receives_into_memory_that_moved(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, F(MRG_RXBUF)));
	for (unsigned int i = 0; i < 4; i++)
		add_room(m, RECEIVE, NET_BUFFERS_GPA + i * BUFFER_STEP, 2048);
	fake_driver_kick(&m->driver, RECEIVE); /* holds them now */
	assert_int_equal(gmem_add_region(m->vm.memory, 64 * MIB, 2 * MIB, NULL, NULL), 0);
	arrive(0, 100);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 1);
	assert_memory_equal(memory(m, NET_BUFFERS_GPA + 12), "data", 4);
}

static void test_room_that_goes_breaks_the_device(void **state)
{
	struct net_machine *m = *state;
	unsigned int calls;

	assert_int_equal(gmem_add_region(m->vm.memory, 64 * MIB, 2 * MIB, NULL, NULL), 0);
	assert_true(start(m, 0));
	add_room(m, RECEIVE, 64 * MIB, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	assert_int_equal(gmem_remove_region(m->vm.memory, 64 * MIB), 0);
	arrive(0, 100);
	settle(m);
	assert_true(needs_reset(m));
	/* Nobody looks at what is there until then, nor is woken by it. */
	assert_null(first_pair(m)->source);
	calls = fake_net.receive_calls;
	arrive(0, 100);
	settle(m);
	assert_int_equal(fake_net.receive_calls, calls);
}

static void test_reset_gives_room_back(void **state)
{
	struct net_machine *m = *state;

	assert_true(start(m, F(MRG_RXBUF)));
	for (unsigned int i = 0; i < 4; i++)
		add_room(m, RECEIVE, NET_BUFFERS_GPA + i * BUFFER_STEP, 2048);
	fake_driver_kick(&m->driver, RECEIVE); /* holds them now */
	fake_driver_reset(&m->driver);
	assert_true(start(m, F(MRG_RXBUF)));
	arrive(0, 100);
	settle(m);
	assert_int_equal(take_all(m, RECEIVE), 0);
	assert_int_equal(memory(m, NET_BUFFERS_GPA + 12)[0], 0);
	assert_int_equal(fake_net_waiting(0), 1);
}

/* What the device writes is known to who watches. */
struct watcher {
	struct gmem_watcher watcher;
	uint64_t written_bytes;
};

static void note_written(struct gmem_watcher *watcher, gpa_t gpa, uint64_t size_bytes)
{
	if (gpa >= NET_BUFFERS_GPA && gpa < NET_BUFFERS_GPA + BUFFER_STEP)
		((struct watcher *)(void *)watcher)->written_bytes += size_bytes;
}

static void test_writes_are_noted(void **state)
{
	struct watcher watcher = { .watcher.written = note_written };
	struct net_machine *m = *state;

	assert_int_equal(gmem_watch_writes(m->vm.memory, &watcher.watcher), 0);
	assert_true(start(m, 0));
	add_room(m, RECEIVE, NET_BUFFERS_GPA, 2048);
	fake_driver_kick(&m->driver, RECEIVE);
	arrive(0, 100);
	settle(m);
	gmem_unwatch_writes(m->vm.memory, &watcher.watcher);
	assert_int_equal(watcher.written_bytes, 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, net_machine_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_receives),
		TEST(test_the_header_reaches_who_asked_for_it),
		TEST(test_frames_of_before_are_dropped),
		TEST(test_merges_buffers),
		TEST(test_header_across_segments),
		TEST(test_a_frame_too_long_is_dropped),
		TEST(test_without_buffers_nobody_looks),
		TEST(test_buffers_of_no_use_go_back),
		TEST(test_waits_for_room),
		TEST(test_only_whole_rooms),
		TEST(test_does_not_wait_for_ever),
		TEST(test_a_turn_is_bounded),
		TEST(test_receives_into_memory_that_moved),
		TEST(test_room_that_goes_breaks_the_device),
		TEST(test_reset_gives_room_back),
		TEST(test_writes_are_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
