/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE table of chains that a driver must not build (VIRTIO 1.2, 2.7), and a few that only look so.
 *
 * A device's test hands hostile_chains_run a queue of its own; each row is written into a fresh
 * ring and the device is notified. What is asked of every device: a broken row ends in
 * DEVICE_NEEDS_RESET, an odd one is answered like any other, and in both cases the device comes up
 * again after a reset.
 */
#ifndef HOSTILE_CHAINS_H
#define HOSTILE_CHAINS_H

#include "test_driver.h"

/* What a row has to play with. */
struct hostile_queue {
	struct test_ring ring; /* fresh: all indexes 0; indirect descriptors negotiated */
	gpa_t scratch_gpa;     /* HOSTILE_SCRATCH_BYTES of RAM, 16-byte aligned: tables, buffers */
	gpa_t outside_gpa;     /* the first byte behind a region, with nothing there */
};

#define HOSTILE_SCRATCH_BYTES (64 * KIB)

struct hostile_chain {
	const char *name;
	bool is_broken; /* the driver left the rules; else it is merely odd */
	void (*build)(struct hostile_queue *queue);
};

extern const struct hostile_chain hostile_chains[];
extern const size_t hostile_chain_count;

struct hostile_target {
	void *ctx;
	/* Resets the device, brings it up with empty rings, says where they are. */
	void (*restart)(void *ctx, struct hostile_queue *ret_queue);
	/* Notifies the device and waits until it is through. */
	void (*kick)(void *ctx);
	bool (*needs_reset)(void *ctx);
};

/* Runs every row; returns how many the device got wrong, each with a line on stderr. */
unsigned int hostile_chains_run(const struct hostile_target *target);

#endif
