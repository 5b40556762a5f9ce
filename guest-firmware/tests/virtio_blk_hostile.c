/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver of virtio-blk that keeps to nothing (VIRTIO 1.2, sections 2.7, 5.2): requests without
 * headers or without room for an answer, lengths of 4 GiB, data on the wrong side, rings of half
 * written chains, queues that go while they are used. The device answers or asks for a reset, what
 * lies beside the buffers stays, and after a reset it works.
 */
#include <stddef.h>

#include "blk.h"
#include "command_line.h"
#include "memory.h"
#include "platform.h"
#include "report.h"
#include "string.h"

#define IN    VIRTIO_BLK_T_IN
#define OUT   VIRTIO_BLK_T_OUT
#define OK    VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR

#define FEATURES (BLK_F(FLUSH) | BLK_F(DISCARD) | BLK_F(WRITE_ZEROES) | BLK_F(MQ))

#define OUTSIDE_GPA 0x7ffffffff000ull
#define GUARD       0x6a6a6a6a6a6a6a6aull

static struct blk blk;

static struct virtqueue *queue(void)
{
	return &blk.vdev.queues[0];
}

static uint64_t data_gpa(unsigned int n)
{
	return (uintptr_t)blk.requests[n].data;
}

/* Whatever went before. */
static void check_works(const char *name)
{
	EXPECT(name, virtio_reset(&blk.vdev));
	EXPECT(name, blk_start(&blk, FEATURES));
	memory_fill64(blk.requests[0].data, 0x5555, 64);
	EXPECT_EQUAL(name, blk_ask(&blk, OUT, 1, BLK_SECTOR), OK);
	memory_fill64(blk.requests[0].data, 0, 64);
	EXPECT_EQUAL(name, blk_ask(&blk, IN, 1, BLK_SECTOR), OK);
	EXPECT(name, memory_scan64(blk.requests[0].data, 0x5555, 64) == 64);
	report_section(name);
}

/* One chain: whether it was used; else a reset is asked for. */
static bool offer(const struct virtq_buffer *buffers, unsigned int count, uint32_t *ret_used_bytes)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;

	if (virtq_add(queue(), buffers, count) < 0)
		return false;
	virtq_publish(queue());
	while (clock_ns() < end && !blk_needs_reset(&blk)) {
		if (virtq_take_used(queue(), NULL, ret_used_bytes))
			return true;
		cpu_relax();
	}
	return false;
}

static struct virtq_buffer header_of(uint32_t type, uint64_t sector)
{
	blk.requests[0].header = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	return (struct virtq_buffer){ (uintptr_t)&blk.requests[0].header, 16, false };
}

static struct virtq_buffer status(void)
{
	blk.requests[0].status = BLK_NO_ANSWER;
	return (struct virtq_buffer){ (uintptr_t)&blk.requests[0].status, 1, true };
}

/* --- shapes --- */

static void test_no_room_for_an_answer(void)
{
	const struct virtq_buffer alone = header_of(VIRTIO_BLK_T_FLUSH, 0);
	const struct virtq_buffer write[] = { header_of(OUT, 0), { data_gpa(1), 512, false } };
	const struct virtq_buffer empty = { data_gpa(1), 0, false };
	const struct virtq_buffer no_header = status();
	uint32_t used_bytes = 99;

	EXPECT("no room for an answer", offer(&alone, 1, &used_bytes) && used_bytes == 0);
	EXPECT("no room for an answer", offer(write, 2, &used_bytes) && used_bytes == 0);
	EXPECT("no room for an answer", offer(&empty, 1, &used_bytes) && used_bytes == 0);
	EXPECT("no room for an answer", offer(&no_header, 1, &used_bytes) && used_bytes == 1);
	EXPECT_EQUAL("no room for an answer", blk.requests[0].status, IOERR);
	report_section("no room for an answer");
}

static void test_short_headers(void)
{
	uint32_t size_bytes, used_bytes;

	for (size_bytes = 0; size_bytes < 16; size_bytes++) {
		struct virtq_buffer buffers[] = { header_of(IN, 0), status() };

		buffers[0].size_bytes = size_bytes;
		EXPECT("short headers", offer(buffers, 2, &used_bytes) && used_bytes == 1);
		EXPECT_EQUAL("short headers", blk.requests[0].status, IOERR);
	}
	report_section("short headers");
}

static void test_wrong_side(void)
{
	const struct virtq_buffer read[] = {
		header_of(IN, 0), { data_gpa(1), 512, false }, { data_gpa(2), 512, true }, status()
	};
	const struct virtq_buffer write[] = {
		header_of(OUT, 0), { data_gpa(1), 512, false }, { data_gpa(2), 512, true }, status()
	};

	header_of(IN, 0);
	EXPECT("data on the wrong side", offer(read, 4, NULL) && blk.requests[0].status == IOERR);
	header_of(OUT, 0);
	status();
	EXPECT("data on the wrong side", offer(write, 4, NULL) && blk.requests[0].status == IOERR);
	report_section("data on the wrong side");
}

static void test_long_ones(void)
{
	const struct virtq_buffer whole[] = { header_of(IN, 0),
		                              { data_gpa(1), 0xffffffff, true },
		                              status() };
	const struct virtq_buffer outside[] = { header_of(OUT, 0),
		                                { OUTSIDE_GPA, 512, false },
		                                status() };
	const struct virtq_buffer ranges[] = { header_of(VIRTIO_BLK_T_DISCARD, 0),
		                               { data_gpa(1), 33 * 16, false },
		                               status() };

	EXPECT("lengths", !offer(whole, 3, NULL) && blk_needs_reset(&blk));
	check_works("lengths: 4 GiB");
	EXPECT("lengths", !offer(outside, 3, NULL) && blk_needs_reset(&blk));
	check_works("lengths: outside of memory");
	header_of(VIRTIO_BLK_T_DISCARD, 0);
	status();
	EXPECT("lengths", offer(ranges, 3, NULL) && blk.requests[0].status == IOERR);
	report_section("lengths");
}

/* --- many, of any content --- */

static uint64_t random_number(void)
{
	static uint64_t seed = 88172645463325252ull;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Headers and ranges of any bytes. */
static void test_noise(void)
{
	const uint64_t guards[] = { data_gpa(2), data_gpa(2) + 8192 };
	unsigned int i, k;

	for (i = 0; i < 2; i++)
		memory_fill64((void *)(uintptr_t)guards[i], GUARD, 512);
	for (i = 0; i < 200 && !blk_needs_reset(&blk); i++) {
		const bool writes = random_number() & 1;
		struct virtq_buffer buffers[] = {
			header_of((uint32_t)random_number() % 18, random_number() >> (i % 64)),
			{ data_gpa(2) + 4096, (uint32_t)random_number() % 4097, writes },
			status(),
		};

		for (k = 0; k < 16; k++)
			((uint64_t *)(void *)blk.requests[2].data)[512 + k] =
				random_number() >> (random_number() % 64);
		EXPECT("any headers", offer(buffers, 3, NULL));
		EXPECT("any headers", blk.requests[0].status <= 2);
	}
	for (i = 0; i < 2; i++)
		EXPECT("any headers: nothing beside the buffer",
		       memory_scan64((void *)(uintptr_t)guards[i], GUARD, 512) == 512);
	EXPECT("any headers", !blk_needs_reset(&blk));
	report_section("any headers");
}

/* Until all are used, or a reset is asked for. */
static bool wait_for(unsigned int count)
{
	uint64_t end = clock_ns() + WAIT_MAX_MS * 1000000ull;

	while (count && clock_ns() < end && !blk_needs_reset(&blk))
		count -= virtq_take_used(queue(), NULL, NULL);
	return !count || blk_needs_reset(&blk);
}

/* The driver rewrites what it has handed over. */
static void test_changing_while_in_flight(void)
{
	unsigned int i, round;

	for (round = 0; round < 20; round++) {
		EXPECT("changed while in flight", blk_start(&blk, FEATURES));
		for (i = 0; i < BLK_REQUESTS; i++)
			EXPECT("changed while in flight",
			       blk_add(&blk, 0, i, round & 1 ? OUT : IN, 16 * i, 4096));
		virtq_publish(queue());
		for (i = 0; i < BLK_REQUESTS; i++) {
			blk.requests[i].header.sector = random_number();
			blk.requests[i].header.type = (uint32_t)random_number();
			queue()->descriptors[3 * i % BLK_RING_SIZE].addr = OUTSIDE_GPA;
		}
		EXPECT("changed while in flight", wait_for(BLK_REQUESTS));
	}
	report_section("changed while in flight");
	check_works("changed while in flight: works again");
}

/* Resets and registers of rings, at any time. */
static void test_resets_in_flight(void)
{
	struct virtqueue moved;
	unsigned int i, round;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < BLK_REQUESTS; i++)
			if (!blk_add(&blk, 0, i, IN, 16 * i, 16384))
				return;
		virtq_publish(queue());
		if (round & 1) {
			moved = *queue();
			moved.descriptors = (void *)(uintptr_t)OUTSIDE_GPA;
			moved.used = (void *)(uintptr_t)OUTSIDE_GPA;
			blk.vdev.transport->queue_enable(&moved);
		}
		EXPECT("resets in flight", blk_start(&blk, round & 2 ? FEATURES : 0));
	}
	check_works("resets in flight: works again");
}

static void test_config_space(void)
{
	unsigned int offset;

	for (offset = 0; offset < 64; offset += 4)
		virtio_config_write32(&blk.vdev, offset, 0xffffffff);
	EXPECT("config space", virtio_config_read32(&blk.vdev, 0) == (uint32_t)blk.sectors);
	EXPECT("config space", virtio_config_read16(&blk.vdev, 34) != 0xffff);
	check_works("config space");
}

void test_main(void)
{
	if (!virtio_find(VIRTIO_ID_BLOCK, 0, &blk.vdev)) {
		report_skip("virtio-blk", "no such device");
		return;
	}
	if (!CHECK("works", blk_start(&blk, FEATURES)))
		return;
	test_no_room_for_an_answer();
	test_short_headers();
	test_wrong_side();
	test_long_ones();
	test_noise();
	test_changing_while_in_flight();
	test_resets_in_flight();
	test_config_space();
}
