/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to the KVM file descriptors. Closed to devices/.
 *
 * Architecture-neutral requests have a typed wrapper; an architecture's own (registers, CPUID,
 * irqchip) go through kvm_*_ioctl, so that every request passes one function that tests can count
 * and make fail. All return >= 0 or -errno and retry nothing but EINTR where that is safe (never
 * KVM_RUN).
 */
#ifndef EBB_KVM_H
#define EBB_KVM_H

#include <linux/kvm.h>

#include "ebb/error.h"
#include "ebb/types.h"

struct kvm;        /* /dev/kvm */
struct kvm_vm;     /* a VM fd */
struct kvm_vcpu;   /* a vCPU fd and its mapped struct kvm_run */
struct kvm_device; /* a device in the kernel: an interrupt controller */

/* Opens /dev/kvm and checks the API version. Messages say what to do about ENOENT and EACCES. */
EBB_MUST_CHECK int kvm_open(struct kvm **ret_kvm, struct error *err);
void kvm_close(struct kvm *kvm);
EBB_MUST_CHECK int kvm_ioctl(struct kvm *kvm, unsigned long request, void *arg);
/* KVM_CHECK_EXTENSION: 0 absent, > 0 the capability's value. */
int kvm_check_extension(struct kvm *kvm, int capability);

EBB_MUST_CHECK int kvm_vm_create(struct kvm *kvm, unsigned long type, struct kvm_vm **ret_vm,
                                 struct error *err);
void kvm_vm_destroy(struct kvm_vm *vm);
EBB_MUST_CHECK int kvm_vm_ioctl(struct kvm_vm *vm, unsigned long request, void *arg);
int kvm_vm_check_extension(struct kvm_vm *vm, int capability);

/* size_bytes 0 deletes the slot. hva and gpa are 4 KiB aligned. */
EBB_MUST_CHECK int kvm_vm_set_memslot(struct kvm_vm *vm, uint32_t slot, uint32_t flags, gpa_t gpa,
                                      uint64_t size_bytes, void *hva);
EBB_MUST_CHECK int kvm_vm_set_irq_line(struct kvm_vm *vm, unsigned int gsi, bool level);
EBB_MUST_CHECK int kvm_vm_set_gsi_routing(struct kvm_vm *vm, const struct kvm_irq_routing *routing);
EBB_MUST_CHECK int kvm_vm_irqfd(struct kvm_vm *vm, int fd, unsigned int gsi, bool assign);
EBB_MUST_CHECK int kvm_vm_ioeventfd(struct kvm_vm *vm, const struct kvm_ioeventfd *ioeventfd);

/* type: KVM_DEV_TYPE_*. -ENODEV: this host's KVM has none. Values are what the attribute says. */
EBB_MUST_CHECK int kvm_device_create(struct kvm_vm *vm, uint32_t type,
                                     struct kvm_device **ret_device);
void kvm_device_destroy(struct kvm_device *device);
EBB_MUST_CHECK int kvm_device_set_attr(struct kvm_device *device, uint32_t group, uint64_t attr,
                                       const void *value);
EBB_MUST_CHECK int kvm_device_get_attr(struct kvm_device *device, uint32_t group, uint64_t attr,
                                       void *value);

EBB_MUST_CHECK int kvm_vcpu_create(struct kvm_vm *vm, unsigned long id, struct kvm_vcpu **ret_vcpu,
                                   struct error *err);
void kvm_vcpu_destroy(struct kvm_vcpu *vcpu);
EBB_MUST_CHECK int kvm_vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned long request, void *arg);
struct kvm_run *kvm_vcpu_run_area(struct kvm_vcpu *vcpu);

/* KVM_RUN: 0, -EINTR (kicked or immediate_exit), -EAGAIN, or another -errno. Only on the vCPU's
 * thread. */
EBB_MUST_CHECK int kvm_vcpu_run(struct kvm_vcpu *vcpu);

/* Binary statistics: a descriptor to read (pread), owned by the caller. */
EBB_MUST_CHECK int kvm_vm_stats_fd(struct kvm_vm *vm);
EBB_MUST_CHECK int kvm_vcpu_stats_fd(struct kvm_vcpu *vcpu);

#endif
