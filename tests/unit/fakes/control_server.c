/* SPDX-License-Identifier: Apache-2.0 */
/* A control socket on a thread of its own: see control_server.h. */
#include "control_server.h"

#include <stdlib.h>

#include "ebb/event_loop.h"
#include "user_folder.h"

static void create(void *ctx)
{
	struct control_server *server = ctx;

	if (control_create(&server->guest.vm, server->name, &server->control, NULL))
		abort();
}

static void destroy(void *ctx)
{
	struct control_server *server = ctx;

	control_destroy(server->control);
}

void control_server_start(struct control_server *server)
{
	server->folder = user_folder_enter();
	server->ended = false;
	control_guest_create(&server->guest);
	if (event_loop_create("control", &server->guest.vm.main_loop, NULL) ||
	    control_name_acquire("guest", &server->name, NULL))
		abort();
	event_loop_call(server->guest.vm.main_loop, create, server);
}

void control_server_end(struct control_server *server)
{
	event_loop_call(server->guest.vm.main_loop, destroy, server);
	control_name_release(server->name);
	server->ended = true;
}

void control_server_stop(struct control_server *server)
{
	if (!server->ended)
		control_server_end(server);
	event_loop_destroy(server->guest.vm.main_loop);
	control_guest_destroy(&server->guest);
	user_folder_leave();
}

void control_server_call(struct control_server *server, void (*fn)(void *ctx), void *ctx)
{
	event_loop_call(server->guest.vm.main_loop, fn, ctx);
}

struct told {
	enum vm_event event;
	uint64_t value, count;
};

static void tell(void *ctx)
{
	struct told *told = ctx;

	for (uint64_t i = 0; i < told->count; i++)
		fake_vm_tell(told->event, told->value + i);
}

void control_server_tell(struct control_server *server, enum vm_event event, uint64_t value)
{
	struct told told = { event, value, 1 };

	event_loop_call(server->guest.vm.main_loop, tell, &told);
}

void control_server_flood(struct control_server *server, enum vm_event event, uint64_t count)
{
	struct told told = { event, 0, count };

	event_loop_call(server->guest.vm.main_loop, tell, &told);
}

struct run_ending {
	struct control_server *server;
	enum balloon_run_end end;
	bool went;
};

static void end_run(void *ctx)
{
	struct run_ending *ending = ctx;
	struct balloon_run_status *run = &ending->server->guest.balloon.run;

	ending->went = run->phase != BALLOON_RUN_IDLE;
	if (!ending->went)
		return;
	run->phase = BALLOON_RUN_IDLE;
	run->end = ending->end;
	run->resident_before_bytes = 60 * MIB;
	run->resident_after_bytes = 20 * MIB;
	run->duration_ns = 1500 * NS_PER_MS;
	fake_vm_tell(VM_EVENT_RECLAIM_ENDED, 40 * MIB);
}

bool control_server_end_run(struct control_server *server, enum balloon_run_end end)
{
	struct run_ending ending = { .server = server, .end = end };

	event_loop_call(server->guest.vm.main_loop, end_run, &ending);
	return ending.went;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

void control_server_settle(struct control_server *server)
{
	/* What was ready when the first call was made has been handled by the third. */
	for (int i = 0; i < 3; i++)
		event_loop_call(server->guest.vm.main_loop, nothing, NULL);
}
