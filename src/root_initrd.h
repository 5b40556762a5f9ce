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

/* What the guest's shell is told of the terminal that its console is. */
struct root_terminal {
	const char *name;           /* TERM, or NULL: "linux" */
	unsigned int rows, columns; /* 0: not known */
};

/*
 * Fills a zeroed archive; on failure it is zeroed again. Errors: -EINVAL for what the user can mend
 * (no such folder, a module list that is none, modules= without the kernel's), -ENOMEM, -errno of
 * reading.
 */
EBB_MUST_CHECK int root_initrd_build(struct initramfs *archive, const struct vm_config *config,
                                     const struct image *kernel,
                                     const struct root_terminal *terminal, struct error *err);

#endif
