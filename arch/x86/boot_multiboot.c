/* SPDX-License-Identifier: Apache-2.0 */
/* Multiboot 1 kernels in ELF32: bare test kernels above all. (Multiboot Specification 0.6.96.) */
/*
 * DOC: What a kernel is given
 *
 * EAX 0x2BADB002, EBX the information block: memory sizes and map (asked for or not), command line
 * with the kernel's path as its first word, one module an initrd file, the loader's name. The
 * segments are loaded by their ELF headers, which the specification lets stand in for the header's
 * address fields.
 *
 * Block, map, module table and strings lie in the boot area (layout.h). Modules lie below it when
 * all of them fit there: a kernel that takes everything behind itself as its heap leaves that
 * alone; else at the top of low RAM.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "boot.h"
#include "ebb/bytes.h"
#include "ebb/config.h"
#include "layout.h"

#define HEADER_MAGIC        0x1badb002
#define HEADER_SEARCH_BYTES 8192
#define HEADER_FLAGS_KNOWN \
	0x00000003 /* of the 16 that a loader must know: page-aligned modules, memory sizes */
#define HEADER_FLAGS_MUST 0x0000ffff
#define LOADER_MAGIC      0x2badb002
#define LOADER_NAME       "ebb"

#define INFO_MEMORY      (1U << 0)
#define INFO_PARAMS      (1U << 2)
#define INFO_MODULES     (1U << 3)
#define INFO_MEMORY_MAP  (1U << 6)
#define INFO_LOADER_NAME (1U << 9)

struct info { /* 3.3, as far as it is used */
	uint32_t flags, mem_lower_kib, mem_upper_kib, boot_device;
	uint32_t params_gpa, module_count, modules_gpa;
	uint32_t symbols[4];
	uint32_t memory_map_bytes, memory_map_gpa;
	uint32_t drives_bytes, drives_gpa, config_table, loader_name_gpa, apm_table;
	uint32_t vbe[4];
};

struct info_module {
	uint32_t start_gpa, end_gpa, name_gpa, reserved;
};

struct info_memory {
	uint32_t entry_bytes; /* of what follows */
	uint64_t gpa, size_bytes;
	uint32_t type;
} __attribute__((packed));

bool boot_find_multiboot(const struct image *kernel, uint32_t *ret_flags)
{
	size_t bytes;
	const uint8_t *head = image_head(kernel, &bytes);

	_Static_assert(IMAGE_HEAD_BYTES >= HEADER_SEARCH_BYTES,
	               "the header is looked for in the head");
	for (size_t i = 0; i + 12 <= min_u64(bytes, HEADER_SEARCH_BYTES); i += 4) {
		uint32_t flags = load_le32(head + i + 4);

		if (load_le32(head + i) == HEADER_MAGIC &&
		    HEADER_MAGIC + flags + load_le32(head + i + 8) == 0) {
			*ret_flags = flags;
			return true;
		}
	}
	return false;
}

/* Where things go in guest memory, step by step. */
struct layout {
	struct info info;
	struct info_module modules[VM_INITRDS_MAX];
	gpa_t strings_gpa; /* the next free byte behind the command line */
	gpa_t load_start_gpa, load_end_gpa;
};

static int write_string(const struct boot_request *request, struct layout *layout,
                        const char *string, uint32_t *ret_gpa, struct error *err)
{
	size_t bytes = strlen(string) + 1;
	int rc;

	if (!range_contains(X86_BOOT_PARAMS_GPA, X86_BOOT_PARAMS_BYTES, layout->strings_gpa, bytes))
		return error_set(err, -EINVAL,
		                 "--initrd: command line and file names have more than %llu bytes",
		                 (unsigned long long)X86_BOOT_PARAMS_BYTES);
	rc = gmem_write(request->memory, layout->strings_gpa, string, bytes);
	if (rc)
		return error_set_errno(err, rc, "boot strings");
	*ret_gpa = (uint32_t)layout->strings_gpa;
	layout->strings_gpa += bytes;
	return 0;
}

/* Where all modules, each page aligned, find room; 0: nowhere. */
static gpa_t place_modules(const struct boot_request *request, const struct layout *layout,
                           uint64_t bytes)
{
	uint64_t low_bytes = boot_ram_low_bytes(request->ram_bytes);
	gpa_t gpa;

	if (bytes <= X86_BOOT_AREA_GPA - X86_BOOT_LOW_MODULES_GPA) {
		gpa = X86_BOOT_AREA_GPA - bytes;
		if (layout->load_end_gpa <= gpa || layout->load_start_gpa >= X86_BOOT_AREA_GPA)
			return gpa;
	}
	if (bytes > low_bytes)
		return 0;
	gpa = align_down(low_bytes - bytes, PAGE_4K_BYTES);
	return gpa >= max_u64(layout->load_end_gpa, X86_BIOS_END) ? gpa : 0;
}

static int load_modules(const struct boot_request *request, struct layout *layout,
                        struct error *err)
{
	uint64_t bytes = 0;
	gpa_t gpa;

	for (size_t i = 0; i < request->initrd_count; i++) {
		uint64_t size_bytes = min_u64(image_size_bytes(request->initrds[i]), TIB);

		bytes += align_up(size_bytes, PAGE_4K_BYTES);
	}
	gpa = place_modules(request, layout, bytes);
	if (bytes && !gpa)
		return error_set(
			err, -EINVAL,
			"--initrd: %llu bytes do not fit behind the kernel's end at 0x%llx in "
			"%llu MiB (give the guest more memory with --mem)",
			(unsigned long long)bytes, (unsigned long long)layout->load_end_gpa,
			(unsigned long long)(request->ram_bytes / MIB));
	for (size_t i = 0; i < request->initrd_count; i++) {
		const struct image *image = request->initrds[i];
		struct info_module *module = &layout->modules[i];
		uint64_t size_bytes = image_size_bytes(image);
		int rc = image_load(image, 0, size_bytes, request->memory, gpa, err);

		if (!rc)
			rc = write_string(request, layout, image_path(image), &module->name_gpa,
			                  err);
		if (rc)
			return rc;
		module->start_gpa = (uint32_t)gpa;
		module->end_gpa = (uint32_t)(gpa + size_bytes);
		gpa += align_up(size_bytes, PAGE_4K_BYTES);
	}
	return 0;
}

static int write_memory_map(const struct boot_request *request, struct info *info,
                            struct error *err)
{
	struct boot_memory_range ranges[BOOT_MEMORY_RANGES_MAX];
	struct info_memory entries[BOOT_MEMORY_RANGES_MAX];
	size_t count = boot_memory_map(request->ram_bytes, ranges);
	int rc;

	for (size_t i = 0; i < count; i++)
		entries[i] = (struct info_memory){
			.entry_bytes = sizeof(entries[i]) - sizeof(entries[i].entry_bytes),
			.gpa = ranges[i].gpa,
			.size_bytes = ranges[i].size_bytes,
			.type = (uint32_t)ranges[i].type,
		};
	rc = gmem_write(request->memory, X86_BOOT_MAP_GPA, entries, count * sizeof(entries[0]));
	if (rc)
		return error_set_errno(err, rc, "multiboot memory map");
	info->memory_map_gpa = (uint32_t)X86_BOOT_MAP_GPA;
	info->memory_map_bytes = (uint32_t)(count * sizeof(entries[0]));
	return 0;
}

static int write_info(const struct boot_request *request, struct layout *layout, struct error *err)
{
	struct info *info = &layout->info;
	uint64_t low_bytes = boot_ram_low_bytes(request->ram_bytes);
	int rc = write_memory_map(request, info, err);

	if (!rc)
		rc = write_string(request, layout, LOADER_NAME, &info->loader_name_gpa, err);
	if (rc)
		return rc;
	info->flags = INFO_MEMORY | INFO_PARAMS | INFO_MODULES | INFO_MEMORY_MAP | INFO_LOADER_NAME;
	info->mem_lower_kib = (uint32_t)(X86_LOW_RAM_END / KIB);
	info->mem_upper_kib = (uint32_t)((max_u64(low_bytes, X86_BIOS_END) - X86_BIOS_END) / KIB);
	info->params_gpa = (uint32_t)X86_BOOT_PARAMS_GPA;
	info->module_count = (uint32_t)request->initrd_count;
	info->modules_gpa = (uint32_t)X86_BOOT_MODULES_GPA;
	if (request->initrd_count)
		rc = gmem_write(request->memory, X86_BOOT_MODULES_GPA, layout->modules,
		                request->initrd_count * sizeof(layout->modules[0]));
	if (!rc)
		rc = gmem_write(request->memory, X86_BOOT_INFO_GPA, info, sizeof(*info));
	return rc ? error_set_errno(err, rc, "multiboot information") : 0;
}

static int load_kernel(const struct boot_request *request, const struct elf_file *elf,
                       uint32_t header_flags, struct layout *layout, struct error *err)
{
	uint32_t unknown = header_flags & HEADER_FLAGS_MUST & ~HEADER_FLAGS_KNOWN;

	if (unknown)
		return error_set(err, -EINVAL,
		                 "%s: its multiboot header asks for 0x%x, which ebb does not give "
		                 "(it gives 0x%x)",
		                 image_name(request->kernel), unknown, HEADER_FLAGS_KNOWN);
	if (!elf_holds(elf, elf->entry))
		return error_set(err, -EINVAL, "%s: its entry 0x%llx is in none of its segments",
		                 image_name(request->kernel), (unsigned long long)elf->entry);
	layout->load_start_gpa = UINT64_MAX;
	for (size_t i = 0; i < elf->load_count; i++)
		layout->load_start_gpa = min_u64(layout->load_start_gpa, elf->load[i].gpa);
	return boot_load_elf_segments(request, elf, &layout->load_end_gpa, err);
}

int boot_load_multiboot(const struct boot_request *request, const struct elf_file *elf,
                        uint32_t header_flags, struct boot_entry *ret_entry, struct error *err)
{
	struct layout layout = { 0 };
	uint64_t params_bytes = 0;
	int rc = load_kernel(request, elf, header_flags, &layout, err);

	if (!rc)
		rc = boot_write_params(request, image_path(request->kernel), UINT64_MAX,
		                       &params_bytes, err);
	layout.strings_gpa = X86_BOOT_PARAMS_GPA + params_bytes;
	if (!rc)
		rc = load_modules(request, &layout, err);
	if (!rc)
		rc = write_info(request, &layout, err);
	if (!rc)
		rc = boot_write_gdt(request, BOOT_MODE_PROTECTED, err);
	if (rc)
		return rc;
	*ret_entry = (struct boot_entry){
		.mode = BOOT_MODE_PROTECTED,
		.rip = elf->entry,
		.rax = LOADER_MAGIC,
		.rbx = X86_BOOT_INFO_GPA,
		.gdt_gpa = X86_BOOT_GDT_GPA,
	};
	return 0;
}
