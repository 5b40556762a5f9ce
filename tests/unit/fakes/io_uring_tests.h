/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of which some want a host that lets us have io_uring; where it does not, that is said in
 * the place of those. */
#ifndef IO_URING_TESTS_H
#define IO_URING_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline void io_uring_is_missing(void **state)
{
	(void)state;
	print_message("this host has no io_uring for us\n");
	skip();
}

static inline int io_uring_skip(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(io_uring_is_missing) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Two arrays of tests, and whether the host has it, which is asked in between. How many failed. */
#define run_io_uring_tests(any_host, with_io_uring, has_io_uring) \
	(cmocka_run_group_tests(any_host, NULL, NULL) + \
	 ((has_io_uring) ? cmocka_run_group_tests(with_io_uring, NULL, NULL) : io_uring_skip()))

#endif
