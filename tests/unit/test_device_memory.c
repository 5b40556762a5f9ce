/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table fake_arch */
/* The regions of memory devices: behind boot memory, aligned, in order, within the CPU's reach. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/device.h"
#include "ebb/device_memory.h"

#include "fake_arch.h"

static struct vm_config config;

static struct device_config *add(const char *class_name, const char *id, uint64_t size_bytes)
{
	struct device_config *device = &config.devices[config.device_count++];

	device_config_init(device, class_name);
	snprintf(device->id, sizeof(device->id), "%s", id);
	if (size_bytes)
		device_config_set_number(device, "size", size_bytes);
	return device;
}

static int set_up(void **state)
{
	(void)state;
	fake_arch_reset();
	memset(&config, 0, sizeof(config));
	config.memory.size_bytes = 512 * MIB;
	fake_arch_set_device_memory(5 * GIB);
	return 0;
}

static struct device_memory_layout lay_out(void)
{
	struct device_memory_layout layout;
	struct error err = ERROR_INIT;

	assert_int_equal(device_memory_layout(&config, &layout, &err), 0);
	return layout;
}

static void without_devices_there_is_none(void **state)
{
	const struct device_config *balloon = add("virtio-balloon", "virtio-balloon", 0);
	struct device_memory_layout layout = lay_out();

	(void)state;
	assert_int_equal(layout.range_count, 0);
	assert_int_equal(layout.gpa, 5 * GIB);
	assert_int_equal(layout.end_gpa, 5 * GIB);
	assert_null(device_memory_find(&layout, balloon));
	assert_int_equal(device_memory_check_bits(&config, 33, NULL), 0);
}

static void devices_lie_one_behind_the_other(void **state)
{
	struct device_config *balloon = add("virtio-balloon", "virtio-balloon", 0);
	struct device_config *vm0 = add("virtio-mem", "vm0", 1538 * MIB);
	struct device_config *vm1 = add("virtio-mem", "vm1", 16 * GIB);
	struct device_memory_layout layout;

	(void)state;
	add("virtio-mem", "vm2", 2 * MIB);
	device_config_set_number(vm1, "block-size", 4 * GIB);
	device_config_set_number(vm1, "node", 3);
	layout = lay_out();
	assert_int_equal(layout.range_count, 3);
	assert_int_equal(layout.gpa, 5 * GIB);
	assert_ptr_equal(layout.ranges[0].device, vm0);
	assert_int_equal(layout.ranges[0].gpa, 5 * GIB);
	assert_int_equal(layout.ranges[0].size_bytes, 1538 * MIB);
	assert_int_equal(layout.ranges[0].node, 0);
	/* The end, 6.5 GiB, is taken up to the larger of 1 GiB and the block. */
	assert_int_equal(layout.ranges[1].gpa, 8 * GIB);
	assert_int_equal(layout.ranges[1].node, 3);
	assert_int_equal(layout.ranges[2].gpa, 24 * GIB);
	assert_int_equal(layout.end_gpa, 24 * GIB + 2 * MIB);
	assert_ptr_equal(device_memory_find(&layout, vm1), &layout.ranges[1]);
	assert_null(device_memory_find(&layout, balloon));
}

static void the_first_device_may_ask_for_more_than_a_gib(void **state)
{
	struct device_config *vm0 = add("virtio-mem", "vm0", 32 * GIB);
	struct device_memory_layout layout;

	(void)state;
	device_config_set_number(vm0, "block-size", 16 * GIB);
	layout = lay_out();
	assert_int_equal(layout.gpa, 16 * GIB);
	assert_int_equal(layout.end_gpa, 48 * GIB);
}

static void addresses_end(void **state)
{
	struct device_memory_layout layout = { .range_count = 7 };
	struct error err = ERROR_INIT;

	(void)state;
	add("virtio-mem", "vm0", UINT64_C(1) << 63);
	assert_int_equal(lay_out().range_count, 1);
	add("virtio-mem", "big", UINT64_C(1) << 63);
	assert_int_equal(device_memory_layout(&config, &layout, &err), -EINVAL);
	assert_string_equal(err.message, "--virtio-mem id=big: its memory ends past the last "
	                                 "address (give less)");
	assert_int_equal(layout.range_count, 7); /* untouched */
	assert_int_equal(device_memory_check_bits(&config, 64, NULL), -EINVAL);
}

static void the_cpu_reaches_so_far(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	add("virtio-mem", "vm0", 3 * GIB);
	add("virtio-mem", "vm1", 504 * GIB);
	assert_int_equal(device_memory_check_bits(&config, 39, &err), 0);
	assert_int_equal(device_memory_check_bits(&config, 64, &err), 0);
	device_config_set_number(&config.devices[1], "size", 504 * GIB + 2 * MIB);
	assert_int_equal(device_memory_check_bits(&config, 39, &err), -EINVAL);
	assert_string_equal(err.message,
	                    "--virtio-mem id=vm1: its memory would end at 524290 MiB, this host's "
	                    "CPU addresses 39 bits, 524288 MiB (give less)");
	assert_int_equal(device_memory_check_bits(&config, 40, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_devices_there_is_none, set_up),
		cmocka_unit_test_setup(devices_lie_one_behind_the_other, set_up),
		cmocka_unit_test_setup(the_first_device_may_ask_for_more_than_a_gib, set_up),
		cmocka_unit_test_setup(addresses_end, set_up),
		cmocka_unit_test_setup(the_cpu_reaches_so_far, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
