/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of arch/x86 share: the VM's architecture state, and who sets what of it. */
#ifndef ARCH_X86_X86_H
#define ARCH_X86_X86_H

#include "ebb/image_set.h"
#include "ebb/kvm.h"
#include "ebb/pci.h"
#include "ebb/vcpu.h"
#include "ebb/vm.h"

#include "boot.h"
#include "topology.h"

struct arch_vm {
	struct kvm_cpuid2 *cpuid; /* every vCPU's, but for its APIC id */
	struct boot_entry entry;  /* where vCPU 0 begins */
	struct image_set images;
	bool host_checked; /* the remark about the host's KVM was made */
	struct pci_host_layout pci_layout;
};

/* cpuid.c */

/* KVM_GET_SUPPORTED_CPUID, made into this VM's leaves. *ret_cpuid is the caller's to free. */
EBB_MUST_CHECK int x86_cpuid_create(struct kvm *kvm, const struct x86_package *package,
                                    struct kvm_cpuid2 **ret_cpuid, struct error *err);

/* Sets one vCPU's leaves (one ioctl). */
EBB_MUST_CHECK int x86_cpuid_apply(struct kvm_vcpu *vcpu, const struct kvm_cpuid2 *cpuid,
                                   const struct x86_package *package, unsigned int apic_id,
                                   struct error *err);

/* Bits of a guest-physical address: leaf 0x80000008, 36 where there is none. */
unsigned int x86_cpuid_physical_bits(const struct kvm_cpuid2 *cpuid);

/* irqchip.c */

EBB_MUST_CHECK int x86_irqchip_create(struct kvm_vm *vm, struct error *err);

/* PIC, IOAPIC and PIT as at power-on. Before any vCPU runs again. */
EBB_MUST_CHECK int x86_irqchip_reset(struct kvm_vm *vm);

struct msi_message;
void x86_msi_route(const struct msi_message *message, unsigned int gsi,
                   struct kvm_irq_routing_entry *ret_entry);
size_t x86_pin_routes(struct kvm_irq_routing_entry *entries, size_t max);

/* regs.c */

/* A new vCPU gets what differs from KVM's own start; one that ran is put back first. */
EBB_MUST_CHECK int x86_vcpu_set_power_on_state(struct vcpu *vcpu);

/* dump.c */

void x86_vcpu_dump(struct vcpu *vcpu);

/* exit.c */

enum vcpu_verdict x86_vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_exit *ret_exit);

/* platform.c */

EBB_MUST_CHECK int x86_platform_create(struct vm *vm, struct error *err);
void x86_platform_destroy(struct vm *vm);

/* Builds the ACPI tables from vm->devices and writes them to guest memory. */
EBB_MUST_CHECK int x86_platform_describe(struct vm *vm, struct error *err);

/* load.c */

EBB_MUST_CHECK int x86_load_images(struct vm *vm, struct error *err);

#endif
