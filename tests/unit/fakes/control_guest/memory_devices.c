/* SPDX-License-Identifier: Apache-2.0 */
/* The memory devices of a control_guest: stand in for devices/virtio/virtio_mem.c. */
#include <errno.h>
#include <string.h>

#include "control_guest.h"

static struct control_guest *guest_of(struct vm *vm)
{
	return container_of(vm, struct control_guest, vm);
}

void control_guest_add_memory(struct control_guest *guest, const char *id)
{
	struct memory_device *device = &guest->memory_devices[guest->memory_device_count];

	*device = (struct memory_device){
		.status = {
			.gpa = 4 * GIB * (1 + guest->memory_device_count),
			.node = (unsigned int)guest->memory_device_count,
			.block_bytes = 2 * MIB,
			.region_bytes = 8 * GIB,
			.driver_ready = true,
		},
	};
	strncpy(device->status.id, id, DEVICE_ID_MAX - 1);
	guest->memory_device_count++;
}

struct memory_device *memory_device_next(struct vm *vm, const struct memory_device *device)
{
	struct control_guest *guest = guest_of(vm);
	size_t index = device ? (size_t)(device - guest->memory_devices) + 1 : 0;

	return index < guest->memory_device_count ? &guest->memory_devices[index] : NULL;
}

struct memory_device *memory_device_find(struct vm *vm, const char *id)
{
	struct memory_device *device = NULL;

	while ((device = memory_device_next(vm, device))) {
		if (strcmp(device->status.id, id) == 0)
			break;
	}
	return device;
}

void memory_device_query(const struct memory_device *device,
                         struct memory_device_status *ret_status)
{
	*ret_status = device->status;
}

int memory_device_set_requested(struct memory_device *device, uint64_t requested_bytes,
                                struct error *err)
{
	if (requested_bytes % device->status.block_bytes ||
	    requested_bytes > device->status.region_bytes)
		return error_set(err, -EINVAL, "the fake memory device refuses");
	device->status.requested_bytes = requested_bytes;
	return 0;
}

const char *memory_device_answer_name(enum memory_device_answer answer)
{
	static const char *const names[] = { "ack", "nack", "busy", "error" };

	return names[answer];
}

const char *memory_device_request_name(enum memory_device_request request)
{
	static const char *const names[] = { "plug", "unplug", "unplug_all", "state", "invalid" };

	return names[request];
}
