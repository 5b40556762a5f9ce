/* SPDX-License-Identifier: Apache-2.0 */
/* The PVH entry of an ELF kernel. (Xen: docs/misc/pvh.pandoc,
 * xen/include/public/arch-x86/hvm/start_info.h.) */
#include <errno.h>

#include "boot.h"
#include "ebb/bytes.h"
#include "layout.h"

#define NOTE_OWNER            "Xen"
#define NOTE_PHYS32_ENTRY     18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define LINUX_NOTE_OWNER      "Linux"
#define LINUX_NOTE_BUILD_SALT 0x100
#define START_MAGIC           0x336ec578
#define START_VERSION         1
#define PARAMS_MAX            2047 /* a Linux kernel cuts a longer one without a word */

struct start_info { /* hvm_start_info, version 1 */
	uint32_t magic, version, flags, module_count;
	uint64_t modules_gpa, params_gpa, rsdp_gpa;
	uint64_t memory_map_gpa;
	uint32_t memory_map_count, reserved;
};

struct start_module { /* hvm_modlist_entry */
	uint64_t gpa, size_bytes, params_gpa, reserved;
};

struct start_memory { /* hvm_memmap_table_entry */
	uint64_t gpa, size_bytes;
	uint32_t type, reserved;
};

int boot_find_pvh_entry(const struct image *kernel, const struct elf_file *elf,
                        gpa_t *ret_entry_gpa, struct error *err)
{
	struct elf_note note;
	int rc = elf_find_note(kernel, elf, NOTE_OWNER, NOTE_PHYS32_ENTRY, &note, err);

	if (rc <= 0)
		return rc;
	if (note.desc_bytes != 4 && note.desc_bytes != 8)
		return error_set(err, -EINVAL, "%s: its PVH entry note has %zu bytes, not 4 or 8",
		                 image_name(kernel), note.desc_bytes);
	*ret_entry_gpa = load_le64(note.desc);
	if (!elf_holds(elf, *ret_entry_gpa) || *ret_entry_gpa > UINT32_MAX)
		return error_set(err, -EINVAL,
		                 "%s: its PVH entry 0x%llx is in none of its segments below 4 GiB",
		                 image_name(kernel), (unsigned long long)*ret_entry_gpa);
	return 1;
}

bool boot_elf_is_linux(const struct image *kernel, const struct elf_file *elf)
{
	struct error ignored = ERROR_INIT;
	struct elf_note note;

	return elf_find_note(kernel, elf, LINUX_NOTE_OWNER, LINUX_NOTE_BUILD_SALT, &note,
	                     &ignored) == 1;
}

static int write_memory_map(const struct boot_request *request, uint32_t *ret_count,
                            struct error *err)
{
	struct boot_memory_range ranges[BOOT_MEMORY_RANGES_MAX];
	struct start_memory entries[BOOT_MEMORY_RANGES_MAX];
	size_t count = boot_memory_map(request->ram_bytes, ranges);
	int rc;

	for (size_t i = 0; i < count; i++)
		entries[i] = (struct start_memory){
			.gpa = htole64(ranges[i].gpa),
			.size_bytes = htole64(ranges[i].size_bytes),
			.type = htole32((uint32_t)ranges[i].type),
		};
	rc = gmem_write(request->memory, X86_BOOT_MAP_GPA, entries, count * sizeof(entries[0]));
	if (rc)
		return error_set_errno(err, rc, "PVH memory map");
	*ret_count = (uint32_t)count;
	return 0;
}

static int write_start_info(const struct boot_request *request, gpa_t initrd_gpa,
                            uint64_t initrd_bytes, struct error *err)
{
	struct start_module module = {
		.gpa = htole64(initrd_gpa),
		.size_bytes = htole64(initrd_bytes),
	};
	struct start_info info = {
		.magic = htole32(START_MAGIC),
		.version = htole32(START_VERSION),
		.module_count = htole32(initrd_bytes ? 1 : 0),
		.modules_gpa = htole64(initrd_bytes ? X86_BOOT_MODULES_GPA : 0),
		.params_gpa = htole64(X86_BOOT_PARAMS_GPA),
		.rsdp_gpa = htole64(X86_ACPI_GPA),
		.memory_map_gpa = htole64(X86_BOOT_MAP_GPA),
	};
	uint32_t memory_map_count = 0;
	int rc = write_memory_map(request, &memory_map_count, err);

	if (rc)
		return rc;
	info.memory_map_count = htole32(memory_map_count);
	if (initrd_bytes)
		rc = gmem_write(request->memory, X86_BOOT_MODULES_GPA, &module, sizeof(module));
	if (!rc)
		rc = gmem_write(request->memory, X86_BOOT_INFO_GPA, &info, sizeof(info));
	return rc ? error_set_errno(err, rc, "PVH start information") : 0;
}

int boot_load_elf_pvh(const struct boot_request *request, const struct elf_file *elf,
                      gpa_t entry_gpa, struct boot_entry *ret_entry, struct error *err)
{
	struct boot_initrd_limits limits = { .limit_gpa = 4 * GIB };
	uint64_t initrd_bytes, params_bytes;
	gpa_t initrd_gpa;
	int rc = boot_write_params(request, NULL, PARAMS_MAX, &params_bytes, err);

	if (!rc)
		rc = boot_load_elf_segments(request, elf, &limits.floor_gpa, err);
	if (!rc)
		rc = boot_load_initrds(request, &limits, &initrd_gpa, &initrd_bytes, err);
	if (!rc)
		rc = write_start_info(request, initrd_gpa, initrd_bytes, err);
	if (!rc)
		rc = boot_write_gdt(request, BOOT_MODE_PROTECTED, err);
	if (rc)
		return rc;
	*ret_entry = (struct boot_entry){
		.mode = BOOT_MODE_PROTECTED,
		.rip = entry_gpa,
		.rbx = X86_BOOT_INFO_GPA,
		.gdt_gpa = X86_BOOT_GDT_GPA,
	};
	return 0;
}
