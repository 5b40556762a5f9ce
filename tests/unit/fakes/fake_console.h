/* SPDX-License-Identifier: Apache-2.0 */
/* What tests see and steer of the faked host end of the console. */
#ifndef FAKE_CONSOLE_H
#define FAKE_CONSOLE_H

#include "ebb/console.h"

#define FAKE_CONSOLE_OUTPUT_MAX 65536

struct fake_console {
	const struct console_input_ops *ops; /* attached */
	void *ctx;
	const struct console_input_ops *polled_ops; /* the second taker */
	void *polled_ctx;
	char output[FAKE_CONSOLE_OUTPUT_MAX + 1]; /* the first of it, with a NUL behind */
	size_t output_bytes;                      /* in all */
	_Atomic unsigned int ready_count;
	void (*during_write)(void *ctx); /* on the writing thread; may be NULL */
	void *during_write_ctx;
	bool is_slow;      /* an offer is taken as far as there is room */
	size_t room_bytes; /* then */
	uint16_t columns, rows;
};

extern struct fake_console fake_console;

void fake_console_clear(void);

/* Where it is slow: there is room for so much now, and who offers is told. */
void fake_console_make_room(size_t room_bytes);

/* As the real one: asks for room and hands over what fits, until all is taken or there is no more
 * room. Returns how much that was. */
size_t fake_console_type(const char *text, size_t size_bytes);

#endif
