/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as QMP: how much there is, and the devices that plug more of it. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "control_private.h"
#include "ebb/memory_device.h"

static void add_number(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)min_u64(value, INT64_MAX)));
}

/* --- how much there is --- */

uint64_t control_boot_bytes(const struct vm *vm)
{
	return vm->config->memory.size_bytes;
}

uint64_t control_plugged_bytes(struct vm *vm)
{
	struct memory_device *device = NULL;
	struct memory_device_status status;
	uint64_t plugged_bytes = 0;

	while ((device = memory_device_next(vm, device))) {
		memory_device_query(device, &status);
		plugged_bytes += status.plugged_bytes;
	}
	return plugged_bytes;
}

json_t *control_query_memory_size(struct control_session *session, const json_t *arguments,
                                  struct control_failure *failure)
{
	struct vm *vm = session->shared->vm;
	json_t *object = json_object();

	(void)arguments;
	(void)failure;
	add_number(object, "base-memory", control_boot_bytes(vm));
	add_number(object, "plugged-memory", control_plugged_bytes(vm));
	return object;
}

/* --- as QEMU describes them --- */

/* QEMU's VirtioMEMDeviceInfo. Its memory backends are objects of their own; what is behind a device
 * here has no other name than the device. */
static json_t *describe(const struct memory_device_status *status)
{
	json_t *object = json_object();
	char memdev[DEVICE_ID_MAX + 16];

	snprintf(memdev, sizeof(memdev), "/objects/%s", status->id);
	json_object_set_new(object, "id", json_string(status->id));
	add_number(object, "memaddr", status->gpa);
	add_number(object, "requested-size", status->requested_bytes);
	add_number(object, "size", status->plugged_bytes);
	add_number(object, "max-size", status->region_bytes);
	add_number(object, "block-size", status->block_bytes);
	add_number(object, "node", status->node);
	json_object_set_new(object, "memdev", json_string(memdev));
	return object;
}

json_t *control_query_memory_devices(struct control_session *session, const json_t *arguments,
                                     struct control_failure *failure)
{
	struct memory_device *device = NULL;
	struct memory_device_status status;
	json_t *list = json_array();

	(void)arguments;
	(void)failure;
	while ((device = memory_device_next(session->shared->vm, device))) {
		memory_device_query(device, &status);
		json_array_append_new(list, json_pack("{s:s, s:o}", "type", "virtio-mem", "data",
		                                      describe(&status)));
	}
	return list;
}

json_t *control_memory_event(const struct memory_device_status *status)
{
	char path[sizeof(CONTROL_PERIPHERAL_PREFIX) + DEVICE_ID_MAX];

	snprintf(path, sizeof(path), CONTROL_PERIPHERAL_PREFIX "%s", status->id);
	return json_pack("{s:s, s:I, s:s}", "id", status->id, "size",
	                 (json_int_t)status->plugged_bytes, "qom-path", path);
}

/* --- as objects with properties --- */

struct memory_device *control_find_memory_device(struct vm *vm, const char *path)
{
	if (strncmp(path, CONTROL_PERIPHERAL_PREFIX, strlen(CONTROL_PERIPHERAL_PREFIX)) == 0)
		path += strlen(CONTROL_PERIPHERAL_PREFIX);
	return memory_device_find(vm, path);
}

/* NULL with failure set. */
static json_t *find_property(const struct memory_device *device, const char *path, const char *name,
                             struct control_failure *failure)
{
	struct memory_device_status status;
	json_t *object, *value;

	memory_device_query(device, &status);
	object = describe(&status);
	add_number(object, "usable-region-size", status.usable_bytes);
	value = json_incref(json_object_get(object, name));
	json_decref(object);
	if (!value)
		error_set(&failure->error, -EINVAL,
		          "%s has no property '%s' (it has requested-size, which can be set, and "
		          "id, size, max-size, block-size, usable-region-size, memaddr, node and "
		          "memdev)",
		          path, name);
	return value;
}

json_t *control_get_memory_property(struct memory_device *device, const json_t *arguments,
                                    struct control_failure *failure)
{
	return find_property(device, json_string_value(json_object_get(arguments, "path")),
	                     json_string_value(json_object_get(arguments, "property")), failure);
}

json_t *control_set_memory_property(struct memory_device *device, const json_t *arguments,
                                    struct control_failure *failure)
{
	const char *path = json_string_value(json_object_get(arguments, "path"));
	const char *property = json_string_value(json_object_get(arguments, "property"));
	const json_t *value = json_object_get(arguments, "value");
	json_t *old = find_property(device, path, property, failure);

	if (!old)
		return NULL;
	json_decref(old);
	if (strcmp(property, "requested-size") != 0) {
		error_set(&failure->error, -EPERM, "%s can only be read", property);
		return NULL;
	}
	if (!json_is_integer(value) || json_integer_value(value) < 0) {
		error_set(&failure->error, -EINVAL,
		          "requested-size: not a size (give a whole number of bytes)");
		return NULL;
	}
	if (memory_device_set_requested(device, (uint64_t)json_integer_value(value),
	                                &failure->error))
		return NULL;
	return json_object();
}

/* --- in ebb stat --- */

static json_t *describe_answers(const struct memory_device_status *status)
{
	json_t *object = json_object();

	for (size_t request = 0; request < MEMORY_DEVICE_REQUEST_COUNT; request++) {
		json_t *counts = json_object();

		for (size_t answer = 0; answer < MEMORY_DEVICE_ANSWER_COUNT; answer++)
			add_number(counts,
			           memory_device_answer_name((enum memory_device_answer)answer),
			           status->answers[request][answer]);
		json_object_set_new(object,
		                    memory_device_request_name((enum memory_device_request)request),
		                    counts);
	}
	return object;
}

static json_t *describe_all(const struct memory_device_status *status)
{
	json_t *object = json_object(), *touch = json_null();

	if (status->touches) {
		touch = json_object();
		add_number(touch, "block", status->touched_block);
		add_number(touch, "vcpu", status->touched_vcpu);
	}
	json_object_set_new(object, "id", json_string(status->id));
	add_number(object, "gpa", status->gpa);
	add_number(object, "node", status->node);
	add_number(object, "block_size", status->block_bytes);
	add_number(object, "requested_bytes", status->requested_bytes);
	add_number(object, "plugged_bytes", status->plugged_bytes);
	add_number(object, "region_bytes", status->region_bytes);
	add_number(object, "usable_bytes", status->usable_bytes);
	json_object_set_new(object, "driver_ready", json_boolean(status->driver_ready));
	add_number(object, "slots", status->slots);
	json_object_set_new(object, "answers", describe_answers(status));
	add_number(object, "touches", status->touches);
	json_object_set_new(object, "last_touch", touch);
	return object;
}

json_t *control_stat_memory_devices(struct vm *vm)
{
	struct memory_device *device = NULL;
	struct memory_device_status status;
	json_t *list = json_array();

	while ((device = memory_device_next(vm, device))) {
		memory_device_query(device, &status);
		json_array_append_new(list, describe_all(&status));
	}
	return list;
}
