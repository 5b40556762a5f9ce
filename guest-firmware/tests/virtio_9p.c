/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-9p by hand: a folder is attached, walked, read and written as 9P2000.L says, and then
 * everything is tried that leads out of it. tests/guest/one.sh makes the folder (@folder): "hello",
 * "sub/file", "fifo", and symlinks "out" and "up" to what lies outside. With the word readonly on
 * the command line nothing may be changed.
 */
#include "command_line.h"
#include "platform.h"
#include "report.h"
#include "string.h"
#include "virtio.h"

#define MESSAGE_BYTES 8192
#define NO_FID        0xffffffffu

enum {
	LERROR = 7, /* as a reply */
	LOPEN = 12,
	LCREATE = 14,
	SYMLINK = 16,
	MKNOD = 18,
	READLINK = 22,
	GETATTR = 24,
	SETATTR = 26,
	READDIR = 40,
	MKDIR = 72,
	RENAMEAT = 74,
	UNLINKAT = 76,
	VERSION = 100,
	ATTACH = 104,
	WALK = 110,
	READ = 116,
	WRITE = 118,
	CLUNK = 120,
};

enum { NOT_PERMITTED = 1, NO_ENTRY = 2, BAD_FID = 9, INVALID = 22, READ_ONLY = 30, A_LINK = 40 };

static struct virtio_device vdev;
static uint8_t request[MESSAGE_BYTES], reply[MESSAGE_BYTES];
static uint32_t request_bytes, reply_bytes;
static uint16_t tag;

static void put(uint64_t value, unsigned int size_bytes)
{
	while (size_bytes--) {
		request[request_bytes++] = (uint8_t)value;
		value >>= 8;
	}
}

static void put_string(const char *string)
{
	put(strlen(string), 2);
	memcpy(request + request_bytes, string, strlen(string));
	request_bytes += (uint32_t)strlen(string);
}

static uint64_t get(unsigned int offset, unsigned int size_bytes)
{
	uint64_t value = 0;

	while (size_bytes--)
		value = value << 8 | reply[offset + size_bytes];
	return value;
}

static void begin(uint8_t type)
{
	request_bytes = 0;
	put(0, 4);
	put(type, 1);
	put(++tag, 2);
}

/* Sends what was put; 0, the error's number, or -1: no answer that goes with it. */
static int call(void)
{
	struct virtq_buffer buffers[] = {
		{ (uintptr_t)request, 7, false },
		{ (uintptr_t)request + 7, request_bytes - 7, false },
		{ (uintptr_t)reply, 11, true },
		{ (uintptr_t)reply + 11, MESSAGE_BYTES - 11, true },
	};
	unsigned int i;

	for (i = 0; i < 4; i++)
		request[i] = (uint8_t)(request_bytes >> 8 * i);
	memset(reply, 0, sizeof(reply));
	if (!virtq_transfer(&vdev.queues[0], buffers, 4, &reply_bytes) || reply_bytes < 7 ||
	    get(0, 4) != reply_bytes || get(5, 2) != tag)
		return -1;
	if (reply[4] == LERROR)
		return (int)get(7, 4);
	return reply[4] == request[4] + 1 ? 0 : -1;
}

static int walk(uint32_t new_fid, const char *first, const char *second)
{
	unsigned int count = !!first + !!second;
	int ret;

	begin(WALK);
	put(0, 4);
	put(new_fid, 4);
	put(count, 2);
	if (first)
		put_string(first);
	if (second)
		put_string(second);
	ret = call();
	/* Part of the way is not there. */
	return ret || get(7, 2) == count ? ret : NO_ENTRY;
}

static int clunk(uint32_t fid)
{
	begin(CLUNK);
	put(fid, 4);
	return call();
}

static int open_fid(uint32_t fid, uint32_t flags)
{
	begin(LOPEN);
	put(fid, 4);
	put(flags, 4);
	return call();
}

/* Bytes read, at reply + 11; or the error, negative. */
static int read_fid(uint32_t fid, uint64_t offset, uint32_t count)
{
	int ret;

	begin(READ);
	put(fid, 4);
	put(offset, 8);
	put(count, 4);
	ret = call();
	return ret ? -ret : (int)get(7, 4);
}

static int write_fid(uint32_t fid, uint64_t offset, const char *text)
{
	int ret;

	begin(WRITE);
	put(fid, 4);
	put(offset, 8);
	put(strlen(text), 4);
	memcpy(request + request_bytes, text, strlen(text));
	request_bytes += (uint32_t)strlen(text);
	ret = call();
	return ret ? -ret : (int)get(7, 4);
}

static int create(const char *name)
{
	int ret = walk(50, NULL, NULL);

	begin(LCREATE);
	put(50, 4);
	put_string(name);
	put(0102, 4); /* O_RDWR, O_CREAT */
	put(0644, 4);
	put(0, 4);
	ret = ret ? ret : call();
	return ret;
}

/* A request of a name in a folder, and numbers of four bytes behind it. */
static int name_call(uint8_t type, uint32_t fid, const char *name, const uint32_t *numbers,
                     unsigned int count)
{
	begin(type);
	put(fid, 4);
	put_string(name);
	while (count--)
		put(*numbers++, 4);
	return call();
}

static bool attach(void)
{
	begin(VERSION);
	put(MESSAGE_BYTES, 4);
	put_string("9P2000.L");
	if (!CHECK_EQUAL("version", call(), 0) ||
	    !CHECK_EQUAL("size of a message", get(7, 4), 8192))
		return false;
	begin(ATTACH);
	put(0, 4);
	put(NO_FID, 4);
	put_string("");
	put_string("");
	put(0, 4);
	return CHECK_EQUAL("attach", call(), 0) && CHECK_EQUAL("a folder", reply[7], 0x80);
}

static void test_config(void)
{
	char name[8] = "";
	unsigned int i;

	CHECK_EQUAL("the tag's length", virtio_config_read16(&vdev, 0), 5);
	for (i = 0; i < 5; i++)
		name[i] = (char)virtio_config_read8(&vdev, 2 + i);
	CHECK("the tag", !strcmp(name, "guest"));
}

static void test_read(void)
{
	CHECK_EQUAL("read: walk", walk(1, "hello", NULL), 0);
	CHECK_EQUAL("read: open", open_fid(1, 0), 0);
	CHECK_EQUAL("read: all of it", read_fid(1, 0, 4096), 20);
	CHECK("read: what it is", !memcmp(reply + 11, "hello from the host\n", 20));
	CHECK_EQUAL("read: from an offset", read_fid(1, 6, 4), 4);
	CHECK("read: what is there", !memcmp(reply + 11, "from", 4));
	CHECK_EQUAL("read: behind the end", read_fid(1, 20, 10), 0);
	CHECK_EQUAL("read: two steps", walk(2, "sub", "file"), 0);
	CHECK_EQUAL("read: not there", walk(3, "nothing", NULL), NO_ENTRY);
	CHECK_EQUAL("read: a fid that is not", read_fid(99, 0, 1), (uint64_t)-BAD_FID);
	clunk(1);
	clunk(2);
}

static void test_folder(void)
{
	unsigned int entries = 0, at;

	CHECK_EQUAL("folder: walk", walk(1, NULL, NULL), 0);
	CHECK_EQUAL("folder: open", open_fid(1, 0200000), 0);
	begin(READDIR);
	put(1, 4);
	put(0, 8);
	put(4096, 4);
	CHECK_EQUAL("folder: read", call(), 0);
	for (at = 11; at + 24 <= reply_bytes; at += 24 + (unsigned int)get(at + 22, 2))
		entries++;
	/* ".", "..", and what @folder has. */
	CHECK("folder: entries", entries >= 7);
	CHECK_EQUAL("folder: to the end", at, reply_bytes);
	clunk(1);
}

static void test_write(void)
{
	static const uint32_t folder[] = { 0755, 0 }, remove_folder[] = { 0x200 };

	CHECK_EQUAL("write: create", create("made"), 0);
	CHECK_EQUAL("write: write", write_fid(50, 0, "by the guest"), 12);
	CHECK_EQUAL("write: read back", read_fid(50, 3, 100), 9);
	CHECK("write: what is there", !memcmp(reply + 11, "the guest", 9));
	CHECK_EQUAL("write: clunk", clunk(50), 0);
	CHECK_EQUAL("write: a folder", name_call(MKDIR, 0, "folder", folder, 2), 0);
	CHECK_EQUAL("write: no folder any more", name_call(UNLINKAT, 0, "folder", remove_folder, 1),
	            0);
}

static void test_readonly(void)
{
	static const uint32_t zeroes[4];
	unsigned int flags;

	CHECK_EQUAL("read-only: create", create("made"), READ_ONLY);
	clunk(50);
	CHECK_EQUAL("read-only: a folder", name_call(MKDIR, 0, "folder", zeroes, 2), READ_ONLY);
	CHECK_EQUAL("read-only: remove", name_call(UNLINKAT, 0, "hello", zeroes, 1), READ_ONLY);
	CHECK_EQUAL("read-only: a node", name_call(MKNOD, 0, "node", zeroes, 4), READ_ONLY);
	walk(1, "hello", NULL);
	for (flags = 1; flags < 4; flags++)
		EXPECT_EQUAL("read-only: open", open_fid(1, flags), READ_ONLY);
	EXPECT_EQUAL("read-only: open", open_fid(1, 01000), READ_ONLY);
	report_section("read-only: open");
	CHECK_EQUAL("read-only: open to read", open_fid(1, 0), 0);
	CHECK_EQUAL("read-only: write by it", write_fid(1, 0, "x"), (uint64_t)-READ_ONLY);
	begin(SETATTR);
	put(1, 4);
	memset(request + request_bytes, 0, 56);
	request[request_bytes] = 8; /* the size */
	request_bytes += 56;
	CHECK_EQUAL("read-only: truncate", call(), READ_ONLY);
	CHECK_EQUAL("read-only: it is as it was", read_fid(1, 0, 100), 20);
	clunk(1);
}

/* Whatever it is called, nothing outside is found, and no answer is another error than it should
 * be. */
static void test_escapes(void)
{
	static const char *const names[] = { "/", "/etc/passwd", "../..", "sub/file", ".", "" };
	unsigned int i;

	CHECK_EQUAL("escape: above is the folder itself", walk(1, "..", "hello"), 0);
	clunk(1);
	CHECK("escape: above and down", walk(1, "..", "etc"));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		EXPECT_EQUAL("escape: names that are none", walk(1, names[i], NULL), INVALID);
	report_section("escape: names that are none");
	CHECK_EQUAL("escape: above a folder in it", walk(1, "sub", ".."), NO_ENTRY);
	CHECK_EQUAL("escape: a symlink is a symlink", walk(1, "out", NULL), 0);
	CHECK_EQUAL("escape: and is not opened", open_fid(1, 0), A_LINK);
	begin(READLINK);
	put(1, 4);
	CHECK_EQUAL("escape: but read", call(), 0);
	clunk(1);
	CHECK("escape: nor walked through", walk(1, "up", "hello") && walk(1, "out", "x"));
	CHECK_EQUAL("escape: a FIFO", walk(1, "fifo", NULL), 0);
	CHECK_EQUAL("escape: is not opened", open_fid(1, 0), 6);
	clunk(1);
}

static void test_made_escapes(void)
{
	static const uint32_t device[] = { 020666, 1, 3, 0 };

	begin(SYMLINK);
	put(0, 4);
	put_string("mine");
	put_string("/etc");
	put(0, 4);
	CHECK_EQUAL("escape: a symlink of one's own", call(), 0);
	CHECK("escape: is none to walk", walk(1, "mine", "passwd"));
	CHECK_EQUAL("escape: a device is not made", name_call(MKNOD, 0, "null", device, 4),
	            NOT_PERMITTED);
	begin(RENAMEAT);
	put(0, 4);
	put_string("mine");
	put(0, 4);
	put_string("../mine");
	CHECK_EQUAL("escape: no rename to outside", call(), INVALID);
	begin(UNLINKAT);
	put(0, 4);
	put_string("mine");
	put(0, 4);
	CHECK_EQUAL("escape: it is removed", call(), 0);
}

void test_main(void)
{
	if (!virtio_find(VIRTIO_ID_9P, 0, &vdev)) {
		report_skip("virtio-9p", "no such device");
		return;
	}
	if (!CHECK("comes up", virtio_start(&vdev, 1, 1)))
		return;
	test_config();
	if (!attach())
		return;
	test_read();
	test_folder();
	test_escapes();
	if (option_present("readonly")) {
		test_readonly();
	} else {
		test_write();
		test_made_escapes();
	}
	/* Another driver begins anew. */
	CHECK("reset", virtio_reset(&vdev) && virtio_start(&vdev, 1, 1));
	if (attach())
		test_read();
}
