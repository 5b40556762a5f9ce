/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host end of the guest's console: the terminal (or pipe) of the user, its keys, and what
 * --expect looks for.
 *
 * One device at a time is the guest's end: the 16550 or virtio-console. Output is gathered to a
 * line, 256 bytes or 5 ms of silence, whichever is first, and written with one call. A terminal is
 * put into raw mode and always restored. Output that stdout does not take (full disk, closed pipe)
 * is dropped and counted; the guest goes on.
 */
#ifndef EBB_CONSOLE_H
#define EBB_CONSOLE_H

#include "ebb/error.h"
#include "ebb/event_loop.h"
#include "ebb/types.h"

struct console;
struct log;

/* What keys and a matched pattern ask for; called on the main loop's thread. */
struct console_events {
	void (*quit)(void *ctx); /* Ctrl-A x */
	void (*expect_matched)(void *ctx);
	void *ctx;
};

struct console_config {
	int input_fd, output_fd;    /* borrowed; input_fd -1: none */
	const char *expect_pattern; /* or NULL */
};

/* -EINVAL with a message for a bad pattern. The terminal is left alone until console_start. */
EBB_MUST_CHECK int console_create(const struct console_config *config,
                                  const struct console_events *events, struct event_loop *main_loop,
                                  struct log *log, struct console **ret_console, struct error *err);

/* Flushes, restores the terminal. */
void console_destroy(struct console *console);

/* Raw mode if input is a terminal; input begins to flow. */
EBB_MUST_CHECK int console_start(struct console *console, struct error *err);

/* From the guest's device; any thread. Never blocks longer than one write(2) to a terminal or pipe.
 */
void console_write(struct console *console, const void *data, size_t size_bytes);
void console_flush(struct console *console);

/*
 * The guest's device takes input. room: how many bytes it takes now (any thread); input: called on
 * the main loop's thread with at most room() bytes. When it has room again after refusing, it calls
 * console_input_ready. NULL detaches.
 */
struct console_input_ops {
	size_t (*room)(void *ctx);
	void (*input)(void *ctx, const void *data, size_t size_bytes);
	void (*resized)(void *ctx, uint16_t columns, uint16_t rows); /* may be NULL */
};

void console_attach(struct console *console, const struct console_input_ops *ops, void *ctx);
void console_input_ready(struct console *console); /* any thread */

/* The terminal's size; 0 x 0 when it is none. */
void console_size(struct console *console, uint16_t *ret_columns, uint16_t *ret_rows);

#endif
