/* SPDX-License-Identifier: Apache-2.0 */
/* Text in columns of a terminal: lines that are never wider, nor more, than there is room. Pure. */
#ifndef CLIENT_TEXT_H
#define CLIENT_TEXT_H

#include "client_private.h"

enum client_style {
	CLIENT_PLAIN,
	CLIENT_BOLD,
	CLIENT_DIM,
	CLIENT_CYAN,
	CLIENT_YELLOW,
	CLIENT_GREEN,
};

struct client_text {
	char *data; /* the caller's; always ends with a NUL */
	size_t size_bytes, used_bytes;
	unsigned int width, height; /* columns and lines there are; 0: any number */
	unsigned int column, line;  /* where the next character goes */
	bool utf8, color;           /* what the terminal understands */
};

/* Empties it. */
void client_text_start(struct client_text *text);

/* What does not fit the line or the screen is cut. No line ends in it, and no escapes. */
void client_text_put(struct client_text *text, enum client_style style, const char *format, ...)
	EBB_PRINTF(3, 4);

/* Blanks up to a column; at least one where something is there. */
void client_text_tab(struct client_text *text, unsigned int column);
void client_text_end_line(struct client_text *text);

/* part of whole, as a bar of so many columns. */
void client_text_bar(struct client_text *text, enum client_style style, unsigned int columns,
                     uint64_t part, uint64_t whole);

/* One row of a graph of values[0..count), a column each; row 0 is the lowest of rows, which
 * together are as high as top. */
void client_text_graph_row(struct client_text *text, const uint64_t *values, size_t count,
                           unsigned int row, unsigned int rows, uint64_t top);

/* "812 ns", "1.5 ms". */
const char *client_format_ns(uint64_t ns, char text[CLIENT_SIZE_TEXT_MAX]);

#endif
