/* SPDX-License-Identifier: Apache-2.0 */
/* Walking, making, linking, renaming and removing names, on a folder of the test's own. */
/* fakes: share_client */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "share_client.h"

static void make_depth(struct share_client *client, unsigned int depth, char path[128])
{
	path[0] = 0;
	for (unsigned int i = 0; i < depth; i++) {
		strcat(path, i ? "/d" : "d");
		assert_int_equal(mkdirat(client->folder_fd, path, 0755), 0);
	}
}

static void test_walk_of_sixteen(void **state)
{
	struct share_client *client = *state;
	char path[128];

	make_depth(client, 17, path);
	path[31] = 0;
	assert_int_equal(share_walk_path(client, 1, path), 0);
	assert_int_equal(client->reply_bytes, 7 + 2 + 16 * P9_QID_BYTES);
	for (unsigned int i = 0; i < 15; i++)
		client->at += P9_QID_BYTES;
	assert_int_equal(share_reply_number(client, 1), P9_QID_DIR);
	client->at += 4;
	assert_int_equal(share_reply_number(client, 8), share_host_stat(client, path).st_ino);
	path[31] = '/';
	assert_int_equal(share_walk_path(client, 2, path), -EPROTO);
	/* From there on. */
	assert_int_equal(share_call(client, P9_WALK, "ddws", 1u, 2u, 1u, "d"), 0);
}

static void test_walk_of_a_part(void **state)
{
	struct share_client *client = *state;

	assert_int_equal(mkdirat(client->folder_fd, "a", 0755), 0);
	share_host_file(client, "a/file", "");
	assert_int_equal(share_call(client, P9_WALK, "ddwsss", 0u, 1u, 3u, "a", "b", "c"), 0);
	assert_int_equal(share_reply_number(client, 2), 1);
	assert_int_equal(share_call(client, P9_CLUNK, "d", 1u), -EBADF);
	assert_int_equal(share_call(client, P9_WALK, "ddwsss", 0u, 1u, 3u, "a", "file", "c"), 0);
	assert_int_equal(share_reply_number(client, 2), 2);
	assert_int_equal(share_call(client, P9_WALK, "ddws", 0u, 1u, 1u, "b"), -ENOENT);
	assert_int_equal(share_fids_count(client->server->fids), 1);
}

static void test_walk_fids(void **state)
{
	struct share_client *client = *state;

	share_host_file(client, "file", "x");
	assert_int_equal(share_call(client, P9_WALK, "ddw", 9u, 1u, 0u), -EBADF);
	assert_int_equal(share_call(client, P9_WALK, "ddw", 0u, P9_NO_FID, 0u), -EINVAL);
	assert_int_equal(share_walk_path(client, 1, "file"), 0);
	assert_int_equal(share_walk_path(client, 1, "file"), -EINVAL);
	/* In its own place; what fails leaves it as it was. */
	assert_int_equal(share_walk_path(client, 2, ""), 0);
	assert_int_equal(share_call(client, P9_WALK, "ddws", 2u, 2u, 1u, "none"), -ENOENT);
	assert_int_equal(share_call(client, P9_WALK, "ddws", 2u, 2u, 1u, "file"), 0);
	assert_int_equal(share_call(client, P9_WALK, "ddws", 2u, 3u, 1u, "x"), -ENOTDIR);
	/* A copy of an open one is not open. */
	assert_int_equal(share_call(client, P9_LOPEN, "dd", 2u, 0u), 0);
	assert_int_equal(share_call(client, P9_WALK, "ddw", 2u, 2u, 0u), -EINVAL);
	assert_int_equal(share_call(client, P9_WALK, "ddw", 2u, 3u, 0u), 0);
	assert_int_equal(share_call(client, P9_READ, "dqd", 3u, UINT64_C(0), 1u), -EBADF);
	assert_int_equal(share_call(client, P9_LOPEN, "dd", 3u, 2u), 0);
	assert_int_equal(share_call(client, P9_READ, "dqd", 3u, UINT64_C(0), 1u), 0);
}

static void test_lcreate(void **state)
{
	struct share_client *client = *state;
	struct stat stat;

	assert_int_equal(share_walk_path(client, 1, ""), 0);
	umask(0);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 1u, "new", 0x42u, 04640u, 0u), 0);
	stat = share_host_stat(client, "new");
	assert_int_equal(stat.st_mode, S_IFREG | 04640);
	assert_int_equal(share_reply_number(client, 1), P9_QID_FILE);
	client->at += 4;
	assert_int_equal(share_reply_number(client, 8), stat.st_ino);
	/* The fid is the file's, and open. */
	assert_int_equal(share_call(client, P9_WRITE, "dqdr", 1u, UINT64_C(0), 3u, "abc", (size_t)3),
	                 0);
	assert_int_equal(share_host_stat(client, "new").st_size, 3);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 1u, "b", 0x42u, 0644u, 0u),
	                 -ENOTDIR);
	/* One that is there: opened, unless O_EXCL. */
	assert_int_equal(share_walk_path(client, 2, ""), 0);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 2u, "new", 0xc2u, 0644u, 0u),
	                 -EEXIST);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 2u, "new", 0x40u, 0644u, 0u), 0);
	assert_int_equal(share_call(client, P9_READ, "dqd", 2u, UINT64_C(0), 9u), 0);
	assert_int_equal(share_reply_number(client, 4), 3);
	/* And truncated, if that is asked for. */
	assert_int_equal(share_walk_path(client, 3, ""), 0);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 3u, "new", 01102u, 0644u, 0u), 0);
	assert_int_equal(share_host_stat(client, "new").st_size, 0);
	/* A folder of that name is none. */
	assert_int_equal(mkdirat(client->folder_fd, "d", 0755), 0);
	assert_int_equal(share_walk_path(client, 4, ""), 0);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 4u, "d", 0x40u, 0644u, 0u), -EISDIR);
	assert_int_equal(share_call(client, P9_LOPEN, "dd", 4u, 0u), 0);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 4u, "e", 0x40u, 0644u, 0u), -EINVAL);
}

static void test_mkdir_mknod_symlink(void **state)
{
	struct share_client *client = *state;
	char target[5000];

	umask(0);
	assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 0u, "d", 01771u, 0u), 0);
	assert_int_equal(share_reply_number(client, 1), P9_QID_DIR);
	assert_int_equal(share_host_stat(client, "d").st_mode, S_IFDIR | 01771);
	assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 0u, "d", 0755u, 0u), -EEXIST);
	assert_int_equal(share_call(client, P9_MKNOD, "dsdddd", 0u, "fifo", S_IFIFO | 0600u, 0u, 0u,
	                            0u),
	                 0);
	assert_int_equal(share_host_stat(client, "fifo").st_mode, S_IFIFO | 0600);
	assert_int_equal(share_call(client, P9_MKNOD, "dsdddd", 0u, "sock", S_IFSOCK | 0600u, 0u, 0u,
	                            0u),
	                 0);
	assert_int_equal(share_call(client, P9_MKNOD, "dsdddd", 0u, "file", S_IFREG | 0600u, 0u, 0u,
	                            0u),
	                 0);
	assert_int_equal(share_call(client, P9_SYMLINK, "dssd", 0u, "l", "some/where", 0u), 0);
	assert_int_equal(share_reply_number(client, 1), P9_QID_SYMLINK);
	assert_int_equal(share_walk_path(client, 1, "l"), 0);
	assert_int_equal(share_call(client, P9_READLINK, "d", 1u), 0);
	assert_int_equal(share_reply_number(client, 2), 10);
	assert_memory_equal(client->reply + client->at, "some/where", 10);
	assert_int_equal(share_call(client, P9_READLINK, "d", 0u), -EINVAL);
	memset(target, 'x', sizeof(target));
	target[4096] = 0;
	assert_int_equal(share_call(client, P9_SYMLINK, "dssd", 0u, "m", target, 0u), -ENAMETOOLONG);
	target[4095] = 0;
	assert_int_equal(share_call(client, P9_SYMLINK, "dssd", 0u, "m", target, 0u), 0);
	assert_int_equal(share_call(client, P9_SYMLINK, "dssd", 0u, "n", "", 0u), -EINVAL);
	assert_int_equal(share_walk_path(client, 2, "m"), 0);
	assert_int_equal(share_call(client, P9_READLINK, "d", 2u), 0);
	assert_int_equal(share_reply_number(client, 2), 4095);
}

static void test_link_rename_unlink(void **state)
{
	struct share_client *client = *state;
	ino_t inode;

	share_host_file(client, "file", "content");
	inode = share_host_stat(client, "file").st_ino;
	assert_int_equal(mkdirat(client->folder_fd, "d", 0755), 0);
	assert_int_equal(share_walk_path(client, 1, "file"), 0);
	assert_int_equal(share_walk_path(client, 2, "d"), 0);
	assert_int_equal(share_call(client, P9_LINK, "dds", 2u, 1u, "linked"), 0);
	assert_int_equal(share_host_stat(client, "d/linked").st_ino, inode);
	assert_int_equal(share_call(client, P9_LINK, "dds", 2u, 1u, "linked"), -EEXIST);
	assert_int_equal(share_call(client, P9_LINK, "dds", 1u, 1u, "x"), -ENOTDIR);
	assert_int_equal(share_call(client, P9_LINK, "dds", 2u, 9u, "x"), -EBADF);
	assert_true(share_call(client, P9_LINK, "dds", 2u, 2u, "x") < 0); /* a folder */
	assert_int_equal(share_call(client, P9_RENAMEAT, "dsds", 2u, "linked", 0u, "moved"), 0);
	assert_int_equal(share_host_stat(client, "moved").st_ino, inode);
	assert_int_equal(share_call(client, P9_RENAMEAT, "dsds", 2u, "linked", 0u, "m"), -ENOENT);
	assert_int_equal(share_call(client, P9_RENAMEAT, "dsds", 2u, "x", 1u, "m"), -ENOTDIR);
	/* A fid goes along with what it stands for. */
	assert_int_equal(share_call(client, P9_RENAMEAT, "dsds", 0u, "d", 0u, "e"), 0);
	assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 2u, "in", 0755u, 0u), 0);
	assert_true(share_host_has(client, "e/in"));
	assert_int_equal(share_call(client, P9_UNLINKAT, "dsd", 0u, "moved", 0x200u), -ENOTDIR);
	assert_int_equal(share_call(client, P9_UNLINKAT, "dsd", 0u, "moved", 0u), 0);
	assert_false(share_host_has(client, "moved"));
	assert_int_equal(share_call(client, P9_UNLINKAT, "dsd", 0u, "e", 0u), -EISDIR);
	assert_int_equal(share_call(client, P9_UNLINKAT, "dsd", 0u, "e", 0x200u), -ENOTEMPTY);
	assert_int_equal(share_call(client, P9_UNLINKAT, "dsd", 2u, "in", 0x200u), 0);
	assert_int_equal(share_call(client, P9_UNLINKAT, "dsd", 0u, "e", 0x200u), 0);
	/* What is made in a folder that is gone. */
	assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 2u, "in", 0755u, 0u), -ENOENT);
}

/* As root, whose server may take another user's number. */
static void test_owner_of_what_is_made(void **state)
{
	struct share_client *client = *state;
	struct stat stat;
	long bits = prctl(PR_GET_SECUREBITS);

	if (geteuid() || bits < 0 ||
	    prctl(PR_SET_SECUREBITS, (unsigned long)bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
		skip();
	client->server->sets_owner = true;
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 1u, P9_NO_FID, "", "", 1234u), 0);
	assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 1u, "d", 0700u, 2345u), 0);
	stat = share_host_stat(client, "d");
	assert_true(stat.st_uid == 1234 && stat.st_gid == 2345);
	assert_int_equal(share_call(client, P9_SYMLINK, "dssd", 1u, "l", "x", 2346u), 0);
	stat = share_host_stat(client, "l");
	assert_true(stat.st_uid == 1234 && stat.st_gid == 2346);
	assert_int_equal(share_call(client, P9_MKNOD, "dsdddd", 1u, "n", S_IFIFO | 0600u, 0u, 0u,
	                            2347u),
	                 0);
	stat = share_host_stat(client, "n");
	assert_true(stat.st_uid == 1234 && stat.st_gid == 2347);
	/* In a folder of somebody else's, as the guest's root: the guest judges, not the host. */
	assert_int_equal(share_call(client, P9_WALK, "ddws", 0u, 2u, 1u, "d"), 0);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 2u, "f", 0x42u, 0600u, 0u), 0);
	stat = share_host_stat(client, "d/f");
	assert_true(stat.st_uid == 0 && stat.st_gid == 0);
	/* What walks from a user's attach is that user's. */
	assert_int_equal(share_call(client, P9_WALK, "ddws", 1u, 3u, 1u, "d"), 0);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 3u, "g", 0x42u, 04700u, 1u), 0);
	stat = share_host_stat(client, "d/g");
	assert_true(stat.st_uid == 1234 && stat.st_gid == 1 && (stat.st_mode & 07777) == 04700);
	assert_int_equal(share_owner_begin(client->server, P9_NO_UID, 0), -EPERM);
	client->server->sets_owner = false;
	assert_int_equal(prctl(PR_SET_SECUREBITS, (unsigned long)bits, 0, 0, 0), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, share_client_set_up, share_client_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_walk_of_sixteen),     TEST(test_walk_of_a_part),
		TEST(test_walk_fids),           TEST(test_lcreate),
		TEST(test_mkdir_mknod_symlink), TEST(test_link_rename_unlink),
		TEST(test_owner_of_what_is_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
