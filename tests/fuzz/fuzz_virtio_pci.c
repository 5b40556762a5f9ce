/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything a guest can reach of virtio over PCI: the structures in its BAR, the MSI-X table, its
 * configuration space with the window in it, and guest memory under the rings. Behind each input
 * the VM is reset, and the device must then be where it was and come up for a proper driver.
 */
/* fakes: virtio_machine fuzz_registers pci_guest test_driver fake_kvm fake_arch */
#include <assert.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "fuzz_registers.h"
#include "pci_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define SLOT 1

/* BARs in the order of creation: registers, then MSI-X. */
#define REGISTERS_GPA MACHINE_MMIO32_GPA
#define MSIX_GPA      (REGISTERS_GPA + 0x4000)

enum {
	AREA_COMMON,
	AREA_ISR,
	AREA_DEVICE,
	AREA_NOTIFY,
	AREA_MSIX,
	AREA_CONFIG,
	AREA_RINGS,
	AREA_COUNT
};

static const struct fuzz_area areas[AREA_COUNT] = {
	[AREA_COMMON] = { .base = REGISTERS_GPA, .size_bytes = 0x40 },
	[AREA_ISR] = { .base = REGISTERS_GPA + 0x1000, .size_bytes = 8 },
	[AREA_DEVICE] = { .base = REGISTERS_GPA + 0x2000, .size_bytes = 0x20 },
	[AREA_NOTIFY] = { .base = REGISTERS_GPA + 0x3000, .size_bytes = 0x20 },
	[AREA_MSIX] = { .base = MSIX_GPA, .size_bytes = 0x1000 },
	[AREA_CONFIG] = { .base = MACHINE_ECAM_GPA + (SLOT << 15), .size_bytes = 0x100 },
	[AREA_RINGS] = { .base = 0, .size_bytes = 0x1000 },
};

static void set(struct virtio_machine *machine, unsigned int offset, uint64_t value,
                unsigned int size_bytes)
{
	machine_write(machine, REGISTERS_GPA + offset, value, size_bytes);
}

static void check_that_it_comes_up(struct virtio_machine *machine)
{
	uint64_t status;

	assert(cfg_bar(machine, SLOT, 0) == REGISTERS_GPA);
	(void)!gmem_write(machine->vm.memory, 0x1000, "\0\0\0", 4);
	set(machine, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	set(machine, VIRTIO_PCI_COMMON_GF, 1, 4);
	set(machine, VIRTIO_PCI_COMMON_STATUS, 0xb, 1);
	set(machine, VIRTIO_PCI_COMMON_Q_AVAILLO, 0x1000, 4);
	set(machine, VIRTIO_PCI_COMMON_Q_USEDLO, 0x2000, 4);
	set(machine, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	set(machine, VIRTIO_PCI_COMMON_STATUS, 0xf, 1);
	status = machine_read(machine, REGISTERS_GPA + VIRTIO_PCI_COMMON_STATUS, 1);
	assert(status == 0xf);
	(void)status;
	set(machine, VIRTIO_PCI_COMMON_STATUS, 0, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct virtio_machine machine;
	static struct probe *probe;
	int ret;

	if (!probe) {
		virtio_machine_create(&machine, TRANSPORT_PCI);
		probe = probe_create(&machine, &ret, NULL);
		assert(probe);
	}
	fuzz_transport(&machine, probe, areas, AREA_COUNT, data, size_bytes);
	check_that_it_comes_up(&machine);
	return 0;
}
