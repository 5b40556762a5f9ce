/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a kernel: images and a memory size in, guest memory and an entry state out. No KVM here.
 *
 * All of an image is hostile: boot_load checks every range against RAM and against the FDT's room
 * before it writes a byte there.
 */
#ifndef ARCH_RISCV_BOOT_H
#define ARCH_RISCV_BOOT_H

#include "ebb/error.h"
#include "ebb/guest_memory.h"
#include "ebb/image.h"
#include "ebb/types.h"

/* Where hart 0 begins, and what the FDT has to say of it. */
struct boot_entry {
	gpa_t pc;
	gpa_t fdt_gpa; /* RISCV_FDT_BYTES are free there */
	gpa_t initrd_gpa;
	uint64_t initrd_bytes; /* 0: none */
};

struct boot_request {
	struct guest_memory *memory;
	uint64_t ram_bytes;
	const struct image *kernel;
	struct image *const *initrds;
	size_t initrd_count;
};

/*
 * Recognises the kernel by its content and loads it, then the initrds. Guest memory is zero before.
 * Errors: -EINVAL (not a kernel, truncated, too large: the message says which value and which
 * limit), -EIO and others of pread.
 */
EBB_MUST_CHECK int boot_load(const struct boot_request *request, struct boot_entry *ret_entry,
                             struct error *err);

#endif
