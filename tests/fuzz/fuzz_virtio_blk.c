/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk under a driver that does anything, over a disk that is slow, fails, and checks that
 * what it is asked lies on it: chains, headers, ranges, config space, two queues. fuzz_driver knows
 * no features above 5; an event of the host starts the driver anew with those that matter here.
 */
/* fakes: fuzz_driver blk_machine fake_disk fake_virtio_driver hostile_chains test_driver */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "blk_machine.h"
#include "ebb/bytes.h"
#include "fuzz_driver.h"

#define QUEUES     2
#define QUEUE_SIZE 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct target {
	struct blk_machine machine;
	struct fuzz_driver fuzz;
};

static void start_anew(struct target *target, uint8_t choice)
{
	const uint64_t features =
		(choice & 1 ? BLK_FEATURE(FLUSH) : 0) | (choice & 2 ? BLK_FEATURE(CONFIG_WCE) : 0) |
		(choice & 4 ? BLK_FEATURE(DISCARD) | BLK_FEATURE(WRITE_ZEROES) : 0) |
		(choice & 8 ? BLK_FEATURE(MQ) : 0) | ((uint64_t)(choice >> 4 & 3) << 28);

	fake_driver_reset(&target->fuzz.driver);
	(void)!fake_driver_start(&target->fuzz.driver, features, QUEUES, QUEUE_SIZE);
}

/* A request that is nearly right: what chains of any bytes seldom come to. */
static void ask(struct target *target, struct fuzz_input *input)
{
	static const uint8_t types[] = { VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
		                         VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
		                         VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES };
	const uint8_t what = fuzz_u8(input), shape = fuzz_u8(input);
	const uint32_t type = types[what % ARRAY_SIZE(types)];
	struct blk_ask ask = {
		.type = type,
		.sector = fuzz_u16(input) & 0xfff,
		.data_gpa = BLK_DATA_GPA + (gpa_t)(what >> 4) * BLK_SECTOR_BYTES,
		.data_bytes = type == VIRTIO_BLK_T_GET_ID ? 20 : (shape & 31) * 512U,
		.data_writable = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID,
	};

	if (!target->fuzz.driver.queues[shape >> 7].size)
		return;
	if (type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES) {
		uint8_t *ranges = blk_machine_memory(&target->machine, ask.data_gpa);

		ask.data_bytes = (shape & 63) * BLK_RANGE_BYTES;
		for (unsigned int i = 0; i < (shape & 3); i++) {
			store_le64(ranges + i * BLK_RANGE_BYTES, fuzz_u16(input) & 0xfff);
			store_le32(ranges + i * BLK_RANGE_BYTES + 8, fuzz_u8(input));
			store_le32(ranges + i * BLK_RANGE_BYTES + 12, fuzz_u8(input) & 3);
		}
	}
	if (shape & 32)
		ask.data_bytes += fuzz_u8(input);
	target->machine.driver = target->fuzz.driver;
	blk_machine_add(&target->machine, shape >> 7, what >> 4, &ask);
	target->fuzz.driver = target->machine.driver;
}

static void settle_writers(void *ctx)
{
	gmem_settle_late_writers(((struct target *)ctx)->machine.vm.memory);
}

static void host_event(void *ctx, struct fuzz_input *input)
{
	struct target *target = ctx;
	struct blk_machine *machine = &target->machine;
	const uint8_t what = fuzz_u8(input);

	switch (what % 8) {
	case 0:
		start_anew(target, fuzz_u8(input));
		break;
	case 1:
		fake_disk.pace = what >> 3 & 3 ? FAKE_DISK_HELD : FAKE_DISK_LATER;
		break;
	case 2:
		fake_disk_release(blk_machine_disk(machine), 1 + fuzz_u8(input) % 8, what & 8);
		break;
	case 3:
		fake_disk.fail_at = 1 + (what >> 3) % 4;
		fake_disk.fail_result = what & 128 ? -95 : -28; /* EOPNOTSUPP, ENOSPC */
		break;
	case 4:
		event_loop_call(machine->vm.io_loop, settle_writers, target);
		break;
	case 5:
		virtio_queue_set_ready(target->fuzz.driver.vdev, what >> 3 & 1, false);
		break;
	default:
		ask(target, input);
	}
}

static struct target *create(void)
{
	struct target *target = calloc(1, sizeof(*target));

	assert(target);
	blk_machine_begin(&target->machine);
	if (blk_machine_create(&target->machine, NULL))
		abort();
	target->fuzz =
		fuzz_driver_of(&target->machine.driver, BLK_RAM_BYTES, QUEUES, host_event, target);
	return target;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct target *target;

	if (!target)
		target = create();
	if (!size_bytes)
		return 0;
	fake_disk.pace = FAKE_DISK_AT_ONCE;
	fake_disk.fail_at = 0;
	fake_disk.record_count = 0;
	fuzz_driver_run(&target->fuzz, data, size_bytes);
	if (fake_disk.in_flight) /* the device was reset last */
		abort();
	/* The next input finds memory and disk as this one did. */
	memset(gmem_span(target->machine.vm.memory, 0, BLK_RAM_BYTES), 0, BLK_RAM_BYTES);
	memset(fake_disk_bytes(blk_machine_disk(&target->machine)), 0, MIB);
	return 0;
}
