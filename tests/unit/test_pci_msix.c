/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X against PCI 3.0, 6.8.2, down to KVM's irqfds. */
/* fakes: virtio_machine pci_guest test_driver fake_kvm fake_arch */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fake_arch.h"
#include "fake_kvm.h"
#include "pci_guest.h"

#define SLOT        1
#define VECTORS     3
#define BAR_INDEX   1
#define PBA         0x800
#define MSI_ADDRESS 0xfee00000
#define MSI_DATA    0x4020

struct fixture {
	struct virtio_machine machine;
	struct pci_function function;
	unsigned int capability;
	gpa_t bar;
};

static void set_command(struct fixture *f, uint16_t command)
{
	cfg_write(&f->machine, SLOT, PCI_COMMAND, command, 2);
}

static void set_up(struct fixture *f)
{
	static const struct pci_identity identity = { .vendor_id = 0x1234 };

	virtio_machine_create(&f->machine, TRANSPORT_PCI);
	memset(&f->function, 0, sizeof(f->function));
	assert_int_equal(pci_function_init(&f->function, &f->machine.vm, &identity, NULL, NULL), 0);
	assert_int_equal(pci_add_msix(&f->function, BAR_INDEX, VECTORS, NULL), 0);
	f->capability = cfg_find_capability(&f->machine, SLOT, PCI_CAP_ID_MSIX, 0);
	assert_int_not_equal(f->capability, 0);
	f->bar = cfg_bar(&f->machine, SLOT, BAR_INDEX);
	set_command(f, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void tear_down(struct fixture *f)
{
	pci_function_fini(&f->function);
	virtio_machine_destroy(&f->machine);
}

static void set_control(struct fixture *f, uint16_t control)
{
	cfg_write(&f->machine, SLOT, f->capability + PCI_MSIX_FLAGS, control, 2);
}

static uint64_t table(struct fixture *f, unsigned int vector, unsigned int offset,
                      unsigned int size_bytes)
{
	return machine_read(&f->machine, f->bar + vector * PCI_MSIX_ENTRY_SIZE + offset,
	                    size_bytes);
}

static void set_table(struct fixture *f, unsigned int vector, unsigned int offset, uint64_t value,
                      unsigned int size_bytes)
{
	machine_write(&f->machine, f->bar + vector * PCI_MSIX_ENTRY_SIZE + offset, value,
	              size_bytes);
}

static void set_message(struct fixture *f, unsigned int vector)
{
	set_table(f, vector, PCI_MSIX_ENTRY_LOWER_ADDR, MSI_ADDRESS, 4);
	set_table(f, vector, PCI_MSIX_ENTRY_UPPER_ADDR, 0, 4);
	set_table(f, vector, PCI_MSIX_ENTRY_DATA, MSI_DATA + vector, 4);
}

static void mask(struct fixture *f, unsigned int vector, bool masked)
{
	set_table(f, vector, PCI_MSIX_ENTRY_VECTOR_CTRL, masked, 4);
}

/* Interrupts of the vector that has this data, as KVM would have sent them. */
static unsigned int interrupts(unsigned int vector)
{
	const struct kvm_irq_routing *routing = fake_kvm_routing();

	for (unsigned int i = 0; routing && i < routing->nr; i++) {
		const struct kvm_irq_routing_entry *entry = &routing->entries[i];

		if (entry->type == KVM_IRQ_ROUTING_MSI && entry->u.msi.data == MSI_DATA + vector)
			return fake_kvm_interrupt_count(entry->gsi);
	}
	return 0;
}

static void capability_describes_table(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_int_equal(cfg_read(&f.machine, SLOT, f.capability + PCI_MSIX_FLAGS, 2), VECTORS - 1);
	assert_int_equal(cfg_read(&f.machine, SLOT, f.capability + PCI_MSIX_TABLE, 4), BAR_INDEX);
	assert_int_equal(cfg_read(&f.machine, SLOT, f.capability + PCI_MSIX_PBA, 4),
	                 PBA | BAR_INDEX);
	set_control(&f, 0xffff); /* the size is read-only */
	assert_int_equal(cfg_read(&f.machine, SLOT, f.capability + PCI_MSIX_FLAGS, 2),
	                 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL | (VECTORS - 1));
	for (unsigned int i = 0; i < VECTORS; i++) /* 6.8.2.9: masked at first */
		assert_int_equal(table(&f, i, PCI_MSIX_ENTRY_VECTOR_CTRL, 4), 1);
	tear_down(&f);
}

static void table_takes_any_width(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	set_table(&f, 1, PCI_MSIX_ENTRY_LOWER_ADDR, UINT64_C(0x1122334455667788), 8);
	assert_int_equal(table(&f, 1, PCI_MSIX_ENTRY_UPPER_ADDR, 4), 0x11223344);
	assert_int_equal(table(&f, 1, 2, 1), 0x66);
	set_table(&f, 0, 12, UINT64_C(0xaabbccdd00000001), 8); /* over two entries */
	assert_int_equal(table(&f, 1, 0, 4), 0xaabbccdd);
	set_table(&f, VECTORS - 1, 12, UINT64_MAX, 8); /* over the end: not at all */
	assert_int_equal(table(&f, VECTORS - 1, 12, 4), 1);
	assert_int_equal(table(&f, VECTORS, 0, 8), 0);
	set_table(&f, VECTORS, 0, 1, 4);
	machine_write(&f.machine, f.bar + PBA, UINT64_MAX, 8); /* 6.8.2.10: read-only */
	assert_int_equal(machine_read(&f.machine, f.bar + PBA, 8), 0);
	assert_int_equal(machine_read(&f.machine, f.bar + 0xff8, 8), 0);
	tear_down(&f);
}

static void vector_reaches_kvm_only_when_unmasked(void **state)
{
	struct fixture f;
	unsigned int calls;

	(void)state;
	set_up(&f);
	calls = fake_kvm_call_count();
	set_control(&f, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	for (unsigned int i = 0; i < VECTORS; i++)
		set_message(&f, i);
	mask(&f, 0, false);
	assert_int_equal(fake_kvm_call_count(), calls); /* the function is masked */
	set_control(&f, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(fake_kvm_irqfd_count(), 1);
	mask(&f, 1, false);
	assert_int_equal(fake_kvm_irqfd_count(), 2);
	assert_true(pci_msix_trigger(&f.function, 1));
	assert_int_equal(interrupts(1), 1);
	assert_int_equal(interrupts(0), 0);
	set_control(&f, 0);
	assert_int_equal(fake_kvm_irqfd_count(), 0);
	assert_false(pci_msix_trigger(&f.function, 1)); /* INTx then */
	tear_down(&f);
}

/* 6.8.2.8, 6.8.3.4: what comes while masked is pending, and sent on unmasking. */
static void masked_vector_is_pending(void **state)
{
	static const bool by_function[] = { false, true };
	struct fixture f;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		set_up(&f);
		set_control(&f, PCI_MSIX_FLAGS_ENABLE);
		set_message(&f, 2);
		mask(&f, 2, false);
		if (by_function[i])
			set_control(&f, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
		else
			mask(&f, 2, true);
		assert_true(pci_msix_trigger(&f.function, 2));
		assert_true(pci_msix_trigger(&f.function, 2));
		assert_int_equal(machine_read(&f.machine, f.bar + PBA, 8), 1U << 2);
		assert_int_equal(interrupts(2), 0);
		set_control(&f, PCI_MSIX_FLAGS_ENABLE);
		mask(&f, 2, false);
		assert_int_equal(interrupts(2), 1);
		assert_int_equal(machine_read(&f.machine, f.bar + PBA, 1), 0);
		tear_down(&f);
	}
}

/* A vector that was never unmasked keeps what it was sent too. */
static void vector_is_pending_before_its_first_use(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	set_control(&f, PCI_MSIX_FLAGS_ENABLE);
	pci_msix_trigger(&f.function, 0);
	assert_int_equal(machine_read(&f.machine, f.bar + PBA, 1), 1);
	set_message(&f, 0);
	mask(&f, 0, false);
	assert_int_equal(interrupts(0), 1);
	tear_down(&f);
}

/* A message is a memory write: none while Bus Master is off (PCI 3.0, 6.2.2; 6.8.3.4). */
static void without_bus_master_vectors_wait(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	set_command(&f, PCI_COMMAND_MEMORY);
	set_control(&f, PCI_MSIX_FLAGS_ENABLE);
	set_message(&f, 1);
	mask(&f, 1, false);
	assert_int_equal(fake_kvm_irqfd_count(), 0);
	assert_true(pci_msix_trigger(&f.function, 1)); /* MSI-X is on: not INTx either */
	assert_int_equal(interrupts(1), 0);
	assert_int_equal(machine_read(&f.machine, f.bar + PBA, 1), 1U << 1);
	set_command(&f, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(interrupts(1), 1);
	assert_int_equal(machine_read(&f.machine, f.bar + PBA, 1), 0);
	set_command(&f, PCI_COMMAND_MEMORY); /* and off again, as a kernel does before kexec */
	pci_msix_trigger(&f.function, 1);
	assert_int_equal(interrupts(1), 1);
	tear_down(&f);
}

static void message_changes_while_live(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	set_control(&f, PCI_MSIX_FLAGS_ENABLE);
	set_message(&f, 0);
	mask(&f, 0, false);
	set_table(&f, 0, PCI_MSIX_ENTRY_DATA, MSI_DATA + 7, 4);
	pci_msix_trigger(&f.function, 0);
	assert_int_equal(interrupts(7), 1);
	assert_int_equal(fake_kvm_irqfd_count(), 1);
	tear_down(&f);
}

static void intx_is_held_back_while_msix_is_on(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	pci_set_intx(&f.function, true);
	assert_true(fake_arch_level(MACHINE_INTX_GSI + SLOT));
	set_control(&f, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_false(fake_arch_level(MACHINE_INTX_GSI + SLOT));
	set_control(&f, 0);
	assert_true(fake_arch_level(MACHINE_INTX_GSI + SLOT));
	tear_down(&f);
}

static void vectors_out_of_range_are_nobody(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	assert_int_equal(pci_msix_fd(&f.function, 0), -ENOTSUP); /* off */
	set_control(&f, PCI_MSIX_FLAGS_ENABLE);
	assert_true(pci_msix_trigger(&f.function, VECTORS));
	assert_true(pci_msix_trigger(&f.function, 0xffff));
	assert_int_equal(pci_msix_fd(&f.function, VECTORS), -ENOTSUP);
	assert_true(pci_msix_fd(&f.function, 0) >= 0);
	tear_down(&f);
}

/* KVM's refusal costs that vector, not the VM; the guest may try again. */
static void kvm_refuses_a_vector(void **state)
{
	struct fixture f;

	(void)state;
	for (unsigned int n = 0; n < 2; n++) { /* the routing, then the irqfd */
		set_up(&f);
		set_control(&f, PCI_MSIX_FLAGS_ENABLE);
		set_message(&f, 0);
		fake_kvm_fail_nth(n, -ENOSPC);
		mask(&f, 0, false);
		assert_true(fake_kvm_has_failed());
		assert_int_equal(fake_kvm_irqfd_count(), 0);
		pci_msix_trigger(&f.function, 0);
		mask(&f, 0, true);
		mask(&f, 0, false);
		assert_int_equal(fake_kvm_irqfd_count(), 1);
		assert_int_equal(interrupts(0), 1);
		tear_down(&f);
	}
}

static void reset_masks_and_forgets(void **state)
{
	struct fixture f;

	(void)state;
	set_up(&f);
	set_control(&f, PCI_MSIX_FLAGS_ENABLE);
	set_message(&f, 0);
	mask(&f, 0, false);
	pci_msix_trigger(&f.function, 1);
	pci_function_reset(&f.function);
	assert_int_equal(fake_kvm_irqfd_count(), 0);
	assert_int_equal(table(&f, 0, 0, 8), 0);
	assert_int_equal(table(&f, 0, PCI_MSIX_ENTRY_VECTOR_CTRL, 4), 1);
	assert_int_equal(machine_read(&f.machine, f.bar + PBA, 8), 0);
	assert_false(pci_msix_trigger(&f.function, 0));
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capability_describes_table),
		cmocka_unit_test(table_takes_any_width),
		cmocka_unit_test(vector_reaches_kvm_only_when_unmasked),
		cmocka_unit_test(masked_vector_is_pending),
		cmocka_unit_test(vector_is_pending_before_its_first_use),
		cmocka_unit_test(without_bus_master_vectors_wait),
		cmocka_unit_test(message_changes_while_live),
		cmocka_unit_test(intx_is_held_back_while_msix_is_on),
		cmocka_unit_test(vectors_out_of_range_are_nobody),
		cmocka_unit_test(kvm_refuses_a_vector),
		cmocka_unit_test(reset_masks_and_forgets),
	};

	return cmocka_run_group_tests_name("pci_msix", tests, NULL, NULL);
}
