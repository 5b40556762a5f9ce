/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free page hinting (VIRTIO 1.2, 5.5.6.5): what was written since, by a CPU or by a device, before
 * or behind the hint, while another CPU writes all the time, is there afterwards to the byte.
 *
 * The host is to start rounds once the console says so, as often as it does. "writes-are-seen" on
 * the command line: it can tell pages that were not written, and takes them.
 */
#include "acpi.h"
#include "balloon.h"
#include "command_line.h"
#include "memory.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "string.h"
#include <stddef.h>

#define PATTERN     0x1122334455667788ull
#define LATER       0x99aabbccddeeff00ull
#define BLOCK_WORDS (BALLOON_BLOCK_BYTES / 8)
#define PAGE_WORDS  (BALLOON_PAGE_BYTES / 8)
#define PAGES       (BALLOON_BLOCK_BYTES / BALLOON_PAGE_BYTES)

enum {                 /* blocks, by what becomes of them in a round */
       WRITTEN_BEFORE, /* behind the command id, before the hint */
       CLEARED,        /* likewise, with zeroes */
       WRITTEN_AFTER,  /* one page, behind the hint */
       UNTOUCHED,
       WRITTEN_ALWAYS, /* by another CPU */
       FILLED,         /* one page, by a device */
       UNTOUCHED_TOO,
       BLOCKS
};

static uint64_t *blocks;
static volatile bool writing, over;
static volatile unsigned int lost, rounds_written;

static uint64_t *page_at(unsigned int block, unsigned int page)
{
	return blocks + (size_t)block * BLOCK_WORDS + (size_t)page * PAGE_WORDS;
}

static bool block_holds(unsigned int block, uint64_t value)
{
	return memory_scan64(page_at(block, 0), value, BLOCK_WORDS) == BLOCK_WORDS;
}

/* The other CPU counts in every page of a block, and finds what it left there. */
static void write_always(unsigned int index)
{
	volatile uint64_t *word;
	uint64_t round;
	unsigned int i;

	(void)index;
	for (i = 0; i < PAGES; i++)
		*page_at(WRITTEN_ALWAYS, i) = 0;
	writing = true;
	for (round = 1; !over; round++) {
		for (i = 0; i < PAGES; i++) {
			word = page_at(WRITTEN_ALWAYS, i);
			lost += *word != round - 1;
			*word = round;
		}
		rounds_written++;
	}
	writing = false;
}

static bool start_writing(void)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	unsigned int i;

	for (i = 0; i < acpi_cpu_count(); i++)
		if (acpi_cpu_id(i) != cpu_hardware_id())
			break;
	if (i == acpi_cpu_count() || !cpu_start(acpi_cpu_id(i), write_always))
		return false;
	while (!writing && clock_ns() < end)
		cpu_relax();
	return writing;
}

static uint32_t command_id(struct virtio_device *vdev)
{
	return virtio_config_read32(vdev,
	                            offsetof(struct virtio_balloon_config, free_page_hint_cmd_id));
}

/* Another one than before; that one again after WAIT_MAX_MS. */
static uint32_t wait_for_command(struct virtio_device *vdev, uint32_t before)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;

	while (command_id(vdev) == before && clock_ns() < end)
		cpu_relax();
	return command_id(vdev);
}

static bool say(struct virtio_device *vdev, uint32_t command)
{
	static uint32_t buffer_command;
	struct virtq_buffer buffer = { (uintptr_t)&buffer_command, sizeof(buffer_command), false };

	buffer_command = command;
	return virtq_transfer(&vdev->queues[balloon_hint_queue(vdev)], &buffer, 1, NULL);
}

static bool hint_blocks(struct virtio_device *vdev)
{
	unsigned int i;

	for (i = 0; i < BLOCKS; i++) {
		struct virtq_buffer buffer = { (uintptr_t)page_at(i, 0), BALLOON_BLOCK_BYTES,
			                       true };

		if (!virtq_transfer(&vdev->queues[balloon_hint_queue(vdev)], &buffer, 1, NULL))
			return false;
	}
	return true;
}

/* A device's write is the only one that the page has seen. */
static bool fill(struct virtio_device *rng, uint8_t *ret_copy)
{
	struct virtq_buffer buffer = { (uintptr_t)page_at(FILLED, 100), BALLOON_PAGE_BYTES, true };
	uint32_t got = 0;

	if (!virtq_transfer(&rng->queues[0], &buffer, 1, &got))
		return false;
	memcpy(ret_copy, page_at(FILLED, 100), BALLOON_PAGE_BYTES);
	return got > 8;
}

static void check_untouched(unsigned int block, const char *name)
{
	if (option_present("writes-are-seen"))
		CHECK(name, block_holds(block, 0));
	else
		CHECK(name, block_holds(block, PATTERN));
}

static void check_blocks(const uint8_t *filled)
{
	CHECK("written before the hint: there", block_holds(WRITTEN_BEFORE, LATER));
	CHECK("cleared before the hint: clear", block_holds(CLEARED, 0));
	CHECK("written behind the hint: there", *page_at(WRITTEN_AFTER, 7) == LATER);
	*page_at(WRITTEN_AFTER, 7) = PATTERN;
	CHECK("written behind the hint: its block stays whole",
	      block_holds(WRITTEN_AFTER, PATTERN));
	CHECK("filled by a device: there",
	      !memcmp(page_at(FILLED, 100), filled, BALLOON_PAGE_BYTES));
	CHECK("filled by a device: its neighbour stays", *page_at(FILLED, 101) == PATTERN);
	check_untouched(UNTOUCHED, "untouched");
	check_untouched(UNTOUCHED_TOO, "untouched at the end");
}

static void test_round(struct virtio_device *vdev, struct virtio_device *rng)
{
	static uint8_t filled[BALLOON_PAGE_BYTES];
	uint32_t before = command_id(vdev), command;
	unsigned int i;

	for (i = 0; i < BLOCKS; i++)
		if (i != WRITTEN_ALWAYS)
			memory_fill64(page_at(i, 0), PATTERN, BLOCK_WORDS);
	print("ready for a round\n");
	command = wait_for_command(vdev, before);
	if (!CHECK("a round begins", command >= 2))
		return;
	memory_fill64(page_at(WRITTEN_BEFORE, 0), LATER, BLOCK_WORDS);
	memory_fill64(page_at(CLEARED, 0), 0, BLOCK_WORDS);
	CHECK("command id: answered", say(vdev, command));
	CHECK("hints: answered", hint_blocks(vdev));
	*page_at(WRITTEN_AFTER, 7) = LATER;
	CHECK("a device writes", fill(rng, filled));
	CHECK("stop: answered", say(vdev, VIRTIO_BALLOON_CMD_ID_STOP));
	CHECK_EQUAL("done", wait_for_command(vdev, command), VIRTIO_BALLOON_CMD_ID_DONE);
	check_blocks(filled);
}

void test_main(void)
{
	struct virtio_device vdev, rng;

	if (!virtio_find(VIRTIO_ID_BALLOON, 0, &vdev) || !virtio_find(VIRTIO_ID_RNG, 0, &rng)) {
		report_skip("free page hinting", "no such device");
		return;
	}
	if (!CHECK("comes up",
	           virtio_begin(&vdev) &&
	                   virtio_negotiate(&vdev, FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT)) &&
	                   virtio_has_feature(&vdev, VIRTIO_BALLOON_F_FREE_PAGE_HINT) &&
	                   balloon_setup_queues(&vdev, 0) && virtio_start(&rng, 0, 1)))
		return;
	virtio_ready(&vdev);
	CHECK_EQUAL("no round yet", command_id(&vdev), VIRTIO_BALLOON_CMD_ID_STOP);
	blocks = (uint64_t *)(uintptr_t)memory_reserve((uint64_t)BLOCKS * BALLOON_BLOCK_BYTES,
	                                               BALLOON_BLOCK_BYTES);
	CHECK("another CPU writes", start_writing());
	test_round(&vdev, &rng);
	over = true;
	while (writing)
		cpu_relax();
	CHECK("it wrote all the time", rounds_written > 1);
	CHECK_EQUAL("what it wrote and did not find", lost, 0);
	CHECK("reset", virtio_reset(&vdev));
}
