/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images boot_fuzz */
/* ELF kernels of both classes: headers, segments, notes, PVH and 64-bit entries; and what is no
 * kernel at all. */
#include "boot_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	boot_fuzz(data, size, NULL);
	return 0;
}
