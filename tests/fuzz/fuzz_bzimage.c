/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images boot_fuzz */
/* A bzImage's header. */
#include "ebb/bytes.h"

#include "boot_fuzz.h"

/* The magic numbers are there always: what is no bzImage is fuzz_elf's. */
static void mend(uint8_t *kernel, size_t size_bytes)
{
	if (size_bytes < 0x206)
		return;
	store_le16(kernel + 0x1fe, 0xaa55);
	store_le32(kernel + 0x202, 0x53726448);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	boot_fuzz(data, size, mend);
	return 0;
}
