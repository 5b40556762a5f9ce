/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU and its thread: the KVM_RUN loop, exit dispatch, kicks, exit statistics.
 *
 * States: created -> paused <-> running -> ended. A thread runs its vCPU only while running; a kick
 * sets immediate_exit and sends a signal, so that one between the check and KVM_RUN is not lost
 * (DOC in src/vcpu.c).
 */
#ifndef EBB_VCPU_H
#define EBB_VCPU_H

#include "ebb/error.h"
#include "ebb/metrics.h"
#include "ebb/types.h"

struct kvm_run;
struct kvm_vcpu;
struct vcpu_thread;
struct vm;

/* Why a vCPU came back from KVM_RUN; one name on both architectures. */
enum vcpu_exit {
	VCPU_EXIT_PIO,
	VCPU_EXIT_MMIO,
	VCPU_EXIT_INTERRUPTED, /* a kick or a signal */
	VCPU_EXIT_HALT,
	VCPU_EXIT_SHUTDOWN,
	VCPU_EXIT_SYSTEM_EVENT,
	VCPU_EXIT_FIRMWARE_CALL, /* hypercall, SBI */
	VCPU_EXIT_REGISTER,      /* MSR, CSR */
	VCPU_EXIT_MEMORY_FAULT,
	VCPU_EXIT_ERROR, /* internal error, failed entry */
	VCPU_EXIT_OTHER,
	VCPU_EXIT_COUNT
};

const char *vcpu_exit_name(enum vcpu_exit exit); /* "pio", "mmio", "interrupted", … */

struct vcpu { /* written by vcpu.c alone; read-only for the rest */
	struct vm *vm;
	unsigned int index; /* 0 .. cpu_count - 1; also KVM's vCPU id and the APIC or hart id */
	struct kvm_vcpu *kvm;
	struct kvm_run *run;
	bool used; /* was reset before: KVM's state is no longer that of a new vCPU */
	struct vcpu_thread *thread;
	struct metric_counter exits[VCPU_EXIT_COUNT]; /* one writer: the vCPU's thread */
};

/* What the loop does after an exit was handled. */
enum vcpu_verdict {
	VCPU_CONTINUE,
	VCPU_IDLE,  /* this vCPU has nothing to run any more (vm_request_* has been called where the
	               VM must know) */
	VCPU_FATAL, /* cannot go on: dump, stop the VM with 127 */
};

/* Creates the KVM vCPU (through arch_vcpu_create), not yet its thread. */
EBB_MUST_CHECK int vcpu_create(struct vm *vm, unsigned int index, struct vcpu **ret_vcpu,
                               struct error *err);
void vcpu_destroy(struct vcpu *vcpu); /* ends and joins the thread first */

/* Starts the thread, paused: it resets its vCPU (arch_vcpu_reset) and waits. */
EBB_MUST_CHECK int vcpu_start(struct vcpu *vcpu, struct error *err);

/* Main thread. request asks, wait returns when the vCPU is out of KVM_RUN, its last access
 * complete, and touches nothing; a second request is a no-op. resume also ends idling. */
void vcpu_request_pause(struct vcpu *vcpu);
void vcpu_wait_paused(struct vcpu *vcpu);
void vcpu_resume(struct vcpu *vcpu);

/* The vCPU resets its registers on its own thread, at once; vcpu_wait_paused waits for that too.
 * Only while paused: it stays so. A reset that fails ends the VM (VM_END_HOST_FAILURE). */
void vcpu_request_reset(struct vcpu *vcpu);

/* Any thread. If the caller is this vCPU's own thread, the vCPU runs no further instruction after
 * the exit that it is handling, until it is resumed. vm.c does this for whoever asks for an end or
 * a reset. */
void vcpu_idle_if_current(struct vcpu *vcpu);

/* The vCPU of vm whose own thread calls; NULL: it is another. */
struct vcpu *vcpu_current(struct vm *vm);

/* Linux's number of its thread; 0: not started. Any thread. */
int vcpu_thread_id(struct vcpu *vcpu);

#endif
