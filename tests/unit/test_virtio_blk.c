/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk as a device: options, features, config space, cache, life. */
/* fakes: blk_machine fake_disk fake_virtio_driver hostile_chains test_driver */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "blk_machine.h"
#include "ebb/bytes.h"

#define F(name) (UINT64_C(1) << VIRTIO_BLK_F_##name) /* SIZE_MAX is a macro, too */

#define FEATURES_USUAL \
	(F(SIZE_MAX) | F(SEG_MAX) | F(BLK_SIZE) | F(TOPOLOGY) | F(FLUSH) | F(CONFIG_WCE))
#define QUEUE_SIZE 64
#define WCE_OFFSET offsetof(struct virtio_blk_config, wce)

static struct blk_machine m;

static int set_up(void **state)
{
	(void)state;
	blk_machine_begin(&m);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	blk_machine_end(&m);
	return 0;
}

static void create(void)
{
	assert_int_equal(blk_machine_create(&m, NULL), 0);
}

static bool start(uint64_t features)
{
	return fake_driver_start(&m.driver, features, 1, QUEUE_SIZE);
}

static uint64_t config(size_t offset, size_t size_bytes)
{
	uint8_t bytes[8];

	virtio_config_read(m.driver.vdev, offset, bytes, size_bytes);
	return load_le(bytes, size_bytes);
}

#define CONFIG(field) \
	config(offsetof(struct virtio_blk_config, field), \
	       sizeof(((struct virtio_blk_config *)0)->field))

static uint64_t offered(void)
{
	return m.driver.vdev->offered_features & UINT64_C(0xffffff);
}

/* --- what is offered --- */

static void test_features(void **state)
{
	(void)state;
	create();
	assert_true(offered() == (FEATURES_USUAL | F(MQ) | F(DISCARD) | F(WRITE_ZEROES)));
	assert_int_equal(CONFIG(capacity), 2048);
	assert_int_equal(CONFIG(size_max), 65536);
	assert_int_equal(CONFIG(seg_max), 254);
	assert_int_equal(CONFIG(blk_size), 512);
	assert_int_equal(CONFIG(physical_block_exp), 3);
	assert_int_equal(CONFIG(alignment_offset), 0);
	assert_int_equal(CONFIG(min_io_size), 8);
	assert_int_equal(CONFIG(num_queues), 2); /* vCPUs */
	assert_int_equal(CONFIG(max_discard_sectors), 2 * MIB);
	assert_int_equal(CONFIG(max_discard_seg), 32);
	assert_int_equal(CONFIG(discard_sector_alignment), 8);
	assert_int_equal(CONFIG(max_write_zeroes_sectors), 64 * MIB / 512);
	assert_int_equal(CONFIG(max_write_zeroes_seg), 1);
	assert_int_equal(CONFIG(write_zeroes_may_unmap), 1);
}

static void test_readonly(void **state)
{
	(void)state;
	device_config_set_number(&m.config, "readonly", 1);
	device_config_set_number(&m.config, "direct", 1);
	create();
	assert_true(fake_disk.opened_readonly && fake_disk.opened_direct);
	assert_true(offered() == (FEATURES_USUAL | F(MQ) | F(RO)));
	assert_int_equal(CONFIG(write_zeroes_may_unmap), 0);
}

static void test_a_disk_that_can_little(void **state)
{
	(void)state;
	fake_disk.geometry = (struct disk_geometry){
		.size_bytes = 4096,
		.logical_block_bytes = 4096,
		.physical_block_bytes = 4096,
	};
	device_config_set_number(&m.config, "queues", 1);
	create();
	assert_false(fake_disk.opened_readonly || fake_disk.opened_direct);
	assert_true(offered() == FEATURES_USUAL);
	assert_int_equal(CONFIG(capacity), 8);
	assert_int_equal(CONFIG(blk_size), 4096);
	assert_int_equal(CONFIG(physical_block_exp), 0);
	assert_int_equal(CONFIG(discard_sector_alignment), 1);
}

/* Zeroes may still be asked for, without a hole. */
static void test_no_discard(void **state)
{
	(void)state;
	device_config_set_number(&m.config, "discard", 0);
	create();
	assert_true(offered() == (FEATURES_USUAL | F(MQ) | F(WRITE_ZEROES)));
	assert_int_equal(CONFIG(write_zeroes_may_unmap), 0);
}

static void test_number_of_queues(void **state)
{
	static const struct {
		unsigned int cpus, given, queues;
	} rows[] = { { 1, 0, 1 }, { 3, 0, 3 }, { 8, 0, 8 }, { 64, 0, 8 }, { 1, 16, 16 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		m.vm_config.cpu_count = rows[i].cpus;
		if (rows[i].given)
			device_config_set_number(&m.config, "queues", rows[i].given);
		create();
		assert_int_equal(CONFIG(num_queues), rows[i].queues);
		assert_int_equal(m.driver.vdev->info->queue_count, rows[i].queues);
		assert_int_equal(!!(offered() & F(MQ)), rows[i].queues > 1);
		virtio_blk_class.destroy(m.device);
		m.device = NULL;
	}
}

/* 5.2.2: without MQ there is the first queue alone, whatever else was set up. */
static void test_queues_follow_features(void **state)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_FLUSH, 0, 0, 0, false };
	uint32_t head, used_bytes;

	(void)state;
	create();
	for (unsigned int mq = 0; mq < 2; mq++) {
		assert_true(
			fake_driver_start(&m.driver, F(FLUSH) | (mq ? F(MQ) : 0), 2, QUEUE_SIZE));
		blk_machine_add(&m, 1, 0, &ask);
		fake_driver_kick(&m.driver, 1);
		assert_int_equal(fake_driver_take_used(&m.driver, 1, &head, &used_bytes), mq);
		assert_int_equal(blk_machine_ask(&m, &ask, NULL), VIRTIO_BLK_S_OK);
		fake_driver_reset(&m.driver);
	}
}

/* --- serial --- */

static void test_serial(void **state)
{
	static const struct {
		const char *given, *wanted;
	} rows[] = { { NULL, "disk0" },
		     { "a", "a" },
		     { "12345678901234567890", "12345678901234567890" } };
	const struct blk_ask ask = { VIRTIO_BLK_T_GET_ID, 0, BLK_DATA_GPA, 20, true };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char wanted[21] = { 0 };
		uint32_t used_bytes;

		strcpy(wanted, rows[i].wanted);
		if (rows[i].given)
			device_config_set_string(&m.config, "serial", rows[i].given);
		create();
		assert_true(start(0));
		memset(blk_machine_memory(&m, BLK_DATA_GPA), 0xff, 21);
		assert_int_equal(blk_machine_ask(&m, &ask, &used_bytes), VIRTIO_BLK_S_OK);
		assert_int_equal(used_bytes, 21);
		assert_memory_equal(blk_machine_memory(&m, BLK_DATA_GPA), wanted, 20);
		assert_int_equal(blk_machine_memory(&m, BLK_DATA_GPA)[20], 0xff);
		virtio_blk_class.destroy(m.device);
		m.device = NULL;
	}
}

static void test_refused_options(void **state)
{
	static const struct {
		const char *key, *value, *message;
	} rows[] = {
		{ "serial", "123456789012345678901",
		  "serial=123456789012345678901: 21 characters (give 1 to 20)" },
		{ "serial", "", "serial=: 0 characters (give 1 to 20)" },
		{ "serial", "a b", "serial=a b: a character that is not printable ASCII" },
		{ "path", "", "path=: no image named (give --disk FILE)" },
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		m.config.property_count = 0;
		device_config_set_string(&m.config, "path", "disk.img");
		device_config_set_string(&m.config, rows[i].key, rows[i].value);
		assert_int_equal(blk_machine_create(&m, &err), -EINVAL);
		assert_string_equal(err.message, rows[i].message);
		assert_int_equal(fake_disk.open_count, 0);
	}
	m.config.property_count = 0;
	fake_disk.open_result = -EINVAL;
	device_config_set_string(&m.config, "path", "disk.img");
	assert_int_equal(blk_machine_create(&m, &err), -EINVAL);
	assert_string_equal(err.message, "no disk");
	fake_disk.open_result = 0;
	fake_transport.fail_create = -ENOSPC;
	assert_int_equal(blk_machine_create(&m, &err), -ENOSPC);
	assert_int_equal(fake_disk.open_count, 0);
}

/* --- cache --- */

static bool writes_durably(void)
{
	const struct blk_ask ask = { VIRTIO_BLK_T_OUT, 0, BLK_DATA_GPA, 512, false };

	assert_int_equal(blk_machine_ask(&m, &ask, NULL), VIRTIO_BLK_S_OK);
	return fake_disk.records[fake_disk.record_count - 1].durable;
}

static void set_writeback(uint8_t value)
{
	virtio_config_write(m.driver.vdev, WCE_OFFSET, &value, 1);
}

/* 5.2.6.2: case by case. */
static void test_cache(void **state)
{
	static const struct {
		bool writethrough;
		uint64_t features;
		bool writeback, durable;
	} rows[] = {
		{ false, F(FLUSH) | F(CONFIG_WCE), true, false },
		{ false, F(FLUSH), true, false },
		{ false, F(CONFIG_WCE), false, true },
		{ false, 0, false, true },
		{ true, F(FLUSH) | F(CONFIG_WCE), false, true },
		{ true, F(FLUSH), false, true },
		{ true, 0, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		device_config_set_string(&m.config, "cache",
		                         rows[i].writethrough ? "writethrough" : "writeback");
		create();
		assert_true(start(rows[i].features));
		assert_int_equal(CONFIG(wce), rows[i].writeback);
		assert_int_equal(writes_durably(), rows[i].durable);
		virtio_blk_class.destroy(m.device);
		m.device = NULL;
	}
}

static void test_the_driver_changes_the_cache(void **state)
{
	(void)state;
	create();
	assert_true(start(F(FLUSH) | F(CONFIG_WCE)));
	set_writeback(0);
	assert_int_equal(CONFIG(wce), 0);
	assert_true(writes_durably());
	set_writeback(7);
	assert_int_equal(CONFIG(wce), 1);
	assert_false(writes_durably());
	set_writeback(0);
	fake_driver_reset(&m.driver);
	assert_true(start(F(FLUSH) | F(CONFIG_WCE)));
	assert_int_equal(CONFIG(wce), 1); /* another driver's */
	fake_driver_reset(&m.driver);
	assert_true(start(F(FLUSH)));
	set_writeback(0); /* not its to change */
	assert_int_equal(CONFIG(wce), 1);
	assert_false(writes_durably());
}

/* Without flushes a driver cannot have a cache, whatever it writes. */
static void test_no_cache_without_flush(void **state)
{
	(void)state;
	create();
	assert_true(start(F(CONFIG_WCE)));
	set_writeback(1);
	assert_true(writes_durably());
}

static void test_config_space_is_read_only(void **state)
{
	const uint8_t ones[8] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	(void)state;
	create();
	assert_true(start(F(FLUSH) | F(CONFIG_WCE)));
	set_writeback(0);
	for (size_t offset = 0; offset < 60; offset += 4)
		if (offset != (WCE_OFFSET & ~(size_t)3))
			virtio_config_write(m.driver.vdev, offset, ones, 4);
	assert_int_equal(CONFIG(capacity), 2048);
	assert_int_equal(CONFIG(seg_max), 254);
	assert_int_equal(CONFIG(num_queues), 2);
	assert_int_equal(CONFIG(wce), 0);
	virtio_config_write(m.driver.vdev, WCE_OFFSET, ones, 4); /* with what lies behind it */
	assert_int_equal(CONFIG(wce), 1);
	assert_int_equal(CONFIG(unused), 0);
	assert_int_equal(CONFIG(num_queues), 2);
}

/* --- life --- */

/* What disks have in flight points into areas of memory: they go first (virtio_blk_queue.c). */
static void test_memory_devices_come_first(void **state)
{
	size_t count, mem = 0, blk = 0;
	const struct device_class *const *classes = device_classes(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		mem = classes[i]->is_memory ? i : mem;
		blk = classes[i] == &virtio_blk_class ? i : blk;
	}
	assert_true(mem < blk);
}

static void test_reset_and_again(void **state)
{
	(void)state;
	create();
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(start(F(FLUSH)));
		assert_false(writes_durably());
		m.device->reset(m.device);
		assert_int_equal(virtio_status(m.driver.vdev), 0);
	}
	assert_int_equal(blk_machine_metric(&m, "writes"), 3);
	assert_int_equal(blk_machine_metric(&m, "bytes_written"), 3 * 512);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_features),
		TEST(test_readonly),
		TEST(test_a_disk_that_can_little),
		TEST(test_no_discard),
		TEST(test_number_of_queues),
		TEST(test_queues_follow_features),
		TEST(test_serial),
		TEST(test_refused_options),
		TEST(test_cache),
		TEST(test_the_driver_changes_the_cache),
		TEST(test_no_cache_without_flush),
		TEST(test_config_space_is_read_only),
		TEST(test_memory_devices_come_first),
		TEST(test_reset_and_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
