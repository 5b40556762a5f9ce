/* SPDX-License-Identifier: Apache-2.0 */
/* What --root reads of others' files before a guest runs: modules.dep, and a kernel's image for its
 * release. The first byte says which. */
#include <assert.h>
#include <string.h>

#include "../../src/kernel_release.h"
#include "../../src/module_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_modules(const char *text, size_t size)
{
	static const char *const names[] = { "virtio_pci", "9pnet_virtio", "9p", "overlay" };
	struct module_list list = { .count = 0 };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (module_list_add(&list, text, size, names[i]) < 0)
			return;
	assert(list.count <= MODULE_LIST_MAX);
	for (size_t i = 0; i < list.count; i++) {
		struct module_path path = list.paths[i], file = module_file_name(path);

		assert(path.text >= text && path.text + path.length <= text + size);
		assert(path.length && path.length <= MODULE_PATH_MAX && path.text[0] != '/');
		assert(file.text + file.length == path.text + path.length);
		assert(!memchr(file.text, '/', file.length));
		for (size_t j = 0; j < i; j++)
			assert(list.paths[j].length != path.length ||
			       memcmp(list.paths[j].text, path.text, path.length) != 0);
	}
}

static void read_release(const uint8_t *bytes, size_t size)
{
	char release[KERNEL_RELEASE_MAX];
	struct image *image;

	if (image_create_from_memory("kernel", bytes, size, &image, NULL))
		return;
	if (kernel_release_find(image, release, NULL) > 0) {
		size_t length = strnlen(release, sizeof(release));

		assert(length && length < sizeof(release) && !memchr(release, '/', length));
		assert(release[0] != '.');
	}
	image_close(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1)
		read_modules((const char *)data + 1, size - 1);
	else
		read_release(data + 1, size - 1);
	return 0;
}
