/* SPDX-License-Identifier: Apache-2.0 */
/* The architecture contract for RISC-V: the hooks of ebb/arch.h in their order, each a few lines;
 * the rest is in their rooms. */
#include <errno.h>
#include <stdlib.h>

#include "ebb/arch.h"
#include "ebb/device_memory.h"
#include "ebb/irq.h"
#include "layout.h"
#include "riscv.h"

/* No dirty log: where a huge page is mapped, Linux before 7.1 ends a guest that writes to it while
 * logging, and 7.0 misses writes. */
const struct arch_info arch_info = {
	.name = "riscv",
	.kvm_remedy = "load kvm; the CPU needs the hypervisor extension, H",
	.has_pio = false,
	.irqchip_pins = RISCV_IRQ_SOURCES,
};

static unsigned int gpa_bits(struct kvm *kvm)
{
	int bits = kvm_check_extension(kvm, KVM_CAP_VM_GPA_BITS);

	return bits > 32 && bits < 64 ? (unsigned int)bits : RISCV_GPA_BITS_DEFAULT;
}

int arch_check_host(struct kvm *kvm, const struct vm_config *config, struct error *err)
{
	unsigned int bits = gpa_bits(kvm);
	uint64_t ram_max_bytes = (UINT64_C(1) << bits) - RISCV_RAM_GPA;

	if (kvm_check_extension(kvm, KVM_CAP_IMMEDIATE_EXIT) <= 0 ||
	    kvm_check_extension(kvm, KVM_CAP_ONE_REG) <= 0)
		return error_set(err, -ENOTSUP,
		                 "/dev/kvm: this host's KVM lacks KVM_CAP_IMMEDIATE_EXIT or "
		                 "KVM_CAP_ONE_REG (Linux 5.16 or newer has them)");
	if (config->memory.size_bytes > ram_max_bytes)
		return error_set(err, -EINVAL,
		                 "--mem %llu MiB: this host gives a guest at most %llu MiB",
		                 (unsigned long long)(config->memory.size_bytes / MIB),
		                 (unsigned long long)(ram_max_bytes / MIB));
	return device_memory_check_bits(config, bits, err);
}

void arch_memory_map(uint64_t size_bytes, struct arch_memory_map *ret_map)
{
	*ret_map = (struct arch_memory_map){
		.range_count = 1,
		.ranges = { { .gpa = RISCV_RAM_GPA, .size_bytes = size_bytes } },
		.device_memory_gpa = align_up(RISCV_RAM_GPA + size_bytes, GIB),
	};
}

int arch_vm_create(struct vm *vm, struct error *err)
{
	int rc;

	vm->arch = calloc(1, sizeof(*vm->arch));
	if (!vm->arch)
		return error_set_errno(err, -ENOMEM, "virtual machine");
	rc = kvm_vm_create(vm->kvm, 0, &vm->kvm_vm, err);
	if (!rc)
		rc = riscv_irqchip_create(vm, err);
	if (rc)
		arch_vm_destroy(vm);
	return rc;
}

void arch_vm_destroy(struct vm *vm)
{
	if (vm->arch) {
		kvm_device_destroy(vm->arch->aia);
		image_set_close(&vm->arch->images);
	}
	kvm_vm_destroy(vm->kvm_vm);
	vm->kvm_vm = NULL;
	free(vm->arch);
	vm->arch = NULL;
}

bool arch_has_msi(const struct vm *vm)
{
	return vm->arch->aia != NULL;
}

int arch_vcpu_create(struct vcpu *vcpu, struct error *err)
{
	int rc = kvm_vcpu_create(vcpu->vm->kvm_vm, vcpu->index, &vcpu->kvm, err);

	if (!rc)
		rc = riscv_vcpu_set_up(vcpu, err);
	if (rc)
		arch_vcpu_destroy(vcpu);
	return rc;
}

void arch_vcpu_destroy(struct vcpu *vcpu)
{
	kvm_vcpu_destroy(vcpu->kvm);
	vcpu->kvm = NULL;
}

int arch_vcpu_reset(struct vcpu *vcpu)
{
	return riscv_vcpu_set_power_on_state(vcpu);
}

enum vcpu_verdict arch_vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_exit *ret_exit)
{
	return riscv_vcpu_handle_exit(vcpu, ret_exit);
}

void arch_vcpu_dump(struct vcpu *vcpu)
{
	riscv_vcpu_dump(vcpu);
}

int arch_irq_set_level(struct vm *vm, unsigned int gsi, bool level)
{
	return riscv_irq_set_level(vm, gsi, level);
}

void arch_msi_route(const struct msi_message *message, unsigned int gsi,
                    struct kvm_irq_routing_entry *ret_entry)
{
	riscv_msi_route(message, gsi, ret_entry);
}

size_t arch_pin_routes(struct kvm_irq_routing_entry *entries, size_t max)
{
	return riscv_pin_routes(entries, max);
}

int arch_platform_create(struct vm *vm, struct error *err)
{
	return riscv_platform_create(vm, err);
}

void arch_platform_destroy(struct vm *vm)
{
	riscv_platform_destroy(vm);
}

int arch_load_images(struct vm *vm, struct error *err)
{
	return riscv_load_images(vm, err);
}

int arch_describe_machine(struct vm *vm, struct error *err)
{
	return riscv_platform_describe(vm, err);
}
