/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes sector after sector of a disk, each full of its own number, and says so once a flush came
 * back: what was said is there, whenever ebb is killed (tests/guest/kill).
 *
 * tag=N: in the upper half of each number. through: without flushes, by a driver that knows none.
 */
#include "blk.h"
#include "command_line.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "string.h"

static struct blk blk;

void test_main(void)
{
	const uint64_t tag = option_u64("tag", 0) << 32;
	const bool through = option_present("through");
	uint64_t sector;

	if (!virtio_find(VIRTIO_ID_BLOCK, 0, &blk.vdev) ||
	    !blk_start(&blk, through ? 0 : BLK_F(FLUSH))) {
		report_fail("virtio-blk", "it does not start");
		return;
	}
	for (sector = 0; sector < blk.sectors; sector++) {
		memory_fill64(blk.requests[0].data, tag | sector, BLK_SECTOR / 8);
		if (blk_ask(&blk, VIRTIO_BLK_T_OUT, sector, BLK_SECTOR) ||
		    (!through && blk_ask(&blk, VIRTIO_BLK_T_FLUSH, 0, 0))) {
			report_fail("write", "sector %u", (unsigned int)sector);
			return;
		}
		print("kept %u\n", (unsigned int)sector);
	}
	report_pass("all is written");
}
