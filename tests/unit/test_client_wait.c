/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_fixture client_runner control_server control_guest user_folder fake_vm */
/* fakes: fake_balloon fake_reclaim fake_kvm fake_arch fake_device_table */
/* Waiting for a guest: how it ends. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/client_private.h"
#include "client_fixture.h"

struct script {
	const uint64_t *bytes; /* one a look; the last one stays */
	size_t count, looks;
	int error;       /* of the look behind the last */
	int signal;      /* sent to this thread at the second look */
	bool ends_guest; /* at the second look */
};

static struct client_connection connection;
static struct error err;

static int look(struct client_wait *wait, uint64_t *ret_bytes, struct error *error)
{
	struct script *script = wait->ctx;
	size_t at = script->looks++;

	if (at == 1 && script->signal)
		pthread_kill(pthread_self(), script->signal);
	if (at == 1 && script->ends_guest)
		control_server_end(&server);
	if (script->error && at >= script->count)
		return error_set(error, script->error, "the look fails");
	*ret_bytes = script->bytes[at < script->count ? at : script->count - 1];
	/* Something happens, so that the next look comes at once. */
	if (!script->ends_guest)
		control_server_tell(&server, VM_EVENT_STOP, 0);
	return 0;
}

static void explain(struct client_wait *wait, uint64_t bytes, char why[CLIENT_WHY_MAX])
{
	(void)wait;
	snprintf(why, CLIENT_WHY_MAX, "who knows, with %llu", (unsigned long long)bytes);
}

static int wait_with(struct script *script, int64_t stall_ns)
{
	struct client_wait wait = {
		.connection = &connection,
		.what = "thing",
		.start_bytes = 0,
		.target_bytes = 4 * MIB,
		.stall_ns = stall_ns,
		.ctx = script,
		.query = look,
		.explain = explain,
	};
	int ret;

	err = (struct error)ERROR_INIT;
	assert_int_equal(client_connect("guest", &connection, &err), 0);
	ret = client_wait_for(&wait, &err);
	assert_null(connection.end_fd);
	client_disconnect(&connection);
	return ret;
}

static void it_is_over_when_the_target_is_reached(void **state)
{
	static const uint64_t bytes[] = { 0, MIB, MIB, 3 * MIB, 4 * MIB };
	struct script script = { .bytes = bytes, .count = ARRAY_SIZE(bytes) };

	(void)state;
	assert_int_equal(wait_with(&script, 60 * NS_PER_S), 0);
	assert_int_equal(script.looks, 5);
	assert_string_equal(err.message, "");
}

static void a_guest_that_does_not_move_ends_it(void **state)
{
	static const uint64_t bytes[] = { 0, 3 * MIB };
	struct script script = { .bytes = bytes, .count = ARRAY_SIZE(bytes) };

	(void)state;
	assert_int_equal(wait_with(&script, 50 * NS_PER_MS), -EREMOTEIO);
	assert_string_equal(err.message,
	                    "thing: still at 3.0 MiB of 4.0 MiB after 0.05 s without progress "
	                    "(who knows, with 3145728)");
}

static void a_look_that_fails_ends_it(void **state)
{
	static const uint64_t bytes[] = { 0, MIB };
	struct script script = { .bytes = bytes, .count = ARRAY_SIZE(bytes), .error = -EIO };

	(void)state;
	assert_int_equal(wait_with(&script, 60 * NS_PER_S), -EIO);
	assert_string_equal(err.message, "the look fails");
}

static void a_signal_ends_it_and_the_request_stands(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	static const uint64_t bytes[] = { 0, MIB };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct script script = { .bytes = bytes,
			                 .count = ARRAY_SIZE(bytes),
			                 .signal = signals[i] };
		sigset_t blocked;

		assert_int_equal(wait_with(&script, 60 * NS_PER_S), -ECANCELED);
		assert_string_equal(err.message, "thing: waits no more, at 1.0 MiB of 4.0 MiB; "
		                                 "the request stands");
		/* The signal was read, and signals are what they were. */
		assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
		assert_false(sigismember(&blocked, signals[i]));
		assert_int_equal(client_status(-ECANCELED), EXIT_STATUS_INTERRUPTED);
	}
}

static void the_guests_end_ends_it(void **state)
{
	static const uint64_t bytes[] = { 0, MIB };
	struct script script = { .bytes = bytes, .count = ARRAY_SIZE(bytes), .ends_guest = true };

	(void)state;
	assert_int_equal(wait_with(&script, 60 * NS_PER_S), -EPIPE);
	assert_string_equal(err.message, "thing: the guest ended");
}

static void the_time_without_progress_is_the_users(void **state)
{
	static const struct cmdline_option option = { .name = "wait" };
	struct client_arguments arguments = { 0 };

	(void)state;
	err = (struct error)ERROR_INIT;
	assert_int_equal(client_take_wait(&arguments, &option, NULL, &err), 0);
	assert_true(arguments.wait);
	assert_int_equal(arguments.stall_ns, 0);
	assert_int_equal(client_take_wait(&arguments, &option, "1.5", &err), 0);
	assert_int_equal(arguments.stall_ns, 1500 * NS_PER_MS);
	assert_int_equal(client_take_wait(&arguments, &option, "0", &err), -EINVAL);
	assert_string_equal(err.message, "--wait=0: not a time (give seconds above 0)");
	assert_int_equal(client_take_wait(&arguments, &option, "soon", &err), -EINVAL);
	assert_int_equal(client_take_wait(&arguments, &option, "18446744073", &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(it_is_over_when_the_target_is_reached),
		TEST(a_guest_that_does_not_move_ends_it),
		TEST(a_look_that_fails_ends_it),
		TEST(a_signal_ends_it_and_the_request_stands),
		TEST(the_guests_end_ends_it),
		TEST(the_time_without_progress_is_the_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
