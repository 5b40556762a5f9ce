/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the multiboot 1 information block (Multiboot Specification 0.6.96, section 3.3). */
#include "multiboot.h"
#include "platform.h"
#include "platform_x86.h"
#include "string.h"

const char *boot_info_problem = "";

static const void *at(uint64_t gpa)
{
	const void *p = (const void *)(uintptr_t)gpa;

	__asm__("" : "+r"(p));
	return p;
}

static void load_memory_map(const struct multiboot_info *info)
{
	uint32_t offset = 0;
	unsigned int count = 0;

	while (offset < info->mmap_length && count < MEMORY_MAP_MAX) {
		const struct multiboot_mmap_entry *entry = at((uint64_t)info->mmap_gpa + offset);

		boot_info.memory_map[count++] =
			(struct memory_map_entry){ entry->gpa, entry->size_bytes, entry->type };
		offset += entry->entry_size_bytes + 4;
	}
	boot_info.memory_map_count = count;
}

void boot_info_load(uint32_t argument)
{
	const struct multiboot_info *info = at(argument);
	const struct multiboot_module *modules;
	unsigned int i;

	boot_info.loader_info_gpa = argument;
	if (info->flags & MULTIBOOT_INFO_CMDLINE)
		string_copy(boot_info.command_line, at(info->cmdline_gpa),
		            sizeof(boot_info.command_line));
	if (info->flags & MULTIBOOT_INFO_MMAP)
		load_memory_map(info);
	if (info->flags & MULTIBOOT_INFO_MODS) {
		modules = at(info->mods_gpa);
		for (i = 0; i < info->mods_count && i < BOOT_MODULE_MAX; i++)
			boot_info.modules[i] =
				(struct boot_module){ modules[i].start_gpa,
				                      modules[i].end_gpa - modules[i].start_gpa,
				                      at(modules[i].string_gpa) };
		boot_info.module_count = i;
	}
	if (!boot_info.memory_map_count) {
		boot_info_problem = "no memory map";
		boot_info.memory_map[0] =
			(struct memory_map_entry){ 0x100000, (uint64_t)info->mem_upper_kib << 10,
			                           MEMORY_MAP_RAM };
		boot_info.memory_map_count = 1;
	}
}
