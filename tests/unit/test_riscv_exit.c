/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_vm fake_console */
/* Exits: system events and their reasons, SBI calls, CSRs, what a hart cannot go on from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../arch/riscv/riscv.h"
#include "../../arch/riscv/sbi.h"
#include "fake_console.h"
#include "fake_vm.h"

static struct {
	struct vm vm;
	struct arch_vm arch;
	struct vcpu hart;
	struct kvm_run run;
} t;

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	fake_vm_clear();
	fake_console_clear();
	t.vm.arch = &t.arch;
	t.hart.vm = &t.vm;
	t.hart.run = &t.run;
	return sbi_create(NULL, NULL, &t.arch.sbi);
}

static int tear_down(void **state)
{
	(void)state;
	sbi_destroy(t.arch.sbi);
	return 0;
}

static void expect(uint32_t reason, enum vcpu_verdict verdict, enum vcpu_exit name)
{
	enum vcpu_exit exit = VCPU_EXIT_COUNT;

	t.run.exit_reason = reason;
	assert_int_equal(riscv_vcpu_handle_exit(&t.hart, &exit), verdict);
	assert_int_equal(exit, name);
}

static void system_event(uint32_t type, uint64_t reason)
{
	t.run.system_event.type = type;
	t.run.system_event.ndata = 1;
	t.run.system_event.data[0] = reason;
	expect(KVM_EXIT_SYSTEM_EVENT, VCPU_IDLE, VCPU_EXIT_SYSTEM_EVENT);
}

static void test_shutdown(void **state)
{
	(void)state;
	system_event(KVM_SYSTEM_EVENT_SHUTDOWN, 0);
	assert_int_equal(fake_vm.end, VM_END_POWEROFF);
	assert_int_equal(fake_vm.panics, 0);
}

static void test_failure(void **state)
{
	(void)state;
	system_event(KVM_SYSTEM_EVENT_SHUTDOWN, 1);
	assert_int_equal(fake_vm.end, VM_END_PANIC);
	assert_int_equal(fake_vm.panics, 1);
}

static void test_reset(void **state)
{
	(void)state;
	system_event(KVM_SYSTEM_EVENT_RESET, 0);
	assert_int_equal(fake_vm.resets, 1);
	assert_int_equal(fake_vm.panics, 0);
	system_event(KVM_SYSTEM_EVENT_RESET, 1);
	assert_int_equal(fake_vm.resets, 2);
	assert_int_equal(fake_vm.panics, 1);
	assert_int_equal(fake_vm.end, VM_END_NONE);
}

static void test_unknown_event(void **state)
{
	(void)state;
	t.run.system_event.type = 77;
	expect(KVM_EXIT_SYSTEM_EVENT, VCPU_FATAL, VCPU_EXIT_SYSTEM_EVENT);
}

static void test_sbi(void **state)
{
	(void)state;
	t.run.riscv_sbi.extension_id = SBI_EXT_DBCN;
	t.run.riscv_sbi.function_id = SBI_DBCN_WRITE_BYTE;
	t.run.riscv_sbi.args[0] = 'x';
	expect(KVM_EXIT_RISCV_SBI, VCPU_CONTINUE, VCPU_EXIT_FIRMWARE_CALL);
	assert_string_equal(fake_console.output, "x");
	assert_int_equal(t.run.riscv_sbi.ret[0], 0);
	t.run.riscv_sbi.extension_id = 0x09000000;
	expect(KVM_EXIT_RISCV_SBI, VCPU_CONTINUE, VCPU_EXIT_FIRMWARE_CALL);
	assert_int_equal((long)t.run.riscv_sbi.ret[0], -2);
}

static void test_csr(void **state)
{
	(void)state;
	t.run.riscv_csr.csr_num = 0x7c0;
	t.run.riscv_csr.ret_value = 99;
	expect(KVM_EXIT_RISCV_CSR, VCPU_CONTINUE, VCPU_EXIT_REGISTER);
	assert_int_equal(t.run.riscv_csr.ret_value, 0);
	t.run.riscv_csr.csr_num = 0x015; /* the seed: sixteen bits, or wait */
	expect(KVM_EXIT_RISCV_CSR, VCPU_CONTINUE, VCPU_EXIT_REGISTER);
	assert_true(t.run.riscv_csr.ret_value >> 30 == 2 || t.run.riscv_csr.ret_value == 1 << 30);
	assert_int_equal(t.run.riscv_csr.ret_value & 0x3fff0000, 0);
}

static void test_no_way_on(void **state)
{
	(void)state;
	expect(KVM_EXIT_FAIL_ENTRY, VCPU_FATAL, VCPU_EXIT_ERROR);
	expect(KVM_EXIT_INTERNAL_ERROR, VCPU_FATAL, VCPU_EXIT_ERROR);
	expect(12345, VCPU_FATAL, VCPU_EXIT_OTHER);
}

#define with_hart(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_hart(test_shutdown),      with_hart(test_failure), with_hart(test_reset),
		with_hart(test_unknown_event), with_hart(test_sbi),     with_hart(test_csr),
		with_hart(test_no_way_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
