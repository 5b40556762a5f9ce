/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_fixture client_runner control_server control_guest user_folder fake_vm */
/* fakes: fake_balloon fake_reclaim fake_kvm fake_arch fake_device_table */
/* `ebb balloon`: absolute and relative sizes, limits, waiting. */
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

static void sizes_are_absolute_or_relative(void **state)
{
	static const struct {
		const char *words;
		uint64_t target_bytes;
	} rows[] = {
		{ "guest 16M", 16 * MIB },
		{ "guest 16", 16 * MIB },
		{ "guest +8M", 24 * MIB },
		{ "guest -4M", 20 * MIB },
		{ "guest -1G", 0 },
		{ "guest 5000K", 5000 * KIB },
		{ "guest 4097K", 4096 * KIB }, /* whole pages */
		{ "guest 0", 0 },
		{ "guest 65532K", 65532 * KIB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		client_run(&run, &client_balloon_command, rows[i].words, NULL);
		assert_int_equal(run.status, 0);
		assert_string_equal(run.output, "");
		assert_int_equal(server.guest.balloon.status.target_bytes, rows[i].target_bytes);
	}
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	static const struct {
		const char *words, *message;
	} rows[] = {
		{ "guest lots", "balloon lots: not a size (give SIZE, +SIZE or -SIZE, such as "
		                "512M; a bare number is MiB)" },
		{ "guest +", "balloon +: not a size (give SIZE, +SIZE or -SIZE, such as 512M; a "
		             "bare number is MiB)" },
		{ "guest --wait", "balloon: something is missing (usage: ebb balloon NAME "
		                  "SIZE|+SIZE|-SIZE [--wait[=SECONDS]])" },
		{ "guest 99999999T", "balloon 99999999T: more than any guest has" },
		{ "guest 64M", "guest: balloon 64M: all of the guest's RAM (give less than 64M)" },
		{ "guest +64M", "guest: balloon +64M: all of the guest's RAM (give less than "
		                "64M)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		client_run(&run, &client_balloon_command, rows[i].words, NULL);
		assert_string_equal(run.err.message, rows[i].message);
		assert_int_equal(run.status, EXIT_STATUS_USAGE);
	}
	assert_int_equal(server.guest.balloon.status.target_bytes, 0);
	server.guest.balloon.status.target_bytes = 8 * MIB;
	client_run(&run, &client_balloon_command, "guest +16777215T", NULL);
	assert_string_equal(run.err.message,
	                    "guest: balloon +16777215T: all of the guest's RAM (give less than "
	                    "64M)");
}

static void a_guest_without_a_balloon_says_so(void **state)
{
	(void)state;
	server.guest.vm.balloon = NULL;
	client_run(&run, &client_balloon_command, "guest 16M", NULL);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_string_equal(run.err.message, "guest: balloon: this guest has none (it was started "
	                                     "with --balloon off)");
	server.guest.vm.balloon = &server.guest.balloon;
	server.guest.balloon.result = -EIO;
	client_run(&run, &client_balloon_command, "guest 16M", NULL);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_string_equal(run.err.message, "guest: the fake balloon refuses");
}

static void set_actual(void *ctx)
{
	server.guest.balloon.status.actual_bytes = *(const uint64_t *)ctx * MIB;
}

/* A driver that gives a step every few milliseconds. */
static void *inflate(void *ctx)
{
	(void)ctx;
	for (uint64_t mib = 1; mib <= 16; mib++) {
		usleep(5000);
		control_server_call(&server, set_actual, &mib);
		control_server_tell(&server, VM_EVENT_BALLOON_CHANGE,
		                    CONTROL_GUEST_RAM_BYTES - mib * MIB);
	}
	return NULL;
}

static void waiting_ends_when_the_target_is_reached(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, inflate, NULL), 0);
	client_run(&run, &client_balloon_command, "guest 16M --wait", NULL);
	assert_int_equal(server.guest.balloon.status.actual_bytes, 16 * MIB);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(run.status, 0);
	/* stdout is no terminal here. */
	assert_string_equal(run.output, "");
}

static void *end_soon(void *ctx)
{
	(void)ctx;
	usleep(50000);
	control_server_end(&server);
	return NULL;
}

static void waiting_ends_with_the_guest(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, end_soon, NULL), 0);
	client_run(&run, &client_balloon_command, "guest 16M --wait", NULL);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(run.status, EXIT_STATUS_FAILURE);
	assert_string_equal(run.err.message, "guest: balloon: the guest ended");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(sizes_are_absolute_or_relative),
		TEST(sizes_that_cannot_be_are_refused),
		TEST(a_guest_without_a_balloon_says_so),
		TEST(waiting_ends_when_the_target_is_reached),
		TEST(waiting_ends_with_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
