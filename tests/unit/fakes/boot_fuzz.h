/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets of the kernel loaders share (`fakes: kernel_images boot_fuzz`): an input is
 * a byte of choices, then the kernel. Whatever it is, loading ends, with an error that says why or
 * with an entry in RAM, and writes nothing where the guest's firmware tables and video memory are.
 */
#ifndef BOOT_FUZZ_H
#define BOOT_FUZZ_H

#include "ebb/types.h"

/* kernel is writable, for targets that mend a checksum; called before the load. May be NULL. */
typedef void (*boot_fuzz_mend_fn)(uint8_t *kernel, size_t size_bytes);

void boot_fuzz(const uint8_t *input, size_t size_bytes, boot_fuzz_mend_fn mend);

#endif
