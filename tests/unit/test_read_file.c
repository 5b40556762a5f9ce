/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of src/read_file.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/read_file.h"

static void test_parts(void **state)
{
	int fd = memfd_create("parts", MFD_CLOEXEC);
	char buf[8] = "________";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(read_file(fd, 6, buf, 4), 0);
	assert_memory_equal(buf, "6789____", 8);
	assert_int_equal(read_file(fd, 10, buf, 0), 0);
	assert_int_equal(read_file(fd, 7, buf, 4), -EIO);
	assert_int_equal(read_file(fd, 100, buf, 1), -EIO);
	close(fd);
	assert_int_equal(read_file(fd, 0, buf, 1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
