/* SPDX-License-Identifier: Apache-2.0 */
/* A KVM in memory: every function of include/ebb/kvm.h. See fake_kvm.h. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_kvm.h"

#define SLOTS_MAX      64
#define IRQFDS_MAX     1024
#define IOEVENTFDS_MAX 512
#define GSIS_MAX       4096
#define PINS           24 /* routed by default, as after KVM_CREATE_IRQCHIP */
#define CAPABILITIES   512
#define RUN_AREA_BYTES (3 * PAGE_4K_BYTES) /* run, PIO data page, coalesced ring */

struct kvm {
	int unused;
};

struct kvm_vm {
	int unused;
};

struct kvm_device {
	int unused;
};

struct kvm_vcpu {
	unsigned long id;
	struct kvm_run *run;
	bool completes;
};

static struct {
	pthread_mutex_t lock;
	unsigned int calls, fail_in, open_objects;
	bool fail_armed, failed;
	int fail_code;
	int extensions[CAPABILITIES];
	struct fake_memslot slots[SLOTS_MAX];
	bool slot_used[SLOTS_MAX];
	struct {
		int fd;
		unsigned int gsi;
	} irqfds[IRQFDS_MAX];
	size_t irqfd_count;
	unsigned int interrupts[GSIS_MAX];
	struct kvm_ioeventfd ioeventfds[IOEVENTFDS_MAX];
	size_t ioeventfd_count;
	struct kvm_irq_routing *routing;
	unsigned int routing_commits;
	bool levels[GSIS_MAX];
	unsigned int line_sets[GSIS_MAX];
	fake_kvm_ioctl_fn ioctl_hook;
	fake_kvm_run_fn run_hook;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void lock(void)
{
	pthread_mutex_lock(&fake.lock);
}

static void unlock(void)
{
	pthread_mutex_unlock(&fake.lock);
}

/* Lock held. Counts a fallible call; -errno when this is the one to fail. */
static int count_call(void)
{
	fake.calls++;
	if (!fake.fail_armed)
		return 0;
	if (fake.fail_in--)
		return 0;
	fake.fail_armed = false;
	fake.failed = true;
	return fake.fail_code;
}

void fake_kvm_reset(void)
{
	lock();
	fake.calls = 0;
	fake.fail_armed = fake.failed = false;
	for (size_t i = 0; i < CAPABILITIES; i++)
		fake.extensions[i] = 1;
	memset(fake.slot_used, 0, sizeof(fake.slot_used));
	fake.irqfd_count = 0;
	memset(fake.interrupts, 0, sizeof(fake.interrupts));
	fake.ioeventfd_count = 0;
	free(fake.routing);
	fake.routing = NULL;
	fake.routing_commits = 0;
	memset(fake.levels, 0, sizeof(fake.levels));
	memset(fake.line_sets, 0, sizeof(fake.line_sets));
	fake.ioctl_hook = NULL;
	fake.run_hook = NULL;
	unlock();
}

void fake_kvm_fail_nth(unsigned int n, int code)
{
	lock();
	fake.fail_in = n;
	fake.fail_code = code;
	fake.fail_armed = true;
	fake.failed = false;
	unlock();
}

void fake_kvm_fail_never(void)
{
	lock();
	fake.fail_armed = false;
	unlock();
}

bool fake_kvm_has_failed(void)
{
	bool failed;

	lock();
	failed = fake.failed;
	unlock();
	return failed;
}

unsigned int fake_kvm_call_count(void)
{
	unsigned int calls;

	lock();
	calls = fake.calls;
	unlock();
	return calls;
}

unsigned int fake_kvm_open_objects(void)
{
	unsigned int count;

	lock();
	count = fake.open_objects;
	unlock();
	return count;
}

void fake_kvm_set_extension(int capability, int value)
{
	assert(capability >= 0 && capability < CAPABILITIES);
	lock();
	fake.extensions[capability] = value;
	unlock();
}

/* --- what was recorded --- */

const struct fake_memslot *fake_kvm_memslot(size_t index)
{
	const struct fake_memslot *found = NULL;

	lock();
	for (size_t i = 0; i < SLOTS_MAX && !found; i++)
		if (fake.slot_used[i] && !index--)
			found = &fake.slots[i];
	unlock();
	return found;
}

size_t fake_kvm_memslot_count(void)
{
	size_t count = 0;

	lock();
	for (size_t i = 0; i < SLOTS_MAX; i++)
		count += fake.slot_used[i];
	unlock();
	return count;
}

bool fake_kvm_irqfd(int fd, unsigned int *ret_gsi)
{
	bool found = false;

	lock();
	for (size_t i = 0; i < fake.irqfd_count && !found; i++) {
		found = fake.irqfds[i].fd == fd;
		if (found && ret_gsi)
			*ret_gsi = fake.irqfds[i].gsi;
	}
	unlock();
	return found;
}

size_t fake_kvm_irqfd_count(void)
{
	size_t count;

	lock();
	count = fake.irqfd_count;
	unlock();
	return count;
}

/* Lock held. A descriptor that blocks is looked at first. */
static void take_irqfd(size_t index)
{
	struct pollfd poll_fd = { .fd = fake.irqfds[index].fd, .events = POLLIN };
	eventfd_t count;

	if (poll(&poll_fd, 1, 0) == 1 && !eventfd_read(fake.irqfds[index].fd, &count))
		fake.interrupts[fake.irqfds[index].gsi]++;
}

unsigned int fake_kvm_interrupt_count(unsigned int gsi)
{
	unsigned int count;

	assert(gsi < GSIS_MAX);
	lock();
	for (size_t i = 0; i < fake.irqfd_count; i++)
		take_irqfd(i);
	count = fake.interrupts[gsi];
	unlock();
	return count;
}

const struct kvm_ioeventfd *fake_kvm_ioeventfd(size_t index)
{
	const struct kvm_ioeventfd *found;

	lock();
	found = index < fake.ioeventfd_count ? &fake.ioeventfds[index] : NULL;
	unlock();
	return found;
}

size_t fake_kvm_ioeventfd_count(void)
{
	size_t count;

	lock();
	count = fake.ioeventfd_count;
	unlock();
	return count;
}

bool fake_kvm_guest_write(bool pio, uint64_t gpa_or_port, uint64_t value, unsigned int size_bytes)
{
	bool found = false;

	lock();
	for (size_t i = 0; i < fake.ioeventfd_count && !found; i++) {
		const struct kvm_ioeventfd *it = &fake.ioeventfds[i];

		found = pio == !!(it->flags & KVM_IOEVENTFD_FLAG_PIO) && it->addr == gpa_or_port &&
		        (!it->len || it->len == size_bytes) &&
		        (!(it->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) || it->datamatch == value);
		if (found && eventfd_write(it->fd, 1))
			abort();
	}
	unlock();
	return found;
}

const struct kvm_irq_routing *fake_kvm_routing(void)
{
	const struct kvm_irq_routing *routing;

	lock();
	routing = fake.routing;
	unlock();
	return routing;
}

const struct kvm_irq_routing_entry *fake_kvm_route(unsigned int gsi)
{
	const struct kvm_irq_routing_entry *found = NULL;

	lock();
	for (uint32_t i = 0; fake.routing && i < fake.routing->nr && !found; i++)
		if (fake.routing->entries[i].gsi == gsi)
			found = &fake.routing->entries[i];
	unlock();
	return found;
}

unsigned int fake_kvm_routing_commits(void)
{
	unsigned int commits;

	lock();
	commits = fake.routing_commits;
	unlock();
	return commits;
}

bool fake_kvm_line_level(unsigned int gsi)
{
	bool level;

	assert(gsi < GSIS_MAX);
	lock();
	level = fake.levels[gsi];
	unlock();
	return level;
}

unsigned int fake_kvm_line_sets(unsigned int gsi)
{
	unsigned int sets;

	assert(gsi < GSIS_MAX);
	lock();
	sets = fake.line_sets[gsi];
	unlock();
	return sets;
}

void fake_kvm_set_ioctl_hook(fake_kvm_ioctl_fn hook)
{
	lock();
	fake.ioctl_hook = hook;
	unlock();
}

void fake_kvm_set_run_hook(fake_kvm_run_fn hook)
{
	lock();
	fake.run_hook = hook;
	unlock();
}

/* --- kvm.h --- */

static void *new_object(size_t size_bytes)
{
	void *object = calloc(1, size_bytes);

	assert(object);
	fake.open_objects++;
	return object;
}

static void free_object(void *object)
{
	lock();
	fake.open_objects--;
	unlock();
	free(object);
}

/* Counts a call that is nothing but an object to make. */
static int make(size_t size_bytes, void **ret_object, struct error *err, const char *what)
{
	int result;

	lock();
	result = count_call();
	if (result >= 0)
		*ret_object = new_object(size_bytes);
	unlock();
	return result < 0 ? error_set_errno(err, result, "fake %s", what) : 0;
}

int kvm_open(struct kvm **ret_kvm, struct error *err)
{
	void *object = NULL;
	int result = make(sizeof(struct kvm), &object, err, "/dev/kvm");

	if (!result)
		*ret_kvm = object;
	return result;
}

struct kvm *fake_kvm_open(void)
{
	struct kvm *kvm;

	lock();
	kvm = new_object(sizeof(*kvm));
	unlock();
	return kvm;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm)
		free_object(kvm);
}

static int own_ioctl(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                     void *arg)
{
	fake_kvm_ioctl_fn hook;
	int result;

	lock();
	result = count_call();
	hook = fake.ioctl_hook;
	unlock();
	if (result < 0)
		return result;
	return hook ? hook(scope, vcpu_id, request, arg) : 0;
}

int kvm_ioctl(struct kvm *kvm, unsigned long request, void *arg)
{
	(void)kvm;
	return own_ioctl(FAKE_KVM_SYSTEM, 0, request, arg);
}

int kvm_check_extension(struct kvm *kvm, int capability)
{
	int value;

	(void)kvm;
	lock();
	value = capability >= 0 && capability < CAPABILITIES ? fake.extensions[capability] : 0;
	unlock();
	return value;
}

int kvm_vm_create(struct kvm *kvm, unsigned long type, struct kvm_vm **ret_vm, struct error *err)
{
	void *object = NULL;
	int result = make(sizeof(struct kvm_vm), &object, err, "VM");

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
	lock();
	vm = new_object(sizeof(*vm));
	unlock();
	return vm;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	if (vm)
		free_object(vm);
}

int kvm_vm_ioctl(struct kvm_vm *vm, unsigned long request, void *arg)
{
	(void)vm;
	return own_ioctl(FAKE_KVM_VM, 0, request, arg);
}

int kvm_vm_check_extension(struct kvm_vm *vm, int capability)
{
	(void)vm;
	return kvm_check_extension(NULL, capability);
}

/* Lock held. */
static int set_memslot(const struct fake_memslot *slot)
{
	if (slot->slot >= SLOTS_MAX || (slot->gpa | slot->size_bytes) % PAGE_4K_BYTES ||
	    (uintptr_t)slot->hva % PAGE_4K_BYTES)
		return -EINVAL;
	if (!slot->size_bytes) {
		if (!fake.slot_used[slot->slot])
			return -EINVAL;
		fake.slot_used[slot->slot] = false;
		return 0;
	}
	for (size_t i = 0; i < SLOTS_MAX; i++)
		if (fake.slot_used[i] && i != slot->slot &&
		    ranges_overlap(fake.slots[i].gpa, fake.slots[i].size_bytes, slot->gpa,
		                   slot->size_bytes))
			return -EEXIST;
	fake.slots[slot->slot] = *slot;
	fake.slot_used[slot->slot] = true;
	return 0;
}

int kvm_vm_set_memslot(struct kvm_vm *vm, uint32_t slot, uint32_t flags, gpa_t gpa,
                       uint64_t size_bytes, void *hva)
{
	const struct fake_memslot record = {
		.slot = slot, .flags = flags, .gpa = gpa, .size_bytes = size_bytes, .hva = hva
	};
	int result;

	(void)vm;
	lock();
	result = count_call();
	if (result >= 0)
		result = set_memslot(&record);
	unlock();
	return result;
}

int kvm_vm_set_irq_line(struct kvm_vm *vm, unsigned int gsi, bool level)
{
	int result;

	(void)vm;
	lock();
	result = count_call();
	if (result >= 0 && gsi >= GSIS_MAX)
		result = -EINVAL;
	if (result >= 0) {
		fake.levels[gsi] = level;
		fake.line_sets[gsi]++;
	}
	unlock();
	return result;
}

int kvm_vm_set_gsi_routing(struct kvm_vm *vm, const struct kvm_irq_routing *routing)
{
	size_t size_bytes = sizeof(*routing) + routing->nr * sizeof(routing->entries[0]);
	int result;

	(void)vm;
	lock();
	result = count_call();
	for (uint32_t i = 0; result >= 0 && i < routing->nr; i++)
		if (routing->entries[i].gsi >= GSIS_MAX)
			result = -EINVAL;
	if (result >= 0) {
		free(fake.routing);
		fake.routing = malloc(size_bytes);
		assert(fake.routing);
		memcpy(fake.routing, routing, size_bytes);
		fake.routing_commits++;
	}
	unlock();
	return result;
}

/* Lock held. */
static bool has_route(unsigned int gsi)
{
	if (!fake.routing)
		return gsi < PINS;
	for (uint32_t i = 0; i < fake.routing->nr; i++)
		if (fake.routing->entries[i].gsi == gsi)
			return true;
	return false;
}

/* Lock held. */
static int assign_irqfd(int fd, unsigned int gsi)
{
	for (size_t i = 0; i < fake.irqfd_count; i++)
		if (fake.irqfds[i].fd == fd)
			return -EBUSY;
	if (!has_route(gsi) || fake.irqfd_count == IRQFDS_MAX)
		return -EINVAL;
	fake.irqfds[fake.irqfd_count].fd = fd;
	fake.irqfds[fake.irqfd_count].gsi = gsi;
	/* What waits is delivered at once, but stays in the eventfd: KVM reads it at wake-ups
	 * alone. */
	if (poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) == 1)
		fake.interrupts[gsi]++;
	fake.irqfd_count++;
	return 0;
}

/* Lock held. */
static int deassign_irqfd(int fd, unsigned int gsi)
{
	for (size_t i = 0; i < fake.irqfd_count; i++) {
		if (fake.irqfds[i].fd != fd || fake.irqfds[i].gsi != gsi)
			continue;
		take_irqfd(i); /* signalled before: KVM has it */
		fake.irqfds[i] = fake.irqfds[--fake.irqfd_count];
		return 0;
	}
	return 0; /* KVM says the same */
}

int kvm_vm_irqfd(struct kvm_vm *vm, int fd, unsigned int gsi, bool assign)
{
	int result;

	(void)vm;
	lock();
	result = count_call();
	if (result >= 0 && gsi >= GSIS_MAX)
		result = -EINVAL;
	if (result >= 0)
		result = assign ? assign_irqfd(fd, gsi) : deassign_irqfd(fd, gsi);
	unlock();
	return result;
}

/* As KVM judges: same place, and lengths or values that cannot be told apart. */
static bool same_ioeventfd(const struct kvm_ioeventfd *a, const struct kvm_ioeventfd *b)
{
	return a->addr == b->addr &&
	       (a->flags & KVM_IOEVENTFD_FLAG_PIO) == (b->flags & KVM_IOEVENTFD_FLAG_PIO) &&
	       (!a->len || !b->len ||
	        (a->len == b->len && (!(a->flags & b->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) ||
	                              a->datamatch == b->datamatch)));
}

/* Lock held. */
static int change_ioeventfd(const struct kvm_ioeventfd *request)
{
	const uint32_t match = KVM_IOEVENTFD_FLAG_DATAMATCH;

	if (request->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
		for (size_t i = 0; i < fake.ioeventfd_count; i++) {
			struct kvm_ioeventfd *it = &fake.ioeventfds[i];

			if (it->fd != request->fd || it->addr != request->addr ||
			    it->len != request->len ||
			    (it->flags & match) != (request->flags & match) ||
			    it->datamatch != request->datamatch)
				continue;
			*it = fake.ioeventfds[--fake.ioeventfd_count];
			return 0;
		}
		return -ENOENT;
	}
	if (request->len > 8 || (request->len & (request->len - 1)))
		return -EINVAL;
	if (!request->len && (request->flags & match))
		return -EINVAL;
	for (size_t i = 0; i < fake.ioeventfd_count; i++)
		if (same_ioeventfd(&fake.ioeventfds[i], request))
			return -EEXIST;
	if (fake.ioeventfd_count == IOEVENTFDS_MAX)
		return -ENOSPC;
	fake.ioeventfds[fake.ioeventfd_count++] = *request;
	return 0;
}

int kvm_vm_ioeventfd(struct kvm_vm *vm, const struct kvm_ioeventfd *ioeventfd)
{
	int result;

	(void)vm;
	lock();
	result = count_call();
	if (result >= 0)
		result = change_ioeventfd(ioeventfd);
	unlock();
	return result;
}

int kvm_device_create(struct kvm_vm *vm, uint32_t type, struct kvm_device **ret_device)
{
	struct kvm_create_device request = { .type = type };
	int result;

	(void)vm;
	result = own_ioctl(FAKE_KVM_VM, 0, KVM_CREATE_DEVICE, &request);
	if (result < 0)
		return result;
	lock();
	*ret_device = new_object(sizeof(struct kvm_device));
	unlock();
	return 0;
}

void kvm_device_destroy(struct kvm_device *device)
{
	if (device)
		free_object(device);
}

int kvm_device_set_attr(struct kvm_device *device, uint32_t group, uint64_t attr, const void *value)
{
	struct kvm_device_attr request = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	(void)device;
	return own_ioctl(FAKE_KVM_DEVICE, 0, KVM_SET_DEVICE_ATTR, &request);
}

int kvm_device_get_attr(struct kvm_device *device, uint32_t group, uint64_t attr, void *value)
{
	struct kvm_device_attr request = { .group = group, .attr = attr, .addr = (uintptr_t)value };

	(void)device;
	return own_ioctl(FAKE_KVM_DEVICE, 0, KVM_GET_DEVICE_ATTR, &request);
}

int kvm_vcpu_create(struct kvm_vm *vm, unsigned long id, struct kvm_vcpu **ret_vcpu,
                    struct error *err)
{
	struct kvm_vcpu *vcpu;
	void *object = NULL;
	int result = make(sizeof(*vcpu), &object, err, "vCPU");

	(void)vm;
	if (result)
		return result;
	vcpu = object;
	vcpu->id = id;
	vcpu->run = aligned_alloc(PAGE_4K_BYTES, RUN_AREA_BYTES);
	assert(vcpu->run);
	memset(vcpu->run, 0, RUN_AREA_BYTES);
	*ret_vcpu = vcpu;
	return 0;
}

void kvm_vcpu_destroy(struct kvm_vcpu *vcpu)
{
	if (!vcpu)
		return;
	free(vcpu->run);
	free_object(vcpu);
}

int kvm_vcpu_ioctl(struct kvm_vcpu *vcpu, unsigned long request, void *arg)
{
	return own_ioctl(FAKE_KVM_VCPU, vcpu->id, request, arg);
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

	lock();
	result = count_call();
	hook = fake.run_hook;
	unlock();
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

	lock();
	result = count_call();
	unlock();
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
