/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_fixture control_server control_guest user_folder fake_vm fake_balloon */
/* fakes: fake_reclaim fake_kvm fake_arch fake_device_table */
/* Memory return on command over the socket: the answer that comes later, and who gets it. */
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
#include "client_fixture.h"

static void open_client(struct client_connection *connection)
{
	struct error err = ERROR_INIT;

	assert_int_equal(client_connect("guest", connection, &err), 0);
}

static void ask(struct client_connection *connection, const char *request)
{
	struct error err = ERROR_INIT;

	assert_int_equal(client_send_request(connection, json_loads(request, 0, NULL), &err), 0);
	control_server_settle(&server);
}

/* The next reply's text, "" when there is none yet. The caller frees it. */
static char *reply_within(struct client_connection *connection, int timeout_ms)
{
	struct error err = ERROR_INIT;
	json_t *reply;
	char *text;

	if (client_wait_reply(connection, timeout_ms, &reply, &err))
		return strdup("");
	text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	return text;
}

static void expect_reply(struct client_connection *connection, const char *part)
{
	char *text = reply_within(connection, 5000);

	if (!strstr(text, part))
		fail_msg("%s", text);
	free(text);
}

static void expect_none(struct client_connection *connection)
{
	char *text = reply_within(connection, 50);

	assert_string_equal(text, "");
	free(text);
}

#define RECLAIM "{\"execute\": \"x-ebb-reclaim\", \"id\": 7}"

static void the_answer_comes_with_the_end(void **state)
{
	struct client_connection client, other;

	(void)state;
	open_client(&client);
	open_client(&other);
	ask(&client, RECLAIM);
	expect_none(&client);
	assert_true(server.guest.balloon.run.keep_bytes == BALLOON_KEEP_DEFAULT);
	/* Who waits is not heard; others are. */
	ask(&client, "{\"execute\": \"query-name\"}");
	expect_none(&client);
	ask(&other, "{\"execute\": \"x-ebb-query-reclaim-run\"}");
	expect_reply(&other, "\"phase\":\"inflating\"");
	/* The end of somebody else's run is not this one's. */
	control_server_tell(&server, VM_EVENT_RECLAIM_ENDED, 1);
	expect_none(&client);
	assert_true(control_server_end_run(&server, BALLOON_RUN_DONE));
	expect_reply(&client, "\"returned_bytes\":41943040,\"end\":\"done\"},\"id\":7}");
	expect_reply(&client, "{\"return\":{\"name\":\"guest\"}}");
	assert_int_equal(server.guest.balloon.run_cancelled, 0);
	client_disconnect(&client);
	client_disconnect(&other);
}

static void arguments_are_checked(void **state)
{
	static const struct {
		const char *request, *reply;
	} rows[] = {
		{ "{\"execute\": \"x-ebb-reclaim\", \"arguments\": {\"keep\": -1}}",
		  "reclaim: keep -1: not a size (give bytes)" },
		{ "{\"execute\": \"x-ebb-reclaim\", \"arguments\": {\"keep\": \"64M\"}}",
		  "the argument 'keep' must be an integer" },
	};
	struct client_connection client;

	(void)state;
	open_client(&client);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ask(&client, rows[i].request);
		expect_reply(&client, rows[i].reply);
	}
	assert_int_equal(server.guest.balloon.run.serial, 0);
	fake_vm.state = VM_STATE_PAUSED;
	ask(&client, RECLAIM);
	expect_reply(&client, "the guest is paused");
	fake_vm.state = VM_STATE_RUNNING;
	server.guest.balloon.result = -EBUSY;
	ask(&client, RECLAIM);
	expect_reply(&client, "the fake balloon refuses");
	server.guest.vm.balloon = NULL;
	ask(&client, RECLAIM);
	expect_reply(&client, "DeviceNotActive");
	server.guest.vm.balloon = &server.guest.balloon;
	client_disconnect(&client);
}

static void who_hangs_up_cancels(void **state)
{
	struct client_connection client;

	(void)state;
	open_client(&client);
	ask(&client, "{\"execute\": \"x-ebb-reclaim\", \"arguments\": {\"keep\": 5}}");
	assert_int_equal(server.guest.balloon.run.keep_bytes, 5);
	client_disconnect(&client);
	for (int tries = 0; tries < 1000 && !server.guest.balloon.run_cancelled; tries++) {
		control_server_settle(&server);
		usleep(1000);
	}
	assert_int_equal(server.guest.balloon.run_cancelled, 1);
	/* Its end finds nobody. */
	assert_true(control_server_end_run(&server, BALLOON_RUN_DONE));
	/* One that did not ask cancels nothing. */
	open_client(&client);
	client_disconnect(&client);
	control_server_settle(&server);
	assert_int_equal(server.guest.balloon.run_cancelled, 1);
}

static void an_end_of_input_does_not(void **state)
{
	struct client_connection client;

	(void)state;
	open_client(&client);
	ask(&client, RECLAIM);
	shutdown(client.fd, SHUT_WR);
	control_server_settle(&server);
	expect_none(&client);
	assert_int_equal(server.guest.balloon.run_cancelled, 0);
	assert_true(control_server_end_run(&server, BALLOON_RUN_DONE));
	expect_reply(&client, "\"end\":\"done\"");
	assert_int_equal(client_wait_end(&client, 5000), 0);
	client_disconnect(&client);
}

/* An ebb that ends while a client waits. */
static void an_end_of_all_leaves_nothing(void **state)
{
	struct client_connection client;

	(void)state;
	open_client(&client);
	ask(&client, RECLAIM);
	control_server_end(&server);
	assert_int_equal(client_wait_end(&client, 5000), 0);
	client_disconnect(&client);
}

static void reporting_is_set_in_parts(void **state)
{
	static const struct {
		const char *arguments, *reply;
	} rows[] = {
		{ "{}",
		  "{\"paused\":false,\"minimum_range_bytes\":0,\"rate_limit_bytes_per_s\":0}" },
		{ "{\"paused\": true}", "\"paused\":true" },
		{ "{\"minimum-range\": 4194304}", "{\"paused\":true,\"minimum_range_bytes\":"
		                                  "4194304,\"rate_limit_bytes_per_s\":0}" },
		{ "{\"rate-limit\": 100, \"paused\": false}",
		  "{\"paused\":false,\"minimum_range_bytes\":4194304,\"rate_limit_bytes_per_s\":"
		  "100}" },
		{ "{\"paused\": true, \"rate-limit\": -1}",
		  "x-ebb-set-reporting: rate-limit -1: below 0 (0 takes it away)" },
		{ "{\"paused\": 1}", "the argument 'paused' must be a boolean" },
		{ "{}", "\"paused\":false" },
	};
	struct client_connection client;
	char request[256];

	(void)state;
	open_client(&client);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(request, sizeof(request),
		         "{\"execute\": \"x-ebb-set-reporting\", \"arguments\": %s}",
		         rows[i].arguments);
		ask(&client, request);
		expect_reply(&client, rows[i].reply);
	}
	ask(&client, "{\"execute\": \"x-ebb-query-reclaim\"}");
	expect_reply(&client, "\"reporting\":{\"paused\":false,\"minimum_range_bytes\":4194304,");
	client_disconnect(&client);
}

static void the_way_of_inflated_pages_can_be_set(void **state)
{
	struct client_connection client;

	(void)state;
	open_client(&client);
	ask(&client, "{\"execute\": \"x-ebb-set-inflate\", \"arguments\": {\"page-by-page\": "
	             "true, \"hold\": 250}}");
	expect_reply(&client, "{\"page-by-page\":true,\"hold\":250}");
	assert_true(server.guest.balloon.release.hold_ns == 250 * NS_PER_MS);
	ask(&client, "{\"execute\": \"x-ebb-set-inflate\", \"arguments\": {\"hold\": 60001}}");
	expect_reply(&client, "at most 60000 ms");
	client_disconnect(&client);
}

/* How many balloon events arrive within timeout_ms, and the last one's value. */
static unsigned int count_balloon_events(int fd, unsigned int most, int64_t *ret_value)
{
	unsigned int count = 0;
	json_t *message;

	while (count < most && (message = json_loadfd(fd, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
		const json_t *data = json_object_get(message, "data");

		*ret_value = json_integer_value(json_object_get(data, "actual"));
		count++;
		json_decref(message);
	}
	return count;
}

static void a_balloon_that_changes_is_told_of_once_a_second(void **state)
{
	struct client_connection client;
	struct timeval timeout = { .tv_usec = 300 * 1000 };
	int64_t value = 0;

	(void)state;
	open_client(&client);
	control_server_flood(&server, VM_EVENT_BALLOON_CHANGE, 1000);
	assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)),
	                 0);
	assert_int_equal(count_balloon_events(client.fd, 2, &value), 1);
	assert_int_equal(value, 0);
	/* The last one comes when its time has. */
	timeout.tv_sec = 3;
	assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)),
	                 0);
	assert_int_equal(count_balloon_events(client.fd, 1, &value), 1);
	assert_int_equal(value, 999);
	client_disconnect(&client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_answer_comes_with_the_end),
		TEST(arguments_are_checked),
		TEST(who_hangs_up_cancels),
		TEST(an_end_of_input_does_not),
		TEST(an_end_of_all_leaves_nothing),
		TEST(reporting_is_set_in_parts),
		TEST(the_way_of_inflated_pages_can_be_set),
		TEST(a_balloon_that_changes_is_told_of_once_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
