/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initrd of a guest whose root is a folder (--root): ebb's own first program, what it is to do,
 * and the modules that a kernel needs to reach the folder.
 *
 * Main thread, set-up. The folder's content is hostile: paths are resolved as if it were the root
 * directory, whatever links it holds; only regular files are read, and only so much of them.
 */
#ifndef ROOT_INITRD_H
#define ROOT_INITRD_H

#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/image.h"
#include "initramfs.h"

/* What guest-firmware/init reads. */
#define ROOT_INITRD_FOLDER   "ebb"
#define ROOT_INITRD_SETTINGS ROOT_INITRD_FOLDER "/settings"
#define ROOT_INITRD_MODULES  ROOT_INITRD_FOLDER "/modules"

/*
 * Fills a zeroed archive; on failure it is zeroed again. terminal is what TERM says, or NULL.
 * Errors: -EINVAL for what the user can mend (no such folder, a module list that is none, modules=
 * without the kernel's), -ENOMEM, -errno of reading.
 */
EBB_MUST_CHECK int root_initrd_build(struct initramfs *archive, const struct vm_config *config,
                                     const struct image *kernel, const char *terminal,
                                     struct error *err);

#endif
