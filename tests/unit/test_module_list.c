/* SPDX-License-Identifier: Apache-2.0 */
/* modules.dep: what is needed comes first, each once; names, limits, and lines that are none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/module_list.h"

static const char debian[] =
	"kernel/fs/netfs/netfs.ko: kernel/fs/fscache/fscache.ko\n"
	"kernel/fs/9p/9p.ko: kernel/fs/fscache/fscache.ko kernel/fs/netfs/netfs.ko "
	"kernel/net/9p/9pnet.ko\n"
	"kernel/net/9p/9pnet.ko:\n"
	"kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko "
	"kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko\n"
	"kernel/fs/overlayfs/overlay.ko.xz:\n"
	"kernel/x/no-dash.ko.zst:\n"
	"kernel/x/overlay_more.ko:\n"
	"kernel/x/overlay.konsole:";

static int add(struct module_list *list, const char *text, const char *name)
{
	return module_list_add(list, text, strlen(text), name);
}

static void check(const struct module_list *list, const char *const *paths, size_t count)
{
	assert_int_equal(list->count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(list->paths[i].length, strlen(paths[i]));
		assert_memory_equal(list->paths[i].text, paths[i], strlen(paths[i]));
	}
}

static void what_is_needed_comes_first_and_once(void **state)
{
	static const char *const expected[] = { "kernel/drivers/virtio/virtio.ko",
		                                "kernel/drivers/virtio/virtio_ring.ko",
		                                "kernel/net/9p/9pnet.ko",
		                                "kernel/net/9p/9pnet_virtio.ko",
		                                "kernel/fs/netfs/netfs.ko",
		                                "kernel/fs/fscache/fscache.ko",
		                                "kernel/fs/9p/9p.ko" };
	struct module_list list = { .count = 0 };

	(void)state;
	assert_int_equal(add(&list, debian, "9pnet_virtio"), 1);
	assert_int_equal(add(&list, debian, "9p"), 1);
	assert_int_equal(add(&list, debian, "9pnet"), 1);
	check(&list, expected, ARRAY_SIZE(expected));
}

static void a_module_has_one_name(void **state)
{
	static const char *const expected[] = { "kernel/fs/overlayfs/overlay.ko.xz",
		                                "kernel/x/no-dash.ko.zst" };
	struct module_list list = { .count = 0 };

	(void)state;
	assert_int_equal(add(&list, debian, "overlay"), 1);
	assert_int_equal(add(&list, debian, "no_dash"), 1);
	assert_int_equal(add(&list, debian, "virtio_pci"), 0);
	assert_int_equal(add(&list, debian, "over"), 0);
	assert_int_equal(add(&list, debian, "x/overlay_more"), 0);
	check(&list, expected, ARRAY_SIZE(expected));
	assert_int_equal(add(&list, "", "overlay"), 0);
	assert_int_equal(add(&list, "\n\n:\n: a\noverlay.ko", "overlay"), 0);
	assert_int_equal(module_file_name(list.paths[0]).length, strlen("overlay.ko.xz"));
	/* At the top of its folder. */
	list.count = 0;
	assert_int_equal(add(&list, "a.ko: b.ko", "a"), 1);
	assert_int_equal(list.count, 2);
	assert_int_equal(module_file_name(list.paths[1]).length, strlen("a.ko"));
}

static void paths_are_no_more_than_paths(void **state)
{
	char longest[MODULE_PATH_MAX + 16];

	(void)state;
	assert_int_equal(add(&(struct module_list){ 0 }, "/lib/a.ko:", "a"), -EINVAL);
	assert_int_equal(add(&(struct module_list){ 0 }, "a.ko: /b.ko", "a"), -EINVAL);
	assert_int_equal(add(&(struct module_list){ 0 }, "a.ko: b\tc.ko", "a"), -EINVAL);
	assert_int_equal(add(&(struct module_list){ 0 }, "a b/a.ko:", "a"), -EINVAL);
	assert_int_equal(module_list_add(&(struct module_list){ 0 }, "a.ko: b\0c.ko\n", 12, "a"),
	                 -EINVAL);
	/* A line that nobody wants may be anything. */
	assert_int_equal(add(&(struct module_list){ 0 }, "/b.ko: \t\na.ko:", "a"), 1);
	memset(longest, 'd', sizeof(longest));
	strcpy(longest + MODULE_PATH_MAX - 5, "/a.ko:");
	assert_int_equal(add(&(struct module_list){ 0 }, longest, "a"), 1);
	strcpy(longest + MODULE_PATH_MAX - 4, "/a.ko:");
	assert_int_equal(add(&(struct module_list){ 0 }, longest, "a"), -EINVAL);
}

static void a_list_has_an_end(void **state)
{
	char text[MODULE_LIST_MAX * 8 + 16] = "a.ko:";
	struct module_list list = { .count = 0 };

	(void)state;
	for (int i = 1; i < MODULE_LIST_MAX; i++)
		sprintf(text + strlen(text), " %d", i);
	assert_int_equal(add(&list, text, "a"), 1);
	assert_int_equal(list.count, MODULE_LIST_MAX);
	assert_int_equal(add(&list, text, "a"), 1);
	strcat(text, " more");
	list.count = 0;
	assert_int_equal(add(&list, text, "a"), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_needed_comes_first_and_once),
		cmocka_unit_test(a_module_has_one_name),
		cmocka_unit_test(paths_are_no_more_than_paths),
		cmocka_unit_test(a_list_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
