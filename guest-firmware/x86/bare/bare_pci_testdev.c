/* SPDX-License-Identifier: Apache-2.0 */
/* pci-testdev, 1b36:0005: BARs assigned and decoding before anybody touched it; its tests (QEMU,
 * docs/specs/pci-testdev). */
#include "io.h"
#include "mmio.h"
#include "pci.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "string.h"

#define HEADER_TEST   0
#define HEADER_WIDTH  1
#define HEADER_OFFSET 4
#define HEADER_DATA   8
#define HEADER_COUNT  12
#define HEADER_NAME   16
#define WRITES        10u
#define NAME_MAX      32

struct window {
	bool io;
	uint64_t base;
};

static uint32_t get(const struct window *window, unsigned int offset, unsigned int size_bytes)
{
	if (window->io)
		return size_bytes == 1 ? in8((uint16_t)(window->base + offset))
		                       : in32((uint16_t)(window->base + offset));
	return size_bytes == 1 ? mmio_read8(window->base + offset)
	                       : mmio_read32(window->base + offset);
}

static void put(const struct window *window, unsigned int offset, unsigned int size_bytes,
                uint32_t value)
{
	uint16_t port = (uint16_t)(window->base + offset);

	if (size_bytes == 1)
		window->io ? out8(port, (uint8_t)value)
			   : mmio_write8(window->base + offset, (uint8_t)value);
	else if (size_bytes == 2)
		window->io ? out16(port, (uint16_t)value)
			   : mmio_write16(window->base + offset, (uint16_t)value);
	else
		window->io ? out32(port, value) : mmio_write32(window->base + offset, value);
}

/* Returns false behind the last test. */
static bool run_test(const struct window *window, uint8_t number)
{
	char name[NAME_MAX + 16] = { 0 };
	uint32_t width, offset, data, count;
	unsigned int i;

	put(window, HEADER_TEST, 1, number);
	width = get(window, HEADER_WIDTH, 1);
	if (width != 1 && width != 2 && width != 4)
		return false;
	for (i = 0; i < NAME_MAX && (name[i] = (char)get(window, HEADER_NAME + i, 1)); i++)
		;
	offset = get(window, HEADER_OFFSET, 4);
	data = get(window, HEADER_DATA, 4);
	for (i = 0; i < WRITES; i++)
		put(window, offset, width, data);
	/* an eventfd may merge writes and report them late; ours counts each */
	count = get(window, HEADER_COUNT, 4);
	EXPECT(name, i > 0 && name[0]);
	report_equal(name, count, WRITES);
	put(window, offset, width, data ^ 0xff);
	print("  %s: after a write of another value %u\n", name, get(window, HEADER_COUNT, 4));
	return true;
}

void test_main(void)
{
	uint16_t bdf;
	unsigned int index;
	uint8_t number;

	if (!pci_find(0x1b36, 0x0005, 0, &bdf)) {
		report_skip("pci-testdev", "not there (--test-devices)");
		return;
	}
	CHECK_EQUAL("decoding is on", pci_read(bdf, PCI_REG_COMMAND, 2) & 3,
	            PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	for (index = 0; index < 2; index++) {
		uint32_t bar = pci_read(bdf, PCI_REG_BAR(index), 4);
		struct window window = { bar & 1, bar & ~(bar & 1 ? 3u : 15u) };

		if (!CHECK(index ? "BAR 1 has a place" : "BAR 0 has a place", window.base != 0))
			continue;
		for (number = 0; run_test(&window, number); number++)
			;
		CHECK(index ? "BAR 1 has tests" : "BAR 0 has tests", number >= 1);
		put(&window, HEADER_TEST, 1, 0xff);
	}
}
