/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a region of guest memory: anonymous memory, or a place in a file.
 *
 * DOC: all regions of a guest with the same backing lie in one file, one behind the other, so that
 * RAM below and above the 32-bit hole is one memfd, and one file of the user's holds it whole.
 *
 *	memfd     shared memory. Sealed: it never changes its size, and nobody adds other seals.
 *	hugetlb   a memfd of huge pages. Mapping it reserves the pages in the host's pool, so that a
 *	          guest that starts has its memory. A page that is released leaves the reservation
 *	          and is anybody's; whether the pool still has one when the guest wants it back is
 *	          the user's to see to (docs/ebb.1).
 *	file      has its size already, is locked (flock) against a second guest, and keeps what the
 *	          guest wrote. A file of hugetlbfs has huge pages.
 *
 * Locked memory is locked as it is touched, unless all of it is there from the start.
 *
 * Areas (guest_memory_area.c) are mapped without rights and without a reservation. A block that is
 * plugged gets rights, and what of advice and locks is wanted; huge pages are reserved and put
 * there at once, for a guest that faults when the pool is empty would be killed. A block that is
 * unplugged is mapped anew, without rights, when its pages are gone: so mappings that are alike
 * join again, and their number follows the runs of plugged blocks whatever the guest did before.
 *
 * Syscalls: main,reclaim: fallocate fstat madvise mlock2
 */
#include "guest_memory_backing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ebb/numa.h"

/* log2 of the page size goes here in memfd_create's flags (MFD_HUGE_2MB and its like). */
#define MEMFD_HUGE_SHIFT 26

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* --- the pool of huge pages --- */

#define POOL_FORMAT "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s"

static bool read_pool(uint64_t page_bytes, const char *name, unsigned long long *ret_count)
{
	char path[128], text[32] = "";
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), POOL_FORMAT, page_bytes / KIB, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	return length > 0 && sscanf(text, "%llu", ret_count) == 1;
}

static const char *page_name(uint64_t page_bytes)
{
	return page_bytes == PAGE_1G_BYTES ? "1G" : "2M";
}

/* The host has not got the pages: how many, and where to say so. */
static int pool_too_small(uint64_t page_bytes, uint64_t size_bytes, int result, struct error *err)
{
	unsigned long long free_pages, reserved, total, wanted = size_bytes / page_bytes, missing;
	char path[128];

	snprintf(path, sizeof(path), POOL_FORMAT, page_bytes / KIB, "nr_hugepages");
	if (!read_pool(page_bytes, "free_hugepages", &free_pages) ||
	    !read_pool(page_bytes, "resv_hugepages", &reserved) ||
	    !read_pool(page_bytes, "nr_hugepages", &total))
		return error_set(err, -ENODEV,
		                 "--mem page-size=%s: this host has no huge pages of that size "
		                 "(give another, or leave out backing=hugetlb)",
		                 page_name(page_bytes));
	free_pages = free_pages > reserved ? free_pages - reserved : 0;
	missing = wanted > free_pages ? wanted - free_pages : 0;
	return error_set(
		err, result,
		"--mem backing=hugetlb: of %llu huge pages of %s the host's pool, %llu in "
		"all, has %llu to give: %llu are missing (write %llu to %s, or ask for less)",
		wanted, page_name(page_bytes), total, free_pages, missing, total + missing, path);
}

/* --- files --- */

static int open_memfd(struct backing_file *file, struct error *err)
{
	unsigned int flags = MFD_ALLOW_SEALING;
	int result;

	if (file->kind == GMEM_HUGETLB)
		flags |= MFD_HUGETLB | (unsigned int)__builtin_ctzll(file->page_bytes)
		                               << MEMFD_HUGE_SHIFT;
	file->fd = memfd_create("ebb-guest-memory", MFD_CLOEXEC | flags);
	if (file->fd < 0 && file->kind == GMEM_HUGETLB)
		return pool_too_small(file->page_bytes, file->file_bytes, -errno, err);
	if (file->fd < 0)
		return error_set_errno(err, -errno, "--mem backing=memfd");
	if (ftruncate(file->fd, (off_t)file->file_bytes) == 0 &&
	    fcntl(file->fd, F_ADD_SEALS, SEALS) == 0)
		return 0;
	result = -errno;
	close(file->fd);
	return error_set_errno(err, result, "--mem: a memfd of %llu MiB",
	                       (unsigned long long)(file->file_bytes / MIB));
}

/* A file's size in *ret_bytes, a huge page's where it is made of them. */
static int measure(struct backing_file *file, uint64_t *ret_bytes, struct error *err)
{
	struct statfs filesystem;
	struct stat status;
	off_t end;

	if (fstat(file->fd, &status) || fstatfs(file->fd, &filesystem))
		return error_set_errno(err, -errno, "--mem path=%s", file->path);
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return error_set(err, -EINVAL,
		                 "--mem path=%s: neither a file nor a block device (give one)",
		                 file->path);
	end = lseek(file->fd, 0, SEEK_END);
	if (end < 0)
		return error_set_errno(err, -errno, "--mem path=%s", file->path);
	if (filesystem.f_type == HUGETLBFS_MAGIC)
		file->page_bytes = (uint64_t)filesystem.f_bsize;
	*ret_bytes = (uint64_t)end;
	return 0;
}

static int check_file(struct backing_file *file, struct error *err)
{
	const unsigned long long wanted_mib = (file->file_bytes + MIB - 1) / MIB;
	uint64_t size_bytes = 0;
	int result = measure(file, &size_bytes, err);

	if (result < 0)
		return result;
	if (size_bytes < file->file_bytes)
		return error_set(err, -EINVAL,
		                 "--mem path=%s: it holds %llu MiB and the guest takes %llu MiB "
		                 "(truncate -s %lluM %s makes it larger)",
		                 file->path, (unsigned long long)(size_bytes / MIB), wanted_mib,
		                 wanted_mib, file->path);
	if (flock(file->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(
			err, -EBUSY,
			"--mem path=%s: in use, perhaps by another guest (give each guest a "
			"file of its own)",
			file->path);
	return error_set_errno(err, -errno, "--mem path=%s: cannot be locked", file->path);
}

static int open_path(struct backing_file *file, struct error *err)
{
	int result;

	file->fd = open(file->path, O_RDWR | O_CLOEXEC);
	if (file->fd < 0 && errno == ENOENT)
		return error_set(
			err, -EINVAL, "--mem path=%s: no such file (truncate -s %lluM %s makes it)",
			file->path, (unsigned long long)((file->file_bytes + MIB - 1) / MIB),
			file->path);
	if (file->fd < 0)
		return error_set(
			err, -EINVAL,
			"--mem path=%s: cannot be opened for reading and writing: %s (give a "
			"file that this user may write)",
			file->path, strerror(errno));
	result = check_file(file, err);
	if (result < 0)
		close(file->fd);
	return result;
}

static bool is_file_of(const struct backing_file *file, const struct gmem_backing *backing,
                       uint64_t size_bytes)
{
	if (file->kind != backing->kind || file->file_bytes - file->used_bytes < size_bytes)
		return false;
	if (backing->kind == GMEM_FILE)
		return strcmp(file->path, backing->path) == 0;
	return backing->kind != GMEM_HUGETLB || file->page_bytes == backing->page_bytes;
}

static int open_file(struct list *files, const struct gmem_backing *backing, uint64_t size_bytes,
                     struct backing_file **ret_file, struct error *err)
{
	struct backing_file *file = calloc(1, sizeof(*file));
	int result;

	if (file && backing->kind == GMEM_FILE)
		file->path = strdup(backing->path);
	if (!file || (backing->kind == GMEM_FILE && !file->path)) {
		free(file);
		return error_set_errno(err, -ENOMEM, "guest memory");
	}
	file->kind = backing->kind;
	file->page_bytes = backing->kind == GMEM_HUGETLB ? backing->page_bytes : PAGE_4K_BYTES;
	file->file_bytes = max_u64(backing->file_bytes, size_bytes);
	result = file->path ? open_path(file, err) : open_memfd(file, err);
	if (result < 0) {
		free(file->path);
		free(file);
		return result;
	}
	list_append(files, &file->node);
	*ret_file = file;
	return 0;
}

int backing_file_get(struct list *files, const struct gmem_backing *backing, uint64_t size_bytes,
                     struct backing_file **ret_file, uint64_t *ret_offset, struct error *err)
{
	struct backing_file *file = NULL;
	int result = 0;

	list_for_each (node, files) {
		struct backing_file *candidate = container_of(node, struct backing_file, node);

		if (is_file_of(candidate, backing, size_bytes))
			file = candidate;
	}
	if (!file)
		result = open_file(files, backing, size_bytes, &file, err);
	if (result < 0)
		return result;
	*ret_offset = file->used_bytes;
	file->used_bytes += size_bytes;
	file->region_count++;
	*ret_file = file;
	return 0;
}

void backing_file_put(struct backing_file *file)
{
	if (!file || --file->region_count)
		return;
	list_remove(&file->node);
	close(file->fd);
	free(file->path);
	free(file);
}

/* --- mappings --- */

static int map_anonymous(const struct gmem_region *region, struct error *err)
{
	if (mprotect(region->hva, region->size_bytes, PROT_READ | PROT_WRITE) == 0)
		return 0;
	return error_set(err, -errno,
	                 "--mem: the host does not grant the %llu MiB of guest memory at "
	                 "0x%llx (ask for less, allow overcommit with "
	                 "vm.overcommit_memory=0 or 1, or raise `ulimit -d`)",
	                 (unsigned long long)(region->size_bytes / MIB),
	                 (unsigned long long)region->gpa);
}

/* Huge pages are reserved by this; nothing else is. */
static int map_file(const struct gmem_region *region, const struct gmem_backing *backing,
                    struct error *err)
{
	const bool huge = region->page_bytes > PAGE_4K_BYTES;
	uint64_t still_wanted_bytes =
		max_u64(backing->file_bytes, region->file_offset + region->size_bytes) -
		region->file_offset;

	if (mmap(region->hva, region->size_bytes, PROT_READ | PROT_WRITE,
	         MAP_SHARED | MAP_FIXED | (huge ? 0 : MAP_NORESERVE), region->fd,
	         (off_t)region->file_offset) != MAP_FAILED)
		return 0;
	if (huge && errno == ENOMEM)
		return pool_too_small(region->page_bytes, still_wanted_bytes, -ENOMEM, err);
	return error_set_errno(err, -errno, "--mem: %llu MiB of guest memory cannot be mapped",
	                       (unsigned long long)(region->size_bytes / MIB));
}

/* Mapping is what reserves, for the file; the reservation stays when the mapping goes. */
static int reserve(const struct gmem_region *region, uint64_t offset_bytes, uint64_t size_bytes)
{
	void *mapping;

	if (region->page_bytes == PAGE_4K_BYTES)
		return 0;
	mapping = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd,
	               (off_t)(region->file_offset + offset_bytes));
	if (mapping == MAP_FAILED)
		return -errno;
	munmap(mapping, size_bytes);
	return 0;
}

int backing_reserve(const struct gmem_region *region)
{
	return reserve(region, 0, region->size_bytes);
}

static int fill(const struct gmem_region *region, struct error *err)
{
	const unsigned long long mib = region->size_bytes / MIB;

	if (madvise(region->hva, region->size_bytes, MADV_POPULATE_WRITE) == 0)
		return 0;
	switch (errno) {
	case EINVAL:
		return error_set(err, -EOPNOTSUPP,
		                 "--mem prealloc: this host's kernel cannot (it came with Linux "
		                 "5.14; leave it out)");
	case EFAULT:
		return error_set(
			err, -ENOMEM,
			"--mem prealloc: there is no room for %llu MiB behind the guest's "
			"memory (make room in the pool of huge pages or on the file's disk, "
			"or ask for less)",
			mib);
	default:
		return error_set_errno(err, -errno, "--mem prealloc: %llu MiB", mib);
	}
}

static int lock_pages(const struct gmem_region *region, bool all_there, struct error *err)
{
	const unsigned long long mib = region->size_bytes / MIB;
	struct rlimit limit = { 0 };
	int result;

	if (mlock2(region->hva, region->size_bytes, all_there ? 0 : MLOCK_ONFAULT) == 0)
		return 0;
	result = -errno;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return error_set_errno(err, result, "--mem lock: %llu MiB", mib);
	return error_set(err, result,
	                 "--mem lock: with these %llu MiB it is more than this user may lock, %llu "
	                 "KiB (raise `ulimit -l`, or give ebb the capability CAP_IPC_LOCK)",
	                 mib, (unsigned long long)(limit.rlim_cur / KIB));
}

/* A core file is ebb's, and shows what ebb did: what the guest has in its memory is its own, and
 * would make it as large as the guest. */
static void keep_from_core_files(uint8_t *hva, uint64_t size_bytes)
{
	(void)!madvise(hva, size_bytes, MADV_DONTDUMP);
}

int backing_map(const struct gmem_region *region, const struct gmem_backing *backing,
                struct error *err)
{
	int result = region->fd < 0 ? map_anonymous(region, err) : map_file(region, backing, err);

	if (result < 0)
		return result;
	keep_from_core_files(region->hva, region->size_bytes);
	/* -EINVAL: a host kernel without huge pages, which works with small ones. */
	if (region->thp)
		madvise(region->hva, region->size_bytes, MADV_HUGEPAGE);
	if (backing->prealloc)
		result = fill(region, err);
	if (!result && backing->lock)
		result = lock_pages(region, backing->prealloc, err);
	return result;
}

/* --- areas --- */

/* Over what is there, which a failure leaves: kernels before 6.12 may have unmapped it by then, and
 * nothing else must come to lie there. */
static int map_without_rights(const struct gmem_region *area, uint64_t offset_bytes,
                              uint64_t size_bytes)
{
	int flags = MAP_FIXED | MAP_NORESERVE, result = 0;

	flags |= area->fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	for (unsigned int attempt = 0; attempt < 2; attempt++) {
		if (mmap(area->hva + offset_bytes, size_bytes, PROT_NONE, flags, area->fd,
		         area->fd < 0 ? 0 : (off_t)(area->file_offset + offset_bytes)) !=
		    MAP_FAILED)
			return 0;
		result = -errno;
	}
	return result;
}

int backing_area_map(const struct gmem_region *area)
{
	return area->fd < 0 ? 0 : map_without_rights(area, 0, area->size_bytes);
}

int backing_vacate(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes)
{
	if (map_without_rights(area, offset_bytes, size_bytes) == 0)
		return 0;
	/* Its pages may stay, but nobody has them. */
	(void)!mprotect(area->hva + offset_bytes, size_bytes, PROT_NONE);
	return -ENOMEM;
}

static bool allow(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes)
{
	return mprotect(area->hva + offset_bytes, size_bytes, PROT_READ | PROT_WRITE) == 0;
}

static bool populate(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes)
{
	if (madvise(area->hva + offset_bytes, size_bytes, MADV_POPULATE_WRITE) == 0)
		return true;
	/* Linux before 5.14: what a file has room for is there, if not mapped yet. */
	return errno == EINVAL && area->fd >= 0 &&
	       fallocate(area->fd, 0, (off_t)(area->file_offset + offset_bytes),
	                 (off_t)size_bytes) == 0;
}

int backing_plug(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes,
                 bool prealloc)
{
	uint8_t *hva = area->hva + offset_bytes;

	prealloc |= area->page_bytes > PAGE_4K_BYTES;
	if (reserve(area, offset_bytes, size_bytes) < 0)
		return -ENOMEM;
	if (!allow(area, offset_bytes, size_bytes))
		goto vacate;
	keep_from_core_files(hva, size_bytes);
	if (area->has_host_node && numa_bind(hva, size_bytes, area->host_node, false) < 0)
		goto vacate;
	if (area->thp)
		madvise(hva, size_bytes, MADV_HUGEPAGE); /* as backing_map has it */
	if (prealloc && !populate(area, offset_bytes, size_bytes))
		goto vacate;
	if (!area->locked || mlock2(hva, size_bytes, prealloc ? 0 : MLOCK_ONFAULT) == 0)
		return 0;

vacate:
	(void)!backing_vacate(area, offset_bytes, size_bytes);
	return -ENOMEM;
}

/*
 * Of a file, no page must come into it any more once the reclaim engine has punched its hole.
 * Private pages go with the mapping at last (backing_vacate), whoever touched them; taking the
 * rights of those that are there before costs half as much as releasing them. What must not fail
 * then is the mapping, for want of one mapping more: keeping the blocks from children, of which
 * guest memory has none (a program is started without a copy of it), parts it from the others now,
 * and touches no page.
 */
int backing_unplug(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes)
{
	uint8_t *hva = area->hva + offset_bytes;

	if (area->fd >= 0) {
		if (mprotect(hva, size_bytes, PROT_NONE) == 0)
			return 0;
		(void)!allow(area, offset_bytes, size_bytes); /* what it did of several mappings */
	} else {
		if (madvise(hva, size_bytes, MADV_DONTFORK) == 0)
			return 0;
		madvise(hva, size_bytes, MADV_DOFORK);
	}
	return -ENOMEM;
}

int backing_plug_again(const struct gmem_region *area, uint64_t offset_bytes, uint64_t size_bytes)
{
	uint8_t *hva = area->hva + offset_bytes;

	if (!allow(area, offset_bytes, size_bytes) ||
	    (area->locked && mlock2(hva, size_bytes, MLOCK_ONFAULT))) {
		(void)!mprotect(hva, size_bytes, PROT_NONE);
		return -ENOMEM;
	}
	if (area->fd < 0)
		madvise(hva, size_bytes, MADV_DOFORK);
	return 0;
}
