/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator over the memory map. */
#include "memory.h"
#include "platform.h"
#include "print.h"
#include "report.h"
#include "string.h"

static struct {
	uint64_t next_gpa, end_gpa;
} pool;

static void keep_clear(uint64_t *start, uint64_t from, uint64_t to)
{
	if (*start < to && from < pool.end_gpa && to > from)
		*start = (to + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
}

/* Takes the largest RAM range, behind the program and the modules. */
static void find_pool(void)
{
	unsigned int i, j;
	uint64_t best = 0;

	for (i = 0; i < boot_info.memory_map_count; i++) {
		const struct memory_map_entry *entry = &boot_info.memory_map[i];
		uint64_t start = entry->gpa, end = entry->gpa + entry->size_bytes;

		if (entry->type != MEMORY_MAP_RAM || start >= 0x100000000)
			continue;
		if (end > 0x100000000)
			end = 0x100000000;
		if (start < (uintptr_t)firmware_end && end > (uintptr_t)firmware_start)
			start = (uintptr_t)firmware_end;
		if (start >= end || end - start <= best)
			continue;
		best = end - start;
		pool.next_gpa = start;
		pool.end_gpa = end;
	}
	for (j = 0; j < boot_info.module_count; j++)
		keep_clear(&pool.next_gpa, boot_info.modules[j].gpa,
		           boot_info.modules[j].gpa + boot_info.modules[j].size_bytes);
}

uint64_t memory_reserve(uint64_t size_bytes, uint64_t alignment_bytes)
{
	uint64_t gpa;

	if (!pool.end_gpa)
		find_pool();
	gpa = (pool.next_gpa + alignment_bytes - 1) & ~(alignment_bytes - 1);
	if (gpa > pool.end_gpa || size_bytes > pool.end_gpa - gpa) {
		report_fail("memory", "no %lu bytes left", size_bytes);
		platform_exit(report_summary());
	}
	pool.next_gpa = gpa + size_bytes;
	return gpa;
}

void *memory_alloc(size_t size_bytes, size_t alignment_bytes)
{
	return memset((void *)(uintptr_t)memory_reserve(size_bytes, alignment_bytes), 0,
	              size_bytes);
}

uint64_t memory_left_bytes(void)
{
	if (!pool.end_gpa)
		find_pool();
	return pool.end_gpa - pool.next_gpa;
}
