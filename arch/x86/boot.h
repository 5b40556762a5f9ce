/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a kernel: images and a memory size in, guest memory and an entry state out. No KVM here.
 *
 * All of an image is hostile: boot_load checks every range against RAM and against what it hands
 * over itself before it writes a byte there.
 */
#ifndef ARCH_X86_BOOT_H
#define ARCH_X86_BOOT_H

#include "ebb/elf.h"
#include "ebb/error.h"
#include "ebb/guest_memory.h"
#include "ebb/image.h"
#include "ebb/types.h"

enum boot_mode {
	BOOT_MODE_LONG,      /* 64-bit, paging on, low memory mapped to itself */
	BOOT_MODE_PROTECTED, /* 32-bit, paging off, flat segments */
};

/* Where vCPU 0 begins. Registers that are not named are 0. */
struct boot_entry {
	enum boot_mode mode;
	uint64_t rip, rax, rbx, rsi;
	gpa_t page_table_gpa; /* BOOT_MODE_LONG */
	gpa_t gdt_gpa;        /* with the four descriptors of boot_write_gdt */
};

struct boot_request {
	struct guest_memory *memory;
	uint64_t ram_bytes;
	const struct image *kernel;
	struct image *const *initrds;
	size_t initrd_count;
	const char *params;         /* the user's */
	const char *default_params; /* go before them, for a Linux kernel; "" for none */
};

/*
 * Recognises the kernel by its content and loads it. The entry state is the caller's to put into
 * vCPU 0. *ret_is_linux: whether it is a Linux kernel, as far as can be told. Errors: -EINVAL (not
 * a kernel, truncated, too large: the message says which value and which limit), -EIO and others of
 * pread.
 */
EBB_MUST_CHECK int boot_load(const struct boot_request *request, struct boot_entry *ret_entry,
                             bool *ret_is_linux, struct error *err);

/* ---- what the loaders share (boot_common.c) ---- */

enum boot_memory_type { BOOT_MEMORY_RAM = 1, BOOT_MEMORY_RESERVED = 2 }; /* as e820 numbers them */

struct boot_memory_range {
	gpa_t gpa;
	uint64_t size_bytes;
	enum boot_memory_type type;
};

#define BOOT_MEMORY_RANGES_MAX 8

/* The machine's memory map in ascending order; returns how many ranges. */
size_t boot_memory_map(uint64_t ram_bytes, struct boot_memory_range ranges[BOOT_MEMORY_RANGES_MAX]);

uint64_t boot_ram_low_bytes(uint64_t ram_bytes);
uint64_t boot_ram_high_bytes(uint64_t ram_bytes);

/*
 * Whether a piece of an image may lie there: in RAM as the guest sees it, and out of the boot area.
 * what names the piece. Errors: -EINVAL.
 */
EBB_MUST_CHECK int boot_check_range(const struct boot_request *request, const char *what, gpa_t gpa,
                                    uint64_t size_bytes, struct error *err);

/* Loads the ELF's segments; *ret_end_gpa: the first byte behind the highest. */
EBB_MUST_CHECK int boot_load_elf_segments(const struct boot_request *request,
                                          const struct elf_file *elf, gpa_t *ret_end_gpa,
                                          struct error *err);

/*
 * Writes defaults and user's parameters to X86_BOOT_PARAMS_GPA with one blank between, at most
 * max_bytes without the NUL. word0 may be NULL; with it, the defaults stay out. *ret_bytes: with
 * the NUL.
 */
EBB_MUST_CHECK int boot_write_params(const struct boot_request *request, const char *word0,
                                     uint64_t max_bytes, uint64_t *ret_bytes, struct error *err);

/*
 * Loads all initrds, one behind the other, as high as they fit between floor_gpa and below
 * limit_gpa in low RAM, or in high RAM if the kernel takes that. *ret_gpa is page aligned;
 * *ret_bytes 0 when there is none.
 */
struct boot_initrd_limits {
	gpa_t floor_gpa;
	gpa_t limit_gpa;
	bool high_ram;
};

EBB_MUST_CHECK int boot_load_initrds(const struct boot_request *request,
                                     const struct boot_initrd_limits *limits, gpa_t *ret_gpa,
                                     uint64_t *ret_bytes, struct error *err);

/* Flat 32-bit and 64-bit code and data at the Linux boot protocol's selectors. */
#define BOOT_SELECTOR_CODE 0x10
#define BOOT_SELECTOR_DATA 0x18
#define BOOT_SELECTOR_TSS  0x20
#define BOOT_GDT_ENTRIES   5
EBB_MUST_CHECK int boot_write_gdt(const struct boot_request *request, enum boot_mode mode,
                                  struct error *err);

/* Maps [0, end_gpa), at most 4 GiB, to itself in 2 MiB pages. */
EBB_MUST_CHECK int boot_write_page_tables(const struct boot_request *request, gpa_t end_gpa,
                                          struct error *err);

/* ---- one a kind of kernel ---- */

bool boot_is_bzimage(const struct image *kernel);
EBB_MUST_CHECK int boot_load_bzimage(const struct boot_request *request,
                                     struct boot_entry *ret_entry, struct error *err);

EBB_MUST_CHECK int boot_load_elf_linux64(const struct boot_request *request,
                                         const struct elf_file *elf, struct boot_entry *ret_entry,
                                         struct error *err);

/* 1: *ret_entry_gpa is what the note says; 0: there is none; -errno. */
EBB_MUST_CHECK int boot_find_pvh_entry(const struct image *kernel, const struct elf_file *elf,
                                       gpa_t *ret_entry_gpa, struct error *err);

/* Whether an ELF file carries the note that Linux puts into its own since 4.18. */
bool boot_elf_is_linux(const struct image *kernel, const struct elf_file *elf);
EBB_MUST_CHECK int boot_load_elf_pvh(const struct boot_request *request, const struct elf_file *elf,
                                     gpa_t entry_gpa, struct boot_entry *ret_entry,
                                     struct error *err);

/* Whether the first 8 KiB hold a multiboot 1 header; its flags. */
bool boot_find_multiboot(const struct image *kernel, uint32_t *ret_flags);
EBB_MUST_CHECK int boot_load_multiboot(const struct boot_request *request,
                                       const struct elf_file *elf, uint32_t header_flags,
                                       struct boot_entry *ret_entry, struct error *err);

#endif
