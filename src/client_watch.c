/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal that `ebb stat --watch` is shown on.
 *
 * DOC: the screen is drawn over the one before, line by line with the rest of each erased, in one
 * write: nothing flickers. It is the terminal's alternate one, so that what was there is there
 * afterwards; the last screen of a guest that ended is printed once more for keeps. Signals are
 * read from descriptors: those that end it (also while an answer is waited for), those that resize
 * or suspend it; keys are read without echo where stdin is a terminal. Whatever ends the watch,
 * leave() undoes what enter() did. In a pipe, there is a line a look.
 */
#include "client_watch.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "ebb/event_loop.h"

#define INTERVAL_MAX_NS ((uint64_t)NS_PER_S * 1000000) /* sums of it do not overflow */
#define WAIT_MAX_MS     60000
#define TEXT_BYTES      (64 * KIB)

#define ENTER       "\033[?1049h\033[?25l"
#define LEAVE       "\033[?25h\033[?1049l"
#define HOME        "\033[H"
#define ERASE_LINE  "\033[K"
#define ERASE_BELOW "\033[J"

struct terminal {
	bool drawn;            /* enter() has been */
	int end_fd, signal_fd; /* of signals; -1: not yet */
	sigset_t old_signals;
	bool has_keys;            /* stdin is a terminal, and ours */
	struct termios old_modes; /* of it */
};

enum wish { WISH_NONE, WISH_REDRAW, WISH_END };

static void put(const char *bytes)
{
	fputs(bytes, stdout);
	fflush(stdout);
}

/* --- what the terminal is, and what is done to it --- */

/* By the environment, as locale(7) has it: a program without a locale of its own need not load one.
 */
static bool speaks_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = getenv(names[i]);

		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

static bool has_colors(void)
{
	const char *no_color = getenv("NO_COLOR"), *name = getenv("TERM");

	return !(no_color && *no_color) && name && strcmp(name, "dumb") != 0;
}

static void read_size(struct client_text *text)
{
	struct winsize size = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		size = (struct winsize){ .ws_col = 80, .ws_row = 24 };
	text->width = size.ws_col;
	text->height = size.ws_row;
}

static void enter(struct terminal *terminal)
{
	struct termios modes;

	terminal->drawn = true;
	terminal->has_keys = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp() &&
	                     tcgetattr(STDIN_FILENO, &terminal->old_modes) == 0;
	if (terminal->has_keys) {
		modes = terminal->old_modes;
		modes.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		modes.c_cc[VMIN] = 0;
		modes.c_cc[VTIME] = 0;
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
	}
	put(ENTER);
}

static void leave(struct terminal *terminal)
{
	if (!terminal->drawn)
		return;
	terminal->drawn = false;
	put(LEAVE);
	if (terminal->has_keys)
		(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->old_modes);
}

static int open_signals(struct terminal *terminal, struct error *err)
{
	sigset_t ending, other, all;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigaddset(&ending, SIGQUIT);
	sigemptyset(&other);
	sigaddset(&other, SIGWINCH);
	sigaddset(&other, SIGTSTP);
	terminal->end_fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
	terminal->signal_fd = signalfd(-1, &other, SFD_CLOEXEC | SFD_NONBLOCK);
	if (terminal->end_fd < 0 || terminal->signal_fd < 0)
		return error_set_errno(err, -errno, "signalfd");
	sigorset(&all, &ending, &other);
	pthread_sigmask(SIG_BLOCK, &all, &terminal->old_signals);
	return 0;
}

static void close_signals(struct terminal *terminal)
{
	struct signalfd_siginfo info;

	if (terminal->end_fd >= 0 && terminal->signal_fd >= 0) {
		/* What ended the watch has been answered by that. */
		while (read(terminal->end_fd, &info, sizeof(info)) > 0)
			;
		pthread_sigmask(SIG_SETMASK, &terminal->old_signals, NULL);
	}
	if (terminal->end_fd >= 0)
		close(terminal->end_fd);
	if (terminal->signal_fd >= 0)
		close(terminal->signal_fd);
}

/* --- waiting --- */

static enum wish read_keys(void)
{
	char keys[64];
	ssize_t count = read(STDIN_FILENO, keys, sizeof(keys));

	for (ssize_t i = 0; i < count; i++) {
		if (keys[i] == 'q' || keys[i] == 'Q')
			return WISH_END;
	}
	return count > 0 ? WISH_REDRAW : WISH_NONE;
}

/* Suspends like any program: the terminal is the shell's meanwhile. */
static enum wish read_signals(struct terminal *terminal)
{
	struct signalfd_siginfo info;

	while (read(terminal->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGTSTP)
			continue;
		leave(terminal);
		raise(SIGSTOP);
		enter(terminal);
	}
	return WISH_REDRAW;
}

/* Until it is time, the user wants something, or the guest's ebb is gone: -EPIPE. */
static int wait_until(struct client_connection *connection, struct terminal *terminal,
                      int64_t time_ns, enum wish *ret_wish)
{
	*ret_wish = WISH_NONE;
	while (*ret_wish == WISH_NONE) {
		struct pollfd poll_fds[] = {
			{ .fd = connection->fd, .events = POLLIN },
			{ .fd = terminal->end_fd, .events = POLLIN },
			{ .fd = terminal->signal_fd, .events = POLLIN },
			{ .fd = terminal->has_keys ? STDIN_FILENO : -1, .events = POLLIN },
		};
		int64_t left_ns = time_ns - monotonic_ns();
		int ret;

		if (left_ns <= 0)
			return 0;
		ret = poll(poll_fds, ARRAY_SIZE(poll_fds),
		           (int)min_u64((uint64_t)(left_ns / NS_PER_MS) + 1, WAIT_MAX_MS));
		if (ret < 0 && errno != EINTR)
			return -errno;
		if (ret <= 0)
			continue;
		if (poll_fds[1].revents)
			*ret_wish = WISH_END;
		else if (poll_fds[2].revents)
			*ret_wish = read_signals(terminal);
		else if (poll_fds[3].revents)
			*ret_wish = read_keys();
		else
			ret = client_wait_event(connection, 0);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* --- showing --- */

static void draw(const struct client_text *text)
{
	const char *line = text->data, *end;

	fputs(HOME, stdout);
	/* The last line has no end: it would scroll the screen. */
	for (; (end = strchr(line, '\n')); line = end + 1) {
		fwrite(line, 1, (size_t)(end - line), stdout);
		fputs(end[1] ? ERASE_LINE "\r\n" : ERASE_LINE, stdout);
	}
	fputs(ERASE_BELOW, stdout);
}

static int show(const struct client_watch *watch, const struct client_arguments *arguments,
                const json_t *stat, struct terminal *terminal, struct client_text *text)
{
	if (arguments->json) {
		json_dumpf(stat, stdout, 0);
		putchar('\n');
	} else if (terminal->drawn) {
		read_size(text);
		client_watch_screen(watch, stat, text);
		draw(text);
	} else {
		if (watch->count == 1) {
			client_watch_head(text);
			fputs(text->data, stdout);
		}
		client_watch_line(watch, stat, text);
		fputs(text->data, stdout);
	}
	return fflush(stdout) == 0 ? 0 : -errno;
}

/* Until the user wants no more (0), or an error; -EPIPE: the guest ended. */
static int watch_on(struct client_connection *connection, const struct client_arguments *arguments,
                    struct terminal *terminal, struct client_text *text, struct error *err)
{
	struct client_watch *watch = calloc(1, sizeof(*watch));
	int64_t time_ns = monotonic_ns();
	uint64_t interval_ns = min_u64(arguments->watch_ns, INTERVAL_MAX_NS);
	enum wish wish = WISH_NONE;
	json_t *stat = NULL;
	int ret = watch ? 0 : error_set_errno(err, -ENOMEM, "watch");

	if (watch) {
		watch->name = arguments->name;
		watch->interval_s = (double)interval_ns / (double)NS_PER_S;
	}
	while (!ret && wish != WISH_END) {
		if (wish == WISH_NONE) {
			json_decref(stat);
			stat = NULL;
			ret = client_command(connection, "x-ebb-query-stat", NULL, &stat, err);
			if (ret)
				break;
			client_watch_note(watch, stat, monotonic_ns());
			time_ns += (int64_t)interval_ns;
		}
		ret = show(watch, arguments, stat, terminal, text);
		if (ret)
			ret = error_set_errno(err, ret, "stdout");
		else
			ret = wait_until(connection, terminal, time_ns, &wish);
	}
	json_decref(stat);
	free(watch);
	return ret;
}

int client_watch_run(struct client_connection *connection, const struct client_arguments *arguments,
                     struct error *err)
{
	struct terminal terminal = { .end_fd = -1, .signal_fd = -1 };
	struct client_text text = { .data = malloc(TEXT_BYTES), .size_bytes = TEXT_BYTES };
	bool draws = isatty(STDOUT_FILENO) && !arguments->json;
	int ret = text.data ? 0 : error_set_errno(err, -ENOMEM, "watch");

	if (!ret && draws) {
		ret = open_signals(&terminal, err);
		if (!ret) {
			/* A whole screen at a time. */
			setvbuf(stdout, NULL, _IOFBF, TEXT_BYTES);
			text.utf8 = speaks_utf8();
			text.color = has_colors();
			connection->end_fd = &terminal.end_fd;
			enter(&terminal);
		}
	}
	if (!ret)
		ret = watch_on(connection, arguments, &terminal, &text, err);
	leave(&terminal);
	if (ret == -EPIPE && draws) {
		put(text.data);
		printf("%s has ended\n", arguments->name);
	}
	connection->end_fd = NULL;
	close_signals(&terminal);
	free(text.data);
	if (ret != -EPIPE && ret != -ECANCELED)
		return ret;
	/* A guest that ends while it is watched is no failure, nor is a user who has seen enough.
	 */
	*err = (struct error)ERROR_INIT;
	return 0;
}
