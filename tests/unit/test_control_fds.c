/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that clients pass: named, found, replaced, closed, and none left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../src/control_private.h"

static struct control_session session;

/* The lowest number that is free, in place of a count: what is left open moves it. */
static unsigned int open_fd_count(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	return (unsigned int)fd;
}

static unsigned int fds_before;

static int set_up(void **state)
{
	(void)state;
	fds_before = open_fd_count();
	control_fds_init(&session.fds);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_fds_fini(&session.fds);
	return open_fd_count() == fds_before ? 0 : -1;
}

static int pass_one(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	control_fds_pass(&session.fds, fd);
	return fd;
}

/* What the handler says of it: 0, or the failure's code. */
static int ask(control_handler handler, const char *name)
{
	struct control_failure failure = { .error = ERROR_INIT };
	json_t *arguments = json_pack("{s:s}", "fdname", name);
	json_t *result = handler(&session, arguments, &failure);

	json_decref(arguments);
	assert_true((result != NULL) == (failure.error.code == 0));
	json_decref(result);
	return failure.error.code;
}

static void one_is_named_found_and_closed(void **state)
{
	int fd = pass_one();

	(void)state;
	assert_int_equal(control_fds_find(&session.fds, "a"), -ENOENT);
	assert_int_equal(ask(control_getfd, "a"), 0);
	assert_int_equal(control_fds_find(&session.fds, "a"), fd);
	assert_int_equal(ask(control_closefd, "a"), 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(ask(control_closefd, "a"), -ENOENT);
}

static void the_last_one_counts(void **state)
{
	int first = pass_one(), second = pass_one();

	(void)state;
	assert_int_equal(fcntl(first, F_GETFD), -1);
	assert_int_equal(ask(control_getfd, "a"), 0);
	assert_int_equal(control_fds_find(&session.fds, "a"), second);
	assert_int_equal(ask(control_getfd, "b"), -EBADF); /* it has a name already */
}

static void a_name_is_taken_over(void **state)
{
	int first = pass_one(), second;

	(void)state;
	assert_int_equal(ask(control_getfd, "a"), 0);
	second = pass_one();
	assert_int_equal(ask(control_getfd, "a"), 0);
	assert_int_equal(fcntl(first, F_GETFD), -1);
	assert_int_equal(control_fds_find(&session.fds, "a"), second);
}

static void names_and_numbers_are_bounded(void **state)
{
	char name[CONTROL_FD_NAME_MAX + 1];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)pass_one();
	assert_int_equal(ask(control_getfd, name), -EINVAL);
	assert_int_equal(ask(control_getfd, ""), -EINVAL);
	assert_int_equal(ask(control_getfd, name + 1), 0);
	for (unsigned int i = 1; i < CONTROL_FDS_MAX; i++) {
		char other[8];

		snprintf(other, sizeof(other), "%u", i);
		(void)pass_one();
		assert_int_equal(ask(control_getfd, other), 0);
	}
	(void)pass_one();
	assert_int_equal(ask(control_getfd, "more"), -ENOSPC);
	assert_int_equal(ask(control_closefd, "1"), 0);
	assert_int_equal(ask(control_getfd, "more"), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_is_named_found_and_closed),
		TEST(the_last_one_counts),
		TEST(a_name_is_taken_over),
		TEST(names_and_numbers_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
