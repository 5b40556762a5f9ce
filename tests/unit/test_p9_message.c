/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of 9P2000.L: every type by a table, whole, cut short and with something behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/share/p9_message.h"
#include "ebb/bytes.h"

/* The sizes of a type's fields, as fs/9p and net/9p write them: bwdq, s a string "abc", D data "abc"
 * behind a count, W a walk of two names. */
static const struct {
	uint8_t type;
	const char *fields;
} messages[] = {
	{ P9_STATFS, "d" },
	{ P9_LOPEN, "dd" },
	{ P9_LCREATE, "dsddd" },
	{ P9_SYMLINK, "dssd" },
	{ P9_MKNOD, "dsdddd" },
	{ P9_RENAME, "dds" },
	{ P9_READLINK, "d" },
	{ P9_GETATTR, "dq" },
	{ P9_SETATTR, "dddddqqqqq" },
	{ P9_XATTRWALK, "dds" },
	{ P9_XATTRCREATE, "dsqd" },
	{ P9_READDIR, "dqd" },
	{ P9_FSYNC, "dd" },
	{ P9_LOCK, "dbdqqds" },
	{ P9_GETLOCK, "dbqqds" },
	{ P9_LINK, "dds" },
	{ P9_MKDIR, "dsdd" },
	{ P9_RENAMEAT, "dsds" },
	{ P9_UNLINKAT, "dsd" },
	{ P9_VERSION, "ds" },
	{ P9_AUTH, "dssd" },
	{ P9_ATTACH, "ddssd" },
	{ P9_FLUSH, "w" },
	{ P9_WALK, "ddW" },
	{ P9_READ, "dqd" },
	{ P9_WRITE, "dqD" },
	{ P9_CLUNK, "d" },
	{ P9_REMOVE, "d" },
};

struct text {
	uint8_t bytes[256];
	size_t size_bytes;
};

static void put(struct text *text, uint64_t value, size_t size_bytes)
{
	store_le(text->bytes + text->size_bytes, value, size_bytes);
	text->size_bytes += size_bytes;
}

static void put_bytes(struct text *text, size_t length_bytes)
{
	put(text, 3, length_bytes);
	memcpy(text->bytes + text->size_bytes, "abc", 3);
	text->size_bytes += 3;
}

/* Numbers count up from 1, so that each is seen where it belongs. */
static void build(struct text *text, uint8_t type, const char *fields)
{
	uint64_t number = 1;

	text->size_bytes = 0;
	put(text, 0, 4);
	put(text, type, 1);
	put(text, 0xabcd, 2);
	for (; *fields; fields++) {
		if (*fields == 's')
			put_bytes(text, 2);
		else if (*fields == 'D')
			put_bytes(text, 4);
		else if (*fields == 'W') {
			put(text, 2, 2);
			put_bytes(text, 2);
			put_bytes(text, 2);
		} else
			put(text, number++,
			    *fields == 'b'   ? 1
			    : *fields == 'w' ? 2
			    : *fields == 'd' ? 4
			                     : 8);
	}
	store_le32(text->bytes, (uint32_t)text->size_bytes);
}

/* In memory of just that size, so that a read behind it shows. */
static int parse(const struct text *text, size_t size_bytes, struct p9_request *ret_request)
{
	uint8_t *copy = malloc(size_bytes ? size_bytes : 1);
	int ret;

	memcpy(copy, text->bytes, size_bytes);
	if (size_bytes >= 4)
		store_le32(copy, (uint32_t)size_bytes);
	ret = p9_parse(copy, size_bytes, ret_request);
	/* What it points to must be in there. */
	for (unsigned int i = 0; i < ret_request->name_count; i++) {
		assert_true((const uint8_t *)ret_request->names[i].bytes >= copy);
		assert_true((const uint8_t *)ret_request->names[i].bytes +
		                    ret_request->names[i].length <=
		            copy + size_bytes);
	}
	if (!ret && ret_request->data)
		assert_memory_equal(ret_request->data, "abc", 3);
	free(copy);
	return ret;
}

static void test_every_type_whole_and_not(void **state)
{
	struct p9_request request;
	struct text text;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		build(&text, messages[i].type, messages[i].fields);
		assert_int_equal(parse(&text, text.size_bytes, &request), 0);
		assert_int_equal(request.type, messages[i].type);
		assert_int_equal(request.tag, 0xabcd);
		for (size_t size = 0; size < text.size_bytes; size++)
			assert_int_equal(parse(&text, size, &request), -EPROTO);
		assert_int_equal(parse(&text, text.size_bytes + 1, &request), -EPROTO);
		/* A size of its own that is not the packet's. */
		store_le32(text.bytes, (uint32_t)text.size_bytes + 1);
		assert_int_equal(p9_parse(text.bytes, text.size_bytes, &request), -EPROTO);
	}
}

static void test_other_types(void **state)
{
	struct p9_request request;
	struct text text;

	(void)state;
	for (unsigned int type = 0; type < 256; type++) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
			known = known || messages[i].type == type;
		if (known)
			continue;
		build(&text, (uint8_t)type, "");
		assert_int_equal(parse(&text, text.size_bytes, &request), -EOPNOTSUPP);
		assert_int_equal(request.type, type);
		assert_int_equal(request.tag, 0xabcd);
	}
}

static void test_fields_are_where_they_belong(void **state)
{
	struct p9_request r;
	struct text text;

	(void)state;
	build(&text, P9_LCREATE, "dsddd");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.flags == 2 && r.mode == 3 && r.gid == 4 && r.name_count == 1);
	build(&text, P9_MKNOD, "dsdddd");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.mode == 2 && r.major == 3 && r.minor == 4 && r.gid == 5);
	build(&text, P9_SETATTR, "dddddqqqqq");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.valid == 2 && r.mode == 3 && r.uid == 4 && r.gid == 5);
	assert_true(r.size == 6 && r.atime_s == 7 && r.atime_ns == 8 && r.mtime_s == 9 &&
	            r.mtime_ns == 10);
	build(&text, P9_LINK, "dds");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.new_fid == 1 && r.fid == 2);
	build(&text, P9_RENAMEAT, "dsds");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.new_fid == 2 && r.name_count == 2);
	build(&text, P9_WALK, "ddW");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.new_fid == 2 && r.name_count == 2 && r.names[1].length == 3);
	assert_memory_equal(r.names[1].bytes, "abc", 3);
	build(&text, P9_WRITE, "dqD");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.offset == 2 && r.count == 3);
	build(&text, P9_READDIR, "dqd");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.offset == 2 && r.count == 3);
	build(&text, P9_GETLOCK, "dbqqds");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.lock_type == 2 && r.lock_start == 3 && r.lock_length == 4 &&
	            r.lock_process == 5);
	build(&text, P9_UNLINKAT, "dsd");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.flags == 2);
	build(&text, P9_ATTACH, "ddssd");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.fid == 1 && r.new_fid == 2 && r.uid == 3);
	build(&text, P9_GETATTR, "dq");
	assert_int_equal(p9_parse(text.bytes, text.size_bytes, &r), 0);
	assert_true(r.request_mask == 2);
}

static void test_walk_of_too_many(void **state)
{
	struct p9_request request;
	struct text text;

	(void)state;
	for (unsigned int count = 16; count < 18; count++) {
		build(&text, P9_WALK, "dd");
		put(&text, count, 2);
		for (unsigned int i = 0; i < count; i++)
			put_bytes(&text, 2);
		assert_int_equal(parse(&text, text.size_bytes, &request),
		                 count == 16 ? 0 : -EPROTO);
		assert_int_equal(request.name_count, count == 16 ? 16 : 0);
	}
}

static void test_data_longer_than_the_message(void **state)
{
	struct p9_request request;
	struct text text;

	(void)state;
	build(&text, P9_WRITE, "dqD");
	store_le32(text.bytes + 19, 4);
	assert_int_equal(parse(&text, text.size_bytes, &request), -EPROTO);
	store_le32(text.bytes + 19, UINT32_MAX);
	assert_int_equal(parse(&text, text.size_bytes, &request), -EPROTO);
}

static void test_reply(void **state)
{
	const struct p9_qid qid = { .type = P9_QID_DIR, .version = 0x11223344, .path = 5 };
	const struct p9_request request = { .type = P9_LOPEN, .tag = 7 };
	uint8_t bytes[64];
	struct p9_reply reply;

	(void)state;
	p9_reply_begin(&reply, bytes, sizeof(bytes));
	p9_put_qid(&reply, &qid);
	p9_put_u32(&reply, 9);
	p9_put_u16(&reply, 2);
	p9_put_string(&reply, "xy", 2);
	assert_int_equal(p9_room_bytes(&reply), 64 - 7 - 13 - 4 - 2 - 4);
	assert_int_equal(p9_reply_end(&reply, &request, 0), 30);
	assert_memory_equal(bytes,
	                    "\x1e\0\0\0\x0d\x07\0\x80\x44\x33\x22\x11\x05\0\0\0\0\0\0\0"
	                    "\x09\0\0\0\x02\0\x02\0xy",
	                    30);
}

static void test_reply_of_an_error(void **state)
{
	const struct p9_request request = { .type = P9_READ, .tag = 0x102 };
	uint8_t bytes[64];
	struct p9_reply reply;

	(void)state;
	p9_reply_begin(&reply, bytes, sizeof(bytes));
	p9_put_u64(&reply, 1);
	assert_int_equal(p9_reply_end(&reply, &request, -ENOENT), P9_ERROR_BYTES);
	assert_memory_equal(bytes, "\x0b\0\0\0\x07\x02\x01\x02\0\0\0", P9_ERROR_BYTES);
}

static void test_reply_that_does_not_fit(void **state)
{
	const struct p9_request request = { .type = P9_READ, .tag = 1 };
	uint8_t bytes[P9_ERROR_BYTES + 4] = { 0 };
	struct p9_reply reply;

	(void)state;
	p9_reply_begin(&reply, bytes, sizeof(bytes) - 4);
	p9_put_u32(&reply, 1);
	p9_put_u8(&reply, 2);
	assert_true(reply.overflowed);
	assert_null(p9_put_room(&reply, 0));
	assert_int_equal(p9_reply_end(&reply, &request, 0), P9_ERROR_BYTES);
	assert_int_equal(load_le32(bytes + 7), EMSGSIZE);
	assert_int_equal(load_le32(bytes + P9_ERROR_BYTES), 0);
	p9_reply_begin(&reply, bytes, sizeof(bytes) - 4);
	p9_put_string(&reply, "abc", 3);
	assert_true(reply.overflowed);
	p9_reply_begin(&reply, bytes, sizeof(bytes) - 4);
	p9_put_string(&reply, "abc", UINT16_MAX + 1);
	assert_true(reply.overflowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_type_whole_and_not),
		cmocka_unit_test(test_other_types),
		cmocka_unit_test(test_fields_are_where_they_belong),
		cmocka_unit_test(test_walk_of_too_many),
		cmocka_unit_test(test_data_longer_than_the_message),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_reply_of_an_error),
		cmocka_unit_test(test_reply_that_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
