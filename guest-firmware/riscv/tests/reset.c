/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reboot by SRST, type=1 cold or type=2 warm: the second boot finds devices and memory as after
 * power-on.
 *
 * Nothing in the machine tells the boots apart. So the first one asks for a key; the second asks
 * again, and nobody answers.
 */
#include "balloon.h"
#include "command_line.h"
#include "memory.h"
#include "platform_riscv.h"
#include "print.h"
#include "report.h"
#include <stddef.h>

#define ANSWER_MS    3000
#define MARKER       0x0ddba11c0ffee000ull
#define MARKER_BYTES (4u << 20)

static bool key_pressed(void)
{
	uint64_t end = clock_ns() + ANSWER_MS * 1000000ull;

	print("press a key\n");
	while (clock_ns() < end)
		if (platform_getc() >= ' ')
			return true;
	return false;
}

/* Leaves as much behind as a guest can: a full balloon, a device in use, a timer that is set,
 * interrupts on, marked memory. */
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
	    virtio_negotiate(&rng, 0) && (virtio_use_msix(&rng) || virtio_use_line(&rng)) &&
	    virtio_queue_setup(&rng, 0, 8)) {
		/* the wire is up, and nobody has taken it */
		static uint8_t data[16];
		struct virtq_buffer buffer = { (uintptr_t)data, sizeof(data), true };

		virtio_ready(&rng);
		CHECK("before: a request", virtq_transfer(&rng.queues[0], &buffer, 1, NULL));
	}
	timer_set(clock_ticks() + 1);
}

static void check_clean(uint64_t marker_gpa)
{
	struct virtio_device vdev;
	unsigned int i, kept = 0;
	uint64_t pending;
	uint16_t bdf;

	__asm__ volatile("csrr %0, sip" : "=r"(pending));
	CHECK_EQUAL("after: no interrupt is pending", pending, 0);
	CHECK_EQUAL("after: interrupts were off", entry_state.sstatus & SSTATUS_SIE, 0);
	for (i = 0; i < MARKER_BYTES; i += PAGE_SIZE)
		kept += *(volatile uint64_t *)(uintptr_t)(marker_gpa + i) == MARKER + i;
	CHECK_EQUAL("after: pages that kept what the first boot wrote", kept, 0);
	for (bdf = 0; pci_ecam_gpa() && pci_next(&bdf); bdf++) {
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
	uint64_t marker_gpa = memory_reserve(MARKER_BYTES, 2u << 20);

	if (!key_pressed()) {
		print("second boot\n");
		check_clean(marker_gpa);
		return;
	}
	make_a_mess(marker_gpa);
	print("asking for a reset\n");
	irq_enable();
	sbi_call(SBI_SRST, 0, option_u64("type", SBI_SRST_COLD_REBOOT), SBI_SRST_NO_REASON, 0);
	irq_disable();
	report_fail("reset", "the machine goes on");
}
