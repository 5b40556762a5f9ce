/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal that the user types into: raw while it is ours.
 *
 * DOC: raw mode only while ebb is in the terminal's foreground; in the background neither modes nor
 * input are touched, which would stop the process. A terminal that is not ours by job control (no
 * controlling one) counts as foreground.
 *
 * Signals that kill a process which went wrong (a failed assertion, a fault) end raw mode first.
 * Their handler has no state to look into, as nothing here is global: it does not restore what was
 * there, it undoes what raw mode takes away from any usual terminal. It runs on the thread that
 * went wrong, so every thread may do what it does.
 *
 * Syscalls: all: getpgrp ioctl:terminal
 * Syscalls: main: sigaction
 */
#include "console_terminal.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

bool console_terminal_is_foreground(int fd)
{
	pid_t group = tcgetpgrp(fd);

	return group < 0 || group == getpgrp();
}

void console_terminal_give_back(struct console_terminal *terminal)
{
	if (!terminal->is_raw)
		return;
	/* From the background it would stop us; the shell that took over has set its own. */
	if (console_terminal_is_foreground(terminal->fd))
		tcsetattr(terminal->fd, TCSANOW, &terminal->saved_modes);
	terminal->is_raw = false;
	log_set_raw_terminal(terminal->log, false);
}

/* Async-signal-safe. The terminal is stdin: what is raw without being stdin is not ours. */
static void on_fatal_signal(int number)
{
	int saved_errno = errno;
	struct termios modes;

	if (!tcgetattr(STDIN_FILENO, &modes) && !(modes.c_lflag & ICANON) &&
	    console_terminal_is_foreground(STDIN_FILENO)) {
		modes.c_iflag |= ICRNL | IXON;
		modes.c_oflag |= OPOST;
		modes.c_lflag |= ISIG | ICANON | IEXTEN | ECHO;
		tcsetattr(STDIN_FILENO, TCSANOW, &modes);
	}
	errno = saved_errno;
	raise(number); /* once more, when this returns, with the default action */
}

/* Leaves alone what has a handler already (a sanitizer's). */
void console_terminal_catch_fatal_signals(void)
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

int console_terminal_take(struct console_terminal *terminal)
{
	struct termios modes;

	if (!terminal->is_raw && tcgetattr(terminal->fd, &terminal->saved_modes))
		return -errno;
	modes = terminal->saved_modes;
	cfmakeraw(&modes);
	modes.c_cc[VMIN] = 1;
	modes.c_cc[VTIME] = 0;
	if (tcsetattr(terminal->fd, TCSANOW, &modes))
		return -errno;
	terminal->is_raw = true;
	if (isatty(STDERR_FILENO))
		log_set_raw_terminal(terminal->log, true);
	return 0;
}
