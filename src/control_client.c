/* SPDX-License-Identifier: Apache-2.0 */
/* One client of the control socket: what it says, and what waits for it. */
/*
 * DOC: A client is a non-blocking socket, a session (control_qmp.c) and a queue of bytes that it
 * has not taken yet.
 *
 *   input:  one read a wake-up; then requests are handled until there are none, or until
 *           OUTPUT_PAUSE_BYTES wait for the client: it must read before it is heard again.
 *   output: sent at once as far as the socket takes it, else queued and sent when it has room.
 *           CONTROL_OUTPUT_MAX_BYTES waiting (events to one that never reads) ends the client.
 *           A client that waits for its answer is not heard either, only hung up on when it goes.
 *   end of input: what was asked is answered, what waits is sent, then the client is hung up on.
 *
 * A client that is lost in the middle of a handler (its own, or an event's) is only marked; its
 * memory goes from work that the loop does later. So no handler ever holds a client that is gone.
 *
 * Syscalls: main: close recvmsg send
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_private.h"
#include "ebb/event_loop.h"

#define OUTPUT_PAUSE_BYTES (64 * KIB)
#define READ_MAX_BYTES     (16 * KIB)

static size_t waiting_bytes(const struct control_client *client)
{
	return client->output_size_bytes - client->output_start;
}

void control_client_lose(struct control_client *client)
{
	if (client->fd < 0)
		return;
	control_reclaim_abandon(&client->session);
	event_loop_remove(client->source);
	client->source = NULL;
	close(client->fd);
	client->fd = -1;
	client->session.closing = true;
	event_work_post(client->reap);
}

void control_client_free(struct control_client *client)
{
	if (client->source)
		event_loop_remove(client->source);
	if (client->fd >= 0)
		close(client->fd);
	control_session_fini(&client->session);
	free(client->output);
	free(client);
}

/* Bytes that the socket takes now; loses a client whose socket is broken. */
static size_t send_some(struct control_client *client, const char *data, size_t size_bytes)
{
	size_t sent = 0;

	while (sent < size_bytes) {
		ssize_t ret = send(client->fd, data + sent, size_bytes - sent,
		                   MSG_NOSIGNAL | MSG_DONTWAIT);

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret < 0 && errno != EAGAIN)
			control_client_lose(client);
		if (ret <= 0)
			break;
		sent += (size_t)ret;
	}
	return sent;
}

static bool queue_output(struct control_client *client, const char *data, size_t size_bytes)
{
	if (size_bytes > CONTROL_OUTPUT_MAX_BYTES - waiting_bytes(client))
		return false;
	if (client->output_start) {
		client->output_size_bytes = waiting_bytes(client);
		memmove(client->output, client->output + client->output_start,
		        client->output_size_bytes);
		client->output_start = 0;
	}
	if (client->output_size_bytes + size_bytes > client->output_capacity_bytes) {
		size_t capacity_bytes = 2 * (client->output_size_bytes + size_bytes);
		char *output = realloc(client->output, capacity_bytes);

		if (!output)
			return false;
		client->output = output;
		client->output_capacity_bytes = capacity_bytes;
	}
	memcpy(client->output + client->output_size_bytes, data, size_bytes);
	client->output_size_bytes += size_bytes;
	return true;
}

/* Input unless too much output waits, room when any does. */
void control_client_update(struct control_client *client)
{
	uint32_t events = 0;

	if (client->fd < 0)
		return;
	if (!client->input_ended && !client->session.closing && !client->session.waiting &&
	    waiting_bytes(client) < OUTPUT_PAUSE_BYTES)
		events |= EPOLLIN;
	if (waiting_bytes(client))
		events |= EPOLLOUT;
	if (events == client->watched_events)
		return;
	client->watched_events = events;
	if (event_loop_modify(client->source, events))
		control_client_lose(client);
}

static void client_send(struct control_session *session, const char *data, size_t size_bytes)
{
	struct control_client *client = container_of(session, struct control_client, session);
	size_t sent = 0;

	if (client->fd < 0)
		return;
	if (!waiting_bytes(client))
		sent = send_some(client, data, size_bytes);
	if (client->fd >= 0 && sent < size_bytes &&
	    !queue_output(client, data + sent, size_bytes - sent))
		control_client_lose(client);
}

void control_client_flush(struct control_client *client)
{
	if (!waiting_bytes(client))
		return;
	client->output_start +=
		send_some(client, client->output + client->output_start, waiting_bytes(client));
	if (!waiting_bytes(client)) {
		free(client->output);
		client->output = NULL;
		client->output_start = client->output_size_bytes = 0;
		client->output_capacity_bytes = 0;
	}
}

void control_client_say(struct control_client *client, const char *text)
{
	if (!waiting_bytes(client))
		(void)send_some(client, text, strlen(text));
}

/* Descriptors that came along: the last one stays. */
static void take_fds(struct control_client *client, struct msghdr *message)
{
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head;
	     head = CMSG_NXTHDR(message, head)) {
		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= head->cmsg_len;
		     at += sizeof(int)) {
			int fd;

			memcpy(&fd, (const uint8_t *)head + at, sizeof(fd));
			control_fds_pass(&client->session.fds, fd);
		}
	}
}

static void read_input(struct control_client *client)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(CONTROL_PASSED_FDS_MAX * sizeof(int))];
	} control;
	size_t room_bytes;
	char *room = control_framer_space(&client->session.framer, &room_bytes);
	struct iovec segment = { room, min_u64(room_bytes, READ_MAX_BYTES) };
	struct msghdr message = { .msg_iov = &segment,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = sizeof(control) };
	/* Those that there is no room for are closed by the kernel. */
	ssize_t ret = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (ret >= 0)
		take_fds(client, &message);
	if (ret > 0) {
		control_framer_added(&client->session.framer, (size_t)ret);
		client->heard_ns = monotonic_ns();
	} else if (ret == 0) {
		client->input_ended = true;
	} else if (errno != EAGAIN && errno != EINTR) {
		control_client_lose(client);
	}
}

void control_client_handle(struct control_client *client)
{
	while (client->fd >= 0 && waiting_bytes(client) < OUTPUT_PAUSE_BYTES &&
	       control_session_step(&client->session))
		;
	if (client->fd >= 0 && !waiting_bytes(client) && !client->session.waiting &&
	    (client->session.closing || client->input_ended))
		control_client_lose(client);
	control_client_update(client);
}

static void client_ready(void *ctx, uint32_t epoll_events)
{
	struct control_client *client = ctx;

	if (epoll_events & EPOLLOUT)
		control_client_flush(client);
	if (client->fd >= 0 && (client->watched_events & EPOLLIN) &&
	    (epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		read_input(client);
	else if (client->fd >= 0 && !(epoll_events & (EPOLLIN | EPOLLOUT)))
		control_client_lose(client); /* hung up while it was not listened to */
	control_client_handle(client);
}

int control_client_create(struct control_shared *shared, struct event_work *reap, int fd,
                          struct control_client **ret_client)
{
	struct control_client *client = calloc(1, sizeof(*client));
	int ret;

	if (!client) {
		close(fd);
		return -ENOMEM;
	}
	client->reap = reap;
	client->fd = fd;
	client->watched_events = EPOLLIN;
	client->heard_ns = monotonic_ns();
	ret = control_session_init(&client->session, shared);
	if (!ret)
		ret = event_loop_add(shared->vm->main_loop, fd, EPOLLIN, client_ready, client,
		                     &client->source);
	if (ret) {
		control_client_free(client);
		return ret;
	}
	client->session.send = client_send;
	*ret_client = client;
	return 0;
}
