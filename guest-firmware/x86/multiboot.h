/* SPDX-License-Identifier: Apache-2.0 */
/* The multiboot 1 information block (Multiboot Specification 0.6.96, section 3.3). */
#ifndef FIRMWARE_X86_MULTIBOOT_H
#define FIRMWARE_X86_MULTIBOOT_H

#include <stdint.h>

#define MULTIBOOT_LOADED_MAGIC 0x2badb002

#define MULTIBOOT_INFO_MEMORY  0x001
#define MULTIBOOT_INFO_CMDLINE 0x004
#define MULTIBOOT_INFO_MODS    0x008
#define MULTIBOOT_INFO_MMAP    0x040

struct multiboot_info {
	uint32_t flags;
	uint32_t mem_lower_kib, mem_upper_kib;
	uint32_t boot_device;
	uint32_t cmdline_gpa;
	uint32_t mods_count, mods_gpa;
	uint32_t symbols[4];
	uint32_t mmap_length, mmap_gpa;
};

struct multiboot_module {
	uint32_t start_gpa, end_gpa, string_gpa, reserved;
};

struct multiboot_mmap_entry {
	uint32_t entry_size_bytes; /* of what follows */
	uint64_t gpa, size_bytes;
	uint32_t type;
} __attribute__((packed));

#endif
