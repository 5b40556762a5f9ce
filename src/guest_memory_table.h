/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory's tables: regions and areas. Private to src/guest_memory*.c. See DOC in
 * guest_memory.c. */
#ifndef GUEST_MEMORY_TABLE_H
#define GUEST_MEMORY_TABLE_H

#include <pthread.h>

#include "ebb/bitmap.h"
#include "ebb/guest_memory.h"
#include "ebb/metrics.h"
#include "guest_memory_backing.h"

struct slot {
	struct gmem_region region;
	struct backing_file *file; /* NULL: anonymous, or the area's */
	void *reservation;         /* NULL: the area's */
	size_t reservation_bytes;
	const struct gmem_area *area; /* NULL: a region of its own */
};

struct gmem_area {
	struct list node;
	struct guest_memory *memory;
	struct gmem_region whole; /* all of it, as if it were one region */
	struct list files;        /* one, or none: anonymous */
	struct backing_file *file;
	bool prealloc;
	void *reservation;
	size_t reservation_bytes;
	uint64_t chunk_bytes;
	size_t block_count;
	uint64_t *plugged; /* a bit a block; change_lock and, to write or to read, table_lock */
	uint64_t plugged_bytes;
	/* change_lock: unplugged, and its place not yet as new; none outside of [begin, end). */
	uint64_t *stale;
	size_t stale_begin, stale_end;
	uint64_t *seams; /* change_lock: private blocks that may begin a mapping within a run */
};

struct guest_memory {
	pthread_mutex_t change_lock;
	struct list listeners;
	struct list files; /* struct backing_file */
	struct list areas; /* struct gmem_area */
	size_t run_count;  /* of plugged blocks, counted in each chunk */
	size_t runs_max;
	size_t seam_count; /* of all areas */
	pthread_rwlock_t table_lock;
	size_t slot_count, slots_max;
	struct slot *slots; /* ascending gpa, apart from each other */
	struct metric_counter generation;
	struct gmem_watcher *watcher; /* NULL: none; table_lock, and to write unseen_lock too */
	pthread_mutex_t unseen_lock;  /* taken last */
	struct list unseen_writers;
	struct list late_writers; /* the io loop's thread's own */
};

/* --- under the table lock --- */

/* The index of the first slot with gpa above the given one. */
size_t table_upper_bound(const struct guest_memory *memory, gpa_t gpa);

/* The slot that holds gpa, or NULL. */
const struct slot *table_find(const struct guest_memory *memory, gpa_t gpa);

/* Of [gpa, gpa + size_bytes), gpa inside the slot: the bytes from gpa on that lie in it and are all
 * there, or all not. */
uint64_t table_run(const struct slot *slot, gpa_t gpa, uint64_t size_bytes, bool *ret_there);

/* The same of an area's blocks. */
uint64_t table_area_run(const struct gmem_area *area, gpa_t gpa, uint64_t size_bytes,
                        bool *ret_plugged);

/* --- under the change lock; the table lock not held --- */

/* Room for one region more. -ENOSPC, -ENOMEM. */
EBB_MUST_CHECK int table_make_room(struct guest_memory *memory);

/* Tells the listeners and puts the region into the table, for which there is room; -errno of a
 * listener. */
EBB_MUST_CHECK int table_add(struct guest_memory *memory, const struct slot *slot);

/* Takes the region that starts at gpa out of the table and tells the listeners. */
bool table_remove(struct guest_memory *memory, gpa_t gpa, struct slot *ret_slot);

/* Whether a region or an area shares a byte with the range. */
bool table_overlaps(const struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes);

/* What is behind slot->region, whose gpa and size say where: its file, and what follows from it. */
EBB_MUST_CHECK int table_choose_backing(struct list *files, const struct gmem_backing *backing,
                                        struct slot *slot, struct error *err);

/* Reserved address space for slot->region, whose hva it sets. */
EBB_MUST_CHECK int table_reserve(struct slot *slot, struct error *err);

/* --- areas; guest_memory_area.c --- */

void area_destroy(struct gmem_area *area); /* without telling */

#endif
