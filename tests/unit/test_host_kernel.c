/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own kernel is found where distributions have it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/host_kernel.h"

struct fixture {
	char root[32];
};

static const char *const folders[] = { "/boot", "/lib", "/lib/modules", "/lib/modules/6.1-x" };
static const char *const places[] = { "/lib/modules/6.1-x/vmlinuz", "/boot/vmlinux-6.1-x",
	                              "/boot/vmlinuz-6.1-x" };

static void path_of(const struct fixture *fixture, const char *place, char path[128])
{
	snprintf(path, 128, "%s%s", fixture->root, place);
}

static int set_up(void **state)
{
	static struct fixture fixture;
	char path[128];

	strcpy(fixture.root, "/tmp/ebb-test-kernel-XXXXXX");
	assert_non_null(mkdtemp(fixture.root));
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		path_of(&fixture, folders[i], path);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	const struct fixture *fixture = *state;
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		path_of(fixture, places[i], path);
		unlink(path);
	}
	for (size_t i = ARRAY_SIZE(folders); i--;) {
		path_of(fixture, folders[i], path);
		rmdir(path);
	}
	return rmdir(fixture->root);
}

static void the_first_that_is_there_is_it(void **state)
{
	const struct fixture *fixture = *state;
	struct error err = ERROR_INIT;
	char path[128], *found = NULL;

	assert_int_equal(host_kernel_find(fixture->root, "6.1-x", &found, &err), -EINVAL);
	assert_non_null(strstr(err.message, "/boot/vmlinuz-6.1-x (give --kernel"));
	assert_null(found);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		FILE *file;

		path_of(fixture, places[i], path);
		file = fopen(path, "w");
		assert_non_null(file);
		fclose(file);
		assert_int_equal(host_kernel_find(fixture->root, "6.1-x", &found, &err), 0);
		assert_string_equal(found, path);
		free(found);
	}
	/* There, but in no way to be read: a link to itself. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(path, path), 0);
	found = NULL;
	assert_int_equal(host_kernel_find(fixture->root, "6.1-x", &found, &err), -EINVAL);
	assert_non_null(strstr(err.message, "cannot be read"));
	assert_null(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_that_is_there_is_it, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
