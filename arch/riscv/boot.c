/* SPDX-License-Identifier: Apache-2.0 */
/* Loads Linux Images and ELF files, and the initrds. */
/*
 * DOC: Where things lie
 *
 *	RAM                                          RAM's end, or RAM + 1 GiB
 *	|  2 MiB  | kernel | free …   | initrds | gap | FDT |
 *
 * An Image goes where its text_offset says, from RAM's beginning; ELF segments where they are
 * linked. The kernel's size counts with its bss (image_size). Kernels that are small of themselves
 * take the memory right behind them before they look at the FDT, and move FDT and initrd there: so
 * those lie at the other end, with something between.
 *
 * Linux, Documentation/arch/riscv/boot-image-header.rst and boot.rst.
 */
#include "boot.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ebb/bytes.h"
#include "ebb/elf.h"
#include "layout.h"

/* The Image's header. */
#define IMAGE_TEXT_OFFSET  8
#define IMAGE_SIZE         16
#define IMAGE_FLAGS        24
#define IMAGE_MAGIC2       56
#define IMAGE_HEADER_BYTES 64

#define IMAGE_MAGIC2_VALUE     0x05435352 /* "RSC\x05" */
#define IMAGE_FLAG_BIG_ENDIAN  UINT64_C(1)
#define IMAGE_OFFSET_ALIGNMENT PAGE_2M_BYTES
#define IMAGE_OFFSET_MAX       (64 * GIB) /* so that sums of what the header says do not wrap */

static bool is_linux_image(const struct image *image)
{
	size_t bytes;
	const uint8_t *head = image_head(image, &bytes);

	return bytes >= IMAGE_HEADER_BYTES && load_le32(head + IMAGE_MAGIC2) == IMAGE_MAGIC2_VALUE;
}

/* The end of what a kernel may take. */
static gpa_t boot_limit(const struct boot_request *request)
{
	return RISCV_RAM_GPA + min_u64(request->ram_bytes, RISCV_BOOT_LIMIT_BYTES);
}

/* -EINVAL for RAM that is too small for any kernel. */
static int place_fdt(const struct boot_request *request, gpa_t *ret_gpa, struct error *err)
{
	uint64_t least_bytes = RISCV_KERNEL_OFFSET + RISCV_FDT_BYTES + RISCV_BOOT_GAP_BYTES;

	if (request->ram_bytes < least_bytes)
		return error_set(err, -EINVAL,
		                 "--mem %llu KiB: a kernel and the FDT need at least %llu KiB",
		                 (unsigned long long)(request->ram_bytes / KIB),
		                 (unsigned long long)(least_bytes / KIB));
	*ret_gpa = align_down(boot_limit(request) - RISCV_FDT_BYTES, RISCV_BOOT_GAP_BYTES);
	return 0;
}

static int check_range(const struct boot_request *request, const char *what, gpa_t gpa,
                       uint64_t size_bytes, gpa_t fdt_gpa, struct error *err)
{
	const char *name = image_name(request->kernel);

	if (!range_contains(RISCV_RAM_GPA, request->ram_bytes, gpa, size_bytes))
		return error_set(
			err, -EINVAL,
			"%s: %s (0x%llx, %llu bytes) lies outside of the guest's RAM (%llu "
			"MiB from 0x%llx; give it more with --mem)",
			name, what, (unsigned long long)gpa, (unsigned long long)size_bytes,
			(unsigned long long)(request->ram_bytes / MIB),
			(unsigned long long)RISCV_RAM_GPA);
	if (size_bytes && ranges_overlap(gpa, size_bytes, fdt_gpa, RISCV_FDT_BYTES))
		return error_set(err, -EINVAL,
		                 "%s: %s (0x%llx, %llu bytes) overlaps the FDT at 0x%llx to 0x%llx",
		                 name, what, (unsigned long long)gpa,
		                 (unsigned long long)size_bytes, (unsigned long long)fdt_gpa,
		                 (unsigned long long)(fdt_gpa + RISCV_FDT_BYTES));
	return 0;
}

static int load_linux_image(const struct boot_request *request, struct boot_entry *entry,
                            gpa_t *ret_end_gpa, struct error *err)
{
	const struct image *kernel = request->kernel;
	size_t bytes;
	const uint8_t *head = image_head(kernel, &bytes);
	uint64_t offset = load_le64(head + IMAGE_TEXT_OFFSET);
	uint64_t size_bytes = max_u64(load_le64(head + IMAGE_SIZE), image_size_bytes(kernel));
	gpa_t gpa;
	int rc;

	if (load_le64(head + IMAGE_FLAGS) & IMAGE_FLAG_BIG_ENDIAN)
		return error_set(err, -EINVAL, "%s: is a big-endian Image", image_name(kernel));
	if (offset > IMAGE_OFFSET_MAX || !is_aligned(offset, IMAGE_OFFSET_ALIGNMENT))
		return error_set(err, -EINVAL,
		                 "%s: has text_offset 0x%llx, it must be a multiple of 2 MiB below "
		                 "64 GiB",
		                 image_name(kernel), (unsigned long long)offset);
	/* 0 is an Image for machine mode, or one that does not care. */
	gpa = RISCV_RAM_GPA + (offset ? offset : RISCV_KERNEL_OFFSET);
	rc = image_check_pe(kernel, err);
	if (!rc)
		rc = check_range(request, "the Image", gpa, size_bytes, entry->fdt_gpa, err);
	if (rc)
		return rc;
	entry->pc = gpa;
	*ret_end_gpa = gpa + size_bytes;
	return image_load(kernel, 0, image_size_bytes(kernel), request->memory, gpa, err);
}

static int check_elf(const struct boot_request *request, const struct elf_file *elf,
                     const struct boot_entry *entry, gpa_t *ret_end_gpa, struct error *err)
{
	const char *name = image_name(request->kernel);
	gpa_t end_gpa = 0;

	if (elf->machine != EM_RISCV || !elf->is_64bit)
		return error_set(err, -EINVAL,
		                 "%s: is an ELF%u file for machine %u, not ELF64 for RISC-V (%u)",
		                 name, elf->is_64bit ? 64 : 32, elf->machine, EM_RISCV);
	for (size_t i = 0; i < elf->load_count; i++) {
		const struct elf_segment *segment = &elf->load[i];
		char what[48];
		int rc;

		snprintf(what, sizeof(what), "loadable segment %zu", i);
		rc = check_range(request, what, segment->gpa, segment->memory_bytes, entry->fdt_gpa,
		                 err);
		if (rc)
			return rc;
		end_gpa = max_u64(end_gpa, segment->gpa + segment->memory_bytes);
	}
	if (!elf_holds(elf, elf->entry))
		return error_set(err, -EINVAL,
		                 "%s: its entry 0x%llx lies in none of its segments (a vmlinux "
		                 "with virtual addresses? give the Image)",
		                 name, (unsigned long long)elf->entry);
	*ret_end_gpa = end_gpa;
	return 0;
}

static int load_elf(const struct boot_request *request, struct boot_entry *entry,
                    gpa_t *ret_end_gpa, struct error *err)
{
	struct elf_file *elf = malloc(sizeof(*elf)); /* 4 KiB: not for the stack */
	int rc;

	if (!elf)
		return error_set_errno(err, -ENOMEM, "%s", image_name(request->kernel));
	rc = elf_parse(request->kernel, elf, err);
	if (!rc)
		rc = check_elf(request, elf, entry, ret_end_gpa, err);
	if (!rc)
		rc = elf_load(request->kernel, elf, request->memory, err);
	entry->pc = rc ? 0 : elf->entry;
	free(elf);
	return rc;
}

/* As high as they fit below the FDT. */
static int load_initrds(const struct boot_request *request, struct boot_entry *entry,
                        gpa_t kernel_end_gpa, struct error *err)
{
	gpa_t floor_gpa = kernel_end_gpa + RISCV_BOOT_GAP_BYTES;
	gpa_t limit_gpa = entry->fdt_gpa - RISCV_BOOT_GAP_BYTES;
	uint64_t bytes;
	int rc = image_list_size(request->initrds, request->initrd_count, &bytes, err);

	if (rc || !bytes)
		return rc;
	if (floor_gpa > limit_gpa ||
	    bytes > limit_gpa - align_up(min_u64(floor_gpa, limit_gpa), PAGE_4K_BYTES))
		return error_set(
			err, -EINVAL,
			"--initrd: %llu bytes do not fit between the kernel's end at 0x%llx "
			"and 0x%llx (give the guest more memory with --mem, up to %llu "
			"MiB helps)",
			(unsigned long long)bytes, (unsigned long long)kernel_end_gpa,
			(unsigned long long)limit_gpa,
			(unsigned long long)(RISCV_BOOT_LIMIT_BYTES / MIB));
	entry->initrd_gpa = align_down(limit_gpa - bytes, PAGE_4K_BYTES);
	entry->initrd_bytes = bytes;
	return image_list_load(request->initrds, request->initrd_count, request->memory,
	                       entry->initrd_gpa, err);
}

int boot_load(const struct boot_request *request, struct boot_entry *ret_entry, struct error *err)
{
	struct boot_entry entry = { 0 };
	gpa_t end_gpa = 0;
	int rc = place_fdt(request, &entry.fdt_gpa, err);

	if (rc)
		return rc;
	if (is_linux_image(request->kernel))
		rc = load_linux_image(request, &entry, &end_gpa, err);
	else if (elf_is_elf(request->kernel))
		rc = load_elf(request, &entry, &end_gpa, err);
	else
		rc = error_set(err, -EINVAL,
		               "%s: is %s, not a kernel (a RISC-V Linux Image, or an ELF file)",
		               image_name(request->kernel), image_describe(request->kernel));
	if (!rc)
		rc = load_initrds(request, &entry, end_gpa, err);
	if (!rc)
		*ret_entry = entry;
	return rc;
}
