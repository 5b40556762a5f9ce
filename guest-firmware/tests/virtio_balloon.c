/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-balloon (VIRTIO 1.2, section 5.5): inflate, deflate, statistics, free page reporting,
 * poison.
 *
 * Words on the command line: target-mib=N, what the target is expected to be; stats, the device
 * polls statistics.
 */
#include "balloon.h"
#include "command_line.h"
#include "memory.h"
#include "platform.h"
#include "report.h"
#include "string.h"
#include <stddef.h>

#define PATTERN      0x1234567890abcdefull
#define POISON       0xaaaaaaaau
#define WORDS_A_PAGE (PAGE_SIZE / 8)

static const uint64_t wanted_features =
	FEATURE(VIRTIO_BALLOON_F_STATS_VQ) | FEATURE(VIRTIO_BALLOON_F_REPORTING);

static uint64_t *page_at(uint64_t gpa, unsigned int index)
{
	return (uint64_t *)(uintptr_t)(gpa + (uint64_t)index * PAGE_SIZE);
}

static void mark(uint64_t gpa, unsigned int pages)
{
	unsigned int i;

	for (i = 0; i < pages; i++)
		*page_at(gpa, i) = PATTERN + i;
}

/* How many pages still hold what mark() left, and how many read zero; anything else is neither. */
static void look(uint64_t gpa, unsigned int pages, unsigned int *ret_kept, unsigned int *ret_zero)
{
	unsigned int i;

	*ret_kept = *ret_zero = 0;
	for (i = 0; i < pages; i++) {
		*ret_kept += *page_at(gpa, i) == PATTERN + i;
		*ret_zero += *page_at(gpa, i) == 0;
	}
}

static bool start(struct virtio_device *vdev, uint64_t features)
{
	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, features) ||
	    !balloon_setup_queues(vdev, 0))
		return false;
	virtio_ready(vdev);
	return true;
}

static void test_inflate(struct virtio_device *vdev)
{
	unsigned int pages = 512, kept, zero;
	uint64_t gpa = memory_reserve((pages + 2) * PAGE_SIZE, PAGE_SIZE) + PAGE_SIZE;

	mark(gpa - PAGE_SIZE, 1);
	mark(gpa, pages);
	mark(gpa + pages * PAGE_SIZE, 1);
	CHECK("inflate: first 256 pages",
	      balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, gpa, 256));
	CHECK("inflate: next 256 pages",
	      balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, gpa + 256 * PAGE_SIZE, 256));
	balloon_set_actual(vdev, pages);
	CHECK_EQUAL("inflate: actual reads back",
	            virtio_config_read32(vdev, offsetof(struct virtio_balloon_config, actual)),
	            pages);
	CHECK("inflate: page in front intact", *page_at(gpa - PAGE_SIZE, 0) == PATTERN);
	CHECK("inflate: page behind intact", *page_at(gpa, pages) == PATTERN);

	CHECK("deflate: first 256 pages",
	      balloon_send_pages(vdev, BALLOON_QUEUE_DEFLATE, gpa, 256));
	CHECK("deflate: next 256 pages",
	      balloon_send_pages(vdev, BALLOON_QUEUE_DEFLATE, gpa + 256 * PAGE_SIZE, 256));
	balloon_set_actual(vdev, 0);
	look(gpa, pages, &kept, &zero);
	CHECK_EQUAL("deflate: each page is as it was, or empty", kept + zero, pages);
	mark(gpa, pages);
	look(gpa, pages, &kept, &zero);
	CHECK_EQUAL("deflate: pages can be used again", kept, pages);
}

static void test_inflate_single(struct virtio_device *vdev)
{
	uint64_t gpa = memory_reserve(3 * PAGE_SIZE, PAGE_SIZE);
	unsigned int kept, zero, i;

	mark(gpa, 3);
	for (i = 0; i < 20; i++) {
		EXPECT("one page, 20 rounds",
		       balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, gpa + PAGE_SIZE, 1));
		EXPECT("one page, 20 rounds",
		       balloon_send_pages(vdev, BALLOON_QUEUE_DEFLATE, gpa + PAGE_SIZE, 1));
	}
	report_section("one page, 20 rounds");
	look(gpa, 3, &kept, &zero);
	CHECK("one page: neighbours intact",
	      *page_at(gpa, 0) == PATTERN && *page_at(gpa, 2) == PATTERN + 2);
	CHECK_EQUAL("one page: as it was, or empty", kept + zero, 3);
}

/* Addresses outside RAM must neither hurt nor stop the device. */
static void test_inflate_outside(struct virtio_device *vdev)
{
	static const uint64_t outside_gpas[] = { 0xfee00000, 0xfffff000,
		                                 0xfffffffffffull & ~0xfffull };
	uint64_t gpa = memory_reserve(PAGE_SIZE, PAGE_SIZE);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(outside_gpas); i++)
		balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, outside_gpas[i], 1);
	if (vdev->transport->read_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET)
		EXPECT("pages outside RAM: comes up again", start(vdev, wanted_features));
	EXPECT("pages outside RAM: works afterwards",
	       balloon_send_pages(vdev, BALLOON_QUEUE_INFLATE, gpa, 1));
	EXPECT("pages outside RAM: works afterwards",
	       balloon_send_pages(vdev, BALLOON_QUEUE_DEFLATE, gpa, 1));
	report_section("pages outside RAM");
}

static void test_reporting(struct virtio_device *vdev)
{
	unsigned int blocks = BALLOON_REPORT_MAX, pages, kept, zero;
	uint64_t gpa;

	if (!balloon_reporting_queue(vdev)) {
		report_skip("reporting", "not offered");
		return;
	}
	if (memory_left_bytes() < (uint64_t)(blocks + 8) * BALLOON_BLOCK_BYTES)
		blocks = (unsigned int)(memory_left_bytes() / BALLOON_BLOCK_BYTES) - 8;
	pages = blocks * (BALLOON_BLOCK_BYTES / PAGE_SIZE);
	CHECK("reporting: queue holds 32 blocks",
	      vdev->queues[balloon_reporting_queue(vdev)].size >= BALLOON_REPORT_MAX);
	gpa = memory_reserve((uint64_t)(blocks + 2) * BALLOON_BLOCK_BYTES, BALLOON_BLOCK_BYTES) +
	      BALLOON_BLOCK_BYTES;
	mark(gpa - PAGE_SIZE, 1);
	mark(gpa, pages);
	mark(gpa + (uint64_t)pages * PAGE_SIZE, 1);
	CHECK("reporting: answered", balloon_report_blocks(vdev, gpa, blocks));
	look(gpa, pages, &kept, &zero);
	CHECK_EQUAL("reporting: every page is empty once answered", zero, pages);
	CHECK("reporting: page in front intact", *page_at(gpa - PAGE_SIZE, 0) == PATTERN);
	CHECK("reporting: page behind intact", *page_at(gpa, pages) == PATTERN);
	mark(gpa, pages / 8);
	look(gpa, pages / 8, &kept, &zero);
	CHECK_EQUAL("reporting: refault works", kept, pages / 8);
	CHECK("reporting: one block, again", balloon_report_blocks(vdev, gpa, 1));
	look(gpa, 512, &kept, &zero);
	CHECK_EQUAL("reporting: one block is empty", zero, 512);
}

static void fill_stats(struct virtio_balloon_stat *stats, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		stats[i].tag = (uint16_t)i;
		stats[i].val = 1000 + i;
	}
}

/* The device keeps the buffer until it wants newer figures. */
static void test_stats(struct virtio_device *vdev)
{
	static const unsigned int counts[] = { 16, 10, 64 };
	static struct virtio_balloon_stat stats[64];
	struct virtqueue *vq = &vdev->queues[balloon_stats_queue(vdev)];
	unsigned int i, polls = option_present("stats") ? ARRAY_SIZE(counts) : 1;
	struct virtq_buffer buffer = { (uintptr_t)stats, 0, false };

	if (!balloon_stats_queue(vdev)) {
		report_skip("statistics", "not offered");
		return;
	}
	for (i = 0; i < polls; i++) {
		fill_stats(stats, counts[i]);
		buffer.size_bytes = counts[i] * (uint32_t)sizeof(stats[0]);
		virtq_add(vq, &buffer, 1);
		virtq_publish(vq);
		if (option_present("stats"))
			EXPECT("statistics: asked for again",
			       virtq_wait_used(vq, NULL, NULL, WAIT_MAX_MS));
	}
	EXPECT_EQUAL("statistics: device content",
	             vdev->transport->read_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	report_section(polls > 1 ? "statistics of 16, 10 and 64 tags" : "statistics of 16 tags");
}

/* Reported pages may only ever change to the poison value. */
static void test_poison(struct virtio_device *vdev)
{
	unsigned int pages = BALLOON_BLOCK_BYTES / PAGE_SIZE, good = 0, i;
	uint64_t gpa;

	if (!(vdev->device_features & FEATURE(VIRTIO_BALLOON_F_PAGE_POISON)) ||
	    !balloon_reporting_queue(vdev)) {
		report_skip("poison", "not offered");
		return;
	}
	if (!CHECK("poison: comes up",
	           virtio_begin(vdev) &&
	                   virtio_negotiate(vdev, wanted_features |
	                                                  FEATURE(VIRTIO_BALLOON_F_PAGE_POISON)) &&
	                   balloon_setup_queues(vdev, 0)))
		return;
	virtio_config_write32(vdev, offsetof(struct virtio_balloon_config, poison_val), POISON);
	virtio_ready(vdev);
	gpa = memory_reserve(BALLOON_BLOCK_BYTES, BALLOON_BLOCK_BYTES);
	memory_fill64((void *)(uintptr_t)gpa, POISON * 0x100000001ull, BALLOON_BLOCK_BYTES / 8);
	CHECK("poison: report answered", balloon_report_blocks(vdev, gpa, 1));
	for (i = 0; i < pages; i++)
		good += memory_scan64(page_at(gpa, i), POISON * 0x100000001ull, WORDS_A_PAGE) ==
		        WORDS_A_PAGE;
	CHECK_EQUAL("poison: pages read back as the poison", good, pages);
}

static void test_config(struct virtio_device *vdev)
{
	uint64_t target_mib = option_u64("target-mib", 0);

	CHECK_EQUAL("config: target in pages", balloon_num_pages(vdev),
	            target_mib << (20 - VIRTIO_BALLOON_PFN_SHIFT));
	CHECK_EQUAL("config: actual is 0 after reset",
	            virtio_config_read32(vdev, offsetof(struct virtio_balloon_config, actual)), 0);
}

void test_main(void)
{
	struct virtio_device vdev;

	if (!virtio_find(VIRTIO_ID_BALLOON, 0, &vdev)) {
		report_skip("virtio-balloon", "no such device");
		return;
	}
	if (!CHECK("comes up", start(&vdev, wanted_features)))
		return;
	CHECK("feature bit 6 is not offered", !(vdev.device_features & FEATURE(6)));
	test_config(&vdev);
	test_inflate(&vdev);
	test_inflate_single(&vdev);
	test_inflate_outside(&vdev);
	test_reporting(&vdev);
	test_stats(&vdev);
	test_poison(&vdev);
	CHECK("reset", virtio_reset(&vdev));
	CHECK("works after reset", start(&vdev, wanted_features));
}
