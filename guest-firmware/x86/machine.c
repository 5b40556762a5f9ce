/* SPDX-License-Identifier: Apache-2.0 */
/* What a PC says by other means than ACPI: where the RSDP is looked for, and fixed places. */
#include "acpi.h"
#include "pci.h"
#include "platform.h"
#include "print.h"

#define RSDP_SCAN_START 0xe0000
#define RSDP_SCAN_END   0x100000
#define BAR_WINDOW_GPA  0xc8000000 /* no machine we run on uses it otherwise */

#define VIRTIO_MMIO_WINDOW_GPA 0xd0000000
#define VIRTIO_MMIO_SLOT_BYTES 0x1000
#define VIRTIO_MMIO_SLOT_COUNT 32

bool platform_rsdp_area(uint64_t *ret_start, uint64_t *ret_end)
{
	*ret_start = RSDP_SCAN_START;
	*ret_end = RSDP_SCAN_END;
	return true;
}

void platform_describe(char *buf, size_t size_bytes)
{
	string_format(buf, size_bytes, "%u ACPI tables", acpi_table_count());
}

unsigned int platform_cpu_count(void)
{
	return 0;
}

uint32_t platform_cpu_id(unsigned int index)
{
	return 0;
}

uint64_t platform_ecam_gpa(void)
{
	return 0;
}

uint64_t platform_pci_window_gpa(void)
{
	return BAR_WINDOW_GPA;
}

uint32_t platform_pci_gsi(uint16_t bdf)
{
	return pci_read(bdf, PCI_REG_INTERRUPT_LINE, 1);
}

bool platform_virtio_mmio_slot(unsigned int index, uint64_t *ret_gpa, uint32_t *ret_gsi)
{
	*ret_gpa = VIRTIO_MMIO_WINDOW_GPA + index * VIRTIO_MMIO_SLOT_BYTES;
	*ret_gsi = 0;
	return index < VIRTIO_MMIO_SLOT_COUNT;
}
