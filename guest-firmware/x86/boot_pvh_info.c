/* SPDX-License-Identifier: Apache-2.0 */
/* Reads struct hvm_start_info, the PVH loader's gift. */
#include "platform.h"
#include "platform_x86.h"
#include "string.h"

#define HVM_START_MAGIC 0x336ec578

struct hvm_start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t module_list_gpa, command_line_gpa, rsdp_gpa;
	/* version 1 */
	uint64_t memory_map_gpa;
	uint32_t memory_map_count, reserved;
};

struct hvm_module {
	uint64_t gpa, size_bytes, command_line_gpa, reserved;
};

struct hvm_memory_map_entry {
	uint64_t gpa, size_bytes;
	uint32_t type, reserved;
};

const char *boot_info_problem = "";

/* Keeps the compiler from reasoning about a pointer made of a number near 0. */
static const void *at(uint64_t gpa)
{
	const void *p = (const void *)(uintptr_t)gpa;

	__asm__("" : "+r"(p));
	return p;
}

void boot_info_load(uint32_t argument)
{
	const struct hvm_start_info *start = at(argument);
	const struct hvm_memory_map_entry *map;
	const struct hvm_module *modules;
	unsigned int i;

	if (start->magic != HVM_START_MAGIC) {
		boot_info_problem = "EBX does not point to a struct hvm_start_info";
		return;
	}
	boot_info.loader_info_gpa = argument;
	boot_info.rsdp_gpa = start->rsdp_gpa;
	if (start->command_line_gpa)
		string_copy(boot_info.command_line, at(start->command_line_gpa),
		            sizeof(boot_info.command_line));
	if (start->version < 1 || !start->memory_map_count) {
		boot_info_problem = "no memory map in struct hvm_start_info";
		return;
	}
	map = at(start->memory_map_gpa);
	for (i = 0; i < start->memory_map_count && i < MEMORY_MAP_MAX; i++)
		boot_info.memory_map[i] =
			(struct memory_map_entry){ map[i].gpa, map[i].size_bytes, map[i].type };
	boot_info.memory_map_count = i;
	modules = at(start->module_list_gpa);
	for (i = 0; i < start->module_count && i < BOOT_MODULE_MAX; i++)
		boot_info.modules[i] =
			(struct boot_module){ modules[i].gpa, modules[i].size_bytes, "" };
	boot_info.module_count = i;
}
