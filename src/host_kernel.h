/* SPDX-License-Identifier: Apache-2.0 */
/* The image of the kernel that this host itself runs, as distributions put it down. */
#ifndef HOST_KERNEL_H
#define HOST_KERNEL_H

#include "ebb/error.h"
#include "ebb/types.h"

/*
 * The first that is there of ROOT/boot/vmlinuz-RELEASE, ROOT/boot/vmlinux-RELEASE and
 * ROOT/lib/modules/RELEASE/vmlinuz; root is "" but in tests. The path is the caller's to free. Main
 * thread, set-up. -EINVAL: none is there, or not for this user to read; -ENOMEM.
 */
EBB_MUST_CHECK int host_kernel_find(const char *root, const char *release, char **ret_path,
                                    struct error *err);

#endif
