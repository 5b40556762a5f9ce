/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images boot_fuzz */
/* Multiboot kernels: the header with its checksum made right, modules, low and high places. */
#include <elf.h>
#include <string.h>

#include "ebb/bytes.h"

#include "boot_fuzz.h"

/* Behind four program headers, as in the corpus. */
#define HEADER_OFFSET align_up(sizeof(Elf32_Ehdr) + 4 * sizeof(Elf32_Phdr), 8)

static void mend(uint8_t *kernel, size_t size_bytes)
{
	if (size_bytes < HEADER_OFFSET + 12)
		return;
	memcpy(kernel, ELFMAG, SELFMAG);
	kernel[EI_CLASS] = ELFCLASS32;
	kernel[EI_DATA] = ELFDATA2LSB;
	store_le32(kernel + HEADER_OFFSET, 0x1badb002);
	store_le32(kernel + HEADER_OFFSET + 8,
	           0 - 0x1badb002 - load_le32(kernel + HEADER_OFFSET + 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	boot_fuzz(data, size, mend);
	return 0;
}
