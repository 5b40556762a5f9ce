/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's file: what it is, whose it is, what it can do. All of it at set-up.
 *
 * DOC: a regular file that is a raw image, or a block device; nothing else has a fixed size that
 * many may read and write at once. An image in one of the usual formats (qcow2, compressed) is
 * refused, since a guest would see the format's own bytes: how to make it raw is said. So is one
 * that is no whole number of sectors: leaving out its end would lose what is there, and adding to
 * it is the user's to do.
 *
 * One writer, or any number of readers: an open file description lock of the whole file, shared for
 * readonly. It is held as long as the descriptor, across all names of the file, by the kernel, and
 * QEMU's locks meet it. Somebody else's is waited for, for a second: that of a VM that was killed
 * goes with the last of its I/O in flight. A block device that is written is opened exclusively
 * (O_EXCL) as well, which a mounted one refuses.
 *
 * O_DIRECT asks for offsets, sizes and memory in multiples: as statx tells (STATX_DIOALIGN, 6.1),
 * or else those of the device's logical block, or else 4096, which every device takes. A guest is
 * not told of that for an image, whose partition table counts in sectors of 512: disk_bounce.c
 * makes up for it.
 *
 * Syscalls: none after set-up
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk_private.h"

#define SECTOR_BYTES        512
#define DEFAULT_BLOCK_BYTES 4096

#define LOCK_TRIES    50 /* a second */
#define LOCK_PAUSE_NS (20 * NS_PER_MS)

static int check_kind(const struct stat *status, struct error *err)
{
	if (S_ISREG(status->st_mode) || S_ISBLK(status->st_mode))
		return 0;
	if (S_ISDIR(status->st_mode))
		return error_set(err, -EINVAL,
		                 "a folder (--share gives a guest a folder; a disk is a raw image "
		                 "or a block device)");
	return error_set(err, -EINVAL,
	                 "neither a file nor a block device (a disk is a raw image or a block "
	                 "device)");
}

static int explain_open(int code, const struct disk_setup *setup, struct error *err)
{
	switch (code) {
	case -ENOENT:
		return error_set(err, -EINVAL,
		                 "no such file (`truncate -s 8G FILE` makes an empty image)");
	case -EACCES:
	case -EPERM:
		return error_set_errno(err, -EINVAL, setup->readonly ? "reading" : "writing");
	case -EROFS:
		return error_set(err, -EINVAL,
		                 "on a read-only file system (add readonly to the option)");
	case -EBUSY:
		return error_set(err, -EINVAL,
		                 "in use, mounted or another VM's (unmount it or end that one, or "
		                 "add readonly to the option)");
	case -EINVAL:
		if (setup->direct)
			return error_set(err, -EINVAL,
			                 "its file system has no direct I/O (leave out direct)");
		break;
	default:
		break;
	}
	return error_set_errno(err, code, "open");
}

/* Nothing is opened that opening does something to, nor waited for. */
static int open_file(const struct disk_setup *setup, struct stat *ret_status, struct error *err)
{
	int flags = (setup->readonly ? O_RDONLY : O_RDWR) | (setup->direct ? O_DIRECT : 0);
	int fd, r;

	if (stat(setup->path, ret_status))
		return explain_open(-errno, setup, err);
	r = check_kind(ret_status, err);
	if (r)
		return r;
	if (S_ISBLK(ret_status->st_mode) && !setup->readonly)
		flags |= O_EXCL;
	fd = open(setup->path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return explain_open(-errno, setup, err);
	/* It may be another one by now. With O_NONBLOCK io_uring would rather fail than wait. */
	if (fstat(fd, ret_status) || fcntl(fd, F_SETFL, flags & O_DIRECT))
		r = error_set_errno(err, -errno, "open");
	else
		r = check_kind(ret_status, err);
	if (!r)
		return fd;
	close(fd);
	return r;
}

/* As 0 and errno of fcntl. Of a VM that was killed the kernel ends I/O in flight on its own time,
 * and has the file locked until then. */
static int lock_soon(int fd, struct flock *lock)
{
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_NS };
	int r = fcntl(fd, F_OFD_SETLK, lock);

	for (unsigned int i = 0; r && (errno == EAGAIN || errno == EACCES) && i < LOCK_TRIES; i++) {
		nanosleep(&pause, NULL);
		r = fcntl(fd, F_OFD_SETLK, lock);
	}
	return r;
}

static int lock_file(int fd, bool readonly, struct error *err)
{
	struct flock lock = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (!lock_soon(fd, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, -EINVAL,
		                 readonly ? "another VM writes it (end that one first)"
		                          : "another VM has it (end that one first; several may "
		                            "share it if all have readonly)");
	/* A file system without locks: no harm where nobody here writes. */
	if (readonly)
		return 0;
	return error_set_errno(err, -EINVAL,
	                       "its file system has no locks, so that two guests might write it "
	                       "(put it elsewhere, or add readonly)");
}

/* --- formats that are not raw --- */

struct image_format {
	const char *magic;
	size_t magic_bytes;
	const char *what, *how;
};

/* A guest may write such a head into its raw image, with a name of the host's in it: who converted
 * that would hand it the host's file. */
#define QEMU_CONVERTS \
	"`qemu-img convert -O raw` makes a raw image of one that no guest had as its disk"

static const struct image_format formats[] = {
	{ "QFI\xfb", 4, "a qcow2 image", QEMU_CONVERTS },
	{ "KDMV", 4, "a VMDK image", QEMU_CONVERTS },
	{ "vhdxfile", 8, "a VHDX image", QEMU_CONVERTS },
	{ "\xfd"
	  "7zXZ\0",
	  6, "compressed", "`xz -d` unpacks it" },
	{ "\x1f\x8b\x08", 3, "compressed", "`gzip -d` unpacks it" },
	{ "\x28\xb5\x2f\xfd", 4, "compressed", "`zstd -d` unpacks it" },
};

static int check_format(const struct disk_setup *setup, struct error *err)
{
	char head[8] = { 0 };
	int fd = open(setup->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t size_bytes;

	if (fd < 0)
		return explain_open(-errno, setup, err);
	size_bytes = pread(fd, head, sizeof(head), 0);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (size_bytes == sizeof(head) &&
		    !memcmp(head, formats[i].magic, formats[i].magic_bytes))
			return error_set(err, -EINVAL, "%s, and a disk is a raw image (%s)",
			                 formats[i].what, formats[i].how);
	return 0;
}

/* --- size and blocks --- */

static int find_size(struct disk *disk, const struct stat *status, struct error *err)
{
	uint64_t size_bytes = (uint64_t)status->st_size;
	struct rlimit limit;

	if (disk->is_block_device && ioctl(disk->fd, BLKGETSIZE64, &size_bytes))
		return error_set_errno(err, -errno, "its size");
	if (!size_bytes)
		return error_set(err, -EINVAL,
		                 "empty (`truncate -s 8G FILE` makes an empty image)");
	if (size_bytes % SECTOR_BYTES)
		return error_set(err, -EINVAL,
		                 "%llu bytes are no multiple of %u (`truncate -s %%%u FILE` adds "
		                 "what is missing)",
		                 (unsigned long long)size_bytes, SECTOR_BYTES, SECTOR_BYTES);
	if (!disk->readonly && !disk->is_block_device && !getrlimit(RLIMIT_FSIZE, &limit) &&
	    limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size_bytes)
		return error_set(err, -EINVAL,
		                 "%llu bytes, but this process may write files of %llu at the most "
		                 "(ulimit -f)",
		                 (unsigned long long)size_bytes,
		                 (unsigned long long)limit.rlim_cur);
	disk->geometry.size_bytes = size_bytes;
	return 0;
}

static uint32_t usable_block(uint64_t block_bytes)
{
	if (block_bytes < SECTOR_BYTES || block_bytes > DISK_BLOCK_BYTES_MAX ||
	    !is_power_of_two(block_bytes))
		return DEFAULT_BLOCK_BYTES;
	return (uint32_t)block_bytes;
}

static void find_blocks(struct disk *disk, const struct stat *status)
{
	struct disk_geometry *geometry = &disk->geometry;
	unsigned int physical_bytes = 0;
	int logical_bytes = 0;

	geometry->logical_block_bytes = SECTOR_BYTES;
	geometry->physical_block_bytes = usable_block((uint64_t)status->st_blksize);
	if (disk->is_block_device) {
		if (!ioctl(disk->fd, BLKSSZGET, &logical_bytes) && logical_bytes > 0)
			geometry->logical_block_bytes = usable_block((uint64_t)logical_bytes);
		if (!ioctl(disk->fd, BLKPBSZGET, &physical_bytes))
			geometry->physical_block_bytes = usable_block(physical_bytes);
	}
	geometry->physical_block_bytes =
		(uint32_t)max_u64(geometry->physical_block_bytes, geometry->logical_block_bytes);
	geometry->discard_granularity_bytes = geometry->physical_block_bytes;
}

static int find_direct(struct disk *disk, struct error *err)
{
	struct statx status = { 0 };
	uint32_t memory_bytes = DEFAULT_BLOCK_BYTES, offset_bytes = DEFAULT_BLOCK_BYTES;

	disk->direct_memory_bytes = disk->direct_offset_bytes = 1;
	if (!disk->direct)
		return 0;
	if (disk->is_block_device)
		memory_bytes = offset_bytes = disk->geometry.logical_block_bytes;
#ifdef STATX_DIOALIGN
	/* Zeroes are those of one that takes O_DIRECT and does without. */
	if (!statx(disk->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) &&
	    (status.stx_mask & STATX_DIOALIGN) && status.stx_dio_mem_align &&
	    status.stx_dio_offset_align) {
		memory_bytes = status.stx_dio_mem_align;
		offset_bytes = status.stx_dio_offset_align;
	}
#endif
	if (!is_power_of_two(memory_bytes) || !is_power_of_two(offset_bytes) ||
	    memory_bytes > PAGE_4K_BYTES || offset_bytes > DISK_BLOCK_BYTES_MAX)
		return error_set(err, -EINVAL,
		                 "direct I/O asks for blocks of %u bytes there (leave out direct)",
		                 offset_bytes);
	if (!is_aligned(disk->geometry.size_bytes, offset_bytes))
		return error_set(
			err, -EINVAL,
			"%llu bytes are no multiple of %u, which direct I/O asks for there "
			"(`truncate -s %%%u FILE`, or leave out direct)",
			(unsigned long long)disk->geometry.size_bytes, offset_bytes, offset_bytes);
	disk->direct_memory_bytes = memory_bytes;
	disk->direct_offset_bytes = offset_bytes;
	disk->geometry.physical_block_bytes =
		(uint32_t)max_u64(disk->geometry.physical_block_bytes, offset_bytes);
	return 0;
}

int disk_file_open(struct disk *disk, const struct disk_setup *setup, struct error *err)
{
	struct stat status;
	int r;

	disk->readonly = setup->readonly;
	disk->direct = setup->direct;
	r = open_file(setup, &status, err);
	if (r < 0)
		return r;
	disk->fd = r;
	disk->is_block_device = S_ISBLK(status.st_mode);
	r = lock_file(disk->fd, setup->readonly, err);
	if (!r)
		r = find_size(disk, &status, err);
	if (!r && !disk->is_block_device)
		r = check_format(setup, err);
	if (r)
		return r;
	find_blocks(disk, &status);
	return find_direct(disk, err);
}
