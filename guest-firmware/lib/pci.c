/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI configuration (PCI Local Bus 3.0, chapter 6; PCI Express Base, section 7.2.2 for ECAM). Bus 0
 * only.
 *
 * A VMM without PCI firmware may leave BARs at zero for the operating system to place. They get
 * addresses from the platform's window.
 */
#include "pci.h"
#include "acpi.h"
#include "mmio.h"
#include "platform.h"

#define BAR_IO           1
#define BAR_WIDE         4
#define BAR_PREFETCHABLE 8

static struct {
	bool searched;
	uint64_t ecam_gpa;
	uint64_t window_next_gpa;
} pci;

uint64_t pci_ecam_gpa(void)
{
	const struct acpi_mcfg *mcfg;

	if (pci.searched)
		return pci.ecam_gpa;
	pci.searched = true;
	mcfg = acpi_find("MCFG");
	if (mcfg && mcfg->header.length_bytes >= sizeof(*mcfg) + sizeof(mcfg->entries[0]))
		pci.ecam_gpa = mcfg->entries[0].gpa;
	else
		pci.ecam_gpa = platform_ecam_gpa();
	if (pci.ecam_gpa)
		platform_map(pci.ecam_gpa, 1 << 20);
	return pci.ecam_gpa;
}

uint32_t pci_read(uint16_t bdf, unsigned int offset, unsigned int size_bytes)
{
	uint64_t gpa = pci_ecam_gpa() + ((uint64_t)bdf << 12) + offset;

	if (!pci.ecam_gpa)
		return platform_pci_read(bdf, offset, size_bytes);
	return size_bytes == 1   ? mmio_read8(gpa)
	       : size_bytes == 2 ? mmio_read16(gpa)
	                         : mmio_read32(gpa);
}

void pci_write(uint16_t bdf, unsigned int offset, unsigned int size_bytes, uint32_t value)
{
	uint64_t gpa = pci_ecam_gpa() + ((uint64_t)bdf << 12) + offset;

	if (!pci.ecam_gpa)
		platform_pci_write(bdf, offset, size_bytes, value);
	else if (size_bytes == 1)
		mmio_write8(gpa, (uint8_t)value);
	else if (size_bytes == 2)
		mmio_write16(gpa, (uint16_t)value);
	else
		mmio_write32(gpa, value);
}

bool pci_next(uint16_t *bdf)
{
	for (; *bdf < 256; (*bdf)++) {
		if (pci_read(*bdf, PCI_REG_VENDOR, 2) != 0xffff)
			return true;
		if (!(*bdf & 7))
			*bdf |= 7; /* no function 0, no others */
	}
	return false;
}

bool pci_find(uint16_t vendor_id, uint16_t device_id, unsigned int index, uint16_t *ret_bdf)
{
	uint16_t bdf;

	for (bdf = 0; pci_next(&bdf); bdf++) {
		if (pci_read(bdf, PCI_REG_VENDOR, 2) != vendor_id)
			continue;
		if (device_id != 0xffff && pci_read(bdf, PCI_REG_DEVICE, 2) != device_id)
			continue;
		if (index--)
			continue;
		*ret_bdf = bdf;
		return true;
	}
	return false;
}

static uint64_t write_and_read_bar(uint16_t bdf, unsigned int index, bool wide, uint64_t value)
{
	uint64_t result;

	pci_write(bdf, PCI_REG_BAR(index), 4, (uint32_t)value);
	if (wide)
		pci_write(bdf, PCI_REG_BAR(index + 1), 4, (uint32_t)(value >> 32));
	result = pci_read(bdf, PCI_REG_BAR(index), 4);
	if (wide)
		result |= (uint64_t)pci_read(bdf, PCI_REG_BAR(index + 1), 4) << 32;
	return result;
}

struct pci_bar pci_bar(uint16_t bdf, unsigned int index)
{
	uint32_t low = pci_read(bdf, PCI_REG_BAR(index), 4);
	uint16_t command = (uint16_t)pci_read(bdf, PCI_REG_COMMAND, 2);
	struct pci_bar bar = { .io = low & BAR_IO,
		               .wide = (low & 7) == BAR_WIDE,
		               .prefetchable = (low & 9) == 8 };
	uint64_t mask = bar.io ? 3 : 15, value = low, sized;

	if (bar.wide)
		value |= (uint64_t)pci_read(bdf, PCI_REG_BAR(index + 1), 4) << 32;
	pci_write(bdf, PCI_REG_COMMAND, 2,
	          command & ~(uint32_t)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	sized = write_and_read_bar(bdf, index, bar.wide, ~0ull) & ~mask;
	if (!bar.wide && sized)
		sized |= bar.io ? 0xffffffffffff0000 : 0xffffffff00000000;
	write_and_read_bar(bdf, index, bar.wide, value);
	bar.present = sized != 0;
	bar.size_bytes = -sized;
	bar.gpa = value & ~mask;
	if (bar.present && !bar.io && !bar.gpa) {
		if (!pci.window_next_gpa)
			pci.window_next_gpa = platform_pci_window_gpa();
		bar.gpa = (pci.window_next_gpa + bar.size_bytes - 1) & sized;
		pci.window_next_gpa = bar.gpa + bar.size_bytes;
		write_and_read_bar(bdf, index, bar.wide, bar.gpa);
	}
	pci_write(bdf, PCI_REG_COMMAND, 2, command);
	if (bar.present && !bar.io)
		platform_map(bar.gpa, bar.size_bytes);
	return bar;
}

void pci_bar_move(uint16_t bdf, unsigned int index, uint64_t gpa)
{
	bool wide = (pci_read(bdf, PCI_REG_BAR(index), 4) & 7) == BAR_WIDE;

	write_and_read_bar(bdf, index, wide, gpa);
	platform_map(gpa, 1);
}

unsigned int pci_find_capability(uint16_t bdf, unsigned int id, unsigned int after)
{
	unsigned int offset, limit = 48;

	if (!(pci_read(bdf, PCI_REG_STATUS, 2) & PCI_STATUS_CAPABILITIES))
		return 0;
	offset = pci_read(bdf, after ? after + 1 : PCI_REG_CAPABILITIES, 1) & 0xfc;
	for (; offset >= 0x40 && limit; limit--) {
		if (pci_read(bdf, offset, 1) == id)
			return offset;
		offset = pci_read(bdf, offset + 1, 1) & 0xfc;
	}
	return 0;
}

bool pci_msix_find(uint16_t bdf, struct pci_msix *ret_msix)
{
	unsigned int capability = pci_find_capability(bdf, PCI_CAP_MSIX, 0);
	uint32_t table, pending;

	if (!capability)
		return false;
	table = pci_read(bdf, capability + 4, 4);
	pending = pci_read(bdf, capability + 8, 4);
	ret_msix->capability = capability;
	ret_msix->vector_count = (pci_read(bdf, capability + PCI_MSIX_CONTROL, 2) & 0x7ff) + 1;
	ret_msix->table_gpa = pci_bar(bdf, table & 7).gpa + (table & ~7u);
	ret_msix->pending_gpa = pci_bar(bdf, pending & 7).gpa + (pending & ~7u);
	return true;
}

void pci_msix_set(const struct pci_msix *msix, unsigned int entry, int cpu_vector)
{
	uint64_t row = msix->table_gpa + 16 * entry, gpa;
	uint32_t data;

	irq_message(cpu_vector, &gpa, &data);
	mmio_write32(row, (uint32_t)gpa);
	mmio_write32(row + 4, (uint32_t)(gpa >> 32));
	mmio_write32(row + 8, data);
	mmio_write32(row + 12, 0);
}

void pci_msix_mask(const struct pci_msix *msix, unsigned int entry, bool masked)
{
	mmio_write32(msix->table_gpa + 16 * entry + 12, masked);
}

bool pci_msix_pending(const struct pci_msix *msix, unsigned int entry)
{
	return mmio_read32(msix->pending_gpa + entry / 32 * 4) >> entry % 32 & 1;
}

void pci_msix_enable(uint16_t bdf, const struct pci_msix *msix, bool enabled)
{
	unsigned int offset = msix->capability + PCI_MSIX_CONTROL;
	uint32_t control =
		pci_read(bdf, offset, 2) & ~(uint32_t)(PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);

	pci_write(bdf, offset, 2, control | (enabled ? PCI_MSIX_ENABLE : 0));
}
