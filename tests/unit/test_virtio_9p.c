/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-9p over a file server that the test plays: what goes there and comes back, in which order,
 * when the driver resets, when the server ends. */
/* fakes: fake_share_server fake_virtio_driver hostile_chains test_driver fake_vm */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../devices/device_table.h"
#include "ebb/bytes.h"
#include "ebb/log.h"
#include "fake_share_server.h"
#include "fake_virtio_driver.h"

#define RAM_BYTES   (8 * MIB)
#define RINGS_GPA   (7 * MIB)
#define REQUEST_GPA (1 * MIB)
#define REPLY_GPA   (3 * MIB)
#define ROOM_BYTES  4096
#define HEADER      7
#define ERROR_BYTES 11
#define IN_FLIGHT   16

struct fixture {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fake_driver driver;
	int log_fds[2];
	uint8_t request[SHARE_MESSAGE_MAX_BYTES + 1];
};

static int make(struct fixture *f, struct error *err)
{
	return virtio_9p_class.create(&f->vm, &f->config, &f->device, err);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_share_server_clear();
	fake_driver_vm_create(&f->vm, &f->vm_config, RAM_BYTES);
	assert_int_equal(pipe2(f->log_fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(log_create(f->log_fds[1], LOG_INFO, &f->vm.log), 0);
	device_config_init(&f->config, "virtio-9p");
	strcpy(f->config.id, "share0");
	device_config_set_string(&f->config, "path", "/some/folder");
	assert_int_equal(make(f, NULL), 0);
	fake_driver_init(&f->driver, &f->vm, f->device, RINGS_GPA);
	assert_true(fake_driver_start(&f->driver, 1, 1, 128));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	virtio_9p_class.destroy(f->device);
	fake_driver_vm_destroy(&f->vm);
	log_destroy(f->vm.log);
	close(f->log_fds[0]);
	close(f->log_fds[1]);
	fake_share_server_clear();
	free(f);
	return 0;
}

/* Request and room number n, told apart by their tags. */
static void ask(struct fixture *f, unsigned int n, uint32_t request_bytes, uint32_t room_bytes)
{
	const struct fake_driver_buffer buffers[] = {
		{ REQUEST_GPA + n * ROOM_BYTES, request_bytes, false },
		{ REPLY_GPA + n * ROOM_BYTES, room_bytes, true },
	};
	uint8_t header[HEADER] = { 0, 0, 0, 0, 110 };

	store_le32(header, request_bytes);
	store_le16(header + 5, (uint16_t)n);
	assert_int_equal(gmem_write(f->vm.memory, REQUEST_GPA + n * ROOM_BYTES, header, HEADER), 0);
	fake_driver_add(&f->driver, 0, buffers, room_bytes ? 2 : 1);
}

static void kick(struct fixture *f)
{
	fake_driver_kick(&f->driver, 0);
}

/* The server takes one request; its tag. */
static unsigned int serve(struct fixture *f)
{
	size_t got = fake_share_receive(f->request, sizeof(f->request));

	assert_true(got >= HEADER);
	assert_int_equal(load_le32(f->request), got);
	return load_le16(f->request + 5);
}

static void answer(struct fixture *f, const char *text)
{
	fake_share_reply(text, strlen(text));
	fake_driver_settle(&f->driver);
}

static bool take(struct fixture *f, uint32_t *ret_bytes)
{
	uint32_t head;

	return fake_driver_take_used(&f->driver, 0, &head, ret_bytes);
}

static void assert_replied(struct fixture *f, unsigned int n, const char *text)
{
	uint32_t bytes;

	assert_true(take(f, &bytes));
	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(gmem_span(f->vm.memory, REPLY_GPA + n * ROOM_BYTES, bytes), text, bytes);
}

static void assert_failed(struct fixture *f, unsigned int n, int error)
{
	const uint8_t *reply = gmem_span(f->vm.memory, REPLY_GPA + n * ROOM_BYTES, ERROR_BYTES);
	uint32_t bytes;

	assert_true(take(f, &bytes));
	assert_int_equal(bytes, ERROR_BYTES);
	assert_int_equal(load_le32(reply), ERROR_BYTES);
	assert_int_equal(reply[4], 7);
	assert_int_equal(load_le16(reply + 5), n);
	assert_int_equal(load_le32(reply + 7), -error);
}

static bool nothing_used(struct fixture *f)
{
	uint32_t bytes;

	return !take(f, &bytes);
}

static uint64_t metric(struct fixture *f, const char *name)
{
	for (size_t i = 0; i < f->device->metric_count; i++)
		if (!strcmp(f->device->metrics[i].name, name))
			return metric_read(&f->device->metrics[i].counter);
	fail();
	return 0;
}

static void test_config_and_start(void **state)
{
	struct fixture *f = *state;
	uint8_t config[16];

	assert_string_equal(fake_share_server.path, "/some/folder");
	assert_false(fake_share_server.setup.readonly);
	virtio_config_read(f->driver.vdev, 0, config, 8);
	assert_memory_equal(config, "\x06\0share0", 8);
	assert_int_equal(virtio_offered_features(f->driver.vdev, 0) & 1, 1);
}

static void test_there_and_back(void **state)
{
	struct fixture *f = *state;
	const uint32_t size = ROOM_BYTES;
	uint8_t bytes[ROOM_BYTES];

	for (unsigned int i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_int_equal(gmem_write(f->vm.memory, REQUEST_GPA, bytes, size), 0);
	ask(f, 0, size, size);
	kick(f);
	assert_true(nothing_used(f));
	assert_int_equal(serve(f), 0);
	assert_memory_equal(f->request + HEADER, bytes + HEADER, size - HEADER);
	fake_share_reply(bytes, size);
	fake_driver_settle(&f->driver);
	assert_int_equal(fake_transport.used_notifications[0], 1);
	assert_memory_equal(gmem_span(f->vm.memory, REPLY_GPA, size), bytes, size);
	assert_int_equal(metric(f, "requests"), 1);
	assert_int_equal(metric(f, "bytes_from_guest"), size);
	assert_int_equal(metric(f, "bytes_to_guest"), size);
	assert_int_equal(metric(f, "failed_requests"), 0);
}

static void test_segments(void **state)
{
	struct fixture *f = *state;
	const struct fake_driver_buffer buffers[] = {
		{ REQUEST_GPA, 3, false },     { REQUEST_GPA + 100, 4, false },
		{ REQUEST_GPA + 200, 5, false }, { REPLY_GPA, 6, true },
		{ REPLY_GPA + 100, 1, true },  { REPLY_GPA + 200, 20, true },
	};
	uint32_t bytes;

	assert_int_equal(gmem_write(f->vm.memory, REQUEST_GPA, "\x0c\0\0", 3), 0);
	assert_int_equal(gmem_write(f->vm.memory, REQUEST_GPA + 100, "\0\x6e\x22\0", 4), 0);
	assert_int_equal(gmem_write(f->vm.memory, REQUEST_GPA + 200, "hello", 5), 0);
	fake_driver_add(&f->driver, 0, buffers, 6);
	kick(f);
	assert_int_equal(serve(f), 0x22);
	assert_memory_equal(f->request + HEADER, "hello", 5);
	answer(f, "abcdefghijk");
	assert_true(take(f, &bytes));
	assert_int_equal(bytes, 11);
	assert_memory_equal(gmem_span(f->vm.memory, REPLY_GPA, 6), "abcdef", 6);
	assert_memory_equal(gmem_span(f->vm.memory, REPLY_GPA + 100, 2), "g\0", 2);
	assert_memory_equal(gmem_span(f->vm.memory, REPLY_GPA + 200, 5), "hijk\0", 5);
}

static void test_many_in_flight(void **state)
{
	struct fixture *f = *state;
	char text[32];

	for (unsigned int i = 0; i < 60; i++)
		ask(f, i, 20, 100);
	kick(f);
	for (unsigned int i = 0; i < IN_FLIGHT; i++)
		assert_int_equal(serve(f), i);
	assert_int_equal(fake_share_receive(text, sizeof(text)), 0);
	for (unsigned int i = 0; i < 60; i++) {
		snprintf(text, sizeof(text), "reply number %u", i);
		answer(f, text);
		assert_replied(f, i, text);
		if (i + IN_FLIGHT < 60)
			assert_int_equal(serve(f), i + IN_FLIGHT);
	}
	assert_true(nothing_used(f));
}

/* Requests larger than what the socket takes: one waits until there is room. */
static void test_a_full_socket(void **state)
{
	struct fixture *f = *state;
	unsigned int served = 0;

	fake_driver_reset(&f->driver);
	assert_int_equal(setsockopt(fake_share_server.device_fd, SOL_SOCKET, SO_SNDBUF,
	                            &(int){ 16384 }, sizeof(int)),
	                 0);
	assert_true(fake_driver_start(&f->driver, 1, 1, 128));
	for (unsigned int i = 0; i < 40; i++)
		ask(f, i, ROOM_BYTES, 100);
	kick(f);
	for (unsigned int i = 0; i < 40; i++) {
		assert_int_equal(serve(f), i);
		served++;
		answer(f, "reply of a request");
		assert_replied(f, i, "reply of a request");
	}
	assert_true(nothing_used(f));
	assert_int_equal(served, 40);
	assert_int_equal(metric(f, "failed_requests"), 0);
}

static void test_requests_that_go_nowhere(void **state)
{
	struct fixture *f = *state;
	const struct fake_driver_buffer large[] = {
		{ REQUEST_GPA, SHARE_MESSAGE_MAX_BYTES + 1, false }, { REPLY_GPA, 100, true }
	};
	uint32_t bytes;

	ask(f, 1, 6, 100); /* no header */
	ask(f, 2, 20, 10); /* no room for an error */
	ask(f, 3, 20, 0);
	kick(f);
	assert_true(take(f, &bytes) && bytes == ERROR_BYTES);
	assert_int_equal(load_le32(gmem_span(f->vm.memory, REPLY_GPA + ROOM_BYTES + 7, 4)), EPROTO);
	assert_int_equal(load_le16(gmem_span(f->vm.memory, REPLY_GPA + ROOM_BYTES + 5, 6)), 0xffff);
	assert_true(take(f, &bytes) && bytes == 0);
	assert_true(take(f, &bytes) && bytes == 0);
	ask(f, 0, 20, 100);
	kick(f);
	assert_int_equal(serve(f), 0);
	answer(f, "still answered");
	assert_replied(f, 0, "still answered");
	fake_driver_add(&f->driver, 0, large, 2);
	kick(f);
	assert_failed(f, 0, -EMSGSIZE);
	assert_int_equal(metric(f, "failed_requests"), 4);
	assert_int_equal(metric(f, "requests"), 1);
}

static void test_a_reply_too_long(void **state)
{
	struct fixture *f = *state;

	ask(f, 5, 20, 12);
	ask(f, 6, 20, 13);
	kick(f);
	assert_int_equal(serve(f), 5);
	assert_int_equal(serve(f), 6);
	answer(f, "thirteen byte");
	assert_failed(f, 5, -EMSGSIZE);
	assert_int_equal(*(const char *)gmem_span(f->vm.memory, REPLY_GPA + 5 * ROOM_BYTES + 12, 1), 0);
	answer(f, "thirteen byte");
	assert_replied(f, 6, "thirteen byte");
}

/* What was asked before a reset is answered into nothing, not to the next driver. */
static void test_reset_in_flight(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 20; i++)
		ask(f, i, 20, 100);
	kick(f);
	assert_int_equal(serve(f), 0);
	answer(f, "the first in time");
	assert_replied(f, 0, "the first in time");
	fake_driver_reset(&f->driver);
	answer(f, "while there is no driver");
	assert_true(fake_driver_start(&f->driver, 1, 1, 128));
	ask(f, 40, 20, 100);
	kick(f);
	for (unsigned int i = 1; i <= IN_FLIGHT; i++)
		assert_int_equal(serve(f), i);
	assert_int_equal(serve(f), 40);
	for (unsigned int i = 0; i + 1 < IN_FLIGHT; i++)
		answer(f, "a reply that comes late");
	assert_true(nothing_used(f));
	answer(f, "for the new one");
	assert_replied(f, 40, "for the new one");
	assert_true(nothing_used(f));
}

static void test_queue_stop_in_flight(void **state)
{
	struct fixture *f = *state;

	ask(f, 1, 20, 100);
	kick(f);
	virtio_queue_set_ready(f->driver.vdev, 0, false);
	assert_int_equal(serve(f), 1);
	answer(f, "nobody takes it");
	assert_int_equal(*(const char *)gmem_span(f->vm.memory, REPLY_GPA + ROOM_BYTES, 1), 0);
}

static void test_server_ends(void **state)
{
	struct fixture *f = *state;
	char line[256] = "";

	for (unsigned int i = 0; i < 30; i++)
		ask(f, i, 20, 100);
	kick(f);
	assert_int_equal(serve(f), 0);
	answer(f, "the only reply");
	assert_replied(f, 0, "the only reply");
	fake_share_end();
	fake_driver_settle(&f->driver);
	for (unsigned int i = 1; i < 30; i++)
		assert_failed(f, i, -EIO);
	ask(f, 31, 20, 100);
	ask(f, 32, 20, 100);
	kick(f);
	assert_failed(f, 31, -EIO);
	assert_failed(f, 32, -EIO);
	assert_int_equal(metric(f, "failed_requests"), 31);
	fake_share_server.setup.ended(fake_share_server.setup.ctx, SIGKILL);
	assert_true(read(f->log_fds[0], line, sizeof(line) - 1) > 0);
	assert_non_null(strstr(line, "share0: the server of the folder was ended by signal 9"));
	/* A reset brings no server. */
	fake_driver_reset(&f->driver);
	assert_true(fake_driver_start(&f->driver, 1, 1, 128));
	ask(f, 33, 20, 100);
	kick(f);
	assert_failed(f, 33, -EIO);
}

/* It ends with nothing in flight, and by saying what nobody asked for. */
static void test_server_ends_idle(void **state)
{
	struct fixture *f = *state;

	answer(f, "unasked for");
	ask(f, 1, 20, 100);
	kick(f);
	assert_failed(f, 1, -EIO);
}

static void test_server_ends_in_a_reset_device(void **state)
{
	struct fixture *f = *state;

	ask(f, 1, 20, 100);
	kick(f);
	fake_driver_reset(&f->driver);
	fake_share_end();
	fake_driver_settle(&f->driver);
	assert_true(fake_driver_start(&f->driver, 1, 1, 128));
	ask(f, 2, 20, 100);
	kick(f);
	assert_failed(f, 2, -EIO);
}

/* More than a turn of a server that is gone: the loop comes back by itself. */
static void test_a_whole_queue_of_errors(void **state)
{
	struct fixture *f = *state;
	uint32_t bytes;

	fake_share_end();
	fake_driver_settle(&f->driver);
	for (unsigned int round = 0; round < 4; round++) {
		for (unsigned int i = 0; i < 64; i++)
			ask(f, i, 20, 100);
		kick(f);
		for (unsigned int i = 0; i < 64; i++)
			assert_true(take(f, &bytes) && bytes == ERROR_BYTES);
	}
}

static void test_memory_that_goes_while_held(void **state)
{
	struct fixture *f = *state;
	const struct fake_driver_buffer buffers[] = { { REQUEST_GPA, 20, false },
		                                      { RAM_BYTES, 100, true } };
	uint32_t bytes;

	assert_int_equal(gmem_add_region(f->vm.memory, RAM_BYTES, MIB, false, NULL), 0);
	fake_driver_add(&f->driver, 0, buffers, 2);
	ask(f, 1, 20, 100);
	kick(f);
	assert_int_equal(gmem_remove_region(f->vm.memory, RAM_BYTES), 0);
	answer(f, "to nowhere at all");
	assert_true(take(f, &bytes));
	assert_int_equal(bytes, 0);
	answer(f, "to where it was");
	assert_replied(f, 1, "to where it was");
}

/* The last one waits for room in the socket when the memory of all replies goes: ends says whether
 * the server does too. */
static void memory_goes_while_one_waits(struct fixture *f, bool ends)
{
	unsigned int answered = 0;
	uint32_t bytes;

	fake_driver_reset(&f->driver);
	assert_int_equal(setsockopt(fake_share_server.device_fd, SOL_SOCKET, SO_SNDBUF,
	                            &(int){ 16384 }, sizeof(int)),
	                 0);
	assert_true(fake_driver_start(&f->driver, 1, 1, 128));
	assert_int_equal(gmem_add_region(f->vm.memory, RAM_BYTES, MIB, false, NULL), 0);
	for (unsigned int i = 0; i < IN_FLIGHT; i++) {
		const struct fake_driver_buffer buffers[] = { { REQUEST_GPA, ROOM_BYTES, false },
			                                      { RAM_BYTES, 100, true } };

		fake_driver_add(&f->driver, 0, buffers, 2);
	}
	kick(f);
	assert_int_equal(gmem_remove_region(f->vm.memory, RAM_BYTES), 0);
	if (ends) {
		fake_share_end();
		fake_driver_settle(&f->driver);
	}
	while (!ends && fake_share_receive(f->request, sizeof(f->request)))
		answer(f, "to nowhere at all");
	while (take(f, &bytes)) {
		assert_int_equal(bytes, 0);
		answered++;
	}
	assert_int_equal(metric(f, "requests") < IN_FLIGHT, true);
	assert_in_range(answered, 1, IN_FLIGHT);
}

static void test_memory_that_goes_while_one_waits(void **state)
{
	memory_goes_while_one_waits(*state, false);
}

static void test_memory_and_server_that_go_while_one_waits(void **state)
{
	memory_goes_while_one_waits(*state, true);
}

static void test_broken_ring_with_requests_in_flight(void **state)
{
	struct fixture *f = *state;
	const struct fake_driver_buffer outside = { RAM_BYTES, 16, true };

	ask(f, 1, 20, 100);
	fake_driver_add(&f->driver, 0, &outside, 1);
	kick(f);
	assert_true(virtio_status(f->driver.vdev) & 0x40);
	answer(f, "no use any more");
	assert_int_equal(*(const char *)gmem_span(f->vm.memory, REPLY_GPA + ROOM_BYTES, 1), 0);
	fake_driver_reset(&f->driver);
	assert_true(fake_driver_start(&f->driver, 1, 1, 128));
	(void)serve(f);
	ask(f, 2, 20, 100);
	kick(f);
	assert_int_equal(serve(f), 2);
	answer(f, "well again");
	assert_replied(f, 2, "well again");
}

static void test_hostile_chains(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fake_driver_run_hostile_chains(&f->driver, 1, 0, REQUEST_GPA, RAM_BYTES), 0);
}

static void test_tags(void **state)
{
	struct fixture *f = *state;
	struct device *second = NULL;
	struct error err = ERROR_INIT;
	char longest[80];
	uint8_t config[8];

	list_append(&f->vm.devices, &f->device->node);
	assert_int_equal(virtio_9p_class.create(&f->vm, &f->config, &second, &err), -EINVAL);
	assert_non_null(strstr(err.message, "share0"));
	memset(longest, 'x', sizeof(longest));
	longest[64] = 0;
	device_config_set_string(&f->config, "tag", longest);
	assert_int_equal(virtio_9p_class.create(&f->vm, &f->config, &second, &err), -EINVAL);
	device_config_set_string(&f->config, "tag", "");
	assert_int_equal(virtio_9p_class.create(&f->vm, &f->config, &second, &err), -EINVAL);
	device_config_set_string(&f->config, "tag", "a b");
	assert_int_equal(virtio_9p_class.create(&f->vm, &f->config, &second, &err), -EINVAL);
	assert_null(second);
	assert_int_equal(fake_share_server.starts, 1);
	list_remove(&f->device->node);
	/* The first goes, since there is one fake. */
	virtio_9p_class.destroy(f->device);
	device_config_set_string(&f->config, "tag", "/dev/root");
	device_config_set_number(&f->config, "readonly", 1);
	assert_int_equal(make(f, NULL), 0);
	assert_true(fake_share_server.setup.readonly);
	virtio_config_read(container_of(f->device, struct virtio_device, device), 2, config, 8);
	assert_memory_equal(config, "/dev/roo", 8);
}

static void test_create_failures(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	virtio_9p_class.destroy(f->device);
	f->device = NULL;
	fake_share_server.start_result = -ENOTDIR;
	assert_int_equal(make(f, &err), -ENOTDIR);
	assert_null(f->device);
	fake_share_server.start_result = 0;
	fake_transport.fail_create = -ENOSPC;
	assert_int_equal(make(f, &err), -ENOSPC);
	assert_int_equal(fake_share_server.starts, 1);
	fake_transport.fail_create = 0;
	f->config.property_count = 0;
	assert_int_equal(make(f, &err), -EINVAL);
	virtio_9p_class.destroy(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_config_and_start),
		TEST(test_there_and_back),
		TEST(test_segments),
		TEST(test_many_in_flight),
		TEST(test_a_full_socket),
		TEST(test_requests_that_go_nowhere),
		TEST(test_a_reply_too_long),
		TEST(test_reset_in_flight),
		TEST(test_queue_stop_in_flight),
		TEST(test_server_ends),
		TEST(test_server_ends_idle),
		TEST(test_server_ends_in_a_reset_device),
		TEST(test_a_whole_queue_of_errors),
		TEST(test_memory_that_goes_while_held),
		TEST(test_memory_that_goes_while_one_waits),
		TEST(test_memory_and_server_that_go_while_one_waits),
		TEST(test_broken_ring_with_requests_in_flight),
		TEST(test_hostile_chains),
		TEST(test_tags),
		TEST(test_create_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
