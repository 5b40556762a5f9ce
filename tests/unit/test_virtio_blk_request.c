/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-blk's requests: what they say, by tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "../../devices/virtio/virtio_blk_private.h"
#include "ebb/bytes.h"

#define OK     VIRTIO_BLK_S_OK
#define IOERR  VIRTIO_BLK_S_IOERR
#define UNSUPP VIRTIO_BLK_S_UNSUPP

#define SECTORS 2048 /* 1 MiB */
#define ALL     (BLK_FEATURE(FLUSH) | BLK_FEATURE(DISCARD) | BLK_FEATURE(WRITE_ZEROES))

static struct blk_limits limits_of(uint64_t features, bool readonly)
{
	return (struct blk_limits){
		.size_bytes = (uint64_t)SECTORS * BLK_SECTOR_BYTES,
		.features = features,
		.readonly = readonly,
	};
}

static uint8_t parse(uint32_t type, uint64_t sector, struct blk_shape shape,
                     const struct blk_limits *limits, struct blk_request *request)
{
	uint8_t header[BLK_HEADER_BYTES];

	memset(header, 0xff, sizeof(header)); /* reserved means nothing */
	store_le32(header, type);
	store_le64(header + 8, sector);
	return blk_request_parse(header, &shape, limits, request);
}

static void test_transfers(void **state)
{
	static const struct {
		uint64_t sector;
		size_t size_bytes;
		uint8_t status;
	} rows[] = {
		{ 0, 512, OK },
		{ 0, 0, OK },
		{ SECTORS, 0, OK },
		{ SECTORS + 1, 0, IOERR },
		{ 0, SECTORS * 512, OK },
		{ 0, SECTORS * 512 + 512, IOERR },
		{ 1, SECTORS * 512, IOERR },
		{ SECTORS - 1, 512, OK },
		{ SECTORS, 512, IOERR },
		{ 0, 1, IOERR },
		{ 0, 511, IOERR },
		{ 0, 513, IOERR },
		{ 0, 4096 + 256, IOERR },
		{ UINT64_MAX, 512, IOERR },
		{ UINT64_MAX / 512, 512, IOERR },
		{ UINT64_MAX / 512 + 1, 512, IOERR }, /* times 512 is 0 */
		{ UINT64_C(1) << 55, 512, IOERR },
		{ 0, SIZE_MAX - 511, IOERR },
		{ 8, SIZE_MAX - 4095, IOERR }, /* the end wraps to 0 */
	};
	const struct blk_limits limits = limits_of(ALL, false);
	struct blk_request request;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct blk_shape in = { .writable_bytes = rows[i].size_bytes };
		const struct blk_shape out = { .readable_bytes = rows[i].size_bytes };

		assert_int_equal(parse(VIRTIO_BLK_T_IN, rows[i].sector, in, &limits, &request),
		                 rows[i].status);
		assert_int_equal(request.kind, BLK_READ);
		if (rows[i].status == OK) {
			assert_int_equal(request.offset_bytes, rows[i].sector * 512);
			assert_int_equal(request.size_bytes, rows[i].size_bytes);
		}
		assert_int_equal(parse(VIRTIO_BLK_T_OUT, rows[i].sector, out, &limits, &request),
		                 rows[i].status);
		assert_int_equal(request.kind, BLK_WRITE);
	}
}

static void test_longest(void **state)
{
	struct blk_limits limits = limits_of(0, false);
	struct blk_shape shape = { .readable_bytes = BLK_REQUEST_BYTES_MAX };
	struct blk_request request;

	(void)state;
	limits.size_bytes = UINT64_MAX & ~UINT64_C(511);
	assert_int_equal(parse(VIRTIO_BLK_T_OUT, 0, shape, &limits, &request), OK);
	assert_int_equal(parse(VIRTIO_BLK_T_OUT, UINT64_MAX / 512, shape, &limits, &request),
	                 IOERR);
	shape.readable_bytes += 512;
	assert_int_equal(parse(VIRTIO_BLK_T_OUT, 0, shape, &limits, &request), IOERR);
	/* What a driver that keeps to seg_max and size_max sends is shorter. */
	assert_true(BLK_DESCRIPTORS_MAX * BLK_SEGMENT_BYTES_MAX <= 16 * MIB);
}

static void test_kinds(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t features;
		bool readonly;
		struct blk_shape shape;
		uint8_t status;
	} rows[] = {
		{ VIRTIO_BLK_T_FLUSH, ALL, false, { 0, 0 }, OK },
		{ VIRTIO_BLK_T_FLUSH, 0, true, { 0, 0 }, OK },
		{ VIRTIO_BLK_T_FLUSH, ALL, false, { 1, 0 }, IOERR },
		{ VIRTIO_BLK_T_FLUSH, ALL, false, { 0, 1 }, IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, false, { 0, 20 }, OK },
		{ VIRTIO_BLK_T_GET_ID, 0, false, { 0, 19 }, IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, false, { 0, 21 }, IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, false, { 0, 0 }, IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, false, { 20, 20 }, IOERR },
		{ VIRTIO_BLK_T_IN, ALL, true, { 0, 512 }, OK },
		{ VIRTIO_BLK_T_IN, ALL, false, { 512, 512 }, IOERR }, /* data on the wrong side */
		{ VIRTIO_BLK_T_OUT, ALL, false, { 512, 512 }, IOERR },
		{ VIRTIO_BLK_T_OUT, ALL, true, { 512, 0 }, IOERR },
		{ VIRTIO_BLK_T_OUT, ALL, true, { 0, 0 }, IOERR },
		{ VIRTIO_BLK_T_DISCARD, ALL, false, { 16, 0 }, OK },
		{ VIRTIO_BLK_T_DISCARD, 0, false, { 16, 0 }, UNSUPP },
		{ VIRTIO_BLK_T_DISCARD, BLK_FEATURE(WRITE_ZEROES), false, { 16, 0 }, UNSUPP },
		{ VIRTIO_BLK_T_DISCARD, ALL, true, { 16, 0 }, IOERR },
		{ VIRTIO_BLK_T_DISCARD, ALL, false, { 0, 0 }, IOERR },
		{ VIRTIO_BLK_T_DISCARD, ALL, false, { 15, 0 }, IOERR },
		{ VIRTIO_BLK_T_DISCARD, ALL, false, { 17, 0 }, IOERR },
		{ VIRTIO_BLK_T_DISCARD, ALL, false, { 16, 16 }, IOERR },
		{ VIRTIO_BLK_T_DISCARD, ALL, false, { 32 * 16, 0 }, OK },
		{ VIRTIO_BLK_T_DISCARD, ALL, false, { 33 * 16, 0 }, IOERR },
		{ VIRTIO_BLK_T_DISCARD, ALL, false, { SIZE_MAX & ~(size_t)15, 0 }, IOERR },
		{ VIRTIO_BLK_T_WRITE_ZEROES, ALL, false, { 16, 0 }, OK },
		{ VIRTIO_BLK_T_WRITE_ZEROES, ALL, false, { 32, 0 }, IOERR },
		{ VIRTIO_BLK_T_WRITE_ZEROES, BLK_FEATURE(DISCARD), false, { 16, 0 }, UNSUPP },
		{ 2, ALL, false, { 16, 0 }, UNSUPP },  /* SCSI */
		{ 5, ALL, false, { 0, 0 }, UNSUPP },   /* FLUSH_OUT */
		{ 10, ALL, false, { 0, 6 }, UNSUPP },  /* GET_LIFETIME */
		{ 14, ALL, false, { 16, 0 }, UNSUPP }, /* SECURE_ERASE */
		{ 16, ALL, false, { 0, 64 }, UNSUPP }, /* ZONE_REPORT */
		{ 0x80000000, ALL, false, { 0, 512 }, UNSUPP },
		{ UINT32_MAX, ALL, true, { 1, 1 }, UNSUPP },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct blk_limits limits = limits_of(rows[i].features, rows[i].readonly);
		struct blk_request request;

		if (parse(rows[i].type, 0, rows[i].shape, &limits, &request) != rows[i].status)
			fail_msg("row %zu", i);
	}
}

static void put_range(uint8_t *bytes, unsigned int index, uint64_t sector, uint32_t sectors,
                      uint32_t flags)
{
	store_le64(bytes + index * 16, sector);
	store_le32(bytes + index * 16 + 8, sectors);
	store_le32(bytes + index * 16 + 12, flags);
}

static void test_ranges(void **state)
{
	static const struct {
		enum blk_kind kind;
		uint64_t sector;
		uint32_t sectors, flags;
		uint8_t status;
	} rows[] = {
		{ BLK_DISCARD, 0, 1, 0, OK },
		{ BLK_DISCARD, 0, SECTORS, 0, OK },
		{ BLK_DISCARD, 1, SECTORS, 0, IOERR },
		{ BLK_DISCARD, SECTORS, 1, 0, IOERR },
		{ BLK_DISCARD, 0, UINT32_MAX, 0, IOERR },
		{ BLK_DISCARD, UINT64_MAX, 1, 0, IOERR },
		{ BLK_DISCARD, UINT64_MAX / 512 + 1, 1, 0, IOERR },
		{ BLK_DISCARD, 0, 1, 1, UNSUPP }, /* unmap is no discard's */
		{ BLK_DISCARD, 0, 1, 2, UNSUPP },
		{ BLK_DISCARD, UINT64_MAX, 1, 2, UNSUPP },
		{ BLK_WRITE_ZEROES, 0, 1, 0, OK },
		{ BLK_WRITE_ZEROES, 0, 1, 1, OK },
		{ BLK_WRITE_ZEROES, 0, 1, 2, UNSUPP },
		{ BLK_WRITE_ZEROES, 0, 1, 0x80000001, UNSUPP },
		{ BLK_WRITE_ZEROES, SECTORS - 1, 2, 1, IOERR },
	};
	const struct blk_limits limits = limits_of(ALL, false);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct blk_request request = { .kind = rows[i].kind, .range_count = 2 };
		struct blk_range ranges[BLK_RANGES_MAX];
		uint8_t bytes[2 * BLK_RANGE_BYTES];
		unsigned int count;

		put_range(bytes, 0, 8, 4, 0);
		put_range(bytes, 1, rows[i].sector, rows[i].sectors, rows[i].flags);
		if (blk_ranges_parse(bytes, &request, &limits, ranges, &count) != rows[i].status)
			fail_msg("row %zu", i);
		if (rows[i].status != OK)
			continue;
		assert_int_equal(count, 2);
		assert_int_equal(ranges[0].offset_bytes, 8 * 512);
		assert_int_equal(ranges[0].size_bytes, 4 * 512);
		assert_false(ranges[0].unmap);
		assert_int_equal(ranges[1].offset_bytes, rows[i].sector * 512);
		assert_int_equal(ranges[1].size_bytes, rows[i].sectors * 512);
		assert_int_equal(ranges[1].unmap, rows[i].flags & 1);
	}
}

static void test_empty_ranges_are_left_out(void **state)
{
	const struct blk_request request = { .kind = BLK_DISCARD, .range_count = 3 };
	const struct blk_limits limits = limits_of(ALL, false);
	struct blk_range ranges[BLK_RANGES_MAX];
	uint8_t bytes[3 * BLK_RANGE_BYTES];
	unsigned int count;

	(void)state;
	put_range(bytes, 0, 0, 0, 0);
	put_range(bytes, 1, 16, 8, 0);
	put_range(bytes, 2, SECTORS, 0, 0);
	assert_int_equal(blk_ranges_parse(bytes, &request, &limits, ranges, &count), OK);
	assert_int_equal(count, 1);
	assert_int_equal(ranges[0].offset_bytes, 16 * 512);
}

static void test_longest_range(void **state)
{
	static const struct {
		enum blk_kind kind;
		uint32_t sectors_max;
	} rows[] = { { BLK_DISCARD, GIB / 512 }, { BLK_WRITE_ZEROES, 64 * MIB / 512 } };
	struct blk_limits limits = limits_of(ALL, false);
	struct blk_range ranges[BLK_RANGES_MAX];
	uint8_t bytes[BLK_RANGE_BYTES];
	unsigned int count;

	(void)state;
	limits.size_bytes = 4 * TIB;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct blk_request request = { .kind = rows[i].kind, .range_count = 1 };

		put_range(bytes, 0, 0, rows[i].sectors_max, 0);
		assert_int_equal(blk_ranges_parse(bytes, &request, &limits, ranges, &count), OK);
		put_range(bytes, 0, 0, rows[i].sectors_max + 1, 0);
		assert_int_equal(blk_ranges_parse(bytes, &request, &limits, ranges, &count), IOERR);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfers),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_empty_ranges_are_left_out),
		cmocka_unit_test(test_longest_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
