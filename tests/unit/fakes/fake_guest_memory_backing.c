/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for src/guest_memory_backing.c: every file is a memfd of small pages, also where it is
 * said to have huge ones. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../src/guest_memory_backing.h"

int backing_file_get(struct list *files, const struct gmem_backing *backing, uint64_t size_bytes,
                     struct backing_file **ret_file, uint64_t *ret_offset, struct error *err)
{
	struct backing_file *file = calloc(1, sizeof(*file));
	int fd = memfd_create("fake", MFD_CLOEXEC);

	if (!file || fd < 0 || ftruncate(fd, (off_t)size_bytes)) {
		free(file);
		return error_set(err, -ENOMEM, "the fake backing");
	}
	*file = (struct backing_file){ .kind = backing->kind, .fd = fd, .region_count = 1 };
	file->page_bytes = backing->page_bytes ? backing->page_bytes : PAGE_4K_BYTES;
	list_append(files, &file->node);
	*ret_file = file;
	*ret_offset = 0;
	return 0;
}

void backing_file_put(struct backing_file *file)
{
	if (!file)
		return;
	list_remove(&file->node);
	close(file->fd);
	free(file);
}

int backing_reserve(const struct gmem_region *region)
{
	(void)region;
	return 0;
}

int backing_map(const struct gmem_region *region, const struct gmem_backing *backing,
                struct error *err)
{
	int flags = MAP_FIXED | MAP_NORESERVE;

	(void)backing;
	flags |= region->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	if (mmap(region->hva, region->size_bytes, PROT_READ | PROT_WRITE, flags, region->fd, 0) ==
	    MAP_FAILED)
		return error_set(err, -ENOMEM, "the fake backing");
	return 0;
}

/* --- areas --- */

static int map_fixed(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes,
                     int protection)
{
	int flags = MAP_FIXED | MAP_NORESERVE;

	flags |= area->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	return mmap(area->hva + offset_bytes, size_bytes, protection, flags, area->fd,
	            area->fd < 0 ? 0 : (off_t)offset_bytes) == MAP_FAILED
	               ? -ENOMEM
	               : 0;
}

int backing_area_map(const struct gmem_region *area)
{
	return map_fixed(area, 0, area->size_bytes, PROT_NONE);
}

int backing_plug(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes,
                 bool prealloc)
{
	(void)prealloc;
	return map_fixed(area, offset_bytes, size_bytes, PROT_READ | PROT_WRITE);
}

int backing_unplug(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes)
{
	return mprotect(area->hva + offset_bytes, size_bytes, PROT_NONE) ? -ENOMEM : 0;
}

int backing_plug_again(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes)
{
	return mprotect(area->hva + offset_bytes, size_bytes, PROT_READ | PROT_WRITE) ? -ENOMEM : 0;
}

int backing_vacate(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes)
{
	return map_fixed(area, offset_bytes, size_bytes, PROT_NONE);
}
