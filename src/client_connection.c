/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection to the control socket of a guest: one request, one reply. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client_private.h"
#include "ebb/event_loop.h"

#define BUFFER_STEP_BYTES (16 * KIB)

/* --- finding guests --- */

/* Where guests are, if that can be believed. */
static int find_folder(char folder[CONTROL_PATH_MAX], struct error *err)
{
	int ret = control_folder(folder, err);

	return ret ? ret : control_check_folder(folder, err);
}

/* -errno, without a message. */
static int connect_path(const char *path)
{
	struct sockaddr_un socket_name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	strcpy(socket_name.sun_path, path);
	if (connect(fd, (const struct sockaddr *)&socket_name, sizeof(socket_name)) != 0) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	return fd;
}

void client_free_names(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The guest's name in front of a file's ending of 5 characters, or false. */
static bool name_of_file(const char *file_name, const char *ending, char name[VM_NAME_MAX])
{
	size_t length = strlen(file_name);

	if (length <= 5 || length - 5 >= VM_NAME_MAX || strcmp(file_name + length - 5, ending))
		return false;
	memcpy(name, file_name, length - 5);
	name[length - 5] = '\0';
	return vm_name_is_valid(name);
}

/* Whether a guest of that name answers. */
static bool is_running(const char *name)
{
	char path[CONTROL_PATH_MAX];
	int fd;

	if (control_socket_path(name, path, NULL))
		return false;
	fd = connect_path(path);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int client_running(char ***ret_names, size_t *ret_count, struct error *err)
{
	char folder[CONTROL_PATH_MAX], name[VM_NAME_MAX], **names = NULL;
	struct dirent *entry;
	size_t count = 0;
	int ret = find_folder(folder, err);
	DIR *dir;

	if (ret)
		return ret;
	dir = opendir(folder);
	if (!dir && errno != ENOENT)
		return error_set_errno(err, -errno, "%s", folder);
	while (dir && (entry = readdir(dir))) {
		char **more;

		if (name_of_file(entry->d_name, ".lock", name))
			control_name_clean(name); /* of one that was killed */
		if (!name_of_file(entry->d_name, ".sock", name) || !is_running(name))
			continue;
		more = realloc(names, (count + 1) * sizeof(*names));
		if (more)
			names = more;
		if (!more || !(names[count] = strdup(name))) {
			client_free_names(names, count);
			closedir(dir);
			return error_set_errno(err, -ENOMEM, "%s", folder);
		}
		count++;
	}
	if (dir)
		closedir(dir);
	if (count)
		qsort(names, count, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_count = count;
	return 0;
}

static int not_running(const char *name, struct error *err)
{
	char list[256] = "", **names;
	size_t count, length = 0;

	if (client_running(&names, &count, NULL))
		return error_set(err, -ENOENT, "%s: no such guest is running", name);
	for (size_t i = 0; i < count && length < sizeof(list); i++)
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%s",
		                           i ? ", " : "", names[i]);
	client_free_names(names, count);
	if (!count)
		return error_set(err, -ENOENT, "%s: no such guest is running (none is)", name);
	return error_set(err, -ENOENT, "%s: no such guest is running (running: %s%s)", name, list,
	                 length >= sizeof(list) ? ", ..." : "");
}

int client_open_socket(const char *name, int *ret_fd, struct error *err)
{
	char folder[CONTROL_PATH_MAX], path[CONTROL_PATH_MAX];
	int fd, ret;

	if (!vm_name_is_valid(name))
		return error_set(err, -EINVAL, "%s: not a guest's name", name);
	ret = find_folder(folder, err);
	if (!ret)
		ret = control_socket_path(name, path, err);
	if (ret)
		return ret;
	fd = connect_path(path);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return not_running(name, err);
	if (fd < 0)
		return error_set_errno(err, fd, "%s", path);
	*ret_fd = fd;
	return 0;
}

/* --- lines --- */

/* Waits for bytes until deadline_ns. 0, -ETIMEDOUT, -EPIPE at the end, -ECANCELED when the user
 * ends it. */
static int receive(struct client_connection *connection, int64_t deadline_ns)
{
	struct pollfd poll_fds[] = { { .fd = connection->fd, .events = POLLIN },
		                     { .fd = connection->end_fd ? *connection->end_fd : -1,
		                       .events = POLLIN } };
	int64_t left_ns = deadline_ns - monotonic_ns();
	ssize_t size_bytes;
	int ret = poll(poll_fds, 2, left_ns > 0 ? (int)(left_ns / NS_PER_MS) + 1 : 0);

	if (ret < 0)
		return errno == EINTR ? 0 : -errno;
	if (ret == 0)
		return -ETIMEDOUT;
	if (poll_fds[1].revents)
		return -ECANCELED;
	if (connection->capacity_bytes - connection->size_bytes < BUFFER_STEP_BYTES) {
		size_t capacity_bytes = connection->capacity_bytes * 2 + BUFFER_STEP_BYTES;
		char *buffer;

		if (capacity_bytes > 2 * CLIENT_REPLY_MAX_BYTES)
			return -EMSGSIZE;
		buffer = realloc(connection->buffer, capacity_bytes);
		if (!buffer)
			return -ENOMEM;
		connection->buffer = buffer;
		connection->capacity_bytes = capacity_bytes;
	}
	size_bytes = recv(connection->fd, connection->buffer + connection->size_bytes,
	                  connection->capacity_bytes - connection->size_bytes, 0);
	if (size_bytes < 0)
		return errno == EINTR ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	if (size_bytes == 0)
		return -EPIPE;
	connection->size_bytes += (size_t)size_bytes;
	return 0;
}

/* The next line as JSON. -EPROTO when it is none, or as receive. */
static int receive_message(struct client_connection *connection, int64_t deadline_ns,
                           json_t **ret_message)
{
	char *end;
	size_t line_bytes;
	json_t *message;

	while (!(end = connection->size_bytes
	                       ? memchr(connection->buffer, '\n', connection->size_bytes)
	                       : NULL)) {
		int ret = receive(connection, deadline_ns);

		if (ret)
			return ret;
	}
	line_bytes = (size_t)(end - connection->buffer) + 1;
	message = json_loadb(connection->buffer, line_bytes, 0, NULL);
	connection->size_bytes -= line_bytes;
	memmove(connection->buffer, connection->buffer + line_bytes, connection->size_bytes);
	if (!json_is_object(message)) {
		json_decref(message);
		return -EPROTO;
	}
	*ret_message = message;
	return 0;
}

static int send_all(int fd, const char *data, size_t size_bytes)
{
	while (size_bytes) {
		ssize_t sent = send(fd, data, size_bytes, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			return -errno;
		if (sent > 0) {
			data += sent;
			size_bytes -= (size_t)sent;
		}
	}
	return 0;
}

static int64_t deadline_after(int timeout_ms)
{
	return monotonic_ns() + timeout_ms * NS_PER_MS;
}

/* With its newline in one piece: a peer may act on a whole request, and be gone, before the rest of
 * the line comes. */
static int send_line(int fd, const char *text)
{
	const size_t length = strlen(text);
	char *line = malloc(length + 1);
	int ret;

	if (!line)
		return -ENOMEM;
	memcpy(line, text, length);
	line[length] = '\n';
	ret = send_all(fd, line, length + 1);
	free(line);
	return ret;
}

int client_send_request(struct client_connection *connection, json_t *request, struct error *err)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int ret = text ? send_line(connection->fd, text) : -ENOMEM;

	free(text);
	json_decref(request);
	if (ret == -EPIPE)
		return error_set(err, ret, "the guest's ebb hung up");
	return ret ? error_set_errno(err, ret, "the control socket") : 0;
}

int client_wait_reply(struct client_connection *connection, int timeout_ms, json_t **ret_reply,
                      struct error *err)
{
	int64_t deadline_ns = deadline_after(timeout_ms);
	json_t *message;
	int ret;

	while (!(ret = receive_message(connection, deadline_ns, &message))) {
		if (json_object_get(message, "return") || json_object_get(message, "error")) {
			*ret_reply = message;
			return 0;
		}
		json_decref(message);
	}
	if (ret == -EPIPE)
		return error_set(err, ret, "the guest's ebb hung up before it answered");
	if (ret == -ETIMEDOUT)
		return error_set(err, ret, "the guest's ebb does not answer (waited %d s)",
		                 timeout_ms / 1000);
	return error_set_errno(err, ret, "the control socket");
}

int client_request(struct client_connection *connection, json_t *request, json_t **ret_reply,
                   struct error *err)
{
	int ret = client_send_request(connection, request, err);

	return ret ? ret : client_wait_reply(connection, CLIENT_REPLY_TIMEOUT_MS, ret_reply, err);
}

int client_take_result(json_t *reply, json_t **ret_result, struct error *err)
{
	json_t *result = json_object_get(reply, "return");
	const char *description;
	int ret = 0;

	if (result) {
		*ret_result = json_incref(result);
	} else {
		description = client_string(json_object_get(reply, "error"), "desc");
		ret = error_set(err, -EREMOTEIO, "%s",
		                description[0] ? description : "refused, without a reason");
	}
	json_decref(reply);
	return ret;
}

int client_command(struct client_connection *connection, const char *command, json_t *arguments,
                   json_t **ret_result, struct error *err)
{
	json_t *request = json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments);
	json_t *reply;
	int ret = client_request(connection, request, &reply, err);

	return ret ? ret : client_take_result(reply, ret_result, err);
}

/* Reads the greeting, or the reason why there is none. */
static int receive_greeting(struct client_connection *connection, struct error *err)
{
	json_t *message;
	int ret = receive_message(connection, deadline_after(CLIENT_REPLY_TIMEOUT_MS), &message);

	if (ret)
		return error_set_errno(err, ret, "the control socket gives no greeting");
	if (!json_object_get(message, "QMP"))
		ret = error_set(err, -EREMOTEIO, "the guest's ebb refuses: %s",
		                client_string(json_object_get(message, "error"), "desc"));
	json_decref(message);
	return ret;
}

int client_start(int fd, struct client_connection *connection, struct error *err)
{
	json_t *result;
	int ret;

	*connection = (struct client_connection){ .fd = fd };
	ret = receive_greeting(connection, err);
	if (!ret)
		ret = client_command(connection, "qmp_capabilities", NULL, &result, err);
	if (!ret)
		json_decref(result);
	else
		client_disconnect(connection);
	return ret;
}

int client_connect(const char *name, struct client_connection *connection, struct error *err)
{
	int fd, ret = client_open_socket(name, &fd, err);

	if (ret)
		return ret;
	ret = client_start(fd, connection, err);
	if (ret)
		error_prefix(err, "%s", name);
	return ret;
}

void client_disconnect(struct client_connection *connection)
{
	close(connection->fd);
	free(connection->buffer);
	connection->buffer = NULL;
}

int client_wait_event(struct client_connection *connection, int timeout_ms)
{
	json_t *message;
	int ret = receive_message(connection, deadline_after(timeout_ms), &message);

	if (!ret)
		json_decref(message);
	return ret == -ETIMEDOUT ? 0 : ret;
}

int client_wait_end(struct client_connection *connection, int timeout_ms)
{
	int64_t deadline_ns = deadline_after(timeout_ms);
	int ret = 0;

	while (!ret) {
		connection->size_bytes = 0;
		ret = receive(connection, deadline_ns);
	}
	return ret == -EPIPE ? 0 : ret;
}

/* --- reading results --- */

uint64_t client_number(const json_t *object, const char *path)
{
	char key[64];

	while (object) {
		size_t length = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)length, path);
		object = json_object_get(object, key);
		if (!path[length])
			break;
		path += length + 1;
	}
	return json_is_integer(object) && json_integer_value(object) > 0
	               ? (uint64_t)json_integer_value(object)
	               : 0;
}

const char *client_string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

const char *client_format_bytes(uint64_t bytes, char text[CLIENT_SIZE_TEXT_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t unit = 0;
	double value = (double)bytes;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	if (unit)
		snprintf(text, CLIENT_SIZE_TEXT_MAX, "%.1f %s", value, units[unit]);
	else
		snprintf(text, CLIENT_SIZE_TEXT_MAX, "%" PRIu64 " B", bytes);
	return text;
}
