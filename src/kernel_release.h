/* SPDX-License-Identifier: Apache-2.0 */
/* What `uname -r` will say in a guest, found in its kernel's image. Pure but for reading that. */
#ifndef KERNEL_RELEASE_H
#define KERNEL_RELEASE_H

#include "ebb/image.h"

#define KERNEL_RELEASE_MAX 65 /* with NUL, as in struct utsname */

/*
 * A bzImage's header names it (Linux, Documentation/arch/x86/boot.rst, kernel_version); in any
 * other image the first "Linux version RELEASE (" is looked for, in as much of it as a kernel may
 * have. 1; 0: it is not to be found, or nothing that could name a folder; -errno of reading, with
 * err set.
 */
EBB_MUST_CHECK int kernel_release_find(const struct image *kernel, char release[KERNEL_RELEASE_MAX],
                                       struct error *err);

#endif
