/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: regions of guest-physical addresses and the host mappings behind them.
 *
 * A region's host address is congruent to its guest-physical address modulo 1 GiB where the host
 * has the room and always modulo 2 MiB, so that host and guest huge pages line up. RAM is private,
 * anonymous, MAP_NORESERVE.
 *
 * Locking. The region table has a reader-writer lock. gmem_read, gmem_write and the queries take it
 * for themselves. A pointer from gmem_span is valid while the caller holds gmem_lock_shared
 * (recursive), and no longer. Adding and removing regions takes it exclusively; never call them
 * with the shared lock held. Any thread may call anything unless it says otherwise.
 *
 * Changes travel by listeners: region_added is called after the mapping exists and before any
 * translation finds it, in the order of registration; if one fails, those already told get
 * region_removed in reverse and the change fails. region_removed is called after translation
 * stopped finding it and before the mapping goes.
 */
#ifndef EBB_GUEST_MEMORY_H
#define EBB_GUEST_MEMORY_H

#include "ebb/error.h"
#include "ebb/list.h"
#include "ebb/types.h"

struct guest_memory;

#define GMEM_REGIONS_MAX 64

struct gmem_region {
	gpa_t gpa;           /* 4 KiB aligned */
	uint64_t size_bytes; /* a multiple of 4 KiB, not 0; gpa + size_bytes does not wrap */
	uint8_t *hva;
	bool thp;
};

struct gmem_listener { /* owned by the listener, linked while registered */
	struct list node;
	int (*region_added)(struct gmem_listener *listener, const struct gmem_region *region);
	void (*region_removed)(struct gmem_listener *listener, const struct gmem_region *region);
};

EBB_MUST_CHECK int guest_memory_create(struct guest_memory **ret_memory, struct error *err);

/* Unmaps every region without telling listeners: they are gone by then. */
void guest_memory_destroy(struct guest_memory *memory);

/* Errors: -EINVAL (alignment, wrap), -EEXIST (overlap), -ENOSPC (GMEM_REGIONS_MAX), -ENOMEM, a
 * listener's. */
EBB_MUST_CHECK int gmem_add_region(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes,
                                   bool thp, struct error *err);
EBB_MUST_CHECK int gmem_remove_region(struct guest_memory *memory, gpa_t gpa);

/* Set-up only. A new listener is told of the regions that are there already; -errno is the
 * listener's own. */
EBB_MUST_CHECK int gmem_add_listener(struct guest_memory *memory, struct gmem_listener *listener);
void gmem_remove_listener(struct guest_memory *memory, struct gmem_listener *listener);

void gmem_lock_shared(struct guest_memory *memory);
void gmem_unlock_shared(struct guest_memory *memory);

/* Changes with every region added or removed; never 0. Cached spans are stale when it differs. */
uint64_t gmem_generation(const struct guest_memory *memory);

/* Copies across neighbouring regions. -EFAULT, with nothing copied, when any byte is outside. */
EBB_MUST_CHECK int gmem_read(struct guest_memory *memory, gpa_t gpa, void *buf, size_t size_bytes);
EBB_MUST_CHECK int gmem_write(struct guest_memory *memory, gpa_t gpa, const void *buf,
                              size_t size_bytes);

/* Reads from a file straight into guest memory (loaders). -EFAULT, -EIO when the file ends early,
 * -errno of pread. */
EBB_MUST_CHECK int gmem_load_file(struct guest_memory *memory, gpa_t gpa, int fd,
                                  uint64_t file_offset, uint64_t size_bytes);

/* A host pointer to the whole range if one region holds it, else NULL. size_bytes may be 0 (NULL
 * then). */
void *gmem_span(struct guest_memory *memory, gpa_t gpa, uint64_t size_bytes);

/*
 * Makes the guest's next access to the 4 KiB page that holds gpa fault in the host anew, content
 * kept (for test devices). -EFAULT: no RAM there; -errno of mprotect.
 */
EBB_MUST_CHECK int gmem_flush_page(struct guest_memory *memory, gpa_t gpa);

/* Copies the regions, in ascending gpa, to regions[0..max); returns how many there are in all. */
size_t gmem_list_regions(struct guest_memory *memory, struct gmem_region *regions, size_t max);
uint64_t gmem_total_bytes(struct guest_memory *memory);

#endif
