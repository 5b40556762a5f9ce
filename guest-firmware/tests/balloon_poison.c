/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that poisons its free pages (VIRTIO 1.2, 5.5.6.6 and 5.5.6.7): whatever it reports, and
 * while another CPU looks at it all the time, it finds nothing but its poison.
 *
 * "kept" on the command line: the host cannot put poison back, so it must not take the pages.
 */
#include "acpi.h"
#include "balloon.h"
#include "command_line.h"
#include "memory.h"
#include "platform.h"
#include "report.h"
#include "string.h"
#include <stddef.h>

#define POISON      0xaaaaaaaau
#define OTHER       0x5a5a5a5a5a5a5a5aull
#define BLOCKS      5u
#define ROUNDS      6u
#define BLOCK_WORDS (BALLOON_BLOCK_BYTES / 8)
#define LOOKS_MIN   600u

static const uint64_t poison = POISON * 0x100000001ull;
static const uint64_t features =
	1ull << VIRTIO_BALLOON_F_REPORTING | 1ull << VIRTIO_BALLOON_F_PAGE_POISON;

static uint64_t *blocks;
static volatile unsigned int looks, wrong;
static volatile bool over, looking;

static uint64_t *block_at(unsigned int index)
{
	return blocks + (size_t)index * BLOCK_WORDS;
}

/* The other CPU: everywhere, in no order. */
static void look_around(unsigned int index)
{
	uint32_t at = 12345 + index;

	looking = true;
	while (!over) {
		at = at * 1664525u + 1013904223u;
		wrong +=
			((volatile uint64_t *)blocks)[(at >> 8) % (BLOCKS * BLOCK_WORDS)] != poison;
		looks++;
	}
	looking = false;
}

static bool start_looking(void)
{
	unsigned int i;

	for (i = 0; i < acpi_cpu_count(); i++)
		if (acpi_cpu_id(i) != cpu_hardware_id())
			return cpu_start(acpi_cpu_id(i), look_around);
	return false;
}

static bool holds(unsigned int index, uint64_t value)
{
	return memory_scan64(block_at(index), value, BLOCK_WORDS) == BLOCK_WORDS;
}

static void wait_for_looks(unsigned int more)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	unsigned int target = looks + more;

	while (looks < target && clock_ns() < end)
		cpu_relax();
}

/* Reported again and again, in runs that overlap; taken into use in between as a kernel does. */
static void test_reports(struct virtio_device *vdev)
{
	unsigned int i, first, count;

	for (i = 0; i < ROUNDS; i++) {
		first = i % BLOCKS;
		count = 1 + i % (BLOCKS - first);
		EXPECT("reports are answered",
		       balloon_report_blocks(vdev, (uintptr_t)block_at(first), count));
		wait_for_looks(LOOKS_MIN / ROUNDS);
		EXPECT("a reported block is all poison", holds(first, poison));
	}
	report_section("reports: nothing but poison");
	over = true;
	while (looking)
		cpu_relax();
	CHECK("the other CPU looked around", looks >= LOOKS_MIN);
	CHECK_EQUAL("what it saw that was no poison", wrong, 0);
}

/* What a driver must not do tells whether its page was taken: it reads as poison then. */
static void test_taken(struct virtio_device *vdev)
{
	uint64_t after = option_present("kept") ? OTHER : poison;
	unsigned int i;

	memory_fill64(block_at(0), OTHER, 2 * BLOCK_WORDS);
	CHECK("without its poison: answered", balloon_report_blocks(vdev, (uintptr_t)blocks, 2));
	CHECK("without its poison: first block", holds(0, after));
	/* A write comes first. */
	block_at(1)[7] = 1;
	CHECK("without its poison: what was written stays", block_at(1)[7] == 1);
	block_at(1)[7] = after;
	CHECK("without its poison: second block", holds(1, after));
	for (i = 0; i < BLOCKS; i++)
		EXPECT("every block", holds(i, i < 2 ? after : poison));
	report_section("every block in the end");
}

/* Inflated pages are the driver's to write before it uses them: they need no poison. */
static void test_inflated(struct virtio_device *vdev)
{
	memory_fill64(block_at(2), poison, BLOCK_WORDS);
	CHECK("inflate", balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, (uintptr_t)block_at(2),
	                                    BALLOON_REQUEST_MAX));
	CHECK("deflate", balloon_send_pages(vdev, BALLOON_QUEUE_DEFLATE, (uintptr_t)block_at(2),
	                                    BALLOON_REQUEST_MAX));
	memory_fill64(block_at(2), poison, BALLOON_REQUEST_MAX * BALLOON_PAGE_BYTES / 8);
	CHECK("deflated pages hold what is written", holds(2, poison));
	CHECK("its neighbours are poison", holds(3, poison));
}

void test_main(void)
{
	struct virtio_device vdev;
	unsigned int i;

	if (!virtio_find(VIRTIO_ID_BALLOON, 0, &vdev)) {
		report_skip("virtio-balloon", "no such device");
		return;
	}
	if (!CHECK("comes up", virtio_begin(&vdev) && virtio_negotiate(&vdev, features) &&
	                               balloon_setup_queues(&vdev, 0)))
		return;
	CHECK("poison and reporting are negotiated",
	      virtio_has_feature(&vdev, VIRTIO_BALLOON_F_PAGE_POISON) &&
	              virtio_has_feature(&vdev, VIRTIO_BALLOON_F_REPORTING));
	virtio_config_write32(&vdev, offsetof(struct virtio_balloon_config, poison_val), POISON);
	virtio_ready(&vdev);
	blocks = (uint64_t *)(uintptr_t)memory_reserve((uint64_t)BLOCKS * BALLOON_BLOCK_BYTES,
	                                               BALLOON_BLOCK_BYTES);
	for (i = 0; i < BLOCKS; i++)
		memory_fill64(block_at(i), poison, BLOCK_WORDS);
	CHECK("another CPU looks on", start_looking());
	test_reports(&vdev);
	test_taken(&vdev);
	test_inflated(&vdev);
	/* The driver goes, its pages stay what they are. */
	CHECK("report", balloon_report_blocks(&vdev, (uintptr_t)block_at(3), 2));
	CHECK("reset", virtio_reset(&vdev));
	CHECK("behind a reset: still poison", holds(3, poison) && holds(4, poison));
}
