/* SPDX-License-Identifier: Apache-2.0 */
/* What an x86 host's KVM says where fake_kvm alone says nothing: CPUID leaves, vCPU limits. */
#ifndef FAKE_HOST_X86_H
#define FAKE_HOST_X86_H

/* Behind fake_kvm_reset: a host that ebb starts on. */
void fake_host_x86(void);

#endif
