/* SPDX-License-Identifier: Apache-2.0 */
/* The table of fids: numbers that share a chain, all of it taken, order of going. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "../../devices/share/share_private.h"

static int an_fd(void)
{
	int fd = open("/dev/null", O_PATH | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_add_find_remove(void **state)
{
	struct share_fids *fids;
	struct share_fid *fid, *other;
	int fd = an_fd(), second = an_fd();

	(void)state;
	assert_int_equal(share_fids_create(8, &fids), 0);
	assert_null(share_fids_find(fids, 0));
	assert_int_equal(share_fids_add(fids, 0, fd, &fid), 0);
	assert_int_equal(share_fids_add(fids, 0, second, &other), -EEXIST);
	assert_int_equal(share_fids_add(fids, P9_NO_FID, second, &other), -EINVAL);
	assert_int_equal(share_fids_add(fids, UINT32_MAX - 1, second, &other), 0);
	assert_ptr_equal(share_fids_find(fids, 0), fid);
	assert_ptr_equal(share_fids_find(fids, UINT32_MAX - 1), other);
	assert_int_equal(fid->position, SHARE_POSITION_UNSET);
	share_fids_remove(fids, fid);
	assert_false(is_open(fd));
	assert_null(share_fids_find(fids, 0));
	assert_int_equal(share_fids_count(fids), 1);
	share_fids_destroy(fids);
	assert_false(is_open(second));
	share_fids_destroy(NULL);
}

/* 65536 buckets of a multiplicative hash: what its factor makes small numbers of shares one. */
#define COLLIDING(i) ((i) * UINT32_C(244002641))

static void test_numbers_that_collide(void **state)
{
	struct share_fids *fids;
	struct share_fid *fid;

	(void)state;
	assert_int_equal(share_fids_create(16, &fids), 0);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(share_fids_add(fids, COLLIDING(i), an_fd(), &fid), 0);
	/* From the middle, the end and the beginning of a chain. */
	for (uint32_t i = 7; i != 6; i = (i + 1) % 16) {
		share_fids_remove(fids, share_fids_find(fids, COLLIDING(i)));
		assert_null(share_fids_find(fids, COLLIDING(i)));
		assert_non_null(share_fids_find(fids, COLLIDING(6)));
	}
	assert_int_equal(share_fids_count(fids), 1);
	share_fids_destroy(fids);
}

static void test_full_and_cleared(void **state)
{
	struct share_fids *fids;
	struct share_fid *fid;
	int fd = an_fd();

	(void)state;
	assert_int_equal(share_fids_create(4, &fids), 0);
	for (unsigned int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(share_fids_add(fids, i + round, an_fd(), &fid), 0);
		assert_int_equal(share_fids_add(fids, 9, fd, &fid), -EMFILE);
		assert_true(is_open(fd));
		share_fids_clear(fids);
		assert_int_equal(share_fids_count(fids), 0);
		assert_null(share_fids_find(fids, round));
	}
	close(fd);
	share_fids_destroy(fids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_find_remove),
		cmocka_unit_test(test_numbers_that_collide),
		cmocka_unit_test(test_full_and_cleared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
