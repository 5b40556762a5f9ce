/* SPDX-License-Identifier: Apache-2.0 */
/* What the loaders of every kind of kernel share: the memory map, the command line, initrds,
 * descriptors, page tables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot.h"
#include "ebb/bytes.h"
#include "layout.h"

uint64_t boot_ram_low_bytes(uint64_t ram_bytes)
{
	return min_u64(ram_bytes, X86_RAM_LOW_MAX_BYTES);
}

uint64_t boot_ram_high_bytes(uint64_t ram_bytes)
{
	return ram_bytes - boot_ram_low_bytes(ram_bytes);
}

size_t boot_memory_map(uint64_t ram_bytes, struct boot_memory_range ranges[BOOT_MEMORY_RANGES_MAX])
{
	uint64_t low_bytes = boot_ram_low_bytes(ram_bytes);
	uint64_t high_bytes = boot_ram_high_bytes(ram_bytes);
	size_t count = 0;

	ranges[count++] = (struct boot_memory_range){ 0, X86_LOW_RAM_END, BOOT_MEMORY_RAM };
	ranges[count++] =
		(struct boot_memory_range){ X86_LOW_RAM_END, X86_BIOS_END - X86_LOW_RAM_END,
		                            BOOT_MEMORY_RESERVED };
	if (low_bytes > X86_BIOS_END)
		ranges[count++] =
			(struct boot_memory_range){ X86_BIOS_END, low_bytes - X86_BIOS_END,
			                            BOOT_MEMORY_RAM };
	ranges[count++] = (struct boot_memory_range){ X86_PCI_ECAM_GPA, X86_PCI_ECAM_BYTES,
		                                      BOOT_MEMORY_RESERVED };
	ranges[count++] = (struct boot_memory_range){ X86_KVM_IDENTITY_GPA, X86_KVM_PRIVATE_BYTES,
		                                      BOOT_MEMORY_RESERVED };
	if (high_bytes)
		ranges[count++] =
			(struct boot_memory_range){ X86_RAM_HIGH_GPA, high_bytes, BOOT_MEMORY_RAM };
	return count;
}

static bool is_in_ram(uint64_t ram_bytes, gpa_t gpa, uint64_t size_bytes)
{
	struct boot_memory_range ranges[BOOT_MEMORY_RANGES_MAX];
	size_t count = boot_memory_map(ram_bytes, ranges);

	for (size_t i = 0; i < count; i++)
		if (ranges[i].type == BOOT_MEMORY_RAM &&
		    range_contains(ranges[i].gpa, ranges[i].size_bytes, gpa, size_bytes))
			return true;
	return false;
}

/* Only where more RAM would help is that the advice: two ranges of addresses never are RAM. */
static int outside_ram(const struct boot_request *request, const char *what, gpa_t gpa,
                       uint64_t size_bytes, struct error *err)
{
	const char *name = image_name(request->kernel);
	unsigned long long start = gpa, bytes = size_bytes;

	if (ranges_overlap(gpa, size_bytes, X86_LOW_RAM_END, X86_BIOS_END - X86_LOW_RAM_END))
		return error_set(err, -EINVAL,
		                 "%s: %s (0x%llx, %llu bytes) lies in the firmware's area at "
		                 "0x%llx to 0x%llx, which is no RAM (link it at 0x%llx or above)",
		                 name, what, start, bytes, (unsigned long long)X86_LOW_RAM_END,
		                 (unsigned long long)X86_BIOS_END - 1,
		                 (unsigned long long)X86_BIOS_END);
	if (ranges_overlap(gpa, size_bytes, X86_RAM_LOW_MAX_BYTES,
	                   X86_RAM_HIGH_GPA - X86_RAM_LOW_MAX_BYTES))
		return error_set(err, -EINVAL,
		                 "%s: %s (0x%llx, %llu bytes) lies in the devices' area at 0x%llx "
		                 "to 0x%llx, which is no RAM (link it below)",
		                 name, what, start, bytes,
		                 (unsigned long long)X86_RAM_LOW_MAX_BYTES,
		                 (unsigned long long)X86_RAM_HIGH_GPA - 1);
	return error_set(err, -EINVAL,
	                 "%s: %s (0x%llx, %llu bytes) lies outside of the guest's RAM (%llu MiB; "
	                 "give it more with --mem)",
	                 name, what, start, bytes, (unsigned long long)(request->ram_bytes / MIB));
}

int boot_check_range(const struct boot_request *request, const char *what, gpa_t gpa,
                     uint64_t size_bytes, struct error *err)
{
	const char *name = image_name(request->kernel);

	if (!size_bytes)
		return 0;
	if (!is_in_ram(request->ram_bytes, gpa, size_bytes))
		return outside_ram(request, what, gpa, size_bytes, err);
	if (ranges_overlap(gpa, size_bytes, X86_BOOT_AREA_GPA,
	                   X86_BOOT_AREA_END - X86_BOOT_AREA_GPA))
		return error_set(err, -EINVAL,
		                 "%s: %s (0x%llx, %llu bytes) overlaps the boot information at "
		                 "0x%llx to 0x%llx",
		                 name, what, (unsigned long long)gpa,
		                 (unsigned long long)size_bytes,
		                 (unsigned long long)X86_BOOT_AREA_GPA,
		                 (unsigned long long)X86_BOOT_AREA_END);
	return 0;
}

int boot_load_elf_segments(const struct boot_request *request, const struct elf_file *elf,
                           gpa_t *ret_end_gpa, struct error *err)
{
	gpa_t end_gpa = 0;

	for (size_t i = 0; i < elf->load_count; i++) {
		const struct elf_segment *segment = &elf->load[i];
		char what[48];
		int rc;

		snprintf(what, sizeof(what), "loadable segment %zu", i);
		rc = boot_check_range(request, what, segment->gpa, segment->memory_bytes, err);
		if (rc)
			return rc;
		end_gpa = max_u64(end_gpa, segment->gpa + segment->memory_bytes);
	}
	*ret_end_gpa = end_gpa;
	return elf_load(request->kernel, elf, request->memory, err);
}

int boot_write_params(const struct boot_request *request, const char *word0, uint64_t max_bytes,
                      uint64_t *ret_bytes, struct error *err)
{
	const char *first = word0 ? word0 : request->default_params;
	const char *blank = *first && *request->params ? " " : "";
	size_t bytes = strlen(first) + strlen(blank) + strlen(request->params) + 1;
	char *text;
	int rc;

	max_bytes = min_u64(max_bytes, X86_BOOT_PARAMS_BYTES - 1);
	if (bytes - 1 > max_bytes)
		return error_set(
			err, -EINVAL, "--params: the command line has %zu bytes, %s takes %llu",
			bytes - 1, image_path(request->kernel), (unsigned long long)max_bytes);
	text = malloc(bytes);
	if (!text)
		return error_set_errno(err, -ENOMEM, "command line");
	stpcpy(stpcpy(stpcpy(text, first), blank), request->params);
	rc = gmem_write(request->memory, X86_BOOT_PARAMS_GPA, text, bytes);
	free(text);
	if (rc)
		return error_set_errno(err, rc, "command line");
	*ret_bytes = bytes;
	return 0;
}

/* The highest page-aligned place for size_bytes in [floor, limit), 0 when there is none. */
static gpa_t place_below(gpa_t floor_gpa, gpa_t limit_gpa, uint64_t size_bytes)
{
	gpa_t gpa;

	if (limit_gpa < size_bytes)
		return 0;
	gpa = align_down(limit_gpa - size_bytes, PAGE_4K_BYTES);
	return gpa >= floor_gpa ? gpa : 0;
}

int boot_load_initrds(const struct boot_request *request, const struct boot_initrd_limits *limits,
                      gpa_t *ret_gpa, uint64_t *ret_bytes, struct error *err)
{
	uint64_t low_bytes = boot_ram_low_bytes(request->ram_bytes);
	uint64_t high_bytes = boot_ram_high_bytes(request->ram_bytes);
	gpa_t floor_gpa = max_u64(limits->floor_gpa, X86_BIOS_END);
	gpa_t limit_gpa = min_u64(limits->limit_gpa, low_bytes);
	uint64_t bytes;
	gpa_t gpa;
	int rc = image_list_size(request->initrds, request->initrd_count, &bytes, err);

	*ret_gpa = *ret_bytes = 0;
	if (rc || !bytes)
		return rc;
	gpa = place_below(floor_gpa, limit_gpa, bytes);
	if (!gpa && limits->high_ram && high_bytes)
		gpa = place_below(X86_RAM_HIGH_GPA, X86_RAM_HIGH_GPA + high_bytes, bytes);
	if (!gpa)
		return error_set(
			err, -EINVAL,
			"--initrd: %llu bytes do not fit between the kernel's end at 0x%llx "
			"and 0x%llx (give the guest more memory with --mem)",
			(unsigned long long)bytes, (unsigned long long)floor_gpa,
			(unsigned long long)limit_gpa);
	rc = image_list_load(request->initrds, request->initrd_count, request->memory, gpa, err);
	if (rc)
		return rc;
	*ret_gpa = gpa;
	*ret_bytes = bytes;
	return 0;
}

/* Intel SDM volume 3, 3.4.5: base 0, limit 4 GiB, present, accessed. */
#define DESCRIPTOR_CODE64 UINT64_C(0x00af9b000000ffff)
#define DESCRIPTOR_CODE32 UINT64_C(0x00cf9b000000ffff)
#define DESCRIPTOR_DATA   UINT64_C(0x00cf93000000ffff)
#define DESCRIPTOR_TSS    UINT64_C(0x00008b000000ffff)

int boot_write_gdt(const struct boot_request *request, enum boot_mode mode, struct error *err)
{
	uint8_t gdt[BOOT_GDT_ENTRIES * 8] = { 0 };
	int rc;

	store_le64(gdt + BOOT_SELECTOR_CODE,
	           mode == BOOT_MODE_LONG ? DESCRIPTOR_CODE64 : DESCRIPTOR_CODE32);
	store_le64(gdt + BOOT_SELECTOR_DATA, DESCRIPTOR_DATA);
	store_le64(gdt + BOOT_SELECTOR_TSS, DESCRIPTOR_TSS);
	rc = gmem_write(request->memory, X86_BOOT_GDT_GPA, gdt, sizeof(gdt));
	return rc ? error_set_errno(err, rc, "boot descriptors") : 0;
}

/* Intel SDM volume 3, 4.5. */
#define PAGE_PRESENT_WRITABLE UINT64_C(0x3)
#define PAGE_LARGE            UINT64_C(0x80)
#define PAGE_TABLE_ENTRIES    512

int boot_write_page_tables(const struct boot_request *request, gpa_t end_gpa, struct error *err)
{
	unsigned int directories =
		(unsigned int)(align_up(min_u64(max_u64(end_gpa, 1), 4 * GIB), GIB) / GIB);
	uint8_t pml4e[8], pdpt[4 * 8];
	uint8_t *directory = malloc(PAGE_4K_BYTES);
	int rc;

	if (!directory)
		return error_set_errno(err, -ENOMEM, "boot page tables");
	store_le64(pml4e, X86_BOOT_PDPT_GPA | PAGE_PRESENT_WRITABLE);
	rc = gmem_write(request->memory, X86_BOOT_PML4_GPA, pml4e, sizeof(pml4e));
	for (unsigned int i = 0; i < directories; i++) {
		gpa_t directory_gpa = X86_BOOT_PD_GPA + i * PAGE_4K_BYTES;

		store_le64(pdpt + (size_t)i * 8, directory_gpa | PAGE_PRESENT_WRITABLE);
		for (unsigned int j = 0; j < PAGE_TABLE_ENTRIES; j++)
			store_le64(directory + (size_t)j * 8, (i * GIB + j * PAGE_2M_BYTES) |
			                                              PAGE_PRESENT_WRITABLE |
			                                              PAGE_LARGE);
		if (!rc)
			rc = gmem_write(request->memory, directory_gpa, directory, PAGE_4K_BYTES);
	}
	if (!rc)
		rc = gmem_write(request->memory, X86_BOOT_PDPT_GPA, pdpt, (size_t)directories * 8);
	free(directory);
	return rc ? error_set_errno(err, rc, "boot page tables") : 0;
}
