/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of the host that works for a VM: started with it, ended with it, even by kill -9.
 *
 * Threads: main, but for ended, which runs on the loop it was given.
 */
#ifndef EBB_CHILD_PROCESS_H
#define EBB_CHILD_PROCESS_H

#include "ebb/error.h"
#include "ebb/event_loop.h"
#include "ebb/types.h"

struct child_process;

struct child_process_setup {
	const char *const *argv; /* argv[0] is found in PATH; NULL-terminated */
	int kept_fd;  /* the one descriptor it inherits beside 0, 1 and 2, with the same number;
	                 -1: none. Borrowed */
	int error_fd; /* its standard error; -1: ebb's. Borrowed */
	struct event_loop *loop;
	/* It ended by itself; wait_status as from waitpid. Not called once child_process_stop was.
	 */
	void (*ended)(void *ctx, int wait_status);
	void *ctx;
};

/*
 * Standard input and output are /dev/null. No signal is blocked in it and each has its default
 * action; it is in a session of its own, out of reach of the terminal's keys; it gets SIGKILL
 * should ebb end, unless it changes its user (the kernel forgets that then). -ENOENT: no such
 * program in PATH; -EACCES, -ENOMEM, -EAGAIN.
 */
EBB_MUST_CHECK int child_process_start(const struct child_process_setup *setup,
                                       struct child_process **ret_child, struct error *err);

int child_process_pid(const struct child_process *child);

/* SIGTERM, SIGKILL after grace_ns, and it is gone, but for one that the host's kernel holds: that
 * is not waited for, longer than a second. Frees. NULL is fine. */
void child_process_stop(struct child_process *child, int64_t grace_ns);

#endif
