/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the release in a kernel's image. */
#include "kernel_release.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bytes.h"

#define BZIMAGE_MAGIC_OFFSET   0x202
#define BZIMAGE_MAGIC          0x53726448 /* "HdrS" */
#define BZIMAGE_VERSION_OFFSET 0x20e      /* where the text is, less 0x200 */
#define BZIMAGE_VERSION_BASE   0x200

#define BANNER             "Linux version "
#define SEARCH_MAX_BYTES   (1 * GIB)
#define SEARCH_CHUNK_BYTES (256 * KIB)

/* "6.1.0-50-amd64", up to the blank behind it: no '/', and no leading dot. */
static bool take_release(const char *text, size_t length, char release[KERNEL_RELEASE_MAX])
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789.-_+~";
	size_t count = 0;

	while (count < length && text[count] && strchr(letters, text[count]))
		count++;
	if (!count || count == length || count >= KERNEL_RELEASE_MAX || text[count] != ' ' ||
	    text[0] < '0' || text[0] > '9')
		return false;
	memcpy(release, text, count);
	release[count] = '\0';
	return true;
}

static int from_bzimage(const struct image *kernel, uint16_t offset,
                        char release[KERNEL_RELEASE_MAX], struct error *err)
{
	uint64_t text_offset = (uint64_t)offset + BZIMAGE_VERSION_BASE;
	char text[KERNEL_RELEASE_MAX + 1];
	uint64_t bytes;
	int ret;

	if (!offset || text_offset >= image_size_bytes(kernel))
		return 0;
	bytes = min_u64(sizeof(text), image_size_bytes(kernel) - text_offset);
	ret = image_read(kernel, text_offset, text, bytes, err);
	return ret ? ret : take_release(text, bytes, release);
}

/* The banner in a piece of the image, with all of the release behind it. */
static bool search(const char *text, size_t length, char release[KERNEL_RELEASE_MAX])
{
	const size_t banner = strlen(BANNER);
	const char *end = text + length;

	while ((text = memmem(text, (size_t)(end - text), BANNER, banner))) {
		size_t name_length;

		text += banner;
		if (!take_release(text, (size_t)(end - text), release))
			continue;
		name_length = strlen(release);
		if ((size_t)(end - text) > name_length + 1 && text[name_length + 1] == '(')
			return true;
	}
	return false;
}

/* Pieces that overlap by what may be cut at their ends. */
static int from_banner(const struct image *kernel, char release[KERNEL_RELEASE_MAX],
                       struct error *err)
{
	const size_t overlap = strlen(BANNER) + KERNEL_RELEASE_MAX + 2;
	const uint64_t size_bytes = min_u64(image_size_bytes(kernel), SEARCH_MAX_BYTES);
	char *text = malloc(SEARCH_CHUNK_BYTES);
	uint64_t offset = 0;
	int ret = 0;

	if (!text)
		return error_set_errno(err, -ENOMEM, "%s", image_name(kernel));
	while (!ret && offset < size_bytes) {
		size_t bytes = (size_t)min_u64(SEARCH_CHUNK_BYTES, size_bytes - offset);

		ret = image_read(kernel, offset, text, bytes, err);
		if (!ret)
			ret = search(text, bytes, release);
		if (offset + bytes == size_bytes)
			break;
		offset += bytes - overlap;
	}
	free(text);
	return ret;
}

int kernel_release_find(const struct image *kernel, char release[KERNEL_RELEASE_MAX],
                        struct error *err)
{
	size_t bytes;
	const uint8_t *head = image_head(kernel, &bytes);
	char found[KERNEL_RELEASE_MAX];
	int ret;

	if (bytes >= BZIMAGE_VERSION_OFFSET + 2 &&
	    load_le32(head + BZIMAGE_MAGIC_OFFSET) == BZIMAGE_MAGIC)
		ret = from_bzimage(kernel, load_le16(head + BZIMAGE_VERSION_OFFSET), found, err);
	else
		ret = from_banner(kernel, found, err);
	if (ret > 0)
		strcpy(release, found);
	return ret;
}
