/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server of a shared folder: 9P2000.L, a process of its own for each share.
 *
 * It is ebb itself, run anew with an internal command, so that it has nothing of the VM's: no guest
 * memory, no /dev/kvm, no descriptor but the folder and one socket. A request is a packet on that
 * socket, and so is its reply; replies come in the order of requests.
 */
#ifndef EBB_SHARE_SERVER_H
#define EBB_SHARE_SERVER_H

#include "ebb/error.h"
#include "ebb/event_loop.h"
#include "ebb/types.h"

/*
 * A message at most: 24 pages of data and the head that Linux takes off for itself. A packet of
 * that size needs no more of the host's kernel than eight pages in a row.
 */
#define SHARE_MESSAGE_MAX_BYTES (96 * 1024 + 24)

/* The word behind `ebb` that makes it a server; no help lists it. */
#define SHARE_SERVER_COMMAND "share-server"

struct share_server_process;
struct sandbox_user;

struct share_server_setup {
	const char *id;   /* what the log calls it */
	const char *path; /* of the folder */
	bool readonly;
	bool sandbox; /* it gives up what it does not need; off for who debugs it */
	const struct sandbox_user *user;           /* whom it becomes then, or NULL */
	struct event_loop *loop;                   /* where ended runs */
	void (*ended)(void *ctx, int wait_status); /* as in child_process.h */
	void *ctx;
};

/*
 * Opens the folder, starts the server and waits until it serves, sandboxed. *ret_fd is the socket,
 * non-blocking, the caller's to use until the stop. -ENOTDIR, -ENOENT, -EACCES: the folder; -EPERM:
 * what it is (a folder of /proc is none to be shared); -errno of starting a program. Main thread.
 */
EBB_MUST_CHECK int share_server_start(const struct share_server_setup *setup,
                                      struct share_server_process **ret_process, int *ret_fd,
                                      struct error *err);

/* Ends it and closes the socket. NULL is fine. */
void share_server_stop(struct share_server_process *process);

/* All of `ebb share-server FD …`: returns when the other end of the socket is closed, with the
 * process's exit status. A process that does nothing else. */
int share_server_main(int argc, char **argv, struct error *err);

#endif
