/* SPDX-License-Identifier: Apache-2.0 */
/* The architecture contract for x86-64: the hooks of ebb/arch.h in their order, each a few lines;
 * the rest is in their rooms. */
#include <errno.h>
#include <stdlib.h>

#include "ebb/arch.h"
#include "ebb/device_memory.h"
#include "ebb/irq.h"
#include "layout.h"
#include "x86.h"

/* KVM_X86_QUIRK_SLOT_ZAP_ALL; build hosts have older headers (KVM's api.rst, 7.30). */
#define QUIRK_SLOT_ZAP_ALL (UINT64_C(1) << 7)

const struct arch_info arch_info = {
	.name = "x86",
	.kvm_remedy = "load kvm_intel or kvm_amd, or enable virtualisation in the firmware",
	.has_pio = true,
	.irqchip_pins = X86_IRQCHIP_PINS,
	.dirty_log = true,
};

struct needed_capability {
	int number;
	const char *name;
	const char *remedy;
};

/*
 * immediate_exit came last of what ebb uses (Linux 4.12); eventfds may be left out of a kernel. A
 * KVM without PIC, IOAPIC or PIT refuses to create them, and x86_irqchip_create says so: asking
 * here would be three system calls at every start.
 */
static const struct needed_capability needed[] = {
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "Linux 4.12 or newer has it" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD", "a kernel with CONFIG_EVENTFD has it" },
};

int arch_check_host(struct kvm *kvm, const struct vm_config *config, struct error *err)
{
	(void)config;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (kvm_check_extension(kvm, needed[i].number) <= 0)
			return error_set(err, -ENOTSUP, "/dev/kvm: this host's KVM lacks %s (%s)",
			                 needed[i].name, needed[i].remedy);
	return 0;
}

void arch_memory_map(uint64_t size_bytes, struct arch_memory_map *ret_map)
{
	struct arch_memory_map map = { .range_count = 1 };

	map.ranges[0].size_bytes = boot_ram_low_bytes(size_bytes);
	if (boot_ram_high_bytes(size_bytes)) {
		map.ranges[1].gpa = X86_RAM_HIGH_GPA;
		map.ranges[1].size_bytes = boot_ram_high_bytes(size_bytes);
		map.range_count = 2;
	}
	map.device_memory_gpa = align_up(X86_RAM_HIGH_GPA + boot_ram_high_bytes(size_bytes), GIB);
	*ret_map = map;
}

/* Memory that the CPU cannot address would be silently missing. */
static int check_address_bits(const struct vm *vm, struct error *err)
{
	uint64_t ram_bytes = vm->config->memory.size_bytes;
	unsigned int bits = x86_cpuid_physical_bits(vm->arch->cpuid);
	uint64_t high_bytes = boot_ram_high_bytes(ram_bytes);

	if (!high_bytes || bits >= 52 || X86_RAM_HIGH_GPA + high_bytes <= UINT64_C(1) << bits)
		return device_memory_check_bits(vm->config, bits, err);
	return error_set(err, -EINVAL,
	                 "--mem %llu MiB: this host's CPU addresses %u bits, at most %llu MiB",
	                 (unsigned long long)(ram_bytes / MIB), bits,
	                 (unsigned long long)(((UINT64_C(1) << bits) - GIB) / MIB));
}

/*
 * Memory devices take slots away while the guest runs, and KVM would drop what it mapped of all
 * others with one, unless it is asked not to (Linux 6.12). Where it cannot be asked, the guest only
 * faults it in again.
 */
static void keep_mappings_of_other_slots(const struct vm *vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS2,
		                      .args = { QUIRK_SLOT_ZAP_ALL } };
	struct device_memory_layout layout;

	if (device_memory_layout(vm->config, &layout, NULL) == 0 && layout.range_count)
		(void)!kvm_vm_ioctl(vm->kvm_vm, KVM_ENABLE_CAP, &cap);
}

int arch_vm_create(struct vm *vm, struct error *err)
{
	const struct x86_package package = x86_topology_package(vm->config);
	int rc;

	vm->arch = calloc(1, sizeof(*vm->arch));
	if (!vm->arch)
		return error_set_errno(err, -ENOMEM, "virtual machine");
	rc = x86_cpuid_create(vm->kvm, &package, &vm->arch->cpuid, err);
	if (!rc)
		rc = check_address_bits(vm, err);
	if (!rc)
		rc = kvm_vm_create(vm->kvm, 0, &vm->kvm_vm, err);
	if (!rc)
		rc = x86_irqchip_create(vm->kvm_vm, err);
	if (rc)
		arch_vm_destroy(vm);
	else
		keep_mappings_of_other_slots(vm);
	return rc;
}

void arch_vm_destroy(struct vm *vm)
{
	kvm_vm_destroy(vm->kvm_vm);
	vm->kvm_vm = NULL;
	if (!vm->arch)
		return;
	image_set_close(&vm->arch->images);
	free(vm->arch->cpuid);
	free(vm->arch);
	vm->arch = NULL;
}

bool arch_has_msi(const struct vm *vm)
{
	(void)vm;
	return true;
}

int arch_vcpu_create(struct vcpu *vcpu, struct error *err)
{
	const struct vm *vm = vcpu->vm;
	const struct x86_package package = x86_topology_package(vm->config);
	unsigned int apic_id = x86_topology_apic_id(vm->config, vcpu->index);
	int rc = kvm_vcpu_create(vm->kvm_vm, apic_id, &vcpu->kvm, err);

	if (!rc)
		rc = x86_cpuid_apply(vcpu->kvm, vm->arch->cpuid, &package, apic_id, err);
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
	return x86_vcpu_set_power_on_state(vcpu);
}

enum vcpu_verdict arch_vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_exit *ret_exit)
{
	return x86_vcpu_handle_exit(vcpu, ret_exit);
}

void arch_vcpu_dump(struct vcpu *vcpu)
{
	x86_vcpu_dump(vcpu);
}

int arch_irq_set_level(struct vm *vm, unsigned int gsi, bool level)
{
	return kvm_vm_set_irq_line(vm->kvm_vm, gsi, level);
}

void arch_msi_route(const struct msi_message *message, unsigned int gsi,
                    struct kvm_irq_routing_entry *ret_entry)
{
	x86_msi_route(message, gsi, ret_entry);
}

size_t arch_pin_routes(struct kvm_irq_routing_entry *entries, size_t max)
{
	return x86_pin_routes(entries, max);
}

int arch_platform_create(struct vm *vm, struct error *err)
{
	return x86_platform_create(vm, err);
}

void arch_platform_destroy(struct vm *vm)
{
	x86_platform_destroy(vm);
}

int arch_load_images(struct vm *vm, struct error *err)
{
	return x86_load_images(vm, err);
}

int arch_describe_machine(struct vm *vm, struct error *err)
{
	return x86_platform_describe(vm, err);
}
