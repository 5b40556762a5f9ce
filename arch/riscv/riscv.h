/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of arch/riscv share: the VM's architecture state, and who sets what of it. */
#ifndef ARCH_RISCV_RISCV_H
#define ARCH_RISCV_RISCV_H

#include "ebb/image_set.h"
#include "ebb/kvm.h"
#include "ebb/pci.h"
#include "ebb/vcpu.h"
#include "ebb/vm.h"

#include "boot.h"
#include "isa.h"

struct plic;
struct sbi;
struct msi_message;

struct arch_vm {
	struct kvm_device *aia; /* APLIC and IMSICs in the kernel; NULL: a PLIC here */
	uint32_t aia_ids;       /* highest interrupt identity of an IMSIC */
	struct plic *plic;
	struct sbi *sbi;
	struct isa isa; /* every hart's: hart 0's as KVM tells them */
	struct image_set images;
	struct boot_entry entry; /* where hart 0 begins */
	struct pci_host_layout pci_layout;
};

/* regs.c: ONE_REG. reg is KVM_REG_RISCV_* with its index, without size and architecture. */
EBB_MUST_CHECK int riscv_get_reg(struct vcpu *vcpu, uint64_t reg, uint64_t *ret_value);
EBB_MUST_CHECK int riscv_set_reg(struct vcpu *vcpu, uint64_t reg, uint64_t value);
EBB_MUST_CHECK int riscv_vcpu_set_power_on_state(struct vcpu *vcpu);
void riscv_vcpu_dump(struct vcpu *vcpu);

/* harts.c: what a new hart can do, and what it shows; hart 0's answers are the machine's. */
EBB_MUST_CHECK int riscv_vcpu_set_up(struct vcpu *vcpu, struct error *err);

/* exit.c */
enum vcpu_verdict riscv_vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_exit *ret_exit);

/* irqchip.c: the AIA, or the PLIC where KVM has none. */
EBB_MUST_CHECK int riscv_irqchip_create(struct vm *vm, struct error *err);
/* Once all harts are there. */
EBB_MUST_CHECK int riscv_irqchip_init(struct vm *vm, struct error *err);
/* As at power-on. Every hart paused. */
EBB_MUST_CHECK int riscv_irqchip_reset(struct vm *vm);
void riscv_irqchip_fini(struct vm *vm);
int riscv_irq_set_level(struct vm *vm, unsigned int gsi, bool level);
void riscv_msi_route(const struct msi_message *message, unsigned int gsi,
                     struct kvm_irq_routing_entry *ret_entry);
size_t riscv_pin_routes(struct kvm_irq_routing_entry *entries, size_t max);

/* platform.c */
EBB_MUST_CHECK int riscv_platform_create(struct vm *vm, struct error *err);
void riscv_platform_destroy(struct vm *vm);
/* Builds the FDT from vm->devices and writes it to guest memory. */
EBB_MUST_CHECK int riscv_platform_describe(struct vm *vm, struct error *err);
EBB_MUST_CHECK int riscv_load_images(struct vm *vm, struct error *err);

#endif
