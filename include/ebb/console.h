/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host end of the guest's console: the terminal (or pipe) of the user, its keys, and what
 * --expect looks for.
 *
 * One device at a time is the guest's end: the 16550 or virtio-console. Output is gathered to a
 * line, 256 bytes or a silence of 5 ms, whichever is first, and written with one call. A terminal
 * is put into raw mode and always restored. Output that stdout does not take (full disk, closed
 * pipe) is dropped and counted; the guest goes on. Ctrl-A begins a key of ours in whatever input
 * there is, terminal or not; Ctrl-A Ctrl-A stands for itself.
 *
 * SIGPIPE must be blocked or ignored.
 */
#ifndef EBB_CONSOLE_H
#define EBB_CONSOLE_H

#include "ebb/error.h"
#include "ebb/event_loop.h"
#include "ebb/types.h"

struct console;
struct log;

/*
 * What keys and the guest's output ask for. Each may be NULL. The last two come on the thread that
 * wrote the output, before its console_write returns (so that they precede what the guest does
 * next), or, for an unfinished line, on the main loop's; no lock of the console's is held.
 */
struct console_events {
	void (*quit)(void *ctx);           /* Ctrl-A x; on the main loop's thread */
	void (*expect_matched)(void *ctx); /* once */
	/* The guest's kernel printed its panic line; again for each such line. Guest-controlled: a
	 * program in the guest can print the same. */
	void (*panicked)(void *ctx);
	void *ctx;
};

struct console_config {
	int input_fd, output_fd; /* borrowed; input_fd -1: none */
	/* A POSIX extended regular expression, or NULL. It is tried on each line of output (escape
	 * sequences and CR taken out), and on the unfinished line at each pause; it never sees two
	 * lines at once. In a line longer than CONSOLE_LINE_MAX, matches of up to half of that are
	 * found. */
	const char *expect_pattern;
	unsigned int stall_max_ms; /* 0: CONSOLE_STALL_MAX_MS */
};

#define CONSOLE_LINE_MAX     1024
#define CONSOLE_STALL_MAX_MS 5000

/* -EINVAL with a message for a bad pattern. The terminal is left alone until console_start. */
EBB_MUST_CHECK int console_create(const struct console_config *config,
                                  const struct console_events *events, struct event_loop *main_loop,
                                  struct log *log, struct console **ret_console, struct error *err);

/* Flushes, restores the terminal. */
void console_destroy(struct console *console);

/*
 * Raw mode if input is a terminal and ebb is in its foreground; input begins to flow. In the
 * background the terminal is left alone, and looked at again once a second. console_destroy gives
 * the old modes back; on stdin so does a handler of the signals that kill a process that has gone
 * wrong. Main thread.
 */
EBB_MUST_CHECK int console_start(struct console *console, struct error *err);

/* The terminal's size changed (SIGWINCH), or ebb was stopped and goes on (SIGCONT): tells the
 * guest's device, takes the terminal again. Main thread. */
void console_resized(struct console *console);

/*
 * From the guest's device; any thread, no lock of the device's held: when the reader of the output
 * is slow the caller waits, at most stall_max_ms since it last took a byte; then output is
 * dropped until it takes some again. console_flush never waits.
 */
void console_write(struct console *console, const void *data, size_t size_bytes);

/*
 * The same without waiting, for the device that console_attach names. Returns how many bytes it
 * took; where that is not all, output_room of the device is called when to offer the rest. Output
 * that a reader took nothing of for stall_max_ms counts as taken, and is dropped.
 */
EBB_MUST_CHECK size_t console_offer(struct console *console, const void *data, size_t size_bytes);
void console_flush(struct console *console);
uint64_t console_dropped_bytes(const struct console *console); /* any thread */

/*
 * The guest's device takes input. All are called on the main loop's thread, with no lock of the
 * console's held. room: how many bytes the device takes now; asked only when there is input, so one
 * that answered 0 owes a console_input_ready once it has room. input: at most that many bytes.
 * console NULL, as in a machine without one, takes nothing and says nothing. ops NULL detaches.
 * Attach and detach: main thread.
 */
struct console_input_ops {
	size_t (*room)(void *ctx);
	void (*input)(void *ctx, const void *data, size_t size_bytes);
	void (*resized)(void *ctx, uint16_t columns, uint16_t rows); /* may be NULL */
	void (*output_room)(void *ctx); /* see console_offer; may be NULL */
};

void console_attach(struct console *console, const struct console_input_ops *ops, void *ctx);
void console_input_ready(struct console *console); /* any thread */

/* A second taker, for a guest that polls its firmware for input: it is asked when the device has no
 * room. As console_attach, but for resized, which it is not told. */
void console_attach_polled(struct console *console, const struct console_input_ops *ops, void *ctx);

/* The terminal's size; 0 x 0 when it is none. */
void console_size(struct console *console, uint16_t *ret_columns, uint16_t *ret_rows);

#endif
