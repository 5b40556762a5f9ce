/* SPDX-License-Identifier: Apache-2.0 */
/* The selftest guest (guest-firmware/selftest), an ELF linked into ebb: what `ebb run` boots with
 * no kernel named. */
#ifndef EBB_SELFTEST_H
#define EBB_SELFTEST_H

#include "ebb/types.h"

extern const uint8_t selftest_image[];
extern const uint64_t selftest_image_bytes;

#endif
