/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm x86_kvm */
/* The interrupt controllers: created, routed, put back; MSI routes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/irq.h"

#include "../../arch/x86/x86.h"

#include "x86_kvm.h"

static struct kvm *kvm;
static struct kvm_vm *vm;
static struct x86_kvm *x86;

static int set_up(void **state)
{
	(void)state;
	fake_kvm_reset();
	x86 = x86_kvm_reset();
	kvm = fake_kvm_open();
	vm = fake_kvm_vm(kvm);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kvm_vm_destroy(vm);
	kvm_close(kvm);
	return 0;
}

static void test_create(void **state)
{
	(void)state;
	assert_int_equal(x86_irqchip_create(vm, NULL), 0);
	assert_int_equal(x86->tss_gpa, 0xfffbd000);
	assert_int_equal(x86_kvm_requests(KVM_CREATE_IRQCHIP), 1);
	assert_int_equal(x86->pit_config.flags, KVM_PIT_SPEAKER_DUMMY);
	/* The timer is on the IOAPIC's pin 2 before any vector sends a table. */
	assert_int_equal(fake_kvm_routing_commits(), 1);
}

static void test_every_failure(void **state)
{
	struct error err = ERROR_INIT;
	unsigned int failures = 0;

	(void)state;
	for (unsigned int n = 0;; n++) {
		fake_kvm_fail_nth(n, -EIO);
		if (!x86_irqchip_create(vm, &err))
			break;
		assert_int_equal(err.code, -EIO);
		failures++;
	}
	fake_kvm_fail_never();
	assert_int_equal(failures, 4);
}

static unsigned int count_routes(const struct kvm_irq_routing_entry *entries, size_t count,
                                 unsigned int gsi, unsigned int irqchip, unsigned int *ret_pin)
{
	unsigned int found = 0;

	for (size_t i = 0; i < count; i++)
		if (entries[i].gsi == gsi && entries[i].u.irqchip.irqchip == irqchip) {
			assert_int_equal(entries[i].type, KVM_IRQ_ROUTING_IRQCHIP);
			*ret_pin = entries[i].u.irqchip.pin;
			found++;
		}
	return found;
}

static void test_pins(void **state)
{
	struct kvm_irq_routing_entry entries[64];
	size_t count = x86_pin_routes(entries, 64);
	unsigned int pin;

	(void)state;
	assert_int_equal(count, 23 + 15);
	assert_int_equal(x86_pin_routes(entries, 64), count);
	for (unsigned int gsi = 0; gsi < 24; gsi++) {
		unsigned int expected = gsi == 2 ? 0 : 1;

		assert_int_equal(count_routes(entries, count, gsi, KVM_IRQCHIP_IOAPIC, &pin),
		                 expected);
		if (expected)
			assert_int_equal(pin, gsi == 0 ? 2 : gsi);
		assert_int_equal(count_routes(entries, count, gsi, KVM_IRQCHIP_PIC_MASTER, &pin),
		                 gsi < 8 ? expected : 0);
		assert_int_equal(count_routes(entries, count, gsi, KVM_IRQCHIP_PIC_SLAVE, &pin),
		                 gsi >= 8 && gsi < 16);
		if (gsi >= 8 && gsi < 16)
			assert_int_equal(pin, gsi - 8);
	}
	assert_int_equal(x86_pin_routes(entries, 3), 3);
}

static void test_msi(void **state)
{
	const struct msi_message message = { .address = UINT64_C(0x1fee01004), .data = 0x4055 };
	struct kvm_irq_routing_entry entry;

	(void)state;
	memset(&entry, 0xff, sizeof(entry));
	x86_msi_route(&message, 99, &entry);
	assert_int_equal(entry.gsi, 99);
	assert_int_equal(entry.type, KVM_IRQ_ROUTING_MSI);
	assert_int_equal(entry.flags, 0);
	assert_int_equal(entry.u.msi.address_lo, 0xfee01004);
	assert_int_equal(entry.u.msi.address_hi, 1);
	assert_int_equal(entry.u.msi.data, 0x4055);
}

static void test_reset(void **state)
{
	(void)state;
	assert_int_equal(x86_irqchip_reset(vm), 0);
	assert_int_equal(x86->pit.channels[0].count, 0x10000);
	assert_int_equal(x86->pit.channels[0].gate, 1);
	assert_int_equal(x86->pit.channels[2].gate, 0);
	assert_int_equal(x86->irqchips[KVM_IRQCHIP_PIC_MASTER].chip.pic.elcr_mask, 0xf8);
	assert_int_equal(x86->irqchips[KVM_IRQCHIP_PIC_SLAVE].chip.pic.elcr_mask, 0xde);
	assert_int_equal(x86->irqchips[KVM_IRQCHIP_IOAPIC].chip.ioapic.base_address, 0xfec00000);
	for (size_t i = 0; i < 24; i++)
		assert_true(x86->irqchips[KVM_IRQCHIP_IOAPIC].chip.ioapic.redirtbl[i].fields.mask);
	for (unsigned int n = 0; n < 4; n++) {
		fake_kvm_fail_nth(n, -EIO);
		assert_int_equal(x86_irqchip_reset(vm), -EIO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_every_failure, set_up, tear_down),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_msi),
		cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
