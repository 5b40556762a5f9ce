/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's console: what it says in lines "bench: …". */
/*
 * DOC: A line ends with a newline; carriage returns are dropped. Firmware's escape sequences and a
 * kernel message may stand before "bench: " in the same line. A line that is too long, or whose
 * words are none of the protocol's, is of no concern. The bytes are the guest's, so whatever they
 * are, only printable ones of bounded length get through.
 */
#include "console.h"

#include <string.h>

#include "common.h"

#define SIGN "bench: "

static bool is_name_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
}

/* The whole rest of a line is a name. */
static bool take_name(const char *rest, char name[CONSOLE_NAME_BYTES])
{
	size_t length = 0;

	while (is_name_byte(rest[length]))
		length++;
	if (!length || length >= CONSOLE_NAME_BYTES || rest[length])
		return false;
	memcpy(name, rest, length + 1);
	return true;
}

static const char *after(const char *text, const char *word)
{
	size_t length = strlen(word);

	return strncmp(text, word, length) ? NULL : text + length;
}

static enum console_kind understand(const char *said, struct console_line *ret)
{
	const char *rest;

	if ((rest = after(said, "mark ")))
		return take_name(rest, ret->name) ? CONSOLE_MARK : CONSOLE_NOTHING;
	if ((rest = after(said, "ask ")))
		return take_name(rest, ret->name) ? CONSOLE_ASK : CONSOLE_NOTHING;
	if ((rest = after(said, "result "))) {
		strcpy(ret->words, rest);
		return CONSOLE_RESULT;
	}
	return strcmp(said, "over") ? CONSOLE_NOTHING : CONSOLE_OVER;
}

static void remember(struct console *console)
{
	if (!console->length)
		return;
	memcpy(console->tail[console->tail_next % CONSOLE_TAIL_LINES], console->line,
	       console->length + 1);
	console->tail_next++;
}

bool console_take(struct console *console, char byte, struct console_line *ret)
{
	const char *said;

	if (byte == '\r')
		return false;
	if (byte != '\n') {
		if (console->length + 1 < sizeof(console->line))
			console->line[console->length++] = byte >= ' ' && byte < 0x7f ? byte : '?';
		else
			console->too_long = true;
		return false;
	}
	while (console->length && console->line[console->length - 1] == ' ')
		console->length--;
	console->line[console->length] = 0;
	memset(ret, 0, sizeof(*ret));
	said = console->too_long ? NULL : strstr(console->line, SIGN);
	if (said)
		ret->kind = understand(said + strlen(SIGN), ret);
	if (ret->kind == CONSOLE_NOTHING)
		remember(console);
	console->length = 0;
	console->too_long = false;
	return ret->kind != CONSOLE_NOTHING;
}

void console_complain(const struct console *console)
{
	unsigned int first = console->tail_next > CONSOLE_TAIL_LINES
	                             ? console->tail_next - CONSOLE_TAIL_LINES
	                             : 0;

	for (unsigned int i = first; i < console->tail_next; i++)
		complain("console: %s", console->tail[i % CONSOLE_TAIL_LINES]);
}
