/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and keeps the images that a configuration names. */
#include "ebb/image_set.h"

#include "ebb/selftest.h"

int image_set_open(struct image_set *set, const struct vm_config *config, struct error *err)
{
	int rc = 0;

	if (!set->kernel && config->kernel_path)
		rc = image_open("--kernel", config->kernel_path, &set->kernel, err);
	else if (!set->kernel)
		rc = image_create_from_memory("selftest", selftest_image, selftest_image_bytes,
		                              &set->kernel, err);
	while (!rc && set->initrd_count < config->initrd_count) {
		rc = image_open("--initrd", config->initrd_paths[set->initrd_count],
		                &set->initrds[set->initrd_count], err);
		if (!rc)
			set->initrd_count++;
	}
	return rc;
}

void image_set_close(struct image_set *set)
{
	while (set->initrd_count)
		image_close(set->initrds[--set->initrd_count]);
	image_close(set->kernel);
	set->kernel = NULL;
}
