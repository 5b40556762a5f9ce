/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The architecture contract: these functions, in this order, in arch/<one>/arch.c; bound at link
 * time. The order they are called in is written once, in src/machine.c; destroys accept half-built
 * objects.
 */
#ifndef EBB_ARCH_H
#define EBB_ARCH_H

#include "ebb/error.h"
#include "ebb/types.h"
#include "ebb/vcpu.h"

struct irq_router;
struct kvm;
struct kvm_irq_routing_entry;
struct msi_message;
struct vm;
struct vm_config;

struct arch_info {
	const char *name;          /* "x86", "riscv" */
	const char *kvm_remedy;    /* what to do where there is no /dev/kvm; a phrase */
	bool has_pio;              /* there is a port space */
	unsigned int irqchip_pins; /* GSIs below are pins, from here on MSI routes */
	bool dirty_log; /* of its KVM misses no write and harms no guest, on any kernel that has
	                   it */
};

extern const struct arch_info arch_info;

#define ARCH_MEMORY_RANGES_MAX 4

struct arch_memory_map {
	size_t range_count;
	struct {
		gpa_t gpa;
		uint64_t size_bytes;
	} ranges[ARCH_MEMORY_RANGES_MAX];
	gpa_t device_memory_gpa; /* the first that device memory may take; a multiple of 1 GiB */
};

/* What this host's KVM must have, beyond what every architecture needs. The message names what is
 * missing and what to do. */
EBB_MUST_CHECK int arch_check_host(struct kvm *kvm, const struct vm_config *config,
                                   struct error *err);

/* Where size_bytes of RAM, as config_validate lets them pass, lie. Pure. */
void arch_memory_map(uint64_t size_bytes, struct arch_memory_map *ret_map);

/* Creates vm->kvm_vm, vm->arch and the in-kernel irqchip. */
EBB_MUST_CHECK int arch_vm_create(struct vm *vm, struct error *err);
void arch_vm_destroy(struct vm *vm);

/* Whether the kernel has an interrupt controller that takes MSIs, and with it irqfds. From
 * arch_vm_create on; never changes. */
bool arch_has_msi(const struct vm *vm);

/* Creates vcpu->kvm and what must be set once (CPUID). */
EBB_MUST_CHECK int arch_vcpu_create(struct vcpu *vcpu, struct error *err);
void arch_vcpu_destroy(struct vcpu *vcpu);

/* Registers as at power-on with the loaded kernel's entry state; what a vCPU that was used has left
 * in KVM is put back first. On the vCPU's thread. */
EBB_MUST_CHECK int arch_vcpu_reset(struct vcpu *vcpu);

/* An exit that the loop does not know. Sets *ret_exit to its name. On the vCPU's thread. */
enum vcpu_verdict arch_vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_exit *ret_exit);

/* Registers, one line each, to the log. On the vCPU's thread. */
void arch_vcpu_dump(struct vcpu *vcpu);

/* -errno of KVM. Called with the irq router's lock held. */
int arch_irq_set_level(struct vm *vm, unsigned int gsi, bool level);

/* Pure: the routing entry of an MSI; and the entries of the pins, returns how many (at most max).
 */
void arch_msi_route(const struct msi_message *message, unsigned int gsi,
                    struct kvm_irq_routing_entry *ret_entry);
size_t arch_pin_routes(struct kvm_irq_routing_entry *entries, size_t max);

/* The platform's own devices: console port, clock, reset, PCI host, through device_create and
 * pci_host_create. */
EBB_MUST_CHECK int arch_platform_create(struct vm *vm, struct error *err);
void arch_platform_destroy(struct vm *vm);

/* Kernel (config->kernel_path or the built-in selftest), initrd, command line into guest memory;
 * entry state into vm->arch. */
EBB_MUST_CHECK int arch_load_images(struct vm *vm, struct error *err);

/* ACPI or FDT, after all devices. */
EBB_MUST_CHECK int arch_describe_machine(struct vm *vm, struct error *err);

#endif
