/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images */
/* Loading of Images and ELF files: where things lie, and what is refused. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/bytes.h"

#include "../../arch/riscv/boot.h"
#include "../../arch/riscv/layout.h"
#include "elf_images.h"

#define RAM_BYTES (64 * MIB)

static struct {
	struct guest_memory *memory;
	struct image *kernel, *initrd;
	struct boot_request request;
	struct boot_entry entry;
	struct error err;
	uint8_t bytes[TEST_IMAGE_MAX];
} t;

static void create(uint64_t ram_bytes)
{
	assert_int_equal(guest_memory_create(&t.memory, NULL), 0);
	assert_int_equal(gmem_add_region(t.memory, RISCV_RAM_GPA, ram_bytes, NULL, NULL), 0);
	t.request.memory = t.memory;
	t.request.ram_bytes = ram_bytes;
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	create(RAM_BYTES);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	image_close(t.kernel);
	image_close(t.initrd);
	guest_memory_destroy(t.memory);
	return 0;
}

static void set_kernel(size_t bytes)
{
	image_close(t.kernel);
	assert_int_equal(image_create_from_memory("kernel", t.bytes, bytes, &t.kernel, NULL), 0);
	t.request.kernel = t.kernel;
}

static void set_initrd(const void *bytes, size_t size)
{
	assert_int_equal(image_create_from_memory("initrd", bytes, size, &t.initrd, NULL), 0);
	t.request.initrds = &t.initrd;
	t.request.initrd_count = 1;
}

/* A Linux Image of 4 KiB. */
static void linux_image(uint64_t text_offset, uint64_t image_size)
{
	test_fill_pattern(t.bytes, 4096);
	store_le64(t.bytes + 8, text_offset);
	store_le64(t.bytes + 16, image_size);
	store_le64(t.bytes + 24, 0);
	memcpy(t.bytes + 48, "RISCV\0\0", 8);
	memcpy(t.bytes + 56, "RSC\x05", 4);
	set_kernel(4096);
}

static int load(void)
{
	t.err = (struct error)ERROR_INIT;
	return boot_load(&t.request, &t.entry, &t.err);
}

static void refused(const char *part)
{
	assert_int_equal(load(), -EINVAL);
	if (!strstr(t.err.message, part))
		fail_msg("\"%s\" has no \"%s\"", t.err.message, part);
	assert_null(strchr(t.err.message, '\n'));
}

static void assert_loaded(gpa_t gpa, const void *bytes, size_t size)
{
	uint8_t buffer[4096];

	assert_in_range(size, 1, sizeof(buffer));
	assert_int_equal(gmem_read(t.memory, gpa, buffer, size), 0);
	assert_memory_equal(buffer, bytes, size);
}

static void test_image(void **state)
{
	static const char initrd[] = "an archive";

	(void)state;
	linux_image(0x200000, 20 * MIB);
	set_initrd(initrd, sizeof(initrd));
	assert_int_equal(load(), 0);
	assert_int_equal(t.entry.pc, 0x80200000);
	assert_loaded(0x80200000, t.bytes, 4096);
	assert_int_equal(t.entry.initrd_bytes, sizeof(initrd));
	assert_loaded(t.entry.initrd_gpa, initrd, sizeof(initrd));
	assert_int_equal(t.entry.initrd_gpa % 4096, 0);
	/* Nothing right behind another. */
	assert_true(t.entry.initrd_gpa >= 0x80200000 + 20 * MIB + RISCV_BOOT_GAP_BYTES);
	assert_true(t.entry.fdt_gpa >= t.entry.initrd_gpa + sizeof(initrd) + RISCV_BOOT_GAP_BYTES);
	assert_int_equal(t.entry.fdt_gpa % 8, 0);
	assert_true(t.entry.fdt_gpa + RISCV_FDT_BYTES <= RISCV_RAM_GPA + RAM_BYTES);
}

static void test_text_offset(void **state)
{
	(void)state;
	linux_image(0, 0);
	assert_int_equal(load(), 0);
	assert_int_equal(t.entry.pc, 0x80200000);
	linux_image(8 * MIB, 0);
	assert_int_equal(load(), 0);
	assert_int_equal(t.entry.pc, 0x80800000);
	linux_image(8 * MIB + 4096, 0);
	refused("a multiple of 2 MiB");
	linux_image(UINT64_MAX & ~(2 * MIB - 1), 0);
	refused("a multiple of 2 MiB below 64 GiB");
}

static void test_image_size(void **state)
{
	(void)state;
	linux_image(0x200000, 61 * MIB);
	assert_int_equal(load(), 0);
	linux_image(0x200000, 62 * MIB);
	refused("overlaps the FDT");
	linux_image(0x200000, 63 * MIB);
	refused("lies outside of the guest's RAM");
	linux_image(0x200000, UINT64_MAX);
	refused("lies outside of the guest's RAM");
	linux_image(0x200000, UINT64_MAX - 0x80200000);
	refused("lies outside of the guest's RAM");
}

static void test_big_endian(void **state)
{
	(void)state;
	linux_image(0x200000, 0);
	store_le64(t.bytes + 24, 1);
	set_kernel(4096);
	refused("big-endian");
}

static void elf_at(gpa_t gpa, uint64_t memory_bytes, gpa_t entry)
{
	const struct test_segment segment = { PT_LOAD, gpa, memory_bytes, NULL, 512 };
	size_t bytes = test_elf_build(t.bytes, true, entry, &segment, 1);

	store_le16(t.bytes + offsetof(Elf64_Ehdr, e_machine), EM_RISCV);
	set_kernel(bytes);
}

static void test_elf(void **state)
{
	(void)state;
	elf_at(0x80200000, 4096, 0x80200010);
	assert_int_equal(load(), 0);
	assert_int_equal(t.entry.pc, 0x80200010);
	elf_at(0x80200000, 4096, 0x80201000);
	refused("lies in none of its segments");
	elf_at(0x7ffff000, 8192, 0x80000000);
	refused("lies outside of the guest's RAM");
	elf_at(RISCV_RAM_GPA + RAM_BYTES - 8192, 4096, RISCV_RAM_GPA + RAM_BYTES - 8192);
	refused("overlaps the FDT");
	elf_at(0x80200000, 4096, 0x80200000);
	store_le16(t.bytes + offsetof(Elf64_Ehdr, e_machine), EM_X86_64);
	set_kernel(4096);
	refused("not ELF64 for RISC-V");
}

static void test_no_kernel(void **state)
{
	(void)state;
	memcpy(t.bytes, "once upon a time\n", 17);
	set_kernel(17);
	refused("is a text file, not a kernel");
	memset(t.bytes, 0, 1024);
	memcpy(t.bytes + 0x202, "HdrS", 4);
	set_kernel(1024);
	refused("an x86 Linux bzImage");
	linux_image(0x200000, 0);
	set_kernel(60); /* the header is cut */
	refused("not a kernel");
}

static void test_initrd_that_does_not_fit(void **state)
{
	static const uint8_t initrd[2 * MIB];

	(void)state;
	linux_image(0x200000, 60 * MIB);
	set_initrd(initrd, sizeof(initrd));
	refused("do not fit");
	linux_image(0x200000, 50 * MIB);
	assert_int_equal(load(), 0);
}

static void test_little_ram(void **state)
{
	(void)state;
	guest_memory_destroy(t.memory);
	create(2 * MIB);
	linux_image(0x200000, 4096);
	refused("at least");
	guest_memory_destroy(t.memory);
	create(4 * MIB);
	assert_int_equal(load(), 0);
}

/* A kernel that has mapped a GiB finds everything. */
static void test_much_ram(void **state)
{
	(void)state;
	guest_memory_destroy(t.memory);
	create(2304 * MIB);
	linux_image(0x200000, 4096);
	set_initrd("x", 1);
	assert_int_equal(load(), 0);
	assert_true(t.entry.fdt_gpa + RISCV_FDT_BYTES <= RISCV_RAM_GPA + GIB);
	assert_true(t.entry.initrd_gpa < t.entry.fdt_gpa);
}

#define with_guest(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_guest(test_image),      with_guest(test_text_offset),
		with_guest(test_image_size), with_guest(test_big_endian),
		with_guest(test_elf),        with_guest(test_no_kernel),
		with_guest(test_little_ram), with_guest(test_initrd_that_does_not_fit),
		with_guest(test_much_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
