/* SPDX-License-Identifier: Apache-2.0 */
/* Small kernels, well-formed: tests then break what they want broken. */
#include <asm/bootparam.h>
#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/arch.h"
#include "ebb/bytes.h"

#include "kernel_images.h"

static void fill_pattern(uint8_t *to, size_t count)
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
			fill_pattern(image + offset, segment->file_bytes);
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

#define SETUP_BYTES 1024 /* boot sector and one more */

struct setup_header *test_bzimage_header(uint8_t *image)
{
	return (struct setup_header *)(image + 0x1f1); /* packed */
}

size_t test_bzimage_build(uint8_t *image, size_t payload_bytes)
{
	struct setup_header header = {
		.setup_sects = 1,
		.syssize = (uint32_t)(payload_bytes / 16),
		.boot_flag = 0xaa55,
		.jump = (uint16_t)(0xeb | (sizeof(header) + 0x1f1 - 0x202) << 8),
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G,
		.cmdline_size = 2047,
		.pref_address = 16 * MIB,
		.init_size = MIB,
	};

	assert(SETUP_BYTES + payload_bytes <= TEST_IMAGE_MAX);
	memset(image, 0, SETUP_BYTES);
	memcpy(image + 0x1f1, &header, sizeof(header));
	fill_pattern(image + SETUP_BYTES, payload_bytes);
	return SETUP_BYTES + payload_bytes;
}

size_t test_multiboot_build(uint8_t *image, uint32_t flags, uint64_t gpa)
{
	uint8_t code[64] = { 0 };
	struct test_segment segment = {
		.type = PT_LOAD,
		.gpa = gpa,
		.memory_bytes = 4096,
		.bytes = code,
		.file_bytes = sizeof(code),
	};

	store_le32(code + 16, 0x1badb002);
	store_le32(code + 20, flags);
	store_le32(code + 24, 0 - 0x1badb002 - flags);
	return test_elf_build(image, false, gpa, &segment, 1);
}

void boot_guest_create(struct boot_guest *guest, uint64_t ram_bytes)
{
	struct arch_memory_map map;
	int rc;

	memset(guest, 0, sizeof(*guest));
	rc = guest_memory_create(&guest->memory, NULL);
	assert(!rc);
	rc = arch_memory_map(ram_bytes, &map, NULL);
	assert(!rc);
	for (size_t i = 0; i < map.range_count; i++) {
		rc = gmem_add_region(guest->memory, map.ranges[i].gpa, map.ranges[i].size_bytes,
		                     false, NULL);
		assert(!rc);
	}
	guest->request = (struct boot_request){
		.memory = guest->memory,
		.ram_bytes = ram_bytes,
		.initrds = guest->initrds,
		.params = "",
		.default_params = "console=ttyS0",
	};
}

void boot_guest_destroy(struct boot_guest *guest)
{
	while (guest->request.initrd_count)
		image_close(guest->initrds[--guest->request.initrd_count]);
	image_close(guest->kernel);
	guest_memory_destroy(guest->memory);
}

void boot_guest_set_kernel(struct boot_guest *guest, const void *bytes, size_t size_bytes)
{
	int rc;

	image_close(guest->kernel);
	rc = image_create_from_memory("kernel", bytes, size_bytes, &guest->kernel, NULL);
	assert(!rc);
	guest->request.kernel = guest->kernel;
}

void boot_guest_add_initrd(struct boot_guest *guest, const char *name, const void *bytes,
                           size_t size_bytes)
{
	int rc;

	assert(guest->request.initrd_count < 4);
	rc = image_create_from_memory(name, bytes, size_bytes,
	                              &guest->initrds[guest->request.initrd_count], NULL);
	assert(!rc);
	guest->request.initrd_count++;
}

int boot_guest_load(struct boot_guest *guest)
{
	guest->err = (struct error)ERROR_INIT;
	return boot_load(&guest->request, &guest->entry, &guest->is_linux, &guest->err);
}

void boot_guest_read(struct boot_guest *guest, gpa_t gpa, void *buf, size_t size_bytes)
{
	int rc = gmem_read(guest->memory, gpa, buf, size_bytes);

	assert(!rc);
}

uint64_t boot_guest_read_le64(struct boot_guest *guest, gpa_t gpa)
{
	uint8_t bytes[8];

	boot_guest_read(guest, gpa, bytes, sizeof(bytes));
	return load_le64(bytes);
}
