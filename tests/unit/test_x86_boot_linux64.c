/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images */
/* A vmlinux at its 64-bit entry. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_images.h"

static uint8_t image[TEST_IMAGE_MAX];

static void set_kernel(struct boot_guest *guest, uint64_t entry, gpa_t gpa, uint64_t memory_bytes)
{
	struct test_segment segment = { PT_LOAD, gpa, memory_bytes, NULL, 0x100 };

	boot_guest_set_kernel(guest, image, test_elf_build(image, true, entry, &segment, 1));
}

static void test_entry(void **state)
{
	struct boot_guest guest;
	struct boot_params page;
	uint8_t loaded[0x100];

	(void)state;
	boot_guest_create(&guest, 5 * GIB);
	set_kernel(&guest, 16 * MIB + 0x40, 16 * MIB, MIB);
	boot_guest_add_initrd(&guest, "initrd", "0123456789", 10);
	assert_int_equal(boot_guest_load(&guest), 0);
	assert_int_equal(guest.entry.mode, BOOT_MODE_LONG);
	assert_int_equal(guest.entry.rip, 16 * MIB + 0x40);
	boot_guest_read(&guest, guest.entry.rsi, &page, sizeof(page));
	assert_int_equal(page.hdr.boot_flag, 0xaa55);
	assert_int_equal(page.hdr.header, 0x53726448);
	assert_int_equal(page.hdr.ramdisk_image, 3 * GIB - 4096);
	assert_int_equal(page.e820_entries, 6);
	assert_int_equal(page.e820_table[5].addr, 4 * GIB);
	assert_int_equal(page.e820_table[5].size, 2 * GIB);
	boot_guest_read(&guest, 16 * MIB, loaded, sizeof(loaded));
	assert_memory_equal(loaded, image + 120,
	                    sizeof(loaded)); /* header and one program header */
	boot_guest_destroy(&guest);
}

/* No room below 4 GiB: the zero page has the upper halves. */
static void test_initrd_above_4g(void **state)
{
	struct boot_guest guest;
	struct boot_params page;

	(void)state;
	boot_guest_create(&guest, 5 * GIB);
	set_kernel(&guest, 2 * GIB, 2 * GIB, GIB);
	boot_guest_add_initrd(&guest, "initrd", "0123456789", 10);
	assert_int_equal(boot_guest_load(&guest), 0);
	boot_guest_read(&guest, guest.entry.rsi, &page, sizeof(page));
	assert_int_equal(page.hdr.ramdisk_image, 0x80000000 - 4096);
	assert_int_equal(page.ext_ramdisk_image, 1);
	boot_guest_destroy(&guest);
}

static void test_refused(void **state)
{
	struct boot_guest guest;

	(void)state;
	boot_guest_create(&guest, 64 * MIB);
	set_kernel(&guest, 16 * MIB + MIB, 16 * MIB, MIB);
	assert_int_equal(boot_guest_load(&guest), -EINVAL);
	assert_non_null(
		strstr(guest.err.message, "its entry 0x1100000 is in none of its segments"));
	set_kernel(&guest, 16 * MIB, 16 * MIB, 64 * MIB);
	assert_int_equal(boot_guest_load(&guest), -EINVAL);
	assert_non_null(strstr(guest.err.message, "outside of the guest's RAM"));
	set_kernel(&guest, 0x91000, 0x91000, 0x1000);
	assert_int_equal(boot_guest_load(&guest), -EINVAL);
	assert_non_null(strstr(guest.err.message, "boot information"));
	boot_guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_initrd_above_4g),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
