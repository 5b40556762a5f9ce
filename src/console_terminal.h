/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal that the user types into: raw while it is ours. Private to src/console*.c; DOC in
 * console_terminal.c. Main loop's thread. */
#ifndef EBB_CONSOLE_TERMINAL_H
#define EBB_CONSOLE_TERMINAL_H

#include <termios.h>

#include "ebb/log.h"

struct console_terminal {
	int fd;
	struct log *log; /* borrowed */
	struct termios saved_modes;
	bool is_raw;
};

/* Whether it is ours by job control, or by no terminal's. */
bool console_terminal_is_foreground(int fd);

/* Raw mode, in the foreground; -errno. */
EBB_MUST_CHECK int console_terminal_take(struct console_terminal *terminal);

/* As it was before; nothing where it was not taken. */
void console_terminal_give_back(struct console_terminal *terminal);

/* Signals that kill a process which went wrong end raw mode of stdin first. */
void console_terminal_catch_fatal_signals(void);

#endif
