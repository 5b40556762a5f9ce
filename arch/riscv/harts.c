/* SPDX-License-Identifier: Apache-2.0 */
/* A new hart: what KVM lets it have, read for the FDT; the same vendor on all of them; what ebb
 * serves itself switched on. */
#include <errno.h>

#include "ebb/compat.h"
#include "riscv.h"

#define CONFIG_REG(name) (KVM_REG_RISCV_CONFIG | KVM_REG_RISCV_CONFIG_REG(name))
#define TIMER_REG(name)  (KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(name))

#define ISA_SINGLE     (KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_SINGLE)
#define ISA_MULTI      (KVM_REG_RISCV_ISA_EXT | KVM_REG_RISCV_ISA_MULTI_EN)
#define SATP_MODE_SV39 8

/* A KVM older than a register does not know it. */
static uint64_t get_or(struct vcpu *vcpu, uint64_t reg, uint64_t fallback)
{
	uint64_t value;

	return riscv_get_reg(vcpu, reg, &value) < 0 ? fallback : value;
}

/* All extensions in one call, or one by one where KVM is older than Linux 6.6. */
static void read_extensions(struct vcpu *vcpu, struct isa *isa)
{
	uint64_t value;

	if (riscv_get_reg(vcpu, ISA_MULTI, &isa->extensions[0]) >= 0)
		return;
	isa->extensions[0] = 0;
	for (unsigned int i = 0; i < ISA_EXTENSIONS_MAX; i++)
		if (riscv_get_reg(vcpu, ISA_SINGLE | i, &value) >= 0 && value)
			bitmap_set(isa->extensions, i);
}

static int read_isa(struct vcpu *vcpu, struct error *err)
{
	struct isa *isa = &vcpu->vm->arch->isa;
	int rc;

	read_extensions(vcpu, isa);
	if (isa_has(isa, KVM_RISCV_ISA_EXT_ZICBOM))
		isa->cbom_block_bytes = (uint32_t)get_or(vcpu, CONFIG_REG(zicbom_block_size), 0);
	if (isa_has(isa, KVM_RISCV_ISA_EXT_ZICBOZ))
		isa->cboz_block_bytes = (uint32_t)get_or(vcpu, CONFIG_REG(zicboz_block_size), 0);
	isa->satp_mode = (unsigned int)get_or(vcpu, CONFIG_REG(satp_mode), SATP_MODE_SV39);
	rc = riscv_get_reg(vcpu, TIMER_REG(frequency), &isa->timebase_hz);
	if (rc < 0)
		return error_set_errno(err, rc, "hart %u: timer frequency", vcpu->index);
	if (vcpu->vm->config->cpu_count == 1)
		return 0;
	isa->mvendorid = get_or(vcpu, CONFIG_REG(mvendorid), 0);
	isa->marchid = get_or(vcpu, CONFIG_REG(marchid), 0);
	isa->mimpid = get_or(vcpu, CONFIG_REG(mimpid), 0);
	return 0;
}

/* KVM gives a hart the identity of the host CPU that created it. On a host with several kinds the
 * guest's would differ from each other, and from what hart 0's extensions say. */
static void copy_identity(struct vcpu *vcpu)
{
	const struct isa *isa = &vcpu->vm->arch->isa;

	(void)!riscv_set_reg(vcpu, CONFIG_REG(mvendorid), isa->mvendorid);
	(void)!riscv_set_reg(vcpu, CONFIG_REG(marchid), isa->marchid);
	(void)!riscv_set_reg(vcpu, CONFIG_REG(mimpid), isa->mimpid);
}

int riscv_vcpu_set_up(struct vcpu *vcpu, struct error *err)
{
	int rc = 0;

	if (vcpu->index == 0)
		rc = read_isa(vcpu, err);
	else
		copy_identity(vcpu);
	if (rc)
		return rc;
	/* A KVM without it answers the guest's probe with "not supported". */
	(void)!riscv_set_reg(
		vcpu, KVM_REG_RISCV_SBI_EXT | KVM_REG_RISCV_SBI_SINGLE | KVM_RISCV_SBI_EXT_DBCN, 1);
	return 0;
}
