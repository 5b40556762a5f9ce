/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory's listener that keeps KVM's memslots.
 *
 * DOC: A region is a memslot. Slot numbers are the smallest that are free, below GMEM_REGIONS_MAX,
 * which is below what any KVM offers (32764 on x86-64). Teardown leaves the slots to the VM
 * descriptor's end: deleting them one by one costs a grace period each and nothing is left to see
 * the difference.
 *
 * The dirty log is a flag of a slot, set for all slots or for none. While it is on, KVM maps pages
 * one by one and write-protected, and remembers each that a vCPU, or KVM for it, wrote; reading the
 * log of a slot empties it. What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 adds (clearing in
 * parts) is not needed by a log that is read a few times.
 *
 * Lock: memslots->lock, innermost; listener calls come under guest memory's change lock, those
 * about the log from anywhere.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ebb/bitmap.h"
#include "ebb/guest_memory.h"
#include "ebb/kvm.h"
#include "ebb/memslot.h"
#include "ebb/vm.h"

struct memslots {
	struct gmem_listener listener;
	struct guest_memory *memory;
	struct kvm_vm *kvm_vm;
	bool log_allowed;
	pthread_mutex_t lock; /* all below */
	bool logging;
	uint64_t used[BITMAP_WORDS(GMEM_REGIONS_MAX)];
	struct slot {
		gpa_t gpa;
		uint64_t size_bytes;
		void *hva;
	} slots[GMEM_REGIONS_MAX];  /* used ones */
	struct gmem_region refused; /* the last one that KVM did not take */
};

/* Lock held. The first used slot from start on; GMEM_REGIONS_MAX: none. */
static size_t next_used(const struct memslots *memslots, size_t start)
{
	return bitmap_find_set(memslots->used, GMEM_REGIONS_MAX, start);
}

/* Lock held. */
static int set_slot(struct memslots *memslots, size_t index, bool logging)
{
	const struct slot *slot = &memslots->slots[index];

	return kvm_vm_set_memslot(memslots->kvm_vm, (uint32_t)index,
	                          logging ? KVM_MEM_LOG_DIRTY_PAGES : 0, slot->gpa,
	                          slot->size_bytes, slot->hva);
}

/* Lock held. GMEM_REGIONS_MAX: none starts there. */
static size_t find_slot(const struct memslots *memslots, gpa_t gpa)
{
	size_t index = next_used(memslots, 0);

	while (index < GMEM_REGIONS_MAX && memslots->slots[index].gpa != gpa)
		index = next_used(memslots, index + 1);
	return index;
}

/* Lock held. */
static int add_slot(struct memslots *memslots, const struct gmem_region *region)
{
	size_t index = bitmap_find_clear(memslots->used, GMEM_REGIONS_MAX, 0);
	int result;

	if (index == GMEM_REGIONS_MAX)
		return -ENOSPC;
	memslots->slots[index] = (struct slot){ region->gpa, region->size_bytes, region->hva };
	result = set_slot(memslots, index, memslots->logging);
	if (result < 0) {
		memslots->refused = *region;
		return result;
	}
	bitmap_set(memslots->used, index);
	return 0;
}

static int region_added(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct memslots *memslots = container_of(listener, struct memslots, listener);
	int result;

	pthread_mutex_lock(&memslots->lock);
	result = add_slot(memslots, region);
	pthread_mutex_unlock(&memslots->lock);
	return result;
}

/*
 * KVM cannot refuse to delete a slot that exists. Should it ever, the slot stays marked as used:
 * the guest then faults on a hole instead of reaching other memory.
 */
static void region_removed(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct memslots *memslots = container_of(listener, struct memslots, listener);
	size_t index;

	pthread_mutex_lock(&memslots->lock);
	index = find_slot(memslots, region->gpa);
	if (index < GMEM_REGIONS_MAX && kvm_vm_set_memslot(memslots->kvm_vm, (uint32_t)index, 0,
	                                                   region->gpa, 0, region->hva) == 0)
		bitmap_clear(memslots->used, index);
	pthread_mutex_unlock(&memslots->lock);
}

/* --- the dirty log --- */

void memslots_allow_log(struct memslots *memslots)
{
	memslots->log_allowed = true;
}

/* Lock held. KVM takes a flag back from a slot that it gave it to. */
static void stop_log(struct memslots *memslots)
{
	memslots->logging = false;
	for (size_t index = next_used(memslots, 0); index < GMEM_REGIONS_MAX;
	     index = next_used(memslots, index + 1))
		(void)!set_slot(memslots, index, false);
}

int memslots_log_start(struct memslots *memslots)
{
	int result = 0;

	if (!memslots->log_allowed)
		return -ENOTSUP;
	pthread_mutex_lock(&memslots->lock);
	memslots->logging = true;
	for (size_t index = next_used(memslots, 0); index < GMEM_REGIONS_MAX && !result;
	     index = next_used(memslots, index + 1))
		result = set_slot(memslots, index, true);
	if (result < 0)
		stop_log(memslots);
	pthread_mutex_unlock(&memslots->lock);
	return result;
}

void memslots_log_stop(struct memslots *memslots)
{
	pthread_mutex_lock(&memslots->lock);
	if (memslots->logging)
		stop_log(memslots);
	pthread_mutex_unlock(&memslots->lock);
}

int memslots_log_read(struct memslots *memslots, gpa_t gpa, uint64_t *words)
{
	struct kvm_dirty_log log = { .dirty_bitmap = words };
	int result = -ENOENT;
	size_t index;

	pthread_mutex_lock(&memslots->lock);
	index = find_slot(memslots, gpa);
	if (index < GMEM_REGIONS_MAX && memslots->logging) {
		log.slot = (uint32_t)index;
		result = kvm_vm_ioctl(memslots->kvm_vm, KVM_GET_DIRTY_LOG, &log);
	}
	pthread_mutex_unlock(&memslots->lock);
	return result;
}

/* A slot has at most 2^31 - 1 pages, so KVM's -EINVAL for a region of whole pages in an address
 * space that is large enough means that there is too much of it. */
static void tell_refused(const struct memslots *memslots, int result, struct error *err)
{
	unsigned long long size_mib = memslots->refused.size_bytes / MIB;
	unsigned long long gpa = memslots->refused.gpa;

	if (result == -EINVAL)
		error_set(err, result,
		          "--mem: KVM does not take %llu MiB at guest-physical 0x%llx (give less "
		          "than 8T)",
		          size_mib, gpa);
	else
		error_set_errno(err, result,
		                "--mem: KVM does not take %llu MiB at guest-physical 0x%llx",
		                size_mib, gpa);
}

int memslots_create(struct vm *vm, struct memslots **ret_memslots, struct error *err)
{
	struct memslots *memslots = calloc(1, sizeof(*memslots));
	int result;

	if (!memslots)
		return error_set_errno(err, -ENOMEM, "memslots");
	memslots->listener.region_added = region_added;
	memslots->listener.region_removed = region_removed;
	memslots->memory = vm->memory;
	memslots->kvm_vm = vm->kvm_vm;
	pthread_mutex_init(&memslots->lock, NULL);
	result = gmem_add_listener(vm->memory, &memslots->listener);
	if (result < 0) {
		tell_refused(memslots, result, err);
		pthread_mutex_destroy(&memslots->lock);
		free(memslots);
		return result;
	}
	*ret_memslots = memslots;
	return 0;
}

void memslots_destroy(struct memslots *memslots)
{
	if (!memslots)
		return;
	gmem_remove_listener(memslots->memory, &memslots->listener);
	pthread_mutex_destroy(&memslots->lock);
	free(memslots);
}
