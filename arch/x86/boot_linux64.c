/* SPDX-License-Identifier: Apache-2.0 */
/* The zero page, and a vmlinux that is entered at its 64-bit entry. (Linux:
 * Documentation/arch/x86/boot.rst, zero-page.rst.) */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#include "boot_linux64.h"
#include "layout.h"

#define BOOT_FLAG           0xaa55
#define HEADER_MAGIC        0x53726448 /* "HdrS" */
#define LOADER_TYPE_UNKNOWN 0xff
#define VMLINUX_PARAMS_MAX  2047 /* COMMAND_LINE_SIZE of every x86 Linux, less the NUL */
#define VMLINUX_PROTOCOL    0x020f
#define VMLINUX_ALIGNMENT   0x1000000

static void fill_memory_map(struct boot_params *page, uint64_t ram_bytes)
{
	struct boot_memory_range ranges[BOOT_MEMORY_RANGES_MAX];
	size_t count = boot_memory_map(ram_bytes, ranges);

	for (size_t i = 0; i < count; i++)
		page->e820_table[i] = (struct boot_e820_entry){
			.addr = ranges[i].gpa,
			.size = ranges[i].size_bytes,
			.type = ranges[i].type,
		};
	page->e820_entries = (uint8_t)count;
}

int boot_write_zero_page(const struct boot_request *request, const struct zero_page_config *config,
                         struct error *err)
{
	struct boot_params *page = calloc(1, sizeof(*page));
	int rc;

	if (!page)
		return error_set_errno(err, -ENOMEM, "zero page");
	page->hdr = config->header;
	page->hdr.type_of_loader = LOADER_TYPE_UNKNOWN;
	page->hdr.cmd_line_ptr = (uint32_t)X86_BOOT_PARAMS_GPA;
	page->hdr.ramdisk_image = (uint32_t)config->initrd_gpa;
	page->hdr.ramdisk_size = (uint32_t)config->initrd_bytes;
	page->ext_ramdisk_image = (uint32_t)(config->initrd_gpa >> 32);
	page->ext_ramdisk_size = (uint32_t)(config->initrd_bytes >> 32);
	page->acpi_rsdp_addr = X86_ACPI_GPA;
	fill_memory_map(page, request->ram_bytes);
	rc = gmem_write(request->memory, X86_BOOT_ZERO_PAGE_GPA, page, sizeof(*page));
	free(page);
	return rc ? error_set_errno(err, rc, "zero page") : 0;
}

int boot_load_elf_linux64(const struct boot_request *request, const struct elf_file *elf,
                          struct boot_entry *ret_entry, struct error *err)
{
	struct zero_page_config config = {
		.header = {
			.boot_flag = BOOT_FLAG,
			.header = HEADER_MAGIC,
			.version = VMLINUX_PROTOCOL,
			.kernel_alignment = VMLINUX_ALIGNMENT,
			.loadflags = LOADED_HIGH,
		},
	};
	struct boot_initrd_limits limits = { .limit_gpa = 4 * GIB, .high_ram = true };
	uint64_t params_bytes;
	int rc;

	if (elf->machine != EM_X86_64)
		return error_set(err, -EINVAL, "%s: is a 64-bit ELF file for machine %u, not %u",
		                 image_name(request->kernel), elf->machine, EM_X86_64);
	if (!elf_holds(elf, elf->entry))
		return error_set(err, -EINVAL,
		                 "%s: its entry 0x%llx is in none of its segments' physical "
		                 "addresses",
		                 image_name(request->kernel), (unsigned long long)elf->entry);
	rc = boot_write_params(request, NULL, VMLINUX_PARAMS_MAX, &params_bytes, err);
	if (!rc)
		rc = boot_load_elf_segments(request, elf, &limits.floor_gpa, err);
	if (!rc)
		rc = boot_load_initrds(request, &limits, &config.initrd_gpa, &config.initrd_bytes,
		                       err);
	if (!rc)
		rc = boot_write_zero_page(request, &config, err);
	if (!rc)
		rc = boot_write_gdt(request, BOOT_MODE_LONG, err);
	if (!rc)
		rc = boot_write_page_tables(request, limits.floor_gpa, err);
	if (rc)
		return rc;
	*ret_entry = (struct boot_entry){
		.mode = BOOT_MODE_LONG,
		.rip = elf->entry,
		.rsi = X86_BOOT_ZERO_PAGE_GPA,
		.page_table_gpa = X86_BOOT_PML4_GPA,
		.gdt_gpa = X86_BOOT_GDT_GPA,
	};
	return 0;
}
