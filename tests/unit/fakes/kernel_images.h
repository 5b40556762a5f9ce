/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86 kernels of a few hundred bytes for tests of the loaders, and a guest to load them into
 * (`fakes: elf_images kernel_images`).
 */
#ifndef KERNEL_IMAGES_H
#define KERNEL_IMAGES_H

#include "ebb/error.h"
#include "ebb/guest_memory.h"
#include "ebb/image.h"

#include "../../../arch/x86/boot.h"
#include "elf_images.h"

/* A bzImage of protocol 2.15 with 64-bit entry, 16 MiB preferred, init_size 1 MiB, one setup sector
 * and payload_bytes (a multiple of 16) of payload; returns its size. */
size_t test_bzimage_build(uint8_t *image, size_t payload_bytes);

struct setup_header;
struct setup_header *test_bzimage_header(uint8_t *image);

/* An ELF32 with a multiboot header that asks for flags, loaded at gpa, entered at its first byte;
 * returns its size. */
size_t test_multiboot_build(uint8_t *image, uint32_t flags, uint64_t gpa);

struct boot_guest {
	struct guest_memory *memory;
	struct boot_request request;
	struct image *kernel;
	struct image *initrds[4];
	struct boot_entry entry;
	bool is_linux;
	struct error err;
};

/* RAM as the machine has it, no images, parameters "" with the default "console=ttyS0". */
void boot_guest_create(struct boot_guest *guest, uint64_t ram_bytes);
void boot_guest_destroy(struct boot_guest *guest);

/* bytes stay the caller's, until the guest is destroyed or has another kernel. */
void boot_guest_set_kernel(struct boot_guest *guest, const void *bytes, size_t size_bytes);
void boot_guest_add_initrd(struct boot_guest *guest, const char *name, const void *bytes,
                           size_t size_bytes);
int boot_guest_load(struct boot_guest *guest);

/* Reads guest memory; fails the test outside of it. */
void boot_guest_read(struct boot_guest *guest, gpa_t gpa, void *buf, size_t size_bytes);
uint64_t boot_guest_read_le64(struct boot_guest *guest, gpa_t gpa);

#endif
