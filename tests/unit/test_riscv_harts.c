/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: riscv_kvm fake_kvm */
/* A new hart: what is read of hart 0, what the others are told, on a new KVM and on an old one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../../arch/riscv/riscv.h"
#include "ebb/arch.h"
#include "riscv_kvm.h"

#define ISA_MULTI   (KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_MULTI_EN)
#define ISA_SINGLE  (KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_SINGLE)
#define CONFIG(reg) (KVM_REG_RISCV_CONFIG | KVM_REG_RISCV_CONFIG_REG(reg))
#define DBCN        (KVM_REG_RISCV_SBI_EXT | KVM_REG_RISCV_SBI_SINGLE | KVM_RISCV_SBI_EXT_DBCN)
#define FREQUENCY   (KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(frequency))

static struct {
	struct vm vm;
	struct vm_config config;
	struct arch_vm arch;
	struct vcpu harts[2];
} t;

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	fake_kvm_reset();
	riscv_kvm_reset();
	t.config.cpu_count = 2;
	t.vm.config = &t.config;
	t.vm.arch = &t.arch;
	t.vm.kvm = fake_kvm_open();
	t.vm.kvm_vm = fake_kvm_vm(t.vm.kvm);
	for (unsigned int i = 0; i < 2; i++) {
		t.harts[i].vm = &t.vm;
		t.harts[i].index = i;
		assert_int_equal(kvm_vcpu_create(t.vm.kvm_vm, i, &t.harts[i].kvm, NULL), 0);
	}
	riscv_kvm_add_reg(0, FREQUENCY, 10000000);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		kvm_vcpu_destroy(t.harts[i].kvm);
	kvm_vm_destroy(t.vm.kvm_vm);
	kvm_close(t.vm.kvm);
	return 0;
}

static void test_all_at_once(void **state)
{
	const uint64_t bits = 1 << KVM_RISCV_ISA_EXT_I | 1 << KVM_RISCV_ISA_EXT_ZICBOZ;

	(void)state;
	riscv_kvm_add_reg(0, ISA_MULTI, bits);
	riscv_kvm_add_reg(0, CONFIG(zicbom_block_size), 32);
	riscv_kvm_add_reg(0, CONFIG(zicboz_block_size), 64);
	riscv_kvm_add_reg(0, CONFIG(satp_mode), 10);
	riscv_kvm_add_reg(0, DBCN, 0);
	assert_int_equal(riscv_vcpu_set_up(&t.harts[0], NULL), 0);
	assert_int_equal(t.arch.isa.extensions[0], bits);
	assert_int_equal(t.arch.isa.cbom_block_bytes, 0); /* it has no Zicbom */
	assert_int_equal(t.arch.isa.cboz_block_bytes, 64);
	assert_int_equal(t.arch.isa.satp_mode, 10);
	assert_int_equal(t.arch.isa.timebase_hz, 10000000);
	assert_int_equal(riscv_kvm_reg(0, DBCN, NULL), 1);
}

static void test_one_by_one(void **state)
{
	(void)state;
	riscv_kvm_add_reg(0, ISA_SINGLE | KVM_RISCV_ISA_EXT_M, 1);
	riscv_kvm_add_reg(0, ISA_SINGLE | KVM_RISCV_ISA_EXT_V, 0);
	assert_int_equal(riscv_vcpu_set_up(&t.harts[0], NULL), 0);
	assert_int_equal(t.arch.isa.extensions[0], 1 << KVM_RISCV_ISA_EXT_M);
	assert_string_equal(isa_mmu_type(&t.arch.isa), "riscv,sv39");
}

static void test_same_vendor(void **state)
{
	(void)state;
	riscv_kvm_add_reg(0, CONFIG(mvendorid), 0x489);
	riscv_kvm_add_reg(0, CONFIG(marchid), 7);
	riscv_kvm_add_reg(0, CONFIG(mimpid), 8);
	riscv_kvm_add_reg(1, CONFIG(mvendorid), 1);
	riscv_kvm_add_reg(1, CONFIG(marchid), 2);
	riscv_kvm_add_reg(1, CONFIG(mimpid), 3);
	assert_int_equal(riscv_vcpu_set_up(&t.harts[0], NULL), 0);
	assert_int_equal(riscv_vcpu_set_up(&t.harts[1], NULL), 0);
	assert_int_equal(riscv_kvm_reg(1, CONFIG(mvendorid), NULL), 0x489);
	assert_int_equal(riscv_kvm_reg(1, CONFIG(marchid), NULL), 7);
	assert_int_equal(riscv_kvm_reg(1, CONFIG(mimpid), NULL), 8);
}

/* What to do without /dev/kvm is not what an x86 machine's user does. */
static void test_remedy(void **state)
{
	(void)state;
	assert_null(strstr(arch_info.kvm_remedy, "intel"));
	assert_non_null(strstr(arch_info.kvm_remedy, "hypervisor extension"));
}

#define with_harts(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_harts(test_all_at_once),
		with_harts(test_one_by_one),
		with_harts(test_same_vendor),
		cmocka_unit_test(test_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
