/* SPDX-License-Identifier: Apache-2.0 */
/* The in-kernel interrupt controllers and timer: PIC, IOAPIC, PIT; routes of pins and MSIs. */
#include <errno.h>
#include <stdlib.h>

#include "ebb/irq.h"
#include "layout.h"
#include "x86.h"

#define IOAPIC_REDIRECTION_MASKED UINT64_C(0x10000)
#define PIC_MASTER_ELCR_MASK      0xf8 /* the lines that may be level-triggered */
#define PIC_SLAVE_ELCR_MASK       0xde
#define PIT_MODE_UNPROGRAMMED     0xff
#define PIT_COUNT_MAX             0x10000
#define PIT_SPEAKER_CHANNEL       2
#define PIN_ROUTES_MAX            (X86_IRQCHIP_PINS + X86_PIC_PINS)

/* KVM's own routes for a new irqchip have the timer on pin 0; the irq router counts on these. */
static int set_pin_routes(struct kvm_vm *vm)
{
	struct kvm_irq_routing *table =
		calloc(1, sizeof(*table) + PIN_ROUTES_MAX * sizeof(table->entries[0]));
	int rc;

	if (!table)
		return -ENOMEM;
	table->nr = (uint32_t)x86_pin_routes(table->entries, PIN_ROUTES_MAX);
	rc = kvm_vm_set_gsi_routing(vm, table);
	free(table);
	return rc;
}

int x86_irqchip_create(struct kvm_vm *vm, struct error *err)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	int rc;

	/* Only Intel CPUs without unrestricted guest use these pages. The identity map's page is
	 * where KVM has it by itself (X86_KVM_IDENTITY_GPA): no need to say so. */
	rc = kvm_vm_ioctl(vm, KVM_SET_TSS_ADDR, (void *)(uintptr_t)X86_KVM_TSS_GPA);
	if (rc < 0)
		return error_set_errno(err, rc, "KVM_SET_TSS_ADDR");
	rc = kvm_vm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL);
	if (rc < 0)
		return error_set_errno(err, rc,
		                       "KVM_CREATE_IRQCHIP (the host's kernel needs "
		                       "CONFIG_KVM_IOAPIC)");
	rc = kvm_vm_ioctl(vm, KVM_CREATE_PIT2, &pit);
	if (rc < 0)
		return error_set_errno(err, rc,
		                       "KVM_CREATE_PIT2 (the host's kernel needs "
		                       "CONFIG_KVM_IOAPIC)");
	rc = set_pin_routes(vm);
	return rc < 0 ? error_set_errno(err, rc, "KVM_SET_GSI_ROUTING") : 0;
}

static int reset_pic(struct kvm_vm *vm, uint32_t chip_id, uint8_t elcr_mask)
{
	struct kvm_irqchip chip = { .chip_id = chip_id };

	chip.chip.pic.elcr_mask = elcr_mask;
	return kvm_vm_ioctl(vm, KVM_SET_IRQCHIP, &chip);
}

static int reset_ioapic(struct kvm_vm *vm)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	chip.chip.ioapic.base_address = X86_IOAPIC_GPA;
	for (size_t i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		chip.chip.ioapic.redirtbl[i].bits = IOAPIC_REDIRECTION_MASKED;
	return kvm_vm_ioctl(vm, KVM_SET_IRQCHIP, &chip);
}

static int reset_pit(struct kvm_vm *vm)
{
	struct kvm_pit_state2 pit = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(pit.channels); i++) {
		pit.channels[i].mode = PIT_MODE_UNPROGRAMMED; /* KVM starts no timer for it */
		pit.channels[i].count = PIT_COUNT_MAX;
		pit.channels[i].gate = i != PIT_SPEAKER_CHANNEL;
	}
	return kvm_vm_ioctl(vm, KVM_SET_PIT2, &pit);
}

/* What a new irqchip holds is known: written down here, it need not be read and kept at each start.
 */
int x86_irqchip_reset(struct kvm_vm *vm)
{
	int rc = reset_pit(vm);

	if (rc >= 0)
		rc = reset_pic(vm, KVM_IRQCHIP_PIC_MASTER, PIC_MASTER_ELCR_MASK);
	if (rc >= 0)
		rc = reset_pic(vm, KVM_IRQCHIP_PIC_SLAVE, PIC_SLAVE_ELCR_MASK);
	if (rc >= 0)
		rc = reset_ioapic(vm);
	return rc < 0 ? rc : 0;
}

/* KVM takes the message as the bus would see it (x2APIC destinations above 254 need more; a VM has
 * 64 vCPUs at most). */
void x86_msi_route(const struct msi_message *message, unsigned int gsi,
                   struct kvm_irq_routing_entry *ret_entry)
{
	*ret_entry = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
	};
	ret_entry->u.msi.address_lo = (uint32_t)message->address;
	ret_entry->u.msi.address_hi = (uint32_t)(message->address >> 32);
	ret_entry->u.msi.data = message->data;
}

static struct kvm_irq_routing_entry pin_route(unsigned int gsi, unsigned int irqchip,
                                              unsigned int pin)
{
	struct kvm_irq_routing_entry entry = { .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };

	entry.u.irqchip.irqchip = irqchip;
	entry.u.irqchip.pin = pin;
	return entry;
}

/*
 * A GSI is the IOAPIC's pin of that number and, below 16, a PIC line, as on a PC: but for the
 * timer, which is on pin 2 (the MADT says so), and the cascade, which is no GSI at all.
 */
size_t x86_pin_routes(struct kvm_irq_routing_entry *entries, size_t max)
{
	size_t count = 0;

	for (unsigned int gsi = 0; gsi < X86_IRQCHIP_PINS; gsi++) {
		if (gsi == X86_GSI_PIC_CASCADE)
			continue;
		if (gsi < X86_PIC_PINS && count < max)
			entries[count++] = pin_route(
				gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
				gsi % 8);
		if (count < max)
			entries[count++] = pin_route(gsi, KVM_IRQCHIP_IOAPIC,
			                             gsi == X86_GSI_PIT ? X86_PIT_IOAPIC_PIN : gsi);
	}
	return count;
}
