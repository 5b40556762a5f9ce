/* SPDX-License-Identifier: Apache-2.0 */
/* Closed standard descriptors: their numbers are taken, and they still neither read nor write. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/standard_fds.h"

/* In a child with the descriptors of this mask closed: 0 when all is as it should be. */
static int try_closed(unsigned int mask)
{
	char byte = 0;
	int next;

	for (int fd = 0; fd < 3; fd++) {
		if (mask & 1U << fd)
			close(fd);
	}
	if (standard_fds_fill())
		return 1;
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (next < 3)
		return 2;
	if (mask & 1 && (read(0, &byte, 1) != -1 || errno != EBADF))
		return 3;
	for (int fd = 1; fd < 3; fd++) {
		if (mask & 1U << fd && (write(fd, &byte, 1) != -1 || errno != EBADF))
			return 4;
	}
	close(next);
	return 0;
}

static void test_closed(void **state)
{
	(void)state;
	for (unsigned int mask = 0; mask < 8; mask++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			_exit(try_closed(mask));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
