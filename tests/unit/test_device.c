/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_arch fake_vm */
/* Device configuration, creation, order of teardown. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/device.h"
#include "ebb/vm.h"

static char destroyed[16];

static int probe_create(struct vm *vm, const struct device_config *config,
                        struct device **ret_device, struct error *err)
{
	struct device *device;

	if (device_config_bool(config, "fail"))
		return error_set(err, -EBUSY, "no");
	if (device_config_string(config, "path"))
		return error_set(err, -EINVAL, "path: not that one");
	device = calloc(1, sizeof(*device));
	assert_non_null(device);
	device_init(device, vm, config);
	device_add_resource(device, DEVICE_RESOURCE_GSI, device_config_number(config, "size"), 1);
	*ret_device = device;
	return 0;
}

static void probe_destroy(struct device *device)
{
	strcat(destroyed, device->id);
	free(device);
}

static const struct device_option probe_options[] = {
	{ .key = "fail", .type = DEVICE_OPTION_BOOL },
	{ .key = "size", .type = DEVICE_OPTION_SIZE, .default_value = 17 },
	{ .key = "path", .type = DEVICE_OPTION_STRING },
	{ .key = "also", .type = DEVICE_OPTION_STRING, .repeatable = true },
};

static const struct device_class probe_class = {
	.name = "probe",
	.option = "try",
	.options = probe_options,
	.option_count = ARRAY_SIZE(probe_options),
	.create = probe_create,
	.destroy = probe_destroy,
};

static void test_config(void **state)
{
	struct device_config config = { .class = &probe_class };

	(void)state;
	assert_int_equal(device_config_number(&config, "size"), 17);
	assert_false(device_config_bool(&config, "fail"));
	assert_null(device_config_string(&config, "path"));
	device_config_set_number(&config, "size", 4096);
	device_config_set_number(&config, "fail", 1);
	device_config_set_string(&config, "path", "here");
	assert_int_equal(device_config_number(&config, "size"), 4096);
	assert_true(device_config_bool(&config, "fail"));
	assert_string_equal(device_config_string(&config, "path"), "here");
	assert_int_equal(config.property_count, 3);
	device_config_set_number(&config, "size", 8192); /* the last one counts, in the same slot */
	assert_int_equal(device_config_number(&config, "size"), 8192);
	assert_int_equal(config.property_count, 3);
}

static void test_repeated(void **state)
{
	static const char *const values[] = { "a", "b", "a" };
	struct device_config config = { .class = &probe_class };

	(void)state;
	assert_false(device_config_given(&config, "size"));
	assert_null(device_config_string_at(&config, "also", 0));
	device_config_set_number(&config, "size", 17); /* the default, but said */
	assert_true(device_config_given(&config, "size"));
	for (size_t i = 0; i < DEVICE_REPEATS_MAX; i++)
		assert_int_equal(device_config_add_string(&config, "also", values[i % 3]), 0);
	assert_int_equal(device_config_add_string(&config, "also", "one more"), -ENOSPC);
	for (size_t i = 0; i < DEVICE_REPEATS_MAX; i++)
		assert_string_equal(device_config_string_at(&config, "also", i), values[i % 3]);
	assert_null(device_config_string_at(&config, "also", DEVICE_REPEATS_MAX));
	assert_int_equal(device_config_number(&config, "size"), 17);
}

static void test_config_init(void **state)
{
	struct device_config config;

	(void)state;
	memset(&config, 0xff, sizeof(config));
	device_config_init(&config, "serial-16550");
	assert_ptr_equal(config.class, device_class_find("serial-16550"));
	assert_string_equal(config.id, "serial-16550");
	assert_int_equal(config.property_count, 0);
	assert_int_equal(device_config_number(&config, "base"), 0x3f8);
}

static void test_resources(void **state)
{
	struct device device = { 0 };

	(void)state;
	assert_null(device_find_resource(&device, DEVICE_RESOURCE_GSI));
	device_add_resource(&device, DEVICE_RESOURCE_MMIO, 0x1000, 8);
	device_add_resource(&device, DEVICE_RESOURCE_GSI, 5, 1);
	device_add_resource(&device, DEVICE_RESOURCE_GSI, 6, 1);
	assert_int_equal(device_find_resource(&device, DEVICE_RESOURCE_GSI)->base, 5);
	assert_int_equal(device_find_resource(&device, DEVICE_RESOURCE_MMIO)->size_bytes, 8);
	assert_null(device_find_resource(&device, DEVICE_RESOURCE_PIO));
}

static void test_create_and_destroy(void **state)
{
	struct vm vm = { 0 };
	struct device_config config = { .class = &probe_class };
	struct error err = ERROR_INIT;
	struct device *first;

	(void)state;
	list_init(&vm.devices);
	destroyed[0] = '\0';
	assert_null(device_find(&vm, "probe"));
	assert_int_equal(device_create(&vm, &config, &err), 0); /* takes the class's name */
	strcpy(config.id, "b");
	device_config_set_number(&config, "size", 5);
	assert_int_equal(device_create(&vm, &config, &err), 0);
	first = device_find(&vm, "probe");
	assert_string_equal(first->id, "probe");
	assert_int_equal(first->resources[0].base, 17);
	assert_int_equal(first->resource_count, 1);
	device_config_set_number(&config, "fail", 1);
	assert_int_equal(device_create(&vm, &config, &err), -EBUSY);
	assert_string_equal(err.message, "b: no");
	/* What the user asked for is told by its option. */
	device_config_set_number(&config, "fail", 0);
	device_config_set_string(&config, "path", "there");
	assert_int_equal(device_create(&vm, &config, &err), -EINVAL);
	assert_string_equal(err.message, "--try: path: not that one");
	device_destroy_all(&vm);
	assert_string_equal(destroyed, "bprobe"); /* the newest first */
	assert_true(list_is_empty(&vm.devices));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_config_init),
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_create_and_destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
