/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Register accesses out of a fuzzer's bytes, for targets over a virtio_machine.
 *
 * An access is 4 bytes and a value: a byte of kind (write, width), a byte that says in which of the
 * target's areas, an offset of two bytes, and for a write as many bytes as it is wide.
 */
#ifndef FUZZ_REGISTERS_H
#define FUZZ_REGISTERS_H

#include "virtio_machine.h"

struct fuzz_area {
	bool is_port;
	uint64_t base, size_bytes;
};

struct fuzz_access {
	bool is_write;
	unsigned int area;
	uint64_t offset, value;
	unsigned int size_bytes;
};

/* The next access; false at the end. area is below area_count, the access begins inside it. */
bool fuzz_next_access(const uint8_t **data, size_t *left_bytes, const struct fuzz_area *areas,
                      unsigned int area_count, struct fuzz_access *ret_access);

/* Carries it out, as a vCPU would. */
void fuzz_access(struct virtio_machine *machine, const struct fuzz_area *areas,
                 const struct fuzz_access *access);

/* One input for a virtio transport with a probe on it, and the VM's reset behind that. The last
 * area is guest memory under the rings, which the driver writes without ebb. */
void fuzz_transport(struct virtio_machine *machine, struct probe *probe,
                    const struct fuzz_area *areas, unsigned int area_count, const uint8_t *data,
                    size_t size_bytes);

#endif
