/* SPDX-License-Identifier: Apache-2.0 */
/* Writes cpio archives of the kind "newc". */
#include "initramfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ebb/bytes.h"

#define HEADER_BYTES       110 /* "070701" and 13 fields of 8 hexadecimal digits */
#define ALIGNMENT_BYTES    4   /* of names' and contents' ends */
#define FOLDER_PERMISSIONS 0755
#define DEVICE_PERMISSIONS 0600
#define END_NAME           "TRAILER!!!"
#define CAPACITY_MIN_BYTES (64 * KIB)

struct entry {
	const char *path;
	uint32_t mode;
	const void *bytes;
	size_t size_bytes;
	uint32_t major, minor; /* of a device */
};

static int reserve(struct initramfs *archive, size_t more_bytes)
{
	uint64_t capacity_bytes = max_u64(archive->capacity_bytes, CAPACITY_MIN_BYTES);
	uint8_t *bytes;

	if (more_bytes > INITRAMFS_MAX_BYTES - archive->size_bytes)
		return -EFBIG;
	while (capacity_bytes < archive->size_bytes + more_bytes)
		capacity_bytes *= 2;
	if (capacity_bytes == archive->capacity_bytes)
		return 0;
	bytes = realloc(archive->bytes, capacity_bytes);
	if (!bytes)
		return -ENOMEM;
	archive->bytes = bytes;
	archive->capacity_bytes = capacity_bytes;
	return 0;
}

/* There is room for it; what is missing to the next boundary is zero. */
static void append(struct initramfs *archive, const void *bytes, size_t size_bytes)
{
	size_t padded_bytes =
		align_up(archive->size_bytes + size_bytes, ALIGNMENT_BYTES) - archive->size_bytes;

	if (size_bytes)
		memcpy(archive->bytes + archive->size_bytes, bytes, size_bytes);
	memset(archive->bytes + archive->size_bytes + size_bytes, 0, padded_bytes - size_bytes);
	archive->size_bytes += padded_bytes;
}

static int add(struct initramfs *archive, const struct entry *entry)
{
	size_t path_bytes = strlen(entry->path) + 1;
	char head[HEADER_BYTES + INITRAMFS_PATH_MAX];
	int ret;

	if (path_bytes > INITRAMFS_PATH_MAX)
		return -ENAMETOOLONG;
	if (entry->size_bytes > INITRAMFS_MAX_BYTES)
		return -EFBIG;
	ret = reserve(archive, HEADER_BYTES + path_bytes + entry->size_bytes + 2 * ALIGNMENT_BYTES);
	if (ret)
		return ret;
	/* ino mode uid gid nlink mtime filesize, dev and rdev as major and minor, namesize check */
	snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s",
	         ++archive->entry_count, entry->mode, 0, 0, 1, 0, (unsigned int)entry->size_bytes,
	         0, 0, entry->major, entry->minor, (unsigned int)path_bytes, 0, entry->path);
	append(archive, head, HEADER_BYTES + path_bytes);
	append(archive, entry->bytes, entry->size_bytes);
	return 0;
}

int initramfs_add_folder(struct initramfs *archive, const char *path)
{
	return add(archive, &(struct entry){ .path = path, .mode = S_IFDIR | FOLDER_PERMISSIONS });
}

int initramfs_add_file(struct initramfs *archive, const char *path, uint32_t permissions,
                       const void *bytes, size_t size_bytes)
{
	return add(archive, &(struct entry){ .path = path,
	                                     .mode = S_IFREG | permissions,
	                                     .bytes = bytes,
	                                     .size_bytes = size_bytes });
}

int initramfs_add_character_device(struct initramfs *archive, const char *path, uint32_t major,
                                   uint32_t minor)
{
	return add(archive, &(struct entry){ .path = path,
	                                     .mode = S_IFCHR | DEVICE_PERMISSIONS,
	                                     .major = major,
	                                     .minor = minor });
}

int initramfs_end(struct initramfs *archive)
{
	return add(archive, &(struct entry){ .path = END_NAME });
}

void initramfs_free(struct initramfs *archive)
{
	free(archive->bytes);
	*archive = (struct initramfs){ 0 };
}
