/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's server: listening, clients, their input and output. */
/*
 * DOC: Many clients, one thread, no waiting
 *
 * Everything runs on the main loop. A client is a non-blocking socket, a session (control_qmp.c)
 * and a queue of bytes that it has not taken yet.
 *
 *   input:  one read a wake-up; then requests are handled until there are none, or until
 *           OUTPUT_PAUSE_BYTES wait for the client: it must read before it is heard again.
 *   output: sent at once as far as the socket takes it, else queued and sent when it has room.
 *           CONTROL_OUTPUT_MAX_BYTES waiting (events to one that never reads) ends the client.
 *           A client that waits for its answer is not heard either, only hung up on when it goes.
 *   end of input: what was asked is answered, what waits is sent, then the client is hung up on.
 *
 * A client that has asked nothing for CONTROL_IDLE_NS is one that others may take the place of,
 * once all places are taken: the one that was silent for longest is told, and hung up on. Who waits
 * for an answer is not silent. With none to spare the new one is told, and turned away. Where ebb
 * itself may have no descriptor more, nobody is listened to for ACCEPT_PAUSE_NS: who waits in the
 * backlog would wake the loop again and again.
 *
 * A client that is lost in the middle of a handler (its own, or an event's) is only marked; its
 * memory goes from work that the loop does later. So no handler ever holds a client that is gone.
 *
 * Syscalls: main: accept4 geteuid getsockopt recvmsg send
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control_private.h"
#include "ebb/event_loop.h"
#include "ebb/log.h"
#include "ebb/memory_device.h"

#define OUTPUT_PAUSE_BYTES (64 * KIB)
#define READ_MAX_BYTES     (16 * KIB)
#define LISTEN_BACKLOG     16
#define ACCEPT_PAUSE_NS    NS_PER_S

/* What changes a thousand times a GiB is told once in this time, as QEMU does, and the last one in
 * any case. */
#define CHANGE_PERIOD_NS NS_PER_S

struct change { /* something that changes often */
	struct event_timer *timer;
	event_work_fn tell; /* takes the control socket */
	bool waits;         /* the timer is set, and there is something to tell */
	int64_t told_ns;
};

struct control_client {
	struct control_session session; /* first: send finds the client by it */
	struct control *control;
	struct event_source *source;
	uint32_t watched_events;
	int fd; /* -1: lost */
	bool input_ended;
	int64_t heard_ns; /* when it came, or said something */
	char *output;     /* output_start..output_size waits to be sent */
	size_t output_start, output_size_bytes, output_capacity_bytes;
};

struct control {
	struct vm *vm;
	struct control_shared shared;
	struct vm_listener listener;
	struct event_source *listen_source;
	struct event_timer *accept_timer; /* set while nobody is accepted */
	struct log_ratelimit accept_limit;
	int listen_fd;
	struct event_work reap_work;
	struct change balloon, memory;
	uint64_t balloon_bytes;                 /* the last that came */
	uint64_t plugged_bytes[VM_DEVICES_MAX]; /* by memory device, in their order: as told */
	struct control_client *clients[CONTROL_CLIENTS_MAX];
};

static size_t waiting_bytes(const struct control_client *client)
{
	return client->output_size_bytes - client->output_start;
}

/* Hangs up now; the memory goes later. */
static void client_lose(struct control_client *client)
{
	if (client->fd < 0)
		return;
	control_reclaim_abandon(&client->session);
	event_loop_remove(client->source);
	client->source = NULL;
	close(client->fd);
	client->fd = -1;
	client->session.closing = true;
	event_work_post(&client->control->reap_work);
}

static void client_free(struct control_client *client)
{
	if (client->source)
		event_loop_remove(client->source);
	if (client->fd >= 0)
		close(client->fd);
	control_session_fini(&client->session);
	free(client->output);
	free(client);
}

static void reap_clients(void *ctx)
{
	struct control *control = ctx;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (control->clients[i] && control->clients[i]->fd < 0) {
			client_free(control->clients[i]);
			control->clients[i] = NULL;
		}
	}
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
			client_lose(client);
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

/* Listens for what matters now: input unless too much output waits, room when any does. */
static void update_events(struct control_client *client)
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
		client_lose(client);
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
		client_lose(client);
}

static void flush_output(struct control_client *client)
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
		client_lose(client);
	}
}

/* Requests that are there, as long as the client takes the answers. */
static void handle_requests(struct control_client *client)
{
	while (client->fd >= 0 && waiting_bytes(client) < OUTPUT_PAUSE_BYTES &&
	       control_session_step(&client->session))
		;
	if (client->fd >= 0 && !waiting_bytes(client) && !client->session.waiting &&
	    (client->session.closing || client->input_ended))
		client_lose(client);
	update_events(client);
}

static void client_ready(void *ctx, uint32_t epoll_events)
{
	struct control_client *client = ctx;

	if (epoll_events & EPOLLOUT)
		flush_output(client);
	if (client->fd >= 0 && (client->watched_events & EPOLLIN) &&
	    (epoll_events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		read_input(client);
	else if (client->fd >= 0 && !(epoll_events & (EPOLLIN | EPOLLOUT)))
		client_lose(client); /* hung up while it was not listened to */
	handle_requests(client);
}

/* Only this user and root: the folder's mode says so already, and this does not depend on it. */
static bool may_connect(int fd)
{
	struct ucred peer;
	socklen_t size_bytes = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size_bytes) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* Takes fd. Returns -errno with fd closed when there is no memory. */
static int client_create(struct control *control, int fd, struct control_client **ret_client)
{
	struct control_client *client = calloc(1, sizeof(*client));
	int ret;

	if (!client) {
		close(fd);
		return -ENOMEM;
	}
	client->control = control;
	client->fd = fd;
	client->watched_events = EPOLLIN;
	client->heard_ns = monotonic_ns();
	ret = control_session_init(&client->session, &control->shared);
	if (!ret)
		ret = event_loop_add(control->vm->main_loop, fd, EPOLLIN, client_ready, client,
		                     &client->source);
	if (ret) {
		client_free(client);
		return ret;
	}
	client->session.send = client_send;
	*ret_client = client;
	return 0;
}

/* Of those that others may take the place of, the one that was silent for longest. */
static struct control_client *find_silent(struct control *control)
{
	struct control_client *silent = NULL;
	int64_t before_ns = monotonic_ns() - CONTROL_IDLE_NS;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *client = control->clients[i];

		if (client->fd < 0 || client->session.waiting || client->heard_ns > before_ns)
			continue;
		silent = client;
		before_ns = client->heard_ns;
	}
	return silent;
}

/* A place for one more; CONTROL_CLIENTS_MAX: there is none. */
static size_t find_place(struct control *control)
{
	static const char replaced[] =
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"another client takes the "
		"place of this one, which asked nothing for long\"}}\n";
	struct control_client *silent;
	size_t place = 0;

	while (place < CONTROL_CLIENTS_MAX && control->clients[place])
		place++;
	if (place < CONTROL_CLIENTS_MAX)
		return place;
	silent = find_silent(control);
	if (!silent)
		return CONTROL_CLIENTS_MAX;
	if (!waiting_bytes(silent))
		(void)send_some(silent, replaced, sizeof(replaced) - 1);
	client_lose(silent);
	reap_clients(control); /* no handler of a client is running */
	return find_place(control);
}

static void stop_accepting(struct control *control, int error)
{
	log_message_limited(control->vm->log, &control->accept_limit, LOG_WARN,
	                    "control socket: a client waits: %s", strerror(error));
	if (event_loop_modify(control->listen_source, 0) == 0)
		event_timer_set(control->accept_timer, ACCEPT_PAUSE_NS, 0);
}

static void accept_again(void *ctx)
{
	struct control *control = ctx;

	(void)!event_loop_modify(control->listen_source, EPOLLIN);
}

static void listener_ready(void *ctx, uint32_t epoll_events)
{
	static const char full[] = "{\"error\": {\"class\": \"GenericError\", \"desc\": "
				   "\"too many clients are connected\"}}\n";
	struct control *control = ctx;
	size_t place;
	int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)epoll_events;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			stop_accepting(control, errno);
		return;
	}
	place = may_connect(fd) ? find_place(control) : CONTROL_CLIENTS_MAX;
	if (place == CONTROL_CLIENTS_MAX) {
		if (may_connect(fd))
			(void)!send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return;
	}
	if (client_create(control, fd, &control->clients[place]) == 0) {
		control_session_greet(&control->clients[place]->session);
		update_events(control->clients[place]);
	}
}

static void tell_clients(struct control *control, enum vm_event event, uint64_t value)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *client = control->clients[i];

		if (!client || client->fd < 0)
			continue;
		control_session_event(&client->session, event, value);
		if (event == VM_EVENT_RECLAIM_ENDED && control_reclaim_ended(&client->session))
			handle_requests(client);
		update_events(client);
	}
}

static void tell_balloon(void *ctx)
{
	struct control *control = ctx;

	control->balloon.waits = false;
	control->balloon.told_ns = monotonic_ns();
	tell_clients(control, VM_EVENT_BALLOON_CHANGE, control->balloon_bytes);
}

static void tell_memory_device(struct control *control, const struct memory_device_status *status)
{
	json_t *data = control_memory_event(status);

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *client = control->clients[i];

		if (!client || client->fd < 0)
			continue;
		control_session_tell(&client->session, "MEMORY_DEVICE_SIZE_CHANGE", data);
		update_events(client);
	}
	json_decref(data);
}

/* The event names no device: tells of those whose size is not the one told last. */
static void tell_memory(void *ctx)
{
	struct control *control = ctx;
	struct memory_device *device = NULL;
	struct memory_device_status status;

	control->memory.waits = false;
	control->memory.told_ns = monotonic_ns();
	for (size_t i = 0; i < VM_DEVICES_MAX; i++) {
		device = memory_device_next(control->vm, device);
		if (!device)
			break;
		memory_device_query(device, &status);
		if (status.plugged_bytes == control->plugged_bytes[i])
			continue;
		control->plugged_bytes[i] = status.plugged_bytes;
		tell_memory_device(control, &status);
	}
}

static void changed(struct control *control, struct change *change)
{
	int64_t next_ns = change->told_ns + CHANGE_PERIOD_NS;
	int64_t now_ns = monotonic_ns();

	if (change->waits)
		return;
	if (!change->told_ns || now_ns >= next_ns) {
		change->tell(control);
		return;
	}
	change->waits = true;
	event_timer_set(change->timer, next_ns - now_ns, 0);
}

static int watch_change(struct control *control, struct change *change, event_work_fn tell)
{
	change->tell = tell;
	return event_timer_create(control->vm->main_loop, tell, control, &change->timer);
}

/* Tells what still waits. */
static void unwatch_change(struct control *control, struct change *change)
{
	event_timer_destroy(change->timer);
	if (change->waits)
		change->tell(control);
}

static void vm_event_happened(struct vm_listener *listener, enum vm_event event, uint64_t value)
{
	struct control *control = container_of(listener, struct control, listener);

	if (event == VM_EVENT_BALLOON_CHANGE) {
		control->balloon_bytes = value;
		changed(control, &control->balloon);
	} else if (event == VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE) {
		changed(control, &control->memory);
	} else {
		tell_clients(control, event, value);
	}
	if (event == VM_EVENT_RESET)
		control->shared.reset_asked = false;
}

/* Binds to path. The mode is set before the name is there: bind gives the socket's own to it. */
static int bind_socket(int fd, const char *path)
{
	struct sockaddr_un socket_name = { .sun_family = AF_UNIX };

	strcpy(socket_name.sun_path, path);
	if (fchmod(fd, 0600) != 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&socket_name, sizeof(socket_name)) == 0)
		return 0;
	/* The name is ours, so whoever left this is dead. */
	if (errno != EADDRINUSE || unlink(path) != 0)
		return -errno;
	return bind(fd, (const struct sockaddr *)&socket_name, sizeof(socket_name)) == 0 ? 0
	                                                                                 : -errno;
}

static int open_socket(const char *path, int *ret_fd, struct error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return error_set_errno(err, -errno, "the control socket");
	ret = bind_socket(fd, path);
	if (!ret && listen(fd, LISTEN_BACKLOG) != 0)
		ret = -errno;
	if (ret) {
		close(fd);
		return error_set_errno(err, ret, "the control socket %s", path);
	}
	*ret_fd = fd;
	return 0;
}

/* Now: the library would open a file for it, once there is something to say. */
static void seed_json(void)
{
	/* Who may connect may do anything else to this guest, too: it need not be a secret. */
	json_object_seed((size_t)monotonic_ns() | 1);
}

int control_create(struct vm *vm, struct control_name *name, struct control **ret_control,
                   struct error *err)
{
	struct control *control = calloc(1, sizeof(*control));
	const char *path = control_name_socket_path(name);
	int ret;

	if (!control)
		return error_set_errno(err, -ENOMEM, "the control socket");
	seed_json();
	control->vm = vm;
	control->shared.vm = vm;
	control->listener.event = vm_event_happened;
	event_work_init(&control->reap_work, vm->main_loop, reap_clients, control);
	ret = control_stats_open(&control->shared);
	if (ret) {
		error_set_errno(err, ret, "the control socket");
		goto free_control;
	}
	ret = watch_change(control, &control->balloon, tell_balloon);
	if (!ret)
		ret = watch_change(control, &control->memory, tell_memory);
	if (!ret)
		ret = event_timer_create(vm->main_loop, accept_again, control,
		                         &control->accept_timer);
	if (ret) {
		error_set_errno(err, ret, "the control socket");
		goto destroy_timers;
	}
	ret = open_socket(path, &control->listen_fd, err);
	if (ret)
		goto destroy_timers;
	ret = event_loop_add(vm->main_loop, control->listen_fd, EPOLLIN, listener_ready, control,
	                     &control->listen_source);
	if (ret) {
		error_set_errno(err, ret, "the control socket %s", path);
		goto close_socket;
	}
	vm_listen(vm, &control->listener);
	*ret_control = control;
	return 0;

close_socket:
	close(control->listen_fd);
	unlink(path);
destroy_timers:
	event_timer_destroy(control->accept_timer);
	event_timer_destroy(control->memory.timer);
	event_timer_destroy(control->balloon.timer);
	control_stats_close(&control->shared);
free_control:
	free(control);
	return ret;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	vm_unlisten(&control->listener);
	unwatch_change(control, &control->memory);
	unwatch_change(control, &control->balloon);
	event_timer_destroy(control->accept_timer);
	event_loop_remove(control->listen_source);
	close(control->listen_fd);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (!control->clients[i])
			continue;
		if (control->clients[i]->fd >= 0)
			flush_output(control->clients[i]);
		client_lose(control->clients[i]);
	}
	event_work_cancel(&control->reap_work);
	reap_clients(control);
	control_stats_close(&control->shared);
	free(control);
}
