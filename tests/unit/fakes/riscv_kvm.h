/* SPDX-License-Identifier: Apache-2.0 */
/* What KVM is asked for by arch/riscv, over fake_kvm (`fakes: riscv_kvm fake_kvm`): registers, run
 * states, interrupts, the AIA's attributes. */
#ifndef RISCV_KVM_H
#define RISCV_KVM_H

#include "fake_kvm.h"

#define RISCV_KVM_REGS_MAX  512
#define RISCV_KVM_ATTRS_MAX 1024

struct riscv_kvm {
	bool has_aia;
	struct {
		unsigned long hart;
		uint64_t id, value;
		unsigned int sets;
	} regs[RISCV_KVM_REGS_MAX]; /* known registers; others are refused with -ENOENT */
	size_t reg_count;
	struct {
		uint32_t group;
		uint64_t attr, value;
	} attrs[RISCV_KVM_ATTRS_MAX]; /* in the order in which they were set */
	size_t attr_count;
	uint32_t mp_state[64];
	unsigned int interrupts[64]; /* KVM_INTERRUPT: the last one */
	unsigned int interrupt_count;
};

/* Hooks itself into fake_kvm, which the test has reset. Every register of struct kvm_riscv_core,
 * _csr and _timer is known; hart 0's and 1's. */
struct riscv_kvm *riscv_kvm_reset(void);

/* Makes a register known; id as KVM has it, without size and architecture. */
void riscv_kvm_add_reg(unsigned long hart, uint64_t reg, uint64_t value);

/* A known register's value, and how often it was set (may be NULL). */
uint64_t riscv_kvm_reg(unsigned long hart, uint64_t reg, unsigned int *ret_sets);

/* The value an attribute was last set to; UINT64_MAX: it never was. */
uint64_t riscv_kvm_attr(uint32_t group, uint64_t attr);

#endif
