/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm x86_kvm */
/* CPUID: the topology in every leaf that tells one, and what is left as KVM gave it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../arch/x86/cpuid.h"
#include "../../arch/x86/x86.h"

#include "x86_kvm.h"

static struct kvm *kvm;
static struct kvm_vm *kvm_vm;
static struct kvm_vcpu *kvm_vcpu;

static int set_up(void **state)
{
	fake_kvm_reset();
	x86_kvm_reset();
	kvm = fake_kvm_open();
	kvm_vm = fake_kvm_vm(kvm);
	assert_int_equal(kvm_vcpu_create(kvm_vm, 0, &kvm_vcpu, NULL), 0);
	*state = NULL;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kvm_vcpu_destroy(kvm_vcpu);
	kvm_vm_destroy(kvm_vm);
	kvm_close(kvm);
	assert_int_equal(fake_kvm_open_objects(), 0);
	return 0;
}

/* Makes the leaves of a VM and sets those of one of its CPUs. */
static void apply_package(struct x86_package package, unsigned int apic_id)
{
	struct kvm_cpuid2 *cpuid;

	assert_int_equal(x86_cpuid_create(kvm, &package, &cpuid, NULL), 0);
	assert_int_equal(x86_cpuid_apply(kvm_vcpu, cpuid, &package, apic_id, NULL), 0);
	free(cpuid);
}

/* One package. */
static void apply(unsigned int cpu_count, unsigned int apic_id)
{
	struct x86_package package = { .cpus = cpu_count };

	while (1U << package.id_bits < cpu_count)
		package.id_bits++;
	apply_package(package, apic_id);
}

static void become_amd(void)
{
	struct x86_kvm *x86 = x86_kvm_reset();
	struct kvm_cpuid_entry2 *entry = &x86->supported[0];

	memcpy(&entry->ebx, "Auth", 4);
	memcpy(&entry->edx, "enti", 4);
	memcpy(&entry->ecx, "cAMD", 4);
	entry->eax = 0x10;
	x86_kvm_support(0x80000001, 0, false)->ecx = 0x2 | 1U << 22;
	x86_kvm_support(0x8000001d, 0, true)->eax =
		0x4121 | 1U << 14; /* level 1 data, two threads */
	x86_kvm_support(0x8000001d, 3, true)->eax = 0x4163 | 15U << 14; /* level 3, sixteen */
	entry = x86_kvm_support(0x8000001e, 0, false);
	entry->eax = 77;
	entry->ebx = 0x0105;
	entry->ecx = 0x0103;
	x86_kvm_support(0x80000026, 0, true)->ebx = 2;
}

static void test_leaf_1(void **state)
{
	(void)state;
	apply(1, 0);
	assert_int_equal(x86_kvm_cpuid(1, 0)->ebx, 0x00015678);
	assert_false(x86_kvm_cpuid(1, 0)->edx & 1U << 28); /* no HTT */
	apply(3, 2);
	assert_int_equal(x86_kvm_cpuid(1, 0)->ebx, 0x02045678);
	assert_true(x86_kvm_cpuid(1, 0)->edx & 1U << 28);
	assert_true(x86_kvm_cpuid(1, 0)->ecx & 1U << 31); /* hypervisor */
	assert_true(x86_kvm_cpuid(1, 0)->ecx & 1U << 21); /* x2APIC */
	assert_true(x86_kvm_cpuid(1, 0)->ecx & 1U << 24); /* TSC deadline */
	fake_kvm_set_extension(KVM_CAP_TSC_DEADLINE_TIMER, 0);
	apply(3, 2);
	assert_false(x86_kvm_cpuid(1, 0)->ecx & 1U << 24);
}

static void test_extended_topology(void **state)
{
	const uint32_t leaves[] = { 0xb, 0x1f };

	(void)state;
	x86_kvm_support(0xb, 0, true)->ebx = 16; /* the host's */
	apply(3, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(x86_kvm_cpuid(leaves[i], 0)->eax, 0);
		assert_int_equal(x86_kvm_cpuid(leaves[i], 0)->ebx, 1);
		assert_int_equal(x86_kvm_cpuid(leaves[i], 0)->ecx, 0x100);
		assert_int_equal(x86_kvm_cpuid(leaves[i], 1)->eax, 2);
		assert_int_equal(x86_kvm_cpuid(leaves[i], 1)->ebx, 3);
		assert_int_equal(x86_kvm_cpuid(leaves[i], 1)->ecx, 0x201);
		assert_int_equal(x86_kvm_cpuid(leaves[i], 2)->ebx, 0);
		for (uint32_t level = 0; level < 3; level++)
			assert_int_equal(x86_kvm_cpuid(leaves[i], level)->edx, 2);
	}
	apply(64, 63);
	assert_int_equal(x86_kvm_cpuid(0xb, 1)->eax, 6);
	assert_int_equal(x86_kvm_cpuid(0xb, 1)->ebx, 64);
}

/* A CPU that ends before these leaves does not get them. */
static void test_old_cpu(void **state)
{
	struct x86_kvm *x86 = x86_kvm_reset();

	(void)state;
	x86->supported[0].eax = 0xa;
	apply(2, 1);
	assert_null(x86_kvm_cpuid(0xb, 0));
	x86->supported[0].eax = 0xd;
	apply(2, 1);
	assert_non_null(x86_kvm_cpuid(0xb, 0));
	assert_null(x86_kvm_cpuid(0x1f, 0));
}

static void test_caches(void **state)
{
	(void)state;
	x86_kvm_support(4, 0, true)->eax = 0x1c004121 | 1U << 14; /* level 1 data, shared by two */
	x86_kvm_support(4, 3, true)->eax = 0x1c03c163;            /* level 3 */
	x86_kvm_support(4, 4, true)->eax = 0;                     /* no more */
	apply(3, 0);
	assert_int_equal(x86_kvm_cpuid(4, 0)->eax, 0x0c000121);
	assert_int_equal(x86_kvm_cpuid(4, 3)->eax, 0x0c00c163);
	assert_int_equal(x86_kvm_cpuid(4, 4)->eax, 0);
	apply(1, 0);
	assert_int_equal(x86_kvm_cpuid(4, 3)->eax, 0x163);
}

static void test_amd(void **state)
{
	(void)state;
	become_amd();
	apply(6, 5);
	assert_int_equal(x86_kvm_cpuid(0x80000001, 0)->ecx & 2, 2);
	assert_int_equal(x86_kvm_cpuid(0x80000008, 0)->ecx, 0x3005);
	assert_int_equal(x86_kvm_cpuid(0x8000001d, 0)->eax, 0x0121);
	assert_int_equal(x86_kvm_cpuid(0x8000001d, 3)->eax, 0x163 | 7U << 14);
	assert_int_equal(x86_kvm_cpuid(0x8000001e, 0)->eax, 5);
	assert_int_equal(x86_kvm_cpuid(0x8000001e, 0)->ebx, 5);
	assert_int_equal(x86_kvm_cpuid(0x8000001e, 0)->ecx, 0);
	assert_null(x86_kvm_cpuid(0x80000026, 0));
	apply(1, 0);
	assert_int_equal(x86_kvm_cpuid(0x80000001, 0)->ecx & 2, 0);
	assert_int_equal(x86_kvm_cpuid(0x80000008, 0)->ecx, 0);
}

/* Several, of up to three CPUs each, numbered with three bits: who shares what is told by these. */
static void test_packages(void **state)
{
	const struct x86_package package = { .cpus = 3, .id_bits = 3 };

	(void)state;
	become_amd();
	x86_kvm_support(4, 3, true)->eax = 0x1c03c163;
	apply_package(package, 0x11);
	assert_int_equal(x86_kvm_cpuid(1, 0)->ebx, 0x11085678);
	assert_int_equal(x86_kvm_cpuid(4, 3)->eax, 0x163 | 7U << 14 | 7U << 26);
	assert_int_equal(x86_kvm_cpuid(0xb, 1)->eax, 3);
	assert_int_equal(x86_kvm_cpuid(0xb, 1)->ebx, 3);
	assert_int_equal(x86_kvm_cpuid(0xb, 1)->edx, 0x11);
	assert_int_equal(x86_kvm_cpuid(0x80000008, 0)->ecx, 0x3002);
	assert_int_equal(x86_kvm_cpuid(0x8000001d, 3)->eax, 0x163 | 7U << 14);
	assert_int_equal(x86_kvm_cpuid(0x8000001e, 0)->eax, 0x11);
	assert_int_equal(x86_kvm_cpuid(0x8000001e, 0)->ecx, 2);
}

static void test_rest_is_kvms(void **state)
{
	struct kvm_cpuid_entry2 *entry = x86_kvm_support(0x40000001, 0, false);

	(void)state;
	entry->eax = 0x01007afb;
	entry = x86_kvm_support(0xa, 0, false);
	entry->eax = 0x07300802;
	apply(2, 1);
	assert_int_equal(x86_kvm_cpuid(0x40000001, 0)->eax, 0x01007afb);
	assert_int_equal(x86_kvm_cpuid(0xa, 0)->eax, 0x07300802);
}

static void test_refused(void **state)
{
	struct kvm_cpuid2 *cpuid = NULL;
	struct error err = ERROR_INIT;
	struct x86_kvm *x86;

	(void)state;
	assert_int_equal(
		x86_cpuid_create(kvm, &(const struct x86_package){ .cpus = 256 }, &cpuid, &err),
		-EINVAL);
	assert_string_equal(err.message, "--cpus 256: APIC ids above 254 are not supported");
	assert_int_equal(
		x86_cpuid_create(kvm, &(const struct x86_package){ .cpus = 255 }, &cpuid, NULL), 0);
	free(cpuid);
	cpuid = NULL;
	x86 = x86_kvm_reset();
	x86->supported_count = 1;
	assert_int_equal(
		x86_cpuid_create(kvm, &(const struct x86_package){ .cpus = 1 }, &cpuid, &err),
		-ENOTSUP);
	x86->supported_count = 0;
	assert_int_equal(
		x86_cpuid_create(kvm, &(const struct x86_package){ .cpus = 1 }, &cpuid, &err),
		-ENOTSUP);
	fake_kvm_fail_nth(0, -EIO);
	assert_int_equal(
		x86_cpuid_create(kvm, &(const struct x86_package){ .cpus = 1 }, &cpuid, &err),
		-EIO);
	assert_null(cpuid);
}

static void test_questions(void **state)
{
	struct kvm_cpuid2 *cpuid;
	struct x86_kvm *x86 = x86_kvm_reset();

	(void)state;
	assert_int_equal(
		x86_cpuid_create(kvm, &(const struct x86_package){ .cpus = 1 }, &cpuid, NULL), 0);
	assert_int_equal(x86_cpuid_physical_bits(cpuid), 39);
	assert_int_equal(x86_cpuid_nested(cpuid), X86_NESTED_NONE);
	free(cpuid);
	x86->supported[1].ecx = 1U << 5;
	x86->supported_count = 2;
	assert_int_equal(
		x86_cpuid_create(kvm, &(const struct x86_package){ .cpus = 1 }, &cpuid, NULL), 0);
	assert_int_equal(x86_cpuid_physical_bits(cpuid), 36);
	assert_int_equal(x86_cpuid_nested(cpuid), X86_NESTED_VMX);
	free(cpuid);
	become_amd();
	x86_kvm_support(0x80000001, 0, false)->ecx = 1U << 2;
	assert_int_equal(
		x86_cpuid_create(kvm, &(const struct x86_package){ .cpus = 1 }, &cpuid, NULL), 0);
	assert_int_equal(x86_cpuid_nested(cpuid), X86_NESTED_SVM);
	free(cpuid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_leaf_1, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_extended_topology, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_old_cpu, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_caches, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_amd, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_packages, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rest_is_kvms, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_questions, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
