/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ebb's side of a file server's life: start, the first words, stop.
 *
 * DOC: the folder is opened here, by the user's rights and with errors that name it, and handed
 * over by the socket; the process learns no path but on its command line, for those who look at ps.
 * The socket is of packets: a request is there as a whole or not at all, and lengths need no trust.
 *
 * Syscalls: none after set-up
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ebb/child_process.h"
#include "ebb/sandbox.h"
#include "ebb/send_fd.h"
#include "share_private.h"

#define PROGRAM       "/proc/self/exe"
#define READY_WAIT_NS (20 * NS_PER_S)
#define STOP_GRACE_NS (1 * NS_PER_S)
/* A packet and what the kernel counts beside its bytes; it doubles what it is told. */
#define SOCKET_BUFFER_BYTES (SHARE_MESSAGE_MAX_BYTES + 16 * 1024)

struct share_server_process {
	struct child_process *child;
	int fd;
};

static int make_sockets(int ret_fds[2])
{
	const int buffer_bytes = SOCKET_BUFFER_BYTES;
	int got_bytes;
	socklen_t length = sizeof(got_bytes);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds))
		return -errno;
	for (int i = 0; i < 2; i++) {
		(void)setsockopt(ret_fds[i], SOL_SOCKET, SO_SNDBUF, &buffer_bytes,
		                 sizeof(buffer_bytes));
		if (getsockopt(ret_fds[i], SOL_SOCKET, SO_SNDBUF, &got_bytes, &length) == 0 &&
		    got_bytes >= buffer_bytes)
			continue;
		close(ret_fds[0]);
		close(ret_fds[1]);
		return -ENOBUFS;
	}
	return 0;
}

static int hand_over(int fd, int folder_fd, const struct share_server_setup *wanted)
{
	const struct share_setup_message setup = {
		.magic = SHARE_SETUP_MAGIC,
		.readonly = wanted->readonly,
		.sandbox = wanted->sandbox,
		.becomes_user = wanted->user != NULL,
		.uid = wanted->user ? wanted->user->uid : 0,
		.gid = wanted->user ? wanted->user->gid : 0,
	};

	return send_with_fd(fd, &setup, sizeof(setup), folder_fd);
}

static int start_program(const struct share_server_setup *setup, int fd,
                         struct child_process **ret_child, struct error *err)
{
	char number[16];
	const char *const argv[] = { PROGRAM,   SHARE_SERVER_COMMAND, number,
		                     setup->id, setup->path,          NULL };
	const struct child_process_setup child_setup = {
		.argv = argv,
		.kept_fd = fd,
		.error_fd = -1,
		.loop = setup->loop,
		.ended = setup->ended,
		.ctx = setup->ctx,
	};
	int ret;

	snprintf(number, sizeof(number), "%d", fd);
	ret = child_process_start(&child_setup, ret_child, err);
	if (ret == -ENOENT)
		return error_set(err, ret,
		                 PROGRAM ": not there, and a share is served by ebb, run "
		                         "anew (is /proc mounted?)");
	return ret;
}

/* Its first words. */
static int wait_until_ready(int fd, struct error *err)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	struct share_ready_message message;
	const int64_t end_ns = monotonic_ns() + READY_WAIT_NS;
	ssize_t got;
	int64_t left_ns;

	while ((left_ns = end_ns - monotonic_ns()) > 0) {
		if (poll(&pollfd, 1, (int)(left_ns / NS_PER_MS) + 1) <= 0)
			continue;
		got = recv(fd, &message, sizeof(message), MSG_DONTWAIT);
		if (got != (ssize_t)sizeof(message))
			return error_set(err, -EIO, "its server ended at once");
		message.text[sizeof(message.text) - 1] = 0;
		return message.error ? error_set(err, message.error, "%s", message.text) : 0;
	}
	return error_set(err, -ETIMEDOUT, "its server says nothing");
}

static int start_server(struct share_server_process *process,
                        const struct share_server_setup *setup, int folder_fd, struct error *err)
{
	int fds[2], ret = make_sockets(fds);

	if (ret)
		return error_set_errno(err, ret, "a socket that takes %d bytes at a time",
		                       SHARE_MESSAGE_MAX_BYTES);
	process->fd = fds[0];
	ret = hand_over(process->fd, folder_fd, setup);
	if (ret)
		(void)error_set_errno(err, ret, "a socket");
	else
		ret = start_program(setup, fds[1], &process->child, err);
	close(fds[1]);
	if (!ret)
		ret = wait_until_ready(process->fd, err);
	if (!ret && fcntl(process->fd, F_SETFL, O_NONBLOCK))
		ret = error_set_errno(err, -errno, "a socket");
	return ret;
}

int share_server_start(const struct share_server_setup *setup,
                       struct share_server_process **ret_process, int *ret_fd, struct error *err)
{
	struct share_server_process *process = calloc(1, sizeof(*process));
	int ret, folder_fd;

	if (!process)
		return error_set_errno(err, -ENOMEM, "state");
	process->fd = -1;
	folder_fd = open(setup->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder_fd < 0) {
		ret = error_set_errno(err, -errno, "folder %s", setup->path);
		goto stop;
	}
	ret = start_server(process, setup, folder_fd, err);
	close(folder_fd);
	if (ret) {
		error_prefix(err, "folder %s", setup->path);
		goto stop;
	}
	*ret_process = process;
	*ret_fd = process->fd;
	return 0;

stop:
	share_server_stop(process);
	return ret;
}

/* It ends by itself when the socket is closed. */
void share_server_stop(struct share_server_process *process)
{
	if (!process)
		return;
	if (process->fd >= 0)
		close(process->fd);
	child_process_stop(process->child, STOP_GRACE_NS);
	free(process);
}
