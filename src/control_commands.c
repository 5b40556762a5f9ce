/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP commands: their table, and those about the machine's life and its balloon. */
/* Syscalls: main: uname */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "control_private.h"
#include "ebb/balloon.h"
#include "ebb/device.h"
#include "ebb/memory_device.h"
#include "ebb/reclaim.h"
#include "ebb/vcpu.h"

/* Clients written for QEMU look at its version to see what they may ask. Names and fields of what
 * ebb has are those of this one. */
#define QEMU_SCHEMA_MAJOR 9
#define QEMU_SCHEMA_MINOR 0

json_t *control_query_version(struct control_session *session, const json_t *arguments,
                              struct control_failure *failure)
{
	(void)session;
	(void)arguments;
	(void)failure;
	return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", QEMU_SCHEMA_MAJOR, "minor",
	                 QEMU_SCHEMA_MINOR, "micro", 0, "package", "ebb " EBB_VERSION);
}

static json_t *query_commands(struct control_session *session, const json_t *arguments,
                              struct control_failure *failure)
{
	json_t *list = json_pack("[{s:s}]", "name", "qmp_capabilities");

	(void)session;
	(void)arguments;
	(void)failure;
	for (size_t i = 0; list && i < control_command_count; i++)
		json_array_append_new(list, json_pack("{s:s}", "name", control_commands[i].name));
	return list;
}

static json_t *query_status(struct control_session *session, const json_t *arguments,
                            struct control_failure *failure)
{
	static const char *const names[] = { [VM_STATE_PAUSED] = "paused",
		                             [VM_STATE_RUNNING] = "running",
		                             [VM_STATE_ENDED] = "shutdown" };
	enum vm_state state = vm_state(session->shared->vm);

	(void)arguments;
	(void)failure;
	return json_pack("{s:b, s:s}", "running", state == VM_STATE_RUNNING, "status",
	                 names[state]);
}

static json_t *query_name(struct control_session *session, const json_t *arguments,
                          struct control_failure *failure)
{
	(void)arguments;
	(void)failure;
	return json_pack("{s:s}", "name", session->shared->vm->config->name);
}

static json_t *query_cpus_fast(struct control_session *session, const json_t *arguments,
                               struct control_failure *failure)
{
	struct vm *vm = session->shared->vm;
	json_t *list = json_array();
	struct utsname host;

	(void)arguments;
	(void)failure;
	if (uname(&host) != 0)
		strcpy(host.machine, "unknown");
	for (unsigned int i = 0; list && i < vm->vcpu_count; i++) {
		char path[32];

		snprintf(path, sizeof(path), CONTROL_CPU_PATH_PREFIX "%u]", i);
		json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:s, s:{s:i, s:i, s:i}}",
		                                      "cpu-index", (int)i, "qom-path", path,
		                                      "thread-id", vcpu_thread_id(vm->vcpus[i]),
		                                      "target", host.machine, "props", "socket-id",
		                                      0, "core-id", (int)i, "thread-id", 0));
	}
	return list;
}

/* --- the balloon --- */

/* All that the guest could have: what the balloon takes from. */
static uint64_t total_bytes(struct vm *vm)
{
	return control_boot_bytes(vm) + control_plugged_bytes(vm);
}

struct balloon *control_find_balloon(struct control_session *session,
                                     struct control_failure *failure)
{
	struct balloon *balloon = session->shared->vm->balloon;

	if (!balloon) {
		failure->class = "DeviceNotActive";
		error_set(&failure->error, -ENODEV, "this guest has no balloon");
	}
	return balloon;
}

static json_t *query_balloon(struct control_session *session, const json_t *arguments,
                             struct control_failure *failure)
{
	struct balloon *balloon = control_find_balloon(session, failure);
	struct balloon_status status;
	uint64_t ram_bytes;

	(void)arguments;
	if (!balloon)
		return NULL;
	balloon_query(balloon, &status);
	ram_bytes = total_bytes(session->shared->vm);
	return json_pack("{s:I}", "actual",
	                 (json_int_t)(ram_bytes - min_u64(status.actual_bytes, ram_bytes)));
}

/* value: the memory that the guest is to have, so the balloon takes the rest. */
static json_t *set_balloon(struct control_session *session, const json_t *arguments,
                           struct control_failure *failure)
{
	struct balloon *balloon = control_find_balloon(session, failure);
	json_int_t value = json_integer_value(json_object_get(arguments, "value"));
	uint64_t ram_bytes;

	if (!balloon)
		return NULL;
	if (value <= 0) {
		error_set(&failure->error, -EINVAL,
		          "balloon: value %" JSON_INTEGER_FORMAT ": a guest needs memory (give the "
		          "bytes it is to have)",
		          value);
		return NULL;
	}
	ram_bytes = total_bytes(session->shared->vm);
	if (balloon_set_target(balloon, ram_bytes - min_u64((uint64_t)value, ram_bytes),
	                       &failure->error))
		return NULL;
	return json_object();
}

/* --- properties: of memory devices (control_memory.c), and of the balloon --- */

static bool names_balloon(struct vm *vm, const char *path)
{
	if (strncmp(path, CONTROL_PERIPHERAL_PREFIX, strlen(CONTROL_PERIPHERAL_PREFIX)) == 0)
		path += strlen(CONTROL_PERIPHERAL_PREFIX);
	if (strcmp(path, BALLOON_ID) == 0)
		return true;
	list_for_each (node, &vm->devices) {
		const struct device *device = container_of(node, struct device, node);

		if (strcmp(device->class->name, "virtio-balloon") == 0)
			return strcmp(path, device->id) == 0;
	}
	return false;
}

enum balloon_property { PROPERTY_NONE, PROPERTY_STATS, PROPERTY_INTERVAL };

/* No object of that name: says which there are. */
static void fail_not_found(struct vm *vm, const char *path, struct control_failure *failure)
{
	char names[256] = ", the balloon as " CONTROL_PERIPHERAL_PREFIX BALLOON_ID;
	struct memory_device *device = NULL;
	struct memory_device_status status;

	if (!vm->balloon)
		names[0] = '\0';
	while ((device = memory_device_next(vm, device))) {
		size_t used = strlen(names);

		memory_device_query(device, &status);
		snprintf(names + used, sizeof(names) - used, ", %s", status.id);
	}
	failure->class = "DeviceNotFound";
	error_set(&failure->error, -ENODEV, "%s: there is no such object (there is %s)", path,
	          names[0] ? names + 2 : "none with properties");
}

/* Which of the balloon's properties a request is about; PROPERTY_NONE with failure set. */
static enum balloon_property find_property(struct control_session *session, const json_t *arguments,
                                           struct control_failure *failure)
{
	const char *path = json_string_value(json_object_get(arguments, "path"));
	const char *property = json_string_value(json_object_get(arguments, "property"));

	if (!session->shared->vm->balloon || !names_balloon(session->shared->vm, path)) {
		fail_not_found(session->shared->vm, path, failure);
		return PROPERTY_NONE;
	}
	if (strcmp(property, "guest-stats") == 0)
		return PROPERTY_STATS;
	if (strcmp(property, "guest-stats-polling-interval") == 0)
		return PROPERTY_INTERVAL;
	error_set(&failure->error, -EINVAL,
	          "%s has no property '%s' (it has guest-stats and guest-stats-polling-interval)",
	          path, property);
	return PROPERTY_NONE;
}

static json_t *qom_get(struct control_session *session, const json_t *arguments,
                       struct control_failure *failure)
{
	const char *path = json_string_value(json_object_get(arguments, "path"));
	struct vm *vm = session->shared->vm;
	struct memory_device *device = control_find_memory_device(vm, path);
	struct balloon_status status;

	if (device)
		return control_get_memory_property(device, arguments, failure);
	switch (find_property(session, arguments, failure)) {
	case PROPERTY_STATS:
		return control_guest_stats(vm);
	case PROPERTY_INTERVAL:
		balloon_query(vm->balloon, &status);
		return json_integer((json_int_t)status.stats_interval_s);
	case PROPERTY_NONE:
	default:
		return NULL;
	}
}

static json_t *qom_set(struct control_session *session, const json_t *arguments,
                       struct control_failure *failure)
{
	const char *path = json_string_value(json_object_get(arguments, "path"));
	const json_t *value = json_object_get(arguments, "value");
	struct vm *vm = session->shared->vm;
	struct memory_device *device = control_find_memory_device(vm, path);
	json_int_t seconds = json_integer_value(value);

	if (device)
		return control_set_memory_property(device, arguments, failure);
	switch (find_property(session, arguments, failure)) {
	case PROPERTY_STATS:
		error_set(&failure->error, -EPERM, "guest-stats can only be read");
		return NULL;
	case PROPERTY_INTERVAL:
		break;
	case PROPERTY_NONE:
	default:
		return NULL;
	}
	if (!json_is_integer(value) || seconds < 0 || seconds > UINT32_MAX) {
		error_set(&failure->error, -EINVAL,
		          "guest-stats-polling-interval: not a time (give whole seconds, 0 to %u)",
		          UINT32_MAX);
		return NULL;
	}
	if (balloon_set_stats_interval(vm->balloon, (uint64_t)seconds, &failure->error))
		return NULL;
	return json_object();
}

/* --- the machine's life --- */

static json_t *stop(struct control_session *session, const json_t *arguments,
                    struct control_failure *failure)
{
	int ret = vm_pause(session->shared->vm);

	(void)arguments;
	if (ret && ret != -EALREADY) {
		error_set_errno(&failure->error, ret, "stop");
		return NULL;
	}
	return json_object();
}

static json_t *cont(struct control_session *session, const json_t *arguments,
                    struct control_failure *failure)
{
	int ret = vm_resume(session->shared->vm);

	(void)arguments;
	if (ret && ret != -EALREADY) {
		error_set_errno(&failure->error, ret, "cont");
		return NULL;
	}
	return json_object();
}

static json_t *system_reset(struct control_session *session, const json_t *arguments,
                            struct control_failure *failure)
{
	(void)arguments;
	(void)failure;
	session->shared->reset_asked = true;
	vm_request_reset(session->shared->vm);
	return json_object();
}

static json_t *system_powerdown(struct control_session *session, const json_t *arguments,
                                struct control_failure *failure)
{
	(void)arguments;
	(void)failure;
	vm_request_powerdown(session->shared->vm);
	return json_object();
}

static json_t *quit(struct control_session *session, const json_t *arguments,
                    struct control_failure *failure)
{
	(void)arguments;
	(void)failure;
	session->shared->quit_asked = true;
	vm_request_end(session->shared->vm, VM_END_STOPPED, 0);
	return json_object();
}

/* --- free page hinting --- */

static json_t *free_page_hint(struct control_session *session, const json_t *arguments,
                              struct control_failure *failure)
{
	const char *action = json_string_value(json_object_get(arguments, "action"));
	struct balloon *balloon = control_find_balloon(session, failure);
	struct balloon_status status;

	if (!balloon)
		return NULL;
	if (strcmp(action, "start") == 0) {
		if (balloon_hint_start(balloon, &failure->error))
			return NULL;
	} else if (strcmp(action, "stop") == 0) {
		balloon_hint_stop(balloon);
	} else if (strcmp(action, "status") != 0) {
		error_set(&failure->error, -EINVAL,
		          "x-ebb-free-page-hint: action '%s': give start, stop or status", action);
		return NULL;
	}
	balloon_query(balloon, &status);
	return control_free_page_hint(&status.hint);
}

/* --- the trace --- */

/* Into what the client opened. */
static json_t *start_passed_trace(struct control_session *session, const json_t *arguments,
                                  struct control_failure *failure)
{
	const char *name = json_string_value(json_object_get(arguments, "fdname"));
	struct vm *vm = session->shared->vm;
	int fd = control_fds_find(&session->fds, name);

	if (fd < 0) {
		error_set(&failure->error, -EINVAL,
		          "x-ebb-trace: this session has no descriptor of that name (getfd)");
		return NULL;
	}
	if (reclaim_trace_open_fd(vm->reclaim, fd, json_is_true(json_object_get(arguments, "json")),
	                          vm->log, &failure->error))
		return NULL;
	return json_object();
}

/* The file is made by this process, in its folder and with its rights; one that is there is left
 * alone. */
static json_t *start_trace(struct vm *vm, const char *path, struct control_failure *failure)
{
	if (path && vm->sandboxed) {
		error_set(&failure->error, -EPERM,
		          "x-ebb-trace: ebb opens no file once it runs (pass a descriptor with "
		          "getfd and give its fdname, as ebb qmp NAME JSON FILE does; or run "
		          "the guest with --no-sandbox)");
		return NULL;
	}
	if (!path || path[0] != '/') {
		error_set(
			&failure->error, -EINVAL,
			"x-ebb-trace: start needs the fdname of a descriptor that came with "
			"getfd, or, without the sandbox, the path of a new file from the root on");
		return NULL;
	}
	if (reclaim_trace_open(vm->reclaim, path, false, vm->log, &failure->error))
		return NULL;
	return json_object();
}

static json_t *trace(struct control_session *session, const json_t *arguments,
                     struct control_failure *failure)
{
	const char *action = json_string_value(json_object_get(arguments, "action"));
	const char *path = json_string_value(json_object_get(arguments, "path"));
	struct vm *vm = session->shared->vm;

	bool is_passed = json_object_get(arguments, "fdname");

	if (strcmp(action, "start") == 0 && is_passed && !path)
		return start_passed_trace(session, arguments, failure);
	if (strcmp(action, "start") == 0 && !is_passed)
		return start_trace(vm, path, failure);
	if (strcmp(action, "stop") != 0 || path || is_passed) {
		error_set(&failure->error, -EINVAL,
		          "x-ebb-trace: action '%s': give start with an fdname, or stop", action);
		return NULL;
	}
	if (reclaim_trace_close(vm->reclaim, &failure->error))
		return NULL;
	return json_object();
}

const struct control_command control_commands[] = {
	{ "query-version", "", control_query_version },
	{ "query-commands", "", query_commands },
	{ "query-status", "", query_status },
	{ "query-name", "", query_name },
	{ "query-cpus-fast", "", query_cpus_fast },
	{ "query-balloon", "", query_balloon },
	{ "balloon", "value:i", set_balloon },
	{ "query-memory-size-summary", "", control_query_memory_size },
	{ "query-memory-devices", "", control_query_memory_devices },
	{ "qom-get", "path:s property:s", qom_get },
	{ "qom-set", "path:s property:s value:*", qom_set },
	{ "query-stats", "target:s vcpus?a providers?a", control_query_stats },
	{ "stop", "", stop },
	{ "cont", "", cont },
	{ "system_reset", "", system_reset },
	{ "system_powerdown", "", system_powerdown },
	{ "quit", "", quit },
	{ "x-ebb-query-reclaim", "", control_query_reclaim },
	{ "x-ebb-reclaim", "keep?i", control_reclaim },
	{ "x-ebb-query-reclaim-run", "", control_query_reclaim_run },
	{ "x-ebb-set-reporting", "paused?b minimum-range?i rate-limit?i", control_set_reporting },
	{ "x-ebb-set-inflate", "page-by-page?b hold?i", control_set_inflate },
	{ "x-ebb-query-stat", "", control_query_stat },
	{ "x-ebb-free-page-hint", "action:s", free_page_hint },
	{ "x-ebb-trace", "action:s path?s fdname?s json?b", trace },
	{ "getfd", "fdname:s", control_getfd },
	{ "closefd", "fdname:s", control_closefd },
};

const size_t control_command_count = ARRAY_SIZE(control_commands);
