/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel or initrd: a host file, or a block of memory linked into ebb. Never mapped: a file that
 * shrinks under us is an error return, not a SIGBUS. Its content is hostile.
 *
 * Set-up and reset, main thread. An image is read-only once open and may be loaded again and again.
 */
#ifndef EBB_IMAGE_H
#define EBB_IMAGE_H

#include "ebb/error.h"
#include "ebb/guest_memory.h"
#include "ebb/types.h"

struct image;

/* This much of the beginning is read when a file is opened, and costs no system call later. */
#define IMAGE_HEAD_BYTES (8 * KIB)

/* A regular file that is not empty; option ("--kernel") names it in messages. Both strings are
 * borrowed. Errors: -EINVAL (cannot be opened, a folder, a pipe, empty), -ENOMEM, -errno of
 * reading. */
EBB_MUST_CHECK int image_open(const char *option, const char *path, struct image **ret_image,
                              struct error *err);

/* bytes are borrowed until image_close. */
EBB_MUST_CHECK int image_create_from_memory(const char *name, const void *bytes,
                                            uint64_t size_bytes, struct image **ret_image,
                                            struct error *err);
void image_close(struct image *image);

const char *image_name(const struct image *image); /* "--kernel PATH" or the block's name */
const char *image_path(const struct image *image); /* PATH or the block's name */
uint64_t image_size_bytes(const struct image *image);

/* The first bytes, at most IMAGE_HEAD_BYTES. */
const uint8_t *image_head(const struct image *image, size_t *ret_bytes);

/* -EINVAL "truncated" when the range is not all in the image, -EIO when the file shrank, -errno of
 * pread. */
EBB_MUST_CHECK int image_read(const struct image *image, uint64_t offset, void *buf,
                              size_t size_bytes, struct error *err);

/* Kernels with an EFI stub are PE files beside what else they are: -EINVAL "truncated" when the
 * image is one and has not all that its sections promise. 0 for any other image. */
EBB_MUST_CHECK int image_check_pe(const struct image *image, struct error *err);

/* Straight into guest memory: one pread, or one copy. As image_read; -EFAULT outside of memory. */
EBB_MUST_CHECK int image_load(const struct image *image, uint64_t offset, uint64_t size_bytes,
                              struct guest_memory *memory, gpa_t gpa, struct error *err);

/* What the image seems to be, for messages: "a text file", "a gzip archive", …; never NULL. */
const char *image_describe(const struct image *image);

/*
 * Several images one behind the other, each on a 4-byte boundary as Linux wants concatenated
 * initramfs archives. The gaps are not written: guest memory is zero there.
 */
EBB_MUST_CHECK int image_list_size(struct image *const *images, size_t count, uint64_t *ret_bytes,
                                   struct error *err);
EBB_MUST_CHECK int image_list_load(struct image *const *images, size_t count,
                                   struct guest_memory *memory, gpa_t gpa, struct error *err);

#endif
