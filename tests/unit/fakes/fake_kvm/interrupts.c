/* SPDX-License-Identifier: Apache-2.0 */
/* Lines, GSI routing and irqfds. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "private.h"

#define IRQFDS_MAX 1024
#define GSIS_MAX   4096
#define PINS       24 /* routed by default, as after KVM_CREATE_IRQCHIP */

static struct {
	struct {
		int fd;
		unsigned int gsi;
	} irqfds[IRQFDS_MAX];
	size_t irqfd_count;
	unsigned int interrupts[GSIS_MAX];
	struct kvm_irq_routing *routing;
	unsigned int routing_commits;
	bool levels[GSIS_MAX];
	unsigned int line_sets[GSIS_MAX];
} fake;

/* Lock held. */
void fake_kvm_forget_interrupts(void)
{
	free(fake.routing);
	memset(&fake, 0, sizeof(fake));
}

bool fake_kvm_line_level(unsigned int gsi)
{
	bool level;

	assert(gsi < GSIS_MAX);
	fake_kvm_lock();
	level = fake.levels[gsi];
	fake_kvm_unlock();
	return level;
}

unsigned int fake_kvm_line_sets(unsigned int gsi)
{
	unsigned int sets;

	assert(gsi < GSIS_MAX);
	fake_kvm_lock();
	sets = fake.line_sets[gsi];
	fake_kvm_unlock();
	return sets;
}

int kvm_vm_set_irq_line(struct kvm_vm *vm, unsigned int gsi, bool level)
{
	int result;

	(void)vm;
	fake_kvm_lock();
	result = fake_kvm_count_call();
	if (result >= 0 && gsi >= GSIS_MAX)
		result = -EINVAL;
	if (result >= 0) {
		fake.levels[gsi] = level;
		fake.line_sets[gsi]++;
	}
	fake_kvm_unlock();
	return result;
}

const struct kvm_irq_routing *fake_kvm_routing(void)
{
	const struct kvm_irq_routing *routing;

	fake_kvm_lock();
	routing = fake.routing;
	fake_kvm_unlock();
	return routing;
}

const struct kvm_irq_routing_entry *fake_kvm_route(unsigned int gsi)
{
	const struct kvm_irq_routing_entry *found = NULL;

	fake_kvm_lock();
	for (uint32_t i = 0; fake.routing && i < fake.routing->nr && !found; i++)
		if (fake.routing->entries[i].gsi == gsi)
			found = &fake.routing->entries[i];
	fake_kvm_unlock();
	return found;
}

unsigned int fake_kvm_routing_commits(void)
{
	unsigned int commits;

	fake_kvm_lock();
	commits = fake.routing_commits;
	fake_kvm_unlock();
	return commits;
}

int kvm_vm_set_gsi_routing(struct kvm_vm *vm, const struct kvm_irq_routing *routing)
{
	size_t size_bytes = sizeof(*routing) + routing->nr * sizeof(routing->entries[0]);
	int result;

	(void)vm;
	fake_kvm_lock();
	result = fake_kvm_count_call();
	for (uint32_t i = 0; result >= 0 && i < routing->nr; i++)
		if (routing->entries[i].gsi >= GSIS_MAX)
			result = -EINVAL;
	if (result >= 0) {
		free(fake.routing);
		fake.routing = fake_kvm_memory(size_bytes);
		memcpy(fake.routing, routing, size_bytes);
		fake.routing_commits++;
	}
	fake_kvm_unlock();
	return result;
}

bool fake_kvm_irqfd(int fd, unsigned int *ret_gsi)
{
	bool found = false;

	fake_kvm_lock();
	for (size_t i = 0; i < fake.irqfd_count && !found; i++) {
		found = fake.irqfds[i].fd == fd;
		if (found && ret_gsi)
			*ret_gsi = fake.irqfds[i].gsi;
	}
	fake_kvm_unlock();
	return found;
}

size_t fake_kvm_irqfd_count(void)
{
	size_t count;

	fake_kvm_lock();
	count = fake.irqfd_count;
	fake_kvm_unlock();
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
	fake_kvm_lock();
	for (size_t i = 0; i < fake.irqfd_count; i++)
		take_irqfd(i);
	count = fake.interrupts[gsi];
	fake_kvm_unlock();
	return count;
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
	fake_kvm_lock();
	result = fake_kvm_count_call();
	if (result >= 0 && gsi >= GSIS_MAX)
		result = -EINVAL;
	if (result >= 0)
		result = assign ? assign_irqfd(fd, gsi) : deassign_irqfd(fd, gsi);
	fake_kvm_unlock();
	return result;
}
