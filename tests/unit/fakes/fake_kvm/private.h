/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of fake_kvm; each part keeps what it records. */
#ifndef FAKE_KVM_PRIVATE_H
#define FAKE_KVM_PRIVATE_H

#include "../fake_kvm.h"

/* One lock for all that the fake knows. */
void fake_kvm_lock(void);
void fake_kvm_unlock(void);

/* Lock held. Counts a fallible call; -errno when this is the one to fail. */
int fake_kvm_count_call(void);

/* Zeroed. Not malloc's: a test may have that fail, and this cannot. free() takes it back. */
void *fake_kvm_memory(size_t size_bytes);

/* Zeroed, and counted as open until it is freed; new: lock held, free: not. */
void *fake_kvm_new_object(size_t size_bytes);
void fake_kvm_free_object(void *object);

/* Counts a call that is nothing but an object to make. */
int fake_kvm_make(size_t size_bytes, void **ret_object, struct error *err, const char *what);

/* A counted request that the test's hook answers. */
int fake_kvm_own_ioctl(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                       void *arg);

/* fake_kvm_reset's, lock held. */
void fake_kvm_forget_memslots(void);
void fake_kvm_forget_interrupts(void);
void fake_kvm_forget_ioeventfds(void);
void fake_kvm_forget_run_hook(void);

#endif
