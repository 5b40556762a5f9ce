/* SPDX-License-Identifier: Apache-2.0 */
/* A file server that a test plays. */
#include "fake_share_server.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_share_server fake_share_server = { .fd = -1, .device_fd = -1 };

void fake_share_server_clear(void)
{
	fake_share_end();
	memset(&fake_share_server, 0, sizeof(fake_share_server));
	fake_share_server.fd = fake_share_server.device_fd = -1;
}

int share_server_start(const struct share_server_setup *setup,
                       struct share_server_process **ret_process, int *ret_fd, struct error *err)
{
	struct fake_share_server *fake = &fake_share_server;
	int fds[2];

	if (fake->start_result)
		return error_set_errno(err, fake->start_result, "folder %s", setup->path);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return error_set(err, -1, "socketpair");
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	if (fake->send_buffer_bytes)
		(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &fake->send_buffer_bytes,
		                 sizeof(fake->send_buffer_bytes));
	fake->setup = *setup;
	snprintf(fake->path, sizeof(fake->path), "%s", setup->path);
	fake->device_fd = fds[0];
	fake->fd = fds[1];
	fake->starts++;
	*ret_process = (struct share_server_process *)(void *)fake;
	*ret_fd = fds[0];
	return 0;
}

void share_server_stop(struct share_server_process *process)
{
	if (!process)
		return;
	fake_share_end();
	close(fake_share_server.device_fd);
	fake_share_server.device_fd = -1;
	fake_share_server.stops++;
}

size_t fake_share_receive(void *bytes, size_t size_max_bytes)
{
	ssize_t got = recv(fake_share_server.fd, bytes, size_max_bytes, MSG_DONTWAIT);

	return got < 0 ? 0 : (size_t)got;
}

void fake_share_reply(const void *bytes, size_t size_bytes)
{
	ssize_t sent = send(fake_share_server.fd, bytes, size_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

	assert(sent == (ssize_t)size_bytes);
}

void fake_share_end(void)
{
	if (fake_share_server.fd >= 0)
		close(fake_share_server.fd);
	fake_share_server.fd = -1;
}
