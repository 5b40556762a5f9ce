/* SPDX-License-Identifier: Apache-2.0 */
/* The host end of the guest's console: the user's terminal or pipe, and its keys. */
/*
 * DOC: Console
 *
 * Output is console_output.c's, what is special about terminals console_terminal.c's. Input, on the
 * main loop's thread alone:
 *
 *	fd --> keys (Ctrl-A ...) --> `input`, a queue --> the device, as it has room
 *
 * A full queue takes the descriptor out of the loop (a hung-up one would otherwise spin), and
 * room puts it back. On a terminal the keys must work however deaf the guest is: when the queue
 * has been full for a second, further input is read for its keys and dropped. What epoll does not
 * take (files, /dev/null) is read as the guest has room. In a terminal's background a timer looks
 * each second whether that is over.
 *
 * Syscalls: main,io: poll read
 * Syscalls: main: ioctl:window
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console_output.h"
#include "console_terminal.h"

#define INPUT_BYTES 4096
#define RECHECK_NS  NS_PER_S

#define KEY_ESCAPE 0x01 /* Ctrl-A */

enum input_kind {
	INPUT_NONE,   /* none, or ended */
	INPUT_POLLED, /* the loop says when there is some */
	INPUT_FILE,   /* always readable */
};

struct console {
	struct console_events events;
	struct event_loop *loop;
	struct event_timer *input_timer;
	struct event_work deliver_work;
	struct console_output output;

	/* Main loop's thread. */
	const struct console_input_ops *device;
	void *device_ctx;
	const struct console_input_ops *polled; /* takes what the device does not */
	void *polled_ctx;
	enum input_kind input_kind;
	int input_fd;
	struct event_source *input_source; /* NULL: not in the loop now */
	bool started, input_is_terminal, in_background, key_pending;
	uint8_t input[INPUT_BYTES];
	size_t input_first, input_count;
	struct console_terminal terminal;
};

/* --- output --- */

static void on_found(void *ctx, unsigned int found)
{
	const struct console_events *events = &((struct console *)ctx)->events;

	if (found & CONSOLE_MATCH_EXPECT && events->expect_matched)
		events->expect_matched(events->ctx);
	if (found & CONSOLE_MATCH_PANIC && events->panicked)
		events->panicked(events->ctx);
}

static void on_output_room(void *ctx)
{
	struct console *console = ctx;

	if (console->device && console->device->output_room)
		console->device->output_room(console->device_ctx);
}

void console_write(struct console *console, const void *data, size_t size_bytes)
{
	if (console && size_bytes)
		console_output_write(&console->output, data, size_bytes);
}

size_t console_offer(struct console *console, const void *data, size_t size_bytes)
{
	return console ? console_output_offer(&console->output, data, size_bytes) : size_bytes;
}

void console_flush(struct console *console)
{
	if (console)
		console_output_flush(&console->output);
}

uint64_t console_dropped_bytes(const struct console *console)
{
	return console ? metric_read(&console->output.dropped_bytes) : 0;
}

/* --- input; main loop's thread --- */

static void queue_byte(struct console *console, uint8_t byte)
{
	if (console->input_count == INPUT_BYTES)
		return; /* read for its keys alone */
	console->input[(console->input_first + console->input_count++) % INPUT_BYTES] = byte;
}

static void show_keys(struct console *console)
{
	static const char text[] = "\r\nCtrl-A x       end the guest\r\n"
				   "Ctrl-A h       this list\r\n"
				   "Ctrl-A Ctrl-A  (or Ctrl-A a) send Ctrl-A to the guest\r\n";

	console_output_say(&console->output, text);
}

/* The key behind Ctrl-A; one that means nothing is dropped. */
static void handle_key(struct console *console, uint8_t key)
{
	switch (key) {
	case 'x':
	case 'X':
		if (console->events.quit)
			console->events.quit(console->events.ctx);
		break;
	case 'h':
	case 'H':
	case '?':
		show_keys(console);
		break;
	case 'a':
	case KEY_ESCAPE:
		queue_byte(console, KEY_ESCAPE);
		break;
	default:
		break;
	}
}

static void take_input(struct console *console, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (console->key_pending)
			handle_key(console, bytes[i]);
		else if (bytes[i] != KEY_ESCAPE)
			queue_byte(console, bytes[i]);
		console->key_pending = !console->key_pending && bytes[i] == KEY_ESCAPE;
	}
}

static void unwatch_input(struct console *console)
{
	event_loop_remove(console->input_source);
	console->input_source = NULL;
}

/* Reads up to size_bytes. Returns whether there may be more at once. */
static bool read_input(struct console *console, size_t size_bytes)
{
	uint8_t bytes[INPUT_BYTES];
	ssize_t count = read(console->input_fd, bytes, min_u64(size_bytes, sizeof(bytes)));

	if (count > 0) {
		take_input(console, bytes, count);
		return true;
	}
	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	unwatch_input(console);
	if (console->input_is_terminal && !console_terminal_is_foreground(console->input_fd)) {
		console->in_background = true;
		event_timer_set(console->input_timer, RECHECK_NS, 0);
		return false;
	}
	console->input_kind = INPUT_NONE; /* its end, or an error that stays */
	return false;
}

/* Who takes input now, and how much; NULL: nobody. */
static const struct console_input_ops *find_taker(struct console *console, void **ret_ctx,
                                                  size_t *ret_room)
{
	*ret_ctx = console->device_ctx;
	*ret_room = console->device ? console->device->room(console->device_ctx) : 0;
	if (*ret_room)
		return console->device;
	*ret_ctx = console->polled_ctx;
	*ret_room = console->polled ? console->polled->room(console->polled_ctx) : 0;
	return *ret_room ? console->polled : NULL;
}

static void give_to_device(struct console *console)
{
	while (console->input_count > 0) {
		size_t run = min_u64(console->input_count, INPUT_BYTES - console->input_first);
		size_t room;
		void *ctx;
		const struct console_input_ops *taker = find_taker(console, &ctx, &room);

		if (!taker)
			return;
		run = min_u64(run, room);
		taker->input(ctx, console->input + console->input_first, run);
		console->input_first = (console->input_first + run) % INPUT_BYTES;
		console->input_count -= run;
	}
}

static void on_input(void *ctx, uint32_t epoll_events);

/* Watches the descriptor while the queue has room, and only then. */
static void watch_input(struct console *console)
{
	int rc;

	if (console->input_kind != INPUT_POLLED || console->in_background)
		return;
	if (console->input_count == INPUT_BYTES) {
		unwatch_input(console);
		if (console->input_is_terminal)
			event_timer_set(console->input_timer, RECHECK_NS, 0);
		return;
	}
	if (console->input_source)
		return;
	rc = event_loop_add(console->loop, console->input_fd, EPOLLIN, on_input, console,
	                    &console->input_source);
	if (rc == -EPERM)
		console->input_kind = INPUT_FILE;
	else if (rc < 0)
		console->input_kind = INPUT_NONE;
}

/* Moves what can be moved. */
static void pump_input(struct console *console)
{
	if (!console->started)
		return;
	give_to_device(console);
	watch_input(console);
	while (console->input_kind == INPUT_FILE && console->input_count < INPUT_BYTES) {
		if (!read_input(console, INPUT_BYTES - console->input_count))
			return;
		give_to_device(console);
	}
}

static void on_input(void *ctx, uint32_t epoll_events)
{
	struct console *console = ctx;

	(void)epoll_events;
	if (console->input_count < INPUT_BYTES)
		read_input(console, INPUT_BYTES - console->input_count);
	pump_input(console);
}

static void on_deliver(void *ctx)
{
	pump_input(ctx);
}

void console_attach(struct console *console, const struct console_input_ops *ops, void *ctx)
{
	if (!console)
		return;
	console->device = ops;
	console->device_ctx = ctx;
	if (ops)
		event_work_post(&console->deliver_work);
}

void console_attach_polled(struct console *console, const struct console_input_ops *ops, void *ctx)
{
	if (!console)
		return;
	console->polled = ops;
	console->polled_ctx = ctx;
}

void console_input_ready(struct console *console)
{
	if (console)
		event_work_post(&console->deliver_work);
}

/* --- the terminal --- */

static int take_terminal(struct console *console)
{
	console->in_background = !console_terminal_is_foreground(console->input_fd);
	if (!console->in_background)
		return console_terminal_take(&console->terminal);
	unwatch_input(console);
	event_timer_set(console->input_timer, RECHECK_NS, 0);
	return 0;
}

/* In the background: is that over? With a full queue: has the guest been deaf for a second? */
static void on_input_timer(void *ctx)
{
	struct console *console = ctx;
	struct pollfd pollfd = { .fd = console->input_fd, .events = POLLIN };

	if (console->in_background) {
		if (take_terminal(console) < 0)
			console->input_kind = INPUT_NONE;
	} else if (console->input_count == INPUT_BYTES && poll(&pollfd, 1, 0) > 0) {
		read_input(console, INPUT_BYTES);
	}
	pump_input(console);
}

void console_size(struct console *console, uint16_t *ret_columns, uint16_t *ret_rows)
{
	struct winsize size = { 0 };

	*ret_columns = *ret_rows = 0;
	if (!console || ioctl(console->output.fd, TIOCGWINSZ, &size))
		return;
	*ret_columns = size.ws_col;
	*ret_rows = size.ws_row;
}

void console_resized(struct console *console)
{
	uint16_t columns, rows;

	if (!console)
		return;
	if (console->started && console->input_is_terminal && console->input_kind == INPUT_POLLED &&
	    take_terminal(console) < 0)
		console->input_kind = INPUT_NONE;
	pump_input(console);
	console_size(console, &columns, &rows);
	if (console->device && console->device->resized)
		console->device->resized(console->device_ctx, columns, rows);
}

/* --- life --- */

static int init_output(struct console *console, const struct console_config *config,
                       struct log *log, struct error *err)
{
	const struct console_output_setup setup = {
		.config = config,
		.main_loop = console->loop,
		.log = log,
		.found = on_found,
		.room = on_output_room,
		.ctx = console,
	};

	return console_output_init(&console->output, &setup, err);
}

int console_create(const struct console_config *config, const struct console_events *events,
                   struct event_loop *main_loop, struct log *log, struct console **ret_console,
                   struct error *err)
{
	struct console *console = calloc(1, sizeof(*console));
	int rc;

	if (!console)
		return error_set(err, -ENOMEM, "console: out of memory");
	console->events = *events;
	console->loop = main_loop;
	console->input_fd = config->input_fd;
	console->terminal = (struct console_terminal){ .fd = config->input_fd, .log = log };
	event_work_init(&console->deliver_work, main_loop, on_deliver, console);
	rc = init_output(console, config, log, err);
	if (!rc) {
		rc = event_timer_create(main_loop, on_input_timer, console, &console->input_timer);
		if (rc < 0)
			error_set_errno(err, rc, "console timer");
	}
	if (rc < 0) {
		console_destroy(console);
		return rc;
	}
	*ret_console = console;
	return 0;
}

void console_destroy(struct console *console)
{
	if (!console)
		return;
	unwatch_input(console);
	event_work_cancel(&console->deliver_work);
	event_timer_destroy(console->input_timer);
	console_output_fini(&console->output);
	console_terminal_give_back(&console->terminal);
	free(console);
}

int console_start(struct console *console, struct error *err)
{
	struct stat status;

	console->started = true;
	if (console->input_fd < 0 || fstat(console->input_fd, &status) || S_ISDIR(status.st_mode))
		return 0;
	console->input_kind = S_ISREG(status.st_mode) ? INPUT_FILE : INPUT_POLLED;
	console->input_is_terminal = S_ISCHR(status.st_mode) && isatty(console->input_fd);
	if (console->input_is_terminal) {
		int rc = take_terminal(console);

		if (rc < 0)
			return error_set_errno(err, rc, "terminal");
		if (console->input_fd == STDIN_FILENO)
			console_terminal_catch_fatal_signals();
	}
	pump_input(console);
	return 0;
}
