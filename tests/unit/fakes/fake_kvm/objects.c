/* SPDX-License-Identifier: Apache-2.0 */
/* What all of the fake shares: its lock, calls that fail, objects, extensions and the requests of
 * an architecture's own. */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

#define CAPABILITIES 512

struct kvm {
	int unused;
};

struct kvm_vm {
	int unused;
};

struct kvm_device {
	int unused;
};

static struct {
	pthread_mutex_t lock;
	unsigned int calls, fail_in, open_objects;
	bool fail_armed, fail_on, failed;
	int fail_code;
	int extensions[CAPABILITIES];
	fake_kvm_ioctl_fn ioctl_hook;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

void fake_kvm_lock(void)
{
	pthread_mutex_lock(&fake.lock);
}

void fake_kvm_unlock(void)
{
	pthread_mutex_unlock(&fake.lock);
}

int fake_kvm_count_call(void)
{
	fake.calls++;
	if (!fake.fail_armed)
		return 0;
	if (fake.fail_in--)
		return 0;
	fake.fail_in = 0;
	fake.fail_armed = fake.fail_on;
	fake.failed = true;
	return fake.fail_code;
}

void fake_kvm_reset(void)
{
	fake_kvm_lock();
	fake.calls = 0;
	fake.fail_armed = fake.failed = false;
	for (size_t i = 0; i < CAPABILITIES; i++)
		fake.extensions[i] = 1;
	fake.ioctl_hook = NULL;
	fake_kvm_forget_memslots();
	fake_kvm_forget_interrupts();
	fake_kvm_forget_ioeventfds();
	fake_kvm_forget_run_hook();
	fake_kvm_unlock();
}

void fake_kvm_fail_nth(unsigned int n, int code)
{
	fake_kvm_lock();
	fake.fail_in = n;
	fake.fail_code = code;
	fake.fail_armed = true;
	fake.fail_on = fake.failed = false;
	fake_kvm_unlock();
}

void fake_kvm_fail_from(unsigned int n, int code)
{
	fake_kvm_fail_nth(n, code);
	fake_kvm_lock();
	fake.fail_on = true;
	fake_kvm_unlock();
}

void fake_kvm_fail_never(void)
{
	fake_kvm_lock();
	fake.fail_armed = false;
	fake_kvm_unlock();
}

bool fake_kvm_has_failed(void)
{
	bool failed;

	fake_kvm_lock();
	failed = fake.failed;
	fake_kvm_unlock();
	return failed;
}

unsigned int fake_kvm_call_count(void)
{
	unsigned int calls;

	fake_kvm_lock();
	calls = fake.calls;
	fake_kvm_unlock();
	return calls;
}

unsigned int fake_kvm_open_objects(void)
{
	unsigned int count;

	fake_kvm_lock();
	count = fake.open_objects;
	fake_kvm_unlock();
	return count;
}

void fake_kvm_set_extension(int capability, int value)
{
	assert(capability >= 0 && capability < CAPABILITIES);
	fake_kvm_lock();
	fake.extensions[capability] = value;
	fake_kvm_unlock();
}

void fake_kvm_set_ioctl_hook(fake_kvm_ioctl_fn hook)
{
	fake_kvm_lock();
	fake.ioctl_hook = hook;
	fake_kvm_unlock();
}

void *fake_kvm_memory(size_t size_bytes)
{
	void *memory = aligned_alloc(PAGE_4K_BYTES, align_up(size_bytes, PAGE_4K_BYTES));

	assert(memory);
	return memset(memory, 0, size_bytes);
}

void *fake_kvm_new_object(size_t size_bytes)
{
	fake.open_objects++;
	return fake_kvm_memory(size_bytes);
}

void fake_kvm_free_object(void *object)
{
	fake_kvm_lock();
	fake.open_objects--;
	fake_kvm_unlock();
	free(object);
}

int fake_kvm_make(size_t size_bytes, void **ret_object, struct error *err, const char *what)
{
	int result;

	fake_kvm_lock();
	result = fake_kvm_count_call();
	if (result >= 0)
		*ret_object = fake_kvm_new_object(size_bytes);
	fake_kvm_unlock();
	return result < 0 ? error_set_errno(err, result, "fake %s", what) : 0;
}

int fake_kvm_own_ioctl(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                       void *arg)
{
	fake_kvm_ioctl_fn hook;
	int result;

	fake_kvm_lock();
	result = fake_kvm_count_call();
	hook = fake.ioctl_hook;
	fake_kvm_unlock();
	if (result < 0)
		return result;
	return hook ? hook(scope, vcpu_id, request, arg) : 0;
}

int kvm_open(struct kvm **ret_kvm, struct error *err)
{
	void *object = NULL;
	int result = fake_kvm_make(sizeof(struct kvm), &object, err, "/dev/kvm");

	if (!result)
		*ret_kvm = object;
	return result;
}

struct kvm *fake_kvm_open(void)
{
	struct kvm *kvm;

	fake_kvm_lock();
	kvm = fake_kvm_new_object(sizeof(*kvm));
	fake_kvm_unlock();
	return kvm;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm)
		fake_kvm_free_object(kvm);
}

int kvm_ioctl(struct kvm *kvm, unsigned long request, void *arg)
{
	(void)kvm;
	return fake_kvm_own_ioctl(FAKE_KVM_SYSTEM, 0, request, arg);
}

int kvm_check_extension(struct kvm *kvm, int capability)
{
	int value;

	(void)kvm;
	fake_kvm_lock();
	value = capability >= 0 && capability < CAPABILITIES ? fake.extensions[capability] : 0;
	fake_kvm_unlock();
	return value;
}

int kvm_vm_create(struct kvm *kvm, unsigned long type, struct kvm_vm **ret_vm, struct error *err)
{
	void *object = NULL;
	int result = fake_kvm_make(sizeof(struct kvm_vm), &object, err, "VM");

	(void)kvm;
	(void)type;
	if (!result)
		*ret_vm = object;
	return result;
}

struct kvm_vm *fake_kvm_vm(struct kvm *kvm)
{
	struct kvm_vm *vm;

	(void)kvm;
	fake_kvm_lock();
	vm = fake_kvm_new_object(sizeof(*vm));
	fake_kvm_unlock();
	return vm;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	if (vm)
		fake_kvm_free_object(vm);
}

int kvm_vm_ioctl(struct kvm_vm *vm, unsigned long request, void *arg)
{
	(void)vm;
	return fake_kvm_own_ioctl(FAKE_KVM_VM, 0, request, arg);
}

int kvm_vm_check_extension(struct kvm_vm *vm, int capability)
{
	(void)vm;
	return kvm_check_extension(NULL, capability);
}

int kvm_device_create(struct kvm_vm *vm, uint32_t type, struct kvm_device **ret_device)
{
	struct kvm_create_device request = { .type = type };
	int result;

	(void)vm;
	result = fake_kvm_own_ioctl(FAKE_KVM_VM, 0, KVM_CREATE_DEVICE, &request);
	if (result < 0)
		return result;
	fake_kvm_lock();
	*ret_device = fake_kvm_new_object(sizeof(struct kvm_device));
	fake_kvm_unlock();
	return 0;
}

void kvm_device_destroy(struct kvm_device *device)
{
	if (device)
		fake_kvm_free_object(device);
}

int kvm_device_set_attr(struct kvm_device *device, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr request = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	(void)device;
	return fake_kvm_own_ioctl(FAKE_KVM_DEVICE, 0, KVM_SET_DEVICE_ATTR, &request);
}

int kvm_device_get_attr(struct kvm_device *device, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr request = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	(void)device;
	return fake_kvm_own_ioctl(FAKE_KVM_DEVICE, 0, KVM_GET_DEVICE_ATTR, &request);
}
