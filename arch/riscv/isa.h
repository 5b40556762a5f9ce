/* SPDX-License-Identifier: Apache-2.0 */
/* What a hart's instruction set is called: KVM's extension numbers in, the FDT's names out. Pure.
 */
#ifndef ARCH_RISCV_ISA_H
#define ARCH_RISCV_ISA_H

#include "ebb/bitmap.h"
#include "ebb/types.h"

#define ISA_EXTENSIONS_MAX   64 /* KVM's numbers below are looked at */
#define ISA_STRING_MAX_BYTES 1024

struct isa {
	uint64_t extensions[BITMAP_WORDS(ISA_EXTENSIONS_MAX)]; /* by KVM_RISCV_ISA_EXT_* */
	uint32_t cbom_block_bytes, cboz_block_bytes;           /* with Zicbom, Zicboz */
	unsigned int satp_mode;                                /* 8: Sv39, 9: Sv48, 10: Sv57 */
	uint64_t timebase_hz;
	uint64_t mvendorid, marchid, mimpid;
};

bool isa_has(const struct isa *isa, unsigned int extension);

/* "rv64imafdc_zba_…_ssaia": single letters in the order of the unprivileged specification (chapter
 * "ISA Extension Naming Conventions"), then the others by name. Returns the length; text holds
 * ISA_STRING_MAX_BYTES. */
size_t isa_string(const struct isa *isa, char *text);

/* "i\0m\0a\0…": returns the bytes, terminators included; list holds ISA_STRING_MAX_BYTES. */
size_t isa_extension_list(const struct isa *isa, char *list);

/* "riscv,sv48" */
const char *isa_mmu_type(const struct isa *isa);

#endif
