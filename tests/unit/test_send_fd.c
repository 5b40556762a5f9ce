/* SPDX-License-Identifier: Apache-2.0 */
/* Handing a descriptor over: what arrives is the same file, and nobody there is an error. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/send_fd.h"

static void a_descriptor_arrives(void **state)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char text[8], byte = 0;
	struct iovec segment = { text, sizeof(text) };
	struct msghdr message = { .msg_iov = &segment,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = sizeof(control) };
	int sockets[2], pipes[2], fd;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(send_with_fd(sockets[0], "hello", 5, pipes[1]), 0);
	assert_int_equal(recvmsg(sockets[1], &message, 0), 5);
	assert_memory_equal(text, "hello", 5);
	assert_non_null(CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	close(sockets[1]);
	assert_int_equal(send_with_fd(sockets[0], "hello", 5, pipes[1]), -EPIPE);
	assert_int_equal(send_with_fd(sockets[0], "hello", 5, -1), -EBADF);
	close(fd);
	close(sockets[0]);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_descriptor_arrives) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
