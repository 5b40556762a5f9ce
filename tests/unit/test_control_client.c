/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: control_guest fake_vm fake_balloon fake_reclaim fake_kvm fake_arch */
/* fakes: fake_device_table */
/* A client's socket: what is heard, what waits to be sent, and when it is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/control_private.h"
#include "control_guest.h"
#include "ebb/event_loop.h"
#include "open_fds.h"

#define CAPABILITIES "{\"execute\": \"qmp_capabilities\"}\n"
#define QUERY_NAME   "{\"execute\": \"query-name\"}\n"

static struct control_guest guest;
static struct control_shared shared;
static struct event_work reap, stop;
static struct control_client *client;
static unsigned int reaped;
static int peer_fd;
static size_t fds_before;

static void count_reap(void *ctx)
{
	(void)ctx;
	reaped++;
}

static void stop_loop(void *ctx)
{
	event_loop_stop(ctx);
}

/* What is ready now is handled, and what that brings about. */
static void turn(void)
{
	for (int i = 0; i < 3; i++) {
		event_work_post(&stop);
		assert_int_equal(event_loop_run(guest.vm.main_loop), 0);
	}
}

static int set_up(void **state)
{
	int fds[2];

	(void)state;
	fds_before = open_fd_count();
	reaped = 0;
	control_guest_create(&guest);
	assert_int_equal(event_loop_create(NULL, &guest.vm.main_loop, NULL), 0);
	shared = (struct control_shared){ .vm = &guest.vm };
	event_work_init(&reap, guest.vm.main_loop, count_reap, NULL);
	event_work_init(&stop, guest.vm.main_loop, stop_loop, guest.vm.main_loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	                 0);
	peer_fd = fds[1];
	return control_client_create(&shared, &reap, fds[0], &client);
}

static int tear_down(void **state)
{
	(void)state;
	control_client_free(client);
	if (peer_fd >= 0)
		close(peer_fd);
	event_work_cancel(&reap);
	event_loop_destroy(guest.vm.main_loop);
	control_guest_destroy(&guest);
	return open_fd_count() == fds_before ? 0 : -1;
}

static void say(const char *text)
{
	assert_int_equal(send(peer_fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static const char *hear(void)
{
	static char text[1 << 16];
	ssize_t length = recv(peer_fd, text, sizeof(text) - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	return text;
}

static void requests_are_answered_in_order(void **state)
{
	(void)state;
	say(CAPABILITIES QUERY_NAME);
	turn();
	assert_string_equal(hear(), "{\"return\": {}}\n{\"return\": {\"name\": \"guest\"}}\n");
	assert_int_equal(reaped, 0);
}

static void its_end_of_input_is_answered_before_it_is_lost(void **state)
{
	(void)state;
	say(CAPABILITIES);
	assert_int_equal(shutdown(peer_fd, SHUT_WR), 0);
	turn();
	assert_string_equal(hear(), "{\"return\": {}}\n");
	assert_int_equal(client->fd, -1);
	assert_int_equal(reaped, 1);
}

static void one_that_is_lost_takes_nothing_more(void **state)
{
	(void)state;
	close(peer_fd);
	peer_fd = -1;
	turn();
	assert_int_equal(client->fd, -1);
	assert_int_equal(reaped, 1);
	client->session.send(&client->session, "x", 1);
	control_client_update(client);
	control_client_handle(client);
	control_client_lose(client);
	turn();
	assert_int_equal(reaped, 1);
}

/* Sends until some of it waits; how many bytes altogether. */
static size_t fill_socket(void)
{
	static char block[4096];
	size_t sent = 0;

	memset(block, 'x', sizeof(block));
	while (client->output_start == client->output_size_bytes) {
		client->session.send(&client->session, block, sizeof(block));
		sent += sizeof(block);
	}
	return sent;
}

static void what_the_socket_does_not_take_waits(void **state)
{
	size_t sent, heard = 0, length;

	(void)state;
	sent = fill_socket();
	control_client_say(client, "not while something waits");
	control_client_update(client);
	do {
		length = strlen(hear());
		heard += length;
		turn();
	} while (length);
	assert_int_equal(heard, sent);
	assert_null(client->output);
	control_client_say(client, "now\n");
	assert_string_equal(hear(), "now\n");
	assert_int_equal(reaped, 0);
}

static void one_that_never_reads_is_lost_at_last(void **state)
{
	static char block[64 * 1024];

	(void)state;
	(void)fill_socket();
	for (size_t i = 0; i <= CONTROL_OUTPUT_MAX_BYTES / sizeof(block); i++)
		client->session.send(&client->session, block, sizeof(block));
	assert_int_equal(client->fd, -1);
	turn();
	assert_int_equal(reaped, 1);
}

/* Past what may wait it must read before it is heard again. */
static void one_that_reads_too_little_is_not_heard(void **state)
{
	static char block[64 * 1024];

	(void)state;
	(void)fill_socket();
	client->session.send(&client->session, block, sizeof(block));
	control_client_update(client);
	say(CAPABILITIES);
	turn();
	assert_false(client->session.negotiated);
	while (*hear())
		turn();
	turn();
	assert_true(client->session.negotiated);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(requests_are_answered_in_order),
		TEST(its_end_of_input_is_answered_before_it_is_lost),
		TEST(one_that_is_lost_takes_nothing_more),
		TEST(what_the_socket_does_not_take_waits),
		TEST(one_that_never_reads_is_lost_at_last),
		TEST(one_that_reads_too_little_is_not_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
