/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: riscv_kvm fake_kvm fake_console */
/* The state a hart starts from, and that a reset puts all of it back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bus.h"

#include "../../arch/riscv/layout.h"
#include "../../arch/riscv/riscv.h"
#include "../../arch/riscv/sbi.h"
#include "riscv_kvm.h"

#define CORE(reg)  (KVM_REG_RISCV_CORE | KVM_REG_RISCV_CORE_REG(reg))
#define CSR(reg)   (KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_REG(reg))
#define TIMER(reg) (KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(reg))

static struct {
	struct riscv_kvm *kvm;
	struct vm vm;
	struct arch_vm arch;
	struct vcpu harts[2], *hart_list[2];
} t;

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	fake_kvm_reset();
	t.kvm = riscv_kvm_reset();
	t.vm.arch = &t.arch;
	t.vm.kvm = fake_kvm_open();
	t.vm.kvm_vm = fake_kvm_vm(t.vm.kvm);
	t.vm.vcpus = t.hart_list;
	t.vm.vcpu_count = 2;
	assert_int_equal(bus_create("mmio", &t.vm.mmio), 0);
	for (unsigned int i = 0; i < 2; i++) {
		t.hart_list[i] = &t.harts[i];
		t.harts[i].vm = &t.vm;
		t.harts[i].index = i;
		assert_int_equal(kvm_vcpu_create(t.vm.kvm_vm, i, &t.harts[i].kvm, NULL), 0);
	}
	assert_int_equal(sbi_create(NULL, NULL, &t.arch.sbi), 0);
	assert_int_equal(riscv_irqchip_create(&t.vm, NULL), 0);
	assert_int_equal(riscv_irqchip_init(&t.vm, NULL), 0);
	t.arch.entry = (struct boot_entry){ .pc = 0x80200000, .fdt_gpa = 0x9ffc0000 };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	riscv_irqchip_fini(&t.vm);
	sbi_destroy(t.arch.sbi);
	for (unsigned int i = 0; i < 2; i++)
		kvm_vcpu_destroy(t.harts[i].kvm);
	bus_destroy(t.vm.mmio);
	kvm_vm_destroy(t.vm.kvm_vm);
	kvm_close(t.vm.kvm);
	return 0;
}

static void reset_all(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(riscv_vcpu_set_power_on_state(&t.harts[i]), 0);
		t.harts[i].used = true; /* the loop's to say */
	}
}

static void test_first_start(void **state)
{
	unsigned int sets;

	(void)state;
	reset_all();
	assert_int_equal(riscv_kvm_reg(0, CORE(regs.pc), NULL), 0x80200000);
	assert_int_equal(riscv_kvm_reg(0, CORE(regs.a0), NULL), 0);
	assert_int_equal(riscv_kvm_reg(0, CORE(regs.a1), NULL), 0x9ffc0000);
	assert_int_equal(t.kvm->mp_state[0], KVM_MP_STATE_RUNNABLE);
	assert_int_equal(t.kvm->mp_state[1], KVM_MP_STATE_STOPPED);
	/* A new hart needs nothing more. */
	riscv_kvm_reg(0, CSR(satp), &sets);
	assert_int_equal(sets, 0);
	riscv_kvm_reg(1, CORE(regs.pc), &sets);
	assert_int_equal(sets, 0);
}

static void test_reset(void **state)
{
	(void)state;
	reset_all();
	for (size_t i = 0; i < t.kvm->reg_count; i++)
		t.kvm->regs[i].value = 0x5a5a;
	t.kvm->mp_state[0] = t.kvm->mp_state[1] = UINT32_MAX;
	reset_all();
	assert_int_equal(riscv_kvm_reg(0, CORE(regs.pc), NULL), 0x80200000);
	assert_int_equal(riscv_kvm_reg(0, CORE(regs.a1), NULL), 0x9ffc0000);
	assert_int_equal(riscv_kvm_reg(0, CORE(regs.sp), NULL), 0);
	for (unsigned int hart = 0; hart < 2; hart++) {
		assert_int_equal(riscv_kvm_reg(hart, CORE(mode), NULL), KVM_RISCV_MODE_S);
		assert_int_equal(riscv_kvm_reg(hart, CORE(regs.t6), NULL), 0);
		assert_int_equal(riscv_kvm_reg(hart, CSR(satp), NULL), 0);
		assert_int_equal(riscv_kvm_reg(hart, CSR(sie), NULL), 0);
		assert_int_equal(riscv_kvm_reg(hart, CSR(sip), NULL), 0);
		assert_int_equal(riscv_kvm_reg(hart, CSR(stvec), NULL), 0);
		assert_int_equal(riscv_kvm_reg(hart, CSR(senvcfg), NULL), 0);
		assert_int_equal(riscv_kvm_reg(hart, CSR(scounteren), NULL), 7);
		assert_int_equal(riscv_kvm_reg(hart, TIMER(compare), NULL), UINT64_MAX);
		assert_int_equal(riscv_kvm_reg(hart, TIMER(state), NULL),
		                 KVM_RISCV_TIMER_STATE_OFF);
	}
	assert_int_equal(t.kvm->mp_state[0], KVM_MP_STATE_RUNNABLE);
	assert_int_equal(t.kvm->mp_state[1], KVM_MP_STATE_STOPPED);
}

/* Each request that KVM refuses is an error of the reset, or one that may be refused. */
static void test_anomalies(void **state)
{
	unsigned int failures = 0;

	(void)state;
	reset_all();
	for (unsigned int n = 0;; n++) {
		int rc;

		fake_kvm_fail_nth(n, -EIO);
		rc = riscv_vcpu_set_power_on_state(&t.harts[0]);
		if (!fake_kvm_has_failed())
			break;
		failures += rc == -EIO;
	}
	fake_kvm_fail_never();
	assert_true(failures > 40);
	riscv_vcpu_dump(&t.harts[0]);
}

#define with_harts(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_harts(test_first_start),
		with_harts(test_reset),
		with_harts(test_anomalies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
