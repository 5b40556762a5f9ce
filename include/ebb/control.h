/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: QMP to whoever may connect.
 *
 * $XDG_RUNTIME_DIR/ebb/NAME.sock, /run/ebb/ for root: mode 0600 in a 0700 folder, peer credentials
 * checked. One running guest a name: the name is held by a lock file (flock), so that a dead ebb's
 * leftovers are taken over and a live one's never. The client side (`ebb VERB NAME`) is
 * src/client.h.
 */
#ifndef EBB_CONTROL_H
#define EBB_CONTROL_H

#include "ebb/error.h"
#include "ebb/types.h"

struct control;
struct control_name;
struct vm;

#define CONTROL_CLIENTS_MAX 16
/* Open at most: a client's socket, 4 named descriptors that it passed (getfd) and one that has no
 * name yet, and 4 of the read that goes on. */
#define CONTROL_DESCRIPTORS_MAX (CONTROL_CLIENTS_MAX * (1 + 4 + 1) + 4)
#define CONTROL_IDLE_NS \
	(60 * NS_PER_S) /* silent for so long, a client may be replaced by a new one */
#define CONTROL_REQUEST_MAX_BYTES \
	(64 * KIB)                         /* a longer one is an error and ends the connection \
	                                    */
#define CONTROL_DEPTH_MAX        32        /* of nested objects and lists in a request */
#define CONTROL_OUTPUT_MAX_BYTES (2 * MIB) /* a client that lets more wait is dropped */
#define CONTROL_PATH_MAX         108       /* what a socket address holds, with its NUL */

/*
 * The folder of this user's sockets, with no slash behind: /run/ebb for root, else
 * $XDG_RUNTIME_DIR/ebb, else /run/user/UID/ebb where /run/user/UID exists, else /tmp/ebb-UID.
 * -ENAMETOOLONG with what to do.
 */
EBB_MUST_CHECK int control_folder(char path[CONTROL_PATH_MAX], struct error *err);

/*
 * For clients: whether what is in that folder can be believed. 0 also where it is missing. -EPERM:
 * another user's, or open to others; -ENOTDIR, -ELOOP: no folder; -errno of the host; each with
 * what to do.
 */
EBB_MUST_CHECK int control_check_folder(const char *folder, struct error *err);

/* The socket of a guest. -ENAMETOOLONG when it does not fit a socket address. */
EBB_MUST_CHECK int control_socket_path(const char *name, char path[CONTROL_PATH_MAX],
                                       struct error *err);

/*
 * Takes the name, creating the folder where it is missing: -EEXIST with a message when a guest of
 * that name runs. The first step of a start: nothing else was created.
 */
EBB_MUST_CHECK int control_name_acquire(const char *name, struct control_name **ret_name,
                                        struct error *err);

/* The folder of both, open; not the caller's. */
int control_name_folder_fd(const struct control_name *name);

/* Removes socket and lock file and gives the name back. */
void control_name_release(struct control_name *name);

/* Removes what a killed ebb left under this name. Nothing happens where one holds it. */
void control_name_clean(const char *name);

/* Serves on vm->main_loop, on its thread. vm, with its vCPUs created and not yet started, and name
 * are borrowed. */
EBB_MUST_CHECK int control_create(struct vm *vm, struct control_name *name,
                                  struct control **ret_control, struct error *err);

/* Tells the clients what is still to be told, as far as they take it at once, and hangs up. */
void control_destroy(struct control *control);

#endif
