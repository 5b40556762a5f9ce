/* SPDX-License-Identifier: Apache-2.0 */
/* The table of hostile chains. */
#include "hostile_chains.h"

#include <stdio.h>

#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

#define DESCRIPTOR_BYTES 16

static struct test_descriptor plain(const struct hostile_queue *queue)
{
	return (struct test_descriptor){ .gpa = queue->scratch_gpa, .size_bytes = 4 };
}

/* Makes descriptor 0 of the ring's own table available. */
static void offer_one(struct hostile_queue *queue, struct test_descriptor descriptor)
{
	test_write_descriptor(queue->ring.memory, queue->ring.descriptor_gpa, 0, descriptor);
	test_ring_offer(&queue->ring, 0);
}

static gpa_t table_gpa(const struct hostile_queue *queue)
{
	return queue->scratch_gpa + HOSTILE_SCRATCH_BYTES / 2;
}

/* An indirect table of one entry. */
static void offer_indirect(struct hostile_queue *queue, struct test_descriptor entry,
                           uint32_t table_bytes, uint16_t flags)
{
	test_write_descriptor(queue->ring.memory, table_gpa(queue), 0, entry);
	offer_one(queue, (struct test_descriptor){ .gpa = table_gpa(queue),
	                                           .size_bytes = table_bytes,
	                                           .flags = INDIRECT | flags });
}

/* --- chains and loops --- */

static void loop_to_itself(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.flags = NEXT;
	offer_one(queue, descriptor);
}

static void loop_of_two(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.flags = NEXT;
	test_write_descriptor(queue->ring.memory, queue->ring.descriptor_gpa, 1, descriptor);
	descriptor.next = 1;
	offer_one(queue, descriptor);
}

static void next_outside_table(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.flags = NEXT;
	descriptor.next = queue->ring.size;
	offer_one(queue, descriptor);
}

static void writable_before_readable(struct hostile_queue *queue)
{
	struct test_descriptor descriptors[] = { plain(queue), plain(queue) };

	descriptors[0].flags = WRITE;
	test_ring_offer(&queue->ring, test_ring_chain(&queue->ring, descriptors, 2));
}

/* --- addresses and lengths --- */

static void address_outside(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.gpa = queue->outside_gpa;
	offer_one(queue, descriptor);
}

static void writable_address_outside(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.gpa = queue->outside_gpa;
	descriptor.flags = WRITE;
	offer_one(queue, descriptor);
}

static void end_outside(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.gpa = queue->outside_gpa - 1;
	descriptor.size_bytes = 2;
	offer_one(queue, descriptor);
}

static void address_wraps(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.gpa = UINT64_MAX - 1;
	descriptor.size_bytes = 4;
	offer_one(queue, descriptor);
}

static void address_wraps_into_memory(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.gpa = UINT64_MAX - 0xfff;
	descriptor.size_bytes = 0x1000 + 4;
	offer_one(queue, descriptor);
}

static void longest_length(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.size_bytes = UINT32_MAX;
	offer_one(queue, descriptor);
}

static void lengths_overflow(struct hostile_queue *queue)
{
	struct test_descriptor descriptors[] = { plain(queue), plain(queue) };

	descriptors[0].size_bytes = 16;
	descriptors[1].size_bytes = UINT32_MAX - 7;
	test_ring_offer(&queue->ring, test_ring_chain(&queue->ring, descriptors, 2));
}

/* --- the available ring --- */

static void index_jump(struct hostile_queue *queue)
{
	offer_one(queue, plain(queue));
	test_ring_set_avail_index(&queue->ring, (uint16_t)(queue->ring.size + 1));
}

static void index_backwards(struct hostile_queue *queue)
{
	offer_one(queue, plain(queue));
	test_ring_set_avail_index(&queue->ring, UINT16_MAX);
}

static void head_outside_table(struct hostile_queue *queue)
{
	test_ring_offer(&queue->ring, queue->ring.size);
}

static void head_far_outside_table(struct hostile_queue *queue)
{
	test_ring_offer(&queue->ring, UINT16_MAX);
}

/* --- indirect tables --- */

static void indirect_with_next(struct hostile_queue *queue)
{
	offer_indirect(queue, plain(queue), DESCRIPTOR_BYTES, NEXT);
}

static void indirect_nested(struct hostile_queue *queue)
{
	struct test_descriptor entry = { .gpa = table_gpa(queue),
		                         .size_bytes = DESCRIPTOR_BYTES,
		                         .flags = INDIRECT };

	offer_indirect(queue, entry, DESCRIPTOR_BYTES, 0);
}

static void indirect_empty(struct hostile_queue *queue)
{
	offer_indirect(queue, plain(queue), 0, 0);
}

static void indirect_partial_entry(struct hostile_queue *queue)
{
	offer_indirect(queue, plain(queue), DESCRIPTOR_BYTES + 1, 0);
}

static void indirect_shorter_than_entry(struct hostile_queue *queue)
{
	offer_indirect(queue, plain(queue), DESCRIPTOR_BYTES - 1, 0);
}

static void indirect_too_long(struct hostile_queue *queue)
{
	offer_indirect(queue, plain(queue), DESCRIPTOR_BYTES * (queue->ring.size + 1U), 0);
}

static void indirect_longest(struct hostile_queue *queue)
{
	offer_indirect(queue, plain(queue), UINT32_MAX & ~(DESCRIPTOR_BYTES - 1U), 0);
}

static void indirect_table_outside(struct hostile_queue *queue)
{
	offer_one(queue, (struct test_descriptor){ .gpa = queue->outside_gpa,
	                                           .size_bytes = DESCRIPTOR_BYTES,
	                                           .flags = INDIRECT });
}

static void indirect_table_half_outside(struct hostile_queue *queue)
{
	offer_one(queue, (struct test_descriptor){ .gpa = queue->outside_gpa - DESCRIPTOR_BYTES,
	                                           .size_bytes = 2 * DESCRIPTOR_BYTES,
	                                           .flags = INDIRECT });
}

static void indirect_table_wraps(struct hostile_queue *queue)
{
	offer_one(queue, (struct test_descriptor){ .gpa = UINT64_MAX - 15,
	                                           .size_bytes = 2 * DESCRIPTOR_BYTES,
	                                           .flags = INDIRECT });
}

static void indirect_next_outside(struct hostile_queue *queue)
{
	struct test_descriptor entry = plain(queue);

	entry.flags = NEXT;
	entry.next = 1;
	offer_indirect(queue, entry, DESCRIPTOR_BYTES, 0);
}

static void indirect_loop(struct hostile_queue *queue)
{
	struct test_descriptor entry = plain(queue);

	entry.flags = NEXT;
	offer_indirect(queue, entry, DESCRIPTOR_BYTES, 0);
}

/* A chain of queue size, and an indirect entry behind it: one descriptor more than there may be. */
static void longer_than_queue(struct hostile_queue *queue)
{
	struct test_ring *ring = &queue->ring;

	for (unsigned int i = 0; i + 1U < ring->size; i++) {
		struct test_descriptor descriptor = plain(queue);

		descriptor.flags = NEXT;
		descriptor.next = (uint16_t)(i + 1);
		test_write_descriptor(ring->memory, ring->descriptor_gpa, i, descriptor);
		test_write_descriptor(ring->memory, table_gpa(queue), i, descriptor);
	}
	test_write_descriptor(ring->memory, ring->descriptor_gpa, ring->size - 1U,
	                      (struct test_descriptor){ .gpa = table_gpa(queue),
	                                                .size_bytes = DESCRIPTOR_BYTES * ring->size,
	                                                .flags = INDIRECT });
	test_write_descriptor(ring->memory, table_gpa(queue), ring->size - 1U, plain(queue));
	test_ring_offer(ring, 0);
}

/* --- odd, but within the rules --- */

static void zero_length(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.size_bytes = 0;
	offer_one(queue, descriptor);
}

static void zero_length_outside(struct hostile_queue *queue)
{
	offer_one(queue, (struct test_descriptor){ .gpa = queue->outside_gpa, .flags = WRITE });
}

static void indirect_marked_writable(struct hostile_queue *queue)
{
	offer_indirect(queue, plain(queue), DESCRIPTOR_BYTES, WRITE); /* 2.7.5.3.2: ignored */
}

static void unknown_flags(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.flags = 0xfff8;
	offer_one(queue, descriptor);
}

static void last_bytes_of_memory(struct hostile_queue *queue)
{
	struct test_descriptor descriptor = plain(queue);

	descriptor.gpa = queue->outside_gpa - descriptor.size_bytes;
	offer_one(queue, descriptor);
}

const struct hostile_chain hostile_chains[] = {
	{ "loop to itself", true, loop_to_itself },
	{ "loop of two", true, loop_of_two },
	{ "next outside the table", true, next_outside_table },
	{ "chain longer than the queue", true, longer_than_queue },
	{ "writable before readable", true, writable_before_readable },
	{ "address outside memory", true, address_outside },
	{ "writable address outside memory", true, writable_address_outside },
	{ "buffer's end outside memory", true, end_outside },
	{ "address wraps", true, address_wraps },
	{ "address wraps into memory", true, address_wraps_into_memory },
	{ "longest length", true, longest_length },
	{ "lengths overflow 32 bits", true, lengths_overflow },
	{ "available index jumps", true, index_jump },
	{ "available index goes back", true, index_backwards },
	{ "head outside the table", true, head_outside_table },
	{ "head far outside the table", true, head_far_outside_table },
	{ "indirect with next", true, indirect_with_next },
	{ "indirect in indirect", true, indirect_nested },
	{ "indirect table of no bytes", true, indirect_empty },
	{ "indirect table not a multiple of 16", true, indirect_partial_entry },
	{ "indirect table shorter than an entry", true, indirect_shorter_than_entry },
	{ "indirect table longer than the queue", true, indirect_too_long },
	{ "indirect table of 4 GiB", true, indirect_longest },
	{ "indirect table outside memory", true, indirect_table_outside },
	{ "indirect table half outside memory", true, indirect_table_half_outside },
	{ "indirect table wraps", true, indirect_table_wraps },
	{ "indirect next outside its table", true, indirect_next_outside },
	{ "indirect loop", true, indirect_loop },
	{ "zero length", false, zero_length },
	{ "zero length outside memory", false, zero_length_outside },
	{ "indirect marked writable", false, indirect_marked_writable },
	{ "unknown flags", false, unknown_flags },
	{ "last bytes of memory", false, last_bytes_of_memory },
};

const size_t hostile_chain_count = ARRAY_SIZE(hostile_chains);

unsigned int hostile_chains_run(const struct hostile_target *target)
{
	unsigned int wrong = 0;
	struct hostile_queue queue;

	for (size_t i = 0; i < hostile_chain_count; i++) {
		const struct hostile_chain *chain = &hostile_chains[i];

		target->restart(target->ctx, &queue);
		if (target->needs_reset(target->ctx)) {
			fprintf(stderr, "hostile chain '%s': the device did not come up\n",
			        chain->name);
			wrong++;
			continue;
		}
		chain->build(&queue);
		target->kick(target->ctx);
		if (target->needs_reset(target->ctx) == chain->is_broken)
			continue;
		fprintf(stderr, "hostile chain '%s': %s\n", chain->name,
		        chain->is_broken ? "not noticed" : "taken for a broken one");
		wrong++;
	}
	target->restart(target->ctx, &queue);
	return wrong + target->needs_reset(target->ctx);
}
