/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvpanic: the guest's kernel says that it panicked, at port 0x505 or, where there are no ports, in
 * BAR 0 of PCI function 1b36:0011 (QEMU, docs/specs/pvpanic).
 *
 * Of the events only "panicked" is offered: a guest that has a crash kernel loaded then says
 * nothing and dumps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bus.h"
#include "ebb/pci.h"
#include "ebb/vm.h"

#include "device_table.h"

#define PVPANIC_PORT     0x505
#define PVPANIC_PANICKED 0x01

#define PVPANIC_BAR       0
#define PVPANIC_BAR_BYTES PAGE_4K_BYTES

struct pvpanic {
	struct device device;
	struct pci_function function; /* where there are no ports */
	bool on_bus, is_function;
};

static void pvpanic_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	memset(data, offset ? 0 : PVPANIC_PANICKED, size_bytes);
}

static void pvpanic_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct pvpanic *pvpanic = ctx;

	(void)size_bytes;
	if (offset || !(*(const uint8_t *)data & PVPANIC_PANICKED))
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
	if (pvpanic->is_function)
		pci_function_fini(&pvpanic->function);
	free(pvpanic);
}

static void pvpanic_reset(struct device *device)
{
	struct pvpanic *pvpanic = container_of(device, struct pvpanic, device);

	if (pvpanic->is_function)
		pci_function_reset(&pvpanic->function);
}

static int add_port(struct pvpanic *pvpanic, struct error *err)
{
	struct vm *vm = pvpanic->device.vm;
	int rc = bus_add(vm->pio, PVPANIC_PORT, 1, &pvpanic_ops, pvpanic, pvpanic->device.id);

	if (rc < 0)
		return error_set_errno(err, rc, "port 0x%x", PVPANIC_PORT);
	pvpanic->on_bus = true;
	device_add_resource(&pvpanic->device, DEVICE_RESOURCE_PIO, PVPANIC_PORT, 1);
	return 0;
}

static int add_function(struct pvpanic *pvpanic, struct error *err)
{
	static const struct pci_identity identity = {
		.vendor_id = 0x1b36,
		.device_id = 0x0011,
		.subsystem_vendor_id = 0x1af4,
		.subsystem_id = 0x1100,
		.class_code = 0x088000, /* a system peripheral of another kind */
	};
	int rc = pci_function_init(&pvpanic->function, pvpanic->device.vm, &identity, NULL, err);

	if (rc < 0)
		return rc;
	pvpanic->is_function = true;
	return pci_add_memory_bar(&pvpanic->function, PVPANIC_BAR, PVPANIC_BAR_BYTES, &pvpanic_ops,
	                          pvpanic, err);
}

static int pvpanic_create(struct vm *vm, const struct device_config *config,
                          struct device **ret_device, struct error *err)
{
	struct pvpanic *pvpanic = calloc(1, sizeof(*pvpanic));
	int rc;

	if (!pvpanic)
		return error_set(err, -ENOMEM, "out of memory");
	device_init(&pvpanic->device, vm, config);
	pvpanic->device.reset = pvpanic_reset;
	rc = vm->pio ? add_port(pvpanic, err) : add_function(pvpanic, err);
	if (rc < 0) {
		pvpanic_destroy(&pvpanic->device);
		return rc;
	}
	*ret_device = &pvpanic->device;
	return 0;
}

const struct device_class pvpanic_class = {
	.name = "pvpanic",
	.help = "the guest's kernel says that it panicked",
	.create = pvpanic_create,
	.destroy = pvpanic_destroy,
};
