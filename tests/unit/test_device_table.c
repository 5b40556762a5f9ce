/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_arch fake_vm */
/* The table of device classes: every row is whole, and names and keys are unique. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/device.h"

static void check_options(const struct device_class *class)
{
	assert_true(class->option_count <= DEVICE_PROPERTIES_MAX);
	for (size_t i = 0; i < class->option_count; i++) {
		const struct device_option *option = &class->options[i];

		assert_non_null(option->key);
		assert_null(strpbrk(option->key, " ,="));
		/* What users can name has a line of help; keys of a class without an option are
		 * the platform's. */
		if (!class->option)
			assert_null(option->help);
		if (option->type == DEVICE_OPTION_UINT || option->type == DEVICE_OPTION_SIZE) {
			/* 0 below min: it has to be given. */
			assert_true(!option->default_value || option->default_value >= option->min);
			assert_true(!option->max || option->default_value <= option->max);
		}
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(option->key, class->options[j].key);
	}
}

static void test_rows(void **state)
{
	size_t count;
	const struct device_class *const *classes = device_classes(&count);

	(void)state;
	assert_true(count > 0);
	for (size_t i = 0; i < count; i++) {
		assert_non_null(classes[i]->name);
		assert_non_null(classes[i]->help);
		assert_null(strchr(classes[i]->help, '\n'));
		assert_non_null(classes[i]->create);
		assert_non_null(classes[i]->destroy);
		assert_true(strlen(classes[i]->name) < DEVICE_ID_MAX - 3); /* room for a number */
		assert_ptr_equal(device_class_find(classes[i]->name), classes[i]);
		check_options(classes[i]);
		classes[i]->destroy(NULL);
		for (size_t j = 0; j < i; j++)
			if (classes[i]->option && classes[j]->option)
				assert_string_not_equal(classes[i]->option, classes[j]->option);
	}
	assert_null(device_class_find("no-such-device"));
	assert_null(device_class_find(""));
}

/* The names that the architecture creates its platform by. */
static void test_platform_names(void **state)
{
	static const char *const names[] = {
		"serial-16550", "i8042",   "rtc-cmos",     "acpi-pm",     "fw-cfg",
		"debug-exit",   "pvpanic", "test-devices", "pci-testdev",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_non_null(device_class_find(names[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_platform_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
