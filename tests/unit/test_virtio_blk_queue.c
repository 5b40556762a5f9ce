/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk's data path, between a fake driver and a disk in memory. */
/* fakes: blk_machine fake_disk fake_virtio_driver hostile_chains test_driver */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "blk_machine.h"
#include "ebb/bytes.h"

#define F(name) BLK_FEATURE(name)

#define FEATURES    (F(FLUSH) | F(DISCARD) | F(WRITE_ZEROES) | F(MQ))
#define EVENT_INDEX (UINT64_C(1) << 29)
#define QUEUES      2
#define QUEUE_SIZE  256

#define OK    VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR

static struct blk_machine m;

static int set_up(void **state)
{
	(void)state;
	blk_machine_begin(&m);
	assert_int_equal(blk_machine_create(&m, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	blk_machine_end(&m);
	return 0;
}

static void start(uint64_t features)
{
	assert_true(fake_driver_start(&m.driver, features, QUEUES, QUEUE_SIZE));
}

static bool needs_reset(void)
{
	return virtio_status(m.driver.vdev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static uint8_t *memory(gpa_t gpa)
{
	return blk_machine_memory(&m, gpa);
}

static uint8_t *on_disk(uint64_t sector)
{
	return fake_disk_bytes(blk_machine_disk(&m)) + sector * 512;
}

static const struct fake_disk_record *record(unsigned int index)
{
	assert_true(index < fake_disk.record_count);
	return &fake_disk.records[index];
}

static unsigned int take_all(unsigned int queue)
{
	uint32_t head, used_bytes;
	unsigned int count = 0;

	while (fake_driver_take_used(&m.driver, queue, &head, &used_bytes))
		count++;
	return count;
}

/* --- one at a time --- */

static void test_reads(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_IN, 3, BLK_DATA_GPA, 1024, true };
	uint32_t used_bytes;

	(void)state;
	start(FEATURES);
	memset(on_disk(3), 0xa5, 1024);
	assert_int_equal(blk_machine_ask(&m, &ask, &used_bytes), OK);
	assert_int_equal(used_bytes, 1025);
	assert_memory_equal(memory(BLK_DATA_GPA), on_disk(3), 1024);
	assert_int_equal(memory(BLK_DATA_GPA)[1024], 0);
	assert_int_equal(record(0)->op, DISK_READ);
	assert_int_equal(record(0)->offset_bytes, 3 * 512);
	assert_ptr_equal(record(0)->segments[0].iov_base, memory(BLK_DATA_GPA)); /* no copy */
	assert_int_equal(blk_machine_metric(&m, "reads"), 1);
	assert_int_equal(blk_machine_metric(&m, "bytes_read"), 1024);
	assert_int_equal(blk_machine_metric(&m, "disk_syscalls"), 1);
	assert_int_equal(blk_machine_metric(&m, "interrupts"), 1);
}

static void test_writes(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_OUT, 2047, BLK_DATA_GPA, 512, false };
	uint32_t used_bytes;

	(void)state;
	start(FEATURES);
	memset(memory(BLK_DATA_GPA), 0x5a, 512);
	assert_int_equal(blk_machine_ask(&m, &ask, &used_bytes), OK);
	assert_int_equal(used_bytes, 1);
	assert_memory_equal(on_disk(2047), memory(BLK_DATA_GPA), 512);
	assert_int_equal(blk_machine_metric(&m, "writes"), 1);
	assert_int_equal(blk_machine_metric(&m, "bytes_written"), 512);
}

static void test_flushes(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_FLUSH, 0, 0, 0, false };

	(void)state;
	start(FEATURES);
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), OK);
	assert_int_equal(record(0)->op, DISK_FLUSH);
	assert_int_equal(blk_machine_metric(&m, "flushes"), 1);
	fake_disk.fail_at = 1;
	fake_disk.fail_result = -EIO;
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), IOERR);
	assert_int_equal(blk_machine_metric(&m, "flushes"), 1);
	assert_int_equal(blk_machine_metric(&m, "host_errors"), 1);
}

static void put_range(unsigned int index, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	uint8_t *bytes = memory(BLK_DATA_GPA) + index * 16;

	store_le64(bytes, sector);
	store_le32(bytes + 8, sectors);
	store_le32(bytes + 12, flags);
}

static void test_discards_range_by_range(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_DISCARD, 0, BLK_DATA_GPA, 4 * 16, false };

	(void)state;
	start(FEATURES);
	memset(on_disk(0), 0xff, MIB);
	put_range(0, 8, 8, 0);
	put_range(1, 0, 0, 0); /* nothing */
	put_range(2, 32, 1, 0);
	put_range(3, 2047, 1, 0);
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), OK);
	assert_int_equal(fake_disk.record_count, 3);
	assert_int_equal(record(1)->op, DISK_DISCARD);
	assert_int_equal(record(1)->offset_bytes, 32 * 512);
	assert_int_equal(record(1)->size_bytes, 512);
	assert_int_equal(on_disk(8)[0] | on_disk(15)[511] | on_disk(32)[0] | on_disk(2047)[511], 0);
	assert_int_equal(on_disk(7)[511] & on_disk(16)[0] & on_disk(33)[0], 0xff);
	assert_int_equal(blk_machine_metric(&m, "discards"), 1);
	assert_int_equal(blk_machine_metric(&m, "bytes_discarded"), 10 * 512);
	put_range(0, 0, 0, 0);
	assert_int_equal(blk_machine_ask(&m,
	                                 &(struct blk_ask){ VIRTIO_BLK_T_DISCARD, 0, BLK_DATA_GPA,
	                                                    16, false },
	                                 NULL),
	                 OK);
	assert_int_equal(fake_disk.record_count, 3);
}

/* The first range that fails ends it. */
static void test_a_range_fails(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_DISCARD, 0, BLK_DATA_GPA, 3 * 16, false };

	(void)state;
	start(FEATURES);
	for (unsigned int i = 0; i < 3; i++)
		put_range(i, i * 8, 8, 0);
	fake_disk.fail_at = 2;
	fake_disk.fail_result = -ENOSPC;
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), IOERR);
	assert_int_equal(fake_disk.record_count, 2);
	fake_disk.fail_at = 1;
	fake_disk.fail_result = -EOPNOTSUPP;
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), OK);
}

static void test_write_zeroes(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_WRITE_ZEROES, 0, BLK_DATA_GPA, 16, false };

	(void)state;
	start(FEATURES);
	put_range(0, 0, 8, 0);
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), OK);
	put_range(0, 8, 8, 1);
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), OK);
	assert_int_equal(record(0)->op, DISK_WRITE_ZEROES);
	assert_false(record(0)->unmap);
	assert_true(record(1)->unmap);
	assert_int_equal(blk_machine_metric(&m, "write_zeroes"), 2);
	assert_int_equal(blk_machine_metric(&m, "bytes_zeroed"), 16 * 512);
}

static void test_no_holes_without_discard(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_WRITE_ZEROES, 0, BLK_DATA_GPA, 16, false };

	(void)state;
	virtio_blk_class.destroy(m.device);
	device_config_set_number(&m.config, "discard", 0);
	assert_int_equal(blk_machine_create(&m, NULL), 0);
	start(F(WRITE_ZEROES));
	put_range(0, 0, 8, 1);
	assert_int_equal(blk_machine_ask(&m, &ask, NULL), OK);
	assert_false(record(0)->unmap);
}

/* --- layouts --- */

/* Header, data and status lie in descriptors as the driver likes (2.7.4.2). */
static void test_any_layout(void **state)
{
	static const struct fake_driver_buffer write[] = {
		{ BLK_HEADER_GPA, 3, false },
		{ BLK_HEADER_GPA + 3, 0, false },
		{ BLK_HEADER_GPA + 3, 13 + 100, false }, /* the header's end, and data */
		{ BLK_DATA_GPA, 412, false },
		{ BLK_DATA_GPA + 4096, 1, true },
	};
	static const struct fake_driver_buffer read[] = {
		{ BLK_HEADER_GPA, 16, false },
		{ BLK_DATA_GPA + 8192, 1, true },
		{ BLK_DATA_GPA + 8193, 0, true },
		{ BLK_DATA_GPA + 8193, 512, true }, /* data's end, and the status byte */
	};
	uint32_t head, used_bytes;

	(void)state;
	start(FEATURES);
	store_le32(memory(BLK_HEADER_GPA), VIRTIO_BLK_T_OUT);
	store_le64(memory(BLK_HEADER_GPA + 8), 7);
	memset(memory(BLK_HEADER_GPA + 16), 0x11, 100);
	memset(memory(BLK_DATA_GPA), 0x22, 412);
	*memory(BLK_DATA_GPA + 4096) = BLK_NO_STATUS;
	fake_driver_add(&m.driver, 0, write, ARRAY_SIZE(write));
	fake_driver_kick(&m.driver, 0);
	assert_true(fake_driver_take_used(&m.driver, 0, &head, &used_bytes));
	assert_int_equal(used_bytes, 1);
	assert_int_equal(*memory(BLK_DATA_GPA + 4096), OK);
	assert_int_equal(on_disk(7)[0], 0x11);
	assert_int_equal(on_disk(7)[99], 0x11);
	assert_int_equal(on_disk(7)[100], 0x22);
	assert_int_equal(on_disk(7)[511], 0x22);
	store_le32(memory(BLK_HEADER_GPA), VIRTIO_BLK_T_IN);
	*memory(BLK_DATA_GPA + 8193 + 511) = BLK_NO_STATUS;
	fake_driver_add(&m.driver, 0, read, ARRAY_SIZE(read));
	fake_driver_kick(&m.driver, 0);
	assert_true(fake_driver_take_used(&m.driver, 0, &head, &used_bytes));
	assert_int_equal(used_bytes, 513);
	assert_memory_equal(memory(BLK_DATA_GPA + 8192), on_disk(7), 512);
	assert_int_equal(*memory(BLK_DATA_GPA + 8193 + 511), OK);
}

/* As many descriptors as a queue has. */
static void test_many_segments(void **state)
{
	struct fake_driver_buffer buffers[QUEUE_SIZE];
	uint32_t head, used_bytes;

	(void)state;
	start(FEATURES);
	buffers[0] = (struct fake_driver_buffer){ BLK_HEADER_GPA, 16, false };
	store_le32(memory(BLK_HEADER_GPA), VIRTIO_BLK_T_IN);
	store_le64(memory(BLK_HEADER_GPA + 8), 0);
	for (unsigned int i = 1; i < QUEUE_SIZE - 1; i++)
		buffers[i] = (struct fake_driver_buffer){ BLK_DATA_GPA + i * 1024, 512, true };
	buffers[QUEUE_SIZE - 1] = (struct fake_driver_buffer){ BLK_DATA_GPA, 1, true };
	for (unsigned int i = 0; i < 254; i++)
		on_disk(i)[0] = (uint8_t)i;
	fake_driver_add(&m.driver, 0, buffers, QUEUE_SIZE);
	fake_driver_kick(&m.driver, 0);
	assert_true(fake_driver_take_used(&m.driver, 0, &head, &used_bytes));
	assert_int_equal(used_bytes, 254 * 512 + 1);
	for (unsigned int i = 0; i < 254; i++)
		assert_int_equal(*memory(BLK_DATA_GPA + (i + 1) * 1024), i);
}

/* Nothing can be told of it but that it is over. */
static void test_no_room_for_an_answer(void **state)
{
	static const struct fake_driver_buffer mute[] = { { BLK_HEADER_GPA, 16, false },
		                                          { BLK_DATA_GPA, 512, false } };
	static const struct fake_driver_buffer empty[] = { { BLK_HEADER_GPA, 0, false } };
	uint32_t head, used_bytes = 1;

	(void)state;
	start(FEATURES);
	store_le32(memory(BLK_HEADER_GPA), VIRTIO_BLK_T_OUT);
	fake_driver_add(&m.driver, 0, mute, ARRAY_SIZE(mute));
	fake_driver_add(&m.driver, 0, empty, ARRAY_SIZE(empty));
	fake_driver_kick(&m.driver, 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(fake_driver_take_used(&m.driver, 0, &head, &used_bytes));
		assert_int_equal(used_bytes, 0);
	}
	assert_false(needs_reset());
	assert_int_equal(fake_disk.record_count, 0);
	assert_int_equal(blk_machine_metric(&m, "requests_refused"), 2);
}

static void test_short_header(void **state)
{
	static const struct fake_driver_buffer buffers[] = { { BLK_HEADER_GPA, 15, false },
		                                             { BLK_DATA_GPA, 513, true } };
	uint32_t head, used_bytes;

	(void)state;
	start(FEATURES);
	*memory(BLK_DATA_GPA + 512) = BLK_NO_STATUS;
	fake_driver_add(&m.driver, 0, buffers, ARRAY_SIZE(buffers));
	fake_driver_kick(&m.driver, 0);
	assert_true(fake_driver_take_used(&m.driver, 0, &head, &used_bytes));
	assert_int_equal(used_bytes, 0); /* of 512 bytes in front nothing was written */
	assert_int_equal(*memory(BLK_DATA_GPA + 512), IOERR);
}

static void test_refused(void **state)
{
	static const struct blk_ask asks[] = {
		{ VIRTIO_BLK_T_IN, 2048, BLK_DATA_GPA, 512, true },
		{ VIRTIO_BLK_T_IN, 0, BLK_DATA_GPA, 513, true },
		{ VIRTIO_BLK_T_OUT, 2047, BLK_DATA_GPA, 1024, false },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX, BLK_DATA_GPA, 512, false },
		{ VIRTIO_BLK_T_OUT, 0, BLK_DATA_GPA, 512, true },
	};
	uint32_t used_bytes;

	(void)state;
	start(FEATURES);
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		assert_int_equal(blk_machine_ask(&m, &asks[i], &used_bytes), IOERR);
		assert_int_equal(used_bytes, asks[i].data_writable ? 0 : 1);
	}
	assert_int_equal(blk_machine_ask(&m, &(struct blk_ask){ 99, 0, 0, 0, false }, &used_bytes),
	                 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(used_bytes, 1);
	assert_int_equal(fake_disk.record_count, 0);
	assert_int_equal(blk_machine_metric(&m, "requests_refused"), ARRAY_SIZE(asks) + 1);
	assert_int_equal(blk_machine_metric(&m, "host_errors"), 0);
}

/* --- errors of the host --- */

static void test_host_errors_pass(void **state)
{
	const struct blk_ask write = { VIRTIO_BLK_T_OUT, 0, BLK_DATA_GPA, 512, false };
	const struct blk_ask read = { VIRTIO_BLK_T_IN, 0, BLK_DATA_GPA, 512, true };
	uint32_t used_bytes;

	(void)state;
	start(FEATURES);
	fake_disk.fail_at = 1;
	fake_disk.fail_result = -ENOSPC;
	assert_int_equal(blk_machine_ask(&m, &write, &used_bytes), IOERR);
	assert_int_equal(used_bytes, 1);
	assert_int_equal(blk_machine_ask(&m, &write, NULL), OK);
	fake_disk.fail_at = 1;
	fake_disk.fail_result = -EFAULT;
	assert_int_equal(blk_machine_ask(&m, &read, &used_bytes), IOERR);
	assert_int_equal(used_bytes, 0); /* some of it may have been read */
	assert_int_equal(blk_machine_ask(&m, &read, &used_bytes), OK);
	assert_int_equal(used_bytes, 513);
	assert_int_equal(blk_machine_metric(&m, "host_errors"), 2);
	assert_int_equal(blk_machine_metric(&m, "writes"), 1);
	assert_false(needs_reset());
}

/* --- many in flight --- */

static void add_reads(unsigned int queue, unsigned int first, unsigned int count)
{
	for (unsigned int i = first; i < first + count; i++)
		blk_machine_add(
			&m, queue, i,
			&(struct blk_ask){ VIRTIO_BLK_T_IN, i, BLK_DATA_GPA + i * 512, 512, true });
}

static void test_a_batch_is_one_call_and_one_interrupt(void **state)
{
	(void)state;
	start(FEATURES);
	add_reads(0, 0, 32);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(take_all(0), 32);
	assert_int_equal(fake_disk.start_count, 1);
	assert_int_equal(fake_transport.used_notifications[0], 1);
	assert_int_equal(blk_machine_metric(&m, "disk_syscalls"), 1);
	assert_int_equal(blk_machine_metric(&m, "in_flight_max"), 32);
	add_reads(0, 0, 20);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(blk_machine_metric(&m, "in_flight_max"), 32);
}

/* What ends together on a later turn of the loop. */
static void test_late_ends_are_one_interrupt(void **state)
{
	(void)state;
	fake_disk.pace = FAKE_DISK_LATER;
	start(FEATURES);
	add_reads(0, 0, 32);
	add_reads(1, 32, 16);
	fake_driver_kick(&m.driver, 0);
	fake_driver_kick(&m.driver, 1);
	assert_int_equal(take_all(0), 32);
	assert_int_equal(take_all(1), 16);
	assert_int_equal(fake_transport.used_notifications[0], 1);
	assert_int_equal(fake_transport.used_notifications[1], 1);
}

static void test_ends_in_any_order(void **state)
{
	uint32_t heads[4], used_bytes;

	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	for (unsigned int i = 0; i < 4; i++)
		on_disk(i)[0] = (uint8_t)(i + 1);
	add_reads(0, 0, 4);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(fake_disk.in_flight, 4);
	assert_int_equal(take_all(0), 0);
	assert_int_equal(fake_disk_release(blk_machine_disk(&m), 2, true), 2);
	fake_driver_settle(&m.driver);
	assert_int_equal(blk_machine_status(&m, 0), BLK_NO_STATUS);
	assert_int_equal(blk_machine_status(&m, 3), OK);
	fake_disk_release(blk_machine_disk(&m), 2, false);
	fake_driver_settle(&m.driver);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(fake_driver_take_used(&m.driver, 0, &heads[i], &used_bytes));
	assert_int_equal(heads[0], 9); /* three descriptors each */
	assert_int_equal(heads[1], 6);
	assert_int_equal(heads[2], 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(*memory(BLK_DATA_GPA + i * 512), i + 1);
}

/* More than there are slots: the rest stays in the rings, and every queue gets its turn. */
static void test_more_than_slots(void **state)
{
	unsigned int done[QUEUES] = { 0 };

	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	add_reads(0, 0, 85); /* of three descriptors, as many as a ring holds */
	add_reads(1, 85, 85);
	fake_driver_kick(&m.driver, 0);
	fake_driver_kick(&m.driver, 1);
	assert_int_equal(fake_disk.in_flight, BLK_SLOTS);
	assert_int_equal(blk_machine_metric(&m, "in_flight_max"), BLK_SLOTS);
	for (unsigned int i = 0; done[0] + done[1] < 170; i++) {
		assert_true(i < 100);
		assert_true(fake_disk_release(blk_machine_disk(&m), 10, false) > 0);
		fake_driver_settle(&m.driver);
		assert_true(fake_disk.in_flight <= BLK_SLOTS);
		done[0] += take_all(0);
		done[1] += take_all(1);
	}
	assert_int_equal(done[0], 85);
	assert_int_equal(done[1], 85);
	assert_int_equal(fake_disk.submit_count, 170);
	add_reads(0, 0, 1); /* it hears of the next one */
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(fake_disk.in_flight, 1);
}

/* A turn takes 4 MiB, and posts itself again for the rest. */
static void test_a_turn_is_bounded(void **state)
{
	(void)state;
	start(FEATURES);
	for (unsigned int i = 0; i < 12; i++)
		blk_machine_add(&m, 0, i,
		                &(struct blk_ask){ VIRTIO_BLK_T_IN, 0, BLK_DATA_GPA,
		                                   (uint32_t)(MIB - 64 * KIB), true });
	fake_driver_kick(&m.driver, 0);
	fake_driver_settle(&m.driver);
	assert_int_equal(take_all(0), 12);
	assert_int_equal(fake_disk.start_count, 3);
}

static void test_asks_for_kicks_only_when_empty(void **state)
{
	const uint16_t *avail_event;

	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES | EVENT_INDEX);
	avail_event = (const void *)memory(fake_driver_used(&m.driver, 0) + 4 + 8 * QUEUE_SIZE);
	add_reads(0, 0, 80);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(le16toh(*avail_event), 80);
	assert_int_equal(take_all(0), 0);
	add_reads(1, 80, 80); /* no slots for all */
	fake_driver_kick(&m.driver, 1);
	avail_event = (const void *)memory(fake_driver_used(&m.driver, 1) + 4 + 8 * QUEUE_SIZE);
	assert_int_equal(le16toh(*avail_event), 0);
	fake_disk_release(blk_machine_disk(&m), 128, false);
	fake_driver_settle(&m.driver);
	assert_int_equal(le16toh(*avail_event), 80);
}

/* --- ends --- */

static void test_reset_waits_for_what_is_in_flight(void **state)
{
	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	memset(on_disk(0), 0x77, 512);
	add_reads(0, 0, 80);
	add_reads(1, 80, 60);
	fake_driver_kick(&m.driver, 0);
	fake_driver_kick(&m.driver, 1);
	fake_driver_reset(&m.driver);
	assert_int_equal(fake_disk.in_flight, 0);
	assert_int_equal(fake_disk.submit_count, BLK_SLOTS);
	assert_int_equal(*memory(BLK_DATA_GPA), 0x77);
	assert_int_equal(blk_machine_status(&m, 0), OK);
	memset(memory(BLK_DATA_GPA), 0, 512);
	fake_driver_settle(&m.driver);
	assert_int_equal(fake_disk.submit_count, BLK_SLOTS); /* and takes no more */
	fake_disk.pace = FAKE_DISK_AT_ONCE;
	start(FEATURES);
	add_reads(0, 0, 1);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(take_all(0), 1);
}

static void test_destroyed_while_in_flight(void **state)
{
	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	add_reads(0, 0, 10);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(fake_disk.in_flight, 10); /* the rest is tear_down's */
}

static void test_a_queue_that_is_taken_back(void **state)
{
	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	add_reads(0, 0, 80);
	add_reads(1, 80, 80);
	fake_driver_kick(&m.driver, 0);
	fake_driver_kick(&m.driver, 1);
	virtio_queue_set_ready(m.driver.vdev, 0, false);
	assert_int_equal(take_all(0), 80); /* what was asked was done */
	fake_driver_settle(&m.driver);
	fake_disk_release(blk_machine_disk(&m), BLK_SLOTS, false);
	fake_driver_settle(&m.driver);
	assert_int_equal(take_all(1), 80);
	assert_false(needs_reset());
}

static void test_reset_in_the_middle_of_ranges(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_DISCARD, 0, BLK_DATA_GPA, 3 * 16, false };

	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	for (unsigned int i = 0; i < 3; i++)
		put_range(i, i * 8, 8, 0);
	blk_machine_add(&m, 0, 0, &ask);
	fake_driver_kick(&m.driver, 0);
	fake_disk_release(blk_machine_disk(&m), 1, false);
	fake_driver_settle(&m.driver);
	fake_driver_reset(&m.driver);
	assert_int_equal(fake_disk.record_count, 3);
	assert_int_equal(blk_machine_status(&m, 0), OK);
}

/* --- guest memory that is watched, and that changes --- */

struct watch {
	struct gmem_watcher watcher;
	bool data, status;
};

static void written(struct gmem_watcher *watcher, gpa_t gpa, uint64_t size_bytes)
{
	struct watch *watch = container_of(watcher, struct watch, watcher);

	watch->data |= range_contains(gpa, size_bytes, BLK_DATA_GPA, 512);
	watch->status |= range_contains(gpa, size_bytes, BLK_HEADER_GPA + BLK_REQUEST_STEP - 1, 1);
}

static void settle_writers(void *ctx)
{
	(void)ctx;
	gmem_settle_late_writers(m.vm.memory);
}

/* A proof that begins while a read is in flight hears of it before it judges. */
static void test_a_moment_of_quiet(void **state)
{
	struct watch watch = { .watcher = { .written = written } };

	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	add_reads(0, 0, 1);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(gmem_watch_writes(m.vm.memory, &watch.watcher), 0);
	event_loop_call(m.vm.io_loop, settle_writers, NULL);
	assert_int_equal(fake_disk.in_flight, 0);
	assert_true(watch.data && watch.status);
	assert_false(gmem_missed_writes(m.vm.memory, &watch.watcher));
	gmem_unwatch_writes(m.vm.memory, &watch.watcher);
	fake_driver_settle(&m.driver);
	assert_int_equal(take_all(0), 1);
	fake_driver_reset(&m.driver);
	event_loop_call(m.vm.io_loop, settle_writers, NULL); /* no writer any more */
}

static void test_memory_changes_in_flight(void **state)
{
	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	add_reads(0, 0, 2);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(gmem_add_region(m.vm.memory, 64 * MIB, 2 * MIB, NULL, NULL), 0);
	fake_disk_release(blk_machine_disk(&m), 2, false);
	fake_driver_settle(&m.driver);
	assert_int_equal(take_all(0), 2);
	assert_int_equal(blk_machine_status(&m, 1), OK);
}

/* The byte for its status went: it is over, and that is all that can be told. */
static void test_the_place_for_the_status_goes(void **state)
{
	static const struct fake_driver_buffer buffers[] = { { BLK_HEADER_GPA, 16, false },
		                                             { BLK_DATA_GPA, 512, true },
		                                             { 64 * MIB, 1, true } };
	uint32_t head, used_bytes;

	(void)state;
	assert_int_equal(gmem_add_region(m.vm.memory, 64 * MIB, 2 * MIB, NULL, NULL), 0);
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	memset(memory(BLK_HEADER_GPA), 0, 16);
	fake_driver_add(&m.driver, 0, buffers, ARRAY_SIZE(buffers));
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(gmem_remove_region(m.vm.memory, 64 * MIB), 0);
	fake_disk_release(blk_machine_disk(&m), 1, false);
	fake_driver_settle(&m.driver);
	assert_true(fake_driver_take_used(&m.driver, 0, &head, &used_bytes));
	assert_int_equal(used_bytes, 0);
	assert_false(needs_reset());
}

/* --- drivers that misbehave --- */

static void test_hostile_chains(void **state)
{
	(void)state;
	assert_int_equal(
		fake_driver_run_hostile_chains(&m.driver, 0, 0, BLK_DATA_GPA, BLK_RAM_BYTES), 0);
	assert_int_equal(
		fake_driver_run_hostile_chains(&m.driver, FEATURES, 1, BLK_DATA_GPA, BLK_RAM_BYTES),
		0);
}

/* What is in flight in other queues ends as it would; nothing more is taken. */
static void test_a_broken_ring(void **state)
{
	(void)state;
	fake_disk.pace = FAKE_DISK_HELD;
	start(FEATURES);
	add_reads(0, 0, 5);
	fake_driver_kick(&m.driver, 0);
	fake_driver_add(&m.driver, 1, &(struct fake_driver_buffer){ BLK_RAM_BYTES, 16, false }, 1);
	fake_driver_kick(&m.driver, 1);
	assert_true(needs_reset());
	add_reads(0, 5, 5);
	fake_disk_release(blk_machine_disk(&m), 5, false);
	fake_driver_settle(&m.driver);
	fake_driver_kick(&m.driver, 0);
	assert_int_equal(take_all(0), 5);
	assert_int_equal(fake_disk.submit_count, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_reads),
		TEST(test_writes),
		TEST(test_flushes),
		TEST(test_discards_range_by_range),
		TEST(test_a_range_fails),
		TEST(test_write_zeroes),
		TEST(test_no_holes_without_discard),
		TEST(test_any_layout),
		TEST(test_many_segments),
		TEST(test_no_room_for_an_answer),
		TEST(test_short_header),
		TEST(test_refused),
		TEST(test_host_errors_pass),
		TEST(test_a_batch_is_one_call_and_one_interrupt),
		TEST(test_late_ends_are_one_interrupt),
		TEST(test_ends_in_any_order),
		TEST(test_more_than_slots),
		TEST(test_a_turn_is_bounded),
		TEST(test_asks_for_kicks_only_when_empty),
		TEST(test_reset_waits_for_what_is_in_flight),
		TEST(test_destroyed_while_in_flight),
		TEST(test_a_queue_that_is_taken_back),
		TEST(test_reset_in_the_middle_of_ranges),
		TEST(test_a_moment_of_quiet),
		TEST(test_memory_changes_in_flight),
		TEST(test_the_place_for_the_status_goes),
		TEST(test_hostile_chains),
		TEST(test_a_broken_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
