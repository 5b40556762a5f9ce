/* SPDX-License-Identifier: Apache-2.0 */
/* The file server: what begins and ends a session, what a read-only share refuses, limits. */
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
#include <sys/resource.h>
#include <unistd.h>

#include "open_fds.h"
#include "share_client.h"

static struct share_client *begin(bool readonly)
{
	struct share_client *client = malloc(sizeof(*client));

	share_client_begin(client, readonly);
	return client;
}

static void end(struct share_client *client)
{
	share_client_end(client);
	free(client);
}

static void test_version(void **state)
{
	struct share_client *client = malloc(sizeof(*client));
	char name[32] = "";

	(void)state;
	share_client_create(client, false, 64);
	/* Nothing before it. */
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "", "", 0u),
	                 -EPROTO);
	assert_int_equal(share_call(client, P9_VERSION, "ds", 8192u, "9P2000.L"), 0);
	assert_int_equal(share_reply_number(client, 4), 8192);
	assert_int_equal(share_reply_number(client, 2), 8);
	assert_memory_equal(client->reply + client->at, "9P2000.L", 8);
	assert_int_equal(share_call(client, P9_VERSION, "ds", UINT32_MAX, "9P2000.L"), 0);
	assert_int_equal(share_reply_number(client, 4), SHARE_MESSAGE_MAX_BYTES);
	assert_int_equal(share_call(client, P9_VERSION, "ds", 4095u, "9P2000.L"), -EMSGSIZE);
	assert_int_equal(share_call(client, P9_VERSION, "ds", 8192u, "9P2000.u"), 0);
	memcpy(name, client->reply + 13, 7);
	assert_string_equal(name, "unknown");
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "", "", 0u),
	                 -EPROTO);
	end(client);
}

static void test_version_forgets_fids(void **state)
{
	struct share_client *client = begin(false);
	const unsigned int fds = open_fd_count();

	(void)state;
	for (unsigned int i = 1; i < 20; i++)
		assert_int_equal(share_walk_path(client, i, ""), 0);
	assert_int_equal(open_fd_count(), fds + 19);
	assert_int_equal(share_call(client, P9_VERSION, "ds", 8192u, "9P2000.L"), 0);
	assert_int_equal(open_fd_count(), fds - 1); /* the root's too */
	assert_int_equal(share_call(client, P9_CLUNK, "d", 3u), -EBADF);
	end(client);
}

static void test_attach(void **state)
{
	struct share_client *client = begin(false);
	struct stat stat;

	(void)state;
	assert_int_equal(share_call(client, P9_AUTH, "dssd", 5u, "", "", 0u), -EOPNOTSUPP);
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 5u, 5u, "", "", 0u), -EINVAL);
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "", "", 0u),
	                 -EINVAL);
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", P9_NO_FID, P9_NO_FID, "", "", 0u),
	                 -EINVAL);
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 1u, P9_NO_FID, "u", "a", 1000u), 0);
	assert_int_equal(fstat(client->folder_fd, &stat), 0);
	assert_int_equal(share_reply_number(client, 1), P9_QID_DIR);
	assert_int_not_equal(share_reply_number(client, 4), 0);
	assert_int_equal(share_reply_number(client, 8), stat.st_ino);
	end(client);
}

static void test_what_is_not_supported(void **state)
{
	struct share_client *client = begin(false);

	(void)state;
	assert_int_equal(share_call(client, P9_XATTRWALK, "dds", 0u, 1u, "user.x"), -EOPNOTSUPP);
	assert_int_equal(share_call(client, P9_XATTRCREATE, "dsqd", 0u, "user.x", UINT64_C(1), 0u),
	                 -EOPNOTSUPP);
	assert_int_equal(share_call(client, P9_RENAME, "dds", 0u, 0u, "x"), -EOPNOTSUPP);
	assert_int_equal(share_call(client, 112, "db", 0u, 0u), -EOPNOTSUPP); /* Topen of 9P2000 */
	assert_int_equal(share_call(client, P9_FLUSH, "w", 1u), 0);
	/* It clunks all the same. */
	assert_int_equal(share_walk_path(client, 1, ""), 0);
	assert_int_equal(share_call(client, P9_REMOVE, "d", 1u), -EOPNOTSUPP);
	assert_int_equal(share_call(client, P9_CLUNK, "d", 1u), -EBADF);
	/* A message that is none. */
	share_client_write(client, P9_CLUNK, "db", 0u, 0u);
	assert_int_equal(share_client_send(client), -EPROTO);
	end(client);
}

/* Every type there is, with fields that would do something on a share that may be written. */
static void test_readonly_refuses_all_that_changes(void **state)
{
	struct share_client *client = begin(true);
	bool seen[256] = { false };
	struct stat before, after;

	(void)state;
	share_host_file(client, "file", "content");
	assert_int_equal(fstatat(client->folder_fd, "file", &before, 0), 0);
	assert_int_equal(share_walk_path(client, 1, "file"), 0);
	assert_int_equal(share_open_path(client, 2, "file", 0), 0);
#define REFUSED(type, ...) \
	do { \
		assert_int_equal(share_call(client, type, __VA_ARGS__), -EROFS); \
		seen[type] = true; \
	} while (0)
	REFUSED(P9_LCREATE, "dsddd", 0u, "new", 0x42u, 0644u, 0u);
	REFUSED(P9_SYMLINK, "dssd", 0u, "new", "to", 0u);
	REFUSED(P9_MKNOD, "dsdddd", 0u, "new", S_IFIFO | 0644u, 0u, 0u, 0u);
	REFUSED(P9_RENAME, "dds", 1u, 0u, "new");
	REFUSED(P9_SETATTR, "dddddqqqqq", 1u, P9_SETATTR_MODE | 0u, 0777u, 0u, 0u, UINT64_C(0),
	        UINT64_C(0), UINT64_C(0), UINT64_C(0), UINT64_C(0));
	REFUSED(P9_SETATTR, "dddddqqqqq", 1u, P9_SETATTR_SIZE | 0u, 0u, 0u, 0u, UINT64_C(0),
	        UINT64_C(0), UINT64_C(0), UINT64_C(0), UINT64_C(0));
	REFUSED(P9_XATTRCREATE, "dsqd", 1u, "user.x", UINT64_C(1), 0u);
	REFUSED(P9_LINK, "dds", 0u, 1u, "new");
	REFUSED(P9_MKDIR, "dsdd", 0u, "new", 0755u, 0u);
	REFUSED(P9_RENAMEAT, "dsds", 0u, "file", 0u, "new");
	REFUSED(P9_UNLINKAT, "dsd", 0u, "file", 0u);
	REFUSED(P9_WRITE, "dqdr", 2u, UINT64_C(0), 1u, "x", (size_t)1);
	/* O_WRONLY, O_RDWR, what has no name, O_TRUNC, O_CREAT. */
	REFUSED(P9_LOPEN, "dd", 1u, 1u);
	REFUSED(P9_LOPEN, "dd", 1u, 2u);
	REFUSED(P9_LOPEN, "dd", 1u, 3u);
	REFUSED(P9_LOPEN, "dd", 1u, 01000u);
	REFUSED(P9_LOPEN, "dd", 1u, 0100u);
#undef REFUSED
	for (unsigned int type = 0; type < 256; type++) {
		/* What is left is known to change nothing. */
		static const uint8_t harmless[] = {
			P9_STATFS,    P9_READLINK, P9_GETATTR, P9_XATTRWALK, P9_READDIR,
			P9_FSYNC,     P9_LOCK,     P9_GETLOCK, P9_VERSION,   P9_AUTH,
			P9_ATTACH,    P9_FLUSH,    P9_WALK,    P9_READ,      P9_CLUNK,
			P9_REMOVE,
		};

		if (seen[type] || memchr(harmless, (int)type, sizeof(harmless)))
			continue;
		share_client_write(client, (uint8_t)type, "");
		assert_int_equal(share_client_send(client), -EOPNOTSUPP);
	}
	assert_false(share_host_has(client, "new"));
	assert_int_equal(share_call(client, P9_READ, "dqd", 2u, UINT64_C(0), 100u), 0);
	assert_memory_equal(client->reply + P9_READ_HEAD_BYTES, "content", 7);
	assert_int_equal(share_call(client, P9_REMOVE, "d", 1u), -EOPNOTSUPP);
	assert_int_equal(fstatat(client->folder_fd, "file", &after, 0), 0);
	assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
	assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim));
	assert_int_equal(before.st_mode, after.st_mode);
	end(client);
}

static void test_fids_run_out(void **state)
{
	struct share_client *client = malloc(sizeof(*client));
	const unsigned int fds = open_fd_count();

	(void)state;
	share_client_create(client, false, 64);
	assert_int_equal(share_call(client, P9_VERSION, "ds", 8192u, "9P2000.L"), 0);
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "", "", 0u), 0);
	for (unsigned int i = 1; i < 64; i++)
		assert_int_equal(share_walk_path(client, i, ""), 0);
	for (unsigned int i = 64; i < 1000; i++)
		assert_int_equal(share_walk_path(client, i, ""), -EMFILE);
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 70u, P9_NO_FID, "", "", 0u),
	                 -EMFILE);
	/* In place of itself it goes on. */
	assert_int_equal(share_call(client, P9_WALK, "ddw", 63u, 63u, 0u), 0);
	assert_int_equal(share_call(client, P9_CLUNK, "d", 5u), 0);
	assert_int_equal(share_walk_path(client, 1000, ""), 0);
	end(client);
	assert_int_equal(open_fd_count(), fds);
}

static void test_descriptors_run_out(void **state)
{
	struct share_client *client = begin(false);
	struct rlimit before, few;
	int lowest = dup(client->folder_fd);

	(void)state;
	close(lowest);
	share_host_file(client, "file", "");
	assert_int_equal(share_walk_path(client, 1, "file"), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)lowest + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(share_walk_path(client, 2, "file"), -EMFILE);
	assert_int_equal(share_walk_path(client, 2, ""), -EMFILE);
	assert_int_equal(share_call(client, P9_LOPEN, "dd", 1u, 0u), -EMFILE);
	assert_int_equal(share_call(client, P9_ATTACH, "ddssd", 2u, P9_NO_FID, "", "", 0u), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(share_walk_path(client, 2, "file"), 0);
	/* A second open of a fid is refused, and costs nothing. */
	assert_int_equal(share_call(client, P9_LOPEN, "dd", 2u, 0u), 0);
	assert_int_equal(share_call(client, P9_LOPEN, "dd", 2u, 0u), -EINVAL);
	assert_int_equal(share_fids_count(client->server->fids), 3);
	end(client);
}

static void test_create_failures(void **state)
{
	struct share_server_options options = { .fids_max = 64 };
	struct share_server *server = NULL;
	struct error err = ERROR_INIT;
	const unsigned int fds = open_fd_count();

	(void)state;
	options.folder_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(share_server_create(&options, &server, &err), -EPERM);
	options.folder_fd = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (options.folder_fd >= 0)
		assert_int_equal(share_server_create(&options, &server, &err), -EPERM);
	options.folder_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	assert_int_equal(share_server_create(&options, &server, &err), -ENOTDIR);
	assert_null(server);
	assert_int_equal(open_fd_count(), fds);
	share_server_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_version_forgets_fids),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_what_is_not_supported),
		cmocka_unit_test(test_readonly_refuses_all_that_changes),
		cmocka_unit_test(test_fids_run_out),
		cmocka_unit_test(test_descriptors_run_out),
		cmocka_unit_test(test_create_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
