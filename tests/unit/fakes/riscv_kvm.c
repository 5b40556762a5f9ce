/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of arch/riscv, recorded and answered. */
#include "riscv_kvm.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define REG_BITS (KVM_REG_RISCV | KVM_REG_SIZE_U64)

static struct riscv_kvm riscv;

static size_t find_reg(unsigned long hart, uint64_t id)
{
	size_t i = 0;

	while (i < riscv.reg_count && (riscv.regs[i].hart != hart || riscv.regs[i].id != id))
		i++;
	return i;
}

void riscv_kvm_add_reg(unsigned long hart, uint64_t reg, uint64_t value)
{
	size_t i = find_reg(hart, reg | REG_BITS);

	assert(i < RISCV_KVM_REGS_MAX);
	if (i == riscv.reg_count)
		riscv.reg_count++;
	riscv.regs[i].hart = hart;
	riscv.regs[i].id = reg | REG_BITS;
	riscv.regs[i].value = value;
}

uint64_t riscv_kvm_reg(unsigned long hart, uint64_t reg, unsigned int *ret_sets)
{
	size_t i = find_reg(hart, reg | REG_BITS);

	assert(i < riscv.reg_count);
	if (ret_sets)
		*ret_sets = riscv.regs[i].sets;
	return riscv.regs[i].value;
}

static int access_reg(unsigned long hart, const struct kvm_one_reg *one, bool set)
{
	void *value = (void *)(uintptr_t)one->addr;
	size_t i = find_reg(hart, one->id);

	if (i == riscv.reg_count)
		return -ENOENT;
	if (!set) {
		memcpy(value, &riscv.regs[i].value, sizeof(uint64_t));
		return 0;
	}
	memcpy(&riscv.regs[i].value, value, sizeof(uint64_t));
	riscv.regs[i].sets++;
	return 0;
}

static int set_attr(const struct kvm_device_attr *request)
{
	size_t bytes = request->group == KVM_DEV_RISCV_AIA_GRP_CONFIG ||
	                               request->group == KVM_DEV_RISCV_AIA_GRP_APLIC
	                       ? 4
	                       : 8;

	assert(riscv.attr_count < RISCV_KVM_ATTRS_MAX);
	riscv.attrs[riscv.attr_count].group = request->group;
	riscv.attrs[riscv.attr_count].attr = request->attr;
	riscv.attrs[riscv.attr_count].value = 0;
	if (request->addr)
		memcpy(&riscv.attrs[riscv.attr_count].value, (void *)(uintptr_t)request->addr,
		       bytes);
	riscv.attr_count++;
	return 0;
}

uint64_t riscv_kvm_attr(uint32_t group, uint64_t attr)
{
	for (size_t i = riscv.attr_count; i--;)
		if (riscv.attrs[i].group == group && riscv.attrs[i].attr == attr)
			return riscv.attrs[i].value;
	return UINT64_MAX;
}

static int hook(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request, void *arg)
{
	static const uint32_t ids = 255;

	if (scope == FAKE_KVM_VM && request == KVM_CREATE_DEVICE)
		return riscv.has_aia ? 0 : -ENODEV;
	switch (request) {
	case KVM_GET_ONE_REG:
	case KVM_SET_ONE_REG:
		return access_reg(vcpu_id, arg, request == KVM_SET_ONE_REG);
	case KVM_SET_MP_STATE:
		riscv.mp_state[vcpu_id] = ((struct kvm_mp_state *)arg)->mp_state;
		return 0;
	case KVM_INTERRUPT:
		riscv.interrupts[vcpu_id] = ((struct kvm_interrupt *)arg)->irq;
		riscv.interrupt_count++;
		return 0;
	case KVM_SET_DEVICE_ATTR:
		return set_attr(arg);
	case KVM_GET_DEVICE_ATTR:
		memcpy((void *)(uintptr_t)((struct kvm_device_attr *)arg)->addr, &ids, sizeof(ids));
		return 0;
	}
	return 0;
}

static void add_regs(uint64_t type, size_t bytes)
{
	for (unsigned long hart = 0; hart < 2; hart++)
		for (size_t i = 0; i < bytes / 8; i++)
			riscv_kvm_add_reg(hart, type | i, 0x1000 + i);
}

struct riscv_kvm *riscv_kvm_reset(void)
{
	memset(&riscv, 0, sizeof(riscv));
	add_regs(KVM_REG_RISCV_CORE, sizeof(struct kvm_riscv_core));
	add_regs(KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_GENERAL, sizeof(struct kvm_riscv_csr));
	add_regs(KVM_REG_RISCV_TIMER, sizeof(struct kvm_riscv_timer));
	fake_kvm_set_ioctl_hook(hook);
	return &riscv;
}
