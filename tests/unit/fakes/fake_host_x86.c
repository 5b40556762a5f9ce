/* SPDX-License-Identifier: Apache-2.0 */
/* What an x86 host's KVM says where fake_kvm alone says nothing: CPUID leaves, vCPU limits. */
#include "fake_host.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "fake_kvm.h"

static int get_supported_cpuid(struct kvm_cpuid2 *cpuid)
{
	static const uint32_t leaves[] = { 0,          1,          7,          0xd,
		                           0x40000000, 0x40000001, 0x80000000, 0x80000008 };

	if (cpuid->nent < ARRAY_SIZE(leaves))
		return -E2BIG;
	cpuid->nent = ARRAY_SIZE(leaves);
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		memset(&cpuid->entries[i], 0, sizeof(cpuid->entries[i]));
		cpuid->entries[i].function = leaves[i];
		cpuid->entries[i].eax = leaves[i] == 0            ? 0xd
		                        : leaves[i] == 0x80000000 ? 0x80000008
		                                                  : 0;
	}
	return 0;
}

static int on_ioctl(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                    void *arg)
{
	(void)vcpu_id;
	if (scope == FAKE_KVM_SYSTEM && request == KVM_GET_SUPPORTED_CPUID)
		return get_supported_cpuid(arg);
	return 0;
}

void fake_host(void)
{
	fake_kvm_set_extension(KVM_CAP_MAX_VCPUS, 64);
	fake_kvm_set_extension(KVM_CAP_MAX_VCPU_ID, 255);
	fake_kvm_set_ioctl_hook(on_ioctl);
}
