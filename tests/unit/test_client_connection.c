/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* A client's side of the connection: what it makes of good and bad servers. */
#include <errno.h>
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
#include <jansson.h>

#include "../../src/client_private.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n"
#define RETURN   "{\"return\": {}}\n"
#define EVENT    "{\"event\": \"STOP\", \"timestamp\": {}}\n"

/* A connection whose server says all of text at once and hangs up; err as client_start set it. */
static int start(const char *text, struct client_connection *connection, struct error *err)
{
	int fds[2], size_bytes = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size_bytes, sizeof(size_bytes));
	assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
	shutdown(fds[1], SHUT_WR);
	*err = (struct error)ERROR_INIT;
	if (client_start(fds[0], connection, err)) {
		close(fds[1]);
		return -1;
	}
	return fds[1];
}

static void a_conversation_skips_events(void **state)
{
	struct client_connection connection;
	struct error err;
	json_t *result;
	int fd = start(GREETING EVENT RETURN EVENT "{\"return\": {\"a\": {\"b\": 5, \"c\": -1, "
	                                           "\"d\": \"x\"}}}\n" EVENT,
	               &connection, &err);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(
		client_command(&connection, "query", json_pack("{s:i}", "n", 1), &result, &err), 0);
	assert_int_equal(client_number(result, "a.b"), 5);
	assert_int_equal(client_number(result, "a.c"), 0);
	assert_int_equal(client_number(result, "a.d"), 0);
	assert_int_equal(client_number(result, "a.b.c"), 0);
	assert_int_equal(client_number(result, "x.b"), 0);
	assert_string_equal(client_string(json_object_get(result, "a"), "d"), "x");
	assert_string_equal(client_string(result, "nothing"), "");
	json_decref(result);
	assert_int_equal(client_wait_event(&connection, 1000), 0);
	assert_int_equal(client_wait_event(&connection, 1000), -EPIPE);
	assert_int_equal(client_wait_end(&connection, 1000), 0);
	client_disconnect(&connection);
	close(fd);
}

static void an_error_reply_is_the_message(void **state)
{
	struct client_connection connection;
	struct error err;
	json_t *result;
	int fd = start(GREETING RETURN "{\"error\": {\"class\": \"GenericError\", \"desc\": "
	                               "\"no\"}}\n{\"error\": 5}\n",
	               &connection, &err);

	(void)state;
	assert_int_equal(client_command(&connection, "a", NULL, &result, &err), -EREMOTEIO);
	assert_string_equal(err.message, "no");
	assert_int_equal(client_command(&connection, "b", NULL, &result, &err), -EREMOTEIO);
	assert_string_equal(err.message, "refused, without a reason");
	assert_int_equal(client_command(&connection, "c", NULL, &result, &err), -EPIPE);
	assert_string_equal(err.message, "the guest's ebb hung up before it answered");
	client_disconnect(&connection);
	close(fd);
}

static void bad_greetings_are_errors(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = {
		{ "", "the control socket gives no greeting: Broken pipe" },
		{ "{\"QMP\": ", "the control socket gives no greeting: Broken pipe" },
		{ "SSH-2.0\n", "the control socket gives no greeting: Protocol error" },
		{ "[]\n", "the control socket gives no greeting: Protocol error" },
		{ "{\"error\": {\"desc\": \"too many clients are connected\"}}\n",
		  "the guest's ebb refuses: too many clients are connected" },
		{ GREETING, "the guest's ebb hung up before it answered" },
		{ GREETING "garbage\n", "the control socket: Protocol error" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct client_connection connection;
		struct error err;

		assert_int_equal(start(rows[i].text, &connection, &err), -1);
		assert_string_equal(err.message, rows[i].message);
	}
}

static void a_long_reply_arrives_whole(void **state)
{
	const size_t text_bytes = 200000;
	char *text = malloc(text_bytes + 200);
	struct client_connection connection;
	struct error err;
	json_t *result;
	int length = sprintf(text, GREETING RETURN "{\"return\": \""), fd;

	(void)state;
	memset(text + length, 'x', text_bytes);
	strcpy(text + (size_t)length + text_bytes, "\"}\n");
	fd = start(text, &connection, &err);
	assert_true(fd >= 0);
	assert_int_equal(client_command(&connection, "a", NULL, &result, &err), 0);
	assert_int_equal(json_string_length(result), text_bytes);
	json_decref(result);
	client_disconnect(&connection);
	close(fd);
	free(text);
}

static void an_answer_that_does_not_come_is_waited_for_only_so_long(void **state)
{
	struct client_connection connection;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	connection = (struct client_connection){ .fd = fds[0] };
	assert_int_equal(client_wait_event(&connection, 10), 0);
	assert_int_equal(client_wait_end(&connection, 10), -ETIMEDOUT);
	client_disconnect(&connection);
	close(fds[1]);
}

static void sizes_are_told_in_units(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ KIB, "1.0 KiB" },
		{ 1536, "1.5 KiB" },
		{ 512 * MIB, "512.0 MiB" },
		{ 6 * GIB, "6.0 GiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[CLIENT_SIZE_TEXT_MAX];

		assert_string_equal(client_format_bytes(rows[i].bytes, text), rows[i].text);
	}
}

/* A server may act on it and be gone as soon as the closing brace is there. */
static void a_request_is_sent_in_one_piece(void **state)
{
	static const char expected[] = "{\"execute\":\"quit\"}\n";
	struct client_connection connection = { .fd = -1 };
	struct error err = ERROR_INIT;
	char line[64];
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	connection.fd = fds[0];
	assert_int_equal(
		client_send_request(&connection, json_pack("{s:s}", "execute", "quit"), &err), 0);
	assert_int_equal(read(fds[1], line, sizeof(line)), sizeof(expected) - 1);
	assert_memory_equal(line, expected, sizeof(expected) - 1);
	close(fds[1]);
	assert_int_equal(
		client_send_request(&connection, json_pack("{s:s}", "execute", "quit"), &err),
		-EPIPE);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_conversation_skips_events),
		cmocka_unit_test(an_error_reply_is_the_message),
		cmocka_unit_test(bad_greetings_are_errors),
		cmocka_unit_test(a_long_reply_arrives_whole),
		cmocka_unit_test(an_answer_that_does_not_come_is_waited_for_only_so_long),
		cmocka_unit_test(a_request_is_sent_in_one_piece),
		cmocka_unit_test(sizes_are_told_in_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
