/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images */
/* Multiboot 1: the header, the information block, where modules go. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"

#include "kernel_images.h"

#define INFO 0x90100

static uint8_t image[TEST_IMAGE_MAX];

static uint32_t read_le32(struct boot_guest *guest, gpa_t gpa)
{
	return (uint32_t)boot_guest_read_le64(guest, gpa);
}

static void set_kernel(struct boot_guest *guest, uint32_t flags, gpa_t gpa)
{
	boot_guest_set_kernel(guest, image, test_multiboot_build(image, flags, gpa));
}

static void check_string(struct boot_guest *guest, gpa_t gpa, const char *text)
{
	char read[64];

	boot_guest_read(guest, gpa, read, sizeof(read));
	assert_string_equal(read, text);
}

static void test_information(void **state)
{
	struct boot_guest guest;
	gpa_t modules, map;
	char module[8];

	(void)state;
	boot_guest_create(&guest, 6 * GIB);
	set_kernel(&guest, 0, 4 * MIB);
	boot_guest_add_initrd(&guest, "env", "NR_CPUS=3\n", 10);
	boot_guest_add_initrd(&guest, "dir/second", "second", 6);
	guest.request.params = "a b";
	assert_int_equal(boot_guest_load(&guest), 0);
	assert_int_equal(guest.entry.rip, 4 * MIB);
	assert_int_equal(guest.entry.rax, 0x2badb002);
	assert_int_equal(guest.entry.rbx, INFO);
	assert_int_equal(read_le32(&guest, INFO) & 0x4d, 0x4d);
	assert_int_equal(read_le32(&guest, INFO + 4), 639);
	assert_int_equal(read_le32(&guest, INFO + 8), 3 * MIB - 1024);
	check_string(&guest, read_le32(&guest, INFO + 16), "kernel a b");
	assert_int_equal(read_le32(&guest, INFO + 20), 2);
	modules = read_le32(&guest, INFO + 24);
	check_string(&guest, read_le32(&guest, modules + 8), "env");
	check_string(&guest, read_le32(&guest, modules + 16 + 8), "dir/second");
	assert_int_equal(read_le32(&guest, modules + 16 + 4) - read_le32(&guest, modules + 16), 6);
	assert_int_equal(read_le32(&guest, modules + 16) % 4096, 0);
	boot_guest_read(&guest, read_le32(&guest, modules + 16), module, 6);
	assert_memory_equal(module, "second", 6);
	/* RAM above 4 GiB is the last range. */
	map = read_le32(&guest, INFO + 48);
	assert_int_equal(read_le32(&guest, INFO + 44), 6 * 24);
	assert_int_equal(read_le32(&guest, map + 5 * 24), 20);
	assert_int_equal(boot_guest_read_le64(&guest, map + 5 * 24 + 4), 4 * GIB);
	assert_int_equal(boot_guest_read_le64(&guest, map + 5 * 24 + 12), 3 * GIB);
	boot_guest_destroy(&guest);
}

static gpa_t module_start(struct boot_guest *guest)
{
	assert_int_equal(boot_guest_load(guest), 0);
	return read_le32(guest, read_le32(guest, INFO + 24));
}

/* Below the boot area if they fit and the kernel is not there, else at the top of low RAM. */
static void test_module_places(void **state)
{
	static uint8_t large[0x80001];
	struct boot_guest guest;

	(void)state;
	boot_guest_create(&guest, 64 * MIB);
	set_kernel(&guest, 0, MIB);
	boot_guest_add_initrd(&guest, "large", large, 0x80000);
	assert_int_equal(module_start(&guest), 0x10000);
	boot_guest_destroy(&guest);

	boot_guest_create(&guest, 64 * MIB);
	set_kernel(&guest, 0, MIB);
	boot_guest_add_initrd(&guest, "large", large, 0x80001);
	assert_int_equal(module_start(&guest), 64 * MIB - 0x81000);
	boot_guest_destroy(&guest);

	/* A kernel in low memory. */
	boot_guest_create(&guest, 64 * MIB);
	set_kernel(&guest, 0, 0x20000);
	boot_guest_add_initrd(&guest, "large", large, 0x80000);
	assert_int_equal(module_start(&guest), 64 * MIB - 0x80000);
	boot_guest_destroy(&guest);

	/* The kernel's end leaves no room. */
	boot_guest_create(&guest, 2 * MIB);
	set_kernel(&guest, 0, 2 * MIB - 0x81000);
	boot_guest_add_initrd(&guest, "large", large, 0x80001);
	assert_int_equal(boot_guest_load(&guest), -EINVAL);
	assert_non_null(strstr(guest.err.message, "--initrd: 528384 bytes do not fit"));
	boot_guest_destroy(&guest);
}

static void test_header(void **state)
{
	struct boot_guest guest;
	uint32_t flags;
	size_t size;

	(void)state;
	boot_guest_create(&guest, 64 * MIB);
	set_kernel(&guest, 0x10003, MIB);
	assert_int_equal(boot_guest_load(&guest), 0); /* optional flags are the loader's choice */
	set_kernel(&guest, 0x4, MIB);
	assert_int_equal(boot_guest_load(&guest), -EINVAL);
	assert_non_null(strstr(guest.err.message, "its multiboot header asks for 0x4"));
	size = test_multiboot_build(image, 0, MIB);
	assert_true(boot_find_multiboot(guest.kernel, &flags));
	store_le32(image + size - 64 + 24, 1); /* checksum */
	assert_false(boot_find_multiboot(guest.kernel, &flags));
	/* Behind the first 8 KiB it does not count. */
	memset(image, 0, sizeof(image));
	store_le32(image + 8192, 0x1badb002);
	store_le32(image + 8192 + 8, 0 - 0x1badb002U);
	boot_guest_set_kernel(&guest, image, sizeof(image));
	assert_false(boot_find_multiboot(guest.kernel, &flags));
	memmove(image + 8192 - 12, image + 8192, 12);
	boot_guest_set_kernel(&guest, image, sizeof(image));
	assert_true(boot_find_multiboot(guest.kernel, &flags));
	boot_guest_destroy(&guest);
}

static void test_refused(void **state)
{
	struct boot_guest guest;
	struct test_segment segment = { PT_LOAD, MIB, 64, NULL, 64 };
	uint8_t code[64] = { 0 };

	(void)state;
	boot_guest_create(&guest, 64 * MIB);
	set_kernel(&guest, 0, 64 * MIB);
	assert_int_equal(boot_guest_load(&guest), -EINVAL);
	assert_non_null(strstr(guest.err.message, "outside of the guest's RAM"));
	set_kernel(&guest, 0, 0x90000);
	assert_int_equal(boot_guest_load(&guest), -EINVAL);
	assert_non_null(strstr(guest.err.message, "boot information"));
	store_le32(code, 0x1badb002);
	store_le32(code + 8, 0 - 0x1badb002U);
	segment.bytes = code;
	boot_guest_set_kernel(&guest, image, test_elf_build(image, false, 12, &segment, 1));
	assert_int_equal(boot_guest_load(&guest), -EINVAL);
	assert_non_null(strstr(guest.err.message, "its entry 0xc is in none"));
	boot_guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_information),
		cmocka_unit_test(test_module_places),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
