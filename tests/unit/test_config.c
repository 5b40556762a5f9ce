/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* A configuration's devices, names and limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/config.h"
#include "ebb/device.h"

static void names_are_what_a_file_may_be_called(void **state)
{
	static const char *const good[] = { "a", "vm1", "a.b_c-D", "ebb-12345", "0" };
	static const char *const bad[] = { "",    ".",   "..",  ".hidden", "-v",
		                           "a/b", "a b", "a\n", "\xc3\xa4" };
	char long_name[VM_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(vm_name_is_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(vm_name_is_valid(bad[i]));
	memset(long_name, 'x', sizeof(long_name));
	long_name[VM_NAME_MAX] = '\0';
	assert_false(vm_name_is_valid(long_name));
	long_name[VM_NAME_MAX - 1] = '\0';
	assert_true(vm_name_is_valid(long_name));
}

static void devices_are_kept_in_the_order_of_the_table(void **state)
{
	const struct device_class *balloon = device_class_find("virtio-balloon");
	const struct device_class *rng = device_class_find("virtio-rng");
	struct device_config *device;
	struct vm_config config;

	(void)state;
	vm_config_init(&config);
	assert_int_equal(config.device_count, 1);
	device = vm_config_device(&config, rng);
	assert_ptr_equal(device, &config.devices[0]);
	assert_ptr_equal(config.devices[1].class, balloon);
	/* Asking again finds it. */
	assert_ptr_equal(vm_config_device(&config, rng), device);
	assert_int_equal(config.device_count, 2);
	device_config_set_number(&config.devices[1], "target", 5);
	vm_config_remove_device(&config, rng);
	assert_int_equal(config.device_count, 1);
	assert_ptr_equal(config.devices[0].class, balloon);
	assert_int_equal(device_config_number(&config.devices[0], "target"), 5);
	vm_config_remove_device(&config, rng);
	assert_int_equal(config.device_count, 1);
}

static void a_full_table_takes_no_more(void **state)
{
	struct vm_config config;

	(void)state;
	vm_config_init(&config);
	for (size_t i = 0; i < VM_DEVICES_MAX; i++)
		config.devices[i].class = device_class_find("virtio-balloon");
	config.device_count = VM_DEVICES_MAX;
	assert_null(vm_config_device(&config, device_class_find("virtio-rng")));
	config.console = CONSOLE_VIRTIO;
	assert_int_equal(vm_config_complete(&config, 1, NULL), -EINVAL);
	config.console = CONSOLE_SERIAL;
	assert_int_equal(vm_config_complete(&config, 1, NULL), 0);
}

static void memory_has_limits(void **state)
{
	static const struct {
		uint64_t size_bytes;
		int result;
	} rows[] = {
		{ 0, -EINVAL },
		{ VM_MEMORY_MIN_BYTES - PAGE_4K_BYTES, -EINVAL },
		{ VM_MEMORY_MIN_BYTES, 0 },
		{ VM_MEMORY_MIN_BYTES + 1, -EINVAL },
		{ VM_MEMORY_MAX_BYTES, 0 },
		{ VM_MEMORY_MAX_BYTES + PAGE_4K_BYTES, -EINVAL },
		{ UINT64_MAX, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vm_config config;

		vm_config_init(&config);
		config.memory.size_bytes = rows[i].size_bytes;
		assert_int_equal(vm_config_complete(&config, 1, NULL), rows[i].result);
	}
}

static void a_given_name_stays(void **state)
{
	struct vm_config config;

	(void)state;
	vm_config_init(&config);
	strcpy(config.name, "mine");
	assert_int_equal(vm_config_complete(&config, 7, NULL), 0);
	assert_string_equal(config.name, "mine");
	config.name[0] = '\0';
	assert_int_equal(vm_config_complete(&config, UINT32_MAX, NULL), 0);
	assert_string_equal(config.name, "ebb-4294967295");
	assert_true(vm_name_is_valid(config.name));
}

static void a_kernel_is_told_of_its_console(void **state)
{
	struct vm_config config = { .kernel_path = "vmlinuz", .console = CONSOLE_SERIAL };

	(void)state;
	assert_string_equal(vm_config_default_params(&config), "console=ttyS0");
	config.console = CONSOLE_VIRTIO;
	assert_string_equal(vm_config_default_params(&config), "console=hvc0");
	config.params_only = true;
	assert_string_equal(vm_config_default_params(&config), "");
	config.params_only = false;
	config.console = CONSOLE_NONE;
	assert_string_equal(vm_config_default_params(&config), "");
	config.console = CONSOLE_SERIAL;
	config.kernel_path = NULL; /* the selftest guest finds its own */
	assert_string_equal(vm_config_default_params(&config), "");
	config.memory.backing.lock = true;
	assert_string_equal(vm_config_default_params(&config), "memory-locked");
	config.params_only = true;
	assert_string_equal(vm_config_default_params(&config), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_what_a_file_may_be_called),
		cmocka_unit_test(devices_are_kept_in_the_order_of_the_table),
		cmocka_unit_test(a_full_table_takes_no_more),
		cmocka_unit_test(memory_has_limits),
		cmocka_unit_test(a_given_name_stays),
		cmocka_unit_test(a_kernel_is_told_of_its_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
