/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: QMP to whoever may connect, and the client side of `ebb VERB NAME`.
 *
 * $XDG_RUNTIME_DIR/ebb/NAME.sock, /run/ebb/ for root: mode 0600 in a 0700 folder, peer credentials
 * checked. One running guest a name: the name is held by a lock file (flock), so that a dead ebb's
 * leftovers are taken over and a live one's never.
 */
#ifndef EBB_CONTROL_H
#define EBB_CONTROL_H

#include "ebb/error.h"
#include "ebb/types.h"

struct control;
struct control_name;
struct vm;

#define CONTROL_CLIENTS_MAX 16
#define CONTROL_REQUEST_MAX_BYTES \
	(64 * KIB) /* a longer line is an error and ends the connection \
	            */

/* Takes the name: -EEXIST with a message when a guest of that name runs. The first step of a start:
 * nothing else was created. */
EBB_MUST_CHECK int control_name_acquire(const char *name, struct control_name **ret_name,
                                        struct error *err);
void control_name_release(struct control_name *name);

/* Serves on vm->main_loop. name is borrowed. */
EBB_MUST_CHECK int control_create(struct vm *vm, struct control_name *name,
                                  struct control **ret_control, struct error *err);
void control_destroy(struct control *control);

#endif
