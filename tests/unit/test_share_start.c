/* SPDX-License-Identifier: Apache-2.0 */
/* ebb's side of a file server's start, with a process that the test plays. */
/* fakes: fake_child_process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../devices/share/share_private.h"
#include "ebb/sandbox.h"
#include "fake_child_process.h"
#include "open_fds.h"

static const struct sandbox_user somebody = { .uid = 12, .gid = 34 };

static const struct share_server_setup setup = {
	.id = "share3",
	.path = "/tmp",
	.readonly = true,
	.sandbox = true,
	.user = &somebody,
};

static void say(int error, const char *text)
{
	struct share_ready_message message = { .error = error };

	strcpy(message.text, text);
	assert_int_equal(send(fake_child_process.kept_fd, &message, sizeof(message), 0),
	                 sizeof(message));
}

/* What comes first: the folder, and what may be done to it. */
static void check_setup_and_say_ready(void)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct share_setup_message message;
	struct iovec segment = { .iov_base = &message, .iov_len = sizeof(message) };
	struct msghdr header = { .msg_iov = &segment,
		                 .msg_iovlen = 1,
		                 .msg_control = control,
		                 .msg_controllen = sizeof(control) };
	struct stat got, wanted;
	int fd;

	assert_int_equal(recvmsg(fake_child_process.kept_fd, &header, MSG_CMSG_CLOEXEC),
	                 sizeof(message));
	assert_int_equal(message.magic, SHARE_SETUP_MAGIC);
	assert_int_equal(message.readonly, 1);
	assert_int_equal(message.sandbox, 1);
	assert_true(message.becomes_user && message.uid == 12 && message.gid == 34);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(fd));
	assert_int_equal(fstat(fd, &got), 0);
	assert_int_equal(stat("/tmp", &wanted), 0);
	assert_int_equal(got.st_ino, wanted.st_ino);
	/* Not by this may anything be read. */
	assert_true(fcntl(fd, F_GETFL) & O_PATH);
	close(fd);
	say(0, "");
}

static void test_start(void **state)
{
	struct share_server_process *process = NULL;
	const unsigned int fds = open_fd_count();
	int fd;

	(void)state;
	fake_child_process_clear();
	fake_child_process.started = check_setup_and_say_ready;
	assert_int_equal(share_server_start(&setup, &process, &fd, NULL), 0);
	assert_string_equal(fake_child_process.words[0], "/proc/self/exe");
	assert_string_equal(fake_child_process.words[1], SHARE_SERVER_COMMAND);
	assert_int_equal(atoi(fake_child_process.words[2]), fake_child_process.setup.kept_fd);
	assert_string_equal(fake_child_process.words[4], "/tmp");
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(open_fd_count(), fds + 2); /* its end is the fake's copy */
	share_server_stop(process);
	assert_int_equal(fake_child_process.stops, 1);
	assert_int_equal(open_fd_count(), fds);
	share_server_stop(NULL);
}

static void say_no(void)
{
	say(-EPERM, "not this one");
}

static void end_at_once(void)
{
	fake_child_process_close();
}

static void say_little(void)
{
	assert_int_equal(send(fake_child_process.kept_fd, "x", 1, 0), 1);
}

static void test_failures(void **state)
{
	static const struct {
		void (*started)(void);
		int start_result, wanted;
		const char *words;
	} rows[] = {
		{ NULL, -EAGAIN, -EAGAIN, "folder /tmp: " },
		{ NULL, -ENOENT, -ENOENT, "is /proc mounted?" },
		{ say_no, 0, -EPERM, "folder /tmp: not this one" },
		{ end_at_once, 0, -EIO, "folder /tmp: " },
		{ say_little, 0, -EIO, "folder /tmp: " },
	};
	const unsigned int fds = open_fd_count();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct share_server_process *process = NULL;
		struct error err = ERROR_INIT;
		int fd = -1;

		fake_child_process_clear();
		fake_child_process.started = rows[i].started;
		fake_child_process.start_result = rows[i].start_result;
		assert_int_equal(share_server_start(&setup, &process, &fd, &err), rows[i].wanted);
		assert_non_null(strstr(err.message, rows[i].words));
		assert_null(process);
		assert_int_equal(fd, -1);
		fake_child_process_clear();
		assert_int_equal(open_fd_count(), fds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
