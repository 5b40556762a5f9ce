/* SPDX-License-Identifier: Apache-2.0 */
/* The archive that Linux unpacks: fields, names and contents on their boundaries, limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/initramfs.h"

#define HEADER_BYTES 110

struct field_values {
	unsigned int ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, name,
		check;
};

static struct field_values read_header(const uint8_t *bytes)
{
	struct field_values values;
	unsigned int *field = &values.ino;
	char digits[9] = "";

	assert_memory_equal(bytes, "070701", 6);
	for (size_t i = 0; i < 13; i++) {
		char *end;

		memcpy(digits, bytes + 6 + 8 * i, 8);
		field[i] = (unsigned int)strtoul(digits, &end, 16);
		assert_ptr_equal(end, digits + 8);
	}
	return values;
}

/* The entry at *offset is as expected; moves behind it. */
static void check_entry(const struct initramfs *archive, size_t *offset, const char *name,
                        unsigned int mode, const char *content)
{
	struct field_values values = read_header(archive->bytes + *offset);
	size_t name_end = HEADER_BYTES + strlen(name) + 1;

	assert_int_equal(*offset % 4, 0);
	assert_string_equal((const char *)archive->bytes + *offset + HEADER_BYTES, name);
	assert_int_equal(values.name, strlen(name) + 1);
	assert_int_equal(values.mode, mode);
	assert_int_equal(values.uid | values.gid | values.mtime | values.check, 0);
	assert_int_equal(values.size, strlen(content));
	*offset += (name_end + 3) / 4 * 4;
	assert_memory_equal(archive->bytes + *offset, content, strlen(content));
	*offset += (strlen(content) + 3) / 4 * 4;
}

static void an_archive_is_what_linux_reads(void **state)
{
	struct initramfs archive = { .bytes = NULL };
	size_t offset = 0;

	(void)state;
	assert_int_equal(initramfs_add_folder(&archive, "dev"), 0);
	assert_int_equal(initramfs_add_character_device(&archive, "dev/console", 5, 1), 0);
	assert_int_equal(initramfs_add_file(&archive, "init", 0755, "12345", 5), 0);
	assert_int_equal(initramfs_add_file(&archive, "empty", 0600, NULL, 0), 0);
	assert_int_equal(initramfs_end(&archive), 0);
	check_entry(&archive, &offset, "dev", 040755, "");
	assert_int_equal(read_header(archive.bytes + offset).rmajor, 5);
	assert_int_equal(read_header(archive.bytes + offset).rminor, 1);
	check_entry(&archive, &offset, "dev/console", 020600, "");
	check_entry(&archive, &offset, "init", 0100755, "12345");
	check_entry(&archive, &offset, "empty", 0100600, "");
	check_entry(&archive, &offset, "TRAILER!!!", 0, "");
	assert_int_equal(offset, archive.size_bytes);
	/* No two are one file. */
	assert_int_equal(read_header(archive.bytes).ino, 1);
	assert_int_equal(archive.entry_count, 5);
	initramfs_free(&archive);
	assert_null(archive.bytes);
	initramfs_free(&archive);
}

static void gaps_are_zero(void **state)
{
	struct initramfs archive = { .bytes = NULL };

	(void)state;
	for (size_t length = 0; length < 9; length++) {
		size_t before = archive.size_bytes, name_end = before + HEADER_BYTES + 2;

		assert_int_equal(initramfs_add_file(&archive, "x", 0600, "abcdefgh", length), 0);
		assert_int_equal(archive.size_bytes % 4, 0);
		for (size_t at = name_end; at % 4; at++)
			assert_int_equal(archive.bytes[at], 0);
		for (size_t at = (name_end + 3) / 4 * 4 + length; at < archive.size_bytes; at++)
			assert_int_equal(archive.bytes[at], 0);
	}
	initramfs_free(&archive);
}

static void it_grows(void **state)
{
	struct initramfs archive = { .bytes = NULL };
	const size_t size_bytes = 300000;
	uint8_t *bytes = malloc(size_bytes);

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < size_bytes; i++)
		bytes[i] = (uint8_t)(i % 251);
	for (int i = 0; i < 3; i++)
		assert_int_equal(initramfs_add_file(&archive, "big", 0600, bytes, size_bytes), 0);
	assert_memory_equal(archive.bytes + 116, bytes, size_bytes);
	assert_memory_equal(archive.bytes + archive.size_bytes - size_bytes, bytes, size_bytes);
	free(bytes);
	initramfs_free(&archive);
}

static void what_is_too_much_leaves_it_as_it_was(void **state)
{
	struct initramfs archive = { .bytes = NULL };
	char path[INITRAMFS_PATH_MAX + 1];
	size_t before;

	(void)state;
	memset(path, 'a', sizeof(path));
	path[INITRAMFS_PATH_MAX] = '\0';
	assert_int_equal(initramfs_add_folder(&archive, path), -ENAMETOOLONG);
	assert_int_equal(archive.size_bytes, 0);
	path[INITRAMFS_PATH_MAX - 1] = '\0';
	assert_int_equal(initramfs_add_folder(&archive, path), 0);
	before = archive.size_bytes;
	/* Refused before a byte of it is read. */
	assert_int_equal(initramfs_add_file(&archive, "x", 0600, path, INITRAMFS_MAX_BYTES + 1),
	                 -EFBIG);
	assert_int_equal(initramfs_add_file(&archive, "x", 0600, path, INITRAMFS_MAX_BYTES - 8),
	                 -EFBIG);
	assert_int_equal(archive.size_bytes, before);
	assert_int_equal(archive.entry_count, 1);
	initramfs_free(&archive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_archive_is_what_linux_reads),
		cmocka_unit_test(gaps_are_zero),
		cmocka_unit_test(it_grows),
		cmocka_unit_test(what_is_too_much_leaves_it_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
