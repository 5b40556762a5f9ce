/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory's listener that keeps KVM's memslots.
 *
 * DOC: A region is a memslot. Slot numbers are the smallest that are free, below GMEM_REGIONS_MAX,
 * which is below what any KVM offers (32764 on x86-64). Listener calls are serialised by guest
 * memory, so there is no lock here. Teardown leaves the slots to the VM descriptor's end: deleting
 * them one by one costs a grace period each and nothing is left to see the difference.
 */
#include <errno.h>
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
	uint64_t used[BITMAP_WORDS(GMEM_REGIONS_MAX)];
	gpa_t gpas[GMEM_REGIONS_MAX]; /* of used slots */
	struct gmem_region refused;   /* the last one that KVM did not take */
};

static int region_added(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct memslots *memslots = container_of(listener, struct memslots, listener);
	size_t slot = bitmap_find_clear(memslots->used, GMEM_REGIONS_MAX, 0);
	int result;

	if (slot == GMEM_REGIONS_MAX)
		return -ENOSPC;
	result = kvm_vm_set_memslot(memslots->kvm_vm, (uint32_t)slot, 0, region->gpa,
	                            region->size_bytes, region->hva);
	if (result < 0) {
		memslots->refused = *region;
		return result;
	}
	bitmap_set(memslots->used, slot);
	memslots->gpas[slot] = region->gpa;
	return 0;
}

static void region_removed(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct memslots *memslots = container_of(listener, struct memslots, listener);

	for (size_t slot = bitmap_find_set(memslots->used, GMEM_REGIONS_MAX, 0);
	     slot < GMEM_REGIONS_MAX;
	     slot = bitmap_find_set(memslots->used, GMEM_REGIONS_MAX, slot + 1)) {
		if (memslots->gpas[slot] != region->gpa)
			continue;
		/*
		 * KVM cannot refuse to delete a slot that exists. Should it ever, the slot stays
		 * marked as used: the guest then faults on a hole instead of reaching other memory.
		 */
		if (kvm_vm_set_memslot(memslots->kvm_vm, (uint32_t)slot, 0, region->gpa, 0,
		                       region->hva) == 0)
			bitmap_clear(memslots->used, slot);
		return;
	}
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
	result = gmem_add_listener(vm->memory, &memslots->listener);
	if (result < 0) {
		tell_refused(memslots, result, err);
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
	free(memslots);
}
