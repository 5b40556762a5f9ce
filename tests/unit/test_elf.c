/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images */
/* ELF files of both classes, whole and broken. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"
#include "ebb/elf.h"

#include "elf_images.h"

static uint8_t bytes[TEST_IMAGE_MAX];
static struct elf_file elf;

static int parse(size_t size_bytes, struct error *err)
{
	struct image *image;
	int rc;

	assert_int_equal(image_create_from_memory("image", bytes, size_bytes, &image, NULL), 0);
	rc = elf_parse(image, &elf, err);
	image_close(image);
	return rc;
}

static const struct test_segment two_segments[] = {
	{ .type = PT_LOAD, .gpa = 0x100000, .memory_bytes = 0x3000, .file_bytes = 0x1000 },
	{ .type = PT_LOAD, .gpa = 0x200000, .memory_bytes = 0x800, .file_bytes = 0x800 },
};

static void test_both_classes(void **state)
{
	(void)state;
	for (int is_64bit = 0; is_64bit < 2; is_64bit++) {
		size_t size = test_elf_build(bytes, is_64bit, 0x100010, two_segments, 2);

		assert_int_equal(parse(size, NULL), 0);
		assert_int_equal(elf.is_64bit, is_64bit);
		assert_int_equal(elf.machine, is_64bit ? EM_X86_64 : EM_386);
		assert_int_equal(elf.entry, 0x100010);
		assert_int_equal(elf.load_count, 2);
		assert_int_equal(elf.load[0].gpa, 0x100000);
		assert_int_equal(elf.load[0].memory_bytes, 0x3000);
		assert_int_equal(elf.load[0].file_bytes, 0x1000);
		assert_true(elf_holds(&elf, 0x102fff));
		assert_false(elf_holds(&elf, 0x103000));
		assert_true(elf_holds(&elf, 0x2007ff));
	}
}

static void refused(size_t size, const char *part)
{
	struct error err = ERROR_INIT;

	assert_int_equal(parse(size, &err), -EINVAL);
	if (!strstr(err.message, part))
		fail_msg("\"%s\" has no \"%s\"", err.message, part);
}

static void test_broken_headers(void **state)
{
	size_t size = test_elf_build(bytes, true, 0x100010, two_segments, 2);

	(void)state;
	refused(20, "too short");
	bytes[EI_CLASS] = 7;
	refused(size, "class 7");
	bytes[EI_CLASS] = ELFCLASS64;
	bytes[EI_DATA] = ELFDATA2MSB;
	refused(size, "little-endian");
	bytes[EI_DATA] = ELFDATA2LSB;
	store_le16(bytes + offsetof(Elf64_Ehdr, e_type), ET_REL);
	refused(size, "not an executable");
	store_le16(bytes + offsetof(Elf64_Ehdr, e_type), ET_EXEC);
	store_le16(bytes + offsetof(Elf64_Ehdr, e_phentsize), 8);
	refused(size, "program headers of 8 bytes");
	store_le16(bytes + offsetof(Elf64_Ehdr, e_phentsize), sizeof(Elf64_Phdr));
	store_le16(bytes + offsetof(Elf64_Ehdr, e_phnum), 65535);
	refused(size, "65535 program headers, the limit is 64");
	store_le16(bytes + offsetof(Elf64_Ehdr, e_phnum), 0);
	refused(size, "nothing to load");
	store_le16(bytes + offsetof(Elf64_Ehdr, e_phnum), 2);
	store_le64(bytes + offsetof(Elf64_Ehdr, e_phoff), UINT64_MAX - 8);
	refused(size, "truncated");
	store_le64(bytes + offsetof(Elf64_Ehdr, e_phoff), sizeof(Elf64_Ehdr));
	assert_int_equal(parse(size, NULL), 0);
}

static void set_segment(size_t index, size_t field, uint64_t value)
{
	store_le64(bytes + sizeof(Elf64_Ehdr) + index * sizeof(Elf64_Phdr) + field, value);
}

static void test_broken_segments(void **state)
{
	size_t size = test_elf_build(bytes, true, 0x100010, two_segments, 2);

	(void)state;
	refused(size - 1, "truncated");
	set_segment(1, offsetof(Elf64_Phdr, p_offset), UINT64_MAX);
	refused(size, "truncated: segment 1");
	test_elf_build(bytes, true, 0x100010, two_segments, 2);
	set_segment(0, offsetof(Elf64_Phdr, p_filesz), 0x3001);
	set_segment(0, offsetof(Elf64_Phdr, p_offset), 0);
	refused(TEST_IMAGE_MAX, "0 has 12289 bytes in the file, 12288 in memory");
	test_elf_build(bytes, true, 0x100010, two_segments, 2);
	set_segment(0, offsetof(Elf64_Phdr, p_paddr), UINT64_MAX - 0x1000);
	refused(size, "wraps");
	test_elf_build(bytes, true, 0x100010, two_segments, 2);
	store_le32(bytes + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr), PT_INTERP);
	refused(size, "dynamic linker");
}

static struct elf_note note;

static int find_note(size_t size)
{
	struct image *image;
	int rc;

	memset(&note, 0xcc, sizeof(note));
	assert_int_equal(image_create_from_memory("image", bytes, size, &image, NULL), 0);
	assert_int_equal(elf_parse(image, &elf, NULL), 0);
	rc = elf_find_note(image, &elf, "Xen", 18, &note, NULL);
	image_close(image);
	return rc;
}

static void test_notes(void **state)
{
	uint8_t notes[256];
	size_t first = test_note_build(notes, "GNU", 18, "abc", 3);
	size_t second = first + test_note_build(notes + first, "Xen", 18, "12345678", 8);
	struct test_segment segments[] = {
		{ .type = PT_LOAD, .gpa = 0x100000, .memory_bytes = 0x10, .file_bytes = 0x10 },
		{ .type = PT_NOTE, .bytes = notes, .file_bytes = second },
	};
	size_t size = test_elf_build(bytes, true, 0x100000, segments, 2);

	(void)state;
	assert_int_equal(find_note(size), 1);
	assert_int_equal(note.desc_bytes, 8);
	assert_memory_equal(note.desc, "12345678\0\0\0\0\0\0\0\0", 16);

	/* Cut within the second note's descriptor. */
	segments[1].file_bytes = second - 4;
	size = test_elf_build(bytes, true, 0x100000, segments, 2);
	assert_int_equal(find_note(size), 0);
	/* The note segment lies outside of the file. */
	set_segment(1, offsetof(Elf64_Phdr, p_offset), 1 << 20);
	assert_int_equal(find_note(size), -EINVAL);

	/* A long descriptor is cut. */
	segments[1].file_bytes = test_note_build(notes, "Xen", 18, "0123456789abcdefghij", 20);
	size = test_elf_build(bytes, true, 0x100000, segments, 2);
	assert_int_equal(find_note(size), 1);
	assert_int_equal(note.desc_bytes, 20);
	assert_memory_equal(note.desc, "0123456789abcdef", 16);
}

/* The first note's lengths reach past the end: the search ends there. */
static void test_broken_notes(void **state)
{
	uint8_t notes[256];
	size_t count = test_note_build(notes, "GNU", 18, "abc", 3);
	struct test_segment segments[] = {
		{ .type = PT_LOAD, .gpa = 0x100000, .memory_bytes = 0x10, .file_bytes = 0x10 },
		{ .type = PT_NOTE, .bytes = notes },
	};

	(void)state;
	segments[1].file_bytes = count + test_note_build(notes + count, "Xen", 18, "1234", 4);
	assert_int_equal(find_note(test_elf_build(bytes, true, 0x100000, segments, 2)), 1);
	store_le32(notes, 0xffffffff);
	assert_int_equal(find_note(test_elf_build(bytes, true, 0x100000, segments, 2)), 0);
	store_le32(notes, 4);
	store_le32(notes + 4, 0xfffffffe);
	assert_int_equal(find_note(test_elf_build(bytes, true, 0x100000, segments, 2)), 0);
}

static void test_load(void **state)
{
	size_t size = test_elf_build(bytes, true, 0x100010, two_segments, 2);
	struct guest_memory *memory;
	struct image *image;
	uint8_t loaded[0x800], zero[0x800] = { 0 };

	(void)state;
	assert_int_equal(image_create_from_memory("image", bytes, size, &image, NULL), 0);
	assert_int_equal(elf_parse(image, &elf, NULL), 0);
	assert_int_equal(guest_memory_create(&memory, NULL), 0);
	assert_int_equal(gmem_add_region(memory, 0, 4 * MIB, NULL, NULL), 0);
	assert_int_equal(elf_load(image, &elf, memory, NULL), 0);
	assert_int_equal(gmem_read(memory, 0x200000, loaded, sizeof(loaded)), 0);
	assert_memory_equal(loaded, bytes + elf.load[1].file_offset, sizeof(loaded));
	assert_int_equal(gmem_read(memory, 0x101000, loaded, sizeof(loaded)), 0);
	assert_memory_equal(loaded, zero, sizeof(loaded));
	elf.load[1].gpa = 16 * MIB;
	assert_int_equal(elf_load(image, &elf, memory, NULL), -EFAULT);
	guest_memory_destroy(memory);
	image_close(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_classes),    cmocka_unit_test(test_broken_headers),
		cmocka_unit_test(test_broken_segments), cmocka_unit_test(test_notes),
		cmocka_unit_test(test_broken_notes),    cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
