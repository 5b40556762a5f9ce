/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KVM in memory, for tests: stands in for src/kvm.c (`fakes: fake_kvm`).
 *
 * It records memslots, irqfds, ioeventfds, routing and lines, and refuses what KVM would refuse
 * (overlapping slots, a second irqfd on an eventfd, an irqfd on a GSI without a route …). Any call
 * that can fail can be made to. One fake for the whole process; its functions may be called from
 * any thread.
 */
#ifndef FAKE_KVM_H
#define FAKE_KVM_H

#include <linux/kvm.h>

#include "ebb/kvm.h"

/* Forgets everything, but for objects that are still open (fake_kvm_open_objects). Call it first in
 * each test. */
void fake_kvm_reset(void);

/* The Nth fallible call from now (0: the next) answers code (-errno) and does nothing. */
void fake_kvm_fail_nth(unsigned int n, int code);
void fake_kvm_fail_from(unsigned int n, int code); /* and all behind it */
void fake_kvm_fail_never(void);
bool fake_kvm_has_failed(void); /* that call has come */

unsigned int fake_kvm_call_count(void);   /* all calls since fake_kvm_reset */
unsigned int fake_kvm_open_objects(void); /* kvm, VMs and vCPUs that are not destroyed */

/* What KVM_CHECK_EXTENSION answers; 1 until set. */
void fake_kvm_set_extension(int capability, int value);

struct fake_memslot {
	uint32_t slot, flags;
	gpa_t gpa;
	uint64_t size_bytes;
	void *hva;
};

/* The index-th memslot that is there, in order of slot number; NULL behind the last. */
const struct fake_memslot *fake_kvm_memslot(size_t index);
size_t fake_kvm_memslot_count(void);

/* Whether fd is an irqfd now; ret_gsi may be NULL. */
bool fake_kvm_irqfd(int fd, unsigned int *ret_gsi);
size_t fake_kvm_irqfd_count(void);

/* Reads every assigned irqfd as KVM would have, then says how many interrupts a GSI has had so far
 * (a signalled eventfd is one interrupt however often it was signalled). */
unsigned int fake_kvm_interrupt_count(unsigned int gsi);

/* The index-th ioeventfd that is assigned; NULL behind the last. */
const struct kvm_ioeventfd *fake_kvm_ioeventfd(size_t index);
size_t fake_kvm_ioeventfd_count(void);

/* A guest's write: signals the ioeventfd that matches, as KVM would. False: none does. */
bool fake_kvm_guest_write(bool pio, uint64_t gpa_or_port, uint64_t value, unsigned int size_bytes);

/* The table as last set; NULL when it never was. And how often it was. */
const struct kvm_irq_routing *fake_kvm_routing(void);
const struct kvm_irq_routing_entry *fake_kvm_route(unsigned int gsi); /* NULL: none */
unsigned int fake_kvm_routing_commits(void);

/* KVM_IRQ_LINE: the level now and how often it was set. */
bool fake_kvm_line_level(unsigned int gsi);
unsigned int fake_kvm_line_sets(unsigned int gsi);

/* An architecture's own requests (kvm_ioctl, kvm_vm_ioctl, kvm_vcpu_ioctl). Called for each; its
 * result is the answer. Without a hook: 0 and arg untouched. */
/* A device's creation is the VM's KVM_CREATE_DEVICE, its attributes KVM_GET_ and
 * KVM_SET_DEVICE_ATTR. */
enum fake_kvm_scope { FAKE_KVM_SYSTEM, FAKE_KVM_VM, FAKE_KVM_VCPU, FAKE_KVM_DEVICE };
typedef int (*fake_kvm_ioctl_fn)(enum fake_kvm_scope scope, unsigned long vcpu_id,
                                 unsigned long request, void *arg);
void fake_kvm_set_ioctl_hook(fake_kvm_ioctl_fn hook);

/*
 * KVM_RUN. Answers -EINTR when run->immediate_exit is set. Else the hook decides: it fills run and
 * returns 0, or -errno; or FAKE_KVM_BLOCK to sleep like a halted vCPU until a signal (-EINTR).
 * Without a hook every KVM_RUN blocks. Pending completions: a hook may set *ret_completes, then the
 * next KVM_RUN calls it again even with immediate_exit set.
 */
#define FAKE_KVM_BLOCK 1
typedef int (*fake_kvm_run_fn)(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes);
void fake_kvm_set_run_hook(fake_kvm_run_fn hook);

/* As kvm_open, kvm_vm_create: for tests that build a struct vm by hand. Never fail. */
struct kvm *fake_kvm_open(void);
struct kvm_vm *fake_kvm_vm(struct kvm *kvm);

#endif
