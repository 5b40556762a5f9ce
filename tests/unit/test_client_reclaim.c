/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_fixture client_runner control_server control_guest user_folder fake_vm */
/* fakes: fake_balloon fake_reclaim fake_kvm fake_arch fake_device_table */
/* `ebb reclaim`: its words, its one line, its exit status. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_fixture.h"

/* Ends the run once there is one. */
static void *end_soon(void *ctx)
{
	const enum balloon_run_end *end = ctx;

	while (!control_server_end_run(&server, *end))
		usleep(1000);
	return NULL;
}

/* Until the client has shown how a run goes. */
static void wait_for_bar(void)
{
	while (!strstr(run.output, "] inflating"))
		usleep(1000);
}

static void *end_after_a_bar(void *ctx)
{
	wait_for_bar();
	return end_soon(ctx);
}

static void *interrupt_after_a_bar(void *ctx)
{
	const pthread_t *thread = ctx;

	wait_for_bar();
	pthread_kill(*thread, SIGINT);
	return NULL;
}

static void run_until(const char *words, enum balloon_run_end end)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, end_soon, &end), 0);
	client_run(&run, &client_reclaim_command, words, NULL);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

#define LINE \
	"guest: 40.0 MiB given back in 1.5 s (resident: 60.0 MiB, now 20.0 MiB; reserve 16.0 " \
	"MiB)\n"

static void a_run_says_what_came_of_it(void **state)
{
	(void)state;
	run_until("guest --keep 16M", BALLOON_RUN_DONE);
	assert_string_equal(run.err.message, "");
	assert_int_equal(run.status, 0);
	assert_string_equal(run.output, LINE);
	assert_int_equal(server.guest.balloon.run.keep_bytes, 16 * MIB);
	run_until("guest", BALLOON_RUN_DONE);
	assert_true(server.guest.balloon.run.keep_bytes == BALLOON_KEEP_DEFAULT);
}

static void one_that_ended_early_says_why(void **state)
{
	(void)state;
	run_until("guest --keep 16", BALLOON_RUN_STALLED);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_string_equal(run.output, LINE);
	assert_string_equal(run.err.message,
	                    "guest: reclaim: ended early: the guest gives no more");
}

static void what_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *words, *message;
		int status;
	} rows[] = {
		{ "", "reclaim: something is missing (usage: ebb reclaim NAME [--keep SIZE])",
		  EXIT_STATUS_USAGE },
		{ "guest --keep lots",
		  "--keep lots: not a size (give SIZE, such as 128M; a bare number is MiB)",
		  EXIT_STATUS_USAGE },
		{ "guest --keep 99999999999T",
		  "--keep 99999999999T: not a size (give SIZE, such as 128M; a bare number is "
		  "MiB)",
		  EXIT_STATUS_USAGE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		client_run(&run, &client_reclaim_command, rows[i].words, NULL);
		assert_string_equal(run.err.message, rows[i].message);
		assert_int_equal(run.status, rows[i].status);
	}
	server.guest.balloon.result = -EBUSY;
	client_run(&run, &client_reclaim_command, "guest", NULL);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_string_equal(run.err.message, "guest: the fake balloon refuses");
	server.guest.vm.balloon = NULL;
	client_run(&run, &client_reclaim_command, "guest", NULL);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	server.guest.vm.balloon = &server.guest.balloon;
}

static void *end_server(void *ctx)
{
	(void)ctx;
	while (!server.guest.balloon.run.serial)
		usleep(1000);
	control_server_end(&server);
	return NULL;
}

static void a_guest_that_ends_ends_it(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, end_server, NULL), 0);
	client_run(&run, &client_reclaim_command, "guest", NULL);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(run.status, EXIT_STATUS_FAILURE);
	assert_string_equal(run.err.message, "guest: the guest's ebb hung up before it answered");
}

/* Bars on a line that is wiped, and then what a pipe gets. */
static void a_terminal_sees_it_go_on(void **state)
{
	struct balloon_run_status *status = &server.guest.balloon.run;
	enum balloon_run_end end = BALLOON_RUN_DONE;
	pthread_t thread;

	(void)state;
	memset(&run, 0, sizeof(run));
	status->taken_bytes = 8 * MIB;
	status->goal_bytes = 32 * MIB;
	assert_int_equal(pthread_create(&thread, NULL, end_after_a_bar, &end), 0);
	client_run_on_terminal(&run, &client_reclaim_command, "guest");
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(run.status, 0);
	assert_non_null(strstr(run.output, "inflating: 8.0 MiB of 32.0 MiB\033[K\r\033[K"));
	assert_non_null(strstr(run.output, "\r\033[Kguest: 40.0 MiB given back in 1.5 s"));
}

/* Ctrl-C, which waits for the line to be wiped: this test does not let it through. */
static void a_signal_lets_go(void **state)
{
	const struct timespec no_time = { 0 };
	pthread_t thread, self = pthread_self();
	sigset_t interrupt, before;

	(void)state;
	memset(&run, 0, sizeof(run));
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	pthread_sigmask(SIG_BLOCK, &interrupt, &before);
	assert_int_equal(pthread_create(&thread, NULL, interrupt_after_a_bar, &self), 0);
	client_run_on_terminal(&run, &client_reclaim_command, "guest");
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(sigtimedwait(&interrupt, NULL, &no_time), SIGINT);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_string_equal(run.err.message, "guest: reclaim: ended early: it was cancelled");
	assert_non_null(strstr(run.output, "\r\033[Kguest: cancelled, the guest takes its memory "
	                                   "back\r\n"));
	for (int tries = 0; tries < 1000 && !server.guest.balloon.run_cancelled; tries++)
		usleep(1000);
	assert_int_equal(server.guest.balloon.run_cancelled, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_run_says_what_came_of_it), TEST(one_that_ended_early_says_why),
		TEST(what_cannot_be_is_refused),  TEST(a_guest_that_ends_ends_it),
		TEST(a_terminal_sees_it_go_on),   TEST(a_signal_lets_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
