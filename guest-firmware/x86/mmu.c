/* SPDX-License-Identifier: Apache-2.0 */
/* One to one mappings above the first 4 GiB, in 2 MiB pages, by whole GiB. */
#include "memory.h"
#include "platform.h"

#define PAGE_PRESENT_WRITABLE 0x3
#define PAGE_LARGE            0x80
#define GIB_SHIFT             30

extern uint64_t page_pml4[512], page_pdpt[512];

static uint64_t *pdpt_of(uint64_t gpa)
{
	uint64_t *entry = &page_pml4[gpa >> 39 & 511];

	if (!*entry)
		*entry = (uintptr_t)memory_alloc(PAGE_SIZE, PAGE_SIZE) | PAGE_PRESENT_WRITABLE;
	return (uint64_t *)(uintptr_t)(*entry & ~(uint64_t)0xfff);
}

void platform_map(uint64_t gpa, uint64_t size_bytes)
{
	uint64_t gib, i;

	for (gib = gpa >> GIB_SHIFT; size_bytes && gib <= (gpa + size_bytes - 1) >> GIB_SHIFT;
	     gib++) {
		uint64_t *pdpt = pdpt_of(gib << GIB_SHIFT), *directory;

		if (pdpt[gib & 511])
			continue;
		directory = memory_alloc(PAGE_SIZE, PAGE_SIZE);
		for (i = 0; i < 512; i++)
			directory[i] =
				gib << GIB_SHIFT | i << 21 | PAGE_LARGE | PAGE_PRESENT_WRITABLE;
		pdpt[gib & 511] = (uintptr_t)directory | PAGE_PRESENT_WRITABLE;
	}
}
