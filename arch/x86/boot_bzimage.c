/* SPDX-License-Identifier: Apache-2.0 */
/* bzImage: setup header, protected-mode code, zero page. (Linux: Documentation/arch/x86/boot.rst.)
 */
/*
 * DOC: What of the boot protocol is used
 *
 * From protocol 2.10 on (Linux 2.6.31: pref_address and init_size are there), always the kernel's
 * preferred address, never real-mode code. The entry is the 64-bit one, 0x200 behind the load
 * address, where xloadflags offers it, else the 32-bit one at the load address. The kernel unpacks
 * itself within init_size of the load address; that much RAM must be there.
 */
#include <errno.h>
#include <string.h>

#include "boot_linux64.h"
#include "ebb/bytes.h"
#include "layout.h"

#define SECTOR_BYTES        512
#define SETUP_HEADER_OFFSET 0x1f1
#define SETUP_JUMP_LENGTH   0x201 /* of the header, counted from 0x202 */
#define SETUP_MAGIC_OFFSET  0x202
#define SETUP_MAGIC         0x53726448 /* "HdrS" */
#define SETUP_BOOT_FLAG     0xaa55
#define SETUP_SECTORS_OLD   4 /* what 0 means */
#define PROTOCOL_MIN        0x020a
#define PROTOCOL_XLOADFLAGS 0x020c
#define PARAGRAPH_BYTES     16
#define ENTRY_64BIT_OFFSET  0x200

bool boot_is_bzimage(const struct image *kernel)
{
	size_t bytes;
	const uint8_t *head = image_head(kernel, &bytes);

	return bytes >= SETUP_MAGIC_OFFSET + 4 &&
	       load_le32(head + SETUP_MAGIC_OFFSET) == SETUP_MAGIC &&
	       load_le16(head + SETUP_MAGIC_OFFSET - 4) == SETUP_BOOT_FLAG;
}

/* As much of the header as the image has; what a newer loader would know of is 0. */
static int parse_header(const struct image *kernel, struct setup_header *ret_header,
                        struct error *err)
{
	struct setup_header header = { 0 };
	size_t head_bytes;
	const uint8_t *head = image_head(kernel, &head_bytes);
	size_t end = SETUP_MAGIC_OFFSET + head[SETUP_JUMP_LENGTH];
	size_t bytes = (size_t)min_u64(end - SETUP_HEADER_OFFSET, sizeof(header));

	if (!range_contains(0, head_bytes, SETUP_HEADER_OFFSET, bytes))
		return error_set(err, -EINVAL, "%s: is a truncated bzImage (%zu bytes)",
		                 image_name(kernel), head_bytes);
	memcpy(&header, head + SETUP_HEADER_OFFSET, bytes);
	if (header.version < PROTOCOL_MIN)
		return error_set(err, -EINVAL,
		                 "%s: has boot protocol %u.%02u, at least %u.%02u is needed (Linux "
		                 "2.6.31)",
		                 image_name(kernel), header.version >> 8, header.version & 0xff,
		                 PROTOCOL_MIN >> 8, PROTOCOL_MIN & 0xff);
	if (!(header.loadflags & LOADED_HIGH))
		return error_set(err, -EINVAL,
		                 "%s: is a zImage, which loads below 1 MiB (build a bzImage)",
		                 image_name(kernel));
	*ret_header = header;
	return 0;
}

struct payload {
	uint64_t offset, bytes; /* in the image */
	gpa_t gpa;
	uint64_t memory_bytes; /* the kernel's to use from gpa on */
};

static int place_payload(const struct boot_request *request, const struct setup_header *header,
                         struct payload *ret_payload, struct error *err)
{
	const struct image *kernel = request->kernel;
	uint64_t sectors = header->setup_sects ? header->setup_sects : SETUP_SECTORS_OLD;
	uint64_t wanted_bytes = (uint64_t)header->syssize * PARAGRAPH_BYTES;
	struct payload payload = { .offset = (sectors + 1) * SECTOR_BYTES };
	uint64_t there_bytes = image_size_bytes(kernel) > payload.offset
	                               ? image_size_bytes(kernel) - payload.offset
	                               : 0;

	/* The file ends where the code ends, which the header gives rounded up. */
	if (there_bytes + PARAGRAPH_BYTES <= wanted_bytes || !there_bytes || !wanted_bytes)
		return error_set(err, -EINVAL,
		                 "%s: is a truncated bzImage: its header promises %llu bytes, the "
		                 "file has %llu",
		                 image_name(kernel),
		                 (unsigned long long)(payload.offset + wanted_bytes),
		                 (unsigned long long)image_size_bytes(kernel));
	payload.bytes = min_u64(there_bytes, wanted_bytes);
	payload.gpa = header->relocatable_kernel ? header->pref_address : X86_BIOS_END;
	payload.memory_bytes = max_u64(header->init_size, payload.bytes);
	if (payload.gpa < X86_BIOS_END || payload.gpa >= 4 * GIB)
		return error_set(err, -EINVAL,
		                 "%s: wants to be loaded at 0x%llx, not between 1 MiB and 4 GiB",
		                 image_name(kernel), (unsigned long long)payload.gpa);
	*ret_payload = payload;
	return boot_check_range(request, "the kernel", payload.gpa, payload.memory_bytes, err);
}

static struct boot_initrd_limits initrd_limits(const struct setup_header *header,
                                               const struct payload *payload)
{
	struct boot_initrd_limits limits = {
		.floor_gpa = payload->gpa + payload->memory_bytes,
		.limit_gpa = (gpa_t)header->initrd_addr_max + 1,
	};

	if (header->version >= PROTOCOL_XLOADFLAGS &&
	    header->xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) {
		limits.limit_gpa = 4 * GIB;
		limits.high_ram = true;
	}
	return limits;
}

static int write_entry(const struct boot_request *request, const struct setup_header *header,
                       const struct payload *payload, struct boot_entry *ret_entry,
                       struct error *err)
{
	bool is_64bit =
		header->version >= PROTOCOL_XLOADFLAGS && header->xloadflags & XLF_KERNEL_64;
	struct boot_entry entry = {
		.mode = is_64bit ? BOOT_MODE_LONG : BOOT_MODE_PROTECTED,
		.rip = payload->gpa + (is_64bit ? ENTRY_64BIT_OFFSET : 0),
		.rsi = X86_BOOT_ZERO_PAGE_GPA,
		.page_table_gpa = is_64bit ? X86_BOOT_PML4_GPA : 0,
		.gdt_gpa = X86_BOOT_GDT_GPA,
	};
	int rc = boot_write_gdt(request, entry.mode, err);

	if (!rc && is_64bit)
		rc = boot_write_page_tables(request, payload->gpa + payload->memory_bytes, err);
	if (!rc)
		*ret_entry = entry;
	return rc;
}

int boot_load_bzimage(const struct boot_request *request, struct boot_entry *ret_entry,
                      struct error *err)
{
	struct zero_page_config config = { 0 };
	struct boot_initrd_limits limits;
	struct payload payload = { 0 };
	uint64_t params_bytes;
	int rc = parse_header(request->kernel, &config.header, err);

	if (!rc)
		rc = place_payload(request, &config.header, &payload, err);
	if (!rc)
		rc = boot_write_params(request, NULL, config.header.cmdline_size, &params_bytes,
		                       err);
	if (rc)
		return rc;
	rc = image_load(request->kernel, payload.offset, payload.bytes, request->memory,
	                payload.gpa, err);
	if (rc)
		return rc;
	limits = initrd_limits(&config.header, &payload);
	rc = boot_load_initrds(request, &limits, &config.initrd_gpa, &config.initrd_bytes, err);
	if (rc)
		return rc;
	config.header.code32_start = (uint32_t)payload.gpa;
	rc = boot_write_zero_page(request, &config, err);
	return rc ? rc : write_entry(request, &config.header, &payload, ret_entry, err);
}
