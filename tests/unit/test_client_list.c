/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_fixture client_runner control_server control_guest user_folder fake_vm */
/* fakes: fake_balloon fake_reclaim fake_kvm fake_arch fake_device_table */
/* `ebb list`: who runs, and what a folder may hold beside. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "client_fixture.h"

static void leave_behind(const char *file_name, bool is_socket)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd;

	snprintf(name.sun_path, sizeof(name.sun_path), "%s/ebb/%s", server.folder, file_name);
	if (is_socket) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof(name)), 0);
	} else {
		fd = open(name.sun_path, O_CREAT | O_WRONLY, 0600);
	}
	assert_int_equal(close(fd), 0);
}

static void the_living_are_listed_and_the_dead_are_not(void **state)
{
	json_t *list;

	(void)state;
	leave_behind("dead.sock", true);
	leave_behind("file.sock", false);
	leave_behind(".sock", false);
	leave_behind("notes", false);
	client_run(&run, &client_list_command, "", NULL);
	assert_int_equal(run.status, 0);
	assert_memory_equal(run.output, "NAME ", 5);
	assert_non_null(strstr(run.output, "\nguest "));
	assert_null(strstr(run.output, "dead"));
	assert_null(strstr(run.output, "file"));
	client_run(&run, &client_list_command, "--json", NULL);
	list = json_loads(run.output, 0, NULL);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "name")),
	                    "guest");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "state")),
	                    "running");
	assert_true(json_is_object(json_object_get(json_array_get(list, 0), "memory")));
	json_decref(list);
}

static bool is_there(const char *file_name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/ebb/%s", server.folder, file_name);
	return access(path, F_OK) == 0;
}

static void what_a_killed_guest_left_is_removed(void **state)
{
	(void)state;
	leave_behind("dead.sock", true);
	leave_behind("dead.lock", false);
	leave_behind("early.lock", false); /* killed before it had a socket */
	leave_behind("notes", false);
	client_run(&run, &client_list_command, "", NULL);
	assert_int_equal(run.status, 0);
	assert_non_null(strstr(run.output, "\nguest "));
	assert_false(is_there("dead.sock") || is_there("dead.lock") || is_there("early.lock"));
	assert_true(is_there("guest.sock") && is_there("guest.lock") && is_there("notes"));
	client_run(&run, &client_list_command, "", NULL);
	assert_non_null(strstr(run.output, "\nguest "));
}

static void nobody_running_is_no_error(void **state)
{
	(void)state;
	control_server_end(&server);
	client_run(&run, &client_list_command, "", NULL);
	assert_int_equal(run.status, 0);
	assert_string_equal(run.output, "");
	client_run(&run, &client_list_command, "--json", NULL);
	assert_string_equal(run.output, "[]\n");
	/* Nor is a folder that is not there yet. */
	setenv("XDG_RUNTIME_DIR", "/tmp/ebb-test-no-such-folder", 1);
	client_run(&run, &client_list_command, "", NULL);
	assert_int_equal(run.status, 0);
	assert_string_equal(run.output, "");
}

/* Sockets in a folder that others may write to may be anybody's. */
static void a_folder_that_others_may_use_is_not_believed(void **state)
{
	char folder[128];

	(void)state;
	snprintf(folder, sizeof(folder), "%s/ebb", server.folder);
	assert_int_equal(chmod(folder, 0777), 0);
	client_run(&run, &client_list_command, "", NULL);
	assert_int_equal(run.status, EXIT_STATUS_FAILURE);
	assert_non_null(strstr(run.err.message, "lets others in"));
	client_run(&run, &client_stop_command, "guest", NULL);
	assert_int_equal(run.status, EXIT_STATUS_FAILURE);
	assert_non_null(strstr(run.err.message, "lets others in"));
	assert_int_equal(chmod(folder, 0700), 0);
	client_run(&run, &client_list_command, "", NULL);
	assert_int_equal(run.status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_living_are_listed_and_the_dead_are_not),
		TEST(what_a_killed_guest_left_is_removed),
		TEST(nobody_running_is_no_error),
		TEST(a_folder_that_others_may_use_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
