/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* --root: what the option takes, which device it means, and what does not go with it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/cmdline.h"
#include "ebb/device.h"

static char text[128]; /* commas in it become NULs */

static int parse(struct vm_config *config, const char *value, struct error *err)
{
	static const struct cmdline_option option = { .name = "root" };

	vm_config_init(config);
	snprintf(text, sizeof(text), "%s", value);
	return cmdline_parse_root(config, &option, text, err);
}

static const struct device_config *find_share(const struct vm_config *config)
{
	for (size_t i = 0; i < config->device_count; i++)
		if (strcmp(config->devices[i].class->name, "virtio-9p") == 0)
			return &config->devices[i];
	return NULL;
}

static void a_folder_may_have_keys(void **state)
{
	struct vm_config config;

	(void)state;
	assert_int_equal(parse(&config, "/", NULL), 0);
	assert_string_equal(config.root_path, "/");
	assert_false(config.root_writable);
	assert_null(config.root_modules_path);
	assert_int_equal(parse(&config, "rw", NULL), 0); /* a folder of that name */
	assert_string_equal(config.root_path, "rw");
	assert_false(config.root_writable);
	assert_int_equal(parse(&config, "a=b,rw,modules=/m", NULL), 0);
	assert_string_equal(config.root_path, "a=b");
	assert_true(config.root_writable);
	assert_string_equal(config.root_modules_path, "/m");
	assert_int_equal(parse(&config, "d,rw,rw=off", NULL), 0);
	assert_false(config.root_writable);
}

static void what_cannot_be_read_is_named(void **state)
{
	static const char *const rows[][2] = {
		{ "", "no folder" },
		{ ",rw", "no folder" },
		{ "d,rx", "--root rx: unknown key (did you mean rw?)" },
		{ "d,overlay=tmp", "--root overlay: unknown key (the keys are" },
		{ "d,rw=perhaps", "--root rw=perhaps: cannot be read" },
		{ "d,modules", "--root modules: no value" },
		{ "d,modules=", "--root modules: no value" },
	};
	struct error err = ERROR_INIT;
	struct vm_config config;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(parse(&config, rows[i][0], &err), -EINVAL);
		assert_non_null(strstr(err.message, rows[i][1]));
	}
	assert_int_equal(parse(&config, "d", NULL), 0);
	assert_int_equal(cmdline_parse_root(&config, NULL, "e", &err), -EINVAL);
	assert_non_null(strstr(err.message, "--root e: one root is named already: d"));
}

static void it_is_one_device(void **state)
{
	const struct device_config *share;
	struct vm_config config;

	(void)state;
	assert_int_equal(parse(&config, "/srv", NULL), 0);
	assert_int_equal(vm_config_complete(&config, 1, NULL), 0);
	share = find_share(&config);
	assert_non_null(share);
	assert_string_equal(device_config_string(share, "path"), "/srv");
	assert_string_equal(device_config_string(share, "tag"), "root");
	assert_string_equal(share->id, "root");
	assert_true(device_config_bool(share, "readonly"));
	assert_int_equal(parse(&config, "/srv,rw", NULL), 0);
	assert_int_equal(vm_config_complete(&config, 1, NULL), 0);
	assert_false(device_config_bool(find_share(&config), "readonly"));
	/* And nothing without it. */
	vm_config_init(&config);
	assert_int_equal(vm_config_complete(&config, 1, NULL), 0);
	assert_null(find_share(&config));
}

static void what_does_not_go_with_it_is_told(void **state)
{
	struct error err = ERROR_INIT;
	struct vm_config config;

	(void)state;
	assert_int_equal(parse(&config, "/srv", NULL), 0);
	config.kernel_path = "vmlinuz";
	config.initrd_paths[0] = "initrd.img";
	config.initrd_count = 1;
	assert_int_equal(vm_config_complete(&config, 1, &err), -EINVAL);
	assert_non_null(strstr(err.message, "--initrd initrd.img: --root has an initrd"));
	assert_int_equal(parse(&config, "/srv", NULL), 0);
	for (size_t i = 0; i < VM_DEVICES_MAX; i++)
		config.devices[i].class = device_class_find("virtio-balloon");
	config.device_count = VM_DEVICES_MAX;
	assert_int_equal(vm_config_complete(&config, 1, &err), -EINVAL);
	assert_non_null(strstr(err.message, "--root /srv: too many devices"));
}

static void its_kernel_is_linux(void **state)
{
	struct vm_config config;

	(void)state;
	/* With none named it is the host's, not the selftest guest. */
	assert_int_equal(parse(&config, "/srv", NULL), 0);
	assert_string_equal(vm_config_default_params(&config), "console=ttyS0");
	config.params_only = true;
	assert_string_equal(vm_config_default_params(&config), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_may_have_keys),
		cmocka_unit_test(what_cannot_be_read_is_named),
		cmocka_unit_test(it_is_one_device),
		cmocka_unit_test(what_does_not_go_with_it_is_told),
		cmocka_unit_test(its_kernel_is_linux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
