/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_fixture client_runner control_server control_guest user_folder fake_vm */
/* fakes: fake_balloon fake_reclaim fake_kvm fake_arch fake_device_table */
/* The client commands that are one request, and the raw protocol, against a control socket. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_fixture.h"

static void one_request_is_quiet(void **state)
{
	(void)state;
	client_run(&run, &client_pause_command, "guest", NULL);
	assert_int_equal(run.status, 0);
	assert_string_equal(run.output, "");
	assert_int_equal(run.err.code, 0);
	assert_int_equal(fake_vm.state, VM_STATE_PAUSED);
	client_run(&run, &client_resume_command, "guest", NULL);
	assert_int_equal(run.status, 0);
	assert_int_equal(fake_vm.state, VM_STATE_RUNNING);
	client_run(&run, &client_reset_command, "guest", NULL);
	assert_int_equal(run.status, 0);
	assert_int_equal(fake_vm.resets, 1);
	client_run(&run, &client_powerdown_command, "guest", NULL);
	assert_int_equal(run.status, 0);
	assert_int_equal(fake_vm.powerdowns, 1);
}

static void a_refusal_is_told_with_the_guests_name(void **state)
{
	(void)state;
	fake_vm.pause_result = -EIO;
	client_run(&run, &client_pause_command, "guest", NULL);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_string_equal(run.err.message, "guest: stop: Input/output error");
}

static void count_end_requests(void *ctx)
{
	*(unsigned int *)ctx = fake_vm.ends;
}

/* What an ebb does when it was asked to quit. */
static void *end_when_asked(void *ctx)
{
	unsigned int requests = 0;

	(void)ctx;
	for (int i = 0; i < 5000 && !requests; i++) {
		control_server_call(&server, count_end_requests, &requests);
		usleep(1000);
	}
	usleep(20000);
	control_server_end(&server);
	return NULL;
}

static void stop_waits_for_the_end(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, end_when_asked, NULL), 0);
	client_run(&run, &client_stop_command, "guest", NULL);
	/* The socket was closed by then. */
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(run.status, 0);
	assert_int_equal(fake_vm.end, VM_END_STOPPED);
	client_run(&run, &client_stop_command, "guest", NULL);
	assert_int_equal(run.status, EXIT_STATUS_FAILURE);
	assert_string_equal(run.err.message, "guest: no such guest is running (none is)");
}

static void a_guest_that_does_not_run_is_an_error_that_names_those_that_do(void **state)
{
	(void)state;
	client_run(&run, &client_pause_command, "gusst", NULL);
	assert_int_equal(run.status, EXIT_STATUS_FAILURE);
	assert_string_equal(run.err.message, "gusst: no such guest is running (running: guest)");
	client_run(&run, &client_pause_command, "../guest", NULL);
	assert_int_equal(run.status, EXIT_STATUS_USAGE);
	assert_string_equal(run.err.message, "../guest: not a guest's name");
}

static void usage_is_checked_before_anything(void **state)
{
	(void)state;
	client_run(&run, &client_pause_command, "", NULL);
	assert_int_equal(run.status, EXIT_STATUS_USAGE);
	assert_string_equal(run.err.message, "pause: something is missing (usage: ebb pause NAME)");
	client_run(&run, &client_pause_command, "guest --now", NULL);
	assert_int_equal(run.status, EXIT_STATUS_USAGE);
	assert_string_equal(run.err.message, "--now: unknown option (see ebb help pause)");
	client_run(&run, &client_pause_command, "--help", NULL);
	assert_int_equal(run.status, 0);
	assert_non_null(strstr(run.output, "usage: ebb pause NAME\n"));
	assert_int_equal(fake_vm.pauses, 0);
}

static void one_raw_request_prints_its_answer(void **state)
{
	(void)state;
	client_run(&run, &client_qmp_command, "guest {\"execute\":\"query-name\",\"id\":3}", NULL);
	assert_int_equal(run.status, 0);
	assert_string_equal(run.output, "{\"return\": {\"name\": \"guest\"}, \"id\": 3}\n");
	client_run(&run, &client_qmp_command, "guest query-status", NULL);
	assert_int_equal(run.status, 0);
	assert_string_equal(run.output, "{\"return\": {\"running\": true, \"status\": "
	                                "\"running\"}}\n");
	client_run(&run, &client_qmp_command, "guest nonsense", NULL);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_non_null(strstr(run.output, "CommandNotFound"));
	assert_int_equal(run.err.code, 0);
	client_run(&run, &client_qmp_command, "guest {\"execute\"", NULL);
	assert_int_equal(run.status, EXIT_STATUS_USAGE);
	assert_non_null(strstr(run.err.message, "qmp {\"execute\": not JSON: "));
	client_run(&run, &client_qmp_command, "guest [1]", NULL); /* no command's name */
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_non_null(strstr(run.output, "must be"));
	client_run(&run, &client_qmp_command, "guest \"cont\"x", NULL);
	assert_int_equal(run.status, EXIT_STATUS_USAGE);
}

static void a_session_is_the_connection_itself(void **state)
{
	(void)state;
	client_run(&run, &client_qmp_command, "guest",
	           "{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"query-name\"}\n");
	assert_int_equal(run.status, 0);
	assert_memory_equal(run.output, "{\"QMP\": ", 8);
	assert_non_null(strstr(run.output, "}\n{\"return\": {}}\n"
	                                   "{\"return\": {\"name\": \"guest\"}}\n"));
	client_run(&run, &client_qmp_command, "nobody", "");
	assert_int_equal(run.status, EXIT_STATUS_FAILURE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(one_request_is_quiet),
		TEST(a_refusal_is_told_with_the_guests_name),
		TEST(stop_waits_for_the_end),
		TEST(a_guest_that_does_not_run_is_an_error_that_names_those_that_do),
		TEST(usage_is_checked_before_anything),
		TEST(one_raw_request_prints_its_answer),
		TEST(a_session_is_the_connection_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
