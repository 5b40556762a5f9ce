/* SPDX-License-Identifier: Apache-2.0 */
/* ELF program headers, notes and loading; every offset and length checked against the image. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bytes.h"
#include "ebb/elf.h"

bool elf_is_elf(const struct image *image)
{
	size_t bytes;
	const uint8_t *head = image_head(image, &bytes);

	return bytes >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG);
}

/* What is wanted of the file's header, of either class. */
struct header {
	uint16_t type, machine, header_size, header_count;
	uint64_t entry, header_offset;
};

static int parse_header(const struct image *image, struct elf_file *elf, struct header *ret_header,
                        struct error *err)
{
	size_t bytes;
	const uint8_t *head = image_head(image, &bytes);

	if (bytes < sizeof(Elf32_Ehdr) || memcmp(head, ELFMAG, SELFMAG))
		return error_set(err, -EINVAL, "%s: is too short for an ELF header",
		                 image_name(image));
	if (head[EI_DATA] != ELFDATA2LSB)
		return error_set(err, -EINVAL, "%s: is not a little-endian ELF file",
		                 image_name(image));
	elf->is_64bit = head[EI_CLASS] == ELFCLASS64;
	if (elf->is_64bit && bytes >= sizeof(Elf64_Ehdr)) {
		Elf64_Ehdr header;

		memcpy(&header, head, sizeof(header));
		*ret_header = (struct header){
			.type = le16toh(header.e_type),
			.machine = le16toh(header.e_machine),
			.header_size = le16toh(header.e_phentsize),
			.header_count = le16toh(header.e_phnum),
			.entry = le64toh(header.e_entry),
			.header_offset = le64toh(header.e_phoff),
		};
		return 0;
	}
	if (head[EI_CLASS] == ELFCLASS32) {
		Elf32_Ehdr header;

		memcpy(&header, head, sizeof(header));
		*ret_header = (struct header){
			.type = le16toh(header.e_type),
			.machine = le16toh(header.e_machine),
			.header_size = le16toh(header.e_phentsize),
			.header_count = le16toh(header.e_phnum),
			.entry = le32toh(header.e_entry),
			.header_offset = le32toh(header.e_phoff),
		};
		return 0;
	}
	return error_set(err, -EINVAL, "%s: is a broken ELF file (class %u)", image_name(image),
	                 head[EI_CLASS]);
}

static uint32_t parse_segment(bool is_64bit, const uint8_t *from, struct elf_segment *ret_segment)
{
	if (is_64bit) {
		Elf64_Phdr header;

		memcpy(&header, from, sizeof(header));
		*ret_segment = (struct elf_segment){
			.file_offset = le64toh(header.p_offset),
			.file_bytes = le64toh(header.p_filesz),
			.gpa = le64toh(header.p_paddr),
			.memory_bytes = le64toh(header.p_memsz),
		};
		return le32toh(header.p_type);
	}
	Elf32_Phdr header;

	memcpy(&header, from, sizeof(header));
	*ret_segment = (struct elf_segment){
		.file_offset = le32toh(header.p_offset),
		.file_bytes = le32toh(header.p_filesz),
		.gpa = le32toh(header.p_paddr),
		.memory_bytes = le32toh(header.p_memsz),
	};
	return le32toh(header.p_type);
}

static int check_load_segment(const struct image *image, const struct elf_segment *segment,
                              unsigned int index, struct error *err)
{
	if (!range_contains(0, image_size_bytes(image), segment->file_offset, segment->file_bytes))
		return error_set(
			err, -EINVAL,
			"%s: is truncated: segment %u has %llu bytes at offset %llu, the file %llu",
			image_name(image), index, (unsigned long long)segment->file_bytes,
			(unsigned long long)segment->file_offset,
			(unsigned long long)image_size_bytes(image));
	if (segment->file_bytes > segment->memory_bytes)
		return error_set(err, -EINVAL,
		                 "%s: segment %u has %llu bytes in the file, %llu in memory",
		                 image_name(image), index, (unsigned long long)segment->file_bytes,
		                 (unsigned long long)segment->memory_bytes);
	if (segment->memory_bytes > UINT64_MAX - segment->gpa)
		return error_set(err, -EINVAL, "%s: segment %u (0x%llx + 0x%llx) wraps",
		                 image_name(image), index, (unsigned long long)segment->gpa,
		                 (unsigned long long)segment->memory_bytes);
	return 0;
}

static int parse_segments(const struct image *image, const uint8_t *headers,
                          const struct header *header, struct elf_file *elf, struct error *err)
{
	for (unsigned int i = 0; i < header->header_count; i++) {
		struct elf_segment segment;
		uint32_t type = parse_segment(elf->is_64bit,
		                              headers + (size_t)i * header->header_size, &segment);
		int rc;

		if (type == PT_INTERP)
			return error_set(err, -EINVAL,
			                 "%s: is a program of an operating system (it asks for a "
			                 "dynamic linker), not a kernel",
			                 image_name(image));
		if (type == PT_NOTE)
			elf->note[elf->note_count++] = segment;
		if (type != PT_LOAD || !segment.memory_bytes)
			continue;
		rc = check_load_segment(image, &segment, i, err);
		if (rc)
			return rc;
		elf->load[elf->load_count++] = segment;
	}
	if (!elf->load_count)
		return error_set(err, -EINVAL, "%s: is an ELF file with nothing to load",
		                 image_name(image));
	return 0;
}

int elf_parse(const struct image *image, struct elf_file *ret_elf, struct error *err)
{
	struct header header = { 0 };
	struct elf_file elf = { 0 };
	size_t least, table_bytes;
	uint8_t *headers;
	int rc = parse_header(image, &elf, &header, err);

	if (rc)
		return rc;
	if (header.type != ET_EXEC && header.type != ET_DYN)
		return error_set(err, -EINVAL,
		                 "%s: is an ELF file of type %u, not an executable (type %u)",
		                 image_name(image), header.type, ET_EXEC);
	if (header.header_count > ELF_SEGMENTS_MAX)
		return error_set(err, -EINVAL, "%s: has %u program headers, the limit is %u",
		                 image_name(image), header.header_count, ELF_SEGMENTS_MAX);
	least = elf.is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if (header.header_count && header.header_size < least)
		return error_set(err, -EINVAL,
		                 "%s: has program headers of %u bytes, they must have %zu",
		                 image_name(image), header.header_size, least);
	elf.machine = header.machine;
	elf.entry = header.entry;
	table_bytes = (size_t)header.header_count * header.header_size;
	headers = malloc(table_bytes + 1);
	if (!headers)
		return error_set_errno(err, -ENOMEM, "%s", image_name(image));
	rc = image_read(image, header.header_offset, headers, table_bytes, err);
	if (!rc)
		rc = parse_segments(image, headers, &header, &elf, err);
	free(headers);
	if (!rc)
		*ret_elf = elf;
	return rc;
}

/* One note: name and descriptor are each padded to 4 bytes, in ELF64 too (as Linux and Xen write
 * them). 0: no further note here. */
static size_t parse_note(const uint8_t *from, size_t bytes, const char **ret_owner,
                         size_t *ret_owner_bytes, const uint8_t **ret_desc, size_t *ret_desc_bytes)
{
	uint64_t owner_bytes, desc_bytes, desc_offset, end;

	if (bytes < sizeof(Elf64_Nhdr))
		return 0;
	owner_bytes = load_le32(from);
	desc_bytes = load_le32(from + 4);
	desc_offset = sizeof(Elf64_Nhdr) + align_up(owner_bytes, 4);
	end = desc_offset + desc_bytes;
	if (end > bytes)
		return 0;
	*ret_owner = (const char *)from + sizeof(Elf64_Nhdr);
	*ret_owner_bytes = (size_t)owner_bytes;
	*ret_desc = from + desc_offset;
	*ret_desc_bytes = (size_t)desc_bytes;
	return (size_t)min_u64(align_up(end, 4), bytes);
}

static bool search_notes(const uint8_t *notes, size_t bytes, const char *owner, uint32_t type,
                         const uint8_t **ret_desc, size_t *ret_desc_bytes)
{
	while (bytes) {
		const char *name;
		size_t name_bytes, used;

		used = parse_note(notes, bytes, &name, &name_bytes, ret_desc, ret_desc_bytes);
		if (!used)
			return false;
		if (load_le32(notes + 8) == type && name_bytes == strlen(owner) + 1 &&
		    !memcmp(name, owner, name_bytes))
			return true;
		notes += used;
		bytes -= used;
	}
	return false;
}

int elf_find_note(const struct image *image, const struct elf_file *elf, const char *owner,
                  uint32_t type, struct elf_note *ret_note, struct error *err)
{
	for (size_t i = 0; i < elf->note_count; i++) {
		const struct elf_segment *segment = &elf->note[i];
		size_t bytes = (size_t)min_u64(segment->file_bytes, ELF_NOTE_MAX_BYTES);
		uint8_t *notes = malloc(bytes + 1);
		struct elf_note note = { 0 };
		const uint8_t *desc;
		bool found;
		int rc;

		if (!notes)
			return error_set_errno(err, -ENOMEM, "%s", image_name(image));
		rc = image_read(image, segment->file_offset, notes, bytes, err);
		found = !rc && search_notes(notes, bytes, owner, type, &desc, &note.desc_bytes);
		if (found) {
			memcpy(note.desc, desc, min_u64(note.desc_bytes, sizeof(note.desc)));
			*ret_note = note;
		}
		free(notes);
		if (rc || found)
			return rc ? rc : 1;
	}
	return 0;
}

int elf_load(const struct image *image, const struct elf_file *elf, struct guest_memory *memory,
             struct error *err)
{
	for (size_t i = 0; i < elf->load_count; i++) {
		const struct elf_segment *segment = &elf->load[i];
		int rc = image_load(image, segment->file_offset, segment->file_bytes, memory,
		                    segment->gpa, err);

		if (rc)
			return rc;
		gmem_clear(memory, segment->gpa + segment->file_bytes,
		           segment->memory_bytes - segment->file_bytes);
	}
	return 0;
}

bool elf_holds(const struct elf_file *elf, gpa_t gpa)
{
	for (size_t i = 0; i < elf->load_count; i++)
		if (range_contains(elf->load[i].gpa, elf->load[i].memory_bytes, gpa, 1))
			return true;
	return false;
}
