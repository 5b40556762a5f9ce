/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SBI calls that KVM leaves to ebb (RISC-V SBI specification 2.0): the console's, old and new.
 *
 * Output goes where the serial port's goes. Input comes from there too, to a guest that polls for
 * it: what no device of the guest's takes.
 */
#ifndef ARCH_RISCV_SBI_H
#define ARCH_RISCV_SBI_H

#include "ebb/types.h"

struct console;
struct guest_memory;
struct sbi;

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

/* -ENOMEM. Both are borrowed; console may be NULL. Main thread, as destroying and resetting. */
EBB_MUST_CHECK int sbi_create(struct guest_memory *memory, struct console *console,
                              struct sbi **ret_sbi);
void sbi_destroy(struct sbi *sbi);

/* Drops input that the guest has not taken. */
void sbi_reset(struct sbi *sbi);

/* On a vCPU's thread. */
struct sbi_result sbi_handle(struct sbi *sbi, const struct sbi_call *call);

#endif
