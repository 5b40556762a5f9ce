/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_vm */
/* What is made of each exit that the common loop does not know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../arch/x86/x86.h"

#include "fake_vm.h"

static struct vm vm;
static struct vcpu vcpu;
static struct kvm_run run;

static int set_up(void **state)
{
	(void)state;
	fake_vm_clear();
	memset(&run, 0, sizeof(run));
	vcpu = (struct vcpu){ .vm = &vm, .run = &run };
	return 0;
}

static enum vcpu_verdict handle(uint32_t reason, enum vcpu_exit expected)
{
	enum vcpu_exit exit = VCPU_EXIT_COUNT;
	enum vcpu_verdict verdict;

	run.exit_reason = reason;
	verdict = x86_vcpu_handle_exit(&vcpu, &exit);
	assert_int_equal(exit, expected);
	return verdict;
}

static void test_fatal(void **state)
{
	(void)state;
	assert_int_equal(handle(KVM_EXIT_SHUTDOWN, VCPU_EXIT_SHUTDOWN), VCPU_FATAL);
	run.internal.ndata = UINT32_MAX; /* as a broken KVM would */
	assert_int_equal(handle(KVM_EXIT_INTERNAL_ERROR, VCPU_EXIT_ERROR), VCPU_FATAL);
	assert_int_equal(handle(KVM_EXIT_FAIL_ENTRY, VCPU_EXIT_ERROR), VCPU_FATAL);
	assert_int_equal(handle(KVM_EXIT_UNKNOWN, VCPU_EXIT_OTHER), VCPU_FATAL);
	assert_int_equal(handle(9999, VCPU_EXIT_OTHER), VCPU_FATAL);
	assert_int_equal(fake_vm.end, VM_END_NONE);
}

static void test_system_events(void **state)
{
	(void)state;
	run.system_event.type = KVM_SYSTEM_EVENT_RESET;
	assert_int_equal(handle(KVM_EXIT_SYSTEM_EVENT, VCPU_EXIT_SYSTEM_EVENT), VCPU_IDLE);
	assert_int_equal(fake_vm.resets, 1);
	run.system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
	assert_int_equal(handle(KVM_EXIT_SYSTEM_EVENT, VCPU_EXIT_SYSTEM_EVENT), VCPU_IDLE);
	assert_int_equal(fake_vm.end, VM_END_POWEROFF);
	fake_vm_clear();
	run.system_event.type = KVM_SYSTEM_EVENT_CRASH;
	assert_int_equal(handle(KVM_EXIT_SYSTEM_EVENT, VCPU_EXIT_SYSTEM_EVENT), VCPU_IDLE);
	assert_int_equal(fake_vm.end, VM_END_PANIC);
	assert_int_equal(fake_vm.panics, 1);
	run.system_event.type = 4711;
	assert_int_equal(handle(KVM_EXIT_SYSTEM_EVENT, VCPU_EXIT_SYSTEM_EVENT), VCPU_FATAL);
}

static void test_refused_to_the_guest(void **state)
{
	(void)state;
	assert_int_equal(handle(KVM_EXIT_HYPERCALL, VCPU_EXIT_FIRMWARE_CALL), VCPU_CONTINUE);
	assert_int_equal(run.hypercall.ret, (uint64_t)-1000);
	memset(&run, 0, sizeof(run));
	assert_int_equal(handle(KVM_EXIT_X86_RDMSR, VCPU_EXIT_REGISTER), VCPU_CONTINUE);
	assert_int_equal(run.msr.error, 1);
	run.msr.error = 0;
	assert_int_equal(handle(KVM_EXIT_X86_WRMSR, VCPU_EXIT_REGISTER), VCPU_CONTINUE);
	assert_int_equal(run.msr.error, 1);
}

static void test_harmless(void **state)
{
	(void)state;
	assert_int_equal(handle(KVM_EXIT_HLT, VCPU_EXIT_HALT), VCPU_CONTINUE);
	assert_int_equal(handle(KVM_EXIT_X86_BUS_LOCK, VCPU_EXIT_OTHER), VCPU_CONTINUE);
	assert_int_equal(handle(KVM_EXIT_IRQ_WINDOW_OPEN, VCPU_EXIT_OTHER), VCPU_CONTINUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_fatal, set_up),
		cmocka_unit_test_setup(test_system_events, set_up),
		cmocka_unit_test_setup(test_refused_to_the_guest, set_up),
		cmocka_unit_test_setup(test_harmless, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
