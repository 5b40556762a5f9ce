/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian ELF32 and ELF64 executables: program headers and notes, for any architecture.
 * (System V gABI, chapters 4 and 5.) Pure but for reading the image.
 */
#ifndef EBB_ELF_H
#define EBB_ELF_H

#include "ebb/error.h"
#include "ebb/guest_memory.h"
#include "ebb/image.h"
#include "ebb/types.h"

#define ELF_SEGMENTS_MAX   64         /* program headers of any type */
#define ELF_NOTE_MAX_BYTES (64 * KIB) /* a note segment; more of one is not looked at */

#define ELF_NOTE_DESC_MAX 16

struct elf_segment {
	uint64_t file_offset, file_bytes; /* inside the image */
	gpa_t gpa;                        /* p_paddr; gpa + memory_bytes does not wrap */
	uint64_t memory_bytes;            /* at least file_bytes */
};

struct elf_file {
	bool is_64bit;
	uint16_t machine; /* EM_* */
	uint64_t entry;
	size_t load_count, note_count;
	struct elf_segment
		load[ELF_SEGMENTS_MAX]; /* PT_LOAD with memory_bytes != 0, in the file's order */
	struct elf_segment note[ELF_SEGMENTS_MAX]; /* PT_NOTE */
};

bool elf_is_elf(const struct image *image);

/* Errors: -EINVAL with the reason (big-endian, not an executable or a dynamically linked one,
 * truncated, a segment that wraps, too many headers, nothing to load), -errno of reading. */
EBB_MUST_CHECK int elf_parse(const struct image *image, struct elf_file *ret_elf,
                             struct error *err);

struct elf_note {
	size_t desc_bytes;               /* of the whole descriptor */
	uint8_t desc[ELF_NOTE_DESC_MAX]; /* its beginning; the rest is 0 */
};

/*
 * The first note of that owner and type. 1 found; 0 there is none; -EINVAL, -ENOMEM or -errno of
 * reading. A broken note segment ends the search.
 */
EBB_MUST_CHECK int elf_find_note(const struct image *image, const struct elf_file *elf,
                                 const char *owner, uint32_t type, struct elf_note *ret_note,
                                 struct error *err);

/*
 * Loads every PT_LOAD segment at its p_paddr. What lies behind file_bytes is not written: guest
 * memory is zero when images are loaded. The caller has checked the ranges. As image_load.
 */
EBB_MUST_CHECK int elf_load(const struct image *image, const struct elf_file *elf,
                            struct guest_memory *memory, struct error *err);

/* Whether gpa lies in a PT_LOAD segment. */
bool elf_holds(const struct elf_file *elf, gpa_t gpa);

#endif
