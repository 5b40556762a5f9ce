/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: control_guest fake_vm fake_balloon fake_reclaim fake_kvm fake_arch */
/* fakes: fake_device_table */
/* QMP conversations, word for word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/control_private.h"
#include "control_guest.h"

struct talk {
	struct control_guest guest;
	struct control_shared shared;
	struct control_session session;
	char said[1 << 18];
	size_t said_bytes;
};

static struct talk *talk;

static void collect(struct control_session *session, const char *data, size_t size_bytes)
{
	(void)session;
	assert_true(talk->said_bytes + size_bytes < sizeof(talk->said));
	memcpy(talk->said + talk->said_bytes, data, size_bytes);
	talk->said_bytes += size_bytes;
	talk->said[talk->said_bytes] = '\0';
}

static int set_up(void **state)
{
	(void)state;
	talk = calloc(1, sizeof(*talk));
	control_guest_create(&talk->guest);
	talk->shared.vm = &talk->guest.vm;
	if (control_session_init(&talk->session, &talk->shared))
		return -1;
	talk->session.send = collect;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_session_fini(&talk->session);
	control_guest_destroy(&talk->guest);
	free(talk);
	return 0;
}

/* What the session says to text. */
static const char *ask(const char *text)
{
	size_t room_bytes;
	char *room = control_framer_space(&talk->session.framer, &room_bytes);

	assert_true(strlen(text) <= room_bytes);
	memcpy(room, text, strlen(text));
	control_framer_added(&talk->session.framer, strlen(text));
	talk->said_bytes = 0;
	talk->said[0] = '\0';
	while (control_session_step(&talk->session))
		;
	return talk->said;
}

static void negotiate(void)
{
	assert_string_equal(ask("{\"execute\": \"qmp_capabilities\"}"), "{\"return\": {}}\n");
}

#define EXECUTE(command) "{\"execute\": \"" command "\"}"
#define EXECUTE_WITH(command, members) \
	"{\"execute\": \"" command "\", \"arguments\": {" members "}}"
#define ERROR_REPLY(class, text) "{\"error\": {\"class\": \"" class "\", \"desc\": \"" text "\"}}\n"

static void a_conversation_begins_with_negotiation(void **state)
{
	(void)state;
	control_session_greet(&talk->session);
	assert_non_null(strstr(talk->said, "{\"QMP\": {\"version\": {\"qemu\": {\"major\": "));
	assert_non_null(strstr(talk->said, "\"package\": \"ebb "));
	assert_non_null(strstr(talk->said, "\"capabilities\": []}}\n"));
	assert_string_equal(ask(EXECUTE("query-status")),
	                    ERROR_REPLY("CommandNotFound",
	                                "query-status: negotiate with qmp_capabilities first"));
	assert_string_equal(ask(EXECUTE_WITH("qmp_capabilities", "\"enable\": [\"oob\"]")),
	                    ERROR_REPLY("GenericError",
	                                "qmp_capabilities: ebb has no capability that can be "
	                                "enabled"));
	assert_string_equal(ask(EXECUTE_WITH("qmp_capabilities", "\"enable\": []")),
	                    "{\"return\": {}}\n");
	assert_string_equal(ask(EXECUTE("qmp_capabilities")),
	                    ERROR_REPLY("CommandNotFound",
	                                "qmp_capabilities: capabilities were negotiated already"));
}

static void requests_are_answered_with_their_id(void **state)
{
	(void)state;
	negotiate();
	assert_string_equal(ask("{\"execute\": \"query-name\", \"id\": {\"a\": [1, null]}}"),
	                    "{\"return\": {\"name\": \"guest\"}, \"id\": {\"a\": [1, null]}}\n");
	assert_string_equal(
		ask("{\"execute\": \"nope\", \"id\": 7}"),
		"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"nope: there is "
		"no such command (see query-commands)\"}, \"id\": 7}\n");
	/* Several on a line, one over several lines. */
	assert_string_equal(ask(EXECUTE("query-name") EXECUTE("query-name")),
	                    "{\"return\": {\"name\": \"guest\"}}\n"
	                    "{\"return\": {\"name\": \"guest\"}}\n");
	assert_string_equal(ask("{\n\"execute\":\n\"query-name\"\n}\n"),
	                    "{\"return\": {\"name\": \"guest\"}}\n");
}

static void what_is_no_request_gets_an_error_and_the_next_one_an_answer(void **state)
{
	static const struct {
		const char *request, *reply;
	} rows[] = {
		{ "[]", ERROR_REPLY("GenericError", "a request must be a JSON object") },
		{ "{}", ERROR_REPLY("GenericError", "the request has no 'execute'") },
		{ "{\"execute\": 1}", ERROR_REPLY("GenericError", "'execute' must be a string") },
		{ "{\"execute\": \"stop\", \"arguments\": []}",
		  ERROR_REPLY("GenericError", "'arguments' must be an object") },
		{ "{\"execute\": \"stop\", \"argument\": {}}",
		  ERROR_REPLY("GenericError", "the request's member 'argument' is unknown") },
		{ "{\"exec-oob\": \"stop\"}",
		  ERROR_REPLY("GenericError", "the request's member 'exec-oob' is unknown") },
		{ EXECUTE("quit2"),
		  ERROR_REPLY("CommandNotFound",
		              "quit2: there is no such command (see query-commands)") },
		{ EXECUTE("balloon"),
		  ERROR_REPLY("GenericError", "balloon: the argument 'value' is missing") },
		{ EXECUTE_WITH("balloon", "\"value\": \"1\""),
		  ERROR_REPLY("GenericError", "balloon: the argument 'value' must be an integer") },
		{ EXECUTE_WITH("balloon", "\"value\": 1.5"),
		  ERROR_REPLY("GenericError", "balloon: the argument 'value' must be an integer") },
		{ EXECUTE_WITH("balloon", "\"value\": 1, \"z\": 1"),
		  ERROR_REPLY("GenericError", "balloon: the argument 'z' is unknown") },
		{ EXECUTE_WITH("stop", "\"now\": true"),
		  ERROR_REPLY("GenericError", "stop: the argument 'now' is unknown") },
		{ EXECUTE_WITH("qom-get", "\"path\": []"),
		  ERROR_REPLY("GenericError", "qom-get: the argument 'path' must be a string") },
	};
	static const char *const broken[] = {
		"nonsense\n",
		"{\"execute\": \"stop\"]\n",
		"{\"execute\": \"stop\n",
		"{\"execute\": \"\xff\xfe\"}",
		"{\"execute\": \"a\\u0000b\"}",
		"{\"execute\": \"stop\", \"execute\": \"cont\"}",
		"{\"id\": 99999999999999999999999, \"execute\": \"stop\"}",
		"\x01\x02\x03\n",
	};

	(void)state;
	negotiate();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(ask(rows[i].request), rows[i].reply);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		const char *begin = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"the "
				    "request is not JSON: ";
		const char *reply = ask(broken[i]);

		assert_memory_equal(reply, begin, strlen(begin));
		assert_ptr_equal(strchr(reply, '\n'), reply + strlen(reply) - 1);
	}
	assert_int_equal(fake_vm.pauses, 0);
	assert_string_equal(ask(EXECUTE("query-name")), "{\"return\": {\"name\": \"guest\"}}\n");
}

static void lost_streams_are_closed_with_a_reason(void **state)
{
	char text[CONTROL_DEPTH_MAX + 2];
	size_t room_bytes;

	(void)state;
	negotiate();
	memset(text, '[', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_string_equal(ask(text),
	                    ERROR_REPLY("GenericError", "the request is nested deeper than 32"));
	assert_true(talk->session.closing);
	assert_string_equal(ask(EXECUTE("quit")), "");
	assert_int_equal(fake_vm.ends, 0);

	tear_down(NULL);
	set_up(NULL);
	negotiate();
	memset(control_framer_space(&talk->session.framer, &room_bytes), 'x',
	       CONTROL_REQUEST_MAX_BYTES);
	control_framer_added(&talk->session.framer, CONTROL_REQUEST_MAX_BYTES);
	assert_string_equal(ask(""),
	                    ERROR_REPLY("GenericError", "the request is longer than 65536 bytes"));
	assert_true(talk->session.closing);
}

static void a_long_name_in_an_error_is_cut_between_characters(void **state)
{
	char text[2048] = "{\"execute\": \"x";

	(void)state;
	negotiate();
	for (size_t i = 0; i < 500; i++)
		strcat(text, "\xc3\xa4");
	strcat(text, "\"}");
	/* It is cut in the middle of a character; the reply is valid all the same. */
	assert_non_null(strstr(ask(text), "\"class\": \"CommandNotFound\""));
	assert_int_equal(talk->said[talk->said_bytes - 1], '\n');
	assert_false(talk->session.closing);
}

static void events_go_to_those_who_negotiated(void **state)
{
	(void)state;
	control_session_event(&talk->session, VM_EVENT_STOP, 0);
	assert_int_equal(talk->said_bytes, 0);
	negotiate();
	talk->said_bytes = 0;
	control_session_event(&talk->session, VM_EVENT_STOP, 0);
	assert_memory_equal(talk->said, "{\"timestamp\": {\"seconds\": ", 26);
	assert_non_null(strstr(talk->said, "\"microseconds\": "));
	assert_non_null(strstr(talk->said, "}, \"event\": \"STOP\"}\n"));
	talk->session.closing = true;
	talk->said_bytes = 0;
	control_session_event(&talk->session, VM_EVENT_STOP, 0);
	assert_int_equal(talk->said_bytes, 0);
}

static void events_carry_their_data(void **state)
{
	static const struct {
		enum vm_event event;
		uint64_t value;
		bool asked;
		const char *end;
	} rows[] = {
		{ VM_EVENT_RESUME, 0, false, "\"event\": \"RESUME\"}\n" },
		{ VM_EVENT_POWERDOWN, 0, false, "\"event\": \"POWERDOWN\"}\n" },
		{ VM_EVENT_RESET, 0, false,
		  "\"event\": \"RESET\", \"data\": {\"guest\": true, \"reason\": "
		  "\"guest-reset\"}}\n" },
		{ VM_EVENT_RESET, 0, true,
		  "\"event\": \"RESET\", \"data\": {\"guest\": false, \"reason\": "
		  "\"host-qmp-system-reset\"}}\n" },
		{ VM_EVENT_SHUTDOWN, VM_END_POWEROFF, false,
		  "\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": "
		  "\"guest-shutdown\"}}\n" },
		{ VM_EVENT_SHUTDOWN, VM_END_STOPPED, true,
		  "\"event\": \"SHUTDOWN\", \"data\": {\"guest\": false, \"reason\": "
		  "\"host-qmp-quit\"}}\n" },
		{ VM_EVENT_SHUTDOWN, VM_END_STOPPED, false,
		  "\"event\": \"SHUTDOWN\", \"data\": {\"guest\": false, \"reason\": "
		  "\"host-signal\"}}\n" },
		{ VM_EVENT_SHUTDOWN, VM_END_PANIC, false,
		  "\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": "
		  "\"guest-panic\"}}\n" },
		{ VM_EVENT_SHUTDOWN, 12345, false,
		  "\"event\": \"SHUTDOWN\", \"data\": {\"guest\": false, \"reason\": "
		  "\"none\"}}\n" },
		{ VM_EVENT_GUEST_PANICKED, 0, false,
		  "\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"poweroff\"}}\n" },
		{ VM_EVENT_BALLOON_CHANGE, 123456789012, false,
		  "\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": 123456789012}}\n" },
	};

	(void)state;
	negotiate();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		talk->said_bytes = 0;
		talk->shared.reset_asked = talk->shared.quit_asked = rows[i].asked;
		control_session_event(&talk->session, rows[i].event, rows[i].value);
		assert_string_equal(strstr(talk->said, "\"event\""), rows[i].end);
	}
}

static void vhost_errors_name_the_device(void **state)
{
	struct list *devices = &talk->guest.vm.devices;
	struct device mine[2] = { { .id = "net0" }, { .id = "net1" } };
	uint64_t place = 0;

	(void)state;
	negotiate();
	list_for_each (node, devices)
		place++;
	for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
		list_append(devices, &mine[i].node);
	control_session_event(&talk->session, VM_EVENT_VHOST_ERROR,
	                      (place + 1) * VM_EVENT_VHOST_QUEUES + 3);
	assert_string_equal(strstr(talk->said, "\"event\""),
	                    "\"event\": \"X_EBB_VHOST_ERROR\", \"data\": {\"id\": \"net1\", "
	                    "\"queue\": 3}}\n");
	for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
		list_remove(&mine[i].node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_conversation_begins_with_negotiation),
		TEST(requests_are_answered_with_their_id),
		TEST(what_is_no_request_gets_an_error_and_the_next_one_an_answer),
		TEST(lost_streams_are_closed_with_a_reason),
		TEST(a_long_name_in_an_error_is_cut_between_characters),
		TEST(events_go_to_those_who_negotiated),
		TEST(events_carry_their_data),
		TEST(vhost_errors_name_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
