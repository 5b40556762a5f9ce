/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk (VIRTIO 1.2, section 5.2): what is written is read, in pieces of any shape, by every
 * queue, many at a time; flushes, discards, zeroes; what cannot be is refused.
 *
 * index=N: which disk, of several. sectors=N: its size; it holds zeroes at first. queues=N: so many
 * are offered.
 * readonly: nothing can be written. fill: in the end all of the disk but its first MiB is written,
 * and discarded, for the host to look at.
 */
#include <stddef.h>

#include "blk.h"
#include "command_line.h"
#include "memory.h"
#include "platform.h"
#include "report.h"
#include "string.h"

#define IN     VIRTIO_BLK_T_IN
#define OUT    VIRTIO_BLK_T_OUT
#define OK     VIRTIO_BLK_S_OK
#define IOERR  VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP

#define ALL \
	(BLK_F(SIZE_MAX) | BLK_F(SEG_MAX) | BLK_F(BLK_SIZE) | BLK_F(TOPOLOGY) | BLK_F(FLUSH) | \
	 BLK_F(CONFIG_WCE) | BLK_F(MQ) | BLK_F(DISCARD) | BLK_F(WRITE_ZEROES) | BLK_F(RO))

#define PATTERN(n) (0x0123456789abcdefull * (2 * (uint64_t)(n) + 1))
#define PIECE      4096u

static struct blk blk;

static uint8_t *data(unsigned int n)
{
	return blk.requests[n].data;
}

static void fill(unsigned int n, uint64_t pattern, uint32_t size_bytes)
{
	memory_fill64(data(n), pattern, size_bytes / 8);
}

static bool holds(unsigned int n, uint64_t pattern, uint32_t size_bytes)
{
	return memory_scan64(data(n), pattern, size_bytes / 8) == size_bytes / 8;
}

static uint8_t write_piece(uint64_t sector, uint64_t pattern, uint32_t size_bytes)
{
	fill(0, pattern, size_bytes);
	return blk_ask(&blk, OUT, sector, size_bytes);
}

static bool reads(uint64_t sector, uint64_t pattern, uint32_t size_bytes)
{
	fill(0, ~pattern, size_bytes);
	return blk_ask(&blk, IN, sector, size_bytes) == OK && holds(0, pattern, size_bytes);
}

/* --- what is offered --- */

static uint32_t config32(size_t offset)
{
	return virtio_config_read32(&blk.vdev, (unsigned int)offset);
}

static void test_config(void)
{
	const uint64_t sectors = option_u64("sectors", 0);

	CHECK_EQUAL("capacity", blk.sectors, sectors ? sectors : blk.sectors);
	CHECK("seg_max", config32(offsetof(struct virtio_blk_config, seg_max)) >= 126);
	CHECK("blk_size", config32(offsetof(struct virtio_blk_config, blk_size)) >= BLK_SECTOR);
	CHECK_EQUAL("queues", blk.queue_count, option_u64("queues", blk.queue_count));
	CHECK_EQUAL("read-only", virtio_has_feature(&blk.vdev, VIRTIO_BLK_F_RO),
	            option_present("readonly"));
}

static void test_id(void)
{
	char serial[] = "disk0";
	uint32_t used_bytes = 0;

	serial[4] = (char)(serial[4] + option_u64("index", 0));
	memset(data(0), 0xff, 32);
	CHECK_EQUAL("serial: answered",
	            blk_ask_queue(&blk, 0, VIRTIO_BLK_T_GET_ID, 0, 20, &used_bytes), OK);
	CHECK_EQUAL("serial: used length", used_bytes, 21);
	CHECK("serial", !strcmp((const char *)data(0), serial));
	CHECK_EQUAL("serial: nothing behind it", data(0)[20], 0xff);
}

/* --- data --- */

static void test_sizes(void)
{
	static const uint32_t sizes[] = { 512, 1024, 4096, 12288, 65536 };
	uint64_t sector = 8;
	uint32_t used_bytes;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQUAL("sizes", write_piece(sector, PATTERN(i), sizes[i]), OK);
		sector += sizes[i] / BLK_SECTOR;
	}
	sector = 8;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT("sizes", reads(sector, PATTERN(i), sizes[i]));
		EXPECT_EQUAL("sizes", blk_ask_queue(&blk, 0, IN, sector, sizes[i], &used_bytes),
		             OK);
		EXPECT_EQUAL("sizes", used_bytes, sizes[i] + 1);
		sector += sizes[i] / BLK_SECTOR;
	}
	EXPECT("sizes", reads(7, 0, BLK_SECTOR));
	report_section("sizes");
}

/* A header in three parts whose last one goes on with data; data at odd addresses; a status byte
 * that ends the data's buffer. */
static void test_layout(void)
{
	struct blk_request *request = &blk.requests[1];
	const uint64_t header = (uintptr_t)data(2);
	const struct virtq_buffer write[] = {
		{ header, 5, false },
		{ header + 5, 6, false },
		{ header + 11, 5 + 200, false },
		{ (uintptr_t)data(3) + 3, 312, false },
		{ (uintptr_t)&request->status, 1, true },
	};
	const struct virtq_buffer read[] = {
		{ header, 16, false },
		{ (uintptr_t)data(4) + 1, 511, true },
		{ (uintptr_t)data(4) + 512, 2, true },
	};
	const struct virtio_blk_outhdr out = { .type = OUT, .sector = 4 };
	uint32_t used_bytes = 0;

	memcpy(data(2), &out, sizeof(out));
	memset(data(2) + 16, 0x11, 200);
	memset(data(3), 0x22, 512);
	request->status = BLK_NO_ANSWER;
	CHECK("any layout: written",
	      virtq_transfer(&blk.vdev.queues[0], write, ARRAY_SIZE(write), &used_bytes) &&
	              request->status == OK && used_bytes == 1);
	data(2)[0] = IN;
	memset(data(4), 0xee, 520);
	CHECK("any layout: read",
	      virtq_transfer(&blk.vdev.queues[0], read, ARRAY_SIZE(read), &used_bytes) &&
	              used_bytes == 513);
	CHECK("any layout: data", data(4)[0] == 0xee && data(4)[1] == 0x11 &&
	                                  data(4)[200] == 0x11 && data(4)[201] == 0x22 &&
	                                  data(4)[512] == 0x22);
	CHECK_EQUAL("any layout: status at the end", data(4)[513], OK);
}

static void test_queues(void)
{
	uint16_t queue;

	for (queue = 0; queue < blk.queue_count; queue++) {
		fill(0, PATTERN(100 + queue), PIECE);
		EXPECT_EQUAL("every queue",
		             blk_ask_queue(&blk, queue, OUT, 512 + 8u * queue, PIECE, NULL), OK);
	}
	for (queue = 0; queue < blk.queue_count; queue++) {
		EXPECT_EQUAL("every queue",
		             blk_ask_queue(&blk, (uint16_t)(blk.queue_count - 1 - queue), IN,
		                           512 + 8u * queue, PIECE, NULL),
		             OK);
		EXPECT("every queue", holds(0, PATTERN(100 + queue), PIECE));
	}
	report_section("every queue");
}

/* So many at once that their order is the device's. */
static bool all_answered(unsigned int count)
{
	uint32_t head;
	unsigned int i;

	virtq_publish(&blk.vdev.queues[0]);
	for (i = 0; i < count; i++)
		if (!virtq_wait_used(&blk.vdev.queues[0], &head, NULL, WAIT_MAX_MS))
			return false;
	for (i = 0; i < count; i++)
		if (blk.requests[i].status != OK)
			return false;
	return true;
}

static void test_depth(void)
{
	unsigned int i;

	for (i = 0; i < BLK_REQUESTS; i++) {
		fill(i, PATTERN(200 + i), PIECE);
		EXPECT("32 at once", blk_add(&blk, 0, i, OUT, 1024 + 8 * i, PIECE));
	}
	EXPECT("32 at once", all_answered(BLK_REQUESTS));
	for (i = 0; i < BLK_REQUESTS; i++) {
		fill(i, 0, PIECE);
		EXPECT("32 at once", blk_add(&blk, 0, i, IN, 1024 + 8 * i, PIECE));
	}
	EXPECT("32 at once", all_answered(BLK_REQUESTS));
	for (i = 0; i < BLK_REQUESTS; i++)
		EXPECT("32 at once", holds(i, PATTERN(200 + i), PIECE));
	report_section("32 at once");
}

/* --- flushes, and the cache --- */

static void test_flush(void)
{
	uint8_t wce;

	CHECK_EQUAL("flush", blk_ask(&blk, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
	wce = virtio_config_read8(&blk.vdev, offsetof(struct virtio_blk_config, wce));
	CHECK_EQUAL("writeback at first", wce, 1);
	virtio_config_write32(&blk.vdev, offsetof(struct virtio_blk_config, wce), 0);
	CHECK_EQUAL("writeback off",
	            virtio_config_read8(&blk.vdev, offsetof(struct virtio_blk_config, wce)), 0);
	CHECK_EQUAL("written through", write_piece(300, PATTERN(300), BLK_SECTOR), OK);
	CHECK("written through: read", reads(300, PATTERN(300), BLK_SECTOR));
	CHECK_EQUAL("capacity stays", config32(offsetof(struct virtio_blk_config, capacity)),
	            (uint32_t)blk.sectors);
}

/* A driver that knows nothing: one queue, no flushes. */
static void test_simple_driver(void)
{
	CHECK("simple driver", blk_start(&blk, 0));
	CHECK_EQUAL("simple driver: one queue", blk.queue_count, 1);
	CHECK_EQUAL("simple driver: written", write_piece(304, PATTERN(304), BLK_SECTOR), OK);
	CHECK("simple driver: read", reads(304, PATTERN(304), BLK_SECTOR));
	CHECK_EQUAL("simple driver: discard was not negotiated",
	            blk_ask_ranges(&blk, VIRTIO_BLK_T_DISCARD, &(struct blk_range){ 0, 8, 0 }, 1),
	            UNSUPP);
	CHECK("simple driver: over", blk_start(&blk, ALL));
}

/* --- holes --- */

static void test_discard(void)
{
	const struct blk_range two[] = { { 2048, 8, 0 }, { 2064, 8, 0 } };
	const struct blk_range flagged = { 2048, 8, 1 }, behind = { blk.sectors - 1, 2, 0 };

	if (!virtio_has_feature(&blk.vdev, VIRTIO_BLK_F_DISCARD)) {
		report_skip("discard", "this disk cannot");
		return;
	}
	CHECK_EQUAL("discard: before", write_piece(2048, PATTERN(7), 3 * PIECE), OK);
	CHECK_EQUAL("discard", blk_ask_ranges(&blk, VIRTIO_BLK_T_DISCARD, two, 2), OK);
	CHECK("discard: gone", reads(2048, 0, PIECE) && reads(2064, 0, PIECE));
	CHECK("discard: the rest is there", reads(2056, PATTERN(7), PIECE));
	CHECK_EQUAL("discard: flag", blk_ask_ranges(&blk, VIRTIO_BLK_T_DISCARD, &flagged, 1),
	            UNSUPP);
	CHECK_EQUAL("discard: behind the end",
	            blk_ask_ranges(&blk, VIRTIO_BLK_T_DISCARD, &behind, 1), IOERR);
}

static void test_write_zeroes(void)
{
	unsigned int unmap;

	if (!virtio_has_feature(&blk.vdev, VIRTIO_BLK_F_WRITE_ZEROES)) {
		report_skip("write zeroes", "this disk cannot");
		return;
	}
	for (unmap = 0; unmap < 2; unmap++) {
		const struct blk_range range = { 2057, 6, unmap };

		EXPECT_EQUAL("write zeroes", write_piece(2056, PATTERN(9), PIECE), OK);
		EXPECT_EQUAL("write zeroes",
		             blk_ask_ranges(&blk, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1), OK);
		EXPECT("write zeroes", reads(2057, 0, 6 * BLK_SECTOR));
		EXPECT("write zeroes", reads(2056, PATTERN(9), BLK_SECTOR));
		EXPECT("write zeroes", reads(2063, PATTERN(9), BLK_SECTOR));
	}
	EXPECT_EQUAL("write zeroes",
	             blk_ask_ranges(&blk, VIRTIO_BLK_T_WRITE_ZEROES,
	                            &(struct blk_range){ 2056, 8, 2 }, 1),
	             UNSUPP);
	report_section("write zeroes");
}

/* --- what cannot be --- */

static void test_refused(void)
{
	const uint64_t end = blk.sectors;

	CHECK_EQUAL("last sector", blk_ask(&blk, IN, end - 1, BLK_SECTOR), OK);
	CHECK_EQUAL("behind the end", blk_ask(&blk, IN, end, BLK_SECTOR), IOERR);
	CHECK_EQUAL("across the end", blk_ask(&blk, IN, end - 1, 2 * BLK_SECTOR), IOERR);
	CHECK_EQUAL("far behind the end", blk_ask(&blk, OUT, ~0ull, BLK_SECTOR), IOERR);
	CHECK_EQUAL("a sector that wraps", blk_ask(&blk, IN, 1ull << 55, BLK_SECTOR), IOERR);
	CHECK_EQUAL("no whole sectors", blk_ask(&blk, IN, 0, 700), IOERR);
	CHECK_EQUAL("less than a sector", blk_ask(&blk, OUT, 0, 1), IOERR);
	CHECK_EQUAL("nothing to read", blk_ask(&blk, IN, 0, 0), OK);
	CHECK_EQUAL("unknown type", blk_ask(&blk, 77, 0, 0), UNSUPP);
	CHECK("no reset is needed", !blk_needs_reset(&blk));
}

static void test_readonly(void)
{
	CHECK_EQUAL("read-only: write", write_piece(0, PATTERN(1), BLK_SECTOR), IOERR);
	CHECK("read-only: read", reads(0, 0, BLK_SECTOR));
	CHECK_EQUAL("read-only: flush", blk_ask(&blk, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
	CHECK_EQUAL("read-only: discard",
	            blk_ask_ranges(&blk, VIRTIO_BLK_T_DISCARD, &(struct blk_range){ 0, 8, 0 }, 1),
	            UNSUPP);
}

/* --- ends --- */

/* After a reset nothing that was in flight reaches memory any more. */
static void test_reset(void)
{
	unsigned int i, round;

	for (round = 0; round < 4; round++) {
		for (i = 0; i < BLK_REQUESTS; i++)
			EXPECT("reset with requests in flight",
			       blk_add(&blk, 0, i, IN, 64 * i, PIECE));
		virtq_publish(&blk.vdev.queues[0]);
		EXPECT("reset with requests in flight", virtio_reset(&blk.vdev));
		for (i = 0; i < BLK_REQUESTS; i++)
			fill(i, PATTERN(i), PIECE);
		delay_us(1000);
		for (i = 0; i < BLK_REQUESTS; i++)
			EXPECT("reset with requests in flight", holds(i, PATTERN(i), PIECE));
		EXPECT("reset with requests in flight", blk_start(&blk, ALL));
	}
	report_section("reset with requests in flight");
}

static void test_interrupts(void)
{
	struct virtio_device *vdev = &blk.vdev;

	if (!virtio_begin(vdev) || !virtio_negotiate(vdev, BLK_F(FLUSH)) ||
	    !(virtio_use_msix(vdev) || virtio_use_line(vdev)) ||
	    !virtio_queue_setup(vdev, 0, BLK_RING_SIZE)) {
		report_skip("interrupt", "none for this device");
		return;
	}
	virtio_ready(vdev);
	irq_enable();
	CHECK("interrupt: added", blk_add(&blk, 0, 0, IN, 0, PIECE));
	virtq_publish(&vdev->queues[0]);
	CHECK("interrupt", wait_for_count(&vdev->queues[0].interrupts, 1));
	CHECK_EQUAL("interrupt: answered", blk.requests[0].status, OK);
}

/* The host then finds what the first MiB takes, and no more. */
static void fill_and_discard(void)
{
	const uint32_t step = BLK_DATA_BYTES / BLK_SECTOR;
	struct blk_range range = { 2048, (uint32_t)blk.sectors - 2048, 0 };
	uint64_t sector;

	CHECK("fill: start", blk_start(&blk, ALL));
	fill(0, PATTERN(1), BLK_DATA_BYTES);
	for (sector = 0; sector < blk.sectors; sector += step)
		EXPECT_EQUAL("fill", blk_ask(&blk, OUT, sector, BLK_DATA_BYTES), OK);
	report_section("fill");
	CHECK_EQUAL("fill: flush", blk_ask(&blk, VIRTIO_BLK_T_FLUSH, 0, 0), OK);
	CHECK_EQUAL("fill: discard", blk_ask_ranges(&blk, VIRTIO_BLK_T_DISCARD, &range, 1), OK);
}

void test_main(void)
{
	if (!virtio_find(VIRTIO_ID_BLOCK, (unsigned int)option_u64("index", 0), &blk.vdev)) {
		report_skip("virtio-blk", "no such device");
		return;
	}
	if (!CHECK("starts", blk_start(&blk, ALL)))
		return;
	test_config();
	test_id();
	test_refused();
	if (option_present("readonly")) {
		test_readonly();
		return;
	}
	test_sizes();
	test_layout();
	test_queues();
	test_depth();
	test_flush();
	test_simple_driver();
	test_discard();
	test_write_zeroes();
	test_reset();
	test_interrupts();
	if (option_present("fill"))
		fill_and_discard();
}
