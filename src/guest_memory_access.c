/* SPDX-License-Identifier: Apache-2.0 */
/* Access to guest memory: bounded copies, spans, files read into it, and who hears of writes. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_memory_table.h"
#include "read_file.h"

/* Lock held. A host pointer to what is there from gpa on, as far as one region holds it:
 * *ret_part_bytes of size_bytes. NULL: nothing. */
static uint8_t *part_at(const struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes,
                        uint64_t *ret_part_bytes)
{
	const struct slot *slot = table_find(memory, gpa);
	bool is_there;

	if (!slot || !size_bytes)
		return NULL;
	*ret_part_bytes = table_run(slot, gpa, size_bytes, &is_there);
	return is_there ? slot->region.hva + (gpa - slot->region.gpa) : NULL;
}

/* Whether neighbouring regions hold the whole range. */
static bool holds(const struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	uint64_t part;

	for (; size_bytes; gpa += part, size_bytes -= part)
		if (!part_at(memory, gpa, size_bytes, &part))
			return false;
	return true;
}

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
			uint64_t part = 0;
			uint8_t *hva = part_at(memory, gpa, size_bytes, &part);

			part_copy(hva, buf, part);
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
	pthread_mutex_lock(&memory->unseen_lock);
	if (memory->watcher) {
		result = -EBUSY;
	} else {
		watcher->missed = !list_is_empty(&memory->unseen_writers);
		memory->watcher = watcher;
	}
	pthread_mutex_unlock(&memory->unseen_lock);
	pthread_rwlock_unlock(&memory->table_lock);
	return result;
}

void gmem_unwatch_writes(struct guest_memory *memory, struct gmem_watcher *watcher)
{
	pthread_rwlock_wrlock(&memory->table_lock);
	pthread_mutex_lock(&memory->unseen_lock);
	if (memory->watcher == watcher)
		memory->watcher = NULL;
	pthread_mutex_unlock(&memory->unseen_lock);
	pthread_rwlock_unlock(&memory->table_lock);
}

void gmem_add_unseen_writer(struct guest_memory *memory, struct gmem_unseen_writer *writer)
{
	pthread_mutex_lock(&memory->unseen_lock);
	list_append(&memory->unseen_writers, &writer->node);
	if (memory->watcher)
		memory->watcher->missed = true;
	pthread_mutex_unlock(&memory->unseen_lock);
}

void gmem_remove_unseen_writer(struct guest_memory *memory, struct gmem_unseen_writer *writer)
{
	pthread_mutex_lock(&memory->unseen_lock);
	list_remove(&writer->node);
	pthread_mutex_unlock(&memory->unseen_lock);
}

bool gmem_missed_writes(struct guest_memory *memory, const struct gmem_watcher *watcher)
{
	bool missed;

	pthread_mutex_lock(&memory->unseen_lock);
	missed = watcher->missed;
	pthread_mutex_unlock(&memory->unseen_lock);
	return missed;
}

void gmem_hold_unseen_writers(struct guest_memory *memory)
{
	pthread_mutex_lock(&memory->unseen_lock);
	list_for_each (node, &memory->unseen_writers) {
		struct gmem_unseen_writer *writer =
			container_of(node, struct gmem_unseen_writer, node);

		writer->hold(writer);
	}
	pthread_mutex_unlock(&memory->unseen_lock);
}

void gmem_let_unseen_writers_go(struct guest_memory *memory)
{
	pthread_mutex_lock(&memory->unseen_lock);
	list_for_each (node, &memory->unseen_writers) {
		struct gmem_unseen_writer *writer =
			container_of(node, struct gmem_unseen_writer, node);

		writer->let_go(writer);
	}
	pthread_mutex_unlock(&memory->unseen_lock);
}

void gmem_add_late_writer(struct guest_memory *memory, struct gmem_late_writer *writer)
{
	list_append(&memory->late_writers, &writer->node);
}

void gmem_remove_late_writer(struct gmem_late_writer *writer)
{
	list_remove(&writer->node);
}

void gmem_settle_late_writers(struct guest_memory *memory)
{
	list_for_each (node, &memory->late_writers) {
		struct gmem_late_writer *writer = container_of(node, struct gmem_late_writer, node);

		writer->settle(writer);
	}
}

/* Under the shared lock. */
void gmem_note_write(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	if (memory->watcher)
		memory->watcher->written(memory->watcher, gpa, size_bytes);
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
			uint64_t part = 0;
			uint8_t *hva = part_at(memory, gpa, size_bytes, &part);

			gmem_note_write(memory, gpa, part);
			result = read_file(fd, file_offset, hva, part);
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
		const struct slot *slot;
		bool keeps;

		gmem_lock_shared(memory);
		slot = table_find(memory, gpa);
		keeps = slot && (slot->region.kind == GMEM_FILE || slot->region.locked);
		gmem_unlock_shared(memory);
		if (keeps)
			(void)!gmem_write(memory, gpa, zeroes, part);
		gpa += part;
		size_bytes -= part;
	}
}

void *gmem_span(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes)
{
	uint64_t part_bytes = 0;
	uint8_t *hva = part_at(memory, gpa, size_bytes, &part_bytes);

	return part_bytes == size_bytes ? hva : NULL;
}

void *gmem_span_prefix(struct guest_memory *memory, gpa_t gpa, uint64_t *size_bytes)
{
	return part_at(memory, gpa, *size_bytes, size_bytes);
}

uint64_t gmem_run(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes, bool *ret_there)
{
	const struct slot *slot;
	size_t next;

	gmem_lock_shared(memory);
	slot = table_find(memory, gpa);
	if (slot) {
		size_bytes = table_run(slot, gpa, size_bytes, ret_there);
	} else {
		next = table_upper_bound(memory, gpa);
		if (next < memory->slot_count)
			size_bytes = min_u64(size_bytes, memory->slots[next].region.gpa - gpa);
		*ret_there = false;
	}
	gmem_unlock_shared(memory);
	return size_bytes;
}

/*
 * For test devices alone: their vCPUs' list has a call that no other has.
 * Syscalls: test: mprotect:exec
 *
 * Any change of a mapping's protection makes the kernel tell the MMU notifiers, and KVM drops what
 * it mapped. The detour is over more rights, never fewer: with fewer, a vCPU or a device of ours
 * that touched the page meanwhile would fault for good.
 */
int gmem_flush_page(struct guest_memory *memory, gpa_t gpa)
{
	const struct gmem_region *region;
	const struct slot *slot;
	uint64_t part_bytes;
	uint8_t *page;
	int ret = -EFAULT;

	gmem_lock_shared(memory);
	slot = table_find(memory, gpa);
	if (slot && part_at(memory, gpa, 1, &part_bytes)) {
		region = &slot->region;
		page = region->hva + align_down(gpa - region->gpa, region->page_bytes);
		ret = 0;
		if (mprotect(page, region->page_bytes, PROT_READ | PROT_WRITE | PROT_EXEC) ||
		    mprotect(page, region->page_bytes, PROT_READ | PROT_WRITE))
			ret = -errno;
	}
	gmem_unlock_shared(memory);
	return ret;
}
