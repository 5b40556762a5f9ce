/* SPDX-License-Identifier: Apache-2.0 */
/* A vhost's memory table: which regions of guest memory are one entry. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../devices/vhost/vhost_memory.h"

#define SPANS_MAX 6

static void add(struct vhost_spans *spans, gpa_t gpa, uint64_t size_bytes, uint64_t hva)
{
	const struct vhost_span span = { gpa, size_bytes, hva };

	assert_int_equal(vhost_spans_add(spans, &span), 0);
}

static void test_merging(void **state)
{
	static const struct {
		const char *what;
		struct vhost_span in[SPANS_MAX], out[SPANS_MAX];
		size_t out_count;
	} rows[] = {
		{ "nothing", { { 0 } }, { { 0 } }, 0 },
		{ "one", { { 0, 10, 100 } }, { { 0, 10, 100 } }, 1 },
		{ "touch in both", { { 0, 10, 100 }, { 10, 5, 110 } }, { { 0, 15, 100 } }, 1 },
		{ "in any order",
		  { { 10, 5, 110 }, { 15, 5, 115 }, { 0, 10, 100 } },
		  { { 0, 20, 100 } },
		  1 },
		{ "in guest-physical addresses alone",
		  { { 0, 10, 100 }, { 10, 5, 200 } },
		  { { 0, 10, 100 }, { 10, 5, 200 } },
		  2 },
		{ "in host addresses alone",
		  { { 0, 10, 100 }, { 20, 5, 110 } },
		  { { 0, 10, 100 }, { 20, 5, 110 } },
		  2 },
		{ "the wrong way round",
		  { { 0, 10, 110 }, { 10, 10, 100 } },
		  { { 0, 10, 110 }, { 10, 10, 100 } },
		  2 },
		{ "a chunk is missing",
		  { { 0, 10, 100 }, { 10, 10, 110 }, { 30, 10, 130 }, { 40, 10, 140 } },
		  { { 0, 20, 100 }, { 30, 20, 130 } },
		  2 },
		{ "to the end of both address spaces",
		  { { UINT64_MAX - 19, 10, UINT64_MAX - 19 },
		    { UINT64_MAX - 9, 10, UINT64_MAX - 9 },
		    { 0, 10, 100 } },
		  { { 0, 10, 100 }, { UINT64_MAX - 19, 20, UINT64_MAX - 19 } },
		  2 },
	};

	(void)state;
	for (size_t row = 0; row < ARRAY_SIZE(rows); row++) {
		struct vhost_spans spans = { .spans = NULL };
		struct vhost_span merged[SPANS_MAX];

		for (size_t i = 0; i < SPANS_MAX && rows[row].in[i].size_bytes; i++)
			assert_int_equal(vhost_spans_add(&spans, &rows[row].in[i]), 0);
		if (vhost_spans_merge(&spans, merged) != rows[row].out_count ||
		    vhost_spans_merge(&spans, NULL) != rows[row].out_count ||
		    memcmp(merged, rows[row].out, rows[row].out_count * sizeof(merged[0])))
			fail_msg("%s", rows[row].what);
		vhost_spans_free(&spans);
	}
}

/* 256 chunks of an area, in any order, are one entry; each that goes splits it. */
static void test_chunks(void **state)
{
	struct vhost_spans spans = { .spans = NULL };

	(void)state;
	for (uint64_t i = 0; i < 256; i++) {
		uint64_t chunk = (i * 37) % 256;

		add(&spans, GIB * chunk, GIB, TIB + GIB * chunk);
	}
	assert_int_equal(spans.count, 256);
	assert_int_equal(vhost_spans_merge(&spans, NULL), 1);
	vhost_spans_remove(&spans, GIB * 10 + 1); /* starts nothing */
	for (uint64_t i = 1; i < 255; i += 2)
		vhost_spans_remove(&spans, GIB * i);
	assert_int_equal(vhost_spans_merge(&spans, NULL), 128);
	for (uint64_t i = 1; i < 255; i += 2)
		add(&spans, GIB * i, GIB, TIB + GIB * i);
	assert_int_equal(vhost_spans_merge(&spans, NULL), 1);
	for (uint64_t i = 0; i < 256; i++)
		vhost_spans_remove(&spans, GIB * i);
	assert_int_equal(spans.count, 0);
	vhost_spans_remove(&spans, 0);
	vhost_spans_free(&spans);
}

static void test_hold(void **state)
{
	struct vhost_spans spans = { .spans = NULL };

	(void)state;
	assert_false(vhost_spans_hold(&spans, 100, 1));
	add(&spans, 0, 10, 100);
	add(&spans, 20, 10, 200);
	assert_true(vhost_spans_hold(&spans, 100, 10));
	assert_true(vhost_spans_hold(&spans, 209, 1));
	assert_false(vhost_spans_hold(&spans, 100, 11));
	assert_false(vhost_spans_hold(&spans, 99, 2));
	assert_false(vhost_spans_hold(&spans, 110, 1));
	assert_false(vhost_spans_hold(&spans, 205, UINT64_MAX));
	vhost_spans_free(&spans);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_hold),
	};

	return cmocka_run_group_tests_name("vhost_memory", tests, NULL, NULL);
}
