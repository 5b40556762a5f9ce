/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk with 32 requests in flight: what is answered is asked anew, as soon as half of them
 * are. For counts of system calls (tests/guest/figures).
 *
 * requests=N: so many in all. write: they are writes.
 */
#include "blk.h"
#include "command_line.h"
#include "platform.h"
#include "print.h"
#include "report.h"

#define PIECE  4096
#define REFILL (BLK_REQUESTS / 2)

static struct blk blk;

/* The requests that were used, by their number. */
static unsigned int take(unsigned int *numbers)
{
	unsigned int count = 0, i;
	uint32_t head;

	while (count < BLK_REQUESTS && virtq_take_used(&blk.vdev.queues[0], &head, NULL))
		for (i = 0; i < BLK_REQUESTS; i++)
			if (blk.requests[i].head == (int)head) {
				blk.requests[i].head = -1;
				EXPECT_EQUAL("answered", blk.requests[i].status, VIRTIO_BLK_S_OK);
				numbers[count++] = i;
				break;
			}
	return count;
}

static bool ask(unsigned int number, unsigned int asked)
{
	return blk_add(&blk, 0, number,
	               option_present("write") ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
	               asked * (PIECE / BLK_SECTOR) % (blk.sectors - PIECE / BLK_SECTOR), PIECE);
}

void test_main(void)
{
	const unsigned int requests = (unsigned int)option_u64("requests", 1024);
	unsigned int asked = 0, answered = 0, ready = BLK_REQUESTS, i;
	unsigned int numbers[2 * BLK_REQUESTS];
	uint64_t end;

	if (!virtio_find(VIRTIO_ID_BLOCK, 0, &blk.vdev)) {
		report_skip("virtio-blk", "no such device");
		return;
	}
	if (!CHECK("starts", blk_start(&blk, BLK_F(FLUSH) | FEATURE(VIRTIO_RING_F_EVENT_IDX))))
		return;
	for (i = 0; i < BLK_REQUESTS; i++)
		numbers[i] = i;
	end = clock_ns() + WAIT_MAX_MS * 1000000ull;
	while (answered < requests && clock_ns() < end) {
		unsigned int got;

		if (ready >= REFILL || answered + BLK_REQUESTS > requests) {
			for (i = 0; i < ready && asked < requests; i++)
				EXPECT("asked", ask(numbers[i], asked++));
			ready = 0;
			virtq_publish(&blk.vdev.queues[0]);
		}
		got = take(numbers + ready);
		ready += got;
		answered += got;
	}
	CHECK_EQUAL("answered", answered, requests);
}
