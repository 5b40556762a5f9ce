/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: control_guest fake_vm fake_balloon fake_reclaim fake_kvm fake_arch */
/* fakes: fake_device_table control_calls */
/* Each QMP command: what it does to the machine and what it answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "control_calls.h"
#include "control_guest.h"

static struct control_guest guest;
static struct control_shared shared;
static struct control_session session;

static int set_up(void **state)
{
	(void)state;
	control_guest_create(&guest);
	shared = (struct control_shared){ .vm = &guest.vm };
	session = (struct control_session){ .shared = &shared };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_guest_destroy(&guest);
	return 0;
}

static void answers(const char *name, const char *arguments, const char *expected)
{
	assert_control_answers(&session, name, arguments, expected);
}

static void fails(const char *name, const char *arguments, const char *class, const char *message)
{
	assert_control_fails(&session, name, arguments, class, message);
}

static void the_machine_says_who_it_is(void **state)
{
	struct control_failure failure;
	json_t *commands;

	(void)state;
	answers("query-name", "{}", "{\"name\": \"guest\"}");
	answers("query-status", "{}", "{\"running\": true, \"status\": \"running\"}");
	fake_vm.state = VM_STATE_PAUSED;
	answers("query-status", "{}", "{\"running\": false, \"status\": \"paused\"}");
	fake_vm.state = VM_STATE_ENDED;
	answers("query-status", "{}", "{\"running\": false, \"status\": \"shutdown\"}");
	answers("query-memory-size-summary", "{}",
	        "{\"base-memory\": 67108864, \"plugged-memory\": 0}");
	answers("query-memory-devices", "{}", "[]");
	commands = control_call(&session, "query-commands", "{}", &failure);
	assert_int_equal(json_array_size(commands), control_command_count + 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(commands, 1), "name")),
	                    "query-version");
	json_decref(commands);
}

static void vcpus_are_listed(void **state)
{
	struct control_failure failure;
	json_t *list = control_call(&session, "query-cpus-fast", "{}", &failure), *second;

	(void)state;
	assert_int_equal(json_array_size(list), 2);
	second = json_array_get(list, 1);
	assert_int_equal(json_integer_value(json_object_get(second, "cpu-index")), 1);
	assert_string_equal(json_string_value(json_object_get(second, "qom-path")),
	                    "/machine/cpu[1]");
	assert_true(json_is_string(json_object_get(second, "target")));
	/* No thread runs here. */
	assert_int_equal(json_integer_value(json_object_get(second, "thread-id")), 0);
	json_decref(list);
}

static void the_machine_is_paused_and_resumed(void **state)
{
	(void)state;
	answers("stop", "{}", "{}");
	assert_int_equal(fake_vm.state, VM_STATE_PAUSED);
	answers("stop", "{}", "{}"); /* it is so already: as wished */
	answers("cont", "{}", "{}");
	assert_int_equal(fake_vm.state, VM_STATE_RUNNING);
	answers("cont", "{}", "{}");
	fake_vm.pause_result = -EIO;
	fails("stop", "{}", "GenericError", "stop: Input/output error");
	fails("cont", "{}", "GenericError", "cont: Input/output error");
}

static void the_machine_is_reset_and_ended(void **state)
{
	(void)state;
	answers("system_reset", "{}", "{}");
	assert_int_equal(fake_vm.resets, 1);
	assert_true(shared.reset_asked);
	answers("system_powerdown", "{}", "{}");
	assert_int_equal(fake_vm.powerdowns, 1);
	assert_int_equal(fake_vm.ends, 0);
	answers("quit", "{}", "{}");
	assert_int_equal(fake_vm.ends, 1);
	assert_int_equal(fake_vm.end, VM_END_STOPPED);
	assert_true(shared.quit_asked);
}

static void the_balloon_is_set_by_what_the_guest_keeps(void **state)
{
	(void)state;
	answers("query-balloon", "{}", "{\"actual\": 67108864}");
	answers("balloon", "{\"value\": 50331648}", "{}");
	assert_int_equal(guest.balloon.status.target_bytes, 16 * MIB);
	guest.balloon.status.actual_bytes = 15 * MIB;
	answers("query-balloon", "{}", "{\"actual\": 51380224}");
	/* More than there is: all of it. */
	answers("balloon", "{\"value\": 9007199254740993}", "{}");
	assert_int_equal(guest.balloon.status.target_bytes, 0);
	/* A driver that claims more than there is. */
	guest.balloon.status.actual_bytes = UINT64_MAX;
	answers("query-balloon", "{}", "{\"actual\": 0}");
	fails("balloon", "{\"value\": 0}", "GenericError",
	      "balloon: value 0: a guest needs memory (give the bytes it is to have)");
	fails("balloon", "{\"value\": -1}", "GenericError",
	      "balloon: value -1: a guest needs memory (give the bytes it is to have)");
	guest.balloon.result = -EIO;
	fails("balloon", "{\"value\": 1}", "GenericError", "the fake balloon refuses");
	guest.vm.balloon = NULL;
	fails("balloon", "{\"value\": 1}", "DeviceNotActive", "this guest has no balloon");
	fails("query-balloon", "{}", "DeviceNotActive", "this guest has no balloon");
}

#define PROPERTY(path, property) "{\"path\": \"" path "\", \"property\": \"" property "\"}"
#define INTERVAL(path, value) \
	"{\"path\": \"" path "\", \"property\": \"guest-stats-polling-interval\", " \
	"\"value\": " value "}"
#define BALLOON_PATH "/machine/peripheral/balloon0"

static void the_balloons_properties_are_read_and_written(void **state)
{
	(void)state;
	answers("qom-set", INTERVAL(BALLOON_PATH, "5"), "{}");
	assert_int_equal(guest.balloon.status.stats_interval_s, 5);
	answers("qom-get", PROPERTY(BALLOON_PATH, "guest-stats-polling-interval"), "5");
	answers("qom-get", PROPERTY("balloon0", "guest-stats-polling-interval"), "5");
	answers("qom-get",
	        PROPERTY("/machine/peripheral/virtio-balloon", "guest-stats-polling-interval"),
	        "5");
	answers("qom-set", INTERVAL("balloon0", "0"), "{}");
	assert_int_equal(guest.balloon.status.stats_interval_s, 0);

	answers("qom-get", PROPERTY(BALLOON_PATH, "guest-stats"),
	        "{\"stats\": {\"stat-swap-in\": -1, \"stat-swap-out\": -1, \"stat-major-faults\": "
	        "-1, \"stat-minor-faults\": -1, \"stat-free-memory\": -1}, \"last-update\": 0}");
}

static void properties_that_are_none_are_refused(void **state)
{
	static const char interval_message[] =
		"guest-stats-polling-interval: not a time (give whole seconds, 0 to 4294967295)";

	(void)state;
	fails("qom-get", PROPERTY("/machine/peripheral/disk0", "guest-stats"), "DeviceNotFound",
	      "/machine/peripheral/disk0: there is no such object (there is the balloon "
	      "as " BALLOON_PATH ")");
	fails("qom-get", PROPERTY("", "guest-stats"), "DeviceNotFound",
	      ": there is no such object (there is the balloon as " BALLOON_PATH ")");
	fails("qom-get", PROPERTY(BALLOON_PATH, "size"), "GenericError",
	      BALLOON_PATH " has no property 'size' (it has guest-stats and "
	                   "guest-stats-polling-interval)");
	fails("qom-set", "{\"path\": \"balloon0\", \"property\": \"guest-stats\", \"value\": {}}",
	      "GenericError", "guest-stats can only be read");
	fails("qom-set", INTERVAL("balloon0", "\"5\""), "GenericError", interval_message);
	fails("qom-set", INTERVAL("balloon0", "-1"), "GenericError", interval_message);
	fails("qom-set", INTERVAL("balloon0", "4294967296"), "GenericError", interval_message);
	guest.balloon.result = -ENOTSUP;
	fails("qom-set", INTERVAL("balloon0", "1"), "GenericError", "the fake balloon refuses");
	guest.vm.balloon = NULL;
	fails("qom-get", PROPERTY(BALLOON_PATH, "guest-stats"), "DeviceNotFound",
	      BALLOON_PATH ": there is no such object (there is none with properties)");
}

static void hinting_is_started_and_stopped(void **state)
{
	const char *const round =
		"{\"state\": \"hinting\", \"command_id\": 3, \"sees_writes\": true, \"rounds\": 1, "
		"\"hinted_bytes\": 70, \"ignored_bytes\": 6, \"touched_bytes\": 50, "
		"\"kept_bytes\": 4, \"zero_bytes\": 3, \"released_bytes\": 16}";

	(void)state;
	guest.balloon.status.hint = (struct balloon_hint_status){
		.state = BALLOON_HINT_HINTING,
		.command_id = 3,
		.sees_writes = true,
		.rounds = 1,
		.hinted_bytes = 70,
		.ignored_bytes = 6,
		.touched_bytes = 50,
		.kept_bytes = 4,
		.zero_bytes = 3,
		.released_bytes = 16,
	};
	answers("x-ebb-free-page-hint", "{\"action\": \"start\"}", round);
	assert_int_equal(guest.balloon.hint_starts, 1);
	answers("x-ebb-free-page-hint", "{\"action\": \"stop\"}", round);
	assert_int_equal(guest.balloon.hint_stops, 1);
	answers("x-ebb-free-page-hint", "{\"action\": \"status\"}", round);
	fails("x-ebb-free-page-hint", "{\"action\": \"pause\"}", "GenericError",
	      "x-ebb-free-page-hint: action 'pause': give start, stop or status");
	guest.balloon.result = -EBUSY;
	fails("x-ebb-free-page-hint", "{\"action\": \"start\"}", "GenericError",
	      "the fake balloon refuses");
	assert_int_equal(guest.balloon.hint_starts, 1);
	guest.vm.balloon = NULL;
	fails("x-ebb-free-page-hint", "{\"action\": \"stop\"}", "DeviceNotActive",
	      "this guest has no balloon");
}

static void a_trace_is_started_and_stopped(void **state)
{
	static const char needs_file[] =
		"x-ebb-trace: start needs the fdname of a descriptor that came with getfd, or, "
		"without the sandbox, the path of a new file from the root on";

	(void)state;
	answers("x-ebb-trace", "{\"action\": \"start\", \"path\": \"/tmp/t.csv\"}", "{}");
	assert_string_equal(guest.reclaim.trace_path, "/tmp/t.csv");
	assert_false(guest.reclaim.trace_overwrites);
	fails("x-ebb-trace", "{\"action\": \"start\", \"path\": \"/tmp/t.csv\"}", "GenericError",
	      "a reclaim trace is being written");
	answers("x-ebb-trace", "{\"action\": \"stop\"}", "{}");
	fails("x-ebb-trace", "{\"action\": \"stop\"}", "GenericError",
	      "no reclaim trace is being written");
	fails("x-ebb-trace", "{\"action\": \"start\"}", "GenericError",
	      needs_file);
	fails("x-ebb-trace", "{\"action\": \"start\", \"path\": \"t.csv\"}", "GenericError",
	      needs_file);
	fails("x-ebb-trace", "{\"action\": \"pause\"}", "GenericError",
	      "x-ebb-trace: action 'pause': give start with an fdname, or stop");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_machine_says_who_it_is),
		TEST(vcpus_are_listed),
		TEST(the_machine_is_paused_and_resumed),
		TEST(the_machine_is_reset_and_ended),
		TEST(the_balloon_is_set_by_what_the_guest_keeps),
		TEST(the_balloons_properties_are_read_and_written),
		TEST(properties_that_are_none_are_refused),
		TEST(hinting_is_started_and_stopped),
		TEST(a_trace_is_started_and_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
