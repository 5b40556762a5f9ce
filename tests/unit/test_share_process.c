/* SPDX-License-Identifier: Apache-2.0 */
/* The process that serves a folder, for real: this program is started anew, as ebb would be. */
/* fakes: share_client */
/* wraps: send */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/sandbox.h"
#include "share_client.h"

#define WAIT_MS 20000

struct fixture {
	struct share_client client; /* its folder; messages go to the process */
	struct event_loop *loop;
	struct share_server_process *process;
	int fd;
	_Atomic int ended_status; /* -1: it runs */
	const struct sandbox_user *user;
};

/* In the process, which has that of its environment. */
#define SHORTAGE "EBB_TEST_SENDS_THAT_FAIL"

ssize_t __real_send(int fd, const void *bytes, size_t size_bytes, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size_bytes, int flags);

static unsigned int sends_that_fail;

ssize_t __wrap_send(int fd, const void *bytes, size_t size_bytes, int flags)
{
	if (!sends_that_fail)
		return __real_send(fd, bytes, size_bytes, flags);
	sends_that_fail--;
	errno = sends_that_fail % 2 ? ENOBUFS : ENOMEM;
	return -1;
}

static void ended(void *ctx, int wait_status)
{
	((struct fixture *)ctx)->ended_status = wait_status;
}

static int start(struct fixture *f, const char *path, bool readonly, struct error *err)
{
	const struct share_server_setup setup = {
		.id = "share0",
		.path = path,
		.readonly = readonly,
		.sandbox = true,
		.user = f->user,
		.loop = f->loop,
		.ended = ended,
		.ctx = f,
	};

	return share_server_start(&setup, &f->process, &f->fd, err);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	share_client_create(&f->client, false, 64);
	f->ended_status = -1;
	assert_int_equal(event_loop_create("main", &f->loop, NULL), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	share_server_stop(f->process);
	event_loop_destroy(f->loop);
	share_client_end(&f->client);
	free(f);
	return 0;
}

/* As share_call, but that the process answers; -EPIPE: it did not. */
static int exchange(struct fixture *f)
{
	struct pollfd pollfd = { .fd = f->fd, .events = POLLIN };
	ssize_t got;

	if (send(f->fd, f->client.request, f->client.request_bytes, MSG_NOSIGNAL) < 0)
		return -errno;
	if (poll(&pollfd, 1, WAIT_MS) != 1)
		return -ETIMEDOUT;
	got = recv(f->fd, f->client.reply, sizeof(f->client.reply), 0);
	if (got <= 0)
		return -EPIPE;
	f->client.reply_bytes = (size_t)got;
	f->client.at = 4;
	if (share_reply_number(&f->client, 1) != P9_LERROR + 1) {
		f->client.at += 2;
		return 0;
	}
	f->client.at += 2;
	return -(int)share_reply_number(&f->client, 4);
}

#define CALL(f, ...) (share_client_write(&(f)->client, __VA_ARGS__), exchange(f))

static void attach(struct fixture *f)
{
	assert_int_equal(CALL(f, P9_VERSION, "ds", UINT32_MAX, "9P2000.L"), 0);
	assert_int_equal(CALL(f, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "", "", 0u), 0);
}

static bool ends(struct fixture *f)
{
	for (unsigned int i = 0; i < WAIT_MS / 10 && f->ended_status == -1; i++)
		usleep(10000);
	return f->ended_status != -1;
}

static void test_serves(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	share_host_file(&f->client, "file", "content");
	assert_int_equal(start(f, f->client.folder, false, &err), 0);
	attach(f);
	assert_int_equal(CALL(f, P9_WALK, "ddws", 0u, 1u, 1u, "file"), 0);
	assert_int_equal(CALL(f, P9_LOPEN, "dd", 1u, 2u), 0);
	assert_int_equal(CALL(f, P9_READ, "dqd", 1u, UINT64_C(0), 100u), 0);
	assert_int_equal(share_reply_number(&f->client, 4), 7);
	assert_memory_equal(f->client.reply + f->client.at, "content", 7);
	assert_int_equal(CALL(f, P9_WRITE, "dqdr", 1u, UINT64_C(7), 1u, "s", (size_t)1), 0);
	assert_int_equal(CALL(f, P9_SETATTR, "dddddqqqqq", 1u, P9_SETATTR_MODE | P9_SETATTR_MTIME | 0u,
	                      0600u, 0u, 0u, UINT64_C(0), UINT64_C(0), UINT64_C(0), UINT64_C(0),
	                      UINT64_C(0)),
	                 0);
	assert_int_equal(CALL(f, P9_FSYNC, "dd", 1u, 0u), 0);
	assert_int_equal(CALL(f, P9_MKDIR, "dsdd", 0u, "made", 0755u, 0u), 0);
	assert_int_equal(CALL(f, P9_SYMLINK, "dssd", 0u, "link", "made", 0u), 0);
	assert_int_equal(CALL(f, P9_LINK, "dds", 0u, 1u, "again"), 0);
	assert_int_equal(CALL(f, P9_RENAMEAT, "dsds", 0u, "again", 0u, "moved"), 0);
	assert_int_equal(CALL(f, P9_UNLINKAT, "dsd", 0u, "moved", 0u), 0);
	assert_int_equal(CALL(f, P9_STATFS, "d", 0u), 0);
	assert_int_equal(CALL(f, P9_WALK, "ddw", 0u, 2u, 0u), 0);
	assert_int_equal(CALL(f, P9_LCREATE, "dsddd", 2u, "new", 0x42u, 0640u, 0u), 0);
	assert_int_equal(CALL(f, P9_WALK, "ddw", 0u, 3u, 0u), 0);
	assert_int_equal(CALL(f, P9_LOPEN, "dd", 3u, 0u), 0);
	assert_int_equal(CALL(f, P9_READDIR, "dqd", 3u, UINT64_C(0), 4000u), 0);
	assert_int_equal(CALL(f, P9_WALK, "ddws", 0u, 4u, 1u, "link"), 0);
	assert_int_equal(CALL(f, P9_READLINK, "d", 4u), 0);
	/* What is no message is an answer too. */
	share_client_write(&f->client, 255, "d", 5u);
	assert_int_equal(exchange(f), -EOPNOTSUPP);
	assert_int_equal(f->ended_status, -1);
}

static int set_attributes(struct fixture *f, unsigned int fid, unsigned int valid, uint64_t size)
{
	return CALL(f, P9_SETATTR, "dddddqqqqq", fid, valid, 0640u, 0u, 0u, size, UINT64_C(1),
	            UINT64_C(2), UINT64_C(3), UINT64_C(4));
}

/* What a client seldom wants makes system calls as well, in a file system or by a way of its own:
 * none of them is one that the sandbox does not know. */
static void test_seldom_calls(void **state)
{
	static const unsigned int kinds[] = { S_IFREG, S_IFIFO, S_IFSOCK };
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	char name[8];

	share_host_file(&f->client, "file", "content");
	assert_int_equal(start(f, f->client.folder, false, &err), 0);
	attach(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(name, sizeof(name), "node%u", i);
		assert_int_equal(CALL(f, P9_MKNOD, "dsdddd", 0u, name, kinds[i] | 0644u, 0u, 0u, 0u),
		                 0);
		assert_int_equal(CALL(f, P9_WALK, "ddws", 0u, 10 + i, 1u, name), 0);
		assert_int_equal(CALL(f, P9_GETATTR, "dq", 10 + i, P9_GETATTR_BASIC), 0);
		assert_int_equal(set_attributes(f, 10 + i, 0x1b7, 0), 0); /* but size and ctime */
	}
	assert_int_equal(CALL(f, P9_MKDIR, "dsdd", 0u, "sub", 0755u, 0u), 0);
	assert_int_equal(CALL(f, P9_WALK, "ddws", 0u, 1u, 1u, "sub"), 0);
	assert_int_equal(CALL(f, P9_RENAMEAT, "dsds", 0u, "node0", 1u, "file"), 0);
	/* One that is there; then its size, by its own descriptor and by none. */
	assert_int_equal(CALL(f, P9_LCREATE, "dsddd", 1u, "file", 0x242u, 0644u, 0u), 0);
	assert_int_equal(set_attributes(f, 1, P9_SETATTR_SIZE, 70000), 0);
	assert_int_equal(CALL(f, P9_FSYNC, "dd", 1u, 1u), 0);
	assert_int_equal(CALL(f, P9_LOCK, "dbdqqds", 1u, 1u, 0u, UINT64_C(0), UINT64_C(9), 1u, "x"),
	                 0);
	assert_int_equal(CALL(f, P9_WALK, "ddw", 1u, 2u, 0u), 0);
	assert_int_equal(set_attributes(f, 2, P9_SETATTR_SIZE | P9_SETATTR_CTIME, 3), 0);
	assert_int_equal(CALL(f, P9_UNLINKAT, "dsd", 0u, "sub", 0x200u), -ENOTEMPTY);
	/* A folder, not from its beginning. */
	assert_int_equal(CALL(f, P9_WALK, "ddw", 0u, 3u, 0u), 0);
	assert_int_equal(CALL(f, P9_LOPEN, "dd", 3u, 0x10000u), 0);
	assert_int_equal(CALL(f, P9_READDIR, "dqd", 3u, UINT64_C(0), 40u), 0);
	assert_int_equal(CALL(f, P9_READDIR, "dqd", 3u, UINT64_C(0), 4000u), 0);
	assert_int_equal(CALL(f, P9_FSYNC, "dd", 3u, 0u), 0);
	/* A session anew. */
	attach(f);
	assert_int_equal(f->ended_status, -1);
}

/* The largest message either way. */
static void test_a_whole_message(void **state)
{
	struct fixture *f = *state;
	const unsigned int most = SHARE_MESSAGE_MAX_BYTES - P9_READ_HEAD_BYTES;
	const unsigned int written = SHARE_MESSAGE_MAX_BYTES - 23;
	uint8_t *data = malloc(written);

	for (unsigned int i = 0; i < written; i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	share_host_file(&f->client, "file", "");
	assert_int_equal(start(f, f->client.folder, false, NULL), 0);
	attach(f);
	assert_int_equal(CALL(f, P9_WALK, "ddws", 0u, 1u, 1u, "file"), 0);
	assert_int_equal(CALL(f, P9_LOPEN, "dd", 1u, 2u), 0);
	assert_int_equal(CALL(f, P9_WRITE, "dqdr", 1u, UINT64_C(0), written, data, (size_t)written),
	                 0);
	assert_int_equal(share_reply_number(&f->client, 4), written);
	assert_int_equal(CALL(f, P9_WRITE, "dqdr", 1u, UINT64_C(50000), written, data,
	                      (size_t)written),
	                 0);
	assert_int_equal(CALL(f, P9_READ, "dqd", 1u, UINT64_C(0), 50000u), 0);
	assert_memory_equal(f->client.reply + P9_READ_HEAD_BYTES, data, 50000);
	assert_int_equal(CALL(f, P9_READ, "dqd", 1u, UINT64_C(50000), UINT32_MAX), 0);
	assert_int_equal(share_reply_number(&f->client, 4), most < written ? most : written);
	assert_memory_equal(f->client.reply + P9_READ_HEAD_BYTES, data, written);
	/* One byte more is no message. */
	share_client_write(&f->client, P9_WRITE, "dqdr", 1u, UINT64_C(0), written + 1, data,
	                   (size_t)written);
	f->client.request_bytes = SHARE_MESSAGE_MAX_BYTES + 1;
	f->client.request[0]++;
	assert_int_equal(exchange(f), -EPROTO);
	free(data);
}

/* A host that is short of memory for a moment. */
static void test_no_room_for_a_packet(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	assert_int_equal(setenv(SHORTAGE, "9", 1), 0);
	assert_int_equal(start(f, f->client.folder, false, &err), 0);
	assert_int_equal(unsetenv(SHORTAGE), 0);
	attach(f);
}

static void test_readonly(void **state)
{
	struct fixture *f = *state;

	share_host_file(&f->client, "file", "content");
	assert_int_equal(start(f, f->client.folder, true, NULL), 0);
	attach(f);
	assert_int_equal(CALL(f, P9_MKDIR, "dsdd", 0u, "made", 0755u, 0u), -EROFS);
	assert_int_equal(CALL(f, P9_WALK, "ddws", 0u, 1u, 1u, "file"), 0);
	assert_int_equal(CALL(f, P9_LOPEN, "dd", 1u, 1u), -EROFS);
	assert_int_equal(CALL(f, P9_LOPEN, "dd", 1u, 0u), 0);
	assert_int_equal(CALL(f, P9_READ, "dqd", 1u, UINT64_C(0), 7u), 0);
	assert_false(share_host_has(&f->client, "made"));
}

/* However few ebb may have open, up to what the host allows at all. */
static void test_more_fids_than_ebb_has_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, few;
	int ret;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	if (before.rlim_max < 2100)
		skip();
	few = before;
	few.rlim_cur = 256;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	ret = start(f, f->client.folder, true, NULL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(ret, 0);
	attach(f);
	for (unsigned int i = 1; i < 2000; i++)
		assert_int_equal(CALL(f, P9_WALK, "ddw", 0u, i, 0u), 0);
}

/* As root, what is made is the guest's user's. */
static void test_owner(void **state)
{
	struct fixture *f = *state;
	struct stat stat;

	if (geteuid())
		skip();
	assert_int_equal(start(f, f->client.folder, false, NULL), 0);
	assert_int_equal(CALL(f, P9_VERSION, "ds", UINT32_MAX, "9P2000.L"), 0);
	assert_int_equal(CALL(f, P9_ATTACH, "ddssd", 0u, P9_NO_FID, "", "", 1234u), 0);
	assert_int_equal(CALL(f, P9_MKDIR, "dsdd", 0u, "made", 0700u, 2345u), 0);
	assert_int_equal(fstatat(f->client.folder_fd, "made", &stat, 0), 0);
	assert_int_equal(stat.st_uid, 1234);
	assert_int_equal(stat.st_gid, 2345);
	/* No umask of ebb's. */
	assert_int_equal(CALL(f, P9_MKDIR, "dsdd", 0u, "open", 0777u, 0u), 0);
	assert_int_equal(fstatat(f->client.folder_fd, "open", &stat, 0), 0);
	assert_int_equal(stat.st_mode, S_IFDIR | 0777);
	assert_int_equal(CALL(f, P9_WALK, "ddws", 0u, 1u, 1u, "open"), 0);
	assert_int_equal(CALL(f, P9_SETATTR, "dddddqqqqq", 1u, P9_SETATTR_UID | P9_SETATTR_GID | 0u, 0u,
	                      77u, 78u, UINT64_C(0), UINT64_C(0), UINT64_C(0), UINT64_C(0),
	                      UINT64_C(0)),
	                 0);
	assert_int_equal(fstatat(f->client.folder_fd, "open", &stat, 0), 0);
	assert_true(stat.st_uid == 77 && stat.st_gid == 78);
}

/* Root's, that becomes another: what that user may not is refused by the host. */
static void test_user(void **state)
{
	static const struct sandbox_user nobody = { .uid = 65534, .gid = 65534 };
	struct fixture *f = *state;
	struct stat stat;

	if (geteuid())
		skip();
	f->user = &nobody;
	assert_int_equal(start(f, f->client.folder, false, NULL), 0);
	attach(f);
	assert_int_equal(CALL(f, P9_MKDIR, "dsdd", 0u, "made", 0755u, 0u), -EACCES);
	assert_int_equal(fchmod(f->client.folder_fd, 0777), 0);
	assert_int_equal(CALL(f, P9_MKDIR, "dsdd", 0u, "made", 0755u, 0u), 0);
	assert_int_equal(fstatat(f->client.folder_fd, "made", &stat, 0), 0);
	assert_true(stat.st_uid == 65534 && stat.st_gid == 65534);
	/* Opening goes by /proc, which is that user's too. */
	share_host_file(&f->client, "file", "content");
	assert_int_equal(CALL(f, P9_WALK, "ddws", 0u, 1u, 1u, "file"), 0);
	assert_int_equal(CALL(f, P9_LOPEN, "dd", 1u, 1u), -EACCES);
	assert_int_equal(CALL(f, P9_LOPEN, "dd", 1u, 0u), 0);
	assert_int_equal(CALL(f, P9_READ, "dqd", 1u, UINT64_C(0), 7u), 0);
}

static void test_killed(void **state)
{
	struct fixture *f = *state;
	char path[64], line[256] = "";
	FILE *children;
	long pid;

	assert_int_equal(start(f, f->client.folder, false, NULL), 0);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	children = fopen(path, "re");
	if (!children)
		skip();
	assert_non_null(fgets(line, sizeof(line), children));
	fclose(children);
	pid = strtol(line, NULL, 10);
	assert_true(pid > 1);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	assert_true(ends(f));
	assert_true(WIFSIGNALED(f->ended_status) && WTERMSIG(f->ended_status) == SIGKILL);
	assert_true(CALL(f, P9_VERSION, "ds", UINT32_MAX, "9P2000.L") < 0);
}

/* The other end of the socket is closed: it ends, by itself. */
static void test_ends_with_the_socket(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(start(f, f->client.folder, false, NULL), 0);
	attach(f);
	assert_int_equal(shutdown(f->fd, SHUT_WR), 0);
	assert_true(ends(f));
	assert_true(WIFEXITED(f->ended_status));
}

static void test_what_is_not_shared(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	char path[128];

	snprintf(path, sizeof(path), "%s/secret", f->client.outside);
	assert_int_equal(start(f, path, false, &err), -ENOTDIR);
	assert_non_null(strstr(err.message, path));
	assert_int_equal(start(f, "/nowhere/at/all", false, &err), -ENOENT);
	/* By the process's own word. */
	assert_int_equal(start(f, "/proc", false, &err), -EPERM);
	assert_non_null(strstr(err.message, "folder /proc: "));
	assert_null(f->process);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_serves), TEST(test_seldom_calls), TEST(test_a_whole_message),
		TEST(test_no_room_for_a_packet),
		TEST(test_readonly), TEST(test_owner),
		TEST(test_more_fids_than_ebb_has_descriptors),
		TEST(test_user),
		TEST(test_killed), TEST(test_ends_with_the_socket),
		TEST(test_what_is_not_shared),
	};

	if (argc > 1 && strcmp(argv[1], SHARE_SERVER_COMMAND) == 0) {
		struct error err = ERROR_INIT;

		if (getenv(SHORTAGE))
			sends_that_fail = (unsigned int)atoi(getenv(SHORTAGE));
		/* No look for leaks, which a sandbox would not let through. */
		_exit(share_server_main(argc - 1, argv + 1, &err));
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
