/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_arch */
/* The door to KVM, before a kernel of our own making: open and ioctl are this file's. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/kvm.h"

#define RUN_AREA_BYTES 0x3000

static struct kernel {
	int open_errno; /* 0: there is a /dev/kvm */
	int api_version;
	int run_area_bytes;
	unsigned int calls, fail_in;
	int fail_errno;           /* of the call that fail_in counts down to; 0: none */
	unsigned int interrupted; /* this many calls answer EINTR first */
	unsigned long last_request;
	union {
		struct kvm_userspace_memory_region memslot;
		struct kvm_irq_level line;
		struct kvm_irqfd irqfd;
		struct kvm_ioeventfd ioeventfd;
		struct kvm_create_device device;
		struct kvm_device_attr attr;
	} last;
	const void *last_pointer;
} kernel;

static int new_descriptor(void)
{
	int fd = memfd_create("kvm", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, RUN_AREA_BYTES), 0);
	return fd;
}

int open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/kvm"))
		return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
	assert_true(flags & O_CLOEXEC);
	if (kernel.open_errno) {
		errno = kernel.open_errno;
		return -1;
	}
	return new_descriptor();
}

static int answer(unsigned long request, void *arg)
{
	switch (request) {
	case KVM_GET_API_VERSION:
		return kernel.api_version;
	case KVM_CREATE_VM:
	case KVM_CREATE_VCPU:
	case KVM_GET_STATS_FD:
		return new_descriptor();
	case KVM_GET_VCPU_MMAP_SIZE:
		return kernel.run_area_bytes;
	case KVM_CHECK_EXTENSION:
		return (int)(uintptr_t)arg == KVM_CAP_NR_VCPUS ? 240 : 0;
	case KVM_SET_USER_MEMORY_REGION:
		memcpy(&kernel.last.memslot, arg, sizeof(kernel.last.memslot));
		return 0;
	case KVM_IRQ_LINE:
		memcpy(&kernel.last.line, arg, sizeof(kernel.last.line));
		return 0;
	case KVM_IRQFD:
		memcpy(&kernel.last.irqfd, arg, sizeof(kernel.last.irqfd));
		return 0;
	case KVM_IOEVENTFD:
		memcpy(&kernel.last.ioeventfd, arg, sizeof(kernel.last.ioeventfd));
		return 0;
	case KVM_CREATE_DEVICE:
		memcpy(&kernel.last.device, arg, sizeof(kernel.last.device));
		((struct kvm_create_device *)arg)->fd = (uint32_t)new_descriptor();
		return 0;
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		memcpy(&kernel.last.attr, arg, sizeof(kernel.last.attr));
		return 0;
	default:
		kernel.last_pointer = arg;
		return 0;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	(void)fd;
	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	kernel.calls++;
	kernel.last_request = request;
	if (kernel.interrupted) {
		kernel.interrupted--;
		errno = EINTR;
		return -1;
	}
	if (kernel.fail_errno && !kernel.fail_in) {
		errno = kernel.fail_errno;
		kernel.fail_errno = 0;
		return -1;
	}
	kernel.fail_in -= kernel.fail_in > 0;
	return answer(request, arg);
}

static int set_up(void **state)
{
	(void)state;
	kernel =
		(struct kernel){ .api_version = KVM_API_VERSION, .run_area_bytes = RUN_AREA_BYTES };
	return 0;
}

/* The lowest descriptor that is free: the same before and after, or one leaks. */
static int free_fd(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

static void test_open_errors(void **state)
{
	static const struct {
		int open_errno;
		const char *says;
	} table[] = {
		{ ENOENT, "/dev/kvm: not there (fake it)" }, /* the architecture's remedy */
		{ ENODEV, "/dev/kvm: not there" },
		{ EACCES, "/dev/kvm: permission denied (add yourself to group kvm)" },
		{ EMFILE, "/dev/kvm: Too many open files" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct error err = ERROR_INIT;
		struct kvm *kvm = NULL;

		kernel.open_errno = table[i].open_errno;
		assert_int_equal(kvm_open(&kvm, &err), -table[i].open_errno);
		assert_null(kvm);
		assert_int_equal(err.code, -table[i].open_errno);
		assert_memory_equal(err.message, table[i].says, strlen(table[i].says));
	}
	kvm_close(NULL);
	kvm_vm_destroy(NULL);
	kvm_vcpu_destroy(NULL);
}

static void test_api_version(void **state)
{
	struct error err = ERROR_INIT;
	struct kvm *kvm = NULL;
	int fd = free_fd();

	(void)state;
	kernel.api_version = 11;
	assert_int_equal(kvm_open(&kvm, &err), -ENOTSUP);
	assert_non_null(strstr(err.message, "API version 11, not 12"));
	kernel.fail_errno = ENOTTY;
	assert_int_equal(kvm_open(&kvm, &err), -ENOTTY);
	assert_null(kvm);
	assert_int_equal(free_fd(), fd);
}

static int build_all(struct kvm **kvm, struct kvm_vm **vm, struct kvm_vcpu **vcpu,
                     struct error *err)
{
	int result = kvm_open(kvm, err);

	if (!result)
		result = kvm_vm_create(*kvm, 0, vm, err);
	if (!result)
		result = kvm_vcpu_create(*vm, 5, vcpu, err);
	return result;
}

static void destroy_all(struct kvm *kvm, struct kvm_vm *vm, struct kvm_vcpu *vcpu)
{
	kvm_vcpu_destroy(vcpu);
	kvm_vm_destroy(vm);
	kvm_close(kvm);
}

/* Every ioctl of the way to a vCPU fails in turn. */
static void test_anomalies(void **state)
{
	int fd = free_fd();

	(void)state;
	for (unsigned int n = 0;; n++) {
		struct error err = ERROR_INIT;
		struct kvm_vcpu *vcpu = NULL;
		struct kvm_vm *vm = NULL;
		struct kvm *kvm = NULL;
		int result;

		set_up(NULL);
		kernel.fail_in = n;
		kernel.fail_errno = EIO;
		result = build_all(&kvm, &vm, &vcpu, &err);
		if (!result) {
			assert_int_equal(n, 4);
			assert_int_equal(kernel.calls, 4);
		} else {
			assert_int_equal(result, -EIO);
			assert_int_equal(err.code, -EIO);
			assert_null(vcpu);
		}
		destroy_all(kvm, vm, vcpu);
		assert_int_equal(free_fd(), fd);
		if (!result)
			break;
	}
	/* A run area that cannot be one; and one that cannot be mapped. */
	for (int run_area_bytes = -1; run_area_bytes <= 0; run_area_bytes++) {
		struct kvm_vcpu *vcpu = NULL;
		struct kvm_vm *vm = NULL;
		struct kvm *kvm = NULL;

		kernel.run_area_bytes = run_area_bytes + 1;
		assert_true(build_all(&kvm, &vm, &vcpu, NULL) < 0);
		destroy_all(kvm, vm, vcpu);
		assert_int_equal(free_fd(), fd);
	}
}

static void test_requests(void **state)
{
	const struct kvm_ioeventfd ioeventfd = { .addr = 0xd0000000, .len = 4, .fd = 7 };
	const struct kvm_irq_routing routing = { .nr = 0 };
	struct kvm_vcpu *vcpu = NULL;
	struct kvm_vm *vm = NULL;
	struct kvm *kvm = NULL;
	int stats_fd, hva = 0;

	(void)state;
	assert_int_equal(build_all(&kvm, &vm, &vcpu, NULL), 0);
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_NR_VCPUS), 240);
	assert_int_equal(kvm_vm_check_extension(vm, KVM_CAP_NR_VCPUS), 240);
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_IRQFD), 0);
	kernel.fail_errno = EINVAL;
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_NR_VCPUS), 0); /* absent, not negative */

	assert_int_equal(kvm_vm_set_memslot(vm, 3, 0, 4 * GIB, 2 * MIB, &hva), 0);
	assert_int_equal(kernel.last.memslot.slot, 3);
	assert_int_equal(kernel.last.memslot.guest_phys_addr, 4 * GIB);
	assert_int_equal(kernel.last.memslot.memory_size, 2 * MIB);
	assert_int_equal(kernel.last.memslot.userspace_addr, (uintptr_t)&hva);
	assert_int_equal(kvm_vm_set_irq_line(vm, 9, true), 0);
	assert_int_equal(kernel.last.line.irq, 9);
	assert_int_equal(kernel.last.line.level, 1);
	assert_int_equal(kvm_vm_irqfd(vm, 8, 30, true), 0);
	assert_int_equal(kernel.last.irqfd.fd, 8);
	assert_int_equal(kernel.last.irqfd.gsi, 30);
	assert_int_equal(kernel.last.irqfd.flags, 0);
	assert_int_equal(kvm_vm_irqfd(vm, 8, 30, false), 0);
	assert_int_equal(kernel.last.irqfd.flags, KVM_IRQFD_FLAG_DEASSIGN);
	assert_int_equal(kvm_vm_ioeventfd(vm, &ioeventfd), 0);
	assert_memory_equal(&kernel.last.ioeventfd, &ioeventfd, sizeof(ioeventfd));
	assert_int_equal(kvm_vm_set_gsi_routing(vm, &routing), 0);
	assert_int_equal(kernel.last_request, KVM_SET_GSI_ROUTING);
	assert_ptr_equal(kernel.last_pointer, &routing);

	kernel.fail_errno = EEXIST;
	assert_int_equal(kvm_vm_set_memslot(vm, 3, 0, 0, 0x1000, &hva), -EEXIST);
	assert_int_equal(kvm_ioctl(kvm, KVM_GET_API_VERSION, &hva), KVM_API_VERSION);
	assert_int_equal(kvm_vm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL), 0);
	assert_int_equal(kvm_vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &hva), 0);
	assert_ptr_equal(kernel.last_pointer, &hva);

	stats_fd = kvm_vm_stats_fd(vm);
	assert_true(stats_fd >= 0);
	close(stats_fd);
	stats_fd = kvm_vcpu_stats_fd(vcpu);
	assert_true(stats_fd >= 0);
	close(stats_fd);
	destroy_all(kvm, vm, vcpu);
}

/* A signal during set-up means again; during KVM_RUN it is the answer. */
static void test_interrupted(void **state)
{
	struct kvm_vcpu *vcpu = NULL;
	struct kvm_vm *vm = NULL;
	struct kvm *kvm = NULL;

	(void)state;
	kernel.interrupted = 3;
	assert_int_equal(build_all(&kvm, &vm, &vcpu, NULL), 0);
	kernel.interrupted = 2;
	assert_int_equal(kvm_vm_set_irq_line(vm, 1, true), 0);
	kernel.interrupted = 1;
	assert_int_equal(kvm_vcpu_run(vcpu), -EINTR);
	assert_int_equal(kernel.last_request, KVM_RUN);
	assert_int_equal(kvm_vcpu_run(vcpu), 0);
	kernel.fail_errno = EAGAIN;
	assert_int_equal(kvm_vcpu_run(vcpu), -EAGAIN);
	/* The run area is the vCPU's own mapping. */
	kvm_vcpu_run_area(vcpu)->immediate_exit = 1;
	assert_int_equal(kvm_vcpu_run_area(vcpu)->immediate_exit, 1);
	destroy_all(kvm, vm, vcpu);
}

/* A device in the kernel: created for the VM, asked and told by attributes. */
static void test_device(void **state)
{
	struct kvm_device *device = NULL;
	struct kvm_vcpu *vcpu = NULL;
	struct kvm_vm *vm = NULL;
	struct kvm *kvm = NULL;
	uint64_t value = 0;

	(void)state;
	assert_int_equal(build_all(&kvm, &vm, &vcpu, NULL), 0);
	kernel.fail_errno = ENODEV;
	assert_int_equal(kvm_device_create(vm, 7, &device), -ENODEV);
	assert_null(device);
	assert_int_equal(kvm_device_create(vm, 7, &device), 0);
	assert_int_equal(kernel.last.device.type, 7);
	assert_int_equal(kvm_device_set_attr(device, 1, 2, &value), 0);
	assert_int_equal(kernel.last_request, KVM_SET_DEVICE_ATTR);
	assert_int_equal(kernel.last.attr.group, 1);
	assert_int_equal(kernel.last.attr.attr, 2);
	assert_int_equal(kernel.last.attr.addr, (uintptr_t)&value);
	kernel.fail_errno = EBUSY;
	assert_int_equal(kvm_device_get_attr(device, 3, 4, &value), -EBUSY);
	assert_int_equal(kernel.last_request, KVM_GET_DEVICE_ATTR);
	kvm_device_destroy(device);
	kvm_device_destroy(NULL);
	destroy_all(kvm, vm, vcpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_open_errors, set_up),
		cmocka_unit_test_setup(test_api_version, set_up),
		cmocka_unit_test_setup(test_anomalies, set_up),
		cmocka_unit_test_setup(test_requests, set_up),
		cmocka_unit_test_setup(test_interrupted, set_up),
		cmocka_unit_test_setup(test_device, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
