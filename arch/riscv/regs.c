/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hart's registers by ONE_REG: the state it starts from, the same again after a reset, and for
 * the log.
 *
 * A hart other than 0 is stopped until another starts it (SBI HSM, in KVM), which sets pc, a0, a1
 * and clears the CSRs: only its run state is put back here.
 */
#include <errno.h>

#include "ebb/log.h"
#include "riscv.h"
#include "sbi.h"

#define CORE_REG(name)  (KVM_REG_RISCV_CORE | KVM_REG_RISCV_CORE_REG(name))
#define CSR_REG(name)   (KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_GENERAL | KVM_REG_RISCV_CSR_REG(name))
#define TIMER_REG(name) (KVM_REG_RISCV_TIMER | KVM_REG_RISCV_TIMER_REG(name))

#define AIA_CSR        (KVM_REG_RISCV_CSR | KVM_REG_RISCV_CSR_AIA)
#define AIA_CSR_COUNT  (sizeof(struct kvm_riscv_aia_csr) / sizeof(unsigned long))
#define CORE_REG_COUNT (sizeof(struct user_regs_struct) / sizeof(unsigned long))

#define SCOUNTEREN_POWER_ON 0x7 /* KVM's: cycle, time and instret for user mode */

/* All that ebb uses have 64 bits. */
static uint64_t reg_id(uint64_t reg)
{
	return KVM_REG_RISCV | KVM_REG_SIZE_U64 | reg;
}

int riscv_get_reg(struct vcpu *vcpu, uint64_t reg, uint64_t *ret_value)
{
	uint64_t value = 0;
	struct kvm_one_reg one = { .id = reg_id(reg), .addr = (uintptr_t)&value };
	int rc = kvm_vcpu_ioctl(vcpu->kvm, KVM_GET_ONE_REG, &one);

	if (rc >= 0)
		*ret_value = value;
	return rc;
}

int riscv_set_reg(struct vcpu *vcpu, uint64_t reg, uint64_t value)
{
	struct kvm_one_reg one = { .id = reg_id(reg), .addr = (uintptr_t)&value };

	return kvm_vcpu_ioctl(vcpu->kvm, KVM_SET_ONE_REG, &one);
}

static int clear_core(struct vcpu *vcpu)
{
	int rc = 0;

	for (unsigned int i = 0; rc >= 0 && i < CORE_REG_COUNT; i++)
		rc = riscv_set_reg(vcpu, KVM_REG_RISCV_CORE | i, 0);
	if (rc >= 0)
		rc = riscv_set_reg(vcpu, CORE_REG(mode), KVM_RISCV_MODE_S);
	return rc;
}

static int clear_csrs(struct vcpu *vcpu)
{
	static const struct {
		uint64_t reg, value;
	} csrs[] = {
		{ CSR_REG(sstatus), 0 }, { CSR_REG(sie), 0 },
		{ CSR_REG(stvec), 0 },   { CSR_REG(sscratch), 0 },
		{ CSR_REG(sepc), 0 },    { CSR_REG(scause), 0 },
		{ CSR_REG(stval), 0 },   { CSR_REG(sip), 0 },
		{ CSR_REG(satp), 0 },    { CSR_REG(scounteren), SCOUNTEREN_POWER_ON },
	};
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < ARRAY_SIZE(csrs); i++)
		rc = riscv_set_reg(vcpu, csrs[i].reg, csrs[i].value);
	/* Registers that a KVM or a host may not have. */
	(void)!riscv_set_reg(vcpu, CSR_REG(senvcfg), 0);
	for (unsigned int i = 0; vcpu->vm->arch->aia && i < AIA_CSR_COUNT; i++)
		(void)!riscv_set_reg(vcpu, AIA_CSR | i, 0);
	return rc;
}

/* A timer that is set to the end of time takes back an interrupt that is pending; then it is put
 * out. KVM refuses to do the second to one that is. */
static int clear_timer(struct vcpu *vcpu)
{
	int rc = riscv_set_reg(vcpu, TIMER_REG(compare), UINT64_MAX);

	if (rc >= 0)
		rc = riscv_set_reg(vcpu, TIMER_REG(state), KVM_RISCV_TIMER_STATE_ON);
	if (rc >= 0)
		rc = riscv_set_reg(vcpu, TIMER_REG(state), KVM_RISCV_TIMER_STATE_OFF);
	return rc == -EINVAL ? 0 : rc;
}

static int clear_used_state(struct vcpu *vcpu)
{
	int rc = clear_core(vcpu);

	/* The timer first: a KVM that lets it fire once more is told that nothing is pending. */
	if (rc >= 0)
		rc = clear_timer(vcpu);
	if (rc >= 0)
		rc = clear_csrs(vcpu);
	return rc < 0 ? rc : 0;
}

static int set_run_state(struct vcpu *vcpu)
{
	struct kvm_mp_state state = {
		.mp_state = vcpu->index == 0 ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_STOPPED,
	};
	int rc = kvm_vcpu_ioctl(vcpu->kvm, KVM_SET_MP_STATE, &state);

	return rc < 0 ? rc : 0;
}

/* Linux, Documentation/arch/riscv/boot.rst: a0 hart id, a1 FDT, MMU off. */
static int set_entry(struct vcpu *vcpu)
{
	const struct boot_entry *entry = &vcpu->vm->arch->entry;
	int rc = riscv_set_reg(vcpu, CORE_REG(regs.pc), entry->pc);

	if (rc >= 0)
		rc = riscv_set_reg(vcpu, CORE_REG(regs.a0), vcpu->index);
	if (rc >= 0)
		rc = riscv_set_reg(vcpu, CORE_REG(regs.a1), entry->fdt_gpa);
	return rc < 0 ? rc : 0;
}

int riscv_vcpu_set_power_on_state(struct vcpu *vcpu)
{
	bool used = vcpu->used;
	int rc = 0;

	/* These are every hart's, and none runs before all are reset. */
	if (used && vcpu->index == 0) {
		sbi_reset(vcpu->vm->arch->sbi);
		rc = riscv_irqchip_reset(vcpu->vm);
	}
	if (!rc && used)
		rc = clear_used_state(vcpu);
	if (!rc && vcpu->index == 0)
		rc = set_entry(vcpu);
	if (!rc)
		rc = set_run_state(vcpu);
	return rc;
}

static const char *const core_names[] = {
	"pc", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
	"a1", "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
	"s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
};

_Static_assert(ARRAY_SIZE(core_names) == CORE_REG_COUNT, "in the order of user_regs_struct");

#define DUMP_A_LINE 4

void riscv_vcpu_dump(struct vcpu *vcpu)
{
	static const struct {
		const char *name;
		uint64_t reg;
	} csrs[] = {
		{ "sstatus", CSR_REG(sstatus) }, { "sie", CSR_REG(sie) },
		{ "sip", CSR_REG(sip) },         { "stvec", CSR_REG(stvec) },
		{ "sepc", CSR_REG(sepc) },       { "scause", CSR_REG(scause) },
		{ "stval", CSR_REG(stval) },     { "satp", CSR_REG(satp) },
	};
	unsigned long long values[DUMP_A_LINE];

	for (unsigned int i = 0; i < CORE_REG_COUNT; i += DUMP_A_LINE) {
		for (unsigned int j = 0; j < DUMP_A_LINE; j++) {
			uint64_t value = 0;

			(void)!riscv_get_reg(vcpu, KVM_REG_RISCV_CORE | (i + j), &value);
			values[j] = value;
		}
		log_error(vcpu->vm->log, "hart %u: %3s %016llx %3s %016llx %3s %016llx %3s %016llx",
		          vcpu->index, core_names[i], values[0], core_names[i + 1], values[1],
		          core_names[i + 2], values[2], core_names[i + 3], values[3]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(csrs); i++) {
		uint64_t value = 0;

		if (riscv_get_reg(vcpu, csrs[i].reg, &value) >= 0)
			log_error(vcpu->vm->log, "hart %u: %s %016llx", vcpu->index, csrs[i].name,
			          (unsigned long long)value);
	}
}
