/* SPDX-License-Identifier: Apache-2.0 */
/* ioeventfds, and the guest's writes to them. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "private.h"

#define IOEVENTFDS_MAX 512

static struct {
	struct kvm_ioeventfd ioeventfds[IOEVENTFDS_MAX];
	size_t ioeventfd_count;
} fake;

/* Lock held. */
void fake_kvm_forget_ioeventfds(void)
{
	fake.ioeventfd_count = 0;
}

const struct kvm_ioeventfd *fake_kvm_ioeventfd(size_t index)
{
	const struct kvm_ioeventfd *found;

	fake_kvm_lock();
	found = index < fake.ioeventfd_count ? &fake.ioeventfds[index] : NULL;
	fake_kvm_unlock();
	return found;
}

size_t fake_kvm_ioeventfd_count(void)
{
	size_t count;

	fake_kvm_lock();
	count = fake.ioeventfd_count;
	fake_kvm_unlock();
	return count;
}

bool fake_kvm_guest_write(bool pio, uint64_t gpa_or_port, uint64_t value, unsigned int size_bytes)
{
	bool found = false;

	fake_kvm_lock();
	for (size_t i = 0; i < fake.ioeventfd_count && !found; i++) {
		const struct kvm_ioeventfd *it = &fake.ioeventfds[i];

		found = pio == !!(it->flags & KVM_IOEVENTFD_FLAG_PIO) && it->addr == gpa_or_port &&
		        (!it->len || it->len == size_bytes) &&
		        (!(it->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) || it->datamatch == value);
		if (found && eventfd_write(it->fd, 1))
			abort();
	}
	fake_kvm_unlock();
	return found;
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
	fake_kvm_lock();
	result = fake_kvm_count_call();
	if (result >= 0)
		result = change_ioeventfd(ioeventfd);
	fake_kvm_unlock();
	return result;
}
