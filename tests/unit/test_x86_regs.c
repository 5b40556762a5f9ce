/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm x86_kvm */
/* Registers at the first start and after a reset, and how few requests the first start makes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"

#include "../../arch/x86/x86.h"

#include "x86_kvm.h"

struct fixture {
	struct vm vm;
	struct vm_config config;
	struct arch_vm arch;
	struct vcpu vcpu;
	struct kvm_cpuid2 *cpuid;
	uint8_t cpuid_bytes[sizeof(struct kvm_cpuid2) + 4 * sizeof(struct kvm_cpuid_entry2)];
};

static struct fixture fixture;
static struct x86_kvm *x86;

static int set_up(void **state)
{
	struct vm *vm = &fixture.vm;

	(void)state;
	memset(&fixture, 0, sizeof(fixture));
	fake_kvm_reset();
	x86 = x86_kvm_reset();
	vm->kvm = fake_kvm_open();
	vm->kvm_vm = fake_kvm_vm(vm->kvm);
	vm->arch = &fixture.arch;
	vm->config = &fixture.config;
	fixture.config.cpu_count = 2;
	fixture.arch.cpuid = (struct kvm_cpuid2 *)(void *)fixture.cpuid_bytes;
	fixture.arch.entry = (struct boot_entry){
		.mode = BOOT_MODE_LONG,
		.rip = 0x1000200,
		.rsi = 0x91000,
		.page_table_gpa = 0x97000,
		.gdt_gpa = 0x90000,
	};
	fixture.vcpu.vm = vm;
	assert_int_equal(kvm_vcpu_create(vm->kvm_vm, 0, &fixture.vcpu.kvm, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kvm_vcpu_destroy(fixture.vcpu.kvm);
	kvm_vm_destroy(fixture.vm.kvm_vm);
	kvm_close(fixture.vm.kvm);
	return 0;
}

static void start(void)
{
	x86->request_count = 0;
	assert_int_equal(x86_vcpu_set_power_on_state(&fixture.vcpu), 0);
	fixture.vcpu.used = true; /* the loop's to say */
}

static uint32_t lapic(unsigned int offset)
{
	return load_le32(x86->lapic.regs + offset);
}

static void test_long_mode(void **state)
{
	(void)state;
	start();
	assert_int_equal(x86->sregs.cr0 & 0x80000001, 0x80000001);
	assert_int_equal(x86->sregs.cr3, 0x97000);
	assert_int_equal(x86->sregs.cr4, 0x20);
	assert_int_equal(x86->sregs.efer, 0x500);
	assert_int_equal(x86->sregs.cs.selector, 0x10);
	assert_int_equal(x86->sregs.cs.l, 1);
	assert_int_equal(x86->sregs.cs.db, 0);
	assert_int_equal(x86->sregs.ds.selector, 0x18);
	assert_int_equal(x86->sregs.gdt.base, 0x90000);
	assert_int_equal(x86->sregs.apic_base, 0xfee00900);
	assert_int_equal(x86->regs.rip, 0x1000200);
	assert_int_equal(x86->regs.rsi, 0x91000);
	assert_int_equal(x86->regs.rflags, 2); /* interrupts off */
}

static void test_protected_mode(void **state)
{
	(void)state;
	fixture.arch.entry = (struct boot_entry){
		.mode = BOOT_MODE_PROTECTED,
		.rip = 0x100000,
		.rax = 0x2badb002,
		.rbx = 0x90100,
		.gdt_gpa = 0x90000,
	};
	start();
	assert_int_equal(x86->sregs.cr0 & 0x80000001, 1);
	assert_int_equal(x86->sregs.cr4, 0);
	assert_int_equal(x86->sregs.efer, 0);
	assert_int_equal(x86->sregs.cs.db, 1);
	assert_int_equal(x86->sregs.cs.l, 0);
	assert_int_equal(x86->sregs.cs.limit, 0xffffffff);
	assert_int_equal(x86->sregs.ss.limit, 0xffffffff);
	assert_int_equal(x86->regs.rax, 0x2badb002);
	assert_int_equal(x86->regs.rbx, 0x90100);
}

/* vCPU 0: segments, registers, MSRs, LAPIC. The others wait for INIT as KVM made them. */
static void test_first_start_is_short(void **state)
{
	(void)state;
	start();
	assert_int_equal(x86->request_count, 4);
	assert_int_equal(x86_kvm_requests(KVM_SET_MP_STATE), 0);
	fixture.vcpu.index = 1;
	fixture.vcpu.used = false;
	start();
	assert_int_equal(x86->request_count, 2);
	assert_int_equal(x86_kvm_requests(KVM_SET_REGS), 0);
}

static void test_firmware_state(void **state)
{
	(void)state;
	start();
	assert_int_equal(x86_kvm_msr(0x1a0)->data, 1);
	assert_int_equal(x86_kvm_msr(0x2ff)->data, 0x806);
	assert_int_equal(lapic(0x350), 0x700); /* LINT0: ExtINT */
	assert_int_equal(lapic(0x360), 0x400); /* LINT1: NMI */
	assert_int_equal(lapic(0xf0), 0xff);
	assert_int_equal(lapic(0x320), 0x10000);
	fixture.vcpu.index = 5;
	start();
	assert_int_equal(lapic(0x20), 5 << 24);
	assert_int_equal(lapic(0x350), 0x10000);
	assert_int_equal(lapic(0x360), 0x400);
}

static void test_reset(void **state)
{
	(void)state;
	start();
	x86->events.flags = KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	x86->events.exception.injected = 1;
	x86->events.nmi.pending = 1;
	x86->events.smi.latched_init = 1;
	start();
	assert_int_equal(x86_kvm_requests(KVM_SET_IRQCHIP), 3);
	assert_int_equal(x86_kvm_requests(KVM_SET_PIT2), 1);
	assert_int_equal(x86->events.exception.injected, 0);
	assert_int_equal(x86->events.nmi.pending, 0);
	assert_int_equal(x86->events.smi.latched_init, 0);
	assert_int_equal(x86->events.flags, KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
	                                            KVM_VCPUEVENT_VALID_NMI_PENDING);
	assert_int_equal(x86_kvm_requests(KVM_SET_XSAVE), 1);
	assert_int_equal(x86_kvm_requests(KVM_SET_DEBUGREGS), 1);
	assert_non_null(x86_kvm_msr(0x4b564d01));
	assert_int_equal(x86_kvm_msr(0x4b564d01)->data, 0); /* kvmclock */
	assert_int_equal(x86_kvm_msr(0x277)->data, 0x0007040600070406);
	assert_non_null(x86_kvm_msr(0x3b)); /* TSC_ADJUST */
	assert_int_equal(x86_kvm_msr(0x3b)->data, 0);
	assert_non_null(x86_kvm_msr(0x1c4)); /* XFD */
	assert_int_equal(x86_kvm_msr(0x1c4)->data, 0);
	assert_non_null(x86_kvm_msr(0x1c5)); /* XFD_ERR */
	assert_int_equal(x86_kvm_msr(0x2ff)->data, 0x806);
	assert_int_equal(x86->mp_state.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(x86->regs.rip, 0x1000200);
	/* The run state comes last. */
	assert_int_equal(x86->requests[x86->request_count - 1], KVM_SET_MP_STATE);
}

static void test_reset_of_others(void **state)
{
	(void)state;
	fixture.vcpu.index = 3;
	start();
	start();
	assert_int_equal(x86_kvm_requests(KVM_SET_IRQCHIP), 0);
	assert_int_equal(x86->mp_state.mp_state, KVM_MP_STATE_UNINITIALIZED);
	assert_int_equal(x86->sregs.apic_base, 0xfee00800);
	assert_int_equal(x86->sregs.cr0 & 1, 0);
}

/* An MSR that this KVM does not have: those behind it are set all the same. */
static void test_missing_msr(void **state)
{
	(void)state;
	start();
	x86->msr_count = 0;
	x86->missing_msr = 0x4b564d04;
	start();
	assert_null(x86_kvm_msr(0x4b564d04));
	assert_non_null(x86_kvm_msr(0x4b564d05));
	assert_non_null(x86_kvm_msr(0x2ff));
	x86->missing_msr = 0x2ff; /* the last of a list */
	x86->msr_count = 0;
	start();
	assert_non_null(x86_kvm_msr(0x1a0));
	assert_null(x86_kvm_msr(0x2ff));
}

static void test_nested(void **state)
{
	struct kvm_cpuid2 *cpuid = fixture.arch.cpuid;

	(void)state;
	start();
	start();
	assert_int_equal(x86_kvm_requests(KVM_SET_NESTED_STATE), 0);
	cpuid->nent = 1;
	cpuid->entries[0].function = 1;
	cpuid->entries[0].ecx = 1U << 5;
	start();
	assert_int_equal(x86_kvm_requests(KVM_SET_NESTED_STATE), 1);
	cpuid->entries[0].function = 0x80000001;
	cpuid->entries[0].ecx = 1U << 2;
	start();
	assert_int_equal(x86_kvm_requests(KVM_SET_NESTED_STATE), 1);
}

static void test_every_failure(void **state)
{
	unsigned int failures = 0;

	(void)state;
	for (unsigned int n = 0; n < 200; n++) {
		fixture.vcpu.used = true;
		fake_kvm_fail_nth(n, -EIO);
		if (!x86_vcpu_set_power_on_state(&fixture.vcpu))
			break;
		failures++;
	}
	fake_kvm_fail_never();
	/* irqchips 4, events 2, FPU 2, debug 1, MSRs 1 + 1, registers 2, LAPIC, run state */
	assert_int_equal(failures, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_long_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_protected_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_first_start_is_short, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_firmware_state, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing_msr, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nested, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_every_failure, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
