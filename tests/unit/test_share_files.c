/* SPDX-License-Identifier: Apache-2.0 */
/* Reading, writing, folders, attributes and locks of the file server. */
/* fakes: share_client */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "share_client.h"

#define ZERO UINT64_C(0)

static int read_at(struct share_client *client, uint32_t fid, uint64_t offset, uint32_t count)
{
	int ret = share_call(client, P9_READ, "dqd", fid, offset, count);

	return ret ? ret : (int)share_reply_number(client, 4);
}

static int write_at(struct share_client *client, uint32_t fid, uint64_t offset, const char *text)
{
	int ret = share_call(client, P9_WRITE, "dqdr", fid, offset, (unsigned int)strlen(text), text,
	                     strlen(text));

	return ret ? ret : (int)share_reply_number(client, 4);
}

static void test_read(void **state)
{
	struct share_client *client = *state;

	share_host_file(client, "file", "0123456789");
	assert_int_equal(share_open_path(client, 1, "file", 0), 0);
	assert_int_equal(read_at(client, 1, 3, 4), 4);
	assert_memory_equal(client->reply + P9_READ_HEAD_BYTES, "3456", 4);
	assert_int_equal(client->reply_bytes, P9_READ_HEAD_BYTES + 4);
	assert_int_equal(read_at(client, 1, 8, 100), 2);
	assert_int_equal(read_at(client, 1, 10, 100), 0);
	assert_int_equal(read_at(client, 1, INT64_MAX - 100, 100), 0);
	assert_int_equal(read_at(client, 1, (uint64_t)INT64_MAX + 1, 100), -EINVAL);
	assert_int_equal(write_at(client, 1, 0, "x"), -EBADF);
	assert_int_equal(read_at(client, 7, 0, 1), -EBADF);
	assert_int_equal(share_open_path(client, 2, "", 0), 0);
	assert_int_equal(read_at(client, 2, 0, 1), -EISDIR);
}

/* More than a message holds: as much as it does. */
static void test_read_and_write_of_a_message(void **state)
{
	const unsigned int most = SHARE_MESSAGE_MAX_BYTES - P9_READ_HEAD_BYTES;
	struct share_client *client = *state;

	share_host_file(client, "file", "");
	assert_int_equal(ftruncate(openat(client->folder_fd, "file", O_WRONLY | O_CLOEXEC), 1 << 20),
	                 0);
	assert_int_equal(share_open_path(client, 1, "file", 2), 0);
	assert_int_equal(read_at(client, 1, 0, UINT32_MAX), most);
	assert_int_equal(client->reply_bytes, SHARE_MESSAGE_MAX_BYTES);
	assert_int_equal(share_call(client, P9_VERSION, "ds", 4096u, "9P2000.L"), 0);
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "", "", 0u), 0);
	assert_int_equal(share_open_path(client, 1, "file", 0), 0);
	assert_int_equal(read_at(client, 1, 0, UINT32_MAX), 4096 - P9_READ_HEAD_BYTES);
	assert_int_equal(client->reply_bytes, 4096);
}

static void test_write(void **state)
{
	struct share_client *client = *state;

	share_host_file(client, "file", "");
	assert_int_equal(share_open_path(client, 1, "file", 1), 0);
	assert_int_equal(write_at(client, 1, 4, "abcd"), 4);
	assert_int_equal(share_host_stat(client, "file").st_size, 8);
	assert_int_equal(read_at(client, 1, 0, 1), -EBADF);
	assert_int_equal(write_at(client, 1, (uint64_t)INT64_MAX + 1, "x"), -EINVAL);
	assert_int_equal(write_at(client, 1, INT64_MAX - 1, "x"), -EFBIG);
	assert_int_equal(write_at(client, 1, 0, ""), 0);
	assert_int_equal(share_call(client, P9_FSYNC, "dd", 1u, 0u), 0);
	assert_int_equal(share_call(client, P9_FSYNC, "dd", 1u, 1u), 0);
	assert_int_equal(share_call(client, P9_FSYNC, "dd", 0u, 1u), -EBADF);
	/* With O_APPEND it goes where the client says all the same. */
	assert_int_equal(share_open_path(client, 2, "file", 02001), 0);
	assert_int_equal(write_at(client, 2, 0, "wxyz"), 4);
	assert_int_equal(share_host_stat(client, "file").st_size, 8);
	assert_int_equal(share_open_path(client, 3, "file", 01001), 0);
	assert_int_equal(share_host_stat(client, "file").st_size, 0);
	assert_int_equal(share_open_path(client, 4, "", 1), -EISDIR);
	assert_int_equal(share_open_path(client, 5, "file", 0200000), -ENOTDIR);
}

/* Reads all of an open folder, count bytes at a time; how many, with each once. */
static unsigned int read_folder(struct share_client *client, uint32_t fid, uint32_t count,
                                bool *ret_seen, unsigned int seen_max)
{
	uint64_t position = 0;
	unsigned int entries = 0;

	for (;;) {
		size_t bytes;

		assert_int_equal(share_call(client, P9_READDIR, "dqd", fid, position, count), 0);
		bytes = share_reply_number(client, 4);
		assert_true(bytes <= count);
		assert_int_equal(client->reply_bytes, P9_READ_HEAD_BYTES + bytes);
		if (!bytes)
			return entries;
		while (client->at < client->reply_bytes) {
			unsigned int number, length;
			char name[256];

			client->at += P9_QID_BYTES;
			position = share_reply_number(client, 8);
			client->at++;
			length = (unsigned int)share_reply_number(client, 2);
			snprintf(name, sizeof(name), "%.*s", (int)length,
			         (const char *)client->reply + client->at);
			client->at += length;
			entries++;
			if (sscanf(name, "name-%u", &number) != 1)
				continue;
			assert_true(number < seen_max && !ret_seen[number]);
			ret_seen[number] = true;
		}
	}
}

static void test_readdir(void **state)
{
	static const uint32_t counts[] = { 40, 100, 1000, 40000, UINT32_MAX };
	struct share_client *client = *state;
	char name[32];

	for (unsigned int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "name-%u", i);
		share_host_file(client, name, "");
	}
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		bool seen[300] = { false };

		assert_int_equal(share_open_path(client, 1, "", 0200000), 0);
		assert_int_equal(read_folder(client, 1, counts[i], seen, 300), 302);
		/* From the beginning once more, by the same fid. */
		memset(seen, 0, sizeof(seen));
		assert_int_equal(read_folder(client, 1, counts[i], seen, 300), 302);
		assert_int_equal(share_call(client, P9_CLUNK, "d", 1u), 0);
	}
	assert_int_equal(share_open_path(client, 1, "", 0), 0);
	assert_int_equal(share_call(client, P9_READDIR, "dqd", 1u, ZERO, 20u), -EINVAL);
	assert_int_equal(share_call(client, P9_READDIR, "dqd", 1u, ZERO, 0u), -EINVAL);
	assert_int_equal(share_call(client, P9_READDIR, "dqd", 1u, UINT64_MAX, 1000u), -EINVAL);
	assert_int_equal(share_call(client, P9_READDIR, "dqd", 0u, ZERO, 1000u), -EBADF);
	assert_int_equal(share_open_path(client, 2, "name-1", 0), 0);
	assert_int_equal(share_call(client, P9_READDIR, "dqd", 2u, ZERO, 1000u), -ENOTDIR);
}

/* What is above the share says no more than that it is the share. */
static void test_readdir_of_the_root(void **state)
{
	struct share_client *client = *state;
	const ino_t inode = share_host_stat(client, ".").st_ino;
	unsigned int found = 0;

	assert_int_equal(share_open_path(client, 1, "", 0), 0);
	assert_int_equal(share_call(client, P9_READDIR, "dqd", 1u, ZERO, 1000u), 0);
	client->at += 4;
	while (client->at < client->reply_bytes) {
		client->at += 5;
		found += share_reply_number(client, 8) == inode;
		client->at += 9;
		client->at += share_reply_number(client, 2);
	}
	assert_int_equal(found, 2);
}

static void test_getattr(void **state)
{
	struct share_client *client = *state;
	struct stat stat;

	share_host_file(client, "file", "12345");
	assert_int_equal(share_walk_path(client, 1, "file"), 0);
	stat = share_host_stat(client, "file");
	assert_int_equal(share_call(client, P9_GETATTR, "dq", 1u, P9_GETATTR_BASIC), 0);
	assert_int_equal(client->reply_bytes, 7 + 8 + 13 + 3 * 4 + 15 * 8);
	assert_int_equal(share_reply_number(client, 8) & P9_GETATTR_BASIC, P9_GETATTR_BASIC);
	client->at += 5;
	assert_int_equal(share_reply_number(client, 8), stat.st_ino);
	assert_int_equal(share_reply_number(client, 4), stat.st_mode);
	assert_int_equal(share_reply_number(client, 4), stat.st_uid);
	assert_int_equal(share_reply_number(client, 4), stat.st_gid);
	assert_int_equal(share_reply_number(client, 8), 1);
	assert_int_equal(share_reply_number(client, 8), 0);
	assert_int_equal(share_reply_number(client, 8), 5);
	assert_int_equal(share_reply_number(client, 8), stat.st_blksize);
	assert_int_equal(share_reply_number(client, 8), stat.st_blocks);
	assert_int_equal(share_reply_number(client, 8), stat.st_atim.tv_sec);
	assert_int_equal(share_reply_number(client, 8), stat.st_atim.tv_nsec);
	assert_int_equal(share_reply_number(client, 8), stat.st_mtim.tv_sec);
	assert_int_equal(share_reply_number(client, 8), stat.st_mtim.tv_nsec);
	assert_int_equal(share_reply_number(client, 8), stat.st_ctim.tv_sec);
	assert_int_equal(share_reply_number(client, 8), stat.st_ctim.tv_nsec);
	if (mknodat(client->folder_fd, "dev", S_IFCHR | 0600, 0xf1203) == 0) {
		assert_int_equal(share_walk_path(client, 2, "dev"), 0);
		assert_int_equal(share_call(client, P9_GETATTR, "dq", 2u, P9_GETATTR_BASIC), 0);
		client->at += 8 + 13 + 12 + 8;
		assert_int_equal(share_reply_number(client, 8), 0xf1203);
	}
}

static int set_attributes(struct share_client *client, uint32_t fid, unsigned int valid,
                          unsigned int mode, uint64_t size)
{
	return share_call(client, P9_SETATTR, "dddddqqqqq", fid, valid, mode, 0u, 0u, size,
	                  UINT64_C(1000), UINT64_C(7), UINT64_C(2000), UINT64_C(9));
}

static void test_setattr(void **state)
{
	struct share_client *client = *state;
	struct stat stat;

	share_host_file(client, "file", "12345");
	assert_int_equal(share_walk_path(client, 1, "file"), 0);
	assert_int_equal(set_attributes(client, 1, P9_SETATTR_MODE, 06751, 0), 0);
	assert_int_equal(share_host_stat(client, "file").st_mode, S_IFREG | 06751);
	assert_int_equal(set_attributes(client, 1, P9_SETATTR_SIZE, 0, 3), 0);
	assert_int_equal(share_host_stat(client, "file").st_size, 3);
	assert_int_equal(set_attributes(client, 1, P9_SETATTR_SIZE, 0, UINT64_MAX), -EINVAL);
	assert_int_equal(set_attributes(client, 1,
	                                P9_SETATTR_ATIME | P9_SETATTR_ATIME_SET | P9_SETATTR_MTIME |
	                                        P9_SETATTR_MTIME_SET,
	                                0, 0),
	                 0);
	stat = share_host_stat(client, "file");
	assert_true(stat.st_atim.tv_sec == 1000 && stat.st_atim.tv_nsec == 7);
	assert_true(stat.st_mtim.tv_sec == 2000 && stat.st_mtim.tv_nsec == 9);
	/* One of them, now. */
	assert_int_equal(set_attributes(client, 1, P9_SETATTR_MTIME, 0, 0), 0);
	stat = share_host_stat(client, "file");
	assert_true(stat.st_atim.tv_sec == 1000 && stat.st_mtim.tv_sec > 100000);
	assert_int_equal(set_attributes(client, 1, P9_SETATTR_CTIME, 0, 0), 0);
	assert_int_equal(share_call(client, P9_SETATTR, "dddddqqqqq", 1u, P9_SETATTR_MTIME | 0u, 0u,
	                            0u, 0u, ZERO, ZERO, ZERO, ZERO, UINT64_C(1000000000)),
	                 -EINVAL);
	/* By an open fid, that writes or not. */
	assert_int_equal(share_open_path(client, 2, "file", 1), 0);
	assert_int_equal(set_attributes(client, 2, P9_SETATTR_SIZE | P9_SETATTR_MODE, 0644, 7), 0);
	assert_int_equal(share_open_path(client, 3, "file", 0), 0);
	assert_int_equal(set_attributes(client, 3, P9_SETATTR_SIZE, 0, 8), 0);
	stat = share_host_stat(client, "file");
	assert_true(stat.st_size == 8 && (stat.st_mode & 07777) == 0644);
	assert_int_equal(set_attributes(client, 0, P9_SETATTR_SIZE, 0, 8), -EISDIR);
	assert_int_equal(set_attributes(client, 0, P9_SETATTR_MODE, 0700, 8), 0);
	assert_int_equal(set_attributes(client, 9, P9_SETATTR_MODE, 0700, 8), -EBADF);
	if (geteuid())
		return;
	assert_int_equal(share_call(client, P9_SETATTR, "dddddqqqqq", 1u,
	                            P9_SETATTR_UID | P9_SETATTR_GID | 0u, 0u, 12u, 34u, ZERO, ZERO,
	                            ZERO, ZERO, ZERO),
	                 0);
	stat = share_host_stat(client, "file");
	assert_true(stat.st_uid == 12 && stat.st_gid == 34);
}

static void test_statfs_and_locks(void **state)
{
	struct share_client *client = *state;

	assert_int_equal(share_call(client, P9_STATFS, "d", 0u), 0);
	assert_int_equal(client->reply_bytes, 7 + 4 + 4 + 6 * 8 + 4);
	assert_int_equal(share_call(client, P9_STATFS, "d", 1u), -EBADF);
	assert_int_equal(share_call(client, P9_LOCK, "dbdqqds", 0u, 1u, 0u, ZERO, ZERO, 9u, "host"),
	                 0);
	assert_int_equal(share_reply_number(client, 1), 0);
	assert_int_equal(share_call(client, P9_LOCK, "dbdqqds", 1u, 1u, 0u, ZERO, ZERO, 9u, "host"),
	                 -EBADF);
	assert_int_equal(share_call(client, P9_GETLOCK, "dbqqds", 0u, 1u, UINT64_C(5), UINT64_C(6),
	                            9u, "host"),
	                 0);
	assert_int_equal(share_reply_number(client, 1), 2); /* nobody's */
	assert_int_equal(share_reply_number(client, 8), 5);
	assert_int_equal(share_reply_number(client, 8), 6);
	assert_int_equal(share_reply_number(client, 4), 9);
	assert_int_equal(share_reply_number(client, 2), 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, share_client_set_up, share_client_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_read),    TEST(test_read_and_write_of_a_message),
		TEST(test_write),   TEST(test_readdir),
		TEST(test_getattr), TEST(test_readdir_of_the_root),
		TEST(test_setattr), TEST(test_statfs_and_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
