/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that travel: codes, texts, prefixes, truncation, and nobody listening. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/error.h"

static void test_set(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(err.code, 0);
	assert_int_equal(error_set(&err, -EINVAL, "--cpus %d: the limit is %d", 5000, 64), -EINVAL);
	assert_int_equal(err.code, -EINVAL);
	assert_string_equal(err.message, "--cpus 5000: the limit is 64");
	/* The later one stands. */
	error_set(&err, -EPERM, "no");
	assert_int_equal(err.code, -EPERM);
	assert_string_equal(err.message, "no");
}

static void test_set_errno(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_set_errno(&err, -ENOENT, "%s", "vmlinuz"), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.message, "vmlinuz: No such file or directory");
}

static void test_prefix(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_prefix(&err, "nothing to put it before");
	assert_string_equal(err.message, "");
	error_set(&err, -EINVAL, "too short");
	error_prefix(&err, "%s", "bzImage");
	error_prefix(&err, "-k %s", "file");
	assert_string_equal(err.message, "-k file: bzImage: too short");
	assert_int_equal(err.code, -EINVAL);
}

static void test_long(void **state)
{
	struct {
		struct error err;
		char canary[8];
	} box = { .err = ERROR_INIT, .canary = "canary!" };
	char text[2 * ERROR_MESSAGE_MAX];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&box.err, -EINVAL, "%s", text);
	assert_int_equal(strlen(box.err.message), ERROR_MESSAGE_MAX - 1);
	error_set_errno(&box.err, -EINVAL, "%s", text);
	assert_int_equal(strlen(box.err.message), ERROR_MESSAGE_MAX - 1);
	error_prefix(&box.err, "%s", text);
	assert_int_equal(strlen(box.err.message), ERROR_MESSAGE_MAX - 1);
	/* Room for the head of the errno's text alone. */
	text[ERROR_MESSAGE_MAX - 6] = '\0';
	error_set_errno(&box.err, -ENOENT, "%s", text);
	assert_int_equal(strlen(box.err.message), ERROR_MESSAGE_MAX - 1);
	assert_string_equal(box.err.message + ERROR_MESSAGE_MAX - 6, ": No ");
	assert_string_equal(box.canary, "canary!");
}

static void test_nobody_listens(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, -EINVAL, "x"), -EINVAL);
	assert_int_equal(error_set_errno(NULL, -ENOENT, "x"), -ENOENT);
	error_prefix(NULL, "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_set_errno),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
