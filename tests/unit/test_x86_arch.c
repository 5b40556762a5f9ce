/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm x86_kvm */
/* The contract's hooks: host checks, memory map, VM and vCPU made and unmade whatever KVM refuses.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/arch.h"
#include "ebb/device.h"

#include "../../arch/x86/x86.h"

#include "x86_kvm.h"

static struct vm vm;
static struct vm_config config;
static struct x86_kvm *x86;

static int set_up(void **state)
{
	(void)state;
	fake_kvm_reset();
	x86 = x86_kvm_reset();
	memset(&vm, 0, sizeof(vm));
	memset(&config, 0, sizeof(config));
	config.cpu_count = 2;
	config.memory.size_bytes = 512 * MIB;
	vm.config = &config;
	vm.kvm = fake_kvm_open();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kvm_close(vm.kvm);
	assert_int_equal(fake_kvm_open_objects(), 0);
	return 0;
}

static void test_host(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_non_null(strstr(arch_info.kvm_remedy, "kvm_intel"));
	assert_int_equal(arch_check_host(vm.kvm, &config, &err), 0);
	fake_kvm_set_extension(KVM_CAP_IRQFD, 0);
	assert_int_equal(arch_check_host(vm.kvm, &config, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "lacks KVM_CAP_IRQFD"));
	fake_kvm_set_extension(KVM_CAP_IMMEDIATE_EXIT, 0);
	assert_int_equal(arch_check_host(vm.kvm, &config, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "lacks KVM_CAP_IMMEDIATE_EXIT"));
}

static void test_memory_map(void **state)
{
	struct arch_memory_map map;

	(void)state;
	arch_memory_map(MIB, &map);
	assert_int_equal(map.range_count, 1);
	assert_int_equal(map.device_memory_gpa, 4 * GIB);
	arch_memory_map(3 * GIB, &map);
	assert_int_equal(map.device_memory_gpa, 4 * GIB);
	assert_int_equal(map.range_count, 1);
	assert_int_equal(map.ranges[0].gpa, 0);
	assert_int_equal(map.ranges[0].size_bytes, 3 * GIB);
	arch_memory_map(6 * GIB, &map);
	assert_int_equal(map.range_count, 2);
	assert_int_equal(map.ranges[1].gpa, 4 * GIB);
	assert_int_equal(map.ranges[1].size_bytes, 3 * GIB);
	assert_int_equal(map.device_memory_gpa, 7 * GIB);
	arch_memory_map(6 * GIB + 4096, &map);
	assert_int_equal(map.device_memory_gpa, 8 * GIB);
	arch_memory_map(16 * TIB, &map);
	assert_int_equal(map.ranges[0].size_bytes + map.ranges[1].size_bytes, 16 * TIB);
}

static void test_vm_unwinds(void **state)
{
	struct error err = ERROR_INIT;
	unsigned int failures = 0;

	(void)state;
	for (unsigned int n = 0;; n++) {
		fake_kvm_fail_nth(n, -EIO);
		if (!arch_vm_create(&vm, &err))
			break;
		assert_null(vm.arch);
		assert_null(vm.kvm_vm);
		assert_int_equal(fake_kvm_open_objects(), 1); /* /dev/kvm */
		assert_true(err.message[0]);
		failures++;
	}
	fake_kvm_fail_never();
	/* CPUID, VM, and four of the irqchip's */
	assert_int_equal(failures, 6);
	arch_vm_destroy(&vm);
	arch_vm_destroy(&vm); /* what is not there */
}

static void test_vcpu_unwinds(void **state)
{
	struct error err = ERROR_INIT;
	struct vcpu vcpu = { .vm = &vm, .index = 1 };

	(void)state;
	assert_int_equal(arch_vm_create(&vm, NULL), 0);
	for (unsigned int n = 0; n < 2; n++) {
		fake_kvm_fail_nth(n, -EIO);
		assert_int_equal(arch_vcpu_create(&vcpu, &err), -EIO);
		assert_null(vcpu.kvm);
	}
	fake_kvm_fail_never();
	assert_int_equal(arch_vcpu_create(&vcpu, NULL), 0);
	assert_int_equal(x86_kvm_cpuid(1, 0)->ebx >> 24, 1);
	arch_vcpu_destroy(&vcpu);
	arch_vcpu_destroy(&vcpu);
	arch_vm_destroy(&vm);
}

/* The fake CPU has 39 address bits: 512 GiB, of which 1 GiB is the hole below 4 GiB. */
static void test_address_bits(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	config.memory.size_bytes = 511 * GIB;
	assert_int_equal(arch_vm_create(&vm, NULL), 0);
	arch_vm_destroy(&vm);
	assert_int_equal(x86->enabled.cap, 0); /* nothing to ask for without devices */
	config.memory.size_bytes = 511 * GIB + 4096;
	assert_int_equal(arch_vm_create(&vm, &err), -EINVAL);
	assert_non_null(strstr(err.message, "addresses 39 bits, at most 523264 MiB"));
}

/* Device memory is memory too: behind 512 MiB it begins at 4 GiB. */
static void test_address_bits_of_devices(void **state)
{
	static const struct device_option options[] = {
		{ .key = "size", .type = DEVICE_OPTION_SIZE },
		{ .key = "block-size", .type = DEVICE_OPTION_SIZE, .default_value = 2 * MIB },
		{ .key = "node", .type = DEVICE_OPTION_UINT },
	};
	static const struct device_class class = { .name = "memory",
		                                   .option = "memory",
		                                   .is_memory = true,
		                                   .options = options,
		                                   .option_count = ARRAY_SIZE(options) };
	struct error err = ERROR_INIT;

	(void)state;
	config.device_count = 1;
	config.devices[0] = (struct device_config){ .class = &class, .id = "vm0" };
	device_config_set_number(&config.devices[0], "size", 508 * GIB);
	assert_int_equal(arch_vm_create(&vm, NULL), 0);
	arch_vm_destroy(&vm);
	/* A slot that goes leaves KVM's mappings of the others (KVM_X86_QUIRK_SLOT_ZAP_ALL). */
	assert_int_equal(x86->enabled.cap, KVM_CAP_DISABLE_QUIRKS2);
	assert_int_equal(x86->enabled.args[0], 1 << 7);
	device_config_set_number(&config.devices[0], "size", 508 * GIB + 2 * MIB);
	assert_int_equal(arch_vm_create(&vm, &err), -EINVAL);
	assert_non_null(strstr(err.message, "--memory id=vm0: its memory would end at 524290 MiB, "
	                                    "this host's CPU addresses 39 bits"));
}

static void test_too_many_cpus(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	config.cpu_count = 300;
	assert_int_equal(arch_vm_create(&vm, &err), -EINVAL);
	assert_non_null(strstr(err.message, "APIC ids above 254 are not supported"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_host, set_up, tear_down),
		cmocka_unit_test(test_memory_map),
		cmocka_unit_test_setup_teardown(test_vm_unwinds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_vcpu_unwinds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_address_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_address_bits_of_devices, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_cpus, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
