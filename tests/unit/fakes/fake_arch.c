/* SPDX-License-Identifier: Apache-2.0 */
/* An architecture in memory: every function of include/ebb/arch.h. See fake_arch.h. */
#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <string.h>

#include "ebb/config.h"
#include "ebb/irq.h"
#include "ebb/kvm.h"
#include "ebb/vm.h"

#include "fake_arch.h"

const struct arch_info arch_info = {
	.name = "fake",
	.kvm_remedy = "fake it",
	.has_pio = true,
	.irqchip_pins = FAKE_ARCH_PINS,
};

static struct {
	pthread_mutex_t lock;
	bool fail_armed, failed;
	unsigned int fail_in;
	int fail_code;
	fake_arch_exit_fn exit_hook;
	unsigned int resets[VM_CPUS_MAX];
	unsigned int dumps;
	bool no_msi;
	gpa_t device_memory_gpa;
	bool levels[FAKE_ARCH_PINS];
	unsigned int level_sets[FAKE_ARCH_PINS];
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void lock(void)
{
	pthread_mutex_lock(&fake.lock);
}

static void unlock(void)
{
	pthread_mutex_unlock(&fake.lock);
}

/* Lock held. */
static int count_call(void)
{
	if (!fake.fail_armed || fake.fail_in--)
		return 0;
	fake.fail_armed = false;
	fake.failed = true;
	return fake.fail_code;
}

static int fallible(struct error *err)
{
	int result;

	lock();
	result = count_call();
	unlock();
	return result < 0 ? error_set_errno(err, result, "fake architecture") : 0;
}

void fake_arch_reset(void)
{
	lock();
	fake.fail_armed = fake.failed = false;
	fake.exit_hook = NULL;
	fake.device_memory_gpa = 0;
	memset(fake.resets, 0, sizeof(fake.resets));
	fake.dumps = 0;
	memset(fake.levels, 0, sizeof(fake.levels));
	memset(fake.level_sets, 0, sizeof(fake.level_sets));
	unlock();
}

void fake_arch_fail_nth(unsigned int n, int code)
{
	lock();
	fake.fail_armed = true;
	fake.failed = false;
	fake.fail_in = n;
	fake.fail_code = code;
	unlock();
}

void fake_arch_fail_never(void)
{
	lock();
	fake.fail_armed = false;
	unlock();
}

bool fake_arch_has_failed(void)
{
	bool failed;

	lock();
	failed = fake.failed;
	unlock();
	return failed;
}

void fake_arch_set_exit_hook(fake_arch_exit_fn hook)
{
	lock();
	fake.exit_hook = hook;
	unlock();
}

void fake_arch_set_device_memory(gpa_t gpa)
{
	lock();
	fake.device_memory_gpa = gpa;
	unlock();
}

unsigned int fake_arch_reset_count(unsigned int vcpu_index)
{
	unsigned int count;

	lock();
	count = fake.resets[vcpu_index];
	unlock();
	return count;
}

unsigned int fake_arch_dump_count(void)
{
	unsigned int count;

	lock();
	count = fake.dumps;
	unlock();
	return count;
}

bool fake_arch_level(unsigned int gsi)
{
	bool level;

	lock();
	level = fake.levels[gsi];
	unlock();
	return level;
}

unsigned int fake_arch_level_sets(unsigned int gsi)
{
	unsigned int count;

	lock();
	count = fake.level_sets[gsi];
	unlock();
	return count;
}

/* --- arch.h --- */

int arch_check_host(struct kvm *kvm, const struct vm_config *config, struct error *err)
{
	(void)kvm;
	(void)config;
	return fallible(err);
}

void arch_memory_map(uint64_t size_bytes, struct arch_memory_map *ret_map)
{
	ret_map->range_count = 1;
	ret_map->ranges[0].gpa = 0;
	ret_map->ranges[0].size_bytes = size_bytes;
	ret_map->device_memory_gpa =
		fake.device_memory_gpa ? fake.device_memory_gpa : align_up(size_bytes, GIB);
}

int arch_vm_create(struct vm *vm, struct error *err)
{
	return kvm_vm_create(vm->kvm, 0, &vm->kvm_vm, err);
}

void arch_vm_destroy(struct vm *vm)
{
	kvm_vm_destroy(vm->kvm_vm);
	vm->kvm_vm = NULL;
}

int arch_vcpu_create(struct vcpu *vcpu, struct error *err)
{
	int result = fallible(err);

	return result < 0 ? result
	                  : kvm_vcpu_create(vcpu->vm->kvm_vm, vcpu->index, &vcpu->kvm, err);
}

void arch_vcpu_destroy(struct vcpu *vcpu)
{
	kvm_vcpu_destroy(vcpu->kvm);
	vcpu->kvm = NULL;
}

int arch_vcpu_reset(struct vcpu *vcpu)
{
	int result;

	lock();
	result = count_call();
	fake.resets[vcpu->index]++;
	unlock();
	return result;
}

enum vcpu_verdict arch_vcpu_handle_exit(struct vcpu *vcpu, enum vcpu_exit *ret_exit)
{
	fake_arch_exit_fn hook;

	lock();
	hook = fake.exit_hook;
	unlock();
	*ret_exit = VCPU_EXIT_OTHER;
	return hook ? hook(vcpu, ret_exit) : VCPU_CONTINUE;
}

void arch_vcpu_dump(struct vcpu *vcpu)
{
	(void)vcpu;
	lock();
	fake.dumps++;
	unlock();
}

bool arch_has_msi(const struct vm *vm)
{
	bool has_msi;

	(void)vm;
	lock();
	has_msi = !fake.no_msi;
	unlock();
	return has_msi;
}

void fake_arch_set_msi(bool has_msi)
{
	lock();
	fake.no_msi = !has_msi;
	unlock();
}

int arch_irq_set_level(struct vm *vm, unsigned int gsi, bool level)
{
	(void)vm;
	assert(gsi < FAKE_ARCH_PINS);
	lock();
	fake.levels[gsi] = level;
	fake.level_sets[gsi]++;
	unlock();
	return 0;
}

void arch_msi_route(const struct msi_message *message, unsigned int gsi,
                    struct kvm_irq_routing_entry *ret_entry)
{
	*ret_entry = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi.address_lo = (uint32_t)message->address,
		.u.msi.address_hi = (uint32_t)(message->address >> 32),
		.u.msi.data = message->data,
	};
}

size_t arch_pin_routes(struct kvm_irq_routing_entry *entries, size_t max)
{
	assert(max >= FAKE_ARCH_PINS);
	for (unsigned int pin = 0; pin < FAKE_ARCH_PINS; pin++)
		entries[pin] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip.pin = pin,
		};
	return FAKE_ARCH_PINS;
}

int arch_platform_create(struct vm *vm, struct error *err)
{
	(void)vm;
	return fallible(err);
}

void arch_platform_destroy(struct vm *vm)
{
	(void)vm;
}

int arch_load_images(struct vm *vm, struct error *err)
{
	(void)vm;
	return fallible(err);
}

int arch_describe_machine(struct vm *vm, struct error *err)
{
	(void)vm;
	return fallible(err);
}
