/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* What goes with a memory device and what does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/config_private.h"
#include "ebb/device.h"

static struct vm_config config;
static struct device_config *device;

static int set_up(void **state)
{
	(void)state;
	vm_config_init(&config);
	device = vm_config_device(&config, device_class_find("virtio-mem"));
	assert_non_null(device);
	device_config_set_number(device, "size", 8 * GIB);
	return 0;
}

static void refused(const char *message)
{
	struct error err = ERROR_INIT;

	assert_int_equal(config_complete_devices(&config, &err), -EINVAL);
	assert_string_equal(err.message, message);
}

static void taken(void)
{
	struct error err = ERROR_INIT;

	assert_int_equal(config_complete_devices(&config, &err), 0);
	assert_string_equal(err.message, "");
}

static void blocks_are_powers_of_two_from_2m(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *message;
	} rows[] = {
		{ 3 * MIB,
		  "--virtio-mem id=vm0 block-size=3M: no power of two (give one, of at least 2M)" },
		{ 0, "--virtio-mem id=vm0 block-size=0: no power of two (give one, of at least "
		     "2M)" },
		{ MIB, "--virtio-mem id=vm0 block-size=1M: too small (give at least 2M)" },
		{ 16 * GIB,
		  "--virtio-mem id=vm0 size=8G: not whole blocks (give a multiple of 16G)" },
		{ 2 * MIB, NULL },
		{ 128 * MIB, NULL },
		{ 8 * GIB, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		device_config_set_number(device, "block-size", rows[i].bytes);
		if (rows[i].message)
			refused(rows[i].message);
		else
			taken();
		assert_int_equal(device_config_number(device, "block-size"), rows[i].bytes);
	}
}

static void blocks_are_huge_pages_at_least(void **state)
{
	(void)state;
	config.memory.backing.page_bytes = GIB;
	device_config_set_number(device, "block-size", 512 * MIB);
	refused("--virtio-mem id=vm0 block-size=512M: less than a huge page of --mem (give at "
	        "least 1G)");
	device_config_set_number(device, "block-size", 2 * GIB);
	taken();
}

static void sizes_go_together(void **state)
{
	(void)state;
	device_config_set_number(device, "size", GIB + MIB);
	refused("--virtio-mem id=vm0 size=1025M: not whole blocks (give a multiple of 2M)");
	device_config_set_number(device, "size", VM_MEMORY_MAX_BYTES + 2 * MIB);
	refused("--virtio-mem id=vm0 size=16777218M: too much memory (give at most 16T)");
	device_config_set_number(device, "size", GIB);
	device_config_set_number(device, "requested-size", GIB + 2 * MIB);
	refused("--virtio-mem id=vm0 requested-size=1026M: more than the device's size (give at "
	        "most 1G)");
	device_config_set_number(device, "requested-size", 5 * MIB);
	refused("--virtio-mem id=vm0 requested-size=5M: not whole blocks (give a multiple of 2M)");
	device_config_set_number(device, "requested-size", GIB);
	taken();
	device_config_set_number(device, "size", 0);
	refused("--virtio-mem id=vm0: no size (give size=SIZE)");
}

static void nodes_are_those_of_numa(void **state)
{
	(void)state;
	device_config_set_number(device, "node", 1);
	refused("--virtio-mem id=vm0 node=1: there are no nodes (add --numa, or leave node out)");
	config.numa.node_count = 1;
	refused("--virtio-mem id=vm0 node=1: out of range (--numa gives 0 to 0)");
	config.numa.node_count = 2;
	taken();
	device_config_set_number(device, "node", UINT64_MAX);
	refused("--virtio-mem id=vm0 node=18446744073709551615: out of range (--numa gives 0 to "
	        "1)");
	config.numa.node_count = 0;
	device_config_set_number(device, "node", 0);
	taken();
}

static void a_file_has_no_room_for_them(void **state)
{
	(void)state;
	config.memory.backing.kind = GMEM_FILE;
	refused("--virtio-mem id=vm0: has no part in the file of --mem backing=file (give "
	        "backing=anon, memfd or hugetlb)");
	config.memory.backing.kind = GMEM_MEMFD;
	taken();
}

static void ids_are_unique(void **state)
{
	struct device_config *other = vm_config_device(&config, device->class);

	(void)state;
	device_config_set_number(other, "size", GIB);
	strcpy(other->id, "vm0");
	taken();
	assert_string_equal(device->id, "vm1");
	strcpy(device->id, "vm0");
	refused("--virtio-mem id=vm0: another device has that id (choose another)");
	strcpy(other->id, "virtio-rng");
	refused("--virtio-mem id=virtio-rng: a kind of device is called that (choose another id)");
	strcpy(other->id, "balloon0");
	refused("--virtio-mem id=balloon0: the balloon is called that (choose another id)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(blocks_are_powers_of_two_from_2m, set_up),
		cmocka_unit_test_setup(blocks_are_huge_pages_at_least, set_up),
		cmocka_unit_test_setup(sizes_go_together, set_up),
		cmocka_unit_test_setup(nodes_are_those_of_numa, set_up),
		cmocka_unit_test_setup(a_file_has_no_room_for_them, set_up),
		cmocka_unit_test_setup(ids_are_unique, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
