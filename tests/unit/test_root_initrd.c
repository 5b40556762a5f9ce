/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in the initrd of --root: the first program, what it is told, and the kernel's modules,
 * out of folders that are as they should be and of such as are not. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/root_initrd.h"
#include "ebb/root_init.h"

#define BANNER  "Linux version 6.1-test (a@b) #1"
#define RELEASE "lib/modules/6.1-test"

struct fixture {
	char root[64], outside[64];
	struct image *kernel;
	struct vm_config config;
	struct initramfs archive;
	struct error err;
};

static void put(const char *root, const char *path, const char *content)
{
	char whole[256];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s/%s", root, path);
	for (char *slash = strchr(whole + 5, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(whole, 0755);
		*slash = '/';
	}
	file = fopen(whole, "w");
	assert_non_null(file);
	fputs(content, file);
	fclose(file);
}

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){ .root = "/tmp/ebb-test-root-XXXXXX",
		                    .outside = "/tmp/ebb-test-outside-XXXXXX" };
	assert_non_null(mkdtemp(fixture.root));
	assert_non_null(mkdtemp(fixture.outside));
	assert_int_equal(
		image_create_from_memory("kernel", BANNER, strlen(BANNER), &fixture.kernel, NULL),
		0);
	fixture.config.root_path = fixture.root;
	strcpy(fixture.config.name, "mine");
	*state = &fixture;
	return 0;
}

static int delete_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	initramfs_free(&fixture->archive);
	image_close(fixture->kernel);
	return nftw(fixture->root, delete_one, 8, FTW_DEPTH | FTW_PHYS) |
	       nftw(fixture->outside, delete_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int build(struct fixture *fixture, const char *name)
{
	const struct root_terminal terminal = { .name = name, .rows = 50, .columns = 132 };

	initramfs_free(&fixture->archive);
	fixture->err = (struct error)ERROR_INIT;
	return root_initrd_build(&fixture->archive, &fixture->config, fixture->kernel, &terminal,
	                         &fixture->err);
}

static unsigned int field(const uint8_t *entry, int index)
{
	char digits[9] = "";

	memcpy(digits, entry + 6 + 8 * index, 8);
	return (unsigned int)strtoul(digits, NULL, 16);
}

/* The content of a file in the archive; NULL: it has none of that name. */
static const uint8_t *find(const struct fixture *fixture, const char *path, size_t *ret_size_bytes)
{
	const uint8_t *entry = fixture->archive.bytes;
	const uint8_t *end = entry + fixture->archive.size_bytes;

	while (entry < end) {
		const char *name = (const char *)entry + 110;
		const uint8_t *content = entry + (110 + field(entry, 11) + 3) / 4 * 4;

		if (strcmp(name, path) == 0) {
			*ret_size_bytes = field(entry, 6);
			return content;
		}
		entry = content + (field(entry, 6) + 3) / 4 * 4;
	}
	return NULL;
}

static void check_file(const struct fixture *fixture, const char *path, const char *content)
{
	size_t size_bytes;
	const uint8_t *bytes = find(fixture, path, &size_bytes);

	assert_non_null(bytes);
	assert_int_equal(size_bytes, strlen(content));
	assert_memory_equal(bytes, content, size_bytes);
}

static bool has(const struct fixture *fixture, const char *path)
{
	size_t size_bytes;

	return find(fixture, path, &size_bytes) != NULL;
}

static void the_first_program_is_told_what_to_do(void **state)
{
	struct fixture *fixture = *state;
	size_t size_bytes;
	const uint8_t *init;

	/* No release: no folder to look into. */
	image_close(fixture->kernel);
	assert_int_equal(image_create_from_memory("kernel", "nothing", 7, &fixture->kernel, NULL),
	                 0);
	assert_int_equal(build(fixture, "xterm-256color"), 0);
	init = find(fixture, "init", &size_bytes);
	assert_int_equal(size_bytes, root_init_image_bytes);
	assert_memory_equal(init, root_init_image, size_bytes);
	assert_memory_equal(init, "\177ELF", 4);
	check_file(fixture, "ebb/settings",
	           "mode=overlay\nhostname=mine\nterm=xterm-256color\nrows=50\ncolumns=132\n");
	assert_true(has(fixture, "dev/console") && has(fixture, "TRAILER!!!"));
	assert_false(has(fixture, "ebb/modules"));
	fixture->config.root_writable = true;
	assert_int_equal(build(fixture, NULL), 0);
	check_file(fixture, "ebb/settings",
	           "mode=rw\nhostname=mine\nterm=linux\nrows=50\ncolumns=132\n");
	/* What is no terminal's name would be a line of its own. */
	assert_int_equal(build(fixture, "vt100\nmode=rw"), 0);
	check_file(fixture, "ebb/settings",
	           "mode=rw\nhostname=mine\nterm=linux\nrows=50\ncolumns=132\n");
	assert_int_equal(build(fixture, "a-name-that-is-longer-than-any-terminals"), 0);
	check_file(fixture, "ebb/settings",
	           "mode=rw\nhostname=mine\nterm=linux\nrows=50\ncolumns=132\n");
}

static void put_modules(const char *root)
{
	put(root, RELEASE "/modules.dep",
	    "k/9p.ko: k/9pnet.ko\nk/9pnet_virtio.ko: k/9pnet.ko\nk/9pnet.ko:\nk/other.ko:\n"
	    "k/overlay.ko.xz:\n");
	put(root, RELEASE "/k/9p.ko", "nine");
	put(root, RELEASE "/k/9pnet.ko", "net");
	put(root, RELEASE "/k/9pnet_virtio.ko", "virtio");
	put(root, RELEASE "/k/overlay.ko.xz", "packed");
}

static void the_kernels_modules_come_along(void **state)
{
	struct fixture *fixture = *state;

	put_modules(fixture->root);
	assert_int_equal(build(fixture, NULL), 0);
	check_file(fixture, "ebb/modules/list",
	           "9pnet.ko\n9pnet_virtio.ko\n9p.ko\noverlay.ko.xz\n");
	check_file(fixture, "ebb/modules/9p.ko", "nine");
	check_file(fixture, "ebb/modules/9pnet.ko", "net");
	check_file(fixture, "ebb/modules/9pnet_virtio.ko", "virtio");
	check_file(fixture, "ebb/modules/overlay.ko.xz", "packed");
	assert_false(has(fixture, "ebb/modules/other.ko"));
	/* What is changed in the folder itself needs no overlay. */
	fixture->config.root_writable = true;
	assert_int_equal(build(fixture, NULL), 0);
	check_file(fixture, "ebb/modules/list", "9pnet.ko\n9pnet_virtio.ko\n9p.ko\n");
}

static void links_are_followed_as_in_the_guest(void **state)
{
	struct fixture *fixture = *state;
	char lib[128], own[128];

	/* lib -> /usr/lib, which is the folder's own. */
	snprintf(lib, sizeof(lib), "%s/lib", fixture->root);
	snprintf(own, sizeof(own), "%s/usr", fixture->root);
	put_modules(own);
	assert_int_equal(symlink("/usr/lib", lib), 0);
	assert_int_equal(build(fixture, NULL), 0);
	check_file(fixture, "ebb/modules/9p.ko", "nine");
	/* With no lib at all. */
	assert_int_equal(unlink(lib), 0);
	assert_int_equal(build(fixture, NULL), 0);
	check_file(fixture, "ebb/modules/9p.ko", "nine");
	/* A link that leads out leads nowhere. */
	put_modules(fixture->outside);
	snprintf(lib, sizeof(lib), "%s/lib", fixture->outside);
	snprintf(own, sizeof(own), "%s/lib", fixture->root);
	assert_int_equal(symlink(lib, own), 0);
	fixture->config.root_writable = true;
	snprintf(own, sizeof(own), "%s/usr/lib/modules/6.1-test/k/9p.ko", fixture->root);
	assert_int_equal(unlink(own), 0);
	snprintf(lib, sizeof(lib), "%s/" RELEASE "/k/9p.ko", fixture->outside);
	assert_int_equal(symlink(lib, own), 0);
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, "k/9p.ko in it: No such file"));
	assert_null(fixture->archive.bytes);
}

static void dots_do_not_lead_out(void **state)
{
	struct fixture *fixture = *state;
	char line[256];

	put(fixture->outside, "9p.ko", "secret");
	snprintf(line, sizeof(line), "../../../../../../..%s/9p.ko:\n", fixture->outside);
	put(fixture->root, RELEASE "/modules.dep", line);
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, "No such file"));
}

static void what_is_no_module_list_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char path[128], event[sizeof(struct inotify_event) + 256];
	int watch_fd;

	put(fixture->root, RELEASE "/modules.dep", "/etc/9p.ko:\n");
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, RELEASE "/modules.dep in it"));
	/* A pipe that nobody writes: no waiting for it; nor is it opened, which with a device would
	 * do something. */
	put(fixture->root, RELEASE "/modules.dep", "9p.ko:\n");
	snprintf(path, sizeof(path), "%s/" RELEASE "/9p.ko", fixture->root);
	assert_int_equal(mkfifo(path, 0600), 0);
	watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	assert_true(inotify_add_watch(watch_fd, path, IN_OPEN) >= 0);
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_int_equal(read(watch_fd, event, sizeof(event)), -1);
	close(watch_fd);
	assert_int_equal(unlink(path), 0);
	/* Larger than any module: not even read. */
	put(fixture->root, RELEASE "/9p.ko", "x");
	assert_int_equal(truncate(path, 65 << 20), 0);
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, "too large"));
	snprintf(path, sizeof(path), "%s/" RELEASE "/modules.dep", fixture->root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, "depmod -b"));
}

/* What keeps the folder from being looked into is told, not taken for an empty folder. */
static void a_folder_that_cannot_be_looked_into_is_told(void **state)
{
	struct fixture *fixture = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/lib", fixture->root);
	assert_int_equal(symlink("lib", path), 0);
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, RELEASE " in it: Too many levels"));
}

static void modules_may_be_elsewhere(void **state)
{
	struct fixture *fixture = *state;

	fixture->config.root_modules_path = fixture->outside;
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, "has no lib/modules/6.1-test"));
	put_modules(fixture->outside);
	assert_int_equal(build(fixture, NULL), 0);
	check_file(fixture, "ebb/modules/9p.ko", "nine");
	fixture->config.root_modules_path = "/nowhere/at/all";
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, "--root modules /nowhere/at/all: No such"));
}

static void a_kernel_without_a_release_has_none(void **state)
{
	struct fixture *fixture = *state;

	image_close(fixture->kernel);
	assert_int_equal(image_create_from_memory("kernel", "nothing", 7, &fixture->kernel, NULL),
	                 0);
	put_modules(fixture->root);
	assert_int_equal(build(fixture, NULL), 0);
	assert_false(has(fixture, "ebb/modules"));
	fixture->config.root_modules_path = fixture->outside;
	assert_int_equal(build(fixture, NULL), -EINVAL);
	assert_non_null(strstr(fixture->err.message, "does not say which release"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_program_is_told_what_to_do, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(the_kernels_modules_come_along, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_are_followed_as_in_the_guest, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(dots_do_not_lead_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_module_list_is_refused, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_looked_into_is_told, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(modules_may_be_elsewhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_kernel_without_a_release_has_none, set_up,
		                                tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
