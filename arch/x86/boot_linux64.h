/* SPDX-License-Identifier: Apache-2.0 */
/* The zero page, which a bzImage and a vmlinux without PVH are both given. */
#ifndef ARCH_X86_BOOT_LINUX64_H
#define ARCH_X86_BOOT_LINUX64_H

#include <asm/bootparam.h>

#include "boot.h"

struct zero_page_config {
	struct setup_header
		header; /* as in the image, or made up; the loader's fields are filled in */
	gpa_t initrd_gpa;
	uint64_t initrd_bytes;
};

/* Writes the zero page with the machine's memory map at X86_BOOT_ZERO_PAGE_GPA. */
EBB_MUST_CHECK int boot_write_zero_page(const struct boot_request *request,
                                        const struct zero_page_config *config, struct error *err);

#endif
