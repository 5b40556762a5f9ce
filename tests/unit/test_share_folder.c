/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile client cannot do: leave the folder, by any name, link or race; open what is no file
 * or folder; see file systems of the host's kernel. */
/* fakes: share_client */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "share_client.h"

static uint64_t inode_of(struct share_client *client, const char *path)
{
	return share_host_stat(client, path).st_ino;
}

/* The inode that a fid stands for. */
static uint64_t inode_of_fid(struct share_client *client, uint32_t fid)
{
	assert_int_equal(share_call(client, P9_GETATTR, "dq", fid, P9_GETATTR_BASIC), 0);
	client->at += 8 + 5;
	return share_reply_number(client, 8);
}

static void test_above_the_root_is_the_root(void **state)
{
	struct share_client *client = *state;

	assert_int_equal(share_walk_path(client, 1, ".."), 0);
	assert_int_equal(inode_of_fid(client, 1), inode_of(client, "."));
	assert_int_equal(share_walk_path(client, 2, "../../../.."), 0);
	assert_int_equal(inode_of_fid(client, 2), inode_of(client, "."));
	assert_int_not_equal(share_walk_path(client, 3, "../secret"), 0);
	assert_int_not_equal(share_walk_path(client, 3, "../../tmp"), 0);
}

static void test_names_that_are_none(void **state)
{
	static const char *const names[] = { "",        ".",  "/",       "a/b",   "/etc",
		                             "../secret", "..", "folder/", "./file" };
	struct share_client *client = *state;
	char longest[300];

	share_host_file(client, "file", "");
	assert_int_equal(mkdirat(client->folder_fd, "folder", 0755), 0);
	assert_int_equal(share_walk_path(client, 1, "folder"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *name = names[i];

		assert_int_equal(share_call(client, P9_WALK, "ddws", 1u, 9u, 1u, name), -EINVAL);
		assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 1u, name, 0755u, 0u),
		                 -EINVAL);
		assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 1u, name, 0x42u, 0644u, 0u),
		                 -EINVAL);
		assert_int_equal(share_call(client, P9_SYMLINK, "dssd", 1u, name, "x", 0u),
		                 -EINVAL);
		assert_int_equal(share_call(client, P9_MKNOD, "dsdddd", 1u, name, 0644u, 0u, 0u,
		                            0u),
		                 -EINVAL);
		assert_int_equal(share_call(client, P9_LINK, "dds", 1u, 1u, name), -EINVAL);
		assert_int_equal(share_call(client, P9_RENAMEAT, "dsds", 1u, name, 0u, "x"),
		                 -EINVAL);
		assert_int_equal(share_call(client, P9_RENAMEAT, "dsds", 0u, "file", 1u, name),
		                 -EINVAL);
		assert_int_equal(share_call(client, P9_UNLINKAT, "dsd", 1u, name, 0u), -EINVAL);
		assert_int_equal(share_call(client, P9_UNLINKAT, "dsd", 1u, name, 0x200u),
		                 -EINVAL);
	}
	assert_int_equal(share_call(client, P9_WALK, "ddwwr", 0u, 9u, 1u, 6u, "file\0x", (size_t)6),
	                 -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[256] = 0;
	assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 0u, longest, 0755u, 0u),
	                 -ENAMETOOLONG);
	longest[255] = 0;
	assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 0u, longest, 0755u, 0u), 0);
	/* Not UTF-8, not printable: a name like any other. */
	assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 0u, "\xff\xfe\x01\n", 0755u, 0u), 0);
	assert_true(share_host_has(client, "\xff\xfe\x01\n"));
	assert_int_equal(share_walk_path(client, 7, "\xff\xfe\x01\n"), 0);
}

static void test_symlinks_are_not_followed(void **state)
{
	struct share_client *client = *state;

	assert_int_equal(mkdirat(client->folder_fd, "folder", 0755), 0);
	assert_int_equal(symlinkat("../secret", client->folder_fd, "relative"), 0);
	assert_int_equal(symlinkat("/etc/passwd", client->folder_fd, "absolute"), 0);
	assert_int_equal(symlinkat("..", client->folder_fd, "up"), 0);
	assert_int_equal(symlinkat("folder", client->folder_fd, "inside"), 0);
	assert_int_equal(symlinkat("/proc/self/root", client->folder_fd, "magic"), 0);
	assert_int_equal(symlinkat("../created", client->folder_fd, "dangling"), 0);
	for (unsigned int i = 0; i < 5; i++) {
		static const char *const links[] = { "relative", "absolute", "up", "inside", "magic" };
		char below[32];

		assert_int_equal(share_walk_path(client, 1, links[i]), 0);
		assert_int_equal(inode_of_fid(client, 1), inode_of(client, links[i]));
		assert_int_equal(share_call(client, P9_LOPEN, "dd", 1u, 0u), -ELOOP);
		assert_int_equal(share_call(client, P9_WALK, "ddws", 1u, 2u, 1u, "x"), -ENOTDIR);
		assert_int_equal(share_call(client, P9_MKDIR, "dsdd", 1u, "x", 0755u, 0u), -ENOTDIR);
		assert_int_equal(share_call(client, P9_CLUNK, "d", 1u), 0);
		snprintf(below, sizeof(below), "%s/secret", links[i]);
		assert_int_not_equal(share_walk_path(client, 1, below), 0);
		/* Making a file of that name makes none where it points to, and opens none. */
		assert_int_equal(share_walk_path(client, 3, ""), 0);
		assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 3u, links[i], 0x42u, 0644u,
		                            0u),
		                 -ELOOP);
		assert_int_equal(share_call(client, P9_CLUNK, "d", 3u), 0);
	}
	assert_int_equal(share_walk_path(client, 3, ""), 0);
	assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 3u, "dangling", 0x42u, 0644u, 0u),
	                 -ELOOP);
	assert_false(share_host_has(client, "../created"));
	/* What a client makes of them is as harmless. */
	assert_int_equal(share_call(client, P9_SYMLINK, "dssd", 0u, "mine", "../secret", 0u), 0);
	assert_int_equal(share_walk_path(client, 4, "mine"), 0);
	assert_int_equal(share_call(client, P9_LOPEN, "dd", 4u, 0u), -ELOOP);
	/* A hard link of a symlink is one of the symlink. */
	assert_int_equal(share_call(client, P9_LINK, "dds", 0u, 4u, "again"), 0);
	assert_int_equal(inode_of(client, "again"), inode_of(client, "mine"));
	/* Neither its mode nor its size is that of what it points to. */
	assert_int_equal(share_call(client, P9_SETATTR, "dddddqqqqq", 4u, P9_SETATTR_MODE | 0u,
	                            0777u, 0u, 0u, UINT64_C(0), UINT64_C(0), UINT64_C(0),
	                            UINT64_C(0), UINT64_C(0)),
	                 -EOPNOTSUPP);
	assert_int_equal(share_call(client, P9_SETATTR, "dddddqqqqq", 4u, P9_SETATTR_SIZE | 0u, 0u,
	                            0u, 0u, UINT64_C(9), UINT64_C(0), UINT64_C(0), UINT64_C(0),
	                            UINT64_C(0)),
	                 -ELOOP);
}

static void test_special_files_are_never_opened(void **state)
{
	struct share_client *client = *state;
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int count = 2;

	assert_int_equal(mkfifoat(client->folder_fd, "fifo", 0666), 0);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", client->folder);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	close(fd);
	if (mknodat(client->folder_fd, "null", S_IFCHR | 0666, 0x103) == 0)
		count = 3;
	for (unsigned int i = 0; i < count; i++) {
		static const char *const names[] = { "fifo", "socket", "null" };

		assert_int_equal(share_walk_path(client, 1, names[i]), 0);
		for (unsigned int flags = 0; flags < 4; flags++)
			assert_int_equal(share_call(client, P9_LOPEN, "dd", 1u, flags), -ENXIO);
		assert_int_equal(share_call(client, P9_LOPEN, "dd", 1u, 01000u), -ENXIO);
		assert_int_equal(share_call(client, P9_SETATTR, "dddddqqqqq", 1u,
		                            P9_SETATTR_SIZE | 0u, 0u, 0u, 0u, UINT64_C(0),
		                            UINT64_C(0), UINT64_C(0), UINT64_C(0), UINT64_C(0)),
		                 -ENXIO);
		assert_int_equal(share_call(client, P9_READ, "dqd", 1u, UINT64_C(0), 1u), -EBADF);
		assert_int_equal(share_call(client, P9_CLUNK, "d", 1u), 0);
		assert_int_equal(share_walk_path(client, 1, ""), 0);
		assert_int_equal(share_call(client, P9_LCREATE, "dsddd", 1u, names[i], 0x42u, 0644u,
		                            0u),
		                 -ENXIO);
		assert_int_equal(share_call(client, P9_CLUNK, "d", 1u), 0);
	}
	/* Devices are not made either. */
	assert_int_equal(share_call(client, P9_MKNOD, "dsdddd", 0u, "dev", S_IFCHR | 0666u, 1u, 3u,
	                            0u),
	                 -EPERM);
	assert_int_equal(share_call(client, P9_MKNOD, "dsdddd", 0u, "dev", S_IFBLK | 0666u, 1u, 3u,
	                            0u),
	                 -EPERM);
	assert_int_equal(share_call(client, P9_MKNOD, "dsdddd", 0u, "dev", S_IFDIR | 0666u, 1u, 3u,
	                            0u),
	                 -EPERM);
	assert_false(share_host_has(client, "dev"));
}

struct swapper {
	struct share_client *client;
	_Atomic bool stop;
};

/* "swap" is a folder, and then a symlink out of the share, again and again. */
static void *swap(void *ctx)
{
	struct swapper *swapper = ctx;
	int fd = swapper->client->folder_fd;

	while (!swapper->stop) {
		(void)renameat(fd, "swap", fd, "folder");
		(void)renameat(fd, "link", fd, "swap");
		(void)renameat(fd, "swap", fd, "link");
		(void)renameat(fd, "folder", fd, "swap");
	}
	return NULL;
}

static void test_a_folder_that_becomes_a_symlink(void **state)
{
	struct swapper swapper = { .client = *state };
	struct share_client *client = *state;
	struct timespec now, end;
	unsigned int inside = 0, refused = 0;
	pthread_t thread;
	char path[128];

	assert_int_equal(mkdirat(client->folder_fd, "swap", 0755), 0);
	share_host_file(client, "swap/secret", "inside");
	snprintf(path, sizeof(path), "%s/secret", client->outside);
	assert_int_equal(truncate(path, 3), 0);
	assert_int_equal(symlinkat("..", client->folder_fd, "link"), 0);
	assert_int_equal(pthread_create(&thread, NULL, swap, &swapper), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec++;
	do {
		if (share_walk_path(client, 1, "swap/secret") == 0) {
			assert_int_equal(share_call(client, P9_LOPEN, "dd", 1u, 0u), 0);
			assert_int_equal(share_call(client, P9_READ, "dqd", 1u, UINT64_C(0), 9u), 0);
			assert_int_equal(share_reply_number(client, 4), 6);
			assert_memory_equal(client->reply + client->at, "inside", 6);
			assert_int_equal(share_call(client, P9_CLUNK, "d", 1u), 0);
			inside++;
		} else {
			refused++;
		}
		/* And making one through it. */
		if (share_walk_path(client, 1, "swap") == 0) {
			(void)share_call(client, P9_LCREATE, "dsddd", 1u, "made", 0x42u, 0644u, 0u);
			assert_int_equal(share_call(client, P9_CLUNK, "d", 1u), 0);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec ||
	         (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	swapper.stop = true;
	pthread_join(thread, NULL);
	assert_false(share_host_has(client, "../made"));
	assert_true(inside > 0);
	assert_true(refused > 0);
}

static bool mount_in(struct share_client *client, const char *name, const char *kind)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", client->folder, name);
	return mkdir(path, 0755) == 0 && mount(kind, path, kind, 0, NULL) == 0;
}

static void unmount_all(struct share_client *client)
{
	static const char *const names[] = { "proc", "data", "file" };
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", client->folder, names[i]);
		(void)umount2(path, MNT_DETACH);
	}
}

/* Of /proc, a file system of data, and a file of /proc; the first answer that is wrong. */
static int look_at_mounts(struct share_client *client)
{
	char path[128];
	int ret;

	if (!mount_in(client, "proc", "proc") || !mount_in(client, "data", "tmpfs"))
		return 77;
	share_host_file(client, "data/file", "data");
	share_host_file(client, "file", "");
	snprintf(path, sizeof(path), "%s/file", client->folder);
	if (mount("/proc/self/environ", path, NULL, MS_BIND, NULL))
		return 77;
	/* A file system of data is crossed to. */
	if (share_open_path(client, 1, "data/file", 0))
		return 1;
	/* That of processes is an empty folder. */
	if (share_walk_path(client, 2, "proc"))
		return 2;
	if (share_walk_path(client, 3, "proc/self") == 0 ||
	    share_walk_path(client, 3, "proc/version") == 0)
		return 3;
	if (share_call(client, P9_MKDIR, "dsdd", 2u, "x", 0755u, 0u) != -EACCES)
		return 4;
	if (share_call(client, P9_LOPEN, "dd", 2u, 0200000u))
		return 5;
	if (share_call(client, P9_READDIR, "dqd", 2u, UINT64_C(0), 4096u) ||
	    share_reply_number(client, 4) != 2 * P9_DIRENT_BYTES + 3)
		return 6;
	if (share_call(client, P9_READDIR, "dqd", 2u, UINT64_C(2), 4096u) ||
	    share_reply_number(client, 4) != 0)
		return 7;
	/* A file of it, wherever it is mounted, is none. */
	if (share_walk_path(client, 4, "file") != -EPERM)
		return 8;
	ret = share_call(client, P9_LCREATE, "dsddd", 0u, "file", 0x40u, 0644u, 0u);
	return ret == -EPERM ? 0 : 9;
}

/* Only where this process may mount: root's, and in a namespace of a child's own. */
static int look_in_a_namespace(void)
{
	struct share_client client;
	int ret;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 77;
	share_client_begin(&client, false);
	ret = look_at_mounts(&client);
	unmount_all(&client);
	share_client_end(&client);
	return ret;
}

static void test_file_systems_of_the_kernels_own(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(look_in_a_namespace());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_what_is_gone_stays_what_it_was(void **state)
{
	struct share_client *client = *state;

	share_host_file(client, "file", "first");
	assert_int_equal(share_walk_path(client, 1, "file"), 0);
	assert_int_equal(unlinkat(client->folder_fd, "file", 0), 0);
	assert_int_equal(symlinkat("../secret", client->folder_fd, "file"), 0);
	/* Opened by what it is, not by what is called so now. */
	assert_int_equal(share_call(client, P9_LOPEN, "dd", 1u, 0u), 0);
	assert_int_equal(share_call(client, P9_READ, "dqd", 1u, UINT64_C(0), 9u), 0);
	assert_memory_equal(client->reply + P9_READ_HEAD_BYTES, "first", 5);
}

static void test_qids_of_two_file_systems(void **state)
{
	struct share_client *client = *state;
	const struct share_server *server = client->server;
	struct p9_qid here = share_qid_of_entry(server, server->root.st_dev, 42, 4);
	struct p9_qid there = share_qid_of_entry(server, server->root.st_dev + 1, 42, 10);

	assert_int_equal(here.path, 42);
	assert_int_equal(here.type, P9_QID_DIR);
	assert_int_equal(there.type, P9_QID_SYMLINK);
	assert_int_not_equal(here.path, there.path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, share_client_set_up, share_client_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_above_the_root_is_the_root),
		TEST(test_names_that_are_none),
		TEST(test_symlinks_are_not_followed),
		TEST(test_special_files_are_never_opened),
		TEST(test_a_folder_that_becomes_a_symlink),
		TEST(test_file_systems_of_the_kernels_own),
		TEST(test_what_is_gone_stays_what_it_was),
		TEST(test_qids_of_two_file_systems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
