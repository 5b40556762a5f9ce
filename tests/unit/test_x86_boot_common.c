/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images */
/* The memory map, ranges, command lines, initrd places, descriptors and page tables that all
 * loaders share. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_images.h"

#define BOOT_AREA  0x90000
#define PARAMS_GPA 0x92000
#define NO_LIMITS \
	{ \
		.floor_gpa = 0, .limit_gpa = 4 * GIB \
	}

static const char kernel_bytes[] = "kernel";

static void create(struct boot_guest *guest, uint64_t ram_bytes)
{
	boot_guest_create(guest, ram_bytes);
	boot_guest_set_kernel(guest, kernel_bytes, sizeof(kernel_bytes));
}

static uint64_t ram_of(uint64_t ram_bytes, gpa_t *ret_end)
{
	struct boot_memory_range ranges[BOOT_MEMORY_RANGES_MAX];
	size_t count = boot_memory_map(ram_bytes, ranges);
	uint64_t total = 0;

	assert_in_range(count, 1, BOOT_MEMORY_RANGES_MAX);
	for (size_t i = 0; i < count; i++) {
		assert_true(ranges[i].size_bytes > 0);
		if (i)
			assert_true(ranges[i].gpa >= ranges[i - 1].gpa + ranges[i - 1].size_bytes);
		if (ranges[i].type == BOOT_MEMORY_RAM) {
			total += ranges[i].size_bytes;
			*ret_end = ranges[i].gpa + ranges[i].size_bytes;
		}
	}
	return total;
}

static void test_memory_map(void **state)
{
	const uint64_t hidden = 0x100000 - 0x9fc00; /* EBDA, video, BIOS */
	gpa_t end;

	(void)state;
	assert_int_equal(ram_of(MIB, &end), MIB - hidden);
	assert_int_equal(end, 0x9fc00);
	assert_int_equal(ram_of(512 * MIB, &end), 512 * MIB - hidden);
	assert_int_equal(end, 512 * MIB);
	assert_int_equal(ram_of(3 * GIB, &end), 3 * GIB - hidden);
	assert_int_equal(end, 3 * GIB);
	assert_int_equal(ram_of(3 * GIB + 4096, &end), 3 * GIB + 4096 - hidden);
	assert_int_equal(end, 4 * GIB + 4096);
	assert_int_equal(ram_of(64 * GIB, &end), 64 * GIB - hidden);
	assert_int_equal(end, 65 * GIB);
}

static int check(struct boot_guest *guest, gpa_t gpa, uint64_t size_bytes)
{
	guest->err = (struct error)ERROR_INIT;
	return boot_check_range(&guest->request, "a piece", gpa, size_bytes, &guest->err);
}

/* More memory is the advice only where it helps. */
static void expect_advice(const struct boot_guest *guest, const char *where, bool more_memory)
{
	assert_non_null(strstr(guest->err.message, where));
	assert_int_equal(strstr(guest->err.message, "--mem") != NULL, more_memory);
}

static void test_ranges(void **state)
{
	struct boot_guest guest;

	(void)state;
	create(&guest, 6 * GIB);
	assert_int_equal(check(&guest, 0, BOOT_AREA), 0);
	assert_int_equal(check(&guest, 0, BOOT_AREA + 1), -EINVAL);
	assert_non_null(strstr(guest.err.message, "overlaps the boot information"));
	assert_int_equal(check(&guest, 0x9d000, 0x2c00), 0);
	assert_int_equal(check(&guest, 0x9d000, 0x2c01), -EINVAL);
	assert_int_equal(check(&guest, 0xe0000, 16), -EINVAL);
	expect_advice(&guest, "in the firmware's area at 0x9fc00 to 0xfffff", false);
	assert_int_equal(check(&guest, 0xff000, 0x2000), -EINVAL);
	expect_advice(&guest, "a piece (0xff000, 8192 bytes) lies in the firmware's area", false);
	assert_int_equal(check(&guest, MIB, 3 * GIB - MIB), 0);
	assert_int_equal(check(&guest, MIB, 3 * GIB - MIB + 1), -EINVAL);
	expect_advice(&guest, "in the devices' area at 0xc0000000 to 0xffffffff", false);
	assert_int_equal(check(&guest, 3 * GIB, 1), -EINVAL);
	assert_int_equal(check(&guest, 4 * GIB, 3 * GIB), 0);
	assert_int_equal(check(&guest, 4 * GIB, 3 * GIB + 1), -EINVAL);
	expect_advice(&guest, "outside of the guest's RAM (6144 MiB", true);
	assert_int_equal(check(&guest, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(check(&guest, UINT64_MAX, UINT64_MAX), -EINVAL);
	assert_int_equal(check(&guest, 3 * GIB, 0), 0);
	boot_guest_destroy(&guest);
}

static void expect_params(struct boot_guest *guest, const char *word0, const char *text)
{
	char params[256];
	uint64_t bytes = 0;

	assert_int_equal(boot_write_params(&guest->request, word0, 2047, &bytes, NULL), 0);
	assert_int_equal(bytes, strlen(text) + 1);
	boot_guest_read(guest, PARAMS_GPA, params, bytes);
	assert_string_equal(params, text);
}

static void test_params(void **state)
{
	struct boot_guest guest;
	struct error err = ERROR_INIT;
	uint64_t bytes;
	char *text;

	(void)state;
	create(&guest, 64 * MIB);
	expect_params(&guest, NULL, "console=ttyS0");
	guest.request.params = "quiet x=1";
	expect_params(&guest, NULL, "console=ttyS0 quiet x=1");
	expect_params(&guest, "/a/kernel", "/a/kernel quiet x=1");
	guest.request.default_params = "";
	expect_params(&guest, NULL, "quiet x=1");
	guest.request.params = "";
	expect_params(&guest, NULL, "");

	/* One byte more than the kernel takes, and exactly as many. */
	guest.request.params = "123456789";
	assert_int_equal(boot_write_params(&guest.request, NULL, 9, &bytes, &err), 0);
	assert_int_equal(boot_write_params(&guest.request, NULL, 8, &bytes, &err), -EINVAL);
	assert_string_equal(err.message, "--params: the command line has 9 bytes, kernel takes 8");
	/* A kernel that takes any length: what the boot area has. */
	text = malloc(0x5001);
	memset(text, 'a', 0x5000);
	text[0x5000] = 0;
	guest.request.params = text;
	assert_int_equal(boot_write_params(&guest.request, NULL, UINT64_MAX, &bytes, &err),
	                 -EINVAL);
	guest.request.params = text + 1;
	assert_int_equal(boot_write_params(&guest.request, NULL, UINT64_MAX, &bytes, &err), 0);
	free(text);
	boot_guest_destroy(&guest);
}

static void test_initrd_places(void **state)
{
	static uint8_t bytes[5 * 4096 + 1];
	struct boot_initrd_limits limits = NO_LIMITS;
	struct boot_guest guest;
	uint64_t size;
	gpa_t gpa;

	(void)state;
	memset(bytes, 0x5a, sizeof(bytes));
	create(&guest, 64 * MIB);
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, NULL), 0);
	assert_int_equal(size, 0);
	boot_guest_add_initrd(&guest, "one", bytes, sizeof(bytes));
	boot_guest_add_initrd(&guest, "two", "tail", 4);
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, NULL), 0);
	assert_int_equal(gpa, 64 * MIB - 6 * 4096);
	assert_int_equal(size, 5 * 4096 + 4 + 4);
	assert_int_equal(boot_guest_read_le64(&guest, gpa + 5 * 4096),
	                 UINT64_C(0x6c6961740000005a));
	/* The kernel's own limit; the kernel's end. */
	limits.limit_gpa = 32 * MIB;
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, NULL), 0);
	assert_int_equal(gpa, 32 * MIB - 6 * 4096);
	limits.floor_gpa = 32 * MIB - 6 * 4096;
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, NULL), 0);
	limits.floor_gpa++;
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, &guest.err),
	                 -EINVAL);
	assert_non_null(strstr(guest.err.message, "--initrd: 20488 bytes do not fit"));
	limits.floor_gpa = 32 * MIB;
	limits.limit_gpa = 4096;
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, NULL), -EINVAL);
	boot_guest_destroy(&guest);
}

static void test_initrd_above_4g(void **state)
{
	struct boot_initrd_limits limits = { .floor_gpa = 3 * GIB - 4096, .limit_gpa = 4 * GIB };
	static uint8_t bytes[2 * 4096];
	struct boot_guest guest;
	uint64_t size;
	gpa_t gpa;

	(void)state;
	create(&guest, 5 * GIB);
	boot_guest_add_initrd(&guest, "one", bytes, sizeof(bytes));
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, NULL), -EINVAL);
	limits.high_ram = true;
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, NULL), 0);
	assert_int_equal(gpa, 6 * GIB - sizeof(bytes));
	boot_guest_destroy(&guest);
}

/* Larger than the guest's whole memory. */
static void test_initrd_too_large(void **state)
{
	struct boot_initrd_limits limits = { .limit_gpa = 4 * GIB, .high_ram = true };
	struct boot_guest guest;
	uint64_t size;
	gpa_t gpa;

	(void)state;
	create(&guest, 4 * MIB);
	boot_guest_add_initrd(&guest, "one", kernel_bytes, 64 * MIB);
	assert_int_equal(boot_load_initrds(&guest.request, &limits, &gpa, &size, NULL), -EINVAL);
	boot_guest_destroy(&guest);
}

static void test_segments(void **state)
{
	static uint8_t image[TEST_IMAGE_MAX];
	static struct elf_file elf;
	struct test_segment segments[] = {
		{ PT_LOAD, 0x200000, 0x2000, NULL, 0x1000 },
		{ PT_LOAD, 0x100000, 0x1000, NULL, 0x1000 },
	};
	struct boot_guest guest;
	gpa_t end = 0;

	(void)state;
	create(&guest, 4 * MIB);
	boot_guest_set_kernel(&guest, image, test_elf_build(image, true, 0x100000, segments, 2));
	assert_int_equal(elf_parse(guest.kernel, &elf, NULL), 0);
	assert_int_equal(boot_load_elf_segments(&guest.request, &elf, &end, NULL), 0);
	assert_int_equal(end, 0x202000);
	elf.load[0].memory_bytes = 4 * MIB;
	assert_int_equal(boot_load_elf_segments(&guest.request, &elf, &end, &guest.err), -EINVAL);
	assert_non_null(strstr(guest.err.message, "loadable segment 0 (0x200000, 4194304 bytes)"));
	elf.load[0].gpa = 0x8f800;
	elf.load[0].memory_bytes = 0x1000;
	assert_int_equal(boot_load_elf_segments(&guest.request, &elf, &end, &guest.err), -EINVAL);
	assert_non_null(strstr(guest.err.message, "boot information"));
	boot_guest_destroy(&guest);
}

/* Walks the tables as a CPU would: every address of the range maps to itself, the first beyond does
 * not. */
static bool maps_to_itself(struct boot_guest *guest, gpa_t gpa)
{
	uint64_t entry = boot_guest_read_le64(guest, 0x97000);
	const uint64_t address = UINT64_C(0x000ffffffffff000);

	entry = boot_guest_read_le64(guest, (entry & address) + (gpa >> 30) * 8);
	if (!(entry & 1))
		return false;
	entry = boot_guest_read_le64(guest, (entry & address) + (gpa >> 21 & 511) * 8);
	return (entry & 0x83) == 0x83 && (entry & address) == (gpa & ~(2 * MIB - 1));
}

static void test_page_tables(void **state)
{
	struct boot_guest guest;

	(void)state;
	create(&guest, 64 * MIB);
	assert_int_equal(boot_write_page_tables(&guest.request, 20 * MIB, NULL), 0);
	assert_true(maps_to_itself(&guest, 0));
	assert_true(maps_to_itself(&guest, GIB - 1));
	assert_false(maps_to_itself(&guest, GIB));
	assert_int_equal(boot_write_page_tables(&guest.request, 2 * GIB + 1, NULL), 0);
	assert_true(maps_to_itself(&guest, 3 * GIB - 1));
	assert_false(maps_to_itself(&guest, 3 * GIB));
	assert_int_equal(boot_write_page_tables(&guest.request, UINT64_MAX, NULL), 0);
	assert_true(maps_to_itself(&guest, 4 * GIB - 1));
	boot_guest_destroy(&guest);
}

static void test_descriptors(void **state)
{
	struct boot_guest guest;

	(void)state;
	create(&guest, 64 * MIB);
	assert_int_equal(boot_write_gdt(&guest.request, BOOT_MODE_LONG, NULL), 0);
	assert_int_equal(boot_guest_read_le64(&guest, 0x90000), 0);
	assert_int_equal(boot_guest_read_le64(&guest, 0x90010), 0x00af9b000000ffff);
	assert_int_equal(boot_guest_read_le64(&guest, 0x90018), 0x00cf93000000ffff);
	assert_int_equal(boot_write_gdt(&guest.request, BOOT_MODE_PROTECTED, NULL), 0);
	assert_int_equal(boot_guest_read_le64(&guest, 0x90010), 0x00cf9b000000ffff);
	boot_guest_destroy(&guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_map),      cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_params),          cmocka_unit_test(test_initrd_places),
		cmocka_unit_test(test_initrd_above_4g), cmocka_unit_test(test_initrd_too_large),
		cmocka_unit_test(test_segments),        cmocka_unit_test(test_page_tables),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
