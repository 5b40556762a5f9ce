/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory's listener that keeps KVM's memslots.
 *
 * DOC: A region is a memslot; so is a chunk of an area (guest_memory_area.c), of which blocks may
 * be unplugged:
 *
 *	                 a vCPU touched a block            blocks are plugged
 *	one for the chunk ---------------------> one a run ------------------> and one for them
 *	    ^                                        |
 *	    '------ the chunk left and came back ----'
 *
 * No memory ever comes where no block is plugged, whatever covers it: the host's mapping has no
 * rights there. What a slot there is good for is that plugging and unplugging change none, for KVM
 * has no way to make one smaller but to delete it, and a vCPU that runs meanwhile sees a hole in
 * memory that it owns. What it is bad for is that KVM_RUN fails (-EFAULT) for a guest that touches
 * such a block, again and again. So when one does, and only then, all vCPUs stop (vm_quiet) and the
 * slots are cut down to the runs of plugged blocks; then the access is one to a hole, and whoever
 * has the addresses on the bus answers it. A guest that keeps to what it was given never causes it.
 *
 * KVM on RISC-V takes no slot over a mapping that cannot be written (-EPERM), though it keeps one
 * whose mapping comes to that. There a chunk has no slot by itself, and each part of it gets one
 * when it is plugged and has none.
 *
 * Where a slot cannot be cut, it is put back as it was. Then the vCPU's access fails once more;
 * after some times that is the VM's end, as is a slot that cannot even be put back, for its memory
 * would be a hole.
 *
 * Slot numbers are the smallest that are free, below what KVM offers (KVM_CAP_NR_MEMSLOTS, 32764 on
 * x86-64), which is asked for with the first chunk and bounds how many runs of blocks there may be.
 * Blocks that are plugged after a cut get slots of their own, side by side; the next cut joins
 * them, and one is asked for when numbers run out. Teardown leaves the slots to the VM descriptor's
 * end: deleting them one by one costs a grace period each, and nothing is left to see it.
 *
 * The dirty log is a flag of a slot, set for all slots or for none. While it is on, KVM maps pages
 * one by one and write-protected, and remembers each that a vCPU, or KVM for it, wrote; reading the
 * log of a slot empties it. A cut loses what was logged, and the log is not to be had after it.
 * What KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 adds (clearing in parts) is not needed by a log that is
 * read a few times.
 *
 * Locks: memslots->lock, in which guest memory's shared lock is taken; listener calls come under
 * guest memory's change lock, and a cut takes that too; those about the log from anywhere.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bitmap.h"
#include "ebb/guest_memory.h"
#include "ebb/kvm.h"
#include "ebb/log.h"
#include "ebb/memslot.h"
#include "ebb/vm.h"

#define NUMBERS_MAX      32768
#define NUMBERS_LEAST    32 /* that any KVM has */
#define SLOTS_FIRST      4
#define CUT_FAILURES_MAX 3

struct slot {
	gpa_t gpa;
	uint64_t size_bytes;
	uint8_t *hva;
	uint32_t number;
	gpa_t region_gpa; /* of the region that it is of */
	bool of_chunk;
};

struct memslots {
	struct gmem_listener listener;
	struct guest_memory *memory;
	struct kvm_vm *kvm_vm;
	struct vm *vm;
	struct vm_quiet quiet; /* cut */
	struct log_ratelimit cut_limit;
	bool log_allowed;
	pthread_mutex_t lock; /* all below */
	bool logging, log_lost;
	size_t count, max;
	struct slot *slots; /* ascending, apart from each other */
	size_t numbers_max;
	bool asked_kvm;                              /* how many it offers */
	bool parts_only;                             /* KVM takes no slot over what has no rights */
	uint64_t numbers[BITMAP_WORDS(NUMBERS_MAX)]; /* used ones */
	unsigned int cut_failures;                   /* in a row */
	struct gmem_region refused;                  /* the last one that KVM did not take */
};

/* --- slots; lock held --- */

static int set_slot(struct memslots *memslots, const struct slot *slot, bool logging)
{
	return kvm_vm_set_memslot(memslots->kvm_vm, slot->number,
	                          logging ? KVM_MEM_LOG_DIRTY_PAGES : 0, slot->gpa,
	                          slot->size_bytes, slot->hva);
}

/* The index of the first slot that ends behind gpa. */
static size_t find_slot(const struct memslots *memslots, gpa_t gpa)
{
	size_t low = 0, high = memslots->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct slot *slot = &memslots->slots[middle];

		if (slot->gpa + (slot->size_bytes - 1) < gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct memslots *memslots)
{
	size_t max = memslots->max ? 2 * memslots->max : SLOTS_FIRST;
	struct slot *slots;

	if (memslots->count < memslots->max)
		return 0;
	slots = reallocarray(memslots->slots, max, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	memslots->slots = slots;
	memslots->max = max;
	return 0;
}

/* With a number of its own. Nothing is there yet. */
static int add_slot(struct memslots *memslots, struct slot slot)
{
	size_t number = bitmap_find_clear(memslots->numbers, memslots->numbers_max, 0);
	size_t index = find_slot(memslots, slot.gpa);
	int result = make_room(memslots);

	if (result < 0)
		return result;
	if (number == memslots->numbers_max)
		return -ENOSPC;
	slot.number = (uint32_t)number;
	result = set_slot(memslots, &slot, memslots->logging);
	if (result < 0)
		return result;
	bitmap_set(memslots->numbers, number);
	memmove(&memslots->slots[index + 1], &memslots->slots[index],
	        (memslots->count - index) * sizeof(slot));
	memslots->slots[index] = slot;
	memslots->count++;
	return 0;
}

static void forget_slot(struct memslots *memslots, size_t index)
{
	memslots->count--;
	memmove(&memslots->slots[index], &memslots->slots[index + 1],
	        (memslots->count - index) * sizeof(memslots->slots[0]));
}

static int delete_slot(struct memslots *memslots, size_t index)
{
	const struct slot *slot = &memslots->slots[index];
	int result = kvm_vm_set_memslot(memslots->kvm_vm, slot->number, 0, slot->gpa, 0, slot->hva);

	if (result < 0)
		return result;
	bitmap_clear(memslots->numbers, slot->number);
	forget_slot(memslots, index);
	return 0;
}

/* --- guest memory changes --- */

/* Lock held. */
static void ask_kvm(struct memslots *memslots)
{
	int offered;

	if (memslots->asked_kvm)
		return;
	memslots->asked_kvm = true;
	offered = kvm_vm_check_extension(memslots->kvm_vm, KVM_CAP_NR_MEMSLOTS);
	if (offered < NUMBERS_LEAST)
		offered = NUMBERS_LEAST;
	memslots->numbers_max = (size_t)min_u64(NUMBERS_MAX, (uint64_t)offered);
	gmem_limit_runs(memslots->memory, memslots->numbers_max / 2);
}

static int region_added(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct memslots *memslots = container_of(listener, struct memslots, listener);
	const struct slot slot = {
		.gpa = region->gpa,
		.size_bytes = region->size_bytes,
		.hva = region->hva,
		.region_gpa = region->gpa,
		.of_chunk = region->block_bytes != 0,
	};
	int result = 0;

	pthread_mutex_lock(&memslots->lock);
	if (slot.of_chunk)
		ask_kvm(memslots);
	if (!slot.of_chunk || !memslots->parts_only)
		result = add_slot(memslots, slot);
	if (slot.of_chunk && result == -EPERM) {
		memslots->parts_only = true;
		result = 0;
	}
	if (result < 0)
		memslots->refused = *region;
	pthread_mutex_unlock(&memslots->lock);
	return result;
}

/*
 * KVM cannot refuse to delete a slot that exists. Should it ever, the number stays used: the guest
 * then faults on a hole instead of reaching other memory.
 */
static void region_removed(struct gmem_listener *listener, const struct gmem_region *region)
{
	struct memslots *memslots = container_of(listener, struct memslots, listener);
	size_t index;

	pthread_mutex_lock(&memslots->lock);
	while ((index = find_slot(memslots, region->gpa)) < memslots->count &&
	       memslots->slots[index].gpa - region->gpa < region->size_bytes)
		if (delete_slot(memslots, index) < 0)
			forget_slot(memslots, index);
	pthread_mutex_unlock(&memslots->lock);
}

/* Lock held. The part of [gpa, end) from *ret_gpa on that no slot covers; 0: all is covered. */
static uint64_t find_gap(const struct memslots *memslots, gpa_t gpa, gpa_t end, gpa_t *ret_gpa)
{
	size_t index = find_slot(memslots, gpa);

	for (; index < memslots->count && memslots->slots[index].gpa <= gpa; index++)
		gpa = memslots->slots[index].gpa + memslots->slots[index].size_bytes;
	if (index < memslots->count)
		end = min_u64(end, memslots->slots[index].gpa);
	*ret_gpa = gpa;
	return gpa < end ? end - gpa : 0;
}

/* Those that a plug that fails leaves cover what is not plugged, as chunks' do. */
static int blocks_plugged(struct gmem_listener *listener, const struct gmem_region *chunk,
                          gpa_t gpa, uint64_t size_bytes)
{
	struct memslots *memslots = container_of(listener, struct memslots, listener);
	gpa_t end = gpa + size_bytes;
	uint64_t gap_bytes;
	int result = 0;

	pthread_mutex_lock(&memslots->lock);
	while (!result && (gap_bytes = find_gap(memslots, gpa, end, &gpa)))
		result = add_slot(memslots, (struct slot){ .gpa = gpa,
		                                           .size_bytes = gap_bytes,
		                                           .hva = chunk->hva + (gpa - chunk->gpa),
		                                           .region_gpa = chunk->gpa,
		                                           .of_chunk = true });
	pthread_mutex_unlock(&memslots->lock);
	if (result == -ENOSPC)
		vm_quiet_request(
			&memslots->quiet); /* there are some when those side by side join */
	return result;
}

/* --- cutting slots down --- */

/* Whether it covers a block that is not plugged. */
static bool is_too_large(const struct memslots *memslots, const struct slot *slot)
{
	gpa_t end = slot->gpa + slot->size_bytes;
	bool is_there = true;

	for (gpa_t gpa = slot->gpa; gpa < end && is_there;)
		gpa += gmem_run(memslots->memory, gpa, end - gpa, &is_there);
	return !is_there;
}

bool memslots_narrow(struct memslots *memslots)
{
	bool found = false;

	pthread_mutex_lock(&memslots->lock);
	if (memslots->cut_failures < CUT_FAILURES_MAX)
		for (size_t i = 0; i < memslots->count && !found; i++)
			found = memslots->slots[i].of_chunk &&
			        is_too_large(memslots, &memslots->slots[i]);
	pthread_mutex_unlock(&memslots->lock);
	if (found)
		vm_quiet_request(&memslots->quiet);
	return found;
}

/* Lock held, as for what follows: the slots of a chunk are [*ret_first, return value). */
static size_t slots_of(const struct memslots *memslots, const struct gmem_region *chunk,
                       size_t *ret_first)
{
	size_t end = find_slot(memslots, chunk->gpa);

	*ret_first = end;
	while (end < memslots->count && memslots->slots[end].gpa - chunk->gpa < chunk->size_bytes)
		end++;
	return end;
}

/* The first run of plugged blocks at or behind *gpa, and no slot if there is none. */
static bool next_run(const struct memslots *memslots, const struct gmem_region *chunk, gpa_t *gpa,
                     struct slot *ret_slot)
{
	gpa_t end = chunk->gpa + chunk->size_bytes;

	while (*gpa < end) {
		gpa_t start = *gpa;
		bool is_there;

		*gpa += gmem_run(memslots->memory, start, end - start, &is_there);
		if (!is_there)
			continue;
		*ret_slot = (struct slot){ .gpa = start,
			                   .size_bytes = *gpa - start,
			                   .hva = chunk->hva + (start - chunk->gpa),
			                   .region_gpa = chunk->gpa,
			                   .of_chunk = true };
		return true;
	}
	return false;
}

/* Whether its slots are its runs already. */
static bool is_cut(const struct memslots *memslots, const struct gmem_region *chunk)
{
	size_t index, end = slots_of(memslots, chunk, &index);
	gpa_t gpa = chunk->gpa;
	struct slot run;

	for (; next_run(memslots, chunk, &gpa, &run); index++)
		if (index == end || memslots->slots[index].gpa != run.gpa ||
		    memslots->slots[index].size_bytes != run.size_bytes)
			return false;
	return index == end;
}

static bool is_among(const struct slot *slots, size_t count, const struct slot *slot)
{
	for (size_t i = 0; i < count; i++)
		if (slots[i].gpa == slot->gpa && slots[i].size_bytes == slot->size_bytes)
			return true;
	return false;
}

/* But for those of kept[0..kept_count). */
static int delete_slots(struct memslots *memslots, const struct gmem_region *chunk,
                        const struct slot *kept, size_t kept_count)
{
	size_t index, end = slots_of(memslots, chunk, &index);
	int result = 0;

	while (index < end && !result) {
		if (is_among(kept, kept_count, &memslots->slots[index])) {
			index++;
			continue;
		}
		result = delete_slot(memslots, index);
		end--;
	}
	return result;
}

static int add_runs(struct memslots *memslots, const struct gmem_region *chunk)
{
	gpa_t gpa = chunk->gpa;
	struct slot run;
	int result = 0;

	while (!result && next_run(memslots, chunk, &gpa, &run))
		result = add_slot(memslots, run);
	return result;
}

/* Of before[0..count), what is not there. */
static int put_back(struct memslots *memslots, const struct gmem_region *chunk,
                    const struct slot *before, size_t count)
{
	int result = delete_slots(memslots, chunk, before, count);

	for (size_t i = 0; i < count && !result; i++) {
		size_t index = find_slot(memslots, before[i].gpa);

		if (index == memslots->count || memslots->slots[index].gpa != before[i].gpa)
			result = add_slot(memslots, before[i]);
	}
	return result;
}

/* -errno: as before, if the VM is not to end. */
static int cut_chunk(struct memslots *memslots, const struct gmem_region *chunk)
{
	size_t first, count = slots_of(memslots, chunk, &first) - first;
	struct slot *before = calloc(count + 1, sizeof(*before));
	int result;

	if (!before)
		return -ENOMEM;
	memcpy(before, &memslots->slots[first], count * sizeof(*before));
	memslots->log_lost = true;
	result = delete_slots(memslots, chunk, NULL, 0);
	if (!result)
		result = add_runs(memslots, chunk);
	if (result < 0 && put_back(memslots, chunk, before, count) < 0)
		vm_request_end(memslots->vm, VM_END_HOST_FAILURE, 0);
	free(before);
	return result;
}

/* Of regions[0..count), the chunks. Where numbers run out, what joins in others may free them. */
static int cut_chunks(struct memslots *memslots, const struct gmem_region *regions, size_t count)
{
	bool has_cut;
	int result;

	do {
		has_cut = false;
		result = 0;
		for (size_t i = 0; i < count && (!result || result == -ENOSPC); i++) {
			int cut_result;

			if (!regions[i].block_bytes || is_cut(memslots, &regions[i]))
				continue;
			cut_result = cut_chunk(memslots, &regions[i]);
			has_cut |= !cut_result;
			result = cut_result < 0 ? cut_result : result;
		}
	} while (result == -ENOSPC && has_cut);
	return result;
}

/* In a moment of quiet. */
static void cut(void *ctx)
{
	struct memslots *memslots = ctx;
	struct gmem_region *regions;
	size_t count;
	int result = 0;

	gmem_hold_changes(memslots->memory);
	count = gmem_list_regions(memslots->memory, NULL, 0);
	regions = calloc(count + 1, sizeof(*regions));
	if (regions)
		gmem_list_regions(memslots->memory, regions, count);
	else
		result = -ENOMEM;
	pthread_mutex_lock(&memslots->lock);
	if (regions)
		result = cut_chunks(memslots, regions, count);
	memslots->cut_failures = result < 0 ? memslots->cut_failures + 1 : 0;
	pthread_mutex_unlock(&memslots->lock);
	gmem_allow_changes(memslots->memory);
	free(regions);
	if (result < 0)
		log_message_limited(memslots->vm->log, &memslots->cut_limit, LOG_ERROR,
		                    "memory slots cannot be cut down to what is plugged: %s",
		                    strerror(-result));
}

size_t memslots_count(struct memslots *memslots, gpa_t gpa, uint64_t size_bytes)
{
	size_t count = 0;

	pthread_mutex_lock(&memslots->lock);
	for (size_t i = find_slot(memslots, gpa); i < memslots->count; i++, count++)
		if (memslots->slots[i].gpa > gpa && memslots->slots[i].gpa - gpa >= size_bytes)
			break;
	pthread_mutex_unlock(&memslots->lock);
	return count;
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
	for (size_t i = 0; i < memslots->count; i++)
		(void)!set_slot(memslots, &memslots->slots[i], false);
}

int memslots_log_start(struct memslots *memslots)
{
	int result = 0;

	if (!memslots->log_allowed)
		return -ENOTSUP;
	pthread_mutex_lock(&memslots->lock);
	memslots->logging = true;
	memslots->log_lost = false;
	for (size_t i = 0; i < memslots->count && !result; i++)
		result = set_slot(memslots, &memslots->slots[i], true);
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

/* Lock held. The log of each slot of the region that starts at gpa; its words are whole, for blocks
 * are. */
static int read_logs(struct memslots *memslots, gpa_t gpa, uint64_t *words)
{
	int result = -ENOENT;

	for (size_t i = find_slot(memslots, gpa); i < memslots->count; i++) {
		const struct slot *slot = &memslots->slots[i];
		struct kvm_dirty_log log = { .slot = slot->number };

		if (slot->region_gpa != gpa)
			break;
		log.dirty_bitmap = words + (slot->gpa - gpa) / PAGE_4K_BYTES / 64;
		result = kvm_vm_ioctl(memslots->kvm_vm, KVM_GET_DIRTY_LOG, &log);
		if (result < 0)
			break;
	}
	return result;
}

int memslots_log_read(struct memslots *memslots, gpa_t gpa, uint64_t *words)
{
	int result = -ENOENT;

	pthread_mutex_lock(&memslots->lock);
	if (memslots->logging && !memslots->log_lost)
		result = read_logs(memslots, gpa, words);
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
	memslots->listener.blocks_plugged = blocks_plugged;
	memslots->vm = vm;
	memslots->memory = vm->memory;
	memslots->kvm_vm = vm->kvm_vm;
	memslots->numbers_max = NUMBERS_MAX;
	vm_quiet_init(&memslots->quiet, vm, cut, memslots);
	pthread_mutex_init(&memslots->lock, NULL);
	result = gmem_add_listener(vm->memory, &memslots->listener);
	if (result < 0) {
		tell_refused(memslots, result, err);
		pthread_mutex_destroy(&memslots->lock);
		free(memslots->slots);
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
	vm_quiet_cancel(&memslots->quiet);
	gmem_remove_listener(memslots->memory, &memslots->listener);
	pthread_mutex_destroy(&memslots->lock);
	free(memslots->slots);
	free(memslots);
}
