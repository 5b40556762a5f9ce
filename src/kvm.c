/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every ioctl on a KVM file descriptor.
 *
 * DOC: One function, request(), passes all of them, so that the rest of ebb can be tested against
 * a KVM in memory (tests/unit/fakes/fake_kvm) that counts calls and lets any of them fail. All
 * descriptors that KVM hands out are close-on-exec already (Linux sets O_CLOEXEC for VM, vCPU and
 * statistics descriptors), so there is nothing to set. Extensions are asked for one by one by who
 * needs them; nothing is probed ahead. KVM API: Documentation/virt/kvm/api.rst.
 *
 * Syscalls: all: ioctl:kvm
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ebb/arch.h"
#include "ebb/kvm.h"

#define KVM_DEVICE_PATH "/dev/kvm"

struct kvm {
	int fd;
	size_t run_area_bytes; /* 0: not asked yet */
};

struct kvm_vm {
	int fd;
	struct kvm *kvm;
};

struct kvm_device {
	int fd;
};

struct kvm_vcpu {
	int fd;
	struct kvm_run *run;
	size_t run_area_bytes;
};

static int request_once(int fd, unsigned long request, void *arg)
{
	int result = ioctl(fd, request, arg);

	return result < 0 ? -errno : result;
}

static int request(int fd, unsigned long number, void *arg)
{
	int result;

	do {
		result = request_once(fd, number, arg);
	} while (result == -EINTR);
	return result;
}

static int open_device(struct error *err)
{
	int fd = open(KVM_DEVICE_PATH, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return error_set(err, -errno, KVM_DEVICE_PATH ": not there (%s)",
		                 arch_info.kvm_remedy);
	case EACCES:
	case EPERM:
		return error_set(err, -errno,
		                 KVM_DEVICE_PATH ": permission denied (add yourself to group kvm)");
	default:
		return error_set_errno(err, -errno, KVM_DEVICE_PATH);
	}
}

int kvm_open(struct kvm **ret_kvm, struct error *err)
{
	struct kvm *kvm = calloc(1, sizeof(*kvm));
	int result;

	if (!kvm)
		return error_set_errno(err, -ENOMEM, KVM_DEVICE_PATH);
	result = kvm->fd = open_device(err);
	if (result < 0)
		goto free_kvm;
	result = request(kvm->fd, KVM_GET_API_VERSION, NULL);
	if (result < 0) {
		error_set_errno(err, result, KVM_DEVICE_PATH ": API version");
		goto close_fd;
	}
	if (result != KVM_API_VERSION) {
		result = error_set(err, -ENOTSUP,
		                   KVM_DEVICE_PATH ": API version %d, not %d (update the kernel)",
		                   result, KVM_API_VERSION);
		goto close_fd;
	}
	*ret_kvm = kvm;
	return 0;

close_fd:
	close(kvm->fd);
free_kvm:
	free(kvm);
	return result;
}

void kvm_close(struct kvm *kvm)
{
	if (!kvm)
		return;
	close(kvm->fd);
	free(kvm);
}

int kvm_ioctl(struct kvm *kvm, unsigned long number, void *arg)
{
	return request(kvm->fd, number, arg);
}

int kvm_check_extension(struct kvm *kvm, int capability)
{
	int result = request(kvm->fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)capability);

	return result < 0 ? 0 : result;
}

int kvm_vm_create(struct kvm *kvm, unsigned long type, struct kvm_vm **ret_vm, struct error *err)
{
	struct kvm_vm *vm = calloc(1, sizeof(*vm));
	int fd;

	if (!vm)
		return error_set_errno(err, -ENOMEM, "virtual machine");
	fd = request(kvm->fd, KVM_CREATE_VM, (void *)type);
	if (fd < 0) {
		free(vm);
		return error_set_errno(err, fd, KVM_DEVICE_PATH ": cannot create a VM");
	}
	vm->fd = fd;
	vm->kvm = kvm;
	*ret_vm = vm;
	return 0;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	if (!vm)
		return;
	close(vm->fd);
	free(vm);
}

int kvm_vm_ioctl(struct kvm_vm *vm, unsigned long number, void *arg)
{
	return request(vm->fd, number, arg);
}

int kvm_vm_check_extension(struct kvm_vm *vm, int capability)
{
	int result = request(vm->fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)capability);

	return result < 0 ? 0 : result;
}

int kvm_vm_set_memslot(struct kvm_vm *vm, uint32_t slot, uint32_t flags, gpa_t gpa,
                       uint64_t size_bytes, void *hva)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size_bytes,
		.userspace_addr = (uintptr_t)hva,
	};

	return request(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int kvm_vm_set_irq_line(struct kvm_vm *vm, unsigned int gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	return request(vm->fd, KVM_IRQ_LINE, &line);
}

int kvm_vm_set_gsi_routing(struct kvm_vm *vm, const struct kvm_irq_routing *routing)
{
	/* The kernel only reads it. */
	return request(vm->fd, KVM_SET_GSI_ROUTING, (void *)(uintptr_t)routing);
}

int kvm_vm_irqfd(struct kvm_vm *vm, int fd, unsigned int gsi, bool assign)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
	};

	return request(vm->fd, KVM_IRQFD, &irqfd);
}

int kvm_vm_ioeventfd(struct kvm_vm *vm, const struct kvm_ioeventfd *ioeventfd)
{
	struct kvm_ioeventfd copy = *ioeventfd;

	return request(vm->fd, KVM_IOEVENTFD, &copy);
}

int kvm_device_create(struct kvm_vm *vm, uint32_t type, struct kvm_device **ret_device)
{
	struct kvm_create_device request_data = { .type = type };
	struct kvm_device *device = calloc(1, sizeof(*device));
	int result;

	if (!device)
		return -ENOMEM;
	result = request(vm->fd, KVM_CREATE_DEVICE, &request_data);
	if (result < 0) {
		free(device);
		return result;
	}
	device->fd = (int)request_data.fd;
	*ret_device = device;
	return 0;
}

void kvm_device_destroy(struct kvm_device *device)
{
	if (!device)
		return;
	close(device->fd);
	free(device);
}

static int device_attr(struct kvm_device *device, unsigned long number, uint32_t group,
                       uint64_t attr, uintptr_t value)
{
	struct kvm_device_attr request_data = { .group = group, .attr = attr, .addr = value };

	return request(device->fd, number, &request_data);
}

int kvm_device_set_attr(struct kvm_device *device, uint32_t group, uint64_t attr, const void *value)
{
	return device_attr(device, KVM_SET_DEVICE_ATTR, group, attr, (uintptr_t)value);
}

int kvm_device_get_attr(struct kvm_device *device, uint32_t group, uint64_t attr, void *value)
{
	return device_attr(device, KVM_GET_DEVICE_ATTR, group, attr, (uintptr_t)value);
}

int kvm_vcpu_create(struct kvm_vm *vm, unsigned long id, struct kvm_vcpu **ret_vcpu,
                    struct error *err)
{
	struct kvm_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	struct kvm *kvm = vm->kvm;
	int result;

	if (!vcpu)
		return error_set_errno(err, -ENOMEM, "vCPU %lu", id);
	if (!kvm->run_area_bytes) {
		result = request(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
		if (result < (int)sizeof(struct kvm_run)) {
			result = error_set_errno(err, result < 0 ? result : -EPROTO,
			                         KVM_DEVICE_PATH ": size of the run area");
			goto free_vcpu;
		}
		kvm->run_area_bytes = (size_t)result;
	}
	result = vcpu->fd = request(vm->fd, KVM_CREATE_VCPU, (void *)id);
	if (result < 0) {
		error_set_errno(err, result, KVM_DEVICE_PATH ": cannot create vCPU %lu", id);
		goto free_vcpu;
	}
	vcpu->run_area_bytes = kvm->run_area_bytes;
	vcpu->run =
		mmap(NULL, vcpu->run_area_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		result = error_set_errno(err, -errno, "vCPU %lu: mapping of its run area", id);
		goto close_fd;
	}
	*ret_vcpu = vcpu;
	return 0;

close_fd:
	close(vcpu->fd);
free_vcpu:
	free(vcpu);
	return result;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	if (!vcpu)
		return;
	munmap(vcpu->run, vcpu->run_area_bytes);
	close(vcpu->fd);
	free(vcpu);
}

int kvm_vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned long number, void *arg)
{
	return request(vcpu->fd, number, arg);
}

struct kvm_run *kvm_vcpu_run_area(struct kvm_vcpu *vcpu)
{
	return vcpu->run;
}

int kvm_vcpu_run(struct kvm_vcpu *vcpu)
{
	return request_once(vcpu->fd, KVM_RUN, NULL);
}

int kvm_vm_stats_fd(struct kvm_vm *vm)
{
	return request(vm->fd, KVM_GET_STATS_FD, NULL);
}

int kvm_vcpu_stats_fd(struct kvm_vcpu *vcpu)
{
	return request(vcpu->fd, KVM_GET_STATS_FD, NULL);
}
