/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration space as a guest reaches it. */
#include "pci_guest.h"

#include <string.h>

#include "ebb/bytes.h"

uint64_t cfg_read(struct virtio_machine *machine, unsigned int slot, unsigned int offset,
                  unsigned int size_bytes)
{
	return machine_read(machine, MACHINE_ECAM_GPA + (slot << 15) + offset, size_bytes);
}

void cfg_write(struct virtio_machine *machine, unsigned int slot, unsigned int offset,
               uint64_t value, unsigned int size_bytes)
{
	machine_write(machine, MACHINE_ECAM_GPA + (slot << 15) + offset, value, size_bytes);
}

uint32_t port_read(struct virtio_machine *machine, uint16_t port, unsigned int size_bytes)
{
	uint8_t data[4] = { 0x5a, 0x5a, 0x5a, 0x5a };

	bus_read(machine->vm.pio, port, data, size_bytes);
	return (uint32_t)load_le(data, size_bytes);
}

void port_write(struct virtio_machine *machine, uint16_t port, uint32_t value,
                unsigned int size_bytes)
{
	uint8_t data[4];

	store_le(data, value, size_bytes);
	bus_write(machine->vm.pio, port, data, size_bytes);
}

static uint16_t latch(struct virtio_machine *machine, unsigned int slot, unsigned int offset)
{
	port_write(machine, 0xcf8, 0x80000000 | slot << 11 | (offset & 0xfc), 4);
	return (uint16_t)(0xcfc + (offset & 3));
}

uint32_t port_cfg_read(struct virtio_machine *machine, unsigned int slot, unsigned int offset,
                       unsigned int size_bytes)
{
	return port_read(machine, latch(machine, slot, offset), size_bytes);
}

void port_cfg_write(struct virtio_machine *machine, unsigned int slot, unsigned int offset,
                    uint32_t value, unsigned int size_bytes)
{
	port_write(machine, latch(machine, slot, offset), value, size_bytes);
}

unsigned int cfg_find_capability(struct virtio_machine *machine, unsigned int slot, uint8_t type,
                                 unsigned int index)
{
	unsigned int offset = (unsigned int)cfg_read(machine, slot, PCI_CAPABILITY_LIST, 1);

	for (unsigned int left = 48; offset && left; left--) {
		if (cfg_read(machine, slot, offset, 1) == type && !index--)
			return offset;
		offset = (unsigned int)cfg_read(machine, slot, offset + PCI_CAP_LIST_NEXT, 1);
	}
	return 0;
}

gpa_t cfg_bar(struct virtio_machine *machine, unsigned int slot, unsigned int bar)
{
	return cfg_read(machine, slot, PCI_BASE_ADDRESS_0 + 4 * bar, 4) & ~UINT64_C(0xf);
}
