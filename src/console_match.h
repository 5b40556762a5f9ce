/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest's output is searched for: the user's pattern and the kernel's panic line. Pure,
 * one thread at a time. */
#ifndef SRC_CONSOLE_MATCH_H
#define SRC_CONSOLE_MATCH_H

#include <regex.h>

#include "ebb/console.h"
#include "ebb/error.h"
#include "ebb/types.h"

enum console_match_found { CONSOLE_MATCH_EXPECT = 1, CONSOLE_MATCH_PANIC = 2 };

/* Where in an escape sequence (ECMA-48, 5.4 and 8.3) the output stands. */
enum console_match_escape { ESCAPE_NONE, ESCAPE_FIRST, ESCAPE_CSI, ESCAPE_STRING };

struct console_match {
	bool has_expect, expect_found;
	regex_t expect;
	enum console_match_escape escape;
	char line[CONSOLE_LINE_MAX + 1]; /* the current one, so far */
	size_t length;
	bool cut;           /* the line's start no longer fits */
	bool panic_in_line; /* and has been told */
};

/* pattern may be NULL. -EINVAL with a message. */
EBB_MUST_CHECK int console_match_init(struct console_match *match, const char *pattern,
                                      struct error *err);
void console_match_fini(struct console_match *match);

/* Both return what they found: a set of enum console_match_found. */
unsigned int console_match_feed(struct console_match *match, const uint8_t *data,
                                size_t size_bytes);
unsigned int console_match_pause(struct console_match *match); /* the unfinished line */

#endif
