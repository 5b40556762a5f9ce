/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of arch/x86, recorded and answered. */
#include "x86_kvm.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static struct x86_kvm x86;

static struct kvm_msr_entry *msr(uint32_t index)
{
	for (size_t i = 0; i < x86.msr_count; i++)
		if (x86.msrs[i].index == index)
			return &x86.msrs[i];
	return NULL;
}

static int set_msrs(const struct kvm_msrs *msrs)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		struct kvm_msr_entry *known = msr(msrs->entries[i].index);

		if (msrs->entries[i].index == x86.missing_msr)
			return (int)i;
		assert(known || x86.msr_count < X86_KVM_MSRS_MAX);
		*(known ? known : &x86.msrs[x86.msr_count++]) = msrs->entries[i];
	}
	return (int)msrs->nmsrs;
}

static int get_supported_cpuid(struct kvm_cpuid2 *cpuid)
{
	if (cpuid->nent < x86.supported_count)
		return -E2BIG;
	memcpy(cpuid->entries, x86.supported, x86.supported_count * sizeof(x86.supported[0]));
	cpuid->nent = x86.supported_count;
	return 0;
}

static int set_cpuid(const struct kvm_cpuid2 *cpuid)
{
	assert(cpuid->nent <= 64);
	memcpy(x86.cpuid, cpuid->entries, cpuid->nent * sizeof(x86.cpuid[0]));
	x86.cpuid_count = cpuid->nent;
	return 0;
}

#define RECORD(request, member) \
	case request: \
		memcpy(&x86.member, arg, sizeof(x86.member)); \
		return 0

static int record_vm(unsigned long request, void *arg)
{
	switch (request) {
		RECORD(KVM_CREATE_PIT2, pit_config);
		RECORD(KVM_SET_PIT2, pit);
		RECORD(KVM_ENABLE_CAP, enabled);
	case KVM_SET_TSS_ADDR:
		x86.tss_gpa = (unsigned long)arg;
		return 0;
	case KVM_SET_IRQCHIP:
		x86.irqchips[((const struct kvm_irqchip *)arg)->chip_id] =
			*(struct kvm_irqchip *)arg;
		return 0;
	}
	return 0;
}

static int record_vcpu(unsigned long request, void *arg)
{
	switch (request) {
		RECORD(KVM_SET_SREGS, sregs);
		RECORD(KVM_SET_REGS, regs);
		RECORD(KVM_SET_LAPIC, lapic);
		RECORD(KVM_SET_MP_STATE, mp_state);
	case KVM_GET_REGS:
		*(struct kvm_regs *)arg = x86.regs;
		return 0;
	case KVM_GET_SREGS:
		*(struct kvm_sregs *)arg = x86.sregs;
		return 0;
	case KVM_GET_VCPU_EVENTS:
		*(struct kvm_vcpu_events *)arg = x86.events;
		return 0;
	case KVM_SET_VCPU_EVENTS:
		x86.events = *(struct kvm_vcpu_events *)arg;
		return 0;
	case KVM_TRANSLATE:
		((struct kvm_translation *)arg)->physical_address =
			((struct kvm_translation *)arg)->linear_address;
		((struct kvm_translation *)arg)->valid = 1;
		return 0;
	case KVM_SET_MSRS:
		return set_msrs(arg);
	case KVM_SET_CPUID2:
		return set_cpuid(arg);
	}
	return 0;
}

static int hook(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request, void *arg)
{
	(void)vcpu_id;
	if (x86.request_count < X86_KVM_REQUESTS_MAX)
		x86.requests[x86.request_count++] = request;
	if (scope == FAKE_KVM_SYSTEM)
		return request == KVM_GET_SUPPORTED_CPUID ? get_supported_cpuid(arg) : 0;
	return scope == FAKE_KVM_VM ? record_vm(request, arg) : record_vcpu(request, arg);
}

struct kvm_cpuid_entry2 *x86_kvm_support(uint32_t function, uint32_t index, bool has_index)
{
	struct kvm_cpuid_entry2 *entry = &x86.supported[x86.supported_count++];

	assert(x86.supported_count <= 32);
	entry->function = function;
	entry->index = index;
	entry->flags = has_index ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
	return entry;
}

struct x86_kvm *x86_kvm_reset(void)
{
	struct kvm_cpuid_entry2 *entry;

	memset(&x86, 0, sizeof(x86));
	entry = x86_kvm_support(0, 0, false);
	entry->eax = 0x1f;
	memcpy(&entry->ebx, "Genu", 4);
	memcpy(&entry->edx, "ineI", 4);
	memcpy(&entry->ecx, "ntel", 4);
	entry = x86_kvm_support(1, 0, false);
	entry->ebx = 0x12345678; /* the host's APIC id and count, brand, line size */
	entry->edx = 1U << 28;
	x86_kvm_support(0x80000008, 0, false)->eax = 0x3027; /* 39 bits */
	fake_kvm_set_ioctl_hook(hook);
	return &x86;
}

const struct kvm_cpuid_entry2 *x86_kvm_cpuid(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < x86.cpuid_count; i++)
		if (x86.cpuid[i].function == function && x86.cpuid[i].index == index)
			return &x86.cpuid[i];
	return NULL;
}

const struct kvm_msr_entry *x86_kvm_msr(uint32_t index)
{
	return msr(index);
}

unsigned int x86_kvm_requests(unsigned long request)
{
	unsigned int count = 0;

	for (size_t i = 0; i < x86.request_count; i++)
		count += x86.requests[i] == request;
	return count;
}
