/* SPDX-License-Identifier: Apache-2.0 */
/* The pure half of cpuid.c: leaves in, leaves out. */
#ifndef ARCH_X86_CPUID_H
#define ARCH_X86_CPUID_H

#include <linux/kvm.h>

#include "ebb/error.h"
#include "ebb/types.h"
#include "topology.h"

/*
 * Topology and what only a VMM knows. There must be room for six more entries behind cpuid->nent.
 * Errors: -EINVAL (too many CPUs), -ENOTSUP (leaf 0 or 1 is missing).
 */
EBB_MUST_CHECK int x86_cpuid_set_topology(struct kvm_cpuid2 *cpuid,
                                          const struct x86_package *package, bool tsc_deadline,
                                          struct error *err);
void x86_cpuid_set_apic_id(struct kvm_cpuid2 *cpuid, const struct x86_package *package,
                           unsigned int apic_id);

enum x86_nested { X86_NESTED_NONE, X86_NESTED_VMX, X86_NESTED_SVM };

/* Which virtualisation extension the guest is shown. */
enum x86_nested x86_cpuid_nested(const struct kvm_cpuid2 *cpuid);

#endif
