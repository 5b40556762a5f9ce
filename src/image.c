/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels and initrds as files or memory blocks, with every read bounded by their size. */
/* Syscalls: main: fstat pread */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/bytes.h"
#include "ebb/image.h"
#include "read_file.h"

#define IMAGE_NAME_MAX 320

/* Far above any guest, and sums of it do not wrap. A multiple of 4. */
#define IMAGE_LIST_MAX_BYTES (16 * TIB)

struct image {
	int fd; /* -1: bytes */
	const uint8_t *bytes;
	const char *path;
	uint64_t size_bytes;
	size_t head_bytes;
	const uint8_t *head;
	char name[IMAGE_NAME_MAX];
	uint8_t head_buffer[];
};

static int check_file(struct image *image, struct error *err)
{
	struct stat status;

	if (fstat(image->fd, &status))
		return error_set_errno(err, -errno, "%s", image->name);
	if (S_ISDIR(status.st_mode))
		return error_set(err, -EINVAL, "%s: is a directory (name a file)", image->name);
	if (!S_ISREG(status.st_mode))
		return error_set(err, -EINVAL, "%s: is not a regular file (copy it to one)",
		                 image->name);
	if (!status.st_size)
		return error_set(err, -EINVAL, "%s: is empty", image->name);
	image->size_bytes = (uint64_t)status.st_size;
	return 0;
}

int image_open(const char *option, const char *path, struct image **ret_image, struct error *err)
{
	struct image *image = calloc(1, sizeof(*image) + IMAGE_HEAD_BYTES);
	int rc;

	if (!image)
		return error_set_errno(err, -ENOMEM, "%s %s", option, path);
	snprintf(image->name, sizeof(image->name), "%s %s", option, path);
	image->path = path;
	/* Not to hang on a pipe that nobody writes. */
	image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (image->fd < 0) {
		/* Whatever the reason, it is the user's to mend: another path, another mode. */
		rc = error_set(err, -EINVAL, "%s: %s", image->name, strerror(errno));
		goto free_image;
	}
	rc = check_file(image, err);
	if (rc)
		goto close_file;
	image->head = image->head_buffer;
	image->head_bytes = (size_t)min_u64(image->size_bytes, IMAGE_HEAD_BYTES);
	rc = read_file(image->fd, 0, image->head_buffer, image->head_bytes);
	if (rc) {
		error_set_errno(err, rc, "%s: cannot be read", image->name);
		goto close_file;
	}
	*ret_image = image;
	return 0;

close_file:
	close(image->fd);
free_image:
	free(image);
	return rc;
}

int image_create_from_memory(const char *name, const void *bytes, uint64_t size_bytes,
                             struct image **ret_image, struct error *err)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return error_set_errno(err, -ENOMEM, "%s", name);
	snprintf(image->name, sizeof(image->name), "%s", name);
	image->path = name;
	image->fd = -1;
	image->bytes = image->head = bytes;
	image->size_bytes = size_bytes;
	image->head_bytes = (size_t)min_u64(size_bytes, IMAGE_HEAD_BYTES);
	*ret_image = image;
	return 0;
}

void image_close(struct image *image)
{
	if (!image)
		return;
	if (image->fd >= 0)
		close(image->fd);
	free(image);
}

const char *image_name(const struct image *image)
{
	return image->name;
}

const char *image_path(const struct image *image)
{
	return image->path;
}

uint64_t image_size_bytes(const struct image *image)
{
	return image->size_bytes;
}

const uint8_t *image_head(const struct image *image, size_t *ret_bytes)
{
	*ret_bytes = image->head_bytes;
	return image->head;
}

static int check_range(const struct image *image, uint64_t offset, uint64_t size_bytes,
                       struct error *err)
{
	if (range_contains(0, image->size_bytes, offset, size_bytes))
		return 0;
	return error_set(err, -EINVAL,
	                 "%s: is truncated: %llu bytes at offset %llu are wanted, it has %llu",
	                 image->name, (unsigned long long)size_bytes, (unsigned long long)offset,
	                 (unsigned long long)image->size_bytes);
}

/* PE/COFF (Microsoft's specification, "File Headers" and "Section Table"). */
#define PE_OFFSET_AT             0x3c
#define PE_SECTIONS_AT           6
#define PE_OPTIONAL_SIZE_AT      20
#define PE_HEADER_BYTES          24
#define PE_SECTION_BYTES         40
#define PE_SECTION_FILE_BYTES_AT 16
#define PE_SECTION_OFFSET_AT     20

int image_check_pe(const struct image *image, struct error *err)
{
	const uint8_t *head = image->head;
	uint64_t at, size_bytes;
	unsigned count;
	int rc = 0;

	if (!range_contains(0, image->head_bytes, 0, PE_OFFSET_AT + 4) || load_le16(head) != 0x5a4d)
		return 0;
	at = load_le32(head + PE_OFFSET_AT);
	if (!range_contains(0, image->head_bytes, at, PE_HEADER_BYTES) ||
	    load_le32(head + at) != 0x4550)
		return 0;
	count = load_le16(head + at + PE_SECTIONS_AT);
	at += PE_HEADER_BYTES + load_le16(head + at + PE_OPTIONAL_SIZE_AT);
	for (; count && !rc; count--, at += PE_SECTION_BYTES) {
		rc = check_range(image, at, PE_SECTION_BYTES, err);
		if (rc || !range_contains(0, image->head_bytes, at, PE_SECTION_BYTES))
			break;
		size_bytes = load_le32(head + at + PE_SECTION_FILE_BYTES_AT);
		if (size_bytes)
			rc = check_range(image, load_le32(head + at + PE_SECTION_OFFSET_AT),
			                 size_bytes, err);
	}
	return rc;
}

int image_read(const struct image *image, uint64_t offset, void *buf, size_t size_bytes,
               struct error *err)
{
	int rc = check_range(image, offset, size_bytes, err);

	if (rc)
		return rc;
	if (image->fd < 0) {
		memcpy(buf, image->bytes + offset, size_bytes);
		return 0;
	}
	if (range_contains(0, image->head_bytes, offset, size_bytes)) {
		memcpy(buf, image->head + offset, size_bytes);
		return 0;
	}
	rc = read_file(image->fd, offset, buf, size_bytes);
	return rc ? error_set_errno(err, rc, "%s: cannot be read", image->name) : 0;
}

int image_load(const struct image *image, uint64_t offset, uint64_t size_bytes,
               struct guest_memory *memory, gpa_t gpa, struct error *err)
{
	int rc = check_range(image, offset, size_bytes, err);

	if (rc || !size_bytes)
		return rc;
	if (image->fd < 0)
		rc = gmem_write(memory, gpa, image->bytes + offset, size_bytes);
	else
		rc = gmem_load_file(memory, gpa, image->fd, offset, size_bytes);
	return rc ? error_set_errno(err, rc, "%s: cannot be loaded at 0x%llx", image->name,
	                            (unsigned long long)gpa)
	          : 0;
}

struct signature {
	size_t offset;
	const char *bytes;
	size_t count;
	const char *description;
};

#define SIGNATURE(at, text, what) \
	{ \
		(at), (text), sizeof(text) - 1, (what) \
	}

static const struct signature signatures[] = {
	SIGNATURE(0x202, "HdrS", "an x86 Linux bzImage"),
	SIGNATURE(0,
	          "\x7f"
	          "ELF",
	          "an ELF file"),
	SIGNATURE(0x38, "RSC\x05", "a RISC-V Linux Image"),
	SIGNATURE(0x38, "ARM\x64", "an arm64 Linux Image"),
	SIGNATURE(0, "\x1f\x8b", "a gzip archive"),
	SIGNATURE(0,
	          "\xfd"
	          "7zXZ",
	          "an xz archive"),
	SIGNATURE(0, "\x28\xb5\x2f\xfd", "a zstd archive"),
	SIGNATURE(0, "\x04\x22\x4d\x18", "an lz4 archive"),
	SIGNATURE(0, "\x02\x21\x4c\x18", "an lz4 archive"),
	SIGNATURE(0, "BZh", "a bzip2 archive"),
	SIGNATURE(0, "070701", "a cpio archive (an initrd?)"),
	SIGNATURE(0, "QFI\xfb", "a qcow2 disk image"),
	SIGNATURE(0, "!<arch>", "an ar archive"),
	SIGNATURE(0, "PK\x03\x04", "a zip archive"),
	SIGNATURE(0, "#!", "a script"),
	SIGNATURE(0, "MZ", "a PE executable"),
};

static bool is_text(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] < ' ' && !strchr("\t\n\r\f\v\b\033", bytes[i]))
			return false;
	return true;
}

const char *image_describe(const struct image *image)
{
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		const struct signature *signature = &signatures[i];

		if (range_contains(0, image->head_bytes, signature->offset, signature->count) &&
		    !memcmp(image->head + signature->offset, signature->bytes, signature->count))
			return signature->description;
	}
	/* strchr finds its string's end too: a NUL is not text, and was told apart there. */
	if (!memchr(image->head, 0, image->head_bytes) && is_text(image->head, image->head_bytes))
		return "a text file";
	return "data of no known kind";
}

int image_list_size(struct image *const *images, size_t count, uint64_t *ret_bytes,
                    struct error *err)
{
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++) {
		total = align_up(total, 4);
		if (images[i]->size_bytes > IMAGE_LIST_MAX_BYTES - total)
			return error_set(err, -EINVAL,
			                 "%s: has %llu bytes, all images together may have %llu",
			                 images[i]->name, (unsigned long long)images[i]->size_bytes,
			                 (unsigned long long)IMAGE_LIST_MAX_BYTES);
		total += images[i]->size_bytes;
	}
	*ret_bytes = total;
	return 0;
}

int image_list_load(struct image *const *images, size_t count, struct guest_memory *memory,
                    gpa_t gpa, struct error *err)
{
	uint64_t offset = 0;

	for (size_t i = 0; i < count; i++) {
		int rc;

		offset = align_up(offset, 4);
		rc = image_load(images[i], 0, images[i]->size_bytes, memory, gpa + offset, err);
		if (rc)
			return rc;
		offset += images[i]->size_bytes;
	}
	return 0;
}
