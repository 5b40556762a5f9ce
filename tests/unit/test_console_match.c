/* SPDX-License-Identifier: Apache-2.0 */
/* The search of the guest's output: patterns across pieces, escape sequences, long lines, panic
 * lines. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/console_match.h"

/* Feeds text in pieces of step bytes, then pauses. Returns all that was found. */
static unsigned int feed(struct console_match *match, const char *text, size_t step)
{
	size_t size = strlen(text);
	unsigned int found = 0;

	for (size_t i = 0; i < size; i += step)
		found |= console_match_feed(match, (const uint8_t *)text + i,
		                            size - i < step ? size - i : step);
	return found | console_match_pause(match);
}

static unsigned int search(const char *pattern, const char *text)
{
	struct console_match match;
	struct error err = ERROR_INIT;
	unsigned int found = 0, first = 0;

	for (size_t step = 1; step < 40; step++) {
		assert_int_equal(console_match_init(&match, pattern, &err), 0);
		found = feed(&match, text, step);
		if (step == 1)
			first = found;
		assert_int_equal(found, first); /* the pieces do not matter */
		console_match_fini(&match);
	}
	return found;
}

static bool matches(const char *pattern, const char *text)
{
	return search(pattern, text) & CONSOLE_MATCH_EXPECT;
}

static bool panics(const char *text)
{
	return search(NULL, text) & CONSOLE_MATCH_PANIC;
}

static void test_expect(void **state)
{
	(void)state;
	assert_true(matches("login:", "Debian GNU/Linux 12\r\n\r\nhost login: "));
	assert_true(matches("^host login: $", "x\r\nhost login: "));
	assert_true(matches("^a+b$", "aaab\r\nc"));
	assert_false(matches("^a+b$", "xaaab\r\n"));
	assert_true(matches("(one|two) [0-9]{3}", "..two 123..\n"));
	assert_false(matches("one.two", "one\ntwo\n")); /* never two lines */
	assert_false(matches("x", ""));
	assert_true(matches("^$", "a\n\nb\n"));
}

static void test_escapes_do_not_matter(void **state)
{
	(void)state;
	assert_true(matches("^\\[  OK  \\] Reached", "[\033[0;32m  OK  \033[0m] Reached\r\n"));
	assert_true(matches("^ab$", "a\033]0;title\007b\n"));
	assert_true(matches("^ab$", "a\033]0;title\033\\b\n"));
	assert_true(matches("^ab$", "a\033(Bb\n"));
	assert_true(matches("^ab$", "a\033[?25l\033[1;1H\033cb\n"));
	assert_true(matches("^next$", "a\033]never ends\nnext\n"));
	assert_true(matches("^a\tb$", "a\tb\n"));
	assert_true(matches("^ab$", "a\177\001b\n"));
}

static void test_once(void **state)
{
	struct console_match match;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(console_match_init(&match, "x", &err), 0);
	assert_int_equal(feed(&match, "x", 1), CONSOLE_MATCH_EXPECT);
	assert_int_equal(feed(&match, "x\nx\n", 1), 0);
	console_match_fini(&match);
}

static void test_long_lines(void **state)
{
	static char text[5 * CONSOLE_LINE_MAX];

	(void)state;
	for (size_t at = 0; at < sizeof(text) - 8; at += 61) {
		memset(text, '.', sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		memcpy(text + at, "needle", 6);
		assert_true(matches("needle", text));
	}
	memset(text, '.', sizeof(text) - 1);
	memcpy(text + CONSOLE_LINE_MAX / 2, "head", 4);
	/* What is left of a cut line does not begin a line, and a full buffer does not end one. */
	assert_false(matches("^head", text));
	memset(text, '.', sizeof(text) - 1);
	memcpy(text + CONSOLE_LINE_MAX - 4, "tail", 4);
	assert_false(matches("tail$", text));
}

static void test_bad_pattern(void **state)
{
	struct console_match match;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(console_match_init(&match, "a(b", &err), -EINVAL);
	assert_non_null(strstr(err.message, "a(b"));
	console_match_fini(&match);
}

static void test_panic(void **state)
{
	(void)state;
	assert_true(panics("Kernel panic - not syncing: sysrq triggered crash\r\n"));
	assert_true(panics("[    1.234567] Kernel panic - not syncing: VFS\r\n"));
	assert_true(panics("[    1.234567][    T1] Kernel panic - not syncing: VFS\r\n"));
	assert_true(panics("<0>[    1.234567] Kernel panic - not syncing: VFS\r\n"));
	assert_true(panics("x\r\n\033[31m[   12.000001] Kernel panic - not syncing"));
	/* A prompt stood there when it came. */
	assert_true(panics("debian login: [  100.123456] Kernel panic - not syncing: oops\r\n"));
}

static void test_no_panic(void **state)
{
	(void)state;
	assert_false(panics("echo Kernel panic - not syncing\r\n"));
	assert_false(panics("Nov 21 host kernel: [   12.3] Kernel panic - not syncing: x\r\n"));
	assert_false(panics("[    1.2] ---[ end Kernel panic - not syncing: x ]---\r\n"));
	assert_false(panics("[x] y Kernel panic - not syncing\r\n"));
	assert_false(panics("Kernel panic\r\n - not syncing\r\n"));
	assert_false(panics("[[[[[[[[ Kernel panic - not syncing\r\n"));
}

static void test_each_panic_line_once(void **state)
{
	struct console_match match;
	struct error err = ERROR_INIT;
	static const char line[] = "Kernel panic - not syncing: a";

	(void)state;
	assert_int_equal(console_match_init(&match, NULL, &err), 0);
	assert_int_equal(feed(&match, line, 7), CONSOLE_MATCH_PANIC);
	assert_int_equal(feed(&match, " b\n", 1), 0); /* still that line */
	assert_int_equal(feed(&match, line, 100), CONSOLE_MATCH_PANIC);
	console_match_fini(&match);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expect),      cmocka_unit_test(test_escapes_do_not_matter),
		cmocka_unit_test(test_once),        cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_bad_pattern), cmocka_unit_test(test_panic),
		cmocka_unit_test(test_no_panic),    cmocka_unit_test(test_each_panic_line_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
