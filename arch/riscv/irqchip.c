/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interrupt controller: an APLIC and an IMSIC each hart in the kernel where KVM has an AIA,
 * which brings MSIs and irqfds, else the PLIC here.
 *
 * A GSI is the source of that number on either. The AIA is made with the VM, but told where its
 * parts are, and started, once all harts are there.
 *
 * Linux, Documentation/virt/kvm/devices/riscv/… and api.rst, KVM_INTERRUPT; RISC-V Advanced
 * Interrupt Architecture 1.0.
 */
#include <errno.h>

#include "ebb/bus.h"
#include "ebb/irq.h"
#include "layout.h"
#include "plic.h"
#include "riscv.h"

/* APLIC registers (4.5) and IMSIC ones behind siselect (3.8). */
#define APLIC_DOMAINCFG    0x0000
#define APLIC_SOURCECFG(n) (4 * (n)) /* from 1 */
#define APLIC_IN_CLRIP(w)  (0x1d00 + 4 * (w))
#define APLIC_CLRIE(w)     (0x1f00 + 4 * (w))
#define APLIC_TARGET(n)    (0x3000 + 4 * (n))
#define APLIC_WORDS        ((RISCV_IRQ_SOURCES + 31) / 32)
#define IMSIC_EIDELIVERY   0x70
#define IMSIC_EITHRESHOLD  0x72
#define IMSIC_EIP          0x80 /* every second one, with 64 bits each */
#define IMSIC_EIE          0xc0

int riscv_irqchip_create(struct vm *vm, struct error *err)
{
	int rc = kvm_device_create(vm->kvm_vm, KVM_DEV_TYPE_RISCV_AIA, &vm->arch->aia);

	if (rc == -ENODEV || rc == -EINVAL) /* no AIA, or a kernel that knows of none */
		return 0;
	return rc < 0 ? error_set_errno(err, rc, "KVM_CREATE_DEVICE (AIA)") : 0;
}

/* --- the AIA --- */

static int set_config(struct kvm_device *aia, uint64_t attr, uint32_t value)
{
	return kvm_device_set_attr(aia, KVM_DEV_RISCV_AIA_GRP_CONFIG, attr, &value);
}

static int set_address(struct kvm_device *aia, uint64_t attr, gpa_t gpa)
{
	return kvm_device_set_attr(aia, KVM_DEV_RISCV_AIA_GRP_ADDR, attr, &gpa);
}

/* Bits that number the harts: Linux in the guest counts them in the same way. */
static uint32_t hart_bits(unsigned int count)
{
	return count > 1 ? 32 - (uint32_t)__builtin_clz(count - 1) : 0;
}

static int init_aia(struct vm *vm)
{
	struct kvm_device *aia = vm->arch->aia;
	int rc = kvm_device_get_attr(aia, KVM_DEV_RISCV_AIA_GRP_CONFIG,
	                             KVM_DEV_RISCV_AIA_CONFIG_IDS, &vm->arch->aia_ids);

	if (rc >= 0) /* source 0 does not count */
		rc = set_config(aia, KVM_DEV_RISCV_AIA_CONFIG_SRCS, RISCV_IRQ_SOURCES - 1);
	if (rc >= 0)
		rc = set_config(aia, KVM_DEV_RISCV_AIA_CONFIG_HART_BITS, hart_bits(vm->vcpu_count));
	if (rc >= 0)
		rc = set_address(aia, KVM_DEV_RISCV_AIA_ADDR_APLIC, RISCV_APLIC_GPA);
	for (unsigned int i = 0; rc >= 0 && i < vm->vcpu_count; i++)
		rc = set_address(aia, KVM_DEV_RISCV_AIA_ADDR_IMSIC(i),
		                 RISCV_IMSIC_GPA + i * KVM_DEV_RISCV_IMSIC_SIZE);
	if (rc >= 0)
		rc = kvm_device_set_attr(aia, KVM_DEV_RISCV_AIA_GRP_CTRL,
		                         KVM_DEV_RISCV_AIA_CTRL_INIT, NULL);
	return rc;
}

static int set_aplic(struct vm *vm, uint64_t offset, uint32_t value)
{
	return kvm_device_set_attr(vm->arch->aia, KVM_DEV_RISCV_AIA_GRP_APLIC, offset, &value);
}

static int reset_aplic(struct vm *vm)
{
	int rc = set_aplic(vm, APLIC_DOMAINCFG, 0);

	for (unsigned int word = 0; rc >= 0 && word < APLIC_WORDS; word++) {
		rc = set_aplic(vm, APLIC_CLRIE(word), UINT32_MAX);
		if (rc >= 0)
			rc = set_aplic(vm, APLIC_IN_CLRIP(word), UINT32_MAX);
	}
	for (unsigned int source = 1; rc >= 0 && source < RISCV_IRQ_SOURCES; source++) {
		rc = set_aplic(vm, APLIC_TARGET(source), 0);
		if (rc >= 0)
			rc = set_aplic(vm, APLIC_SOURCECFG(source), 0);
	}
	return rc;
}

static int set_imsic(struct vm *vm, unsigned int hart, unsigned int select)
{
	unsigned long zero = 0;

	return kvm_device_set_attr(vm->arch->aia, KVM_DEV_RISCV_AIA_GRP_IMSIC,
	                           KVM_DEV_RISCV_AIA_IMSIC_MKATTR((uint64_t)hart, select), &zero);
}

static int reset_imsic(struct vm *vm, unsigned int hart)
{
	unsigned int words = vm->arch->aia_ids / 64 + 1;
	int rc = set_imsic(vm, hart, IMSIC_EIDELIVERY);

	if (rc >= 0)
		rc = set_imsic(vm, hart, IMSIC_EITHRESHOLD);
	for (unsigned int word = 0; rc >= 0 && word < words; word++) {
		rc = set_imsic(vm, hart, IMSIC_EIE + 2 * word);
		if (rc >= 0)
			rc = set_imsic(vm, hart, IMSIC_EIP + 2 * word);
	}
	return rc;
}

void riscv_msi_route(const struct msi_message *message, unsigned int gsi,
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

size_t riscv_pin_routes(struct kvm_irq_routing_entry *entries, size_t max)
{
	size_t count = 0;

	for (unsigned int source = 0; source < RISCV_IRQ_SOURCES && count < max; source++) {
		entries[count] = (struct kvm_irq_routing_entry){
			.gsi = source,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
		};
		entries[count++].u.irqchip.pin = source;
	}
	return count;
}

/* --- the PLIC --- */

/* KVM takes this from any thread, whatever the hart does. It refuses nothing of it. */
static void set_external(void *ctx, unsigned int context, bool level)
{
	struct vm *vm = ctx;
	struct kvm_interrupt interrupt = { .irq = level ? KVM_INTERRUPT_SET : KVM_INTERRUPT_UNSET };

	(void)!kvm_vcpu_ioctl(vm->vcpus[context]->kvm, KVM_INTERRUPT, &interrupt);
}

static int init_plic(struct vm *vm)
{
	struct arch_vm *arch = vm->arch;
	int rc = plic_create(vm->vcpu_count, RISCV_IRQ_SOURCES, set_external, vm, &arch->plic);

	if (rc)
		return rc;
	rc = bus_add(vm->mmio, RISCV_PLIC_GPA, PLIC_BYTES, &plic_bus_ops, arch->plic, "plic");
	if (rc) {
		plic_destroy(arch->plic);
		arch->plic = NULL;
	}
	return rc;
}

/* --- either --- */

int riscv_irqchip_init(struct vm *vm, struct error *err)
{
	int rc = vm->arch->aia ? init_aia(vm) : init_plic(vm);

	return rc < 0 ? error_set_errno(err, rc, "%s", vm->arch->aia ? "AIA" : "PLIC") : 0;
}

int riscv_irqchip_reset(struct vm *vm)
{
	int rc;

	if (vm->arch->plic) {
		plic_reset(vm->arch->plic);
		return 0;
	}
	rc = reset_aplic(vm);
	for (unsigned int i = 0; rc >= 0 && i < vm->vcpu_count; i++)
		rc = reset_imsic(vm, i);
	return rc < 0 ? rc : 0;
}

void riscv_irqchip_fini(struct vm *vm)
{
	if (!vm->arch->plic)
		return;
	bus_remove(vm->mmio, RISCV_PLIC_GPA);
	plic_destroy(vm->arch->plic);
	vm->arch->plic = NULL;
}

int riscv_irq_set_level(struct vm *vm, unsigned int gsi, bool level)
{
	if (vm->arch->aia)
		return kvm_vm_set_irq_line(vm->kvm_vm, gsi, level);
	if (vm->arch->plic)
		plic_set_level(vm->arch->plic, gsi, level);
	return 0;
}
