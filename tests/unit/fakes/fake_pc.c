/* SPDX-License-Identifier: Apache-2.0 */
/* The VM by hand of tests of platform devices. */
#include "fake_pc.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/event_loop.h"
#include "ebb/guest_memory.h"
#include "ebb/irq.h"
#include "fake_arch.h"
#include "fake_console.h"
#include "fake_kvm.h"
#include "fake_vm.h"

#define PINS 24

static void must(int rc)
{
	assert(rc == 0);
}

void fake_pc_create(struct fake_pc *pc)
{
	struct vm *vm = &pc->vm;
	struct error err = ERROR_INIT;

	memset(pc, 0, sizeof(*pc));
	fake_kvm_reset();
	fake_arch_reset();
	fake_vm_clear();
	fake_console_clear();
	pc->config.cpu_count = 3;
	pc->config.memory.size_bytes = FAKE_PC_RAM_BYTES;
	pc->config.console = CONSOLE_SERIAL;
	vm->config = &pc->config;
	list_init(&vm->devices);
	vm->kvm = fake_kvm_open();
	vm->kvm_vm = fake_kvm_vm(vm->kvm);
	must(event_loop_create("main", &vm->main_loop, &err));
	must(guest_memory_create(&vm->memory, &err));
	must(gmem_add_region(vm->memory, 0, FAKE_PC_RAM_BYTES, NULL, &err));
	must(bus_create("pio", &vm->pio));
	must(bus_create("mmio", &vm->mmio));
	must(irq_router_create(vm, PINS, &vm->irq, &err));
}

void fake_pc_destroy(struct fake_pc *pc)
{
	struct vm *vm = &pc->vm;

	device_destroy_all(vm);
	event_loop_destroy(vm->main_loop);
	irq_router_destroy(vm->irq);
	bus_destroy(vm->mmio);
	bus_destroy(vm->pio);
	guest_memory_destroy(vm->memory);
	kvm_vm_destroy(vm->kvm_vm);
	kvm_close(vm->kvm);
	assert(fake_kvm_open_objects() == 0);
}

struct device *fake_pc_add(struct fake_pc *pc, const char *class_name)
{
	struct device_config config;
	struct error err = ERROR_INIT;

	device_config_init(&config, class_name);
	must(device_create(&pc->vm, &config, &err));
	return container_of(pc->vm.devices.prev, struct device, node);
}

static void no_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	memset(data, 0, size_bytes);
}

static void no_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	(void)data;
	(void)size_bytes;
}

void fake_pc_add_refused(struct fake_pc *pc, const char *class_name, uint16_t occupied_port)
{
	static const struct bus_ops ops = { no_read, no_write };
	struct device_config config;
	struct error err = ERROR_INIT;

	must(bus_add(pc->vm.pio, occupied_port, 1, &ops, NULL, "in the way"));
	device_config_init(&config, class_name);
	assert(device_create(&pc->vm, &config, &err) == -EEXIST);
	assert(err.code == -EEXIST);
	assert(!strncmp(err.message, class_name, strlen(class_name)));
	assert(list_is_empty(&pc->vm.devices));
	assert(!fake_vm_has_listeners() && !fake_console.ops);
	bus_remove(pc->vm.pio, occupied_port);
}

uint32_t fake_pc_in(struct fake_pc *pc, uint16_t port, unsigned int size_bytes)
{
	uint8_t data[4];

	memset(data, 0x5a, sizeof(data));
	bus_read(pc->vm.pio, port, data, size_bytes);
	return (uint32_t)load_le(data, size_bytes);
}

void fake_pc_out(struct fake_pc *pc, uint16_t port, uint32_t value, unsigned int size_bytes)
{
	uint8_t data[4];

	store_le(data, value, size_bytes);
	bus_write(pc->vm.pio, port, data, size_bytes);
}
