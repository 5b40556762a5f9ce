/* SPDX-License-Identifier: Apache-2.0 */
/* dsdt.asl, compiled at build time (x86.mk): a whole table with its header and checksum. */
#ifndef ARCH_X86_DSDT_H
#define ARCH_X86_DSDT_H

#include "ebb/types.h"

extern const uint8_t dsdt_aml[];
extern const uint64_t dsdt_aml_bytes;

#endif
