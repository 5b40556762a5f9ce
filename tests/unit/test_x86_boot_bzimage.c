/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: elf_images kernel_images */
/* The boot protocol: header fields into the zero page, places, limits, truncated images. */
#include <asm/bootparam.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kernel_images.h"

#define PAYLOAD_BYTES 4096
#define ZERO_PAGE     0x91000

static uint8_t image[TEST_IMAGE_MAX];
static size_t image_bytes;
static struct setup_header *header;

static int set_up(void **state)
{
	static struct boot_guest guest;

	boot_guest_create(&guest, 64 * MIB);
	image_bytes = test_bzimage_build(image, PAYLOAD_BYTES);
	header = test_bzimage_header(image);
	boot_guest_set_kernel(&guest, image, image_bytes);
	*state = &guest;
	return 0;
}

static int tear_down(void **state)
{
	boot_guest_destroy(*state);
	return 0;
}

static void refused(struct boot_guest *guest, const char *part)
{
	assert_int_equal(boot_guest_load(guest), -EINVAL);
	if (!strstr(guest->err.message, part))
		fail_msg("\"%s\" has no \"%s\"", guest->err.message, part);
}

static void test_entry(void **state)
{
	struct boot_guest *guest = *state;
	uint8_t payload[PAYLOAD_BYTES];

	assert_int_equal(boot_guest_load(guest), 0);
	assert_int_equal(guest->entry.mode, BOOT_MODE_LONG);
	assert_int_equal(guest->entry.rip, 16 * MIB + 0x200);
	assert_int_equal(guest->entry.rsi, ZERO_PAGE);
	assert_int_equal(guest->entry.page_table_gpa, 0x97000);
	boot_guest_read(guest, 16 * MIB, payload, sizeof(payload));
	assert_memory_equal(payload, image + 1024, sizeof(payload));
	/* Nothing behind the payload was touched. */
	assert_int_equal(boot_guest_read_le64(guest, 16 * MIB + PAYLOAD_BYTES), 0);
	assert_int_equal(boot_guest_read_le64(guest, 0xa0000), 0);
	assert_int_equal(boot_guest_read_le64(guest, 0xe0000), 0);
}

static void test_zero_page(void **state)
{
	struct boot_guest *guest = *state;
	struct boot_params page;
	char params[32];

	guest->request.params = "quiet";
	boot_guest_add_initrd(guest, "initrd", "0123456789", 10);
	assert_int_equal(boot_guest_load(guest), 0);
	boot_guest_read(guest, ZERO_PAGE, &page, sizeof(page));
	assert_int_equal(page.hdr.header, 0x53726448);
	assert_int_equal(page.hdr.version, 0x020f);
	assert_int_equal(page.hdr.type_of_loader, 0xff);
	assert_int_equal(page.hdr.ramdisk_image, 64 * MIB - 4096);
	assert_int_equal(page.hdr.ramdisk_size, 10);
	assert_int_equal(page.hdr.code32_start, 16 * MIB);
	assert_int_equal(page.acpi_rsdp_addr, 0xe0000);
	assert_int_equal(page.e820_entries, 5);
	assert_int_equal(page.e820_table[0].size, 0x9fc00);
	assert_int_equal(page.e820_table[0].type, 1);
	assert_int_equal(page.e820_table[1].type, 2);
	assert_int_equal(page.e820_table[2].addr, MIB);
	assert_int_equal(page.e820_table[2].size, 63 * MIB);
	boot_guest_read(guest, page.hdr.cmd_line_ptr, params, sizeof(params));
	assert_string_equal(params, "console=ttyS0 quiet");
}

/* Without XLF_KERNEL_64, or before it had a meaning: the 32-bit entry. */
static void test_32bit_entry(void **state)
{
	struct boot_guest *guest = *state;

	header->xloadflags &= (uint16_t)~XLF_KERNEL_64;
	assert_int_equal(boot_guest_load(guest), 0);
	assert_int_equal(guest->entry.mode, BOOT_MODE_PROTECTED);
	assert_int_equal(guest->entry.rip, 16 * MIB);
	header->xloadflags |= XLF_KERNEL_64;
	header->version = 0x020b;
	assert_int_equal(boot_guest_load(guest), 0);
	assert_int_equal(guest->entry.mode, BOOT_MODE_PROTECTED);
	header->version = 0x0209;
	refused(guest, "has boot protocol 2.09, at least 2.10 is needed");
}

static void test_places(void **state)
{
	struct boot_guest *guest = *state;

	header->relocatable_kernel = 0;
	assert_int_equal(boot_guest_load(guest), 0);
	assert_int_equal(guest->entry.rip, MIB + 0x200);
	header->relocatable_kernel = 1;
	header->pref_address = 63 * MIB;
	assert_int_equal(boot_guest_load(guest), 0);
	header->pref_address++;
	refused(guest,
	        "the kernel (0x3f00001, 1048576 bytes) lies outside of the guest's RAM (64 MiB");
	header->pref_address = 0x10000;
	refused(guest, "wants to be loaded at 0x10000");
	header->pref_address = 1ULL << 40;
	refused(guest, "wants to be loaded at 0x10000000000");
	header->pref_address = 16 * MIB;
	header->init_size = 48 * MIB;
	assert_int_equal(boot_guest_load(guest), 0);
	header->init_size = UINT32_MAX;
	refused(guest, "in the devices' area");
	header->init_size = MIB;
	header->loadflags = 0;
	refused(guest, "zImage");
}

static void test_truncated(void **state)
{
	struct boot_guest *guest = *state;

	/* The header rounds up to 16 bytes, no further. */
	boot_guest_set_kernel(guest, image, image_bytes - 15);
	assert_int_equal(boot_guest_load(guest), 0);
	boot_guest_set_kernel(guest, image, image_bytes - 16);
	refused(guest, "its header promises 5120 bytes, the file has 5104");
	boot_guest_set_kernel(guest, image, 1024);
	refused(guest, "is a truncated bzImage");
	boot_guest_set_kernel(guest, image, 0x210);
	refused(guest, "is a truncated bzImage");
	boot_guest_set_kernel(guest, image, 0x205);
	refused(guest, "not a kernel");
	boot_guest_set_kernel(guest, image, image_bytes);
	header->syssize = 0;
	refused(guest, "is a truncated bzImage");
	header->syssize = UINT32_MAX;
	refused(guest, "is a truncated bzImage");
	header->syssize = PAYLOAD_BYTES / 16;
	header->setup_sects = 0; /* means 4 */
	refused(guest, "is a truncated bzImage");
	header->setup_sects = 255;
	refused(guest, "is a truncated bzImage");
}

/* A header that ends early leaves the rest of the fields 0. */
static void test_short_header(void **state)
{
	struct boot_guest *guest = *state;

	header->jump = 0x10eb;
	refused(guest, "--params"); /* cmdline_size is not there: it takes 0 bytes */
	guest->request.default_params = "";
	assert_int_equal(boot_guest_load(guest), 0);
	assert_int_equal(guest->entry.rip, MIB);
}

static void test_limits(void **state)
{
	struct boot_guest *guest = *state;
	struct boot_params page;
	char params[2049];

	memset(params, 'x', sizeof(params));
	params[2047] = 0;
	guest->request.params = params;
	guest->request.default_params = "";
	assert_int_equal(boot_guest_load(guest), 0);
	params[2047] = 'x';
	params[2048] = 0;
	refused(guest, "the command line has 2048 bytes, kernel takes 2047");

	guest->request.params = "";
	boot_guest_add_initrd(guest, "initrd", "0123456789", 10);
	header->initrd_addr_max = 40 * MIB - 1;
	assert_int_equal(boot_guest_load(guest), 0); /* above 4 GiB is fine: no limit below it */
	boot_guest_read(guest, ZERO_PAGE, &page, sizeof(page));
	assert_int_equal(page.hdr.ramdisk_image, 64 * MIB - 4096);
	header->xloadflags = XLF_KERNEL_64;
	assert_int_equal(boot_guest_load(guest), 0);
	boot_guest_read(guest, ZERO_PAGE, &page, sizeof(page));
	assert_int_equal(page.hdr.ramdisk_image, 40 * MIB - 4096);
	header->initrd_addr_max = 17 * MIB - 1;
	refused(guest, "--initrd: 10 bytes do not fit between the kernel's end at 0x1100000 and "
	               "0x1100000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_entry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_zero_page, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_32bit_entry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_truncated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_short_header, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
