/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's console: what it says in lines "bench: …". */
#ifndef BENCH_CONSOLE_H
#define BENCH_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#define CONSOLE_LINE_BYTES 512
#define CONSOLE_NAME_BYTES 33
#define CONSOLE_TAIL_LINES 20

enum console_kind {
	CONSOLE_NOTHING, /* a line of no concern to the bench */
	CONSOLE_MARK,
	CONSOLE_ASK,
	CONSOLE_RESULT,
	CONSOLE_OVER,
};

struct console_line {
	enum console_kind kind;
	char name[CONSOLE_NAME_BYTES];  /* of a mark or an ask: letters, digits, "_", "-" */
	char words[CONSOLE_LINE_BYTES]; /* of a result; printable */
};

/* Owned by the caller; all zeroes at first. */
struct console {
	char line[CONSOLE_LINE_BYTES];
	size_t length;
	bool too_long;
	char tail[CONSOLE_TAIL_LINES][CONSOLE_LINE_BYTES]; /* the last lines of no concern */
	unsigned int tail_next;
};

/* Takes one byte of the guest's. True: it ended a line that concerns the bench. */
bool console_take(struct console *console, char byte, struct console_line *ret);

/* Prints the tail on stderr, for whoever looks for why a run failed. */
void console_complain(const struct console *console);

#endif
