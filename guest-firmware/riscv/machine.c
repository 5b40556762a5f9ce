/* SPDX-License-Identifier: Apache-2.0 */
/* What the device tree says of devices: PCI's windows and wires, virtio over MMIO. */
#include "mmio.h"
#include "platform_riscv.h"
#include "print.h"
#include "string.h"

#define PCI_SPACE_MASK     0x03000000
#define PCI_SPACE_MEMORY32 0x02000000
#define PCI_INTERRUPT_PIN  0x3d

void platform_map(uint64_t gpa, uint64_t size_bytes)
{
	/* nothing is translated */
}

bool platform_rsdp_area(uint64_t *ret_start, uint64_t *ret_end)
{
	return false;
}

void platform_describe(char *buf, size_t size_bytes)
{
	string_format(buf, size_bytes, "%u bytes of device tree, %s", fdt_size_bytes(),
	              irq_controller_name());
}

static bool find_pci(struct fdt_node *ret_node)
{
	return fdt_find_compatible("pci-host-ecam-generic", 0, ret_node);
}

uint64_t platform_ecam_gpa(void)
{
	uint64_t gpa, size_bytes;
	struct fdt_node node;

	return find_pci(&node) && fdt_reg(&node, 0, &gpa, &size_bytes) ? gpa : 0;
}

/* ranges: 3 cells of PCI address, 2 of ours, 2 of size */
uint64_t platform_pci_window_gpa(void)
{
	uint32_t size_bytes, row;
	const uint8_t *ranges;
	struct fdt_node node;

	if (!find_pci(&node) || !(ranges = fdt_property(&node, "ranges", &size_bytes)))
		return 0;
	for (row = 0; (row + 1) * 28 <= size_bytes; row++)
		if ((fdt_cell(ranges, row * 7) & PCI_SPACE_MASK) == PCI_SPACE_MEMORY32)
			return fdt_number(ranges, row * 7 + 3, 2);
	return 0;
}

bool platform_has_legacy_pci(void)
{
	return false;
}

uint32_t platform_pci_read(uint16_t bdf, unsigned int offset, unsigned int size_bytes)
{
	return 0xffffffff;
}

void platform_pci_write(uint16_t bdf, unsigned int offset, unsigned int size_bytes, uint32_t value)
{
}

/* Cells of one row of interrupt-map behind its first 5: the parent's unit address and specifier. */
static bool parent_cells(uint32_t phandle, uint32_t *ret_address, uint32_t *ret_interrupt)
{
	struct fdt_node parent;

	if (!fdt_find_phandle(phandle, &parent))
		return false;
	*ret_address = fdt_u32(&parent, "#address-cells", 0);
	*ret_interrupt = fdt_u32(&parent, "#interrupt-cells", 1);
	return true;
}

uint32_t platform_pci_gsi(uint16_t bdf)
{
	uint32_t size_bytes, at = 0, address_cells, interrupt_cells, mask_bytes;
	uint32_t pin = mmio_read8(platform_ecam_gpa() + ((uint64_t)bdf << 12) + PCI_INTERRUPT_PIN);
	const uint8_t *map, *mask;
	struct fdt_node node;

	if (!pin || !find_pci(&node) ||
	    !(map = fdt_property(&node, "interrupt-map", &size_bytes)) ||
	    !(mask = fdt_property(&node, "interrupt-map-mask", &mask_bytes)) || mask_bytes < 16)
		return 0;
	while ((at + 5) * 4 <= size_bytes &&
	       parent_cells(fdt_cell(map, at + 4), &address_cells, &interrupt_cells)) {
		uint32_t device = ((uint32_t)bdf << 8) & fdt_cell(mask, 0);

		if (fdt_cell(map, at) == device &&
		    fdt_cell(map, at + 3) == (pin & fdt_cell(mask, 3)))
			return fdt_cell(map, at + 5 + address_cells);
		at += 5 + address_cells + interrupt_cells;
	}
	return 0;
}

bool platform_virtio_mmio_slot(unsigned int index, uint64_t *ret_gpa, uint32_t *ret_gsi)
{
	uint64_t size_bytes;
	struct fdt_node node;

	if (!fdt_find_compatible("virtio,mmio", index, &node) ||
	    !fdt_reg(&node, 0, ret_gpa, &size_bytes))
		return false;
	*ret_gsi = fdt_u32(&node, "interrupts", 0);
	return true;
}
