/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of guest pages: ranges of any value, holes, neighbours, words as KVM has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ebb/page_map.h"

#define PAGE PAGE_4K_BYTES
#define FAR  (4 * GIB)

struct fixture {
	struct guest_memory *memory;
	struct page_map *map;
};

/* Two regions next to each other, a hole, one far away that does not fill its last word. */
static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(guest_memory_create(&f->memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, FAR, 67 * PAGE, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, MIB, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, MIB, MIB, NULL, NULL), 0);
	assert_int_equal(page_map_create(f->memory, &f->map), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	page_map_destroy(f->map);
	page_map_destroy(NULL);
	guest_memory_destroy(f->memory);
	free(f);
	return 0;
}

static uint64_t all(const struct fixture *f)
{
	return page_map_count_bytes(f->map, 0, UINT64_MAX);
}

static void test_ranges(void **state)
{
	static const struct {
		gpa_t gpa;
		uint64_t size_bytes, added_bytes;
	} rows[] = {
		{ 0, 0, 0 },
		{ 0, 1, PAGE },
		{ 0, PAGE, 0 },        /* again */
		{ PAGE - 1, 2, PAGE }, /* both pages; one was there */
		{ 4 * PAGE + 1, 1, PAGE },
		{ MIB - 1, 2, 2 * PAGE },   /* across neighbours */
		{ 2 * MIB - 1, GIB, PAGE }, /* into the hole */
		{ 2 * MIB, GIB, 0 },        /* in it */
		{ FAR - 1, 1, 0 },
		{ FAR - 1, 2, PAGE },
		{ FAR + 66 * PAGE, GIB, PAGE },
		{ FAR + 67 * PAGE, UINT64_MAX, 0 },
		{ UINT64_MAX, 1, 0 },
		{ UINT64_MAX, UINT64_MAX, 0 },
		{ FAR + 65 * PAGE, UINT64_MAX, PAGE }, /* wraps: to the end, and no further */
	};
	struct fixture *f = *state;
	uint64_t expected = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(page_map_add(f->map, rows[i].gpa, rows[i].size_bytes),
		                 rows[i].added_bytes);
		expected += rows[i].added_bytes;
		assert_int_equal(all(f), expected);
	}
	assert_int_equal(page_map_count_bytes(f->map, PAGE, 4 * PAGE), 2 * PAGE);
	assert_int_equal(page_map_count_bytes(f->map, 2 * PAGE, 2 * PAGE), 0);
	/* Everything there is. */
	assert_int_equal(page_map_add(f->map, 0, UINT64_MAX), 2 * MIB + 67 * PAGE - expected);
	assert_int_equal(page_map_add(f->map, 0, UINT64_MAX), 0);
}

static void test_words(void **state)
{
	struct fixture *f = *state;
	uint64_t size_bytes;
	gpa_t gpa;

	assert_int_equal(page_map_region_count(f->map), 3);
	page_map_region(f->map, 2, &gpa, &size_bytes);
	assert_int_equal(gpa, FAR);
	assert_int_equal(size_bytes, 67 * PAGE);
	page_map_add(f->map, FAR + 65 * PAGE, PAGE);
	assert_int_equal(page_map_words(f->map, 2)[0], 0);
	assert_int_equal(page_map_words(f->map, 2)[1], 2);
	page_map_words(f->map, 1)[0] = 1;
	assert_int_equal(page_map_count_bytes(f->map, MIB, 1), PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_words, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
