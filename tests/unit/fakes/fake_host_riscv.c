/* SPDX-License-Identifier: Apache-2.0 */
/* What a RISC-V host's KVM says where fake_kvm alone says nothing: every one-reg reads as an ISA
 * with IMAC, no AIA device. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "fake_host.h"
#include "fake_kvm.h"

static int get_one_reg(const struct kvm_one_reg *one_reg)
{
	const uint64_t imac =
		1u << ('i' - 'a') | 1u << ('m' - 'a') | 1u << ('a' - 'a') | 1u << ('c' - 'a');

	memcpy((void *)(uintptr_t)one_reg->addr, &imac, sizeof(imac));
	return 0;
}

static int on_ioctl(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                    void *arg)
{
	(void)vcpu_id;
	if (scope == FAKE_KVM_VM && request == KVM_CREATE_DEVICE)
		return -ENODEV;
	if (scope == FAKE_KVM_VCPU && request == KVM_GET_ONE_REG)
		return get_one_reg(arg);
	if (scope == FAKE_KVM_VCPU && request == KVM_GET_REG_LIST)
		return -ENOTTY;
	return 0;
}

void fake_host(void)
{
	fake_kvm_set_extension(KVM_CAP_MAX_VCPUS, 64);
	fake_kvm_set_ioctl_hook(on_ioctl);
}
