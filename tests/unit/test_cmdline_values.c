/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, numbers, times and the nearest word. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/cmdline.h"

static void sizes_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rows[] = {
		{ "0", 0 },
		{ "1", MIB },
		{ "512", 512 * MIB },
		{ "512M", 512 * MIB },
		{ "512m", 512 * MIB },
		{ "512MB", 512 * MIB },
		{ "512MiB", 512 * MIB },
		{ "512mib", 512 * MIB },
		{ "4K", 4 * KIB },
		{ "4kb", 4 * KIB },
		{ "6G", 6 * GIB },
		{ "6GIB", 6 * GIB },
		{ "1T", TIB },
		{ "1Ti"
		  "B",
		  TIB },
		{ "16777215T", 16777215 * TIB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes = 1;

		assert_int_equal(cmdline_parse_size(rows[i].text, MIB, &bytes), 0);
		assert_int_equal(bytes, rows[i].bytes);
	}
}

static void sizes_that_are_none_are_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
	} rows[] = {
		{ "", -EINVAL },
		{ "M", -EINVAL },
		{ "-1", -EINVAL },
		{ "+1", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 ", -EINVAL },
		{ "1.5G", -EINVAL },
		{ "1,5G", -EINVAL },
		{ "0x10", -EINVAL },
		{ "1P", -EINVAL },
		{ "1Mi", -EINVAL },
		{ "1MM", -EINVAL },
		{ "1B", -EINVAL },
		{ "1MiBs", -EINVAL },
		{ "16777216T", -ERANGE },
		{ "99999999T", -ERANGE },
		{ "18446744073709551616", -ERANGE },
		{ "17592186044416", -ERANGE }, /* of MiB */
		{ "99999999999999999999999999999999G", -ERANGE },
		{ "99999999999999999999999999999999X", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t bytes;

		assert_int_equal(cmdline_parse_size(rows[i].text, MIB, &bytes), rows[i].code);
	}
}

static void numbers_and_times_are_read(void **state)
{
	uint64_t value = 0;

	(void)state;
	assert_int_equal(cmdline_parse_uint("18446744073709551615", &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(cmdline_parse_uint("18446744073709551616", &value), -ERANGE);
	assert_int_equal(cmdline_parse_uint("1x", &value), -EINVAL);
	assert_int_equal(cmdline_parse_uint("", &value), -EINVAL);
	assert_int_equal(cmdline_parse_uint("-1", &value), -EINVAL);

	assert_int_equal(cmdline_parse_seconds("90", &value), 0);
	assert_int_equal(value, 90 * NS_PER_S);
	assert_int_equal(cmdline_parse_seconds("0.25", &value), 0);
	assert_int_equal(value, 250 * NS_PER_MS);
	assert_int_equal(cmdline_parse_seconds("1.000000001", &value), 0);
	assert_int_equal(value, NS_PER_S + 1);
	assert_int_equal(cmdline_parse_seconds("1.0000000001", &value), -EINVAL);
	assert_int_equal(cmdline_parse_seconds("1.", &value), -EINVAL);
	assert_int_equal(cmdline_parse_seconds(".5", &value), -EINVAL);
	assert_int_equal(cmdline_parse_seconds("5s", &value), -EINVAL);
	assert_int_equal(cmdline_parse_seconds("18446744073", &value), 0);
	assert_int_equal(cmdline_parse_seconds("18446744074", &value), -ERANGE);
	assert_int_equal(cmdline_parse_seconds("18446744073.999999999", &value), -ERANGE);
}

static void sizes_are_spelled_so_that_they_can_be_read_again(void **state)
{
	static const uint64_t sizes[] = { 0,          1,       1023,     KIB,        1536,      MIB,
		                          1536 * KIB, 5 * GIB, 16 * TIB, 4096 * TIB, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		char text[SIZE_TEXT_MAX];
		uint64_t bytes;

		assert_int_equal(cmdline_parse_size(cmdline_format_size(sizes[i], text), 1, &bytes),
		                 0);
		assert_true(bytes == sizes[i]);
	}
}

static void distances_count_edits(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned int distance;
	} rows[] = {
		{ "", "", 0 },       { "abc", "abc", 0 },        { "", "abc", 3 },
		{ "abc", "", 3 },    { "balloon", "ballon", 1 }, { "balloon", "ballooon", 1 },
		{ "run", "rnu", 1 }, { "stat", "star", 1 },      { "pause", "puase", 1 },
		{ "list", "ls", 2 }, { "kitten", "sitting", 3 }, { "ab", "ba", 1 },
	};
	char a[200], b[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(cmdline_distance(rows[i].a, rows[i].b), rows[i].distance);
		assert_int_equal(cmdline_distance(rows[i].b, rows[i].a), rows[i].distance);
	}
	/* Words longer than the table are cut, not overrun. */
	memset(a, 'a', sizeof(a));
	memset(b, 'b', sizeof(b));
	a[sizeof(a) - 1] = b[sizeof(b) - 1] = '\0';
	assert_int_equal(cmdline_distance(a, b), 63);
}

static const char *nearest(const char *word)
{
	static const char *const words[] = { "kernel", "initrd", "balloon", "free-page-reporting",
		                             "off",    "rng" };
	struct cmdline_nearest nearest_word = { .word = word };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		cmdline_nearest_offer(&nearest_word, words[i]);
	return nearest_word.best;
}

static void the_nearest_word_is_proposed(void **state)
{
	(void)state;
	assert_string_equal(nearest("kernl"), "kernel");
	assert_string_equal(nearest("baloon"), "balloon");
	assert_string_equal(nearest("free-page-repoting"), "free-page-reporting");
	assert_string_equal(nearest("free-page"), "free-page-reporting");
	assert_string_equal(nearest("rgn"), "rng");
	assert_null(nearest("zzzzzzzz"));
	assert_null(nearest("x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(sizes_that_are_none_are_refused),
		cmocka_unit_test(numbers_and_times_are_read),
		cmocka_unit_test(sizes_are_spelled_so_that_they_can_be_read_again),
		cmocka_unit_test(distances_count_edits),
		cmocka_unit_test(the_nearest_word_is_proposed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
