/* SPDX-License-Identifier: Apache-2.0 */
/* Text in columns of a terminal. */
#include "client_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RESET "\033[0m"

void client_text_start(struct client_text *text)
{
	text->used_bytes = 0;
	text->column = text->line = 0;
	text->data[0] = '\0';
}

static void append(struct client_text *text, const char *bytes, size_t count)
{
	if (count >= text->size_bytes - text->used_bytes)
		return;
	memcpy(text->data + text->used_bytes, bytes, count);
	text->used_bytes += count;
	text->data[text->used_bytes] = '\0';
}

static bool has_room(const struct client_text *text)
{
	return (!text->width || text->column < text->width) &&
	       (!text->height || text->line < text->height);
}

/* A character of UTF-8 is a column: all that are written here are. */
static void append_characters(struct client_text *text, const char *bytes)
{
	while (*bytes && has_room(text)) {
		size_t count = 1;

		while ((bytes[count] & 0xc0) == 0x80)
			count++;
		append(text, bytes, count);
		bytes += count;
		text->column++;
	}
}

void client_text_put(struct client_text *text, enum client_style style, const char *format, ...)
{
	static const char *const escapes[] = {
		[CLIENT_PLAIN] = "",          [CLIENT_BOLD] = "\033[1m",
		[CLIENT_DIM] = "\033[2m",     [CLIENT_CYAN] = "\033[36m",
		[CLIENT_YELLOW] = "\033[33m", [CLIENT_GREEN] = "\033[32m",
	};
	bool styled = text->color && style != CLIENT_PLAIN && has_room(text);
	char formatted[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(formatted, sizeof(formatted), format, arguments);
	va_end(arguments);
	if (styled)
		append(text, escapes[style], strlen(escapes[style]));
	append_characters(text, formatted);
	if (styled)
		append(text, RESET, strlen(RESET));
}

void client_text_tab(struct client_text *text, unsigned int column)
{
	if (text->column && text->column >= column)
		append_characters(text, " ");
	while (text->column < column && has_room(text))
		append_characters(text, " ");
}

void client_text_end_line(struct client_text *text)
{
	if (!text->height || text->line < text->height)
		append(text, "\n", 1);
	text->line++;
	text->column = 0;
}

void client_text_bar(struct client_text *text, enum client_style style, unsigned int columns,
                     uint64_t part, uint64_t whole)
{
	static const char *const eighths[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	double share = whole ? (double)min_u64(part, whole) / (double)whole : 0;
	unsigned int steps = text->utf8 ? 8 : 1;
	unsigned int filled = (unsigned int)(share * columns * steps + 0.5);
	char bar[512] = "", rest[512] = "";

	columns = (unsigned int)min_u64(columns, 100);
	filled = (unsigned int)min_u64(filled, (uint64_t)columns * steps);
	for (unsigned int i = 0; i < filled / steps; i++)
		strcat(bar, text->utf8 ? "█" : "#");
	if (filled % steps)
		strcat(bar, eighths[filled % steps]);
	for (unsigned int i = (filled + steps - 1) / steps; i < columns; i++)
		strcat(rest, text->utf8 ? "·" : ".");
	client_text_put(text, style, "%s", bar);
	client_text_put(text, CLIENT_DIM, "%s", rest);
}

void client_text_graph_row(struct client_text *text, const uint64_t *values, size_t count,
                           unsigned int row, unsigned int rows, uint64_t top)
{
	static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const signs[] = { " ", ".", ".", ".", ":", ":", ":", "#", "#" };
	char cells[4 * 256] = "";

	for (size_t i = 0; i < count && i < 255; i++) {
		double height = top ? (double)values[i] / (double)top * rows * 8 : 0;
		double above = height - (double)row * 8;
		unsigned int level = above <= 0 ? 0 : above >= 8 ? 8 : (unsigned int)(above + 0.5);

		/* What is not nothing is seen. */
		if (!row && values[i] && !level)
			level = 1;
		strcat(cells, text->utf8 ? blocks[level] : signs[level]);
	}
	client_text_put(text, CLIENT_CYAN, "%s", cells);
}

const char *client_format_ns(uint64_t ns, char text[CLIENT_SIZE_TEXT_MAX])
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double value = (double)ns;
	size_t unit = 0;

	while (value >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1000;
		unit++;
	}
	if (unit && value < 100)
		snprintf(text, CLIENT_SIZE_TEXT_MAX, "%.1f %s", value, units[unit]);
	else
		snprintf(text, CLIENT_SIZE_TEXT_MAX, "%.0f %s", value, units[unit]);
	return text;
}
