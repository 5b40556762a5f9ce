/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images */
/* Which kernel an image is taken for, and what is said of one that is none. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"

#include "kernel_images.h"

static uint8_t image[TEST_IMAGE_MAX];

static int set_up(void **state)
{
	static struct boot_guest guest;

	boot_guest_create(&guest, 64 * MIB);
	memset(image, 0, sizeof(image));
	*state = &guest;
	return 0;
}

static int tear_down(void **state)
{
	boot_guest_destroy(*state);
	return 0;
}

static void refused(struct boot_guest *guest, const void *bytes, size_t size, const char *part)
{
	boot_guest_set_kernel(guest, bytes, size);
	assert_int_equal(boot_guest_load(guest), -EINVAL);
	if (!strstr(guest->err.message, part))
		fail_msg("\"%s\" has no \"%s\"", guest->err.message, part);
	assert_null(strchr(guest->err.message, '\n'));
}

static void test_no_kernels(void **state)
{
	struct boot_guest *guest = *state;
	uint8_t zeros[4096] = { 0 };

	refused(guest, "once upon a time\n", 17, "kernel: is a text file, not a kernel");
	refused(guest, "\x1f\x8b\x08xxx", 6, "is a gzip archive");
	refused(guest, zeros, sizeof(zeros), "is data of no known kind");
	memcpy(zeros + 0x38, "RSC\x05", 4);
	refused(guest, zeros, sizeof(zeros), "is a RISC-V Linux Image");
	refused(guest,
	        "\x7f"
	        "ELF",
	        4, "too short");
}

static void test_foreign_elf(void **state)
{
	struct boot_guest *guest = *state;
	struct test_segment segment = { PT_LOAD, MIB, 16, NULL, 16 };
	size_t size = test_elf_build(image, true, MIB, &segment, 1);

	store_le16(image + offsetof(Elf64_Ehdr, e_machine), EM_RISCV);
	refused(guest, image, size, "is an ELF file for machine 243, not for x86");
	size = test_elf_build(image, false, MIB, &segment, 1);
	refused(guest, image, size, "neither a multiboot header nor a PVH entry");
	/* A 32-bit machine cannot have the 64-bit entry. */
	size = test_elf_build(image, true, MIB, &segment, 1);
	store_le16(image + offsetof(Elf64_Ehdr, e_machine), EM_386);
	refused(guest, image, size, "machine 3");
}

/* Each kind of kernel, told by how it is entered. */
static void test_kinds(void **state)
{
	struct boot_guest *guest = *state;
	uint32_t entry = MIB + 8;
	uint8_t note[64];
	struct test_segment segments[] = {
		{ PT_LOAD, MIB, 64, NULL, 64 },
		{ PT_NOTE, 0, 0, note, test_note_build(note, "Xen", 18, &entry, 4) },
	};
	size_t size = test_bzimage_build(image, 4096);

	boot_guest_set_kernel(guest, image, size);
	assert_int_equal(boot_guest_load(guest), 0);
	assert_true(guest->is_linux);
	assert_int_equal(guest->entry.rip, 16 * MIB + 0x200);

	size = test_elf_build(image, true, MIB + 16, segments, 1);
	boot_guest_set_kernel(guest, image, size);
	assert_int_equal(boot_guest_load(guest), 0);
	assert_true(guest->is_linux);
	assert_int_equal(guest->entry.mode, BOOT_MODE_LONG);
	assert_int_equal(guest->entry.rip, MIB + 16);

	for (int is_64bit = 0; is_64bit < 2; is_64bit++) {
		size = test_elf_build(image, is_64bit, MIB + 16, segments, 2);
		boot_guest_set_kernel(guest, image, size);
		assert_int_equal(boot_guest_load(guest), 0);
		assert_false(guest->is_linux);
		assert_int_equal(guest->entry.mode, BOOT_MODE_PROTECTED);
		assert_int_equal(guest->entry.rip, entry);
	}

	size = test_multiboot_build(image, 0, 4 * MIB);
	boot_guest_set_kernel(guest, image, size);
	assert_int_equal(boot_guest_load(guest), 0);
	assert_false(guest->is_linux);
	assert_int_equal(guest->entry.rax, 0x2badb002);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_kernels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign_elf, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kinds, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
