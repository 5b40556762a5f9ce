/* SPDX-License-Identifier: Apache-2.0 */
/* A virtqueue in memory of two regions, and its driver (`fakes: test_driver`). */
#ifndef VIRTQUEUE_FIXTURE_H
#define VIRTQUEUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ebb/virtqueue.h"
#include "test_driver.h"

#define LOW_BYTES   (1 * MIB) /* two regions next to each other, then nothing */
#define HIGH_GPA    LOW_BYTES
#define HIGH_BYTES  (256 * KIB)
#define END_GPA     (HIGH_GPA + HIGH_BYTES)
#define RING_GPA    (64 * KIB)
#define SCRATCH_GPA (512 * KIB)
#define QUEUE_SIZE  8
#define QUEUE_MAX   64

struct fixture {
	struct guest_memory *memory;
	struct virtqueue *vq;
	struct test_ring ring;
};

static inline void set_up_size(struct fixture *f, bool indirect, bool event_index, uint16_t size)
{
	struct virtqueue_config config;

	assert_int_equal(guest_memory_create(&f->memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, LOW_BYTES, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, HIGH_GPA, HIGH_BYTES, NULL, NULL), 0);
	assert_int_equal(virtqueue_create(f->memory, QUEUE_MAX, &f->vq), 0);
	test_ring_init(&f->ring, f->memory, RING_GPA, size);
	config = test_ring_config(&f->ring, indirect, event_index);
	assert_int_equal(virtqueue_enable(f->vq, &config), 0);
	gmem_lock_shared(f->memory);
}

static inline void set_up(struct fixture *f, bool indirect, bool event_index)
{
	set_up_size(f, indirect, event_index, QUEUE_SIZE);
}

static inline void tear_down(struct fixture *f)
{
	gmem_unlock_shared(f->memory);
	virtqueue_destroy(f->vq);
	guest_memory_destroy(f->memory);
}

static inline uint32_t offer(struct fixture *f)
{
	return test_ring_offer_buffer(&f->ring, SCRATCH_GPA, 16, true);
}

/* Pops one, pushes it back with nothing written and publishes that. */
static inline void pass_one(struct fixture *f)
{
	struct virtq_chain chain;

	assert_int_equal(virtqueue_pop(f->vq, &chain), 1);
	virtqueue_push(f->vq, &chain);
	virtqueue_flush(f->vq);
}

#endif
