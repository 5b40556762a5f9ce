/* SPDX-License-Identifier: Apache-2.0 */
/* Small x86 kernels, well-formed: tests then break what they want broken. */
#include <asm/bootparam.h>
#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/arch.h"
#include "ebb/bytes.h"

#include "kernel_images.h"

#define SETUP_BYTES 1024 /* boot sector and one more */

struct setup_header *test_bzimage_header(uint8_t *image)
{
	return (struct setup_header *)(image + 0x1f1); /* packed */
}

size_t test_bzimage_build(uint8_t *image, size_t payload_bytes)
{
	struct setup_header header = {
		.setup_sects = 1,
		.syssize = (uint32_t)(payload_bytes / 16),
		.boot_flag = 0xaa55,
		.jump = (uint16_t)(0xeb | (sizeof(header) + 0x1f1 - 0x202) << 8),
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G,
		.cmdline_size = 2047,
		.pref_address = 16 * MIB,
		.init_size = MIB,
	};

	assert(SETUP_BYTES + payload_bytes <= TEST_IMAGE_MAX);
	memset(image, 0, SETUP_BYTES);
	memcpy(image + 0x1f1, &header, sizeof(header));
	test_fill_pattern(image + SETUP_BYTES, payload_bytes);
	return SETUP_BYTES + payload_bytes;
}

size_t test_multiboot_build(uint8_t *image, uint32_t flags, uint64_t gpa)
{
	uint8_t code[64] = { 0 };
	struct test_segment segment = {
		.type = PT_LOAD,
		.gpa = gpa,
		.memory_bytes = 4096,
		.bytes = code,
		.file_bytes = sizeof(code),
	};

	store_le32(code + 16, 0x1badb002);
	store_le32(code + 20, flags);
	store_le32(code + 24, 0 - 0x1badb002 - flags);
	return test_elf_build(image, false, gpa, &segment, 1);
}

void boot_guest_create(struct boot_guest *guest, uint64_t ram_bytes)
{
	struct arch_memory_map map;
	int rc;

	memset(guest, 0, sizeof(*guest));
	rc = guest_memory_create(&guest->memory, NULL);
	assert(!rc);
	arch_memory_map(ram_bytes, &map);
	for (size_t i = 0; i < map.range_count; i++) {
		rc = gmem_add_region(guest->memory, map.ranges[i].gpa, map.ranges[i].size_bytes,
		                     NULL, NULL);
		assert(!rc);
	}
	guest->request = (struct boot_request){
		.memory = guest->memory,
		.ram_bytes = ram_bytes,
		.initrds = guest->initrds,
		.params = "",
		.default_params = "console=ttyS0",
	};
}

void boot_guest_destroy(struct boot_guest *guest)
{
	while (guest->request.initrd_count)
		image_close(guest->initrds[--guest->request.initrd_count]);
	image_close(guest->kernel);
	guest_memory_destroy(guest->memory);
}

void boot_guest_set_kernel(struct boot_guest *guest, const void *bytes, size_t size_bytes)
{
	int rc;

	image_close(guest->kernel);
	rc = image_create_from_memory("kernel", bytes, size_bytes, &guest->kernel, NULL);
	assert(!rc);
	guest->request.kernel = guest->kernel;
}

void boot_guest_add_initrd(struct boot_guest *guest, const char *name, const void *bytes,
                           size_t size_bytes)
{
	int rc;

	assert(guest->request.initrd_count < 4);
	rc = image_create_from_memory(name, bytes, size_bytes,
	                              &guest->initrds[guest->request.initrd_count], NULL);
	assert(!rc);
	guest->request.initrd_count++;
}

int boot_guest_load(struct boot_guest *guest)
{
	guest->err = (struct error)ERROR_INIT;
	return boot_load(&guest->request, &guest->entry, &guest->is_linux, &guest->err);
}

void boot_guest_read(struct boot_guest *guest, gpa_t gpa, void *buf, size_t size_bytes)
{
	int rc = gmem_read(guest->memory, gpa, buf, size_bytes);

	assert(!rc);
}

uint64_t boot_guest_read_le64(struct boot_guest *guest, gpa_t gpa)
{
	uint8_t bytes[8];

	boot_guest_read(guest, gpa, bytes, sizeof(bytes));
	return load_le64(bytes);
}
