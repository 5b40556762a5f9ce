/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmaps against a plain array of bools, at every edge of a word. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bitmap.h"

#define BITS 200

static const size_t edges[] = { 0, 1, 5, 62, 63, 64, 65, 127, 128, 129, 191, 192, 199, 200 };

static void check(const uint64_t *map, const bool *model)
{
	for (size_t i = 0; i < BITS; i++)
		assert_int_equal(bitmap_test(map, i), model[i]);
	/* Nothing behind the end was touched. */
	for (size_t i = BITS; i < BITMAP_WORDS(BITS) * 64; i++)
		assert_false(bitmap_test(map, i));
}

static void test_single(void **state)
{
	uint64_t map[BITMAP_WORDS(BITS)] = { 0 };
	bool model[BITS] = { false };

	(void)state;
	assert_int_equal(BITMAP_WORDS(BITS), 4);
	assert_int_equal(BITMAP_WORDS(64), 1);
	assert_int_equal(BITMAP_WORDS(65), 2);
	for (size_t i = 0; i < BITS; i += 3) {
		bitmap_set(map, i);
		model[i] = true;
	}
	check(map, model);
	for (size_t i = 0; i < BITS; i += 6) {
		bitmap_clear(map, i);
		model[i] = false;
	}
	check(map, model);
}

static void test_ranges(void **state)
{
	(void)state;
	for (size_t a = 0; a < ARRAY_SIZE(edges); a++) {
		for (size_t b = a; b < ARRAY_SIZE(edges); b++) {
			size_t first = edges[a], count = edges[b] - edges[a];
			uint64_t map[BITMAP_WORDS(BITS)] = { 0 };
			bool model[BITS] = { false };

			bitmap_set_range(map, first, count);
			memset(model + first, true, count);
			check(map, model);
			assert_int_equal(bitmap_count_range(map, 0, BITS), count);
			assert_int_equal(bitmap_count_range(map, first, count), count);
			if (count > 2) {
				bitmap_clear_range(map, first + 1, count - 2);
				memset(model + first + 1, false, count - 2);
				check(map, model);
				assert_int_equal(bitmap_count_range(map, 0, BITS), 2);
			}
		}
	}
}

static void test_find(void **state)
{
	uint64_t map[BITMAP_WORDS(BITS)] = { 0 };

	(void)state;
	assert_int_equal(bitmap_find_set(map, BITS, 0), BITS);
	assert_int_equal(bitmap_find_clear(map, BITS, 0), 0);
	assert_int_equal(bitmap_find_set(map, 0, 0), 0);
	for (size_t i = 0; i + 1 < ARRAY_SIZE(edges); i++) {
		size_t bit = edges[i];

		memset(map, 0, sizeof(map));
		bitmap_set(map, bit);
		assert_int_equal(bitmap_find_set(map, BITS, 0), bit);
		assert_int_equal(bitmap_find_set(map, BITS, bit), bit);
		assert_int_equal(bitmap_find_set(map, BITS, bit + 1), BITS);
		assert_int_equal(bitmap_find_set(map, bit, 0), bit); /* just out of reach */
		memset(map, 0xff, sizeof(map));
		bitmap_clear(map, bit);
		assert_int_equal(bitmap_find_clear(map, BITS, 0), bit);
		assert_int_equal(bitmap_find_clear(map, BITS, bit + 1), BITS);
	}
	/* A set bit behind the end is none. */
	memset(map, 0, sizeof(map));
	bitmap_set(map, BITS + 1);
	assert_int_equal(bitmap_find_set(map, BITS, 0), BITS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
