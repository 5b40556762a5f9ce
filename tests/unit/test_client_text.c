/* SPDX-License-Identifier: Apache-2.0 */
/* Text in columns of a terminal: never wider or longer than there is room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/client_text.h"

static char data[4096];
static struct client_text text;

static int set_up(void **state)
{
	(void)state;
	text = (struct client_text){ .data = data, .size_bytes = sizeof(data) };
	client_text_start(&text);
	return 0;
}

static void what_does_not_fit_is_cut(void **state)
{
	(void)state;
	text.width = 5;
	text.height = 2;
	client_text_put(&text, CLIENT_BOLD, "%s %d", "abc", 12345);
	client_text_put(&text, CLIENT_PLAIN, "more");
	client_text_end_line(&text);
	client_text_put(&text, CLIENT_PLAIN, "äöüß€x");
	client_text_end_line(&text);
	client_text_put(&text, CLIENT_PLAIN, "no third line");
	client_text_end_line(&text);
	assert_string_equal(data, "abc 1\näöüß€\n");
}

static void a_small_buffer_is_never_overrun(void **state)
{
	char *small = malloc(8); /* its end is watched */

	(void)state;
	text = (struct client_text){ .data = small, .size_bytes = 8 };
	client_text_start(&text);
	for (int i = 0; i < 100; i++) {
		client_text_put(&text, CLIENT_CYAN, "€%d", i);
		client_text_end_line(&text);
	}
	assert_true(strlen(small) < 8);
	free(small);
}

/* Escapes take no column, and are closed where the text is cut. */
static void color_takes_no_room(void **state)
{
	(void)state;
	text.width = 4;
	text.color = true;
	client_text_put(&text, CLIENT_BOLD, "ab");
	client_text_put(&text, CLIENT_DIM, "cdef");
	client_text_put(&text, CLIENT_DIM, "gone");
	assert_string_equal(data, "\033[1mab\033[0m\033[2mcd\033[0m");
}

static void tabs_keep_columns_apart(void **state)
{
	(void)state;
	client_text_put(&text, CLIENT_PLAIN, "ab");
	client_text_tab(&text, 4);
	client_text_put(&text, CLIENT_PLAIN, "c");
	client_text_tab(&text, 3);
	client_text_put(&text, CLIENT_PLAIN, "d");
	assert_string_equal(data, "ab  c d");
}

static void bars_fill_with_their_share(void **state)
{
	static const struct {
		uint64_t part, whole;
		bool utf8;
		const char *expected;
	} cases[] = {
		{ 0, 100, false, "........" },
		{ 50, 100, false, "####...." },
		{ 100, 100, false, "########" },
		{ 300, 100, false, "########" },
		{ 1, 0, false, "........" },
		{ 50, 100, true, "████····" },
		{ 25, 64, true, "███▏····" },
		{ 64, 64, true, "████████" },
		{ UINT64_MAX, UINT64_MAX, false, "########" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		client_text_start(&text);
		text.utf8 = cases[i].utf8;
		client_text_bar(&text, CLIENT_CYAN, 8, cases[i].part, cases[i].whole);
		assert_string_equal(data, cases[i].expected);
	}
	client_text_bar(&text, CLIENT_CYAN, 100000, 1, 2); /* is no overrun */
}

static void a_graph_is_as_high_as_its_values(void **state)
{
	const uint64_t values[] = { 0, 1, 8, 12, 16 };

	(void)state;
	text.utf8 = true;
	for (unsigned int row = 2; row-- > 0;) {
		client_text_graph_row(&text, values, 5, row, 2, 16);
		client_text_end_line(&text);
	}
	assert_string_equal(data, "   ▄█\n ▁███\n");
	/* What is next to nothing is seen; nothing at all is empty. */
	client_text_start(&text);
	client_text_graph_row(&text, (const uint64_t[]){ 1, 0, 1000 }, 3, 0, 1, 1000);
	assert_string_equal(data, "▁ █");
	client_text_start(&text);
	text.utf8 = false;
	client_text_graph_row(&text, values, 5, 0, 1, 16);
	assert_string_equal(data, " .::#");
	client_text_start(&text);
	client_text_graph_row(&text, (const uint64_t[]){ 0 }, 1, 0, 1, 0);
	assert_string_equal(data, " ");
}

static void times_are_told_in_units(void **state)
{
	char buffer[CLIENT_SIZE_TEXT_MAX];

	(void)state;
	assert_string_equal(client_format_ns(0, buffer), "0 ns");
	assert_string_equal(client_format_ns(999, buffer), "999 ns");
	assert_string_equal(client_format_ns(1500, buffer), "1.5 us");
	assert_string_equal(client_format_ns(250000000, buffer), "250 ms");
	assert_string_equal(client_format_ns(UINT64_MAX, buffer), "18446744074 s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
		TEST(what_does_not_fit_is_cut),   TEST(a_small_buffer_is_never_overrun),
		TEST(color_takes_no_room),        TEST(tabs_keep_columns_apart),
		TEST(bars_fill_with_their_share), TEST(a_graph_is_as_high_as_its_values),
		TEST(times_are_told_in_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
