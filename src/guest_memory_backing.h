/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind a region: the files, and their mappings. Private to src/guest_memory*.c; under the
 * lock of changes. */
#ifndef GUEST_MEMORY_BACKING_H
#define GUEST_MEMORY_BACKING_H

#include "ebb/guest_memory.h"

struct backing_file {
	struct list node; /* of the guest's files */
	enum gmem_kind kind;
	uint64_t page_bytes;
	char *path; /* NULL: a memfd */
	int fd;
	uint64_t file_bytes, used_bytes;
	unsigned int region_count;
};

/*
 * The file of *backing among files, opened with the first region of it, and a place for size_bytes
 * in it. -errno with a message that names --mem's key, the value and what to do.
 */
EBB_MUST_CHECK int backing_file_get(struct list *files, const struct gmem_backing *backing,
                                    uint64_t size_bytes, struct backing_file **ret_file,
                                    uint64_t *ret_offset, struct error *err);

/* Closed with its last region. NULL is fine. */
void backing_file_put(struct backing_file *file);

/* Maps region->hva, which is reserved address space, locks and fills it as asked. */
EBB_MUST_CHECK int backing_map(const struct gmem_region *region, const struct gmem_backing *backing,
                               struct error *err);

/* Huge pages: what of them is neither there nor reserved is reserved. 0 or -errno. */
EBB_MUST_CHECK int backing_reserve(const struct gmem_region *region);

/* --- an area, as one region; offsets and sizes are whole blocks in it --- */

/* Maps it without any rights, if it has a file. 0 or -errno. */
EBB_MUST_CHECK int backing_area_map(const struct gmem_region *area);

/*
 * Blocks become memory, which was vacated. 0, or -ENOMEM with the place as it was; of a file, the
 * host may have given some pages.
 */
EBB_MUST_CHECK int backing_plug(const struct gmem_region *area, uint64_t offset_bytes,
                                uint64_t size_bytes, bool prealloc);

/* The blocks are about to go, and what they hold stays for now: nothing reaches those of a file any
 * more, and backing_vacate cannot fail for want of mappings. And back. 0, or -ENOMEM with all as it
 * was. */
EBB_MUST_CHECK int backing_unplug(const struct gmem_region *area, uint64_t offset_bytes,
                                  uint64_t size_bytes);
EBB_MUST_CHECK int backing_plug_again(const struct gmem_region *area, uint64_t offset_bytes,
                                      uint64_t size_bytes);

/* The place of unplugged blocks becomes as backing_area_map left it: what was advised, locked and
 * private there is gone. 0, or -ENOMEM with only their rights gone. */
EBB_MUST_CHECK int backing_vacate(const struct gmem_region *area, uint64_t offset_bytes,
                                  uint64_t size_bytes);

#endif
