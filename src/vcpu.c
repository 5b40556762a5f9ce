/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU and its thread: the KVM_RUN loop, exit dispatch, kicks.
 *
 * DOC: The thread.
 *
 *	start -> reset -> parked <-> running -> (quit) ended
 *
 * It parks while anything asks for that: `pause` (main), `idle` (the guest has ended, asked for a
 * reset, or cannot go on), `barred` (the host refused it its list of system calls; who resumes does
 * not know of it yet). A parked thread that is asked for a reset does it where it stands, so
 * that when vcpu_wait_paused returns on every vCPU all of them are as at power-on: on x86 the first
 * one's INIT and SIPI must not meet another's registers half written.
 *
 * Kicks. The requests are flags under the lock; run->immediate_exit is their shadow that KVM reads.
 * A kicker takes the lock, sets its flag and immediate_exit, and sends the signal. The vCPU looks
 * at the flags in one place only, between two KVM_RUNs, under the same lock, and clears
 * immediate_exit there once nothing is asked for. So when KVM_RUN is entered, either immediate_exit
 * is 0 and no request is open, or it is 1 and KVM_RUN returns -EINTR at once. A kick that comes
 * later than KVM's own look at immediate_exit has its signal: KVM does not enter, or leaves, a
 * guest with a signal pending. A signal that arrives before KVM_RUN is used up by its empty
 * handler, but immediate_exit stays. Nothing is lost, whatever the order; the flags need no looking
 * at after any other exit, since the next KVM_RUN returns -EINTR by itself.
 *
 * That detour is also what completes an access in flight. After an exit for a read (PIO, MMIO), KVM
 * takes the answer at the start of the *next* KVM_RUN. A vCPU that is reset or saved before that
 * would have the old answer, and the step over the old instruction, applied to its new registers.
 * With immediate_exit set KVM_RUN completes the access first (which may bring further exits: the
 * rest of a string instruction, the second half of an access that crosses a page) and only then
 * returns -EINTR; and only there do we park.
 *
 * A touch of unplugged memory makes KVM_RUN fail with -EFAULT where a memory slot covers it
 * (memslot.c), and would again: the vCPU has not moved on. So it idles; in the moment of quiet that
 * was asked for the slots are cut down, and it is resumed with the others: then the access exits as
 * one to MMIO. The block may have been plugged, or the slot have gone, between the fault and our
 * look: guest memory's generation says so, and the vCPU just runs again. Any other -EFAULT is
 * final.
 *
 * The signal is none of the real-time ones, which the kernel queues, and does not send once the
 * user's processes have RLIMIT_SIGPENDING of them waiting: a vCPU would never be heard of again.
 * Memory order: the flags have the lock; immediate_exit is one byte, stored atomically under it.
 *
 * Spec: Documentation/virt/kvm/api.rst, 5 "The kvm_run structure", immediate_exit.
 *
 * Syscalls: main: getpid pthread_kill
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ebb/arch.h"
#include "ebb/bus.h"
#include "ebb/bytes.h"
#include "ebb/guest_memory.h"
#include "ebb/kvm.h"
#include "ebb/log.h"
#include "ebb/memslot.h"
#include "ebb/sandbox.h"
#include "ebb/vcpu.h"
#include "ebb/vm.h"

#define THREAD_STACK_BYTES (512 * KIB)
#define KICK_SIGNAL        SIGUSR1

struct vcpu_thread {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool started;
	/* Requests, under the lock: */
	bool pause, idle, reset, quit;
	bool barred; /* for good: it is not in the sandbox */
	/* What has come of them, under the lock: */
	bool parked;
};

static const char *const exit_names[VCPU_EXIT_COUNT] = {
	[VCPU_EXIT_PIO] = "pio",
	[VCPU_EXIT_MMIO] = "mmio",
	[VCPU_EXIT_INTERRUPTED] = "interrupted",
	[VCPU_EXIT_HALT] = "halt",
	[VCPU_EXIT_SHUTDOWN] = "shutdown",
	[VCPU_EXIT_SYSTEM_EVENT] = "system_event",
	[VCPU_EXIT_FIRMWARE_CALL] = "firmware_call",
	[VCPU_EXIT_REGISTER] = "register",
	[VCPU_EXIT_MEMORY_FAULT] = "memory_fault",
	[VCPU_EXIT_ERROR] = "error",
	[VCPU_EXIT_OTHER] = "other",
};

const char *vcpu_exit_name(enum vcpu_exit exit)
{
	return (unsigned int)exit < VCPU_EXIT_COUNT ? exit_names[exit] : "unknown";
}

int vcpu_create(struct vm *vm, unsigned int index, struct vcpu **ret_vcpu, struct error *err)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	struct vcpu_thread *thread = calloc(1, sizeof(*thread));
	int result = -ENOMEM;

	if (!vcpu || !thread || pthread_mutex_init(&thread->lock, NULL))
		goto free_both;
	if (pthread_cond_init(&thread->changed, NULL))
		goto destroy_lock;
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->thread = thread;
	result = arch_vcpu_create(vcpu, err);
	if (result < 0)
		goto destroy_arch;
	vcpu->run = kvm_vcpu_run_area(vcpu->kvm);
	*ret_vcpu = vcpu;
	return 0;

destroy_arch:
	arch_vcpu_destroy(vcpu); /* accepts what is half built */
	pthread_cond_destroy(&thread->changed);
destroy_lock:
	pthread_mutex_destroy(&thread->lock);
free_both:
	free(thread);
	free(vcpu);
	return result == -ENOMEM && err && !err->code
	               ? error_set_errno(err, result, "vCPU %u", index)
	               : result;
}

/* --- exits; on the vCPU's thread --- */

static void handle_pio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	/* A string instruction comes as several accesses of one port. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			if (vcpu->vm->pio)
				bus_write(vcpu->vm->pio, run->io.port, data, run->io.size);
		} else if (vcpu->vm->pio) {
			bus_read(vcpu->vm->pio, run->io.port, data, run->io.size);
		} else {
			memset(data, 0xff, run->io.size);
		}
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->mmio.len > sizeof(run->mmio.data))
		return;
	if (run->mmio.is_write)
		bus_write(vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		bus_read(vcpu->vm->mmio, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
}

/* After handling, so that what was read is there. */
static void trace_exit(struct vcpu *vcpu, enum vcpu_exit exit)
{
	const struct kvm_run *run = vcpu->run;
	struct log *log = vcpu->vm->log;

	switch (exit) {
	case VCPU_EXIT_PIO:
		log_debug(log, "vcpu %u: pio %s 0x%x size %u count %u value 0x%llx", vcpu->index,
		          run->io.direction == KVM_EXIT_IO_OUT ? "write" : "read", run->io.port,
		          run->io.size, run->io.count,
		          (unsigned long long)load_le((const uint8_t *)run + run->io.data_offset,
		                                      run->io.size));
		break;
	case VCPU_EXIT_MMIO:
		log_debug(log, "vcpu %u: mmio %s 0x%llx size %u value 0x%llx", vcpu->index,
		          run->mmio.is_write ? "write" : "read",
		          (unsigned long long)run->mmio.phys_addr, run->mmio.len,
		          (unsigned long long)load_le(run->mmio.data, run->mmio.len));
		break;
	default:
		log_debug(log, "vcpu %u: %s (KVM exit reason %u)", vcpu->index,
		          vcpu_exit_name(exit), run->exit_reason);
		break;
	}
}

static enum vcpu_verdict handle_exit(struct vcpu *vcpu)
{
	enum vcpu_verdict verdict = VCPU_CONTINUE;
	enum vcpu_exit exit = VCPU_EXIT_OTHER;

	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		exit = VCPU_EXIT_PIO;
		handle_pio(vcpu);
		break;
	case KVM_EXIT_MMIO:
		exit = VCPU_EXIT_MMIO;
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
		exit = VCPU_EXIT_INTERRUPTED;
		break;
	default:
		verdict = arch_vcpu_handle_exit(vcpu, &exit);
		break;
	}
	if ((unsigned int)exit >= VCPU_EXIT_COUNT)
		exit = VCPU_EXIT_OTHER;
	metric_increment_owned(&vcpu->exits[exit]);
	if (vcpu->vm->config->trace_exits)
		trace_exit(vcpu, exit);
	return verdict;
}

/* --- the thread --- */

/* Lock held. */
static void set_immediate_exit(struct vcpu *vcpu, bool value)
{
	__atomic_store_n(&vcpu->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

/* The vCPU cannot go on; nothing completes any more, so it does not enter KVM again. */
static void stop_for_good(struct vcpu *vcpu)
{
	arch_vcpu_dump(vcpu);
	vm_request_end(vcpu->vm, VM_END_VCPU_FATAL, 0);
}

/* Lock held, given up for the reset itself. */
static void reset(struct vcpu *vcpu)
{
	struct vcpu_thread *thread = vcpu->thread;
	int result;

	pthread_mutex_unlock(&thread->lock);
	result = arch_vcpu_reset(vcpu);
	vcpu->used = true;
	if (result < 0) {
		log_error(vcpu->vm->log, "vcpu %u: cannot be reset: %s", vcpu->index,
		          strerror(-result));
		vm_request_end(vcpu->vm, VM_END_HOST_FAILURE, 0);
	}
	pthread_mutex_lock(&thread->lock);
	if (result < 0)
		thread->idle = true;
}

/* Parks while that is asked for. False: quit. The one place where requests are looked at. */
static bool obey_requests(struct vcpu *vcpu)
{
	struct vcpu_thread *thread = vcpu->thread;
	bool quit;

	pthread_mutex_lock(&thread->lock);
	while (!thread->quit &&
	       (thread->reset || thread->pause || thread->idle || thread->barred)) {
		if (thread->reset) {
			reset(vcpu);
			thread->reset = false;
			pthread_cond_broadcast(&thread->changed);
			continue;
		}
		if (!thread->parked) {
			thread->parked = true;
			pthread_cond_broadcast(&thread->changed);
		}
		pthread_cond_wait(&thread->changed, &thread->lock);
	}
	thread->parked = false;
	quit = thread->quit;
	if (!quit)
		set_immediate_exit(vcpu, false);
	pthread_mutex_unlock(&thread->lock);
	return !quit;
}

/* Lock not held. Makes the vCPU park once what is in flight is complete. */
static void make_idle(struct vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->thread->lock);
	vcpu->thread->idle = true;
	set_immediate_exit(vcpu, true);
	pthread_mutex_unlock(&vcpu->thread->lock);
}

/* Whether KVM_RUN failed for a touch of unplugged memory, so that it may be tried again.
 * generation: guest memory's, before it. */
static bool touched_unplugged(struct vcpu *vcpu, int result, uint64_t generation)
{
	struct vm *vm = vcpu->vm;

	if (result != -EFAULT || !vm->memslots)
		return false;
	if (memslots_narrow(vm->memslots))
		make_idle(vcpu);
	else if (gmem_generation(vm->memory) == generation)
		return false;
	metric_increment_owned(&vcpu->exits[VCPU_EXIT_MEMORY_FAULT]);
	return true;
}

/* One KVM_RUN and what came of it. True: look at the requests. */
static bool run_once(struct vcpu *vcpu)
{
	uint64_t generation = vcpu->vm->memory ? gmem_generation(vcpu->vm->memory) : 0;
	int result = kvm_vcpu_run(vcpu->kvm);

	if (touched_unplugged(vcpu, result, generation))
		return false;
	if (result == -EINTR || result == -EAGAIN) {
		metric_increment_owned(&vcpu->exits[VCPU_EXIT_INTERRUPTED]);
		return result == -EINTR;
	}
	if (result < 0) {
		metric_increment_owned(&vcpu->exits[VCPU_EXIT_ERROR]);
		log_error(vcpu->vm->log, "vcpu %u: KVM_RUN: %s (KVM exit reason %u)", vcpu->index,
		          strerror(-result), vcpu->run->exit_reason);
		make_idle(vcpu);
		stop_for_good(vcpu);
		return true;
	}
	switch (handle_exit(vcpu)) {
	case VCPU_CONTINUE:
		return false;
	case VCPU_IDLE:
		make_idle(vcpu);
		return false;
	case VCPU_FATAL:
		break;
	}
	make_idle(vcpu);
	stop_for_good(vcpu);
	return true;
}

/* A thread that cannot do without ends the machine, and never runs any of the guest. */
static void enter_sandbox(struct vcpu *vcpu)
{
	const struct vm *vm = vcpu->vm;
	const enum sandbox_thread kind = vm->config->test_devices ? SANDBOX_TEST : SANDBOX_VCPU;
	struct error err = ERROR_INIT;

	if (sandbox_enter(kind, vm->pid, &err) >= 0)
		return;
	pthread_mutex_lock(&vcpu->thread->lock);
	vcpu->thread->barred = true;
	pthread_mutex_unlock(&vcpu->thread->lock);
	log_error(vcpu->vm->log, "vcpu %u: %s", vcpu->index, err.message);
	vm_request_end(vcpu->vm, VM_END_HOST_FAILURE, 0);
}

static void *thread_main(void *ctx)
{
	struct vcpu *vcpu = ctx;
	char name[16];

	snprintf(name, sizeof(name), "vcpu/%u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	if (vcpu->vm->sandboxed)
		enter_sandbox(vcpu);
	while (obey_requests(vcpu))
		while (!run_once(vcpu))
			;
	return NULL;
}

static void on_kick(int signal_number)
{
	(void)signal_number; /* arriving is all it is for */
}

int vcpu_start(struct vcpu *vcpu, struct error *err)
{
	struct vcpu_thread *thread = vcpu->thread;
	struct sigaction action = { .sa_handler = on_kick }; /* no SA_RESTART */
	pthread_attr_t attributes;
	sigset_t blocked;
	int result;

	if (sigaction(KICK_SIGNAL, &action, NULL))
		return error_set_errno(err, -errno, "vCPU %u: signal handler", vcpu->index);
	result = pthread_attr_init(&attributes);
	if (result)
		return error_set_errno(err, -result, "vCPU %u: thread", vcpu->index);
	/* Not 2 MiB or more: a host that has huge pages always would give each stack one. */
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	sigfillset(&blocked);
	sigdelset(&blocked, KICK_SIGNAL);
	sigdelset(&blocked, SIGSEGV);
	sigdelset(&blocked, SIGBUS);
	sigdelset(&blocked, SIGILL);
	sigdelset(&blocked, SIGFPE);
	sigdelset(&blocked, SIGABRT);
	sigdelset(&blocked, SIGTRAP);
	sigdelset(&blocked, SIGSYS);
	pthread_attr_setsigmask_np(&attributes, &blocked);
	thread->pause = true;
	thread->reset = true;
	/* Under the lock: is_current looks at the id, the thread itself may be who asks. */
	pthread_mutex_lock(&thread->lock);
	result = pthread_create(&thread->thread, &attributes, thread_main, vcpu);
	thread->started = !result;
	pthread_mutex_unlock(&thread->lock);
	pthread_attr_destroy(&attributes);
	if (result)
		return error_set_errno(err, -result, "vCPU %u: thread", vcpu->index);
	return 0;
}

/* --- from other threads --- */

/* Lock held. Its thread leaves KVM_RUN, now or the next time. */
static void kick(struct vcpu *vcpu)
{
	struct vcpu_thread *thread = vcpu->thread;

	if (!thread->started)
		return;
	set_immediate_exit(vcpu, true);
	pthread_cond_broadcast(&thread->changed);
	if (!thread->parked)
		pthread_kill(thread->thread, KICK_SIGNAL);
}

void vcpu_request_pause(struct vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->thread->lock);
	if (!vcpu->thread->pause) {
		vcpu->thread->pause = true;
		if (!vcpu->thread->parked)
			kick(vcpu);
	}
	pthread_mutex_unlock(&vcpu->thread->lock);
}

void vcpu_wait_paused(struct vcpu *vcpu)
{
	struct vcpu_thread *thread = vcpu->thread;

	pthread_mutex_lock(&thread->lock);
	while (thread->started && !thread->quit && (!thread->parked || thread->reset))
		pthread_cond_wait(&thread->changed, &thread->lock);
	pthread_mutex_unlock(&thread->lock);
}

void vcpu_resume(struct vcpu *vcpu)
{
	struct vcpu_thread *thread = vcpu->thread;

	pthread_mutex_lock(&thread->lock);
	if (thread->pause || thread->idle) {
		thread->pause = false;
		thread->idle = false;
		thread->parked = false; /* who waits from now on waits for the next time */
		pthread_cond_broadcast(&thread->changed);
	}
	pthread_mutex_unlock(&thread->lock);
}

void vcpu_request_reset(struct vcpu *vcpu)
{
	struct vcpu_thread *thread = vcpu->thread;

	pthread_mutex_lock(&thread->lock);
	thread->reset = true;
	pthread_cond_broadcast(&thread->changed);
	pthread_mutex_unlock(&thread->lock);
}

/* A clock of a thread's is made of its number (clock_getcpuclockid(3), Linux's fixed form), and the
 * C library has no other way to ask for that of another thread. */
int vcpu_thread_id(struct vcpu *vcpu)
{
	struct vcpu_thread *thread = vcpu->thread;
	clockid_t clock;
	int id = 0;

	if (!thread)
		return 0; /* half-built */
	pthread_mutex_lock(&thread->lock);
	if (thread->started && pthread_getcpuclockid(thread->thread, &clock) == 0)
		id = (int)(~(unsigned int)clock >> 3);
	pthread_mutex_unlock(&thread->lock);
	return id;
}

static bool is_current(struct vcpu *vcpu)
{
	struct vcpu_thread *thread = vcpu->thread;
	bool result;

	pthread_mutex_lock(&thread->lock);
	result = thread->started && pthread_equal(thread->thread, pthread_self());
	pthread_mutex_unlock(&thread->lock);
	return result;
}

void vcpu_idle_if_current(struct vcpu *vcpu)
{
	if (is_current(vcpu))
		make_idle(vcpu);
}

struct vcpu *vcpu_current(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		if (is_current(vm->vcpus[i]))
			return vm->vcpus[i];
	return NULL;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	struct vcpu_thread *thread;

	if (!vcpu)
		return;
	thread = vcpu->thread;
	if (thread->started) {
		pthread_mutex_lock(&thread->lock);
		thread->quit = true;
		kick(vcpu);
		pthread_mutex_unlock(&thread->lock);
		pthread_join(thread->thread, NULL);
	}
	arch_vcpu_destroy(vcpu);
	pthread_cond_destroy(&thread->changed);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
	free(vcpu);
}
