/* SPDX-License-Identifier: Apache-2.0 */
/* debug-exit: a write of V to port 0xf4 ends ebb with the status (V << 1) | 1. */
#include <errno.h>
#include <stdlib.h>

#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/vm.h"

#include "device_table.h"

#define DEBUG_EXIT_PORT  0xf4
#define DEBUG_EXIT_BYTES 4

struct debug_exit {
	struct device device;
	bool on_bus;
};

static void debug_exit_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	memset(data, 0, size_bytes);
}

static void debug_exit_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct debug_exit *debug_exit = ctx;

	(void)offset;
	vm_request_end(debug_exit->device.vm, VM_END_DEBUG_EXIT,
	               (uint32_t)load_le(data, size_bytes));
}

static const struct bus_ops debug_exit_ops = {
	.read = debug_exit_read,
	.write = debug_exit_write,
};

static void debug_exit_destroy(struct device *device)
{
	struct debug_exit *debug_exit;

	if (!device)
		return;
	debug_exit = container_of(device, struct debug_exit, device);
	if (debug_exit->on_bus)
		bus_remove(device->vm->pio, DEBUG_EXIT_PORT);
	free(debug_exit);
}

static int debug_exit_create(struct vm *vm, const struct device_config *config,
                             struct device **ret_device, struct error *err)
{
	struct debug_exit *debug_exit = calloc(1, sizeof(*debug_exit));
	int rc;

	if (!debug_exit)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&debug_exit->device, vm, config);
	rc = bus_add(vm->pio, DEBUG_EXIT_PORT, DEBUG_EXIT_BYTES, &debug_exit_ops, debug_exit,
	             debug_exit->device.id);
	if (rc < 0) {
		debug_exit_destroy(&debug_exit->device);
		return error_set_errno(err, rc, "port 0x%x", DEBUG_EXIT_PORT);
	}
	debug_exit->on_bus = true;
	device_add_resource(&debug_exit->device, DEVICE_RESOURCE_PIO, DEBUG_EXIT_PORT,
	                    DEBUG_EXIT_BYTES);
	*ret_device = &debug_exit->device;
	return 0;
}

const struct device_class debug_exit_class = {
	.name = "debug-exit",
	.help = "port 0xf4: the guest ends ebb with a status of its own",
	.create = debug_exit_create,
	.destroy = debug_exit_destroy,
};
