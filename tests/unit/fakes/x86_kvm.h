/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an x86 VM asks of KVM, kept in memory: the ioctl hook of fake_kvm for tests of arch/x86
 * (`fakes: fake_kvm x86_kvm`).
 */
#ifndef X86_KVM_H
#define X86_KVM_H

#include <linux/kvm.h>

#include "fake_kvm.h"

#define X86_KVM_MSRS_MAX     128
#define X86_KVM_REQUESTS_MAX 64

struct x86_kvm {
	struct kvm_cpuid_entry2 supported[32]; /* the answer to KVM_GET_SUPPORTED_CPUID */
	uint32_t supported_count;

	unsigned long requests[X86_KVM_REQUESTS_MAX]; /* in order */
	size_t request_count;
	struct kvm_cpuid_entry2 cpuid[64]; /* KVM_SET_CPUID2, the last */
	uint32_t cpuid_count;
	struct kvm_sregs sregs; /* set, and what is answered */
	struct kvm_regs regs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events; /* KVM_GET_VCPU_EVENTS answers these */
	struct kvm_irqchip irqchips[3];
	struct kvm_pit_state2 pit;
	struct kvm_pit_config pit_config;
	struct kvm_enable_cap enabled;
	struct kvm_msr_entry msrs[X86_KVM_MSRS_MAX]; /* taken, each once */
	size_t msr_count;
	uint32_t missing_msr; /* KVM_SET_MSRS stops there; 0: none */
	unsigned long tss_gpa;
};

/* Clears all, and answers CPUID as a small Intel CPU would. Installs the hook: call it after
 * fake_kvm_reset. */
struct x86_kvm *x86_kvm_reset(void);

struct kvm_cpuid_entry2 *x86_kvm_support(uint32_t function, uint32_t index, bool has_index);
const struct kvm_cpuid_entry2 *x86_kvm_cpuid(uint32_t function,
                                             uint32_t index); /* as set; NULL: not there */
const struct kvm_msr_entry *x86_kvm_msr(uint32_t index);      /* as last set; NULL: never */
unsigned int x86_kvm_requests(unsigned long request);         /* how often */

#endif
