/* SPDX-License-Identifier: Apache-2.0 */
/* Chains that virtio-net holds, against a list that says what has to be there. */
/* fakes: test_driver */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/virtio/virtio_net_private.h"
#include "test_driver.h"

#define RAM_BYTES   (8 * MIB)
#define RING_GPA    (1 * MIB)
#define BUFFERS_GPA (2 * MIB)
#define FAR_GPA     (64 * MIB)
#define RING_SIZE   512
#define ROUNDS      3000

struct fixture {
	struct guest_memory *memory;
	struct virtqueue *vq;
	struct test_ring ring;
	struct net_held held;
	/* What it has to hold. */
	struct {
		uint16_t head;
		size_t bytes;
		unsigned int segments;
		gpa_t gpa;
	} list[NET_HELD_MAX];
	unsigned int count;
	uint32_t random;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct virtqueue_config config;

	assert_int_equal(guest_memory_create(&f->memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, RAM_BYTES, NULL, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, FAR_GPA, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(virtqueue_create(f->memory, RING_SIZE, &f->vq), 0);
	test_ring_init(&f->ring, f->memory, RING_GPA, RING_SIZE);
	config = test_ring_config(&f->ring, true, false);
	assert_int_equal(virtqueue_enable(f->vq, &config), 0);
	gmem_lock_shared(f->memory);
	f->held.writable = true;
	f->random = 12345;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	gmem_unlock_shared(f->memory);
	virtqueue_destroy(f->vq);
	guest_memory_destroy(f->memory);
	free(f);
	return 0;
}

static uint32_t roll(struct fixture *f, uint32_t sides)
{
	f->random = f->random * 1664525 + 1013904223;
	return (f->random >> 8) % sides;
}

/* A chain of so many writable buffers, with as many readable ones in front as it says. */
static uint16_t offer(struct fixture *f, gpa_t gpa, unsigned int readable, unsigned int writable,
                      uint32_t size_bytes)
{
	struct test_descriptor descriptors[64];

	assert_true(readable + writable <= ARRAY_SIZE(descriptors));
	for (unsigned int i = 0; i < readable + writable; i++)
		descriptors[i] = (struct test_descriptor){
			.gpa = gpa + (gpa_t)i * 4096,
			.size_bytes = size_bytes,
			.flags = i < readable ? 0 : VRING_DESC_F_WRITE,
		};
	return test_ring_chain(&f->ring, descriptors, readable + writable);
}

static void check(struct fixture *f)
{
	struct iovec *expected = NULL;

	assert_int_equal(f->held.count, f->count);
	for (unsigned int i = 0; i < f->count; i++) {
		unsigned int count;
		struct iovec *segments = net_held_segments(&f->held, i, &count);

		assert_int_equal(net_held_bytes(&f->held, i), f->list[i].bytes);
		assert_int_equal(count, f->list[i].segments);
		if (expected)
			assert_ptr_equal(segments, expected); /* without gaps */
		expected = segments + count;
		for (unsigned int k = 0; k < count; k++)
			assert_ptr_equal(segments[k].iov_base,
			                 gmem_span(f->memory, f->list[i].gpa + k * 4096, 1));
	}
}

/* The ring is filled now and then, from the front or the middle chains go, in any order. */
static void test_any_order(void **state)
{
	struct fixture *f = *state;
	unsigned int in_ring = 0, pushed = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int more = roll(f, 8), end;

		while (more-- && in_ring + f->count < 100) {
			unsigned int segments = roll(f, 4);
			gpa_t gpa = BUFFERS_GPA + (gpa_t)roll(f, 256) * 64;
			uint32_t size_bytes = 1 + roll(f, 64);

			test_ring_offer(&f->ring, offer(f, gpa, segments ? 0 : 1, segments,
			                                size_bytes));
			f->list[f->count].gpa = gpa;
			f->list[f->count].segments = segments;
			f->list[f->count++].bytes = (size_t)segments * size_bytes;
		}
		assert_int_equal(net_held_fill(&f->held, f->vq, NET_HELD_MAX), 0);
		check(f);
		/* Never all: emptied, it begins at the front again. */
		end = f->count ? roll(f, f->count) : 0;
		for (unsigned int i = 0; i < end; i++) {
			if (roll(f, 3)) {
				net_held_push(&f->held, f->vq, i, f->list[i].bytes);
				f->list[i].gpa = 0;
				pushed++;
			}
		}
		net_held_compact(&f->held);
		for (unsigned int i = 0, kept = 0; i < f->count || (f->count = kept, false); i++)
			if (f->list[i].gpa)
				f->list[kept++] = f->list[i];
		check(f);
	}
	virtqueue_flush(f->vq);
	assert_int_equal(test_ring_used_index(&f->ring), (uint16_t)pushed);
	assert_true(pushed > 4 * NET_HELD_MAX); /* all of it was used more than once */
}

static void test_what_was_written_is_said(void **state)
{
	struct fixture *f = *state;
	uint32_t head, size_bytes;
	uint16_t first = offer(f, BUFFERS_GPA, 0, 2, 100), second;

	test_ring_offer(&f->ring, first);
	second = offer(f, BUFFERS_GPA, 0, 1, 100);
	test_ring_offer(&f->ring, second);
	assert_int_equal(net_held_fill(&f->held, f->vq, 10), 0);
	net_held_push(&f->held, f->vq, 1, 7);
	net_held_push(&f->held, f->vq, 0, 150);
	virtqueue_flush(f->vq);
	assert_true(test_ring_take_used(&f->ring, &head, &size_bytes));
	assert_int_equal(head, second);
	assert_int_equal(size_bytes, 7);
	assert_true(test_ring_take_used(&f->ring, &head, &size_bytes));
	assert_int_equal(head, first);
	assert_int_equal(size_bytes, 150);
}

static void test_as_many_as_asked(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 10; i++)
		test_ring_offer(&f->ring, offer(f, BUFFERS_GPA, 0, 1, 100));
	assert_int_equal(net_held_fill(&f->held, f->vq, 4), 1);
	assert_int_equal(f->held.count, 4);
	assert_int_equal(net_held_fill(&f->held, f->vq, 4), 1);
	assert_int_equal(f->held.count, 4);
	assert_int_equal(net_held_fill(&f->held, f->vq, 11), 0);
	assert_int_equal(f->held.count, 10);
}

/* Chains of many segments leave room for fewer, and none is lost. */
static void test_segments_run_out(void **state)
{
	static const unsigned int per_chain = RING_SIZE;
	struct fixture *f = *state;
	const gpa_t table_gpa = BUFFERS_GPA;
	unsigned int held = 0;

	/* One indirect table for all: 512 buffers of a byte. */
	for (unsigned int i = 0; i < per_chain; i++)
		test_write_descriptor(f->memory, table_gpa, i,
		                      (struct test_descriptor){
					      .gpa = BUFFERS_GPA + MIB,
					      .size_bytes = 1,
					      .flags = VRING_DESC_F_WRITE |
		                                       (i + 1 < per_chain ? VRING_DESC_F_NEXT : 0),
					      .next = (uint16_t)(i + 1) });
	for (unsigned int i = 0; i < 20; i++) {
		test_write_descriptor(f->memory, f->ring.descriptor_gpa, i,
		                      (struct test_descriptor){ .gpa = table_gpa,
		                                                .size_bytes = 16 * per_chain,
		                                                .flags = VRING_DESC_F_INDIRECT });
		test_ring_offer(&f->ring, (uint16_t)i);
	}
	while (held < 20) {
		unsigned int count;

		assert_int_equal(net_held_fill(&f->held, f->vq, NET_HELD_MAX), held < 14);
		assert_in_range(f->held.count, 1, 7);
		for (unsigned int i = 0; i < f->held.count; i++) {
			net_held_segments(&f->held, i, &count);
			assert_int_equal(count, per_chain);
		}
		held += f->held.count;
		for (unsigned int i = f->held.count; i-- > 0;)
			net_held_push(&f->held, f->vq, i, 0);
		net_held_compact(&f->held);
	}
}

static void change_memory(struct fixture *f, bool add)
{
	gmem_unlock_shared(f->memory);
	if (add)
		assert_int_equal(gmem_add_region(f->memory, 128 * MIB, 2 * MIB, NULL, NULL), 0);
	else
		assert_int_equal(gmem_remove_region(f->memory, FAR_GPA), 0);
	gmem_lock_shared(f->memory);
}

static void test_memory_that_changes(void **state)
{
	struct fixture *f = *state;
	unsigned int count;

	test_ring_offer(&f->ring, offer(f, BUFFERS_GPA, 0, 3, 100));
	test_ring_offer(&f->ring, offer(f, FAR_GPA, 0, 1, 100));
	assert_int_equal(net_held_fill(&f->held, f->vq, 10), 0);
	assert_int_equal(net_held_locate(&f->held, f->memory), 0);
	/* Where they were is of no matter. */
	for (unsigned int i = 0; i < 2; i++)
		net_held_segments(&f->held, i, &count)->iov_base = NULL;
	change_memory(f, true);
	assert_int_equal(net_held_locate(&f->held, f->memory), 0);
	assert_ptr_equal(net_held_segments(&f->held, 0, &count)->iov_base,
	                 gmem_span(f->memory, BUFFERS_GPA, 100));
	assert_ptr_equal(net_held_segments(&f->held, 1, &count)->iov_base,
	                 gmem_span(f->memory, FAR_GPA, 100));
	change_memory(f, false);
	assert_int_equal(net_held_locate(&f->held, f->memory), -EFAULT);
	net_held_forget(&f->held);
	assert_int_equal(net_held_locate(&f->held, f->memory), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_any_order),        TEST(test_what_was_written_is_said),
		TEST(test_as_many_as_asked), TEST(test_segments_run_out),
		TEST(test_memory_that_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
