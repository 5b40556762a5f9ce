/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space by ECAM and by ports, of the bridge and two functions whose BARs the guest
 * moves over each other, over the bridge's own ranges, and off again. Checked: after a reset of
 * both, every byte and every BAR is where it was.
 */
/* fakes: virtio_machine fuzz_registers pci_guest test_driver fake_kvm fake_arch */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_registers.h"
#include "pci_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define TOYS 2

struct toy {
	struct pci_function function;
	uint8_t initial[PCI_CONFIG_BYTES];
	struct pci_bar bars[PCI_BARS_MAX];
	bool told[PCI_BARS_MAX]; /* that the BAR is mapped */
};

static const struct fuzz_area areas[] = {
	{ .base = MACHINE_ECAM_GPA, .size_bytes = 0x100 },
	{ .base = MACHINE_ECAM_GPA + 0x8000, .size_bytes = 0x80 },
	{ .base = MACHINE_ECAM_GPA + 0x10000, .size_bytes = 0x80 },
	{ .base = MACHINE_ECAM_GPA, .size_bytes = 0x20000 },
	{ .base = MACHINE_MMIO32_GPA, .size_bytes = 0x10000 },
	{ .is_port = true, .base = 0xcf8, .size_bytes = 8 },
	{ .is_port = true, .base = PCI_IO_WINDOW_BASE, .size_bytes = 0x100 },
};

static void bar_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	memset(data, 0, size_bytes);
}

static void bar_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct toy *toy = ctx;

	(void)data;
	(void)size_bytes;
	pci_set_intx(&toy->function, offset & 1);
	pci_msix_trigger(&toy->function, (unsigned int)offset);
}

static const struct bus_ops bar_ops = { bar_read, bar_write };

static void bar_mapped(struct pci_function *function, unsigned int bar, gpa_t gpa, bool enabled)
{
	struct toy *toy = container_of(function, struct toy, function);

	(void)gpa;
	assert(toy->told[bar] != enabled);
	toy->told[bar] = enabled;
}

static const struct pci_function_ops toy_ops = { .bar_mapped = bar_mapped };

static void create_toy(struct virtio_machine *machine, struct toy *toy)
{
	static const struct pci_identity identity = { .vendor_id = 0x1234 };
	struct pci_function *function = &toy->function;
	int failed = pci_function_init(function, &machine->vm, &identity, &toy_ops, NULL) ||
	             pci_add_memory_bar(function, 0, 0x1000, &bar_ops, toy, NULL) ||
	             pci_add_msix(function, 1, 3, NULL) ||
	             pci_add_io_bar(function, 2, 16, &bar_ops, toy, NULL) ||
	             pci_add_memory_bar(function, 4, 32 * MIB, &bar_ops, toy, NULL);

	assert(!failed);
	(void)failed;
	memcpy(toy->initial, function->config, sizeof(toy->initial));
	memcpy(toy->bars, function->bars, sizeof(toy->bars));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct virtio_machine machine;
	static struct toy toys[TOYS];
	struct fuzz_access access;

	if (!machine.vm.pci) {
		virtio_machine_create(&machine, TRANSPORT_PCI);
		for (unsigned int i = 0; i < TOYS; i++)
			create_toy(&machine, &toys[i]);
	}
	while (fuzz_next_access(&data, &size_bytes, areas, ARRAY_SIZE(areas), &access))
		fuzz_access(&machine, areas, &access);
	for (unsigned int i = 0; i < TOYS; i++)
		pci_function_reset(&toys[i].function);
	for (unsigned int i = 0; i < TOYS; i++) {
		const struct pci_function *function = &toys[i].function;

		assert(!memcmp(function->config, toys[i].initial, sizeof(toys[i].initial)));
		for (unsigned int bar = 0; bar < PCI_BARS_MAX; bar++)
			assert(function->bars[bar].mapped == toys[i].bars[bar].mapped &&
			       function->bars[bar].gpa == toys[i].bars[bar].gpa);
	}
	return 0;
}
