/* SPDX-License-Identifier: Apache-2.0 */
/* SBI calls that KVM leaves to ebb (RISC-V SBI specification 2.0): the console's, old and new. */
#ifndef ARCH_RISCV_SBI_H
#define ARCH_RISCV_SBI_H

#include "ebb/types.h"

struct vm;

struct sbi_call { /* guest-controlled */
	uint64_t extension, function;
	uint64_t args[6];
};

struct sbi_result {
	uint64_t error; /* a0: SBI_ERR_*, or a legacy call's value */
	uint64_t value; /* a1 */
};

#define SBI_SUCCESS           UINT64_C(0)
#define SBI_ERR_NOT_SUPPORTED ((uint64_t)-2)
#define SBI_ERR_INVALID_PARAM ((uint64_t)-3)

#define SBI_EXT_LEGACY_PUTCHAR UINT64_C(0x01)
#define SBI_EXT_LEGACY_GETCHAR UINT64_C(0x02)
#define SBI_EXT_DBCN           UINT64_C(0x4442434e)
#define SBI_DBCN_WRITE         0
#define SBI_DBCN_READ          1
#define SBI_DBCN_WRITE_BYTE    2

/* At most this much of one DBCN call; the caller is told how much it was. */
#define SBI_DBCN_BYTES_MAX MIB

/* On the vCPU's thread. Uses vm->memory and vm->console. */
struct sbi_result sbi_handle(struct vm *vm, const struct sbi_call *call);

#endif
