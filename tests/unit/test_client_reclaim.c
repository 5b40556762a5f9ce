/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_runner control_server control_guest user_folder fake_vm fake_balloon */
/* fakes: fake_reclaim fake_kvm fake_arch fake_device_table */
/* `ebb reclaim`: its words, its one line, its exit status. */
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

#include "client_runner.h"
#include "control_server.h"

static struct control_server server;
static struct client_run run;

static int set_up(void **state)
{
	(void)state;
	control_server_start(&server);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_server_stop(&server);
	return 0;
}

struct ending {
	enum balloon_run_end end;
	bool ended;
};

static void try_to_end(void *ctx)
{
	struct balloon_run_status *status = &server.guest.balloon.run;
	struct ending *ending = ctx;

	if (status->phase == BALLOON_RUN_IDLE)
		return;
	status->phase = BALLOON_RUN_IDLE;
	status->end = ending->end;
	status->resident_before_bytes = 60 * MIB;
	status->resident_after_bytes = 20 * MIB;
	status->duration_ns = 1500 * NS_PER_MS;
	ending->ended = true;
	fake_vm_tell(VM_EVENT_RECLAIM_ENDED, 40 * MIB);
}

/* Ends the run once there is one. */
static void *end_soon(void *ctx)
{
	struct ending *ending = ctx;

	while (!ending->ended) {
		usleep(1000);
		control_server_call(&server, try_to_end, ending);
	}
	return NULL;
}

static void run_until(const char *words, enum balloon_run_end end)
{
	struct ending ending = { .end = end };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, end_soon, &ending), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_run_says_what_came_of_it),
		TEST(one_that_ended_early_says_why),
		TEST(what_cannot_be_is_refused),
		TEST(a_guest_that_ends_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
