/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: riscv_kvm fake_kvm */
/* The interrupt controller: the AIA's set-up and reset in KVM's words, and the PLIC where there is
 * none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/arch.h"
#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/irq.h"

#include "../../arch/riscv/layout.h"
#include "../../arch/riscv/riscv.h"
#include "riscv_kvm.h"

#define HARTS 3

#define CONFIG KVM_DEV_RISCV_AIA_GRP_CONFIG
#define ADDR   KVM_DEV_RISCV_AIA_GRP_ADDR
#define APLIC  KVM_DEV_RISCV_AIA_GRP_APLIC
#define IMSIC  KVM_DEV_RISCV_AIA_GRP_IMSIC

static struct {
	struct riscv_kvm *kvm;
	struct vm vm;
	struct arch_vm arch;
	struct vcpu harts[HARTS], *hart_list[HARTS];
} t;

static void create(bool has_aia)
{
	memset(&t, 0, sizeof(t));
	fake_kvm_reset();
	t.kvm = riscv_kvm_reset();
	t.kvm->has_aia = has_aia;
	t.vm.arch = &t.arch;
	t.vm.kvm = fake_kvm_open();
	t.vm.kvm_vm = fake_kvm_vm(t.vm.kvm);
	t.vm.vcpus = t.hart_list;
	t.vm.vcpu_count = HARTS;
	assert_int_equal(bus_create("mmio", &t.vm.mmio), 0);
	for (unsigned int i = 0; i < HARTS; i++) {
		t.hart_list[i] = &t.harts[i];
		t.harts[i].index = i;
		assert_int_equal(kvm_vcpu_create(t.vm.kvm_vm, i, &t.harts[i].kvm, NULL), 0);
	}
	assert_int_equal(riscv_irqchip_create(&t.vm, NULL), 0);
	assert_int_equal(riscv_irqchip_init(&t.vm, NULL), 0);
}

static void destroy(void)
{
	riscv_irqchip_fini(&t.vm);
	kvm_device_destroy(t.arch.aia);
	for (unsigned int i = 0; i < HARTS; i++)
		kvm_vcpu_destroy(t.harts[i].kvm);
	bus_destroy(t.vm.mmio);
	kvm_vm_destroy(t.vm.kvm_vm);
	kvm_close(t.vm.kvm);
	assert_int_equal(fake_kvm_open_objects(), 0);
}

static void test_aia(void **state)
{
	(void)state;
	create(true);
	assert_true(arch_has_msi(&t.vm));
	assert_int_equal(t.arch.aia_ids, 255);
	assert_int_equal(riscv_kvm_attr(CONFIG, KVM_DEV_RISCV_AIA_CONFIG_SRCS),
	                 RISCV_IRQ_SOURCES - 1);
	assert_int_equal(riscv_kvm_attr(CONFIG, KVM_DEV_RISCV_AIA_CONFIG_HART_BITS), 2);
	assert_int_equal(riscv_kvm_attr(ADDR, KVM_DEV_RISCV_AIA_ADDR_APLIC), RISCV_APLIC_GPA);
	for (unsigned int i = 0; i < HARTS; i++)
		assert_int_equal(riscv_kvm_attr(ADDR, KVM_DEV_RISCV_AIA_ADDR_IMSIC(i)),
		                 RISCV_IMSIC_GPA + 0x1000 * i);
	/* Last of all. */
	assert_int_equal(t.kvm->attrs[t.kvm->attr_count - 1].group, KVM_DEV_RISCV_AIA_GRP_CTRL);
	assert_int_equal(t.kvm->attrs[t.kvm->attr_count - 1].attr, KVM_DEV_RISCV_AIA_CTRL_INIT);
	assert_int_equal(riscv_irq_set_level(&t.vm, RISCV_IRQ_SERIAL, true), 0);
	assert_true(fake_kvm_line_level(RISCV_IRQ_SERIAL));
	destroy();
}

static void test_aia_reset(void **state)
{
	(void)state;
	create(true);
	t.kvm->attr_count = 0;
	assert_int_equal(riscv_irqchip_reset(&t.vm), 0);
	assert_int_equal(riscv_kvm_attr(APLIC, 0), 0); /* domaincfg */
	for (unsigned int source = 1; source < RISCV_IRQ_SOURCES; source++) {
		assert_int_equal(riscv_kvm_attr(APLIC, 4 * source), 0);
		assert_int_equal(riscv_kvm_attr(APLIC, 0x3000 + 4 * source), 0);
	}
	for (unsigned int word = 0; word < 3; word++) {
		assert_int_equal(riscv_kvm_attr(APLIC, 0x1f00 + 4 * word), UINT32_MAX);
		assert_int_equal(riscv_kvm_attr(APLIC, 0x1d00 + 4 * word), UINT32_MAX);
	}
	for (uint64_t hart = 0; hart < HARTS; hart++) {
		assert_int_equal(riscv_kvm_attr(IMSIC, hart << 12 | 0x70), 0);
		assert_int_equal(riscv_kvm_attr(IMSIC, hart << 12 | 0x72), 0);
		for (uint64_t word = 0; word < 4; word++) {
			assert_int_equal(riscv_kvm_attr(IMSIC, hart << 12 | (0x80 + 2 * word)), 0);
			assert_int_equal(riscv_kvm_attr(IMSIC, hart << 12 | (0xc0 + 2 * word)), 0);
		}
		assert_int_equal(riscv_kvm_attr(IMSIC, hart << 12 | 0x88), UINT64_MAX);
	}
	for (unsigned int n = 0;; n++) {
		int rc;

		fake_kvm_fail_nth(n, -EIO);
		rc = riscv_irqchip_reset(&t.vm);
		if (!fake_kvm_has_failed())
			break;
		assert_int_equal(rc, -EIO);
		t.kvm->attr_count = 0;
	}
	fake_kvm_fail_never();
	destroy();
}

static void plic_write(uint64_t offset, uint32_t value)
{
	uint8_t data[4];

	store_le32(data, value);
	assert_true(bus_write(t.vm.mmio, RISCV_PLIC_GPA + offset, data, 4));
}

static void test_plic(void **state)
{
	(void)state;
	create(false);
	assert_false(arch_has_msi(&t.vm));
	plic_write(4 * RISCV_IRQ_SERIAL, 1);
	plic_write(0x2000 + 0x80 * 2, 1 << RISCV_IRQ_SERIAL);
	assert_int_equal(t.kvm->interrupt_count, 0);
	assert_int_equal(riscv_irq_set_level(&t.vm, RISCV_IRQ_SERIAL, true), 0);
	assert_int_equal(t.kvm->interrupt_count, 1);
	assert_int_equal(t.kvm->interrupts[2], KVM_INTERRUPT_SET);
	assert_int_equal(riscv_irqchip_reset(&t.vm), 0);
	assert_int_equal(t.kvm->interrupts[2], KVM_INTERRUPT_UNSET);
	assert_int_equal(t.kvm->interrupts[0], 0);
	destroy();
}

static void test_routes(void **state)
{
	const struct msi_message message = { .address = 0x128001000, .data = 17 };
	struct kvm_irq_routing_entry entries[RISCV_IRQ_SOURCES], msi;

	(void)state;
	assert_int_equal(riscv_pin_routes(entries, 3), 3);
	assert_int_equal(riscv_pin_routes(entries, RISCV_IRQ_SOURCES), RISCV_IRQ_SOURCES);
	assert_int_equal(entries[10].type, KVM_IRQ_ROUTING_IRQCHIP);
	assert_int_equal(entries[10].gsi, 10);
	assert_int_equal(entries[10].u.irqchip.pin, 10);
	riscv_msi_route(&message, 70, &msi);
	assert_int_equal(msi.gsi, 70);
	assert_int_equal(msi.u.msi.address_lo, 0x28001000);
	assert_int_equal(msi.u.msi.address_hi, 1);
	assert_int_equal(msi.u.msi.data, 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aia),
		cmocka_unit_test(test_aia_reset),
		cmocka_unit_test(test_plic),
		cmocka_unit_test(test_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
