/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of bytes from a client, cut into JSON texts by their brackets. Pure. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control_private.h"

int control_framer_init(struct control_framer *framer)
{
	*framer = (struct control_framer){ .buffer = malloc(CONTROL_REQUEST_MAX_BYTES) };
	return framer->buffer ? 0 : -ENOMEM;
}

void control_framer_fini(struct control_framer *framer)
{
	free(framer->buffer);
	framer->buffer = NULL;
}

char *control_framer_space(struct control_framer *framer, size_t *ret_size_bytes)
{
	if (framer->start) {
		framer->size_bytes -= framer->start;
		framer->scanned -= framer->start;
		memmove(framer->buffer, framer->buffer + framer->start, framer->size_bytes);
		framer->start = 0;
	}
	*ret_size_bytes = CONTROL_REQUEST_MAX_BYTES - framer->size_bytes;
	return framer->buffer + framer->size_bytes;
}

void control_framer_added(struct control_framer *framer, size_t size_bytes)
{
	framer->size_bytes += size_bytes;
}

/* The text [start, end) is done; scanning goes on behind it, as at the beginning. */
static enum control_frame emit(struct control_framer *framer, size_t end, const char **ret_text,
                               size_t *ret_size_bytes)
{
	*ret_text = framer->buffer + framer->start;
	*ret_size_bytes = end - framer->start;
	framer->start = framer->scanned;
	framer->depth = 0;
	framer->in_string = framer->escaped = framer->garbage = false;
	return CONTROL_FRAME_COMPLETE;
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Outside of any text. */
static void scan_between(struct control_framer *framer, char byte)
{
	if (is_blank(byte)) {
		framer->start = framer->scanned;
		return;
	}
	if (byte == '{' || byte == '[')
		framer->depth = 1;
	else
		framer->garbage = true;
}

/* Within a text's strings; false: the string is broken by a line end. */
static bool scan_string(struct control_framer *framer, char byte)
{
	if (byte == '\n')
		return false;
	if (framer->escaped)
		framer->escaped = false;
	else if (byte == '\\')
		framer->escaped = true;
	else if (byte == '"')
		framer->in_string = false;
	return true;
}

enum control_frame control_framer_next(struct control_framer *framer, const char **ret_text,
                                       size_t *ret_size_bytes)
{
	while (framer->scanned < framer->size_bytes) {
		char byte = framer->buffer[framer->scanned++];

		if (framer->garbage) {
			if (byte == '\n')
				return emit(framer, framer->scanned - 1, ret_text, ret_size_bytes);
		} else if (framer->in_string) {
			if (!scan_string(framer, byte))
				return emit(framer, framer->scanned - 1, ret_text, ret_size_bytes);
		} else if (!framer->depth) {
			scan_between(framer, byte);
		} else if (byte == '"') {
			framer->in_string = true;
		} else if (byte == '{' || byte == '[') {
			if (++framer->depth > CONTROL_DEPTH_MAX)
				return CONTROL_FRAME_TOO_DEEP;
		} else if (byte == '}' || byte == ']') {
			if (--framer->depth == 0)
				return emit(framer, framer->scanned, ret_text, ret_size_bytes);
		}
	}
	if (framer->size_bytes - framer->start == CONTROL_REQUEST_MAX_BYTES)
		return CONTROL_FRAME_TOO_LONG;
	return CONTROL_FRAME_NONE;
}
