/* SPDX-License-Identifier: Apache-2.0 */
/* The images of a configuration: the selftest guest for want of a kernel, what cannot be opened. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/image_set.h"
#include "ebb/selftest.h"

static void test_selftest(void **state)
{
	struct vm_config config = { .initrd_paths = { "/proc/self/exe" }, .initrd_count = 1 };
	struct image_set set = { 0 };
	struct image *kernel;

	(void)state;
	assert_int_equal(image_set_open(&set, &config, NULL), 0);
	assert_int_equal(image_size_bytes(set.kernel), selftest_image_bytes);
	assert_int_equal(set.initrd_count, 1);
	/* Opened once. */
	kernel = set.kernel;
	assert_int_equal(image_set_open(&set, &config, NULL), 0);
	assert_ptr_equal(set.kernel, kernel);
	assert_int_equal(set.initrd_count, 1);
	image_set_close(&set);
	image_set_close(&set);
	assert_null(set.kernel);
	assert_int_equal(set.initrd_count, 0);
}

static void test_missing(void **state)
{
	struct vm_config config = {
		.kernel_path = "/proc/self/exe",
		.initrd_paths = { "/proc/self/exe", "/nowhere/initrd" },
		.initrd_count = 2,
	};
	struct image_set set = { 0 };
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(image_set_open(&set, &config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "--initrd /nowhere/initrd"));
	assert_int_equal(set.initrd_count, 1);
	image_set_close(&set);
	config.kernel_path = "/nowhere/kernel";
	assert_int_equal(image_set_open(&set, &config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "--kernel /nowhere/kernel"));
	image_set_close(&set);
}

static void test_root(void **state)
{
	struct vm_config config = { .kernel_path = "/proc/self/exe", .root_path = "/tmp" };
	struct image_set set = { 0 };
	const uint8_t *bytes, *head;
	size_t head_bytes;

	(void)state;
	assert_int_equal(image_set_open(&set, &config, NULL), 0);
	assert_int_equal(set.initrd_count, 1);
	head = image_head(set.initrds[0], &head_bytes);
	assert_memory_equal(head, "070701", 6);
	/* Once, also for a reset. */
	bytes = set.root_bytes;
	assert_non_null(bytes);
	assert_int_equal(image_set_open(&set, &config, NULL), 0);
	assert_ptr_equal(set.root_bytes, bytes);
	assert_int_equal(set.initrd_count, 1);
	image_set_close(&set);
	assert_null(set.root_bytes);
	config.root_path = "/nowhere/root";
	assert_int_equal(image_set_open(&set, &config, NULL), -EINVAL);
	assert_int_equal(set.initrd_count, 0);
	image_set_close(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selftest),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
