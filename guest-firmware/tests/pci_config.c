/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration space: host bridge, BARs, decoding, absent functions, and both ways in alike.
 */
#include "mmio.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "virtio.h"

#define CLASS_HOST_BRIDGE 0x0600
#define BAR_MAX           64

struct placed_bar {
	uint64_t gpa, size_bytes;
	bool io;
};

static struct placed_bar bars[BAR_MAX];
static unsigned int bar_count;

static void test_host_bridge(void)
{
	CHECK("host bridge at 00:00.0", pci_read(0, PCI_REG_VENDOR, 2) != 0xffff);
	CHECK_EQUAL("host bridge class", pci_read(0, PCI_REG_CLASS, 2), CLASS_HOST_BRIDGE);
}

static void collect_bars(uint16_t bdf)
{
	unsigned int i;

	if (pci_read(bdf, PCI_REG_HEADER_TYPE, 1) & 0x7f)
		return;
	for (i = 0; i < 6; i++) {
		struct pci_bar bar = pci_bar(bdf, i);

		if (bar.present && bar_count < BAR_MAX) {
			EXPECT("BARs are powers of two, aligned",
			       !(bar.size_bytes & (bar.size_bytes - 1)));
			EXPECT("BARs are powers of two, aligned",
			       bar.size_bytes >= (bar.io ? 4 : 16));
			EXPECT("BARs are powers of two, aligned",
			       !(bar.gpa & (bar.size_bytes - 1)));
			EXPECT("BARs are powers of two, aligned", pci_bar(bdf, i).gpa == bar.gpa);
			bars[bar_count++] = (struct placed_bar){ bar.gpa, bar.size_bytes, bar.io };
		}
		i += bar.wide;
	}
}

static bool overlaps_ram(const struct placed_bar *bar)
{
	unsigned int i;

	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];

		if (entry->type == MEMORY_MAP_RAM && bar->gpa < entry->gpa + entry->size_bytes &&
		    entry->gpa < bar->gpa + bar->size_bytes)
			return true;
	}
	return false;
}

static void test_bars(void)
{
	unsigned int i, j;
	uint16_t bdf;

	for (bdf = 0; pci_next(&bdf); bdf++)
		collect_bars(bdf);
	report_section("BARs are powers of two, aligned, and keep their place when sized");
	for (i = 0; i < bar_count; i++) {
		EXPECT("BARs do not overlap", bars[i].io || !overlaps_ram(&bars[i]));
		for (j = 0; j < i; j++)
			EXPECT("BARs do not overlap",
			       bars[i].io != bars[j].io ||
			               bars[i].gpa + bars[i].size_bytes <= bars[j].gpa ||
			               bars[j].gpa + bars[j].size_bytes <= bars[i].gpa);
	}
	report_section("BARs do not overlap each other or RAM");
}

/* A function that does not answer, on bus 0. */
static bool find_absent(uint16_t *ret_bdf)
{
	uint16_t device;

	for (device = 31; device; device--) {
		*ret_bdf = PCI_BDF(0, device, 0);
		if (pci_read(*ret_bdf, PCI_REG_VENDOR, 2) == 0xffff)
			return true;
	}
	return false;
}

static void test_absent(void)
{
	uint16_t bdf;

	if (!find_absent(&bdf)) {
		report_skip("absent functions", "the bus is full");
		return;
	}
	CHECK_EQUAL("absent function: 4 bytes", pci_read(bdf, 0, 4), 0xffffffff);
	CHECK_EQUAL("absent function: 2 bytes", pci_read(bdf, 0x2e, 2), 0xffff);
	CHECK_EQUAL("absent function: 1 byte", pci_read(bdf, 0x3d, 1), 0xff);
	pci_write(bdf, PCI_REG_COMMAND, 2, 7);
	CHECK_EQUAL("absent function: writes do nothing", pci_read(bdf, PCI_REG_COMMAND, 2),
	            0xffff);
}

static void test_ways_agree(void)
{
	unsigned int offset;
	uint16_t bdf;

	if (!pci_ecam_gpa() || !platform_has_legacy_pci()) {
		report_skip("both ways", "ECAM or ports are not there");
		return;
	}
	for (bdf = 0; pci_next(&bdf); bdf++) {
		for (offset = 0; offset < 256; offset += 4)
			EXPECT_EQUAL("both ways agree", platform_pci_read(bdf, offset, 4),
			             pci_read(bdf, offset, 4));
		for (offset = 0; offset < 64; offset++) {
			EXPECT_EQUAL("both ways agree, bytes", platform_pci_read(bdf, offset, 1),
			             pci_read(bdf, offset, 1));
			if (!(offset & 1))
				EXPECT_EQUAL("both ways agree, words",
				             platform_pci_read(bdf, offset, 2),
				             pci_read(bdf, offset, 2));
		}
	}
	report_section("both ways agree");
}

static void test_read_only(uint16_t bdf)
{
	uint32_t ids = pci_read(bdf, 0, 4), class = pci_read(bdf, 8, 4), line;

	pci_write(bdf, 0, 4, 0);
	pci_write(bdf, 8, 4, 0);
	CHECK_EQUAL("ids are read-only", pci_read(bdf, 0, 4), ids);
	CHECK_EQUAL("class is read-only", pci_read(bdf, 8, 4), class);
	line = pci_read(bdf, PCI_REG_INTERRUPT_LINE, 1);
	pci_write(bdf, PCI_REG_INTERRUPT_LINE, 1, 0x5a);
	CHECK_EQUAL("interrupt line reads back", pci_read(bdf, PCI_REG_INTERRUPT_LINE, 1), 0x5a);
	pci_write(bdf, PCI_REG_INTERRUPT_LINE, 1, line);
	if (pci_ecam_gpa()) {
		for (line = 0x100; line < 0x1000; line += 0x7c)
			pci_read(bdf, line, 4);
		report_pass("extended space can be read");
	}
}

/* Where nothing is: behind the last memory BAR below 4 GiB. */
static uint64_t free_place(uint64_t size_bytes)
{
	uint64_t end = 0;
	unsigned int i;

	for (i = 0; i < bar_count; i++)
		if (!bars[i].io && bars[i].gpa < 0x100000000 &&
		    bars[i].gpa + bars[i].size_bytes > end)
			end = bars[i].gpa + bars[i].size_bytes;
	if (!end)
		end = 0xc0000000;
	return (end + 3 * size_bytes) & ~(size_bytes - 1);
}

static unsigned int common_bar_index(struct virtio_device *vdev)
{
	unsigned int i;

	for (i = 0; i < 6; i++) {
		struct pci_bar bar = pci_bar(vdev->bdf, i);

		if (bar.present && !bar.io && vdev->common_gpa >= bar.gpa &&
		    vdev->common_gpa < bar.gpa + bar.size_bytes)
			return i;
		i += bar.wide;
	}
	return 0;
}

static void test_move(struct virtio_device *vdev)
{
	unsigned int index = common_bar_index(vdev);
	struct pci_bar bar = pci_bar(vdev->bdf, index);
	uint64_t new_gpa = free_place(bar.size_bytes), old_common = vdev->common_gpa;
	uint64_t new_common = old_common - bar.gpa + new_gpa;

	virtio_begin(vdev);
	CHECK_EQUAL("decoding: status at the first place", mmio_read8(old_common + 20), 3);
	pci_write(vdev->bdf, PCI_REG_COMMAND, 2, 0);
	CHECK_EQUAL("decoding off: all-ones", mmio_read32(old_common + 20), 0xffffffff);
	pci_bar_move(vdev->bdf, index, new_gpa);
	CHECK_EQUAL("moved, decoding off: all-ones", mmio_read32(new_common + 20), 0xffffffff);
	pci_write(vdev->bdf, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK_EQUAL("moved: status at the new place", mmio_read8(new_common + 20), 3);
	CHECK_EQUAL("moved: all-ones at the old one", mmio_read32(old_common + 20), 0xffffffff);

	/* the whole device works there, notification included */
	CHECK("moved: found again",
	      virtio_find(VIRTIO_ID_RNG, 0, vdev) && vdev->common_gpa == new_common);
	if (CHECK("moved: comes up", virtio_start(vdev, 0, 1))) {
		static uint8_t data[16];
		struct virtq_buffer buffer = { (uintptr_t)data, sizeof(data), true };

		CHECK("moved: answers a request",
		      virtq_transfer(&vdev->queues[0], &buffer, 1, NULL));
	}
	pci_write(vdev->bdf, PCI_REG_COMMAND, 2, 0);
	pci_bar_move(vdev->bdf, index, bar.gpa);
	pci_write(vdev->bdf, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	CHECK_EQUAL("moved back: status", mmio_read8(old_common + 20) & 0xcb, 0xb);
	CHECK_EQUAL("moved back: nothing left behind", mmio_read32(new_common + 20), 0xffffffff);
	mmio_write8(old_common + 20, 0);
}

void test_main(void)
{
	struct virtio_device vdev;

	test_host_bridge();
	test_bars();
	test_absent();
	test_ways_agree();
	if (!virtio_find(VIRTIO_ID_RNG, 0, &vdev) || vdev.transport != &virtio_pci_transport) {
		report_skip("BAR moves", "no virtio-rng on PCI");
		return;
	}
	test_read_only(vdev.bdf);
	test_move(&vdev);
}
