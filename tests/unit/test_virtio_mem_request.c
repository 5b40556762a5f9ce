/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mem's requests: parsed, judged by tables, answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../devices/virtio/virtio_mem_private.h"

#define REGION GIB
#define BLOCK  (4 * MIB)

static const struct mem_limits limits = {
	.gpa = REGION,
	.block_bytes = BLOCK,
	.usable_bytes = 64 * MIB,
	.requested_bytes = 32 * MIB,
	.plugged_bytes = 8 * MIB,
};

static void test_parse(void **state)
{
	static const struct {
		uint16_t type;
		enum memory_device_request kind;
	} rows[] = {
		{ VIRTIO_MEM_REQ_PLUG, MEMORY_DEVICE_PLUG },
		{ VIRTIO_MEM_REQ_UNPLUG, MEMORY_DEVICE_UNPLUG },
		{ VIRTIO_MEM_REQ_UNPLUG_ALL, MEMORY_DEVICE_UNPLUG_ALL },
		{ VIRTIO_MEM_REQ_STATE, MEMORY_DEVICE_STATE },
		{ 4, MEMORY_DEVICE_INVALID },
		{ 0xffff, MEMORY_DEVICE_INVALID },
		{ 0x0100, MEMORY_DEVICE_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t bytes[MEM_REQUEST_BYTES];
		struct mem_request request;

		memset(bytes, 0xff, sizeof(bytes)); /* padding means nothing */
		store_le16(bytes, rows[i].type);
		store_le64(bytes + 8, 0x1122334455667788);
		store_le16(bytes + 16, 0x99aa);
		mem_request_parse(bytes, &request);
		assert_int_equal(request.kind, rows[i].kind);
		assert_true(request.gpa == 0x1122334455667788);
		assert_int_equal(request.block_count, 0x99aa);
	}
}

static void test_valid(void **state)
{
	static const struct {
		gpa_t gpa;
		uint16_t blocks;
		bool valid;
	} rows[] = {
		{ REGION, 1, true },
		{ REGION, 16, true },
		{ REGION + 15 * BLOCK, 1, true },
		{ REGION, 0, false },
		{ REGION, 17, false },
		{ REGION + 15 * BLOCK, 2, false },
		{ REGION + 16 * BLOCK, 1, false },
		{ REGION - BLOCK, 1, false },
		{ REGION - BLOCK, 2, false },
		{ REGION + 1, 1, false },
		{ REGION + BLOCK / 2, 1, false },
		{ 0, 1, false },
		{ 0, UINT16_MAX, false },
		{ UINT64_MAX - BLOCK + 1, 1, false },
		{ UINT64_MAX - BLOCK + 1, UINT16_MAX, false },
		{ UINT64_MAX, 1, false },
		{ REGION, UINT16_MAX, false },
	};
	static const enum memory_device_request kinds[] = { MEMORY_DEVICE_PLUG,
		                                            MEMORY_DEVICE_UNPLUG,
		                                            MEMORY_DEVICE_STATE };
	struct mem_request request;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(kinds); j++) {
			request = (struct mem_request){ kinds[j], rows[i].gpa, rows[i].blocks };
			assert_int_equal(mem_request_is_valid(&request, &limits), rows[i].valid);
		}
		/* Nothing but its kind counts. */
		request = (struct mem_request){ MEMORY_DEVICE_UNPLUG_ALL, rows[i].gpa,
			                        rows[i].blocks };
		assert_true(mem_request_is_valid(&request, &limits));
		request.kind = MEMORY_DEVICE_INVALID;
		assert_false(mem_request_is_valid(&request, &limits));
	}
}

static void test_judge(void **state)
{
	static const struct {
		enum memory_device_request kind;
		uint16_t blocks;
		uint64_t requested_bytes;
		enum mem_blocks are;
		enum memory_device_answer answer;
	} rows[] = {
		{ MEMORY_DEVICE_PLUG, 1, 12 * MIB, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_ACK },
		{ MEMORY_DEVICE_PLUG, 6, 32 * MIB, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_ACK },
		{ MEMORY_DEVICE_PLUG, 7, 32 * MIB, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_NACK },
		{ MEMORY_DEVICE_PLUG, 1, 8 * MIB, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_NACK },
		{ MEMORY_DEVICE_PLUG, 1, 0, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_NACK },
		{ MEMORY_DEVICE_PLUG, 1, 4 * MIB, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_NACK },
		/* 5.15.6.1: what is plugged is an error, whatever is requested. */
		{ MEMORY_DEVICE_PLUG, 1, 32 * MIB, MEM_BLOCKS_PLUGGED, MEMORY_DEVICE_ERROR },
		{ MEMORY_DEVICE_PLUG, 2, 32 * MIB, MEM_BLOCKS_MIXED, MEMORY_DEVICE_ERROR },
		{ MEMORY_DEVICE_PLUG, 2, 0, MEM_BLOCKS_MIXED, MEMORY_DEVICE_ERROR },
		/* Below what is requested too: a driver may have less. */
		{ MEMORY_DEVICE_UNPLUG, 2, 32 * MIB, MEM_BLOCKS_PLUGGED, MEMORY_DEVICE_ACK },
		{ MEMORY_DEVICE_UNPLUG, 2, 0, MEM_BLOCKS_PLUGGED, MEMORY_DEVICE_ACK },
		{ MEMORY_DEVICE_UNPLUG, 2, 0, MEM_BLOCKS_MIXED, MEMORY_DEVICE_ERROR },
		{ MEMORY_DEVICE_UNPLUG, 2, 0, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_ERROR },
		{ MEMORY_DEVICE_STATE, 2, 0, MEM_BLOCKS_MIXED, MEMORY_DEVICE_ACK },
		{ MEMORY_DEVICE_UNPLUG_ALL, 0, 0, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_ACK },
		{ MEMORY_DEVICE_INVALID, 1, 0, MEM_BLOCKS_UNPLUGGED, MEMORY_DEVICE_ERROR },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct mem_request request = { rows[i].kind, REGION, rows[i].blocks };
		struct mem_limits own = limits;

		own.requested_bytes = rows[i].requested_bytes;
		assert_int_equal(mem_request_judge(&request, &own, rows[i].are), rows[i].answer);
	}
}

static void test_response(void **state)
{
	uint8_t bytes[MEM_RESPONSE_BYTES];

	(void)state;
	memset(bytes, 0xee, sizeof(bytes));
	mem_response_store(bytes, MEMORY_DEVICE_BUSY, MEM_BLOCKS_PLUGGED);
	assert_memory_equal(bytes, "\x02\0\0\0\0\0\0\0\0\0", sizeof(bytes));
	mem_response_store(bytes, MEMORY_DEVICE_ACK, MEM_BLOCKS_MIXED);
	assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\x02\0", sizeof(bytes));
	mem_response_store(bytes, MEMORY_DEVICE_NACK, MEM_BLOCKS_UNPLUGGED);
	assert_memory_equal(bytes, "\x01\0\0\0\0\0\0\0\x01\0", sizeof(bytes));
	mem_response_store(bytes, MEMORY_DEVICE_ERROR, MEM_BLOCKS_PLUGGED);
	assert_memory_equal(bytes, "\x03\0\0\0\0\0\0\0\0\0", sizeof(bytes));
}

static void test_usable(void **state)
{
	(void)state;
	assert_int_equal(mem_usable_bytes(0, 8 * GIB, 2 * MIB, GIB), 0);
	assert_int_equal(mem_usable_bytes(2 * MIB, 8 * GIB, 2 * MIB, GIB), 258 * MIB);
	assert_int_equal(mem_usable_bytes(GIB, 8 * GIB, GIB, GIB), 2 * GIB);
	assert_int_equal(mem_usable_bytes(8 * GIB, 8 * GIB, 2 * MIB, GIB), 8 * GIB);
	assert_int_equal(mem_usable_bytes(8 * GIB - 2 * MIB, 8 * GIB, 2 * MIB, GIB), 8 * GIB);
	assert_int_equal(mem_usable_bytes(2 * MIB, 4 * MIB, 2 * MIB, GIB), 4 * MIB);
	/* Linux's own blocks are up to 2 GiB there. */
	assert_int_equal(mem_usable_bytes(GIB, 16 * GIB, 2 * MIB, 64 * GIB), 5 * GIB);
	for (uint64_t size = 0; size <= 16 * TIB; size += 512 * GIB)
		assert_true(mem_usable_bytes(size, 16 * TIB, GIB, GIB) >= size);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(memory_device_answer_name(MEMORY_DEVICE_NACK), "nack");
	assert_string_equal(memory_device_request_name(MEMORY_DEVICE_UNPLUG_ALL), "unplug_all");
	for (unsigned int i = 0; i < MEMORY_DEVICE_ANSWER_COUNT; i++)
		assert_non_null(memory_device_answer_name(i));
	for (unsigned int i = 0; i < MEMORY_DEVICE_REQUEST_COUNT; i++)
		assert_non_null(memory_device_request_name(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),    cmocka_unit_test(test_valid),
		cmocka_unit_test(test_judge),    cmocka_unit_test(test_response),
		cmocka_unit_test(test_usable),   cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
