/* SPDX-License-Identifier: Apache-2.0 */
/* Tells what kind of kernel an image is, and hands it to its loader. */
/*
 * DOC: Kernels
 *
 *   image ── "HdrS" at 0x202 ──────────────> bzImage        boot_bzimage.c
 *         └─ ELF ── multiboot header, ELF32 > multiboot 1   boot_multiboot.c
 *                └─ PVH note ──────────────> PVH            boot_pvh.c
 *                └─ ELF64 ─────────────────> 64-bit entry   boot_linux64.c
 *
 * All loaders work in the same order: check everything the image says against RAM and the boot area
 * (layout.h), load it, then write the boot information. Guest memory is zero when they start (a new
 * VM, or one whose memory was released by a reset), so that nothing needs clearing.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#include "boot.h"
#include "ebb/guest_memory.h"

static int load_elf(const struct boot_request *request, const struct elf_file *elf,
                    struct boot_entry *ret_entry, bool *ret_is_linux, struct error *err)
{
	const char *name = image_name(request->kernel);
	uint32_t multiboot_flags;
	gpa_t pvh_entry_gpa;
	int rc;

	if (elf->machine != EM_386 && elf->machine != EM_X86_64)
		return error_set(err, -EINVAL,
		                 "%s: is an ELF file for machine %u, not for x86 (%u or %u)", name,
		                 elf->machine, EM_386, EM_X86_64);
	if (!elf->is_64bit && boot_find_multiboot(request->kernel, &multiboot_flags)) {
		*ret_is_linux = false;
		return boot_load_multiboot(request, elf, multiboot_flags, ret_entry, err);
	}
	rc = boot_find_pvh_entry(request->kernel, elf, &pvh_entry_gpa, err);
	if (rc < 0)
		return rc;
	if (rc) {
		*ret_is_linux = boot_elf_is_linux(request->kernel, elf);
		return boot_load_elf_pvh(request, elf, pvh_entry_gpa, ret_entry, err);
	}
	if (!elf->is_64bit)
		return error_set(
			err, -EINVAL,
			"%s: is a 32-bit ELF file with neither a multiboot header nor a PVH "
			"entry note",
			name);
	*ret_is_linux = true;
	return boot_load_elf_linux64(request, elf, ret_entry, err);
}

int boot_load(const struct boot_request *request, struct boot_entry *ret_entry, bool *ret_is_linux,
              struct error *err)
{
	struct elf_file *elf;
	int rc;

	if (boot_is_bzimage(request->kernel)) {
		*ret_is_linux = true;
		return boot_load_bzimage(request, ret_entry, err);
	}
	if (!elf_is_elf(request->kernel))
		return error_set(
			err, -EINVAL,
			"%s: is %s, not a kernel (bzImage, or an ELF file with a PVH, 64-bit or "
			"multiboot entry)",
			image_name(request->kernel), image_describe(request->kernel));
	elf = malloc(sizeof(*elf)); /* 4 KiB: not for the stack */
	if (!elf)
		return error_set_errno(err, -ENOMEM, "%s", image_name(request->kernel));
	rc = elf_parse(request->kernel, elf, err);
	if (!rc)
		rc = load_elf(request, elf, ret_entry, ret_is_linux, err);
	free(elf);
	return rc;
}
