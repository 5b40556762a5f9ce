/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and keeps the images that a configuration names. */
/* Syscalls: none after set-up */
#include "ebb/image_set.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ebb/selftest.h"
#include "host_kernel.h"
#include "root_initrd.h"

/* The kernel that the host itself runs. */
static int open_host_kernel(struct image_set *set, struct error *err)
{
	struct utsname names;
	int rc = 0;

	(void)uname(&names); /* fails for a bad address alone */
	if (!set->host_kernel_path)
		rc = host_kernel_find("", names.release, &set->host_kernel_path, err);
	return rc ? rc : image_open("--kernel", set->host_kernel_path, &set->kernel, err);
}

static int open_kernel(struct image_set *set, const struct vm_config *config, struct error *err)
{
	if (config->kernel_path)
		return image_open("--kernel", config->kernel_path, &set->kernel, err);
	if (config->root_path)
		return open_host_kernel(set, err);
	return image_create_from_memory("selftest", selftest_image, selftest_image_bytes,
	                                &set->kernel, err);
}

static int open_root(struct image_set *set, const struct vm_config *config, struct error *err)
{
	struct root_terminal terminal = { .name = getenv("TERM") };
	struct initramfs archive = { .bytes = NULL };
	struct winsize size;
	int rc;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) {
		terminal.rows = size.ws_row;
		terminal.columns = size.ws_col;
	}
	rc = root_initrd_build(&archive, config, set->kernel, &terminal, err);
	if (rc)
		return rc;
	rc = image_create_from_memory("--root's initrd", archive.bytes, archive.size_bytes,
	                              &set->initrds[set->initrd_count], err);
	if (rc) {
		initramfs_free(&archive);
		return rc;
	}
	set->initrd_count++;
	set->root_bytes = archive.bytes;
	return 0;
}

int image_set_open(struct image_set *set, const struct vm_config *config, struct error *err)
{
	int rc = set->kernel ? 0 : open_kernel(set, config, err);

	if (!rc && config->root_path && !set->root_bytes)
		rc = open_root(set, config, err);
	while (!rc && !config->root_path && set->initrd_count < config->initrd_count) {
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
	free(set->root_bytes);
	set->root_bytes = NULL;
	free(set->host_kernel_path);
	set->host_kernel_path = NULL;
}
