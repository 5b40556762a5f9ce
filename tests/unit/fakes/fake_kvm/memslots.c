/* SPDX-License-Identifier: Apache-2.0 */
/* Memslots, and what KVM refuses of them. */
#include <errno.h>
#include <string.h>

#include "private.h"

#define SLOTS_MAX 4096

static struct {
	struct fake_memslot slots[SLOTS_MAX];
	bool slot_used[SLOTS_MAX];
} fake;

/* Lock held. */
void fake_kvm_forget_memslots(void)
{
	memset(fake.slot_used, 0, sizeof(fake.slot_used));
}

const struct fake_memslot *fake_kvm_memslot(size_t index)
{
	const struct fake_memslot *found = NULL;

	fake_kvm_lock();
	for (size_t i = 0; i < SLOTS_MAX && !found; i++)
		if (fake.slot_used[i] && !index--)
			found = &fake.slots[i];
	fake_kvm_unlock();
	return found;
}

size_t fake_kvm_memslot_count(void)
{
	size_t count = 0;

	fake_kvm_lock();
	for (size_t i = 0; i < SLOTS_MAX; i++)
		count += fake.slot_used[i];
	fake_kvm_unlock();
	return count;
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
	fake_kvm_lock();
	result = fake_kvm_count_call();
	if (result >= 0)
		result = set_memslot(&record);
	fake_kvm_unlock();
	return result;
}
