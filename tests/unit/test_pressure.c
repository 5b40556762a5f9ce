/* SPDX-License-Identifier: Apache-2.0 */
/* The host's memory pressure, on whatever host this is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "ebb/pressure.h"

static void nothing(void *ctx)
{
	(*(unsigned int *)ctx)++;
}

/* Whatever this host has: a watch, or a plain no. Nothing is left of either. */
static void a_watch_comes_and_goes(void **state)
{
	struct event_loop *loop;
	struct pressure_watch *watch = NULL;
	unsigned int calls = 0;

	(void)state;
	assert_int_equal(event_loop_create("pressure", &loop, NULL), 0);
	for (int i = 0; i < 50; i++) {
		int opened = i % 2 ? pressure_open() : -1;
		int r = pressure_watch_create(loop, opened, nothing, &calls, &watch);

		assert_true(r == 0 || r == -EOPNOTSUPP);
		assert_true((r == 0) == (watch != NULL));
		pressure_watch_destroy(watch);
		watch = NULL;
	}
	pressure_watch_destroy(NULL);
	event_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_watch_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
