/* SPDX-License-Identifier: Apache-2.0 */
/* ELF files of a few hundred bytes (`fakes: elf_images`). */
#ifndef ELF_IMAGES_H
#define ELF_IMAGES_H

#include "ebb/types.h"

#define TEST_IMAGE_MAX 32768

struct test_segment {
	uint32_t type; /* PT_LOAD, PT_NOTE */
	uint64_t gpa, memory_bytes;
	const void *bytes; /* NULL: a pattern of file_bytes */
	uint64_t file_bytes;
};

/* Writes an ELF file with these segments one behind the other; returns its size. */
size_t test_elf_build(uint8_t *image, bool is_64bit, uint64_t entry,
                      const struct test_segment *segments, size_t count);

/* An ELF note with a descriptor of desc_bytes; returns its size. */
size_t test_note_build(uint8_t *note, const char *owner, uint32_t type, const void *desc,
                       size_t desc_bytes);

/* size_bytes bytes that differ from their neighbours. */
void test_fill_pattern(uint8_t *to, size_t size_bytes);

#endif
