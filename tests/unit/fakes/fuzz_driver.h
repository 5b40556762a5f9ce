/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio driver that does what a fuzzer's bytes say: set up, build chains, scribble over rings,
 * notify, write config space, reset. */
#ifndef FUZZ_DRIVER_H
#define FUZZ_DRIVER_H

#include "fake_virtio_driver.h"

struct fuzz_input {
	const uint8_t *data;
	size_t left_bytes;
};

/* The next bytes, zeroes behind the end. */
uint8_t fuzz_u8(struct fuzz_input *input);
uint16_t fuzz_u16(struct fuzz_input *input);
uint32_t fuzz_u32(struct fuzz_input *input);

/* Something else that the device's surroundings do. */
typedef void (*fuzz_event_fn)(void *ctx, struct fuzz_input *input);

struct fuzz_driver {
	struct fake_driver driver;
	uint64_t ram_bytes; /* [0, ram_bytes) */
	unsigned int queue_count;
	fuzz_event_fn event; /* may be NULL */
	void *ctx;
};

/* A driver that is there already; driver is copied. */
struct fuzz_driver fuzz_driver_of(const struct fake_driver *driver, uint64_t ram_bytes,
                                  unsigned int queue_count, fuzz_event_fn event, void *ctx);

/* Ends with the device reset. */
void fuzz_driver_run(struct fuzz_driver *fuzz, const uint8_t *data, size_t size_bytes);

#endif
