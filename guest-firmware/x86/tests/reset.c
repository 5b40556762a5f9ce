/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest-requested reset by "via=1" the keyboard controller, 2 port 0xcf9, 3 ACPI's reset
 * register: the second boot finds devices and memory as after power-on. A byte of CMOS memory,
 * which survives, tells the boots apart.
 */
#include "acpi.h"
#include "balloon.h"
#include "command_line.h"
#include "io.h"
#include "memory.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include <stddef.h>

#define CMOS_INDEX      0x70
#define CMOS_DATA       0x71
#define CMOS_BOOT_COUNT 0x51
#define MARKER          0x0ddba11c0ffee000ull
#define MARKER_BYTES    (4u << 20)

#define VIA_KEYBOARD 1
#define VIA_CF9      2
#define VIA_ACPI     3

static uint8_t boot_count(void)
{
	out8(CMOS_INDEX, CMOS_BOOT_COUNT);
	return in8(CMOS_DATA);
}

static void set_boot_count(uint8_t count)
{
	out8(CMOS_INDEX, CMOS_BOOT_COUNT);
	out8(CMOS_DATA, count);
}

static void request_reset(unsigned int via)
{
	const struct acpi_fadt *fadt = acpi_find("FACP");

	if (via == VIA_KEYBOARD) {
		out8(0x64, 0xfe);
	} else if (via == VIA_CF9) {
		out8(0xcf9, 0x02);
		out8(0xcf9, 0x06);
	} else if (via == VIA_ACPI && fadt && fadt->reset_register.space == ACPI_SPACE_IO) {
		out8((uint16_t)fadt->reset_register.gpa, fadt->reset_value);
	}
	delay_us(1000000);
}

/* Leaves as much behind as a guest can: a full balloon, a device in use, interrupts on, marked
 * memory. */
static void make_a_mess(uint64_t marker_gpa)
{
	static struct virtio_device balloon, rng;
	unsigned int offset;

	for (offset = 0; offset < MARKER_BYTES; offset += PAGE_SIZE)
		*(volatile uint64_t *)(uintptr_t)(marker_gpa + offset) = MARKER + offset;
	if (virtio_find(VIRTIO_ID_BALLOON, 0, &balloon) && virtio_begin(&balloon) &&
	    virtio_negotiate(&balloon, FEATURE(VIRTIO_BALLOON_F_STATS_VQ)) &&
	    balloon_setup_queues(&balloon, 0)) {
		virtio_ready(&balloon);
		CHECK("before: inflated",
		      balloon_send_pages(&balloon, BALLOON_QUEUE_INFLATE,
		                         memory_reserve(256 * PAGE_SIZE, PAGE_SIZE), 256));
		balloon_set_actual(&balloon, 256);
	}
	if (virtio_find(VIRTIO_ID_RNG, 0, &rng) && virtio_begin(&rng) &&
	    virtio_negotiate(&rng, 0) && virtio_use_msix(&rng) && virtio_queue_setup(&rng, 0, 8))
		virtio_ready(&rng);
	irq_enable();
}

static void check_clean(uint64_t marker_gpa)
{
	struct virtio_device vdev;
	unsigned int i, kept = 0;
	uint16_t bdf;

	for (i = 0; i < MARKER_BYTES; i += PAGE_SIZE)
		kept += *(volatile uint64_t *)(uintptr_t)(marker_gpa + i) == MARKER + i;
	if (!option_present("lenient"))
		CHECK_EQUAL("after: pages that kept what the first boot wrote", kept, 0);
	for (bdf = 0; pci_next(&bdf); bdf++) {
		unsigned int msix = pci_find_capability(bdf, PCI_CAP_MSIX, 0);

		if (msix)
			EXPECT("after: MSI-X is off",
			       !(pci_read(bdf, msix + PCI_MSIX_CONTROL, 2) & PCI_MSIX_ENABLE));
	}
	report_section("after: MSI-X is off");
	for (i = 0; virtio_enumerate(i, &vdev); i++)
		EXPECT_EQUAL("after: device status is 0", vdev.transport->read_status(&vdev), 0);
	report_section("after: device status is 0");
	if (virtio_find(VIRTIO_ID_BALLOON, 0, &vdev)) {
		CHECK("after: balloon comes up", virtio_begin(&vdev) && virtio_negotiate(&vdev, 0));
		CHECK_EQUAL(
			"after: balloon is empty",
			virtio_config_read32(&vdev, offsetof(struct virtio_balloon_config, actual)),
			0);
	}
	if (virtio_find(VIRTIO_ID_RNG, 0, &vdev))
		CHECK("after: rng comes up", virtio_start(&vdev, 0, 1));
}

void test_main(void)
{
	unsigned int via = (unsigned int)option_u64("via", VIA_KEYBOARD);
	uint64_t marker_gpa = memory_reserve(MARKER_BYTES, 2u << 20);
	uint8_t boots = boot_count();

	if (boots == 0x5a) {
		set_boot_count(0);
		print("second boot\n");
		check_clean(marker_gpa);
		return;
	}
	set_boot_count(0x5a);
	if (!CHECK("CMOS memory holds the mark", boot_count() == 0x5a))
		return;
	make_a_mess(marker_gpa);
	print("asking for a reset\n");
	request_reset(via);
	report_fail("reset", "the machine goes on");
}
