/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control socket that serves a control_guest on a thread of its own, in a folder of its own, so
 * that a test can be its client. Needs the fakes control_guest does, fake_device_table and
 * user_folder.
 */
#ifndef CONTROL_SERVER_H
#define CONTROL_SERVER_H

#include "control_guest.h"
#include "ebb/control.h"

struct control_server {
	struct control_guest guest;
	struct control_name *name;
	struct control *control;
	const char *folder; /* XDG_RUNTIME_DIR */
	bool ended;
};

/* The guest is called "guest". */
void control_server_start(struct control_server *server);
void control_server_stop(struct control_server *server);

/* On the server's thread, as all that touches the guest while it is served. */
void control_server_call(struct control_server *server, void (*fn)(void *ctx), void *ctx);
void control_server_tell(struct control_server *server, enum vm_event event, uint64_t value);

/* The event, count times in a row, with nobody else served in between. */
void control_server_flood(struct control_server *server, enum vm_event event, uint64_t count);

/* Ends the reclaim run of the guest's balloon if one goes: 60 MiB were resident, 20 MiB are, after
 * 1.5 s. Whether one went. */
bool control_server_end_run(struct control_server *server, enum balloon_run_end end);

/* Takes the socket away, as an ebb that ends does; the folder stays. */
void control_server_end(struct control_server *server);

/* Waits until the server has done what was there to do. */
void control_server_settle(struct control_server *server);

#endif
