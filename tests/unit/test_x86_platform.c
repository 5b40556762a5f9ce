/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_pc fake_kvm fake_arch fake_vm fake_console */
/* Which devices the machine has, where, and how they are described. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"
#include "ebb/guest_memory.h"
#include "ebb/virtio.h"

#include "../../arch/x86/x86.h"

#include "fake_arch.h"
#include "fake_kvm.h"
#include "fake_pc.h"

struct fixture {
	struct fake_pc pc;
	struct arch_vm arch;
	struct kvm_cpuid2 *cpuid;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fake_pc_create(&fixture.pc);
	memset(&fixture.arch, 0, sizeof(fixture.arch));
	fixture.cpuid = calloc(1, sizeof(*fixture.cpuid) + sizeof(struct kvm_cpuid_entry2));
	fixture.cpuid->nent = 1;
	fixture.cpuid->entries[0].function = 0x80000008;
	fixture.cpuid->entries[0].eax = 39;
	fixture.arch.cpuid = fixture.cpuid;
	fixture.pc.vm.arch = &fixture.arch;
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	device_destroy_all(&fixture->pc.vm);
	x86_platform_destroy(&fixture->pc.vm);
	fake_pc_destroy(&fixture->pc);
	free(fixture->cpuid);
	return 0;
}

static void test_devices(void **state)
{
	static const char *const there[] = { "serial-16550", "i8042",      "rtc-cmos", "acpi-pm",
		                             "fw-cfg",       "debug-exit", "pvpanic" };
	struct vm *vm = &((struct fixture *)*state)->pc.vm;

	assert_int_equal(x86_platform_create(vm, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(there); i++)
		assert_non_null(device_find(vm, there[i]));
	assert_null(device_find(vm, "test-devices"));
	assert_null(device_find(vm, "pci-testdev"));
	assert_int_equal(device_find(vm, "serial-16550")->resources[0].base, 0x3f8);
	assert_int_equal(device_find(vm, "acpi-pm")->resources[0].base, 0x600);
	assert_non_null(vm->pci);
	assert_int_equal(vm->virtio_mmio->base_gpa, 0xd0000000);
	assert_int_equal(vm->virtio_mmio->slot_count, 32);
	for (unsigned int i = 0; i < 32; i++) {
		unsigned int gsi = vm->virtio_mmio->gsis[i];

		assert_true(gsi < 24 && gsi != 0 && gsi != 2 && gsi != 4 && gsi != 8 && gsi != 9);
		assert_false(gsi >= 16 && gsi < 20); /* PCI's */
	}
}

static void test_test_devices(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->pc.vm;

	fixture->pc.config.test_devices = true;
	fixture->pc.config.transport = TRANSPORT_MMIO;
	assert_int_equal(x86_platform_create(vm, NULL), 0);
	assert_non_null(device_find(vm, "test-devices"));
	assert_non_null(device_find(vm, "pci-testdev"));
	assert_non_null(vm->pci); /* the test function needs it */
}

static void test_no_pci(void **state)
{
	struct fixture *fixture = *state;

	fixture->pc.config.transport = TRANSPORT_MMIO;
	assert_int_equal(x86_platform_create(&fixture->pc.vm, NULL), 0);
	assert_null(fixture->pc.vm.pci);
}

static void check_window(struct fixture *fixture, unsigned int bits, gpa_t memory_end_gpa,
                         gpa_t expected_gpa, uint64_t expected_bytes)
{
	struct vm *vm = &fixture->pc.vm;

	fixture->cpuid->entries[0].eax = bits;
	fake_arch_set_device_memory(memory_end_gpa);
	assert_int_equal(x86_platform_create(vm, NULL), 0);
	assert_int_equal(pci_host_layout(vm->pci)->mmio64_gpa, expected_gpa);
	assert_int_equal(pci_host_layout(vm->pci)->mmio64_bytes, expected_bytes);
	device_destroy_all(vm);
	x86_platform_destroy(vm);
}

/* Above RAM, as far as addresses go. */
static void test_window(void **state)
{
	struct fixture *fixture = *state;

	check_window(fixture, 39, 4 * GIB, 4 * GIB, 32 * GIB);
	check_window(fixture, 39, 5 * GIB, 5 * GIB, 32 * GIB);
	check_window(fixture, 36, 61 * GIB, 61 * GIB, 3 * GIB);
	check_window(fixture, 36, 64 * GIB, 0, 0);
	check_window(fixture, 32, 4 * GIB, 0, 0);
	check_window(fixture, 255, 9 * GIB, 9 * GIB, 32 * GIB);
}

/* And above what memory devices own there. */
static void test_window_behind_device_memory(void **state)
{
	static const struct device_option options[] = {
		{ .key = "size", .type = DEVICE_OPTION_SIZE, .default_value = 3 * GIB + 2 * MIB },
		{ .key = "block-size", .type = DEVICE_OPTION_SIZE, .default_value = 2 * MIB },
		{ .key = "node", .type = DEVICE_OPTION_UINT },
	};
	static const struct device_class class = { .name = "memory",
		                                   .is_memory = true,
		                                   .options = options,
		                                   .option_count = ARRAY_SIZE(options) };
	struct fixture *fixture = *state;
	struct vm_config *config = &fixture->pc.config;

	config->device_count = 2;
	config->devices[0].class = &class;
	config->devices[1].class = &class;
	check_window(fixture, 39, 5 * GIB, 13 * GIB, 32 * GIB);
	check_window(fixture, 36, 5 * GIB, 13 * GIB, 32 * GIB);
	check_window(fixture, 36, 55 * GIB, 63 * GIB, GIB);
	check_window(fixture, 36, 56 * GIB, 0, 0);
}

static void read_memory(struct vm *vm, gpa_t gpa, void *buf, size_t bytes)
{
	assert_int_equal(gmem_read(vm->memory, gpa, buf, bytes), 0);
}

static void test_describe(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->pc.vm;
	static uint8_t tables[16384];
	struct device mmio = { 0 }, elsewhere = { 0 };

	assert_int_equal(x86_platform_create(vm, NULL), 0);
	device_add_resource(&mmio, DEVICE_RESOURCE_MMIO, 0xd0003000, 0x200);
	device_add_resource(&mmio, DEVICE_RESOURCE_GSI, 23, 1);
	device_add_resource(&elsewhere, DEVICE_RESOURCE_MMIO, 0xc0000000, 0x200);
	device_add_resource(&elsewhere, DEVICE_RESOURCE_GSI, 23, 1);
	list_append(&vm->devices, &mmio.node);
	list_append(&vm->devices, &elsewhere.node);
	assert_int_equal(x86_platform_describe(vm, NULL), 0);
	list_remove(&mmio.node);
	list_remove(&elsewhere.node);
	read_memory(vm, 0xe0000, tables, sizeof(tables));
	assert_memory_equal(tables, "RSD PTR ", 8);
	assert_non_null(memmem(tables, sizeof(tables), "VM00", 4));
	assert_null(memmem(tables, sizeof(tables), "VM01", 4));
	assert_non_null(memmem(tables, sizeof(tables), "\x00\x30\x00\xd0\x00\x02", 6));
	assert_non_null(memmem(tables, sizeof(tables), "MCFG", 4));
}

static bool has_table(struct vm *vm, const char *signature)
{
	static uint8_t tables[16384];

	memset(tables, 0, sizeof(tables));
	assert_int_equal(gmem_write(vm->memory, 0xe0000, tables, sizeof(tables)), 0);
	assert_int_equal(x86_platform_describe(vm, NULL), 0);
	read_memory(vm, 0xe0000, tables, sizeof(tables));
	return memmem(tables, sizeof(tables), signature, 4) != NULL;
}

/* Nodes are told when the user wants them, or when memory may come. */
static void test_describe_nodes(void **state)
{
	static const struct device_option options[] = {
		{ .key = "size", .type = DEVICE_OPTION_SIZE, .default_value = GIB },
		{ .key = "block-size", .type = DEVICE_OPTION_SIZE, .default_value = 2 * MIB },
		{ .key = "node", .type = DEVICE_OPTION_UINT },
	};
	static const struct device_class class = { .name = "memory",
		                                   .is_memory = true,
		                                   .options = options,
		                                   .option_count = ARRAY_SIZE(options) };
	struct fixture *fixture = *state;
	struct vm_config *config = &fixture->pc.config;
	struct vm *vm = &fixture->pc.vm;

	assert_int_equal(x86_platform_create(vm, NULL), 0);
	assert_false(has_table(vm, "SRAT") || has_table(vm, "SLIT"));
	config->device_count = 1;
	config->devices[0].class = &class;
	assert_true(has_table(vm, "SRAT") && !has_table(vm, "SLIT"));
	config->numa.node_count = 2;
	config->numa.nodes[0].mem_bytes = config->memory.size_bytes;
	assert_true(has_table(vm, "SRAT") && has_table(vm, "SLIT"));
	config->device_count = 0;
	config->numa.node_count = 1;
	assert_true(has_table(vm, "SRAT") && !has_table(vm, "SLIT"));
}

/* A step that fails leaves what the caller's teardown takes. */
static void test_unwinds(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->pc.vm;
	const struct bus_ops nothing = { 0 };
	const uint64_t ports[] = { 0x3f8, 0x64, 0x70, 0x600, 0x510, 0xf4, 0x505, 0xcf8 };

	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		struct error err = ERROR_INIT;

		assert_int_equal(bus_add(vm->pio, ports[i], 1, &nothing, NULL, "in the way"), 0);
		assert_int_equal(x86_platform_create(vm, &err), -EEXIST);
		assert_true(err.message[0]);
		device_destroy_all(vm);
		x86_platform_destroy(vm);
		bus_remove(vm->pio, ports[i]);
	}
	assert_int_equal(x86_platform_create(vm, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_devices, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_test_devices, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_pci, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_window, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_window_behind_device_memory, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_describe, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_describe_nodes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unwinds, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
