/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The images that a configuration names: the kernel, or the selftest guest where it names none
 * (with --root the host's own kernel), and the initrds: with --root the one that ebb makes. Opened
 * once and kept open, so that a reset loads again what the first start loaded.
 *
 * Main thread.
 */
#ifndef EBB_IMAGE_SET_H
#define EBB_IMAGE_SET_H

#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/image.h"

struct image_set { /* zeroed by its owner */
	struct image *kernel;
	struct image *initrds[VM_INITRDS_MAX];
	size_t initrd_count;
	uint8_t *root_bytes;    /* of the initrd that ebb made, which is one of initrds */
	char *host_kernel_path; /* what kernel borrows, where ebb found it by itself */
};

/* Opens what is not open yet. Errors: image_open's; close what was opened. */
EBB_MUST_CHECK int image_set_open(struct image_set *set, const struct vm_config *config,
                                  struct error *err);
void image_set_close(struct image_set *set); /* a zeroed one is fine */

#endif
