/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cpio archive in memory, of the kind that Linux unpacks at its start ("newc": Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst). Pure.
 *
 * Everything in it belongs to root and has no time. A folder comes before what is in it.
 */
#ifndef INITRAMFS_H
#define INITRAMFS_H

#include <stddef.h>
#include <stdint.h>

#include "ebb/types.h"

#define INITRAMFS_MAX_BYTES (512 * MIB)
#define INITRAMFS_PATH_MAX  256 /* with NUL */

struct initramfs { /* zeroed by its owner */
	uint8_t *bytes;
	size_t size_bytes, capacity_bytes;
	uint32_t entry_count;
};

/* mode as in stat(2), with the kind of file. -ENOMEM, -ENAMETOOLONG, -EFBIG past
 * INITRAMFS_MAX_BYTES; the archive then stays as it was. */
EBB_MUST_CHECK int initramfs_add_folder(struct initramfs *archive, const char *path);
EBB_MUST_CHECK int initramfs_add_file(struct initramfs *archive, const char *path,
                                      uint32_t permissions, const void *bytes, size_t size_bytes);
EBB_MUST_CHECK int initramfs_add_character_device(struct initramfs *archive, const char *path,
                                                  uint32_t major, uint32_t minor);

/* The end's mark; nothing is added behind it. */
EBB_MUST_CHECK int initramfs_end(struct initramfs *archive);

void initramfs_free(struct initramfs *archive);

#endif
