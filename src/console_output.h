/* SPDX-License-Identifier: Apache-2.0 */
/* The console's output: gathered, searched, written. Private to src/console*.c; DOC in
 * console_output.c. */
#ifndef EBB_CONSOLE_OUTPUT_H
#define EBB_CONSOLE_OUTPUT_H

#include <pthread.h>

#include "console_match.h"
#include "ebb/console.h"
#include "ebb/log.h"
#include "ebb/metrics.h"

#define CONSOLE_OUTPUT_BYTES (16 * KIB)

struct console_output_setup {
	const struct console_config *config;
	struct event_loop *main_loop;
	struct log *log;
	/* What console_match found, never 0; no lock is held. On the thread that wrote, or the main
	 * loop's. */
	void (*found)(void *ctx, unsigned int found);
	void (*room)(void *ctx); /* see console_offer; on the main loop's thread */
	void *ctx;
};

struct console_output {
	struct console_output_setup setup;
	struct log_ratelimit drop_limit;
	struct metric_counter dropped_bytes;
	struct event_timer *timer;
	int64_t stall_max_ns;

	pthread_mutex_t write_lock; /* around writing to fd */
	int fd;
	int own_fd;      /* ours to close, or -1 */
	bool poll_first; /* fd may block */

	pthread_mutex_t lock; /* the fields below */
	uint8_t bytes[CONSOLE_OUTPUT_BYTES];
	size_t size_bytes;
	bool timer_armed, written_since; /* the timer; since it last fired */
	bool stalled, outage_told;
	bool room_wanted;         /* by who offered more than there was room for */
	int64_t stalled_since_ns; /* if stalled */
	struct console_match match;
};

/* output is zeroed. -errno with a message; console_output_fini in either case. */
EBB_MUST_CHECK int console_output_init(struct console_output *output,
                                       const struct console_output_setup *setup, struct error *err);

/* Flushes, waiting for the reader as a write does. Main loop's thread. */
void console_output_fini(struct console_output *output);

/* Any thread; see console_write, console_offer and console_flush. */
void console_output_write(struct console_output *output, const void *data, size_t size_bytes);
size_t console_output_offer(struct console_output *output, const void *data, size_t size_bytes);
void console_output_flush(struct console_output *output);

/* Words of our own: not searched, and nobody waits. */
void console_output_say(struct console_output *output, const char *text);

#endif
