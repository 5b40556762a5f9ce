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
 *guard of at least a page: an access past either end faults instead of reaching something of ours.
 * Reservations are MAP_NORESERVE: a guest's RAM costs the host what the guest touches, unless its
 * backing is reserved or filled beforehand. We never touch it ourselves, but to load images and to
 * serve devices. The mappings' pages are given back in reclaim.c alone.
 *
 * Locks: change_lock keeps one change (and its listener calls) apart from the next; table_lock is
 * held for writing only while the table itself changes, so a listener may read memory. Readers
 * nest: glibc's default reader-writer lock prefers readers, so a nested reader never waits behind a
 * writer.
 *
 * Limits: GMEM_REGIONS_MAX regions. No region is ever resized: add and remove whole ones.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ebb/guest_memory.h"
#include "ebb/metrics.h"
#include "guest_memory_backing.h"

#define GUARD_BYTES PAGE_4K_BYTES

struct slot {
	struct gmem_region region;
	struct backing_file *file; /* NULL: anonymous */
	void *reservation;
	size_t reservation_bytes;
};

struct guest_memory {
	pthread_mutex_t change_lock;
	struct list listeners;
	struct list files; /* struct backing_file */
	pthread_rwlock_t table_lock;
	size_t slot_count;
	struct slot slots[GMEM_REGIONS_MAX]; /* ascending gpa, apart from each other */
	struct metric_counter generation;
	struct gmem_watcher *watcher; /* NULL: none; table_lock */
};

int guest_memory_create(struct guest_memory **ret_memory, struct error *err)
{
	struct guest_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return error_set_errno(err, -ENOMEM, "guest memory");
	if (pthread_mutex_init(&memory->change_lock, NULL))
		goto free_memory;
	if (pthread_rwlock_init(&memory->table_lock, NULL))
		goto destroy_change_lock;
	list_init(&memory->listeners);
	list_init(&memory->files);
	metric_add(&memory->generation, 1);
	*ret_memory = memory;
	return 0;

destroy_change_lock:
	pthread_mutex_destroy(&memory->change_lock);
free_memory:
	free(memory);
	return error_set_errno(err, -ENOMEM, "guest memory");
}

static void unmap(struct slot *slot)
{
	munmap(slot->reservation, slot->reservation_bytes);
	backing_file_put(slot->file);
}

void guest_memory_destroy(struct guest_memory *memory)
{
	if (!memory)
		return;
	for (size_t i = 0; i < memory->slot_count; i++)
		unmap(&memory->slots[i]);
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

/* Undoes itself but for the file. */
static int map(struct slot *slot, const struct gmem_backing *backing, struct error *err)
{
	struct gmem_region *region = &slot->region;
	int result;

	if (!reserve(slot, PAGE_1G_BYTES) &&
	    (region->page_bytes > PAGE_2M_BYTES || !reserve(slot, PAGE_2M_BYTES)))
		return error_set(err, -ENOMEM,
		                 "--mem: the host has no address space for the %llu MiB of guest "
		                 "memory at 0x%llx (ask for less, or raise `ulimit -v`)",
		                 (unsigned long long)(region->size_bytes / MIB),
		                 (unsigned long long)region->gpa);
	result = backing_map(region, backing, err);
	if (result < 0)
		munmap(slot->reservation, slot->reservation_bytes);
	return result;
}

/* --- the table; lock held --- */

/* The index of the first region with gpa above the given one. */
static size_t upper_bound(const struct guest_memory *memory, gpa_t gpa)
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

static const struct gmem_region *find(const struct guest_memory *memory, gpa_t gpa)
{
	size_t index = upper_bound(memory, gpa);
	const struct gmem_region *region;

	if (!index)
		return NULL;
	region = &memory->slots[index - 1].region;
	return gpa - region->gpa < region->size_bytes ? region : NULL;
}

/* Whether neighbouring regions hold the whole range. */
static bool holds(const struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	while (size_bytes) {
		const struct gmem_region *region = find(memory, gpa);
		uint64_t part;

		if (!region)
			return false;
		part = min_u64(size_bytes, region->size_bytes - (gpa - region->gpa));
		gpa += part;
		size_bytes -= part;
	}
	return true;
}

static void insert(struct guest_memory *memory, const struct slot *slot)
{
	size_t index;

	pthread_rwlock_wrlock(&memory->table_lock);
	index = upper_bound(memory, slot->region.gpa);
	memmove(&memory->slots[index + 1], &memory->slots[index],
	        (memory->slot_count - index) * sizeof(memory->slots[0]));
	memory->slots[index] = *slot;
	memory->slot_count++;
	metric_increment(&memory->generation);
	pthread_rwlock_unlock(&memory->table_lock);
}

/* --- changes; change_lock held --- */

static int check_new(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	if (!size_bytes || !is_aligned(gpa | size_bytes, PAGE_4K_BYTES) ||
	    gpa + (size_bytes - 1) < gpa)
		return -EINVAL;
	for (size_t i = 0; i < memory->slot_count; i++) {
		const struct gmem_region *region = &memory->slots[i].region;

		if (ranges_overlap(region->gpa, region->size_bytes, gpa, size_bytes))
			return -EEXIST;
	}
	return memory->slot_count == GMEM_REGIONS_MAX ? -ENOSPC : 0;
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

/* The region's file, and what follows from it. */
static int choose_backing(struct guest_memory *memory, struct slot *slot,
                          const struct gmem_backing *backing, struct error *err)
{
	struct gmem_region *region = &slot->region;
	int result;

	region->kind = backing->kind;
	region->thp = backing->thp;
	region->locked = backing->lock;
	region->page_bytes = PAGE_4K_BYTES;
	region->fd = -1;
	if (backing->kind == GMEM_ANON)
		return 0;
	result = backing_file_get(&memory->files, backing, region->size_bytes, &slot->file,
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
	result = choose_backing(memory, &slot, backing, err);
	if (result < 0)
		return result;
	result = map(&slot, backing, err);
	if (result < 0) {
		backing_file_put(slot.file);
		return result;
	}
	result = tell_added(memory, &slot.region);
	if (result < 0) {
		unmap(&slot);
		return error_set_errno(
			err, result, "guest memory: the host does not take %llu MiB at 0x%llx",
			(unsigned long long)(size_bytes / MIB), (unsigned long long)gpa);
	}
	insert(memory, &slot);
	return 0;
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
	index = upper_bound(memory, gpa);
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

int gmem_remove_region(struct guest_memory *memory, gpa_t gpa)
{
	struct slot slot;
	int result = -ENOENT;

	pthread_mutex_lock(&memory->change_lock);
	if (extract(memory, gpa, &slot)) {
		list_for_each_reverse_safe (node, &memory->listeners) {
			struct gmem_listener *listener =
				container_of(node, struct gmem_listener, node);

			listener->region_removed(listener, &slot.region);
		}
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

void gmem_remove_listener(struct guest_memory *memory, struct gmem_listener *listener)
{
	pthread_mutex_lock(&memory->change_lock);
	list_remove(&listener->node);
	pthread_mutex_unlock(&memory->change_lock);
}

/* --- access --- */

typedef void (*part_fn)(uint8_t *hva, uint8_t *buf, size_t size_bytes);

static void copy_out(uint8_t *hva, uint8_t *buf, size_t size_bytes)
{
	memcpy(buf, hva, size_bytes);
}

static void copy_in(uint8_t *hva, uint8_t *buf, size_t size_bytes)
{
	memcpy(hva, buf, size_bytes);
}

static int copy(struct guest_memory *memory, gpa_t gpa, uint8_t *buf, size_t size_bytes,
                part_fn part_copy)
{
	int result = -EFAULT;

	gmem_lock_shared(memory);
	if (holds(memory, gpa, size_bytes)) {
		while (size_bytes) {
			const struct gmem_region *region = find(memory, gpa);
			uint64_t offset = gpa - region->gpa;
			uint64_t part = min_u64(size_bytes, region->size_bytes - offset);

			part_copy(region->hva + offset, buf, part);
			gpa += part;
			buf += part;
			size_bytes -= part;
		}
		result = 0;
	}
	gmem_unlock_shared(memory);
	return result;
}

int gmem_read(struct guest_memory *memory, gpa_t gpa, void *buf, size_t size_bytes)
{
	return copy(memory, gpa, buf, size_bytes, copy_out);
}

int gmem_write(struct guest_memory *memory, gpa_t gpa, const void *buf, size_t size_bytes)
{
	int result;

	gmem_lock_shared(memory);
	/* copy_in reads buf only. */
	result = copy(memory, gpa, (uint8_t *)(uintptr_t)buf, size_bytes, copy_in);
	if (!result)
		gmem_note_write(memory, gpa, size_bytes);
	gmem_unlock_shared(memory);
	return result;
}

int gmem_watch_writes(struct guest_memory *memory, struct gmem_watcher *watcher)
{
	int result = 0;

	pthread_rwlock_wrlock(&memory->table_lock);
	if (memory->watcher)
		result = -EBUSY;
	else
		memory->watcher = watcher;
	pthread_rwlock_unlock(&memory->table_lock);
	return result;
}

void gmem_unwatch_writes(struct guest_memory *memory, struct gmem_watcher *watcher)
{
	pthread_rwlock_wrlock(&memory->table_lock);
	if (memory->watcher == watcher)
		memory->watcher = NULL;
	pthread_rwlock_unlock(&memory->table_lock);
}

/* Under the shared lock. */
void gmem_note_write(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	if (memory->watcher)
		memory->watcher->written(memory->watcher, gpa, size_bytes);
}

/* Reads a part that one region holds. */
static int load_part(uint8_t *hva, int fd, uint64_t file_offset, uint64_t size_bytes)
{
	while (size_bytes) {
		ssize_t got = pread(fd, hva, size_bytes, (off_t)file_offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -EIO;
		hva += got;
		file_offset += (uint64_t)got;
		size_bytes -= (uint64_t)got;
	}
	return 0;
}

int gmem_load_file(struct guest_memory *memory, gpa_t gpa, int fd, uint64_t file_offset,
                   uint64_t size_bytes)
{
	int result = -EFAULT;

	if (file_offset > INT64_MAX || size_bytes > INT64_MAX - file_offset)
		return -EINVAL;
	gmem_lock_shared(memory);
	if (holds(memory, gpa, size_bytes)) {
		result = 0;
		while (size_bytes && !result) {
			const struct gmem_region *region = find(memory, gpa);
			uint64_t offset = gpa - region->gpa;
			uint64_t part = min_u64(size_bytes, region->size_bytes - offset);

			gmem_note_write(memory, gpa, part);
			result = load_part(region->hva + offset, fd, file_offset, part);
			gpa += part;
			file_offset += part;
			size_bytes -= part;
		}
	}
	gmem_unlock_shared(memory);
	return result;
}

void gmem_clear(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	static const uint8_t zeroes[PAGE_4K_BYTES];

	while (size_bytes) {
		uint64_t part = min_u64(size_bytes, PAGE_4K_BYTES - gpa % PAGE_4K_BYTES);
		const struct gmem_region *region;
		bool keeps;

		gmem_lock_shared(memory);
		region = find(memory, gpa);
		keeps = region && (region->kind == GMEM_FILE || region->locked);
		gmem_unlock_shared(memory);
		if (keeps)
			(void)!gmem_write(memory, gpa, zeroes, part);
		gpa += part;
		size_bytes -= part;
	}
}

void *gmem_span(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	const struct gmem_region *region = find(memory, gpa);

	if (!size_bytes || !region ||
	    !range_contains(region->gpa, region->size_bytes, gpa, size_bytes))
		return NULL;
	return region->hva + (gpa - region->gpa);
}

/*
 * Any change of a mapping's protection makes the kernel tell the MMU notifiers, and KVM drops what
 * it mapped. The detour is over more rights, never fewer: with fewer, a vCPU or a device of ours
 * that touched the page meanwhile would fault for good.
 */
int gmem_flush_page(struct guest_memory *memory, gpa_t gpa)
{
	const struct gmem_region *region;
	int ret = 0;

	gmem_lock_shared(memory);
	region = find(memory, gpa);
	if (!region) {
		ret = -EFAULT;
	} else {
		uint8_t *page = region->hva + align_down(gpa - region->gpa, region->page_bytes);

		if (mprotect(page, region->page_bytes, PROT_READ | PROT_WRITE | PROT_EXEC) ||
		    mprotect(page, region->page_bytes, PROT_READ | PROT_WRITE))
			ret = -errno;
	}
	gmem_unlock_shared(memory);
	return ret;
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
		total_bytes += memory->slots[i].region.size_bytes;
	gmem_unlock_shared(memory);
	return total_bytes;
}
