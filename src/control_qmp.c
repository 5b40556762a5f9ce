/* SPDX-License-Identifier: Apache-2.0 */
/* One client's QMP conversation: greeting, negotiation, requests, replies, events. */
/*
 * DOC: QMP as ebb speaks it
 *
 *   connected --greeting--> negotiating --qmp_capabilities--> command mode
 *
 * A request is one JSON object {execute, arguments?, id?}; its reply {return, id?} or {error:
 * {class, desc}, id?}. Before the negotiation there are no events and no other command. What a
 * request may contain is checked here against the command's row, so that a handler sees only what
 * it asked for. A request that is no JSON gets an error and the conversation goes on at the next
 * line; one without an end (size, depth) loses the stream.
 *
 * A command that takes time (x-ebb-reclaim) puts its answer off; events still go out meanwhile, and
 * the requests behind it wait.
 *
 * The protocol is QEMU's, docs/interop/qmp-spec.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control_private.h"
#include "ebb/device.h"

int control_session_init(struct control_session *session, struct control_shared *shared)
{
	*session = (struct control_session){ .shared = shared };
	control_fds_init(&session->fds);
	return control_framer_init(&session->framer);
}

void control_session_fini(struct control_session *session)
{
	json_decref(session->waiting_id);
	control_fds_fini(&session->fds);
	control_framer_fini(&session->framer);
}

/* Takes the reference; a message that could not be built or printed loses the stream. */
static void send_message(struct control_session *session, json_t *message)
{
	char *text = message ? json_dumps(message, 0) : NULL;

	json_decref(message);
	if (!text) {
		session->closing = true;
		return;
	}
	session->send(session, text, strlen(text));
	session->send(session, "\n", 1);
	free(text);
}

/* A string of any bytes: what is not UTF-8 (a character cut at the end) becomes '?'. */
static json_t *make_string(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string)
		return string;
	copy = strdup(text);
	if (!copy)
		return NULL;
	for (char *byte = copy; *byte; byte++) {
		if (*byte & 0x80)
			*byte = '?';
	}
	string = json_string(copy);
	free(copy);
	return string;
}

/* id may be NULL. */
static void send_error(struct control_session *session, json_t *id, const char *class,
                       const char *description)
{
	json_t *reply = json_pack("{s:{s:s, s:o}}", "error", "class",
	                          class ? class : "GenericError", "desc", make_string(description));

	if (reply && id)
		json_object_set(reply, "id", id);
	send_message(session, reply);
}

void control_session_refuse(struct control_session *session, const char *reason)
{
	send_error(session, NULL, NULL, reason);
	session->closing = true;
}

void control_session_greet(struct control_session *session)
{
	struct control_failure failure = { .error = ERROR_INIT };
	json_t *version = control_query_version(session, NULL, &failure);

	send_message(session,
	             json_pack("{s:{s:o, s:[]}}", "QMP", "version", version, "capabilities"));
}

static bool has_type(const json_t *value, char type)
{
	switch (type) {
	case 'b':
		return json_is_boolean(value);
	case 'i':
		return json_is_integer(value);
	case 's':
		return json_is_string(value);
	case 'a':
		return json_is_array(value);
	default:
		return true;
	}
}

static const char *type_name(char type)
{
	switch (type) {
	case 'b':
		return "a boolean";
	case 'i':
		return "an integer";
	case 's':
		return "a string";
	default:
		return "a list";
	}
}

/* Finds key in the row's parameters: its type letter, or 0. */
static char find_parameter(const char *parameters, const char *key)
{
	size_t length = strlen(key);

	while (*parameters) {
		size_t name_length = strcspn(parameters, "?:");

		if (name_length == length && memcmp(parameters, key, length) == 0)
			return parameters[name_length + 1];
		parameters += name_length + 2;
		parameters += strspn(parameters, " ");
	}
	return 0;
}

static int check_arguments(const struct control_command *command, json_t *arguments,
                           struct error *err)
{
	const char *parameter = command->parameters, *key;
	json_t *value;

	json_object_foreach(arguments, key, value)
	{
		char type = find_parameter(command->parameters, key);

		if (!type)
			return error_set(err, -EINVAL, "%s: the argument '%s' is unknown",
			                 command->name, key);
		if (!has_type(value, type))
			return error_set(err, -EINVAL, "%s: the argument '%s' must be %s",
			                 command->name, key, type_name(type));
	}
	while (*parameter) {
		size_t length = strcspn(parameter, "?:");
		char name[32];

		snprintf(name, sizeof(name), "%.*s", (int)length, parameter);
		if (parameter[length] == ':' && !json_object_get(arguments, name))
			return error_set(err, -EINVAL, "%s: the argument '%s' is missing",
			                 command->name, name);
		parameter += length + 2;
		parameter += strspn(parameter, " ");
	}
	return 0;
}

/* The negotiation: capabilities that ebb has may be enabled, and it has none. */
static json_t *negotiate(struct control_session *session, json_t *arguments,
                         struct control_failure *failure)
{
	static const struct control_command row = { "qmp_capabilities", "enable?a", NULL };

	if (check_arguments(&row, arguments, &failure->error))
		return NULL;
	if (json_array_size(json_object_get(arguments, "enable"))) {
		error_set(&failure->error, -EINVAL,
		          "qmp_capabilities: ebb has no capability that "
		          "can be enabled");
		return NULL;
	}
	session->negotiated = true;
	return json_object();
}

static json_t *run_command(struct control_session *session, const char *name, json_t *arguments,
                           struct control_failure *failure)
{
	bool is_negotiation = strcmp(name, "qmp_capabilities") == 0;

	failure->class = "CommandNotFound";
	if (is_negotiation == session->negotiated) {
		error_set(&failure->error, -EINVAL,
		          session->negotiated ? "%s: capabilities were negotiated already"
		                              : "%s: negotiate with qmp_capabilities first",
		          name);
		return NULL;
	}
	if (is_negotiation) {
		failure->class = NULL;
		return negotiate(session, arguments, failure);
	}
	for (size_t i = 0; i < control_command_count; i++) {
		const struct control_command *command = &control_commands[i];

		if (strcmp(command->name, name) != 0)
			continue;
		failure->class = NULL;
		if (check_arguments(command, arguments, &failure->error))
			return NULL;
		return command->handler(session, arguments, failure);
	}
	error_set(&failure->error, -EINVAL, "%s: there is no such command (see query-commands)",
	          name);
	return NULL;
}

/* Checks the request's own members; the command's name and arguments are borrowed from it. */
static int check_request(json_t *request, const char **ret_name, json_t **ret_arguments,
                         struct error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(request))
		return error_set(err, -EINVAL, "a request must be a JSON object");
	json_object_foreach(request, key, value)
	{
		if (strcmp(key, "execute") == 0) {
			if (!json_is_string(value))
				return error_set(err, -EINVAL, "'execute' must be a string");
		} else if (strcmp(key, "arguments") == 0) {
			if (!json_is_object(value))
				return error_set(err, -EINVAL, "'arguments' must be an object");
		} else if (strcmp(key, "id") != 0) {
			return error_set(err, -EINVAL, "the request's member '%s' is unknown", key);
		}
	}
	*ret_name = json_string_value(json_object_get(request, "execute"));
	*ret_arguments = json_object_get(request, "arguments");
	if (!*ret_name)
		return error_set(err, -EINVAL, "the request has no 'execute'");
	return 0;
}

/* result: a new reference. id may be NULL. */
static void send_result(struct control_session *session, json_t *id, json_t *result)
{
	json_t *reply = json_pack("{s:o}", "return", result);

	if (reply && id)
		json_object_set(reply, "id", id);
	send_message(session, reply);
}

void control_session_answer(struct control_session *session, json_t *result)
{
	json_t *id = session->waiting_id;

	session->waiting = false;
	session->waiting_id = NULL;
	send_result(session, id, result);
	json_decref(id);
}

static void handle_request(struct control_session *session, json_t *request)
{
	struct control_failure failure = { .error = ERROR_INIT };
	const char *name = NULL;
	json_t *arguments = NULL, *result = NULL, *id = json_object_get(request, "id");

	if (!check_request(request, &name, &arguments, &failure.error))
		result = run_command(session, name, arguments, &failure);
	if (failure.later) {
		session->waiting = true;
		session->waiting_id = json_incref(id);
		return;
	}
	if (result)
		send_result(session, id, result);
	else
		send_error(session, id, failure.class,
		           failure.error.code ? failure.error.message : "out of memory");
}

static void handle_text(struct control_session *session, const char *text, size_t size_bytes)
{
	json_error_t json_err;
	json_t *request =
		json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &json_err);
	struct error err = ERROR_INIT;

	if (!request) {
		error_set(&err, -EINVAL, "the request is not JSON: %s", json_err.text);
		send_error(session, NULL, NULL, err.message);
		return;
	}
	handle_request(session, request);
	json_decref(request);
}

bool control_session_step(struct control_session *session)
{
	const char *text;
	size_t size_bytes;
	char reason[64];

	if (session->closing || session->waiting)
		return false;
	switch (control_framer_next(&session->framer, &text, &size_bytes)) {
	case CONTROL_FRAME_COMPLETE:
		handle_text(session, text, size_bytes);
		return true;
	case CONTROL_FRAME_TOO_LONG:
		snprintf(reason, sizeof(reason), "the request is longer than %" PRIu64 " bytes",
		         CONTROL_REQUEST_MAX_BYTES);
		control_session_refuse(session, reason);
		return false;
	case CONTROL_FRAME_TOO_DEEP:
		snprintf(reason, sizeof(reason), "the request is nested deeper than %d",
		         CONTROL_DEPTH_MAX);
		control_session_refuse(session, reason);
		return false;
	case CONTROL_FRAME_NONE:
	default:
		return false;
	}
}

static json_t *make_timestamp(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("{s:I, s:I}", "seconds", (json_int_t)now.tv_sec, "microseconds",
	                 (json_int_t)(now.tv_nsec / NS_PER_US));
}

static json_t *shutdown_data(const struct control_shared *shared, enum vm_end end)
{
	static const struct {
		const char *reason;
		bool by_guest;
	} reasons[] = {
		[VM_END_NONE] = { "none", false },
		[VM_END_POWEROFF] = { "guest-shutdown", true },
		[VM_END_STOPPED] = { "host-signal", false },
		[VM_END_EXPECTED] = { "host-ui", false },
		[VM_END_NO_REBOOT] = { "guest-reset", true },
		[VM_END_TIMEOUT] = { "host-ui", false },
		[VM_END_HOST_FAILURE] = { "host-error", false },
		[VM_END_PANIC] = { "guest-panic", true },
		[VM_END_VCPU_FATAL] = { "host-error", true },
		[VM_END_DEBUG_EXIT] = { "guest-shutdown", true },
	};
	const char *reason;

	if ((size_t)end >= ARRAY_SIZE(reasons))
		end = VM_END_NONE;
	reason = reasons[end].reason;
	if (end == VM_END_STOPPED && shared->quit_asked)
		reason = "host-qmp-quit";
	return json_pack("{s:b, s:s}", "guest", reasons[end].by_guest, "reason", reason);
}

static json_t *vhost_error_data(struct vm *vm, uint64_t value)
{
	uint64_t left = value / VM_EVENT_VHOST_QUEUES;

	list_for_each (node, &vm->devices) {
		const struct device *device = container_of(node, struct device, node);

		if (!left--)
			return json_pack("{s:s, s:I}", "id", device->id, "queue",
			                 (json_int_t)(value % VM_EVENT_VHOST_QUEUES));
	}
	return NULL;
}

static json_t *event_data(const struct control_shared *shared, enum vm_event event, uint64_t value)
{
	switch (event) {
	case VM_EVENT_RESET:
		return json_pack("{s:b, s:s}", "guest", !shared->reset_asked, "reason",
		                 shared->reset_asked ? "host-qmp-system-reset" : "guest-reset");
	case VM_EVENT_SHUTDOWN:
		return shutdown_data(shared, (enum vm_end)value);
	case VM_EVENT_GUEST_PANICKED:
		return json_pack("{s:s}", "action", "poweroff");
	case VM_EVENT_BALLOON_CHANGE:
		return json_pack("{s:I}", "actual", (json_int_t)value);
	case VM_EVENT_RECLAIM_ENDED:
		return json_pack("{s:I}", "bytes", (json_int_t)value);
	case VM_EVENT_VHOST_ERROR:
		return vhost_error_data(shared->vm, value);
	case VM_EVENT_STOP:
	case VM_EVENT_RESUME:
	case VM_EVENT_POWERDOWN:
	case VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE: /* control.c knows of which */
	case VM_EVENT_COUNT:
	default:
		return NULL;
	}
}

void control_session_tell(struct control_session *session, const char *event, const json_t *data)
{
	json_t *message;

	if (!session->negotiated || session->closing)
		return;
	message = json_pack("{s:o, s:s}", "timestamp", make_timestamp(), "event", event);
	if (message && data)
		json_object_set(message, "data", (json_t *)(uintptr_t)data);
	send_message(session, message);
}

void control_session_event(struct control_session *session, enum vm_event event, uint64_t value)
{
	static const char *const names[VM_EVENT_COUNT] = {
		[VM_EVENT_STOP] = "STOP",
		[VM_EVENT_RESUME] = "RESUME",
		[VM_EVENT_RESET] = "RESET",
		[VM_EVENT_SHUTDOWN] = "SHUTDOWN",
		[VM_EVENT_GUEST_PANICKED] = "GUEST_PANICKED",
		[VM_EVENT_BALLOON_CHANGE] = "BALLOON_CHANGE",
		[VM_EVENT_POWERDOWN] = "POWERDOWN",
		[VM_EVENT_RECLAIM_ENDED] = "X_EBB_RECLAIM_ENDED",
		[VM_EVENT_VHOST_ERROR] = "X_EBB_VHOST_ERROR",
	};
	json_t *data = event_data(session->shared, event, value);

	if (names[event])
		control_session_tell(session, names[event], data);
	json_decref(data);
}
