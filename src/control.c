/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's server: listening, who has a place, events. */
/*
 * DOC: Many clients, one thread, no waiting
 *
 * Everything runs on the main loop; each client's socket is control_client.c's.
 *
 * A client that has asked nothing for CONTROL_IDLE_NS is one that others may take the place of,
 * once all places are taken: the one that was silent for longest is told, and hung up on. Who waits
 * for an answer is not silent. With none to spare the new one is told, and turned away. Where ebb
 * itself may have no descriptor more, nobody is listened to for ACCEPT_PAUSE_NS: who waits in the
 * backlog would wake the loop again and again.
 *
 * Syscalls: main: accept4 geteuid getsockopt send
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

#define LISTEN_BACKLOG  16
#define ACCEPT_PAUSE_NS NS_PER_S

/* What changes a thousand times a GiB is told once in this time, as QEMU does, and the last one in
 * any case. */
#define CHANGE_PERIOD_NS NS_PER_S

struct change { /* something that changes often */
	struct event_timer *timer;
	event_work_fn tell; /* takes the control socket */
	bool waits;         /* the timer is set, and there is something to tell */
	int64_t told_ns;
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

static void reap_clients(void *ctx)
{
	struct control *control = ctx;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (control->clients[i] && control->clients[i]->fd < 0) {
			control_client_free(control->clients[i]);
			control->clients[i] = NULL;
		}
	}
}

/* Only this user and root: the folder's mode says so already, and this does not depend on it. */
static bool may_connect(int fd)
{
	struct ucred peer;
	socklen_t size_bytes = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size_bytes) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
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
	control_client_say(silent, replaced);
	control_client_lose(silent);
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
	if (control_client_create(&control->shared, &control->reap_work, fd,
	                          &control->clients[place]) == 0) {
		control_session_greet(&control->clients[place]->session);
		control_client_update(control->clients[place]);
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
			control_client_handle(client);
		control_client_update(client);
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
		control_client_update(client);
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
			control_client_flush(control->clients[i]);
		control_client_lose(control->clients[i]);
	}
	event_work_cancel(&control->reap_work);
	reap_clients(control);
	control_stats_close(&control->shared);
	free(control);
}
