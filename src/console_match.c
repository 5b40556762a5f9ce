/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the user's pattern and the kernel's panic line in what the guest prints. */
/*
 * DOC: Matching
 *
 * Output comes in pieces of any size. It is put together to lines, with CR, other control bytes and
 * escape sequences left out, and a line is searched when it ends, when the output pauses, and when
 * it grows to CONSOLE_LINE_MAX; then its newer half is kept, so that a match of up to half of that
 * is found wherever it lies. A sequence of any length takes no memory, and a new line ends one that
 * was never finished.
 *
 * The panic line is the kernel's "Kernel panic - not syncing", at the line's start behind what
 * printk may put before it ("<0>", "[   12.345678]", "[    T1]"), or behind a timestamp in the
 * middle of a line that a program had begun; a syslog file that is shown ("... kernel: [   12.3]
 * Kernel panic") is none.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "console_match.h"

#define PANIC_TEXT "Kernel panic - not syncing"

#define BEL 0x07
#define ESC 0x1b

int console_match_init(struct console_match *match, const char *pattern, struct error *err)
{
	int rc;

	memset(match, 0, sizeof(*match));
	if (!pattern)
		return 0;
	rc = regcomp(&match->expect, pattern, REG_EXTENDED | REG_NOSUB);
	if (rc) {
		char reason[128];

		regerror(rc, &match->expect, reason, sizeof(reason));
		return error_set(err, -EINVAL,
		                 "--expect %s: %s (a POSIX extended regular expression)", pattern,
		                 reason);
	}
	match->has_expect = true;
	return 0;
}

void console_match_fini(struct console_match *match)
{
	if (match->has_expect)
		regfree(&match->expect);
	match->has_expect = false;
}

/* Behind one "[...]" and blanks, or text itself if there is none. */
static const char *skip_bracket(const char *text)
{
	const char *end = text;

	if (*text != '[')
		return text;
	while (*end && *end != ']')
		end++;
	if (!*end)
		return text;
	end++;
	while (*end == ' ')
		end++;
	return end;
}

static bool starts_with_panic(const char *text)
{
	return !strncmp(text, PANIC_TEXT, strlen(PANIC_TEXT));
}

/* "[   12.345678]": blanks, digits, a point, digits. */
static bool is_timestamp(const char *text)
{
	if (*text++ != '[')
		return false;
	while (*text == ' ')
		text++;
	if (!isdigit((unsigned char)*text))
		return false;
	while (isdigit((unsigned char)*text))
		text++;
	if (*text++ != '.')
		return false;
	while (isdigit((unsigned char)*text))
		text++;
	return *text == ']';
}

static bool has_panic(const char *line, bool cut)
{
	const char *text = line;

	if (!strstr(line, PANIC_TEXT))
		return false;
	if (!cut) {
		if (*text == '<' && isdigit((unsigned char)text[1]) && text[2] == '>')
			text += 3;
		if (starts_with_panic(skip_bracket(skip_bracket(text))))
			return true;
	}
	for (text = strchr(line, '['); text; text = strchr(text + 1, '['))
		if (is_timestamp(text) && starts_with_panic(skip_bracket(skip_bracket(text))))
			return !strstr(line, "kernel:");
	return false;
}

static unsigned int search_line(struct console_match *match, int regexec_flags)
{
	unsigned int found = 0;

	match->line[match->length] = '\0';
	if (match->has_expect && !match->expect_found &&
	    !regexec(&match->expect, match->line, 0, NULL,
	             regexec_flags | (match->cut ? REG_NOTBOL : 0))) {
		match->expect_found = true;
		found |= CONSOLE_MATCH_EXPECT;
	}
	if (!match->panic_in_line && has_panic(match->line, match->cut)) {
		match->panic_in_line = true;
		found |= CONSOLE_MATCH_PANIC;
	}
	return found;
}

static unsigned int end_line(struct console_match *match)
{
	unsigned int found = search_line(match, 0);

	match->length = 0;
	match->cut = match->panic_in_line = false;
	match->escape = ESCAPE_NONE;
	return found;
}

static unsigned int append(struct console_match *match, uint8_t byte)
{
	unsigned int found = 0;

	match->line[match->length++] = (char)byte;
	if (match->length < CONSOLE_LINE_MAX)
		return 0;
	found = search_line(match, REG_NOTEOL);
	match->length = CONSOLE_LINE_MAX / 2;
	memmove(match->line, match->line + CONSOLE_LINE_MAX - match->length, match->length);
	match->cut = true;
	return found;
}

/* Returns whether byte is text. */
static bool is_text(struct console_match *match, uint8_t byte)
{
	switch (match->escape) {
	case ESCAPE_NONE:
		if (byte == ESC)
			match->escape = ESCAPE_FIRST;
		return byte >= ' ' ? byte != 0x7f : byte == '\t';
	case ESCAPE_FIRST:
		if (byte == '[')
			match->escape = ESCAPE_CSI;
		else if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_')
			match->escape = ESCAPE_STRING;
		else if (byte < ' ' || byte > '/') /* not an intermediate byte */
			match->escape = ESCAPE_NONE;
		return false;
	case ESCAPE_CSI:
		if (byte >= 0x40 && byte <= 0x7e)
			match->escape = ESCAPE_NONE;
		return false;
	case ESCAPE_STRING:
		if (byte == BEL)
			match->escape = ESCAPE_NONE;
		else if (byte == ESC) /* of the terminator ESC \ */
			match->escape = ESCAPE_FIRST;
		return false;
	}
	return false;
}

unsigned int console_match_feed(struct console_match *match, const uint8_t *data, size_t size_bytes)
{
	unsigned int found = 0;

	for (size_t i = 0; i < size_bytes; i++) {
		if (data[i] == '\n')
			found |= end_line(match);
		else if (is_text(match, data[i]))
			found |= append(match, data[i]);
	}
	return found;
}

unsigned int console_match_pause(struct console_match *match)
{
	return match->length ? search_line(match, 0) : 0;
}
