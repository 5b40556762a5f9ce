/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* A guest that does anything to the platform's devices: ports, emulated memory, typing, resets. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ebb/acpi_pm.h"
#include "ebb/bus.h"
#include "ebb/pci.h"
#include "fake_console.h"
#include "fake_pc.h"
#include "fake_vm.h"

/*
 * The input is a list of operations of 4 bytes and their data: what and how wide, where (two
 * bytes), how many data bytes follow at most. Places are folded into the ranges that are there, and
 * a byte around them.
 */
enum operation { OP_READ, OP_WRITE, OP_TYPE, OP_RESET, OP_COUNT };

static const struct {
	bool is_port;
	uint64_t base, size_bytes;
} places[] = {
	{ true, 0x3f8, 8 },
	{ true, 0x60, 1 },
	{ true, 0x64, 1 },
	{ true, 0x70, 2 },
	{ true, 0x600, ACPI_PM_BLOCK_BYTES },
	{ true, 0x510, 2 },
	{ true, 0xf4, 4 },
	{ true, 0x505, 1 },
	{ true, 0xe0, 8 },
	{ true, 0x2000, 24 },
	{ false, 0xff000000, 64 * KIB },
	{ true, PCI_IO_WINDOW_BASE, 256 },
	{ false, 0xc0000000, 4096 },
	{ false, 0xe0008000, 64 }, /* the test function's header: BARs move */
};

static const char *const classes[] = {
	"serial-16550", "i8042",   "rtc-cmos",     "acpi-pm",     "fw-cfg",
	"debug-exit",   "pvpanic", "test-devices", "pci-testdev",
};

static const struct pci_host_layout layout = {
	.ecam_gpa = 0xe0000000,
	.mmio32_gpa = 0xc0000000,
	.mmio32_bytes = 0x10000000,
	.has_io_ports = true,
	.intx_gsis = { 16, 17, 18, 19 },
};

static void access_place(struct fake_pc *pc, const uint8_t *op, const uint8_t *data, size_t count)
{
	size_t place = op[1] % ARRAY_SIZE(places);
	struct bus *bus = places[place].is_port ? pc->vm.pio : pc->vm.mmio;
	uint64_t offset = (op[2] | op[3] << 8) % (places[place].size_bytes + 1);
	unsigned int size_max = places[place].is_port ? 4 : 8;
	unsigned int size_bytes = 1 + op[0] / OP_COUNT % size_max;
	uint8_t buffer[8] = { 0 };

	memcpy(buffer, data, count < size_bytes ? count : size_bytes);
	if (op[0] % OP_COUNT == OP_READ)
		bus_read(bus, places[place].base + offset, buffer, size_bytes);
	else
		bus_write(bus, places[place].base + offset, buffer, size_bytes);
}

static void reset_devices(struct fake_pc *pc)
{
	list_for_each (node, &pc->vm.devices) {
		struct device *device = container_of(node, struct device, node);

		if (device->reset)
			device->reset(device);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct fake_pc pc;
	struct error err = ERROR_INIT;
	int rc;

	fake_pc_create(&pc);
	rc = pci_host_create(&pc.vm, &layout, &pc.vm.pci, &err);
	assert(rc == 0);
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		fake_pc_add(&pc, classes[i]);
	while (size_bytes >= 4) {
		const uint8_t *op = data;
		size_t count = size_bytes - 4 < 8 ? size_bytes - 4 : 8;

		if (op[0] % OP_COUNT == OP_READ)
			count = 0;
		if (op[0] % OP_COUNT == OP_TYPE)
			fake_console_type((const char *)data + 4, count);
		else if (op[0] % OP_COUNT == OP_RESET)
			reset_devices(&pc);
		else
			access_place(&pc, op, data + 4, count);
		data += 4 + count;
		size_bytes -= 4 + count;
		if (op[3] & 0x80)
			fake_vm_tell(VM_EVENT_POWERDOWN, 0);
	}
	device_destroy_all(&pc.vm);
	pci_host_destroy(pc.vm.pci);
	fake_pc_destroy(&pc);
	return 0;
}
