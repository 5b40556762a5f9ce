/* SPDX-License-Identifier: Apache-2.0 */
/* Small ELF files, well-formed: tests then break what they want broken. */
#include "elf_images.h"

#include <assert.h>
#include <elf.h>
#include <string.h>

#include "ebb/bytes.h"

void test_fill_pattern(uint8_t *to, size_t count)
{
	for (size_t i = 0; i < count; i++)
		to[i] = (uint8_t)(i * 7 + 1);
}

static size_t put_segment_header(uint8_t *to, bool is_64bit, const struct test_segment *segment,
                                 uint64_t offset)
{
	if (is_64bit) {
		Elf64_Phdr header = {
			.p_type = segment->type,
			.p_offset = offset,
			.p_vaddr = segment->gpa,
			.p_paddr = segment->gpa,
			.p_filesz = segment->file_bytes,
			.p_memsz = segment->memory_bytes,
		};

		memcpy(to, &header, sizeof(header));
		return sizeof(header);
	}
	Elf32_Phdr header = {
		.p_type = segment->type,
		.p_offset = (Elf32_Off)offset,
		.p_vaddr = (Elf32_Addr)segment->gpa,
		.p_paddr = (Elf32_Addr)segment->gpa,
		.p_filesz = (Elf32_Word)segment->file_bytes,
		.p_memsz = (Elf32_Word)segment->memory_bytes,
	};

	memcpy(to, &header, sizeof(header));
	return sizeof(header);
}

static size_t put_header(uint8_t *to, bool is_64bit, uint64_t entry, size_t count)
{
	if (is_64bit) {
		Elf64_Ehdr header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_version = EV_CURRENT,
			.e_entry = entry,
			.e_phoff = sizeof(header),
			.e_ehsize = sizeof(header),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = (Elf64_Half)count,
		};

		memcpy(to, &header, sizeof(header));
		return sizeof(header);
	}
	Elf32_Ehdr header = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = (Elf32_Addr)entry,
		.e_phoff = sizeof(header),
		.e_ehsize = sizeof(header),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = (Elf32_Half)count,
	};

	memcpy(to, &header, sizeof(header));
	return sizeof(header);
}

size_t test_elf_build(uint8_t *image, bool is_64bit, uint64_t entry,
                      const struct test_segment *segments, size_t count)
{
	size_t header = put_header(image, is_64bit, entry, count);
	size_t offset = header + count * (is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));

	for (size_t i = 0; i < count; i++) {
		const struct test_segment *segment = &segments[i];

		offset = align_up(offset, 8);
		assert(offset + segment->file_bytes <= TEST_IMAGE_MAX);
		header += put_segment_header(image + header, is_64bit, segment, offset);
		if (segment->bytes)
			memcpy(image + offset, segment->bytes, segment->file_bytes);
		else
			test_fill_pattern(image + offset, segment->file_bytes);
		offset += segment->file_bytes;
	}
	return offset;
}

size_t test_note_build(uint8_t *note, const char *owner, uint32_t type, const void *desc,
                       size_t desc_bytes)
{
	size_t owner_bytes = strlen(owner) + 1;
	size_t desc_offset = 12 + align_up(owner_bytes, 4);
	size_t bytes = desc_offset + align_up(desc_bytes, 4);

	memset(note, 0, bytes);
	store_le32(note, (uint32_t)owner_bytes);
	store_le32(note + 4, (uint32_t)desc_bytes);
	store_le32(note + 8, type);
	memcpy(note + 12, owner, owner_bytes);
	memcpy(note + desc_offset, desc, desc_bytes);
	return bytes;
}
