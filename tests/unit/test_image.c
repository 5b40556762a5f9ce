/* SPDX-License-Identifier: Apache-2.0 */
/* Images from files and from memory: sizes, bounds, what they seem to be. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/bytes.h"
#include "ebb/image.h"

#define FILE_BYTES 20000

struct fixture {
	char path[64];
	uint8_t bytes[FILE_BYTES];
	struct guest_memory *memory;
};

static int set_up(void **state)
{
	static struct fixture fixture;
	FILE *file;

	strcpy(fixture.path, "/tmp/ebb-test-image-XXXXXX");
	file = fdopen(mkstemp(fixture.path), "w");
	assert_non_null(file);
	for (size_t i = 0; i < FILE_BYTES; i++)
		fixture.bytes[i] = (uint8_t)(i * 13 + i / 256);
	assert_int_equal(fwrite(fixture.bytes, 1, FILE_BYTES, file), FILE_BYTES);
	fclose(file);
	assert_int_equal(guest_memory_create(&fixture.memory, NULL), 0);
	assert_int_equal(gmem_add_region(fixture.memory, 0, MIB, NULL, NULL), 0);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	guest_memory_destroy(fixture->memory);
	unlink(fixture->path);
	return 0;
}

static void check_reads(const struct fixture *fixture, const struct image *image)
{
	uint8_t buf[FILE_BYTES];
	struct error err = ERROR_INIT;

	assert_int_equal(image_size_bytes(image), FILE_BYTES);
	assert_int_equal(image_read(image, 0, buf, FILE_BYTES, NULL), 0);
	assert_memory_equal(buf, fixture->bytes, FILE_BYTES);
	/* Across the end of the head that was read ahead, within it, at the end. */
	assert_int_equal(image_read(image, IMAGE_HEAD_BYTES - 8, buf, 16, NULL), 0);
	assert_memory_equal(buf, fixture->bytes + IMAGE_HEAD_BYTES - 8, 16);
	assert_int_equal(image_read(image, 100, buf, 16, NULL), 0);
	assert_memory_equal(buf, fixture->bytes + 100, 16);
	assert_int_equal(image_read(image, FILE_BYTES, buf, 0, NULL), 0);
	assert_int_equal(image_read(image, FILE_BYTES, buf, 1, &err), -EINVAL);
	assert_non_null(strstr(err.message, "truncated"));
	assert_int_equal(image_read(image, FILE_BYTES - 1, buf, 2, NULL), -EINVAL);
	assert_int_equal(image_read(image, UINT64_MAX, buf, 2, NULL), -EINVAL);
}

static void check_loads(struct fixture *fixture, const struct image *image)
{
	uint8_t buf[FILE_BYTES];

	assert_int_equal(image_load(image, 10, FILE_BYTES - 10, fixture->memory, 0x1003, NULL), 0);
	assert_int_equal(gmem_read(fixture->memory, 0x1003, buf, FILE_BYTES - 10), 0);
	assert_memory_equal(buf, fixture->bytes + 10, FILE_BYTES - 10);
	assert_int_equal(image_load(image, 10, FILE_BYTES, fixture->memory, 0, NULL), -EINVAL);
	assert_int_equal(image_load(image, 0, FILE_BYTES, fixture->memory, MIB - 8, NULL), -EFAULT);
	assert_int_equal(image_load(image, 5, 0, fixture->memory, 8 * GIB, NULL), 0);
}

static void test_file(void **state)
{
	struct fixture *fixture = *state;
	struct image *image;
	struct error err = ERROR_INIT;
	uint8_t buf[16];

	assert_int_equal(image_open("--kernel", fixture->path, &image, NULL), 0);
	assert_memory_equal(image_name(image), "--kernel /tmp/", 14);
	assert_string_equal(image_path(image), fixture->path);
	check_reads(fixture, image);
	check_loads(fixture, image);
	/* The file shrinks while it is open. */
	assert_int_equal(truncate(fixture->path, 9000), 0);
	assert_int_equal(image_read(image, 10000, buf, sizeof(buf), &err), -EIO);
	assert_int_equal(image_load(image, 8990, 20, fixture->memory, 0, NULL), -EIO);
	image_close(image);
}

static void test_memory(void **state)
{
	struct fixture *fixture = *state;
	struct image *image;

	assert_int_equal(
		image_create_from_memory("block", fixture->bytes, FILE_BYTES, &image, NULL), 0);
	assert_string_equal(image_name(image), "block");
	check_reads(fixture, image);
	check_loads(fixture, image);
	image_close(image);
	image_close(NULL);
}

static int pe_of(const void *bytes, size_t size_bytes, struct error *err)
{
	struct image *image;
	int rc;

	assert_int_equal(image_create_from_memory("kernel", bytes, size_bytes, &image, NULL), 0);
	rc = image_check_pe(image, err);
	image_close(image);
	return rc;
}

/* A PE file of two sections, the first without bytes, the second from 1024 to 1536. */
static void test_pe(void **state)
{
	uint8_t bytes[1536] = { 'M', 'Z', [0x3c] = 64, [64] = 'P', 'E', [70] = 2, [84] = 240 };
	struct error err = ERROR_INIT;

	(void)state;
	store_le32(bytes + 328 + 20, 0x7fffffff);
	store_le32(bytes + 368 + 16, 512);
	store_le32(bytes + 368 + 20, 1024);
	assert_int_equal(pe_of(bytes, 1536, &err), 0);
	assert_int_equal(pe_of(bytes, 1535, &err), -EINVAL);
	if (!strstr(err.message, "kernel: is truncated"))
		fail_msg("\"%s\"", err.message);
	assert_int_equal(pe_of(bytes, 407, NULL), -EINVAL); /* within the section table */
	assert_int_equal(pe_of(bytes, 300, NULL), -EINVAL);
	/* No PE file: another word, a header that is not there, too few bytes for one. */
	assert_int_equal(pe_of(bytes + 1, 1024, NULL), 0);
	assert_int_equal(pe_of(bytes, 80, NULL), 0);
	assert_int_equal(pe_of(bytes, 20, NULL), 0);
	store_le32(bytes + 0x3c, 0xffffffff);
	assert_int_equal(pe_of(bytes, 1536, NULL), 0);
	/* A section that promises more than there can be. */
	store_le32(bytes + 0x3c, 64);
	store_le32(bytes + 368 + 20, 0xffffffff);
	store_le32(bytes + 368 + 16, 0xffffffff);
	assert_int_equal(pe_of(bytes, 1536, NULL), -EINVAL);
}

static void refused(const char *path, int code, const char *part)
{
	struct image *image = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(image_open("--initrd", path, &image, &err), code);
	assert_null(image);
	if (!strstr(err.message, part))
		fail_msg("\"%s\" has no \"%s\"", err.message, part);
}

static void test_unfit_files(void **state)
{
	struct fixture *fixture = *state;

	refused("/nowhere/at/all", -EINVAL, "--initrd /nowhere/at/all: No such file");
	refused("/tmp", -EINVAL, "is a directory");
	refused("/dev/zero", -EINVAL, "not a regular file");
	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(mkfifo(fixture->path, 0600), 0);
	refused(fixture->path, -EINVAL, "not a regular file"); /* and does not hang */
	assert_int_equal(unlink(fixture->path), 0);
	fclose(fopen(fixture->path, "w"));
	refused(fixture->path, -EINVAL, "is empty");
}

static const char *describe(const void *bytes, size_t size)
{
	struct image *image;
	const char *description;

	assert_int_equal(image_create_from_memory("block", bytes, size, &image, NULL), 0);
	description = image_describe(image);
	image_close(image);
	return description;
}

static void test_descriptions(void **state)
{
	uint8_t block[1024] = { 0 };

	(void)state;
	assert_string_equal(describe("hello\nworld\n", 12), "a text file");
	assert_string_equal(describe("hello\0world\n", 12), "data of no known kind");
	assert_string_equal(describe("\x01\x02", 2), "data of no known kind");
	assert_string_equal(describe("#!/bin/sh\n", 10), "a script");
	assert_string_equal(describe("\x1f\x8b\x08", 3), "a gzip archive");
	assert_string_equal(describe("\x1f", 1), "data of no known kind");
	assert_string_equal(describe("070701", 6), "a cpio archive (an initrd?)");
	memcpy(block + 0x38, "RSC\x05", 4);
	assert_string_equal(describe(block, sizeof(block)), "a RISC-V Linux Image");
	assert_string_equal(describe(block, 0x3b), "data of no known kind");
	memcpy(block + 0x202, "HdrS", 4);
	assert_string_equal(describe(block, sizeof(block)), "an x86 Linux bzImage");
}

static void test_list(void **state)
{
	struct fixture *fixture = *state;
	struct image *images[3];
	uint64_t bytes;
	char loaded[17];

	assert_int_equal(image_create_from_memory("a", "12345", 5, &images[0], NULL), 0);
	assert_int_equal(image_create_from_memory("b", "abcd", 4, &images[1], NULL), 0);
	assert_int_equal(image_create_from_memory("c", "xyz", 3, &images[2], NULL), 0);
	assert_int_equal(image_list_size(images, 3, &bytes, NULL), 0);
	assert_int_equal(bytes, 15);
	assert_int_equal(image_list_size(images, 0, &bytes, NULL), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(image_list_load(images, 3, fixture->memory, 0x2000, NULL), 0);
	assert_int_equal(gmem_read(fixture->memory, 0x2000, loaded, sizeof(loaded)), 0);
	assert_memory_equal(loaded, "12345\0\0\0abcdxyz\0\0", 17);
	for (size_t i = 0; i < 3; i++)
		image_close(images[i]);
	/* Sizes that would wrap when added. */
	assert_int_equal(image_create_from_memory("a", "", UINT64_MAX >> 1, &images[0], NULL), 0);
	assert_int_equal(image_create_from_memory("b", "", UINT64_MAX >> 1, &images[1], NULL), 0);
	assert_int_equal(image_list_size(images, 2, &bytes, NULL), -EINVAL);
	image_close(images[0]);
	image_close(images[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory, set_up, tear_down),
		cmocka_unit_test(test_pe),
		cmocka_unit_test_setup_teardown(test_unfit_files, set_up, tear_down),
		cmocka_unit_test(test_descriptions),
		cmocka_unit_test_setup_teardown(test_list, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
