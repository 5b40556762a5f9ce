/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the region table, the mappings behind it, translation, listeners.
 *
 * DOC: Each region is carved out of a reservation of its own:
 *
 *	PROT_NONE | region, read and write | PROT_NONE
 *	          ^ hva, congruent to gpa modulo 1 GiB (2 MiB where address space is short)
 *
 * The reservation is one mmap that is larger than the region by the alignment; the region is made
 * accessible in place (guest_memory_backing.c), and what is left over on both sides stays as a
 * guard of at least a page: an access past either end faults instead of reaching something of ours.
 * Reservations are MAP_NORESERVE: a guest's RAM costs the host what the guest touches, unless its
 * backing is reserved or filled beforehand. We never touch it ourselves, but to load images and to
 * serve devices. The mappings' pages are given back in reclaim.c alone.
 *
 * Locks: change_lock keeps one change (and its listener calls) apart from the next; table_lock is
 * held for writing only while the table itself changes, so a listener may read memory. Readers
 * nest: glibc's default reader-writer lock prefers readers, so a nested reader never waits behind a
 * writer.
 *
 * Areas (guest_memory_area.c) reserve their addresses once, and put chunks of them into the table
 * and take them out again. Whoever looks something up sees a region, of which a chunk may have
 * blocks that are not there.
 *
 * Limits: GMEM_REGIONS_MAX regions. No region is ever resized: add and remove whole ones.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_memory_table.h"

#define GUARD_BYTES PAGE_4K_BYTES
#define SLOTS_FIRST 4

/* Each may cost two mappings of the 65530 that vm.max_map_count grants: half of them. */
#define RUNS_MAX 16384

int guest_memory_create(struct guest_memory **ret_memory, struct error *err)
{
	struct guest_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return error_set_errno(err, -ENOMEM, "guest memory");
	if (pthread_mutex_init(&memory->change_lock, NULL))
		goto free_memory;
	if (pthread_rwlock_init(&memory->table_lock, NULL))
		goto destroy_change_lock;
	if (pthread_mutex_init(&memory->unseen_lock, NULL))
		goto destroy_table_lock;
	list_init(&memory->unseen_writers);
	list_init(&memory->late_writers);
	list_init(&memory->listeners);
	list_init(&memory->files);
	list_init(&memory->areas);
	memory->runs_max = RUNS_MAX;
	metric_add(&memory->generation, 1);
	*ret_memory = memory;
	return 0;

destroy_table_lock:
	pthread_rwlock_destroy(&memory->table_lock);
destroy_change_lock:
	pthread_mutex_destroy(&memory->change_lock);
free_memory:
	free(memory);
	return error_set_errno(err, -ENOMEM, "guest memory");
}

static void unmap(struct slot *slot)
{
	if (!slot->reservation)
		return;
	munmap(slot->reservation, slot->reservation_bytes);
	backing_file_put(slot->file);
}

void guest_memory_destroy(struct guest_memory *memory)
{
	if (!memory)
		return;
	for (size_t i = 0; i < memory->slot_count; i++)
		unmap(&memory->slots[i]);
	free(memory->slots);
	list_for_each_safe (node, &memory->areas)
		area_destroy(container_of(node, struct gmem_area, node));
	pthread_mutex_destroy(&memory->unseen_lock);
	pthread_rwlock_destroy(&memory->table_lock);
	pthread_mutex_destroy(&memory->change_lock);
	free(memory);
}

void gmem_lock_shared(struct guest_memory *memory)
{
	pthread_rwlock_rdlock(&memory->table_lock);
}

void gmem_unlock_shared(struct guest_memory *memory)
{
	pthread_rwlock_unlock(&memory->table_lock);
}

uint64_t gmem_generation(const struct guest_memory *memory)
{
	return metric_read(&memory->generation);
}

/* --- mappings --- */

static bool reserve(struct slot *slot, uint64_t alignment)
{
	const struct gmem_region *region = &slot->region;
	uint64_t total_bytes = region->size_bytes + alignment + 2 * GUARD_BYTES;
	uint64_t first;
	void *reservation;

	if (total_bytes < region->size_bytes || total_bytes > SIZE_MAX)
		return false;
	reservation = mmap(NULL, total_bytes, PROT_NONE,
	                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reservation == MAP_FAILED)
		return false;
	/* The first address behind the guard that is congruent to gpa. */
	first = (uintptr_t)reservation + GUARD_BYTES;
	first += (region->gpa - first) & (alignment - 1);
	slot->region.hva = (uint8_t *)reservation + (first - (uintptr_t)reservation);
	slot->reservation = reservation;
	slot->reservation_bytes = total_bytes;
	return true;
}

int table_reserve(struct slot *slot, struct error *err)
{
	if (reserve(slot, PAGE_1G_BYTES) ||
	    (slot->region.page_bytes <= PAGE_2M_BYTES && reserve(slot, PAGE_2M_BYTES)))
		return 0;
	return error_set(err, -ENOMEM,
	                 "the host has no address space for the %llu MiB of guest "
	                 "memory at 0x%llx (ask for less, or raise `ulimit -v`)",
	                 (unsigned long long)(slot->region.size_bytes / MIB),
	                 (unsigned long long)slot->region.gpa);
}

/* Undoes itself but for the file. */
static int map(struct slot *slot, const struct gmem_backing *backing, struct error *err)
{
	int result = table_reserve(slot, err);

	if (result < 0) {
		error_prefix(err, "--mem");
		return result;
	}
	result = backing_map(&slot->region, backing, err);
	if (result < 0)
		munmap(slot->reservation, slot->reservation_bytes);
	return result;
}

/* --- the table; lock held --- */

size_t table_upper_bound(const struct guest_memory *memory, gpa_t gpa)
{
	size_t low = 0, high = memory->slot_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memory->slots[middle].region.gpa <= gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct slot *table_find(const struct guest_memory *memory, gpa_t gpa)
{
	size_t index = table_upper_bound(memory, gpa);
	const struct slot *slot;

	if (!index)
		return NULL;
	slot = &memory->slots[index - 1];
	return gpa - slot->region.gpa < slot->region.size_bytes ? slot : NULL;
}

uint64_t table_run(const struct slot *slot, gpa_t gpa, uint64_t size_bytes, bool *ret_there)
{
	const struct gmem_region *region = &slot->region;

	size_bytes = min_u64(size_bytes, region->size_bytes - (gpa - region->gpa));
	if (slot->area)
		return table_area_run(slot->area, gpa, size_bytes, ret_there);
	*ret_there = true;
	return size_bytes;
}

/* --- changes; change_lock held --- */

int table_make_room(struct guest_memory *memory)
{
	size_t slots_max = memory->slots_max ? 2 * memory->slots_max : SLOTS_FIRST;
	struct slot *slots;

	if (memory->slot_count == GMEM_REGIONS_MAX)
		return -ENOSPC;
	if (memory->slot_count < memory->slots_max)
		return 0;
	pthread_rwlock_wrlock(&memory->table_lock);
	slots = reallocarray(memory->slots, slots_max, sizeof(*slots));
	if (slots) {
		memory->slots = slots;
		memory->slots_max = slots_max;
	}
	pthread_rwlock_unlock(&memory->table_lock);
	return slots ? 0 : -ENOMEM;
}

bool table_overlaps(const struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	for (size_t i = 0; i < memory->slot_count; i++) {
		const struct gmem_region *region = &memory->slots[i].region;

		if (ranges_overlap(region->gpa, region->size_bytes, gpa, size_bytes))
			return true;
	}
	list_for_each (node, &memory->areas) {
		const struct gmem_region *whole =
			&container_of(node, struct gmem_area, node)->whole;

		if (ranges_overlap(whole->gpa, whole->size_bytes, gpa, size_bytes))
			return true;
	}
	return false;
}

static int check_new(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	if (!size_bytes || !is_aligned(gpa | size_bytes, PAGE_4K_BYTES) ||
	    gpa + (size_bytes - 1) < gpa)
		return -EINVAL;
	if (table_overlaps(memory, gpa, size_bytes))
		return -EEXIST;
	return table_make_room(memory);
}

static int tell_added(struct guest_memory *memory, const struct gmem_region *region)
{
	struct list *failed = &memory->listeners;
	int result = 0;

	list_for_each (node, &memory->listeners) {
		struct gmem_listener *listener = container_of(node, struct gmem_listener, node);

		result = listener->region_added(listener, region);
		if (result < 0) {
			failed = node;
			break;
		}
	}
	if (result >= 0)
		return 0;
	for (struct list *node = failed->prev; node != &memory->listeners; node = node->prev) {
		struct gmem_listener *listener = container_of(node, struct gmem_listener, node);

		listener->region_removed(listener, region);
	}
	return result;
}

static void insert(struct guest_memory *memory, const struct slot *slot)
{
	size_t index;

	pthread_rwlock_wrlock(&memory->table_lock);
	index = table_upper_bound(memory, slot->region.gpa);
	memmove(&memory->slots[index + 1], &memory->slots[index],
	        (memory->slot_count - index) * sizeof(memory->slots[0]));
	memory->slots[index] = *slot;
	memory->slot_count++;
	metric_increment(&memory->generation);
	pthread_rwlock_unlock(&memory->table_lock);
}

int table_add(struct guest_memory *memory, const struct slot *slot)
{
	int result = tell_added(memory, &slot->region);

	if (result >= 0)
		insert(memory, slot);
	return result;
}

int table_choose_backing(struct list *files, const struct gmem_backing *backing, struct slot *slot,
                         struct error *err)
{
	struct gmem_region *region = &slot->region;
	int result;

	region->kind = backing->kind;
	region->thp = backing->thp;
	region->locked = backing->lock;
	region->has_host_node = backing->has_host_node;
	region->host_node = backing->host_node;
	region->page_bytes = PAGE_4K_BYTES;
	region->fd = -1;
	if (backing->kind == GMEM_ANON)
		return 0;
	result = backing_file_get(files, backing, region->size_bytes, &slot->file,
	                          &region->file_offset, err);
	if (result < 0)
		return result;
	region->fd = slot->file->fd;
	region->page_bytes = slot->file->page_bytes;
	if (is_aligned(region->gpa | region->size_bytes, region->page_bytes))
		return 0;
	backing_file_put(slot->file);
	return error_set(
		err, -EINVAL,
		"--mem: %llu KiB of guest memory at 0x%llx are not whole huge pages (give a "
		"multiple of %llu KiB)",
		(unsigned long long)(region->size_bytes / KIB), (unsigned long long)region->gpa,
		(unsigned long long)(region->page_bytes / KIB));
}

static int add_region(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes,
                      const struct gmem_backing *backing, struct error *err)
{
	struct slot slot = { .region = { .gpa = gpa, .size_bytes = size_bytes } };
	int result = check_new(memory, gpa, size_bytes);

	if (result < 0)
		return error_set_errno(err, result,
		                       "guest memory: region of 0x%llx bytes at 0x%llx",
		                       (unsigned long long)size_bytes, (unsigned long long)gpa);
	result = table_choose_backing(&memory->files, backing, &slot, err);
	if (result < 0)
		return result;
	result = map(&slot, backing, err);
	if (result < 0) {
		backing_file_put(slot.file);
		return result;
	}
	result = table_add(memory, &slot);
	if (result >= 0)
		return 0;
	unmap(&slot);
	return error_set_errno(err, result,
	                       "guest memory: the host does not take %llu MiB at 0x%llx",
	                       (unsigned long long)(size_bytes / MIB), (unsigned long long)gpa);
}

int gmem_add_region(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes,
                    const struct gmem_backing *backing, struct error *err)
{
	static const struct gmem_backing anonymous = { .kind = GMEM_ANON };
	int result;

	pthread_mutex_lock(&memory->change_lock);
	result = add_region(memory, gpa, size_bytes, backing ? backing : &anonymous, err);
	pthread_mutex_unlock(&memory->change_lock);
	return result;
}

/* Takes the region that starts at gpa out of the table. */
static bool extract(struct guest_memory *memory, gpa_t gpa, struct slot *ret_slot)
{
	bool found;
	size_t index;

	pthread_rwlock_wrlock(&memory->table_lock);
	index = table_upper_bound(memory, gpa);
	found = index && memory->slots[index - 1].region.gpa == gpa;
	if (found) {
		*ret_slot = memory->slots[index - 1];
		memmove(&memory->slots[index - 1], &memory->slots[index],
		        (memory->slot_count - index) * sizeof(memory->slots[0]));
		memory->slot_count--;
		metric_increment(&memory->generation);
	}
	pthread_rwlock_unlock(&memory->table_lock);
	return found;
}

bool table_remove(struct guest_memory *memory, gpa_t gpa, struct slot *ret_slot)
{
	if (!extract(memory, gpa, ret_slot))
		return false;
	list_for_each_reverse_safe (node, &memory->listeners) {
		struct gmem_listener *listener = container_of(node, struct gmem_listener, node);

		listener->region_removed(listener, &ret_slot->region);
	}
	return true;
}

static bool is_chunk(const struct guest_memory *memory, gpa_t gpa)
{
	const struct slot *slot = table_find(memory, gpa);

	return slot && slot->area;
}

int gmem_remove_region(struct guest_memory *memory, gpa_t gpa)
{
	struct slot slot;
	int result = -ENOENT;

	pthread_mutex_lock(&memory->change_lock);
	if (!is_chunk(memory, gpa) && table_remove(memory, gpa, &slot)) {
		unmap(&slot);
		result = 0;
	}
	pthread_mutex_unlock(&memory->change_lock);
	return result;
}

int gmem_reserve(struct guest_memory *memory)
{
	int result = 0;

	gmem_lock_shared(memory);
	for (size_t i = 0; !result && i < memory->slot_count; i++)
		if (!memory->slots[i].area)
			result = backing_reserve(&memory->slots[i].region);
	gmem_unlock_shared(memory);
	return result;
}

int gmem_add_listener(struct guest_memory *memory, struct gmem_listener *listener)
{
	int result = 0;

	pthread_mutex_lock(&memory->change_lock);
	for (size_t i = 0; i < memory->slot_count; i++) {
		result = listener->region_added(listener, &memory->slots[i].region);
		if (result >= 0)
			continue;
		while (i--)
			listener->region_removed(listener, &memory->slots[i].region);
		break;
	}
	if (result >= 0) {
		list_append(&memory->listeners, &listener->node);
		result = 0;
	}
	pthread_mutex_unlock(&memory->change_lock);
	return result;
}

void gmem_hold_changes(struct guest_memory *memory)
{
	pthread_mutex_lock(&memory->change_lock);
}

void gmem_allow_changes(struct guest_memory *memory)
{
	pthread_mutex_unlock(&memory->change_lock);
}

void gmem_limit_runs(struct guest_memory *memory, size_t max)
{
	if (max < memory->runs_max)
		memory->runs_max = max;
}

void gmem_remove_listener(struct guest_memory *memory, struct gmem_listener *listener)
{
	pthread_mutex_lock(&memory->change_lock);
	list_remove(&listener->node);
	pthread_mutex_unlock(&memory->change_lock);
}

size_t gmem_list_regions(struct guest_memory *memory, struct gmem_region *regions, size_t max)
{
	size_t count;

	gmem_lock_shared(memory);
	count = memory->slot_count;
	for (size_t i = 0; i < count && i < max; i++)
		regions[i] = memory->slots[i].region;
	gmem_unlock_shared(memory);
	return count;
}

uint64_t gmem_total_bytes(struct guest_memory *memory)
{
	uint64_t total_bytes = 0;

	gmem_lock_shared(memory);
	for (size_t i = 0; i < memory->slot_count; i++)
		if (!memory->slots[i].area)
			total_bytes += memory->slots[i].region.size_bytes;
	list_for_each (node, &memory->areas)
		total_bytes += container_of(node, struct gmem_area, node)->plugged_bytes;
	gmem_unlock_shared(memory);
	return total_bytes;
}
