/* SPDX-License-Identifier: Apache-2.0 */
/* Exits of a hart that the common loop does not know. (Linux: Documentation/virt/kvm/api.rst, 5.)
 * Syscalls: vcpu: getrandom */
#include <errno.h>
#include <sys/random.h>

#include "ebb/log.h"
#include "riscv.h"
#include "sbi.h"

/* What a guest says with a system reset (SBI 2.0, 10). */
#define SRST_REASON_SYSTEM_FAILURE 1

/* Zkr's entropy source: sixteen bits a read, or "wait". */
#define CSR_SEED       0x015
#define SEED_OPST_WAIT (UINT64_C(1) << 30)
#define SEED_OPST_ES16 (UINT64_C(2) << 30)

static enum vcpu_verdict on_system_event(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	struct vm *vm = vcpu->vm;
	bool failed =
		run->system_event.ndata && run->system_event.data[0] == SRST_REASON_SYSTEM_FAILURE;

	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		if (failed)
			vm_note_panic(vm);
		vm_request_end(vm, failed ? VM_END_PANIC : VM_END_POWEROFF, 0);
		return VCPU_IDLE;
	case KVM_SYSTEM_EVENT_RESET: /* cold and warm */
		if (failed)
			vm_note_panic(vm);
		vm_request_reset(vm);
		return VCPU_IDLE;
	case KVM_SYSTEM_EVENT_CRASH:
		vm_note_panic(vm);
		vm_request_end(vm, VM_END_PANIC, 0);
		return VCPU_IDLE;
	}
	log_error(vm->log, "hart %u: KVM system event %u is unknown", vcpu->index,
	          run->system_event.type);
	return VCPU_FATAL;
}

static void on_sbi_call(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct sbi_call call = {
		.extension = run->riscv_sbi.extension_id,
		.function = run->riscv_sbi.function_id,
	};
	struct sbi_result result;

	for (size_t i = 0; i < ARRAY_SIZE(call.args); i++)
		call.args[i] = run->riscv_sbi.args[i];
	result = sbi_handle(vcpu->vm->arch->sbi, &call);
	run->riscv_sbi.ret[0] = result.error;
	run->riscv_sbi.ret[1] = result.value;
}

/* KVM hands over the seed, and what it does not know: that reads as 0. */
static void on_csr(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint16_t entropy;

	if (run->riscv_csr.csr_num != CSR_SEED)
		run->riscv_csr.ret_value = 0;
	else if (getrandom(&entropy, sizeof(entropy), GRND_NONBLOCK) == sizeof(entropy))
		run->riscv_csr.ret_value = SEED_OPST_ES16 | entropy;
	else
		run->riscv_csr.ret_value = SEED_OPST_WAIT;
}

static enum vcpu_verdict on_failure(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		log_error(vcpu->vm->log, "hart %u: KVM cannot enter the guest, reason 0x%llx",
		          vcpu->index,
		          (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else
		log_error(vcpu->vm->log, "hart %u: KVM internal error %u: it cannot go on",
		          vcpu->index, run->internal.suberror);
	return VCPU_FATAL;
}

enum vcpu_verdict riscv_vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_exit *ret_exit)
{
	*ret_exit = VCPU_EXIT_OTHER;
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_SYSTEM_EVENT:
		*ret_exit = VCPU_EXIT_SYSTEM_EVENT;
		return on_system_event(vcpu);
	case KVM_EXIT_RISCV_SBI:
		*ret_exit = VCPU_EXIT_FIRMWARE_CALL;
		on_sbi_call(vcpu);
		return VCPU_CONTINUE;
	case KVM_EXIT_RISCV_CSR:
		*ret_exit = VCPU_EXIT_REGISTER;
		on_csr(vcpu);
		return VCPU_CONTINUE;
	case KVM_EXIT_INTERNAL_ERROR:
	case KVM_EXIT_FAIL_ENTRY:
		*ret_exit = VCPU_EXIT_ERROR;
		return on_failure(vcpu);
	case KVM_EXIT_DEBUG:
		return VCPU_CONTINUE;
	}
	log_error(vcpu->vm->log, "hart %u: KVM exit reason %u is unknown", vcpu->index,
	          vcpu->run->exit_reason);
	return VCPU_FATAL;
}
