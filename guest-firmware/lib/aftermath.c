/* SPDX-License-Identifier: Apache-2.0 */
/* Before a reset, and behind it. */
#include "balloon.h"
#include "memory.h"
#include "memory_device.h"
#include "mmio.h"
#include "pci.h"
#include "report.h"
#include "virtio.h"

#include "aftermath.h"

#include <stddef.h>

#define MARKER        0x0ddba11c0ffee000ull
#define BALLOON_PAGES 256
#define MEM_BLOCKS    4

static volatile uint64_t *marker(uint64_t marker_gpa, unsigned int offset)
{
	return (volatile uint64_t *)(uintptr_t)(marker_gpa + offset);
}

static void fill_balloon(void)
{
	static struct virtio_device balloon;

	if (!virtio_find(VIRTIO_ID_BALLOON, 0, &balloon) || !virtio_begin(&balloon) ||
	    !virtio_negotiate(&balloon, FEATURE(VIRTIO_BALLOON_F_STATS_VQ)) ||
	    !balloon_setup_queues(&balloon, 0))
		return;
	virtio_ready(&balloon);
	CHECK("before: inflated",
	      balloon_send_pages(&balloon, BALLOON_QUEUE_INFLATE,
	                         memory_reserve(BALLOON_PAGES * PAGE_SIZE, PAGE_SIZE),
	                         BALLOON_PAGES));
	balloon_set_actual(&balloon, BALLOON_PAGES);
}

/* Its interrupt comes, and nobody takes it. */
static void use_rng(void)
{
	static struct virtio_device rng;
	static uint8_t data[16];
	struct virtq_buffer buffer = { (uintptr_t)data, sizeof(data), true };

	if (!virtio_find(VIRTIO_ID_RNG, 0, &rng) || !virtio_begin(&rng) ||
	    !virtio_negotiate(&rng, 0) || !(virtio_use_msix(&rng) || virtio_use_line(&rng)) ||
	    !virtio_queue_setup(&rng, 0, 8))
		return;
	virtio_ready(&rng);
	CHECK("before: a request", virtq_transfer(&rng.queues[0], &buffer, 1, NULL));
}

/* Where there is a memory device. */
static void plug_memory(void)
{
	static struct virtio_device mem;
	struct virtio_mem_config config;

	if (!mem_start(0, &mem))
		return;
	mem_config(&mem, &config);
	CHECK_EQUAL("before: plugged", mem_plug(&mem, config.addr, MEM_BLOCKS),
	            VIRTIO_MEM_RESP_ACK);
	mmio_write64(config.addr, MARKER);
	mmio_write64(config.addr + MEM_BLOCKS * config.block_size - 8, MARKER);
}

void aftermath_make(uint64_t marker_gpa)
{
	unsigned int offset;

	for (offset = 0; offset < AFTERMATH_BYTES; offset += PAGE_SIZE)
		*marker(marker_gpa, offset) = MARKER + offset;
	fill_balloon();
	use_rng();
	plug_memory();
}

static void check_msix(void)
{
	uint16_t bdf;

	for (bdf = 0; pci_next(&bdf); bdf++) {
		unsigned int msix = pci_find_capability(bdf, PCI_CAP_MSIX, 0);

		if (msix)
			EXPECT("after: MSI-X is off",
			       !(pci_read(bdf, msix + PCI_MSIX_CONTROL, 2) & PCI_MSIX_ENABLE));
	}
	report_section("after: MSI-X is off");
}

static void check_memory(void)
{
	struct virtio_mem_config config;
	struct virtio_device mem;

	if (!virtio_find(VIRTIO_ID_MEM, 0, &mem))
		return;
	CHECK_EQUAL("after: nothing is plugged", mem_plugged_bytes(&mem), 0);
	if (!CHECK("after: memory device comes up", mem_start(0, &mem)))
		return;
	mem_config(&mem, &config);
	CHECK_EQUAL("after: plugged memory is gone", mmio_read64(config.addr), MEM_UNPLUGGED);
	CHECK_EQUAL("after: plug", mem_plug(&mem, config.addr, MEM_BLOCKS), VIRTIO_MEM_RESP_ACK);
	CHECK("after: plugged memory is empty",
	      !mmio_read64(config.addr) &&
	              !mmio_read64(config.addr + MEM_BLOCKS * config.block_size - 8));
}

static void check_virtio(void)
{
	struct virtio_device vdev;
	unsigned int i;

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

void aftermath_check(uint64_t marker_gpa, bool keeps_memory)
{
	unsigned int offset, kept = 0;

	for (offset = 0; offset < AFTERMATH_BYTES; offset += PAGE_SIZE)
		kept += *marker(marker_gpa, offset) == MARKER + offset;
	if (!keeps_memory)
		CHECK_EQUAL("after: pages that kept what the first boot wrote", kept, 0);
	check_msix();
	check_virtio();
	check_memory();
}
