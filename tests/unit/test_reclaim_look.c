/* SPDX-License-Identifier: Apache-2.0 */
/* In which order a look at guest memory takes its slices, and what a sample says about all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../../src/reclaim_look.h"

static void every_slice_is_met_once(void **state)
{
	(void)state;
	for (size_t count = 1; count < 600; count++) {
		size_t step = reclaim_look_step(count);
		uint8_t *met = calloc(count, 1);

		for (size_t i = 0; i < count; i++)
			assert_int_equal(met[i * step % count]++, 0);
		free(met);
	}
}

/* Of any beginning of the order, no part of memory gets much more or less than its share. */
static void a_beginning_is_spread(void **state)
{
	const size_t count = 4096, eighth = count / 8, looked = 512;
	size_t step = reclaim_look_step(count), by_eighth[8] = { 0 };

	(void)state;
	for (size_t i = 0; i < looked; i++)
		by_eighth[i * step % count / eighth]++;
	for (size_t i = 0; i < 8; i++)
		assert_in_range(by_eighth[i], looked / 8 - 8, looked / 8 + 8);
}

static void a_sample_stands_for_all(void **state)
{
	(void)state;
	assert_int_equal(reclaim_look_extrapolate(MIB, GIB, 64 * GIB), 64 * MIB);
	assert_int_equal(reclaim_look_extrapolate(12345, GIB, GIB), 12345);
	assert_int_equal(reclaim_look_extrapolate(0, 0, GIB), 0);
	assert_int_equal(reclaim_look_extrapolate(2 * MIB, MIB, GIB), GIB);
	assert_int_equal(reclaim_look_extrapolate(GIB, 2 * GIB, UINT64_C(1) << 46), UINT64_C(1)
	                                                                                    << 45);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slice_is_met_once),
		cmocka_unit_test(a_beginning_is_spread),
		cmocka_unit_test(a_sample_stands_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
