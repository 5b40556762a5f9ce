/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs: KVM_RUN, their own requests, and the descriptors of statistics. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "private.h"

#define RUN_AREA_BYTES (3 * PAGE_4K_BYTES) /* run, PIO data page, coalesced ring */

struct kvm_vcpu {
	unsigned long id;
	struct kvm_run *run;
	bool completes;
};

static fake_kvm_run_fn run_hook;

/* Lock held. */
void fake_kvm_forget_run_hook(void)
{
	run_hook = NULL;
}

void fake_kvm_set_run_hook(fake_kvm_run_fn hook)
{
	fake_kvm_lock();
	run_hook = hook;
	fake_kvm_unlock();
}

int kvm_vcpu_create(struct kvm_vm *vm, unsigned long id, struct kvm_vcpu **ret_vcpu,
                    struct error *err)
{
	struct kvm_vcpu *vcpu;
	void *object = NULL;
	int result = fake_kvm_make(sizeof(*vcpu), &object, err, "vCPU");

	(void)vm;
	if (result)
		return result;
	vcpu = object;
	vcpu->id = id;
	vcpu->run = fake_kvm_memory(RUN_AREA_BYTES);
	*ret_vcpu = vcpu;
	return 0;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	if (!vcpu)
		return;
	free(vcpu->run);
	fake_kvm_free_object(vcpu);
}

int kvm_vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned long request, void *arg)
{
	return fake_kvm_own_ioctl(FAKE_KVM_VCPU, vcpu->id, request, arg);
}

struct kvm_run *kvm_vcpu_run_area(struct kvm_vcpu *vcpu)
{
	return vcpu->run;
}

static bool immediate_exit(const struct kvm_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST);
}

/*
 * Sleeps until a signal. Like KVM it leaves no gap between its look at immediate_exit and its sleep
 * in which a signal could pass unseen: signals are let in by ppoll alone.
 */
static int block(const struct kvm_vcpu *vcpu)
{
	sigset_t all, before;
	int result = -EINTR;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	if (!immediate_exit(vcpu))
		result = ppoll(NULL, 0, NULL, &before) < 0 ? -errno : -EINTR;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result;
}

int kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	bool was_completing = vcpu->completes;
	fake_kvm_run_fn hook;
	int result;

	fake_kvm_lock();
	result = fake_kvm_count_call();
	hook = run_hook;
	fake_kvm_unlock();
	if (result < 0)
		return result;
	if (immediate_exit(vcpu) && !was_completing)
		return -EINTR;
	vcpu->completes = false;
	if (!hook)
		return block(vcpu);
	result = hook(vcpu->id, vcpu->run, &vcpu->completes);
	if (result != FAKE_KVM_BLOCK)
		return result;
	return block(vcpu);
}

/* A descriptor that reads as nothing. */
static int stats_fd(void)
{
	int result;

	fake_kvm_lock();
	result = fake_kvm_count_call();
	fake_kvm_unlock();
	return result < 0 ? result : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int kvm_vm_stats_fd(struct kvm_vm *vm)
{
	(void)vm;
	return stats_fd();
}

int kvm_vcpu_stats_fd(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
	return stats_fd();
}
