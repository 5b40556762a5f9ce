/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvpanic: the guest's kernel says at port 0x505 that it panicked (QEMU, docs/specs/pvpanic).
 *
 * Of the events only "panicked" is offered: a guest that has a crash kernel loaded then says
 * nothing and dumps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bus.h"
#include "ebb/vm.h"

#include "device_table.h"

#define PVPANIC_PORT     0x505
#define PVPANIC_PANICKED 0x01

struct pvpanic {
	struct device device;
	bool on_bus;
};

static void pvpanic_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	memset(data, PVPANIC_PANICKED, size_bytes);
}

static void pvpanic_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct pvpanic *pvpanic = ctx;

	(void)offset;
	(void)size_bytes;
	if (!(*(const uint8_t *)data & PVPANIC_PANICKED))
		return;
	vm_note_panic(pvpanic->device.vm);
	vm_request_end(pvpanic->device.vm, VM_END_PANIC, 0);
}

static const struct bus_ops pvpanic_ops = { .read = pvpanic_read, .write = pvpanic_write };

static void pvpanic_destroy(struct device *device)
{
	struct pvpanic *pvpanic;

	if (!device)
		return;
	pvpanic = container_of(device, struct pvpanic, device);
	if (pvpanic->on_bus)
		bus_remove(device->vm->pio, PVPANIC_PORT);
	free(pvpanic);
}

static int pvpanic_create(struct vm *vm, const struct device_config *config,
                          struct device **ret_device, struct error *err)
{
	struct pvpanic *pvpanic = calloc(1, sizeof(*pvpanic));
	int rc;

	if (!pvpanic)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&pvpanic->device, vm, config);
	rc = bus_add(vm->pio, PVPANIC_PORT, 1, &pvpanic_ops, pvpanic, pvpanic->device.id);
	if (rc < 0) {
		pvpanic_destroy(&pvpanic->device);
		return error_set_errno(err, rc, "port 0x%x", PVPANIC_PORT);
	}
	pvpanic->on_bus = true;
	device_add_resource(&pvpanic->device, DEVICE_RESOURCE_PIO, PVPANIC_PORT, 1);
	*ret_device = &pvpanic->device;
	return 0;
}

const struct device_class pvpanic_class = {
	.name = "pvpanic",
	.help = "port 0x505: the guest's kernel says that it panicked",
	.create = pvpanic_create,
	.destroy = pvpanic_destroy,
};
