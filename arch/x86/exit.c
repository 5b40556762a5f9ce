/* SPDX-License-Identifier: Apache-2.0 */
/* Exits of a vCPU that the common loop does not know. (Linux: Documentation/virt/kvm/api.rst, 5.)
 */
/*
 * DOC: A triple fault (KVM_EXIT_SHUTDOWN) ends the VM with 127 instead of resetting it, as a PC
 * would: it is nearly always a guest that broke, and a reset would hide it and begin again. A guest
 * that wants a reset has the FADT's reset register and the keyboard controller, and Linux tries
 * both before it faults on purpose.
 */
#include "ebb/log.h"
#include "x86.h"

#define KVM_ENOSYS_RESULT ((uint64_t)-1000) /* -KVM_ENOSYS, <linux/kvm_para.h> */

static enum vcpu_verdict on_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_request_end(vcpu->vm, VM_END_POWEROFF, 0);
		return VCPU_IDLE;
	case KVM_SYSTEM_EVENT_RESET:
		vm_request_reset(vcpu->vm);
		return VCPU_IDLE;
	case KVM_SYSTEM_EVENT_CRASH:
		vm_note_panic(vcpu->vm);
		vm_request_end(vcpu->vm, VM_END_PANIC, 0);
		return VCPU_IDLE;
	}
	log_error(vcpu->vm->log, "vCPU %u: KVM system event %u is unknown", vcpu->index,
	          vcpu->run->system_event.type);
	return VCPU_FATAL;
}

static enum vcpu_verdict on_internal_error(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint32_t count = (uint32_t)min_u64(run->internal.ndata, 3);
	unsigned long long data[3] = { 0 };

	for (uint32_t i = 0; i < count; i++)
		data[i] = run->internal.data[i];
	log_error(vcpu->vm->log,
	          "vCPU %u: KVM internal error %u%s (data %llx %llx %llx): it cannot go on",
	          vcpu->index, run->internal.suberror,
	          run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
	                  ? ", an instruction it cannot emulate"
	                  : "",
	          data[0], data[1], data[2]);
	return VCPU_FATAL;
}

static enum vcpu_verdict on_failed_entry(struct vcpu *vcpu)
{
	log_error(vcpu->vm->log, "vCPU %u: KVM cannot enter the guest, hardware reason 0x%llx",
	          vcpu->index,
	          (unsigned long long)vcpu->run->fail_entry.hardware_entry_failure_reason);
	return VCPU_FATAL;
}

static enum vcpu_verdict on_unknown(struct vcpu *vcpu)
{
	log_error(vcpu->vm->log, "vCPU %u: KVM exit reason %u is unknown", vcpu->index,
	          vcpu->run->exit_reason);
	return VCPU_FATAL;
}

enum vcpu_verdict x86_vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_exit *ret_exit)
{
	struct kvm_run *run = vcpu->run;

	*ret_exit = VCPU_EXIT_OTHER;
	switch (run->exit_reason) {
	case KVM_EXIT_HLT: /* the LAPIC is in the kernel and so is halting; harmless if it comes */
		*ret_exit = VCPU_EXIT_HALT;
		return VCPU_CONTINUE;
	case KVM_EXIT_SHUTDOWN:
		*ret_exit = VCPU_EXIT_SHUTDOWN;
		log_error(vcpu->vm->log, "vCPU %u: triple fault", vcpu->index);
		return VCPU_FATAL;
	case KVM_EXIT_SYSTEM_EVENT:
		*ret_exit = VCPU_EXIT_SYSTEM_EVENT;
		return on_system_event(vcpu);
	case KVM_EXIT_INTERNAL_ERROR:
		*ret_exit = VCPU_EXIT_ERROR;
		return on_internal_error(vcpu);
	case KVM_EXIT_FAIL_ENTRY:
		*ret_exit = VCPU_EXIT_ERROR;
		return on_failed_entry(vcpu);
	case KVM_EXIT_HYPERCALL: /* none is offered */
		*ret_exit = VCPU_EXIT_FIRMWARE_CALL;
		run->hypercall.ret = KVM_ENOSYS_RESULT;
		return VCPU_CONTINUE;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		*ret_exit = VCPU_EXIT_REGISTER;
		run->msr.error = 1; /* #GP */
		return VCPU_CONTINUE;
	case KVM_EXIT_NMI:
	case KVM_EXIT_DEBUG:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_IOAPIC_EOI:
	case KVM_EXIT_X86_BUS_LOCK:
	case KVM_EXIT_NOTIFY:
		return VCPU_CONTINUE;
	}
	return on_unknown(vcpu);
}
