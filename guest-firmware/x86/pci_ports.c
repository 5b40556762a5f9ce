/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration space by ports 0xcf8 and 0xcfc. */
#include "io.h"
#include "platform.h"

#define PCI_CONFIG_SELECT 0xcf8
#define PCI_CONFIG_DATA   0xcfc

static uint16_t select(uint16_t bdf, unsigned int offset)
{
	out32(PCI_CONFIG_SELECT, 0x80000000 | (uint32_t)bdf << 8 | (offset & 0xfc));
	return (uint16_t)(PCI_CONFIG_DATA + (offset & 3));
}

bool platform_has_legacy_pci(void)
{
	return true;
}

uint32_t platform_pci_read(uint16_t bdf, unsigned int offset, unsigned int size_bytes)
{
	uint16_t port;

	if (offset > 0xff)
		return 0xffffffff;
	port = select(bdf, offset);
	return size_bytes == 1 ? in8(port) : size_bytes == 2 ? in16(port) : in32(port);
}

void platform_pci_write(uint16_t bdf, unsigned int offset, unsigned int size_bytes, uint32_t value)
{
	uint16_t port;

	if (offset > 0xff)
		return;
	port = select(bdf, offset);
	if (size_bytes == 1)
		out8(port, (uint8_t)value);
	else if (size_bytes == 2)
		out16(port, (uint16_t)value);
	else
		out32(port, value);
}
