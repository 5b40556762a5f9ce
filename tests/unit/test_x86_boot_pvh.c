/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images */
/* The PVH note and the start information. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"

#include "kernel_images.h"

#define START_INFO 0x90100

static uint8_t image[TEST_IMAGE_MAX];

static void set_kernel(struct boot_guest *guest, const void *note_entry, size_t entry_bytes)
{
	uint8_t notes[128];
	size_t bytes = test_note_build(notes, "Xen", 18, note_entry, entry_bytes);
	struct test_segment segments[] = {
		{ PT_LOAD, MIB, 0x2000, NULL, 0x100 },
		{ PT_NOTE, 0, 0, notes, 0 },
	};

	bytes += test_note_build(notes + bytes, "Linux", 0x100, "salt", 4);
	segments[1].file_bytes = bytes;
	boot_guest_set_kernel(guest, image, test_elf_build(image, true, MIB, segments, 2));
}

static uint32_t read_le32(struct boot_guest *guest, gpa_t gpa)
{
	return (uint32_t)boot_guest_read_le64(guest, gpa);
}

static void test_start_info(void **state)
{
	uint64_t entry = MIB + 0x30;
	struct boot_guest guest;
	char params[32];
	gpa_t module, map;

	(void)state;
	boot_guest_create(&guest, 5 * GIB);
	set_kernel(&guest, &entry, 8);
	boot_guest_add_initrd(&guest, "initrd", "0123456789", 10);
	guest.request.params = "x";
	assert_int_equal(boot_guest_load(&guest), 0);
	assert_true(guest.is_linux);
	assert_int_equal(guest.entry.mode, BOOT_MODE_PROTECTED);
	assert_int_equal(guest.entry.rip, entry);
	assert_int_equal(guest.entry.rbx, START_INFO);
	assert_int_equal(read_le32(&guest, START_INFO), 0x336ec578);
	assert_int_equal(read_le32(&guest, START_INFO + 4), 1);  /* version */
	assert_int_equal(read_le32(&guest, START_INFO + 12), 1); /* modules */
	module = boot_guest_read_le64(&guest, START_INFO + 16);
	assert_int_equal(boot_guest_read_le64(&guest, module), 3 * GIB - 4096);
	assert_int_equal(boot_guest_read_le64(&guest, module + 8), 10);
	boot_guest_read(&guest, boot_guest_read_le64(&guest, START_INFO + 24), params,
	                sizeof(params));
	assert_string_equal(params, "console=ttyS0 x");
	assert_int_equal(boot_guest_read_le64(&guest, START_INFO + 32), 0xe0000);
	map = boot_guest_read_le64(&guest, START_INFO + 40);
	assert_int_equal(read_le32(&guest, START_INFO + 48), 6);
	assert_int_equal(boot_guest_read_le64(&guest, map + 5 * 24), 4 * GIB);
	assert_int_equal(boot_guest_read_le64(&guest, map + 5 * 24 + 8), 2 * GIB);
	assert_int_equal(read_le32(&guest, map + 5 * 24 + 16), 1);
	boot_guest_destroy(&guest);
}

static void test_no_module(void **state)
{
	uint32_t entry = MIB;
	struct boot_guest guest;

	(void)state;
	boot_guest_create(&guest, 64 * MIB);
	set_kernel(&guest, &entry, 4);
	assert_int_equal(boot_guest_load(&guest), 0);
	assert_int_equal(read_le32(&guest, START_INFO + 12), 0);
	assert_int_equal(boot_guest_read_le64(&guest, START_INFO + 16), 0);
	boot_guest_destroy(&guest);
}

static void refused(struct boot_guest *guest, const void *entry, size_t bytes, const char *part)
{
	set_kernel(guest, entry, bytes);
	assert_int_equal(boot_guest_load(guest), -EINVAL);
	if (!strstr(guest->err.message, part))
		fail_msg("\"%s\" has no \"%s\"", guest->err.message, part);
}

static void test_refused(void **state)
{
	uint64_t entry = 64 * MIB;
	struct boot_guest guest;
	char params[3000];

	(void)state;
	boot_guest_create(&guest, 64 * MIB);
	refused(&guest, &entry, 8, "its PVH entry 0x4000000 is in none of its segments");
	entry = MIB + 4 * GIB;
	refused(&guest, &entry, 8, "its PVH entry 0x100100000");
	refused(&guest, &entry, 5, "its PVH entry note has 5 bytes");
	refused(&guest, &entry, 0, "its PVH entry note has 0 bytes");
	entry = MIB;
	memset(params, 'x', sizeof(params));
	params[2999] = 0;
	guest.request.params = params;
	refused(&guest, &entry, 8, "the command line has 3013 bytes, kernel takes 2047");
	boot_guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_info),
		cmocka_unit_test(test_no_module),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
