/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that a client passes, by names of its own: getfd and closefd, as in QEMU. */
/*
 * DOC: ebb opens no file once it runs; a client that wants one written opens it itself and sends
 * the descriptor with its getfd request (SCM_RIGHTS). Of several that come before that request the
 * last one counts. They are the session's, and end with it.
 *
 * Syscalls: main: close
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "control_private.h"

void control_fds_init(struct control_fds *fds)
{
	fds->passed = -1;
	for (size_t i = 0; i < CONTROL_FDS_MAX; i++)
		fds->named[i].fd = -1;
}

void control_fds_pass(struct control_fds *fds, int fd)
{
	if (fds->passed >= 0)
		close(fds->passed);
	fds->passed = fd;
}

void control_fds_fini(struct control_fds *fds)
{
	control_fds_pass(fds, -1);
	for (size_t i = 0; i < CONTROL_FDS_MAX; i++)
		if (fds->named[i].fd >= 0)
			close(fds->named[i].fd);
}

static struct control_named_fd *find(struct control_fds *fds, const char *name)
{
	for (size_t i = 0; i < CONTROL_FDS_MAX; i++)
		if (fds->named[i].fd >= 0 && strcmp(fds->named[i].name, name) == 0)
			return &fds->named[i];
	return NULL;
}

int control_fds_find(struct control_fds *fds, const char *name)
{
	const struct control_named_fd *named = find(fds, name);

	return named ? named->fd : -ENOENT;
}

static struct control_named_fd *find_room(struct control_fds *fds, const char *name)
{
	struct control_named_fd *room = find(fds, name);

	for (size_t i = 0; !room && i < CONTROL_FDS_MAX; i++)
		if (fds->named[i].fd < 0)
			room = &fds->named[i];
	return room;
}

json_t *control_getfd(struct control_session *session, const json_t *arguments,
                      struct control_failure *failure)
{
	const char *name = json_string_value(json_object_get(arguments, "fdname"));
	struct control_fds *fds = &session->fds;
	struct control_named_fd *room;

	if (fds->passed < 0) {
		error_set(&failure->error, -EBADF,
		          "getfd: no descriptor came with the request (SCM_RIGHTS)");
		return NULL;
	}
	if (!*name || strlen(name) >= CONTROL_FD_NAME_MAX) {
		error_set(&failure->error, -EINVAL, "getfd: fdname has 1 to %d characters",
		          CONTROL_FD_NAME_MAX - 1);
		return NULL;
	}
	room = find_room(fds, name);
	if (!room) {
		error_set(&failure->error, -ENOSPC,
		          "getfd: a session has %d descriptors at most (closefd one)",
		          CONTROL_FDS_MAX);
		return NULL;
	}
	if (room->fd >= 0)
		close(room->fd);
	strcpy(room->name, name);
	room->fd = fds->passed;
	fds->passed = -1;
	return json_object();
}

json_t *control_closefd(struct control_session *session, const json_t *arguments,
                        struct control_failure *failure)
{
	const char *name = json_string_value(json_object_get(arguments, "fdname"));
	struct control_named_fd *named = find(&session->fds, name);

	if (!named) {
		error_set(&failure->error, -ENOENT,
		          "closefd: this session has no descriptor of that name");
		return NULL;
	}
	close(named->fd);
	named->fd = -1;
	return json_object();
}
