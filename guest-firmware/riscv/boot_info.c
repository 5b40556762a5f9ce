/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory, command line and initrd, out of the device tree. What is reserved is cut out of RAM; a
 * range does not go on behind 4 GiB, where another begins.
 */
#include "memory.h"
#include "platform_riscv.h"
#include "string.h"

#define MEMORY_MAP_RESERVED 2
#define GPA_4G              0x100000000ull

static void add_range(uint64_t start, uint64_t end, uint32_t type)
{
	if (start < end && boot_info.memory_map_count < MEMORY_MAP_MAX)
		boot_info.memory_map[boot_info.memory_map_count++] =
			(struct memory_map_entry){ start, end - start, type };
}

/* Whole pages of [gpa, gpa + size_bytes) leave every RAM range they are in. */
static void reserve(uint64_t gpa, uint64_t size_bytes)
{
	uint64_t start = gpa & ~(uint64_t)(PAGE_SIZE - 1);
	uint64_t end = (gpa + size_bytes + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
	unsigned int i, count = boot_info.memory_map_count;

	if (!size_bytes)
		return;
	for (i = 0; i < count; i++) {
		struct memory_map_entry *entry = &boot_info.memory_map[i];
		uint64_t entry_end = entry->gpa + entry->size_bytes;

		if (entry->type != MEMORY_MAP_RAM || end <= entry->gpa || start >= entry_end)
			continue;
		add_range(end, entry_end, MEMORY_MAP_RAM);
		if (start > entry->gpa)
			entry->size_bytes = start - entry->gpa;
		else
			*entry = (struct memory_map_entry){ start, end - start,
				                            MEMORY_MAP_RESERVED };
	}
}

static void load_memory(void)
{
	uint64_t gpa, size_bytes;
	struct fdt_node node;
	unsigned int i, j;

	for (i = 0; fdt_find_type("memory", i, &node); i++)
		for (j = 0; fdt_reg(&node, j, &gpa, &size_bytes); j++) {
			uint64_t end = gpa + size_bytes;

			add_range(gpa, end < GPA_4G ? end : GPA_4G, MEMORY_MAP_RAM);
			add_range(gpa > GPA_4G ? gpa : GPA_4G, end, MEMORY_MAP_RAM);
		}
}

static void load_reservations(void)
{
	struct fdt_walk walk = { 0 };
	struct fdt_node node;
	uint64_t gpa, size_bytes;
	bool inside = false;
	unsigned int i;

	for (i = 0; fdt_reservation(i, &gpa, &size_bytes); i++)
		reserve(gpa, size_bytes);
	while (fdt_next(&walk, &node)) {
		if (node.depth == 1)
			inside = !strcmp(node.name, "reserved-memory");
		else if (inside && node.depth == 2)
			for (i = 0; fdt_reg(&node, i, &gpa, &size_bytes); i++)
				reserve(gpa, size_bytes);
	}
	reserve(fdt_gpa(), fdt_size_bytes());
}

static void load_chosen(void)
{
	uint32_t start_bytes, end_bytes;
	const uint8_t *text, *start, *end;
	struct fdt_node chosen;
	struct boot_module *module = &boot_info.modules[0];

	if (!fdt_find_child("chosen", &chosen))
		return;
	text = fdt_property(&chosen, "bootargs", NULL);
	if (text)
		string_copy(boot_info.command_line, (const char *)text,
		            sizeof(boot_info.command_line));
	start = fdt_property(&chosen, "linux,initrd-start", &start_bytes);
	end = fdt_property(&chosen, "linux,initrd-end", &end_bytes);
	if (!start || !end)
		return;
	module->gpa = fdt_number(start, 0, start_bytes / 4);
	module->size_bytes = fdt_number(end, 0, end_bytes / 4) - module->gpa;
	module->command_line = "";
	boot_info.module_count = 1;
	reserve(module->gpa, module->size_bytes);
}

const char *boot_info_load(uint64_t gpa)
{
	boot_info.loader_info_gpa = gpa;
	if (!fdt_open(gpa))
		return "a1 does not point to a device tree";
	load_memory();
	load_reservations();
	load_chosen();
	return boot_info.memory_map_count ? "" : "no memory in the device tree";
}
