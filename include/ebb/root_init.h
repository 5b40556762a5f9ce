/* SPDX-License-Identifier: Apache-2.0 */
/* The first program of a guest whose root is a folder (guest-firmware/init), an ELF linked into
 * ebb. */
#ifndef EBB_ROOT_INIT_H
#define EBB_ROOT_INIT_H

#include "ebb/types.h"

extern const uint8_t root_init_image[];
extern const uint64_t root_init_image_bytes;

#endif
