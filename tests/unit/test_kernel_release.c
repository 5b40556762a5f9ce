/* SPDX-License-Identifier: Apache-2.0 */
/* Which release a kernel's image says it is: bzImage's header, a banner anywhere, neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/kernel_release.h"
#include "ebb/bytes.h"

#define CHUNK_BYTES (256 * KIB) /* that is read at once */

static int find(const void *bytes, size_t size_bytes, char release[KERNEL_RELEASE_MAX])
{
	struct error err = ERROR_INIT;
	struct image *image;
	int ret;

	assert_int_equal(image_create_from_memory("kernel", bytes, size_bytes, &image, NULL), 0);
	strcpy(release, "untouched");
	ret = kernel_release_find(image, release, &err);
	image_close(image);
	if (ret <= 0)
		assert_string_equal(release, "untouched");
	return ret;
}

static void a_bzimage_names_it(void **state)
{
	static uint8_t image[0x4000];
	char release[KERNEL_RELEASE_MAX];

	(void)state;
	store_le32(image + 0x202, 0x53726448);
	store_le16(image + 0x20e, 0x3000 - 0x200);
	strcpy((char *)image + 0x3000, "6.1.0-50-amd64 (debian@example) #1 SMP");
	assert_int_equal(find(image, sizeof(image), release), 1);
	assert_string_equal(release, "6.1.0-50-amd64");
	/* Cut off: in the name, before it. */
	assert_int_equal(find(image, 0x3004, release), 0);
	assert_int_equal(find(image, 0x3000, release), 0);
	store_le16(image + 0x20e, 0xffff);
	assert_int_equal(find(image, sizeof(image), release), 0);
	store_le16(image + 0x20e, 0);
	assert_int_equal(find(image, sizeof(image), release), 0);
}

static void what_could_not_be_a_folder_is_none(void **state)
{
	static const char *const texts[] = { "../../etc ", "6.1/x ",  "",    " ", "v6.1 ",
		                             "6.1\n#1 ",   "-6.1.0 ", "6.1", "." };
	static uint8_t image[0x400];
	char release[KERNEL_RELEASE_MAX];
	char *text = (char *)image + 0x300;

	(void)state;
	store_le32(image + 0x202, 0x53726448);
	store_le16(image + 0x20e, 0x100);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		memset(text, 0, 0x100);
		strcpy(text, texts[i]);
		assert_int_equal(find(image, sizeof(image), release), 0);
	}
	memset(text, '6', KERNEL_RELEASE_MAX - 1);
	strcpy(text + KERNEL_RELEASE_MAX - 1, " ");
	assert_int_equal(find(image, sizeof(image), release), 1);
	memset(text, '6', KERNEL_RELEASE_MAX);
	strcpy(text + KERNEL_RELEASE_MAX, " ");
	assert_int_equal(find(image, sizeof(image), release), 0);
}

static void any_other_says_it_somewhere(void **state)
{
	static const char banner[] = "Linux version 6.12.107+deb13-riscv64 (a@b) #1";
	const size_t size_bytes = 2 * CHUNK_BYTES + 1000;
	char release[KERNEL_RELEASE_MAX], *image = calloc(1, size_bytes);

	(void)state;
	assert_non_null(image);
	assert_int_equal(find(image, size_bytes, release), 0);
	/* Across every place where reading is cut, and right at the end. */
	for (size_t at = CHUNK_BYTES - 120; at < CHUNK_BYTES + 20; at++) {
		memcpy(image + at, banner, sizeof(banner));
		assert_int_equal(find(image, size_bytes, release), 1);
		assert_string_equal(release, "6.12.107+deb13-riscv64");
		memset(image + at, 0, sizeof(banner));
	}
	memcpy(image + size_bytes - strlen(banner), banner, strlen(banner));
	assert_int_equal(find(image, size_bytes, release), 1);
	/* What only looks like it is passed over. */
	strcpy(image + 5, "Linux version %s (%s)");
	strcpy(image + 100, "Linux version 2.6 or later");
	assert_int_equal(find(image, size_bytes, release), 1);
	assert_string_equal(release, "6.12.107+deb13-riscv64");
	assert_int_equal(find(image, 400, release), 0);
	assert_int_equal(find("Linux version 6.1", 17, release), 0);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bzimage_names_it),
		cmocka_unit_test(what_could_not_be_a_folder_is_none),
		cmocka_unit_test(any_other_says_it_somewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
