/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the image of the host's own kernel. */
#include "host_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make_path(const char *root, const char *before, const char *release, const char *after,
                     char **ret_path)
{
	return asprintf(ret_path, "%s%s%s%s", root, before, release, after) < 0 ? -ENOMEM : 0;
}

int host_kernel_find(const char *root, const char *release, char **ret_path, struct error *err)
{
	static const char *const places[][2] = { { "/boot/vmlinuz-", "" },
		                                 { "/boot/vmlinux-", "" },
		                                 { "/lib/modules/", "/vmlinuz" } };
	char *path;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (make_path(root, places[i][0], release, places[i][1], &path))
			return error_set_errno(err, -ENOMEM, "--root");
		if (!access(path, R_OK)) {
			*ret_path = path;
			return 0;
		}
		if (errno != ENOENT && errno != ENOTDIR) {
			error_set(err, -EINVAL,
			          "--root without --kernel: %s, the host's own, cannot be read: %s "
			          "(give --kernel FILE, or have it made readable)",
			          path, strerror(errno));
			free(path);
			return -EINVAL;
		}
		free(path);
	}
	return error_set(err, -EINVAL,
	                 "--root without --kernel: the host's own is not there as "
	                 "%s/boot/vmlinuz-%s (give --kernel FILE)",
	                 root, release);
}
