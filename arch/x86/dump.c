/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers and the code it was at, for the log. */
#include <stdio.h>

#include "ebb/guest_memory.h"
#include "ebb/log.h"
#include "x86.h"

#define CODE_BYTES 16

/* rip is virtual: KVM translates it. */
static void dump_code(struct vcpu *vcpu, uint64_t linear)
{
	struct kvm_translation translation = { .linear_address = linear };
	uint8_t code[CODE_BYTES];
	char text[CODE_BYTES * 3 + 1] = "";

	if (kvm_vcpu_ioctl(vcpu->kvm, KVM_TRANSLATE, &translation) < 0 || !translation.valid)
		return;
	if (gmem_read(vcpu->vm->memory, translation.physical_address, code, sizeof(code)))
		return;
	for (size_t i = 0; i < sizeof(code); i++)
		snprintf(text + i * 3, sizeof(text) - i * 3, " %02x", code[i]);
	log_error(vcpu->vm->log, "vCPU %u: code%s", vcpu->index, text);
}

#define HEX(value) ((unsigned long long)(value))

void x86_vcpu_dump(struct vcpu *vcpu)
{
	struct log *log = vcpu->vm->log;
	unsigned int n = vcpu->index;
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (kvm_vcpu_ioctl(vcpu->kvm, KVM_GET_REGS, &regs) < 0 ||
	    kvm_vcpu_ioctl(vcpu->kvm, KVM_GET_SREGS, &sregs) < 0) {
		log_error(log, "vCPU %u: registers cannot be read", n);
		return;
	}
	log_error(log, "vCPU %u: rip %016llx rflags %08llx rsp %016llx rbp %016llx", n,
	          HEX(regs.rip), HEX(regs.rflags), HEX(regs.rsp), HEX(regs.rbp));
	log_error(log, "vCPU %u: rax %016llx rbx %016llx rcx %016llx rdx %016llx", n, HEX(regs.rax),
	          HEX(regs.rbx), HEX(regs.rcx), HEX(regs.rdx));
	log_error(log, "vCPU %u: rsi %016llx rdi %016llx r8  %016llx r9  %016llx", n, HEX(regs.rsi),
	          HEX(regs.rdi), HEX(regs.r8), HEX(regs.r9));
	log_error(log, "vCPU %u: r10 %016llx r11 %016llx r12 %016llx r13 %016llx", n, HEX(regs.r10),
	          HEX(regs.r11), HEX(regs.r12), HEX(regs.r13));
	log_error(log, "vCPU %u: r14 %016llx r15 %016llx", n, HEX(regs.r14), HEX(regs.r15));
	log_error(log, "vCPU %u: cr0 %llx cr2 %llx cr3 %llx cr4 %llx cr8 %llx efer %llx apic %llx",
	          n, HEX(sregs.cr0), HEX(sregs.cr2), HEX(sregs.cr3), HEX(sregs.cr4), HEX(sregs.cr8),
	          HEX(sregs.efer), HEX(sregs.apic_base));
	log_error(log, "vCPU %u: cs %04x:%llx ds %04x:%llx ss %04x:%llx tr %04x:%llx", n,
	          sregs.cs.selector, HEX(sregs.cs.base), sregs.ds.selector, HEX(sregs.ds.base),
	          sregs.ss.selector, HEX(sregs.ss.base), sregs.tr.selector, HEX(sregs.tr.base));
	log_error(log, "vCPU %u: gdt %llx+%x idt %llx+%x", n, HEX(sregs.gdt.base), sregs.gdt.limit,
	          HEX(sregs.idt.base), sregs.idt.limit);
	dump_code(vcpu, sregs.cs.base + regs.rip);
}
