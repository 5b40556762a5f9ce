/* SPDX-License-Identifier: Apache-2.0 */
/* The host end of the guest's console: the user's terminal or pipe, its keys, and the search of the
 * output. */
/*
 * DOC: Console
 *
 * Output. Any thread appends to `output` under `lock`; a whole line, FLUSH_BYTES, or a timer on
 * the main loop starts the writing. Who writes holds `output_lock` and not `lock`; who finds it
 * taken leaves its bytes to that one. Bytes that stdout does not take now stay in the buffer.
 * From WAIT_BYTES on the caller, a vCPU, waits for the reader; a signal (a kick) ends the wait
 * early, and after CONSOLE_STALL_MAX_MS without progress what does not fit is dropped and counted
 * until something is taken again. The main loop never waits: a terminal is written through an
 * open file description of our own that does not block (its flag would otherwise be every other
 * process's as well), a pipe only when poll says that it takes a page.
 *
 * Input, on the main loop's thread alone:
 *
 *	fd --> keys (Ctrl-A ...) --> `input`, a queue --> the device, as it has room
 *
 * A full queue takes the descriptor out of the loop (a hung-up one would otherwise spin), and
 * room puts it back. On a terminal the keys must work however deaf the guest is: when the queue
 * has been full for a second, further input is read for its keys and dropped. What epoll does not
 * take (files, /dev/null) is read as the guest has room.
 *
 * Terminal. Raw mode only while ebb is in the terminal's foreground; in the background neither
 * modes nor input are touched, which would stop the process, and a timer looks again each second.
 * A terminal that is not ours by job control (no controlling one) counts as foreground.
 *
 * Signals that kill a process which went wrong (a failed assertion, a fault) end raw mode first.
 * Their handler has no state to look into, as nothing here is global: it does not restore what
 * was there, it undoes what raw mode takes away from any usual terminal.
 *
 * Order of locks: output_lock, lock. Nothing of the event loop, the log or a device is called
 * under `lock`.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "console_match.h"
#include "ebb/console.h"
#include "ebb/log.h"
#include "ebb/metrics.h"

#define OUTPUT_BYTES    (16 * KIB)
#define WAIT_BYTES      (OUTPUT_BYTES / 2)
#define FLUSH_BYTES     256
#define WRITE_BYTES_MAX PAGE_4K_BYTES /* what a pipe that polls writable takes without blocking */
#define SILENCE_NS      (5 * NS_PER_MS)
#define RETRY_NS        (50 * NS_PER_MS)
#define INPUT_BYTES     4096
#define RECHECK_NS      NS_PER_S

#define KEY_ESCAPE 0x01 /* Ctrl-A */

enum input_kind {
	INPUT_NONE,   /* none, or ended */
	INPUT_POLLED, /* the loop says when there is some */
	INPUT_FILE,   /* always readable */
};

struct console {
	struct console_events events;
	struct event_loop *loop;
	struct log *log;
	struct log_ratelimit drop_limit;
	struct metric_counter dropped_bytes;
	struct event_timer *flush_timer, *input_timer;
	struct event_work deliver_work;
	int64_t stall_max_ns;

	pthread_mutex_t output_lock; /* around writing to output_fd */
	int output_fd;
	int own_output_fd; /* ours to close, or -1 */
	bool poll_first;   /* output_fd may block */

	pthread_mutex_t lock; /* the fields down to the empty line */
	uint8_t output[OUTPUT_BYTES];
	size_t output_bytes;
	bool timer_armed, written_since; /* flush_timer; since it last fired */
	bool stalled, outage_told;
	int64_t stalled_since_ns; /* if stalled */
	struct console_match match;

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
	struct termios saved_modes;
	bool is_raw;
};

/* --- output --- */

/* Ready to be written to? Waits up to timeout_ms; a signal ends that. */
static bool wait_writable(struct console *console, int timeout_ms)
{
	struct pollfd pollfd = { .fd = console->output_fd, .events = POLLOUT };

	/* An error or a hang-up is "ready": write says what it is. */
	return poll(&pollfd, 1, timeout_ms) > 0;
}

/* Counts what is lost, and says so once an outage. */
static void drop(struct console *console, size_t size_bytes, int error)
{
	bool told;

	metric_add(&console->dropped_bytes, size_bytes);
	pthread_mutex_lock(&console->lock);
	told = console->outage_told;
	console->outage_told = true;
	pthread_mutex_unlock(&console->lock);
	if (!told)
		log_message_limited(console->log, &console->drop_limit, LOG_WARN,
		                    "console: output dropped: %s", strerror(error));
}

/* Takes up to WRITE_BYTES_MAX from the buffer's start to bytes, leaving them there. */
static size_t peek_output(struct console *console, uint8_t *bytes)
{
	size_t count;

	pthread_mutex_lock(&console->lock);
	count = min_u64(console->output_bytes, WRITE_BYTES_MAX);
	memcpy(bytes, console->output, count);
	pthread_mutex_unlock(&console->lock);
	return count;
}

static void consume_output(struct console *console, size_t size_bytes, bool written)
{
	pthread_mutex_lock(&console->lock);
	console->output_bytes -= size_bytes;
	memmove(console->output, console->output + size_bytes, console->output_bytes);
	console->stalled = false;
	if (written)
		console->outage_told = false;
	pthread_mutex_unlock(&console->lock);
}

/* stdout takes nothing now. Returns whether to try again at once: after a wait that it paid for. */
static bool wait_for_reader(struct console *console, size_t wait_from_bytes)
{
	int64_t now_ns = monotonic_ns(), left_ns;
	bool full;

	pthread_mutex_lock(&console->lock);
	if (!console->stalled)
		console->stalled_since_ns = now_ns;
	console->stalled = true;
	left_ns = console->stalled_since_ns + console->stall_max_ns - now_ns;
	full = console->output_bytes >= wait_from_bytes;
	pthread_mutex_unlock(&console->lock);
	return full && left_ns > 0 && wait_writable(console, left_ns / NS_PER_MS + 1);
}

/*
 * Writes what is there, output_lock held. With less than wait_from_bytes in the buffer it waits for
 * nobody; what is left then is the timer's.
 */
static void write_output(struct console *console, size_t wait_from_bytes)
{
	uint8_t bytes[WRITE_BYTES_MAX];
	size_t count;

	while ((count = peek_output(console, bytes)) > 0) {
		bool ready = !console->poll_first || wait_writable(console, 0);
		ssize_t written = ready ? write(console->output_fd, bytes, count) : -1;
		int error = ready ? errno : EAGAIN;

		if (written > 0) {
			consume_output(console, written, true);
		} else if (written < 0 && error == EAGAIN) {
			if (!wait_for_reader(console, wait_from_bytes))
				return;
		} else if (written < 0 && error == EINTR) {
			return;
		} else {
			consume_output(console, count, false);
			drop(console, count, written < 0 ? error : EIO);
		}
	}
}

#define WAIT_NEVER SIZE_MAX

/* Leaves the work to whoever does it now, unless the buffer is so full that this caller has to
 * wait.
 */
static void flush_output(struct console *console, size_t wait_from_bytes)
{
	bool must_wait;

	pthread_mutex_lock(&console->lock);
	must_wait = console->output_bytes >= wait_from_bytes;
	pthread_mutex_unlock(&console->lock);
	if (must_wait)
		pthread_mutex_lock(&console->output_lock);
	else if (pthread_mutex_trylock(&console->output_lock))
		return;
	write_output(console, wait_from_bytes);
	pthread_mutex_unlock(&console->output_lock);
}

/* No lock held. */
static void tell_found(struct console *console, unsigned int found)
{
	const struct console_events *events = &console->events;

	if (found & CONSOLE_MATCH_EXPECT && events->expect_matched)
		events->expect_matched(events->ctx);
	if (found & CONSOLE_MATCH_PANIC && events->panicked)
		events->panicked(events->ctx);
}

/* Lock held. Returns whether the caller is to set the timer, having left the lock. */
static bool need_timer(struct console *console)
{
	bool need = console->output_bytes > 0 && !console->timer_armed;

	console->written_since = true;
	if (need)
		console->timer_armed = true;
	return need;
}

static void on_flush_timer(void *ctx)
{
	struct console *console = ctx;
	unsigned int found = 0;
	bool again, talking;

	pthread_mutex_lock(&console->lock);
	talking = console->written_since;
	console->written_since = false;
	if (!talking)
		found = console_match_pause(&console->match);
	pthread_mutex_unlock(&console->lock);
	if (!talking)
		flush_output(console, WAIT_NEVER);
	tell_found(console, found);
	pthread_mutex_lock(&console->lock);
	talking = talking || console->written_since;
	again = talking || console->output_bytes > 0;
	console->timer_armed = again;
	pthread_mutex_unlock(&console->lock);
	if (again)
		event_timer_set(console->flush_timer, talking ? SILENCE_NS : RETRY_NS, 0);
}

/* Appends what fits. Returns how much did; *ret_flush says whether it is time to write. */
static size_t append_output(struct console *console, const uint8_t *data, size_t size_bytes,
                            bool *ret_flush)
{
	bool set_timer;
	size_t count;

	pthread_mutex_lock(&console->lock);
	count = min_u64(size_bytes, OUTPUT_BYTES - console->output_bytes);
	memcpy(console->output + console->output_bytes, data, count);
	console->output_bytes += count;
	*ret_flush = console->output_bytes >= FLUSH_BYTES || memchr(data, '\n', count);
	set_timer = need_timer(console);
	pthread_mutex_unlock(&console->lock);
	if (set_timer)
		event_timer_set(console->flush_timer, SILENCE_NS, 0);
	return count;
}

static void put_output(struct console *console, const uint8_t *data, size_t size_bytes,
                       size_t wait_from_bytes)
{
	while (size_bytes > 0) {
		bool flush;
		size_t count = append_output(console, data, size_bytes, &flush);

		if (flush || !count)
			flush_output(console, wait_from_bytes);
		data += count;
		size_bytes -= count;
		if (!count) { /* a second try, after what was waited for */
			count = append_output(console, data, size_bytes, &flush);
			if (!count) {
				drop(console, size_bytes, EAGAIN);
				return;
			}
			data += count;
			size_bytes -= count;
		}
	}
}

void console_write(struct console *console, const void *data, size_t size_bytes)
{
	unsigned int found;

	if (!console || !size_bytes)
		return;
	pthread_mutex_lock(&console->lock);
	found = console_match_feed(&console->match, data, size_bytes);
	pthread_mutex_unlock(&console->lock);
	put_output(console, data, size_bytes, WAIT_BYTES);
	tell_found(console, found);
}

void console_flush(struct console *console)
{
	if (console)
		flush_output(console, WAIT_NEVER);
}

uint64_t console_dropped_bytes(const struct console *console)
{
	return console ? metric_read(&console->dropped_bytes) : 0;
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

	put_output(console, (const uint8_t *)text, sizeof(text) - 1, WAIT_NEVER);
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

static bool is_foreground(int fd)
{
	pid_t group = tcgetpgrp(fd);

	return group < 0 || group == getpgrp();
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
	if (console->input_is_terminal && !is_foreground(console->input_fd)) {
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

static void give_terminal_back(struct console *console)
{
	if (!console->is_raw)
		return;
	/* From the background it would stop us; the shell that took over has set its own. */
	if (is_foreground(console->input_fd))
		tcsetattr(console->input_fd, TCSANOW, &console->saved_modes);
	console->is_raw = false;
	log_set_raw_terminal(console->log, false);
}

/* Async-signal-safe. The terminal is stdin: what is raw without being stdin is not ours. */
static void on_fatal_signal(int number)
{
	int saved_errno = errno;
	struct termios modes;

	if (!tcgetattr(STDIN_FILENO, &modes) && !(modes.c_lflag & ICANON) &&
	    is_foreground(STDIN_FILENO)) {
		modes.c_iflag |= ICRNL | IXON;
		modes.c_oflag |= OPOST;
		modes.c_lflag |= ISIG | ICANON | IEXTEN | ECHO;
		tcsetattr(STDIN_FILENO, TCSANOW, &modes);
	}
	errno = saved_errno;
	raise(number); /* once more, when this returns, with the default action */
}

/* Leaves alone what has a handler already (a sanitizer's). */
static void catch_fatal_signals(void)
{
	static const int numbers[] = { SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS };
	const struct sigaction action = {
		.sa_handler = on_fatal_signal,
		.sa_flags = SA_RESETHAND,
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct sigaction old;

		if (!sigaction(numbers[i], &action, &old) && old.sa_handler != SIG_DFL)
			sigaction(numbers[i], &old, NULL);
	}
}

static int take_terminal(struct console *console)
{
	struct termios modes;

	console->in_background = !is_foreground(console->input_fd);
	if (console->in_background) {
		unwatch_input(console);
		event_timer_set(console->input_timer, RECHECK_NS, 0);
		return 0;
	}
	if (!console->is_raw && tcgetattr(console->input_fd, &console->saved_modes))
		return -errno;
	modes = console->saved_modes;
	cfmakeraw(&modes);
	modes.c_cc[VMIN] = 1;
	modes.c_cc[VTIME] = 0;
	if (tcsetattr(console->input_fd, TCSANOW, &modes))
		return -errno;
	console->is_raw = true;
	if (isatty(STDERR_FILENO))
		log_set_raw_terminal(console->log, true);
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
	if (!console || ioctl(console->output_fd, TIOCGWINSZ, &size))
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

static void open_output(struct console *console, int fd)
{
	struct stat status;
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
	mode_t mode = fstat(fd, &status) ? 0 : status.st_mode;

	console->output_fd = fd;
	if (S_ISCHR(mode) && isatty(fd)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		console->own_output_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (console->own_output_fd >= 0)
			console->output_fd = console->own_output_fd;
	}
	console->poll_first = console->own_output_fd < 0 && !S_ISREG(mode);
}

static int create_timers(struct console *console, struct error *err)
{
	int rc = event_timer_create(console->loop, on_flush_timer, console, &console->flush_timer);

	if (!rc)
		rc = event_timer_create(console->loop, on_input_timer, console,
		                        &console->input_timer);
	return rc < 0 ? error_set_errno(err, rc, "console timer") : 0;
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
	console->log = log;
	console->input_fd = config->input_fd;
	console->stall_max_ns =
		NS_PER_MS * (config->stall_max_ms ? config->stall_max_ms : CONSOLE_STALL_MAX_MS);
	console->own_output_fd = -1;
	pthread_mutex_init(&console->output_lock, NULL);
	pthread_mutex_init(&console->lock, NULL);
	event_work_init(&console->deliver_work, main_loop, on_deliver, console);
	rc = console_match_init(&console->match, config->expect_pattern, err);
	if (!rc)
		rc = create_timers(console, err);
	if (rc < 0) {
		console_destroy(console);
		return rc;
	}
	open_output(console, config->output_fd);
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
	event_timer_destroy(console->flush_timer);
	console->timer_armed = true; /* nobody sets it any more */
	flush_output(console, 0);
	give_terminal_back(console);
	if (console->own_output_fd >= 0)
		close(console->own_output_fd);
	console_match_fini(&console->match);
	pthread_mutex_destroy(&console->lock);
	pthread_mutex_destroy(&console->output_lock);
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
			catch_fatal_signals();
	}
	pump_input(console);
	return 0;
}
