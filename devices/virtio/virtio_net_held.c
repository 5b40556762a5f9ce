/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains that virtio-net popped and has not pushed yet.
 *
 * DOC: a queue keeps the segments of one chain alone, and only until the next pop; here are those
 * of many, one behind the other, so that neighbouring chains make one vector of segments without a
 * copy. Between two turns gpas are what counts: host addresses are found anew when guest memory
 * changed. A chain with more segments than could be taken is held without any, good for nothing but
 * being pushed.
 *
 *	 first                     first + count
 *	   | pushed | left | pushed | left ... untouched |        room          |
 *	            `----- moved up to what is untouched
 *
 * Pushing leaves gaps in front, as frames use parts of the rooms that they got; compacting moves
 * what is left there up, not the rest down, so that it costs what was touched. All moves to the
 * front when the end is reached, which is as far away as all that can be held.
 */
#include <assert.h>
#include <string.h>

#include "virtio_net_private.h"

/* Descriptors of a chain, and what borders of regions split of it (virtqueue.h). */
#define CHAIN_SEGMENTS_MAX (2 * NET_QUEUE_SIZE)

static struct net_held_chain *chain_at(struct net_held *held, unsigned int index)
{
	assert(index < held->count);
	return &held->chains[held->first + index];
}

/* As virtqueue.c knows it. */
static struct virtq_chain as_popped(struct net_held *held, const struct net_held_chain *chain)
{
	struct virtq_chain popped = {
		.head_index = chain->head_index,
		.segments = &held->segments[chain->segment_first],
		.segment_gpas = &held->segment_gpas[chain->segment_first],
		.generation = held->generation,
		.memory = held->memory,
	};

	*(held->writable ? &popped.writable_count : &popped.readable_count) = chain->segment_count;
	*(held->writable ? &popped.writable_bytes : &popped.readable_bytes) = chain->bytes;
	return popped;
}

static void move_segments(struct net_held *held, unsigned int to, unsigned int from,
                          unsigned int count)
{
	memmove(&held->segments[to], &held->segments[from], count * sizeof(held->segments[0]));
	memmove(&held->segment_gpas[to], &held->segment_gpas[from],
	        count * sizeof(held->segment_gpas[0]));
}

static void move_to_front(struct net_held *held)
{
	const unsigned int segment_first =
		held->count ? chain_at(held, 0)->segment_first : held->segment_end;

	move_segments(held, 0, segment_first, held->segment_end - segment_first);
	memmove(&held->chains[0], &held->chains[held->first],
	        held->count * sizeof(held->chains[0]));
	held->first = 0;
	held->segment_end -= segment_first;
	for (unsigned int i = 0; i < held->count; i++)
		held->chains[i].segment_first -= segment_first;
}

static void append(struct net_held *held, const struct virtq_chain *popped)
{
	const unsigned int first = held->writable ? popped->readable_count : 0;
	unsigned int count = held->writable ? popped->writable_count : popped->readable_count;
	struct net_held_chain *chain = &held->chains[held->first + held->count];

	*chain = (struct net_held_chain){
		.head_index = popped->head_index,
		.segment_first = held->segment_end,
		.bytes = held->writable ? popped->writable_bytes : popped->readable_bytes,
	};
	if (count > NET_HELD_SEGMENTS_MAX - held->segment_end)
		count = chain->bytes = 0;
	memcpy(&held->segments[held->segment_end], popped->segments + first,
	       count * sizeof(held->segments[0]));
	memcpy(&held->segment_gpas[held->segment_end], popped->segment_gpas + first,
	       count * sizeof(held->segment_gpas[0]));
	chain->segment_count = (uint16_t)count;
	held->segment_end += count;
	held->generation = popped->generation;
	held->memory = popped->memory;
	held->count++;
}

/* Whether another chain finds room, of segments too. */
static bool has_place(struct net_held *held)
{
	if (held->first + held->count == ARRAY_SIZE(held->chains) ||
	    held->segment_end > NET_HELD_SEGMENTS_MAX - CHAIN_SEGMENTS_MAX)
		move_to_front(held);
	return held->segment_end <= NET_HELD_SEGMENTS_MAX - CHAIN_SEGMENTS_MAX;
}

int net_held_fill(struct net_held *held, struct virtqueue *vq, unsigned int max)
{
	struct virtq_chain popped;

	assert(max <= NET_HELD_MAX);
	while (held->count < max && has_place(held)) {
		int got = virtqueue_pop(vq, &popped);

		if (got <= 0)
			return got;
		append(held, &popped);
	}
	return 1;
}

int net_held_locate(struct net_held *held, const struct guest_memory *memory)
{
	uint64_t generation = gmem_generation(memory);

	if (!held->count || held->generation == generation)
		return 0;
	for (unsigned int i = 0; i < held->count; i++) {
		struct virtq_chain popped = as_popped(held, chain_at(held, i));
		int ret = virtq_chain_locate(&popped);

		if (ret)
			return ret;
	}
	held->generation = generation;
	return 0;
}

void net_held_push(struct net_held *held, struct virtqueue *vq, unsigned int index,
                   size_t written_bytes)
{
	struct net_held_chain *chain = chain_at(held, index);
	struct virtq_chain popped = as_popped(held, chain);

	assert(!chain->done);
	if (written_bytes)
		virtq_chain_note_written(&popped, written_bytes);
	virtqueue_push(vq, &popped);
	chain->done = true;
	if (held->touched <= index)
		held->touched = index + 1;
}

void net_held_compact(struct net_held *held)
{
	const unsigned int touched = held->touched;
	unsigned int to = held->first + touched, kept = 0, segment_to;

	if (!touched)
		return;
	segment_to =
		touched < held->count ? chain_at(held, touched)->segment_first : held->segment_end;
	for (unsigned int i = touched; i-- > 0;) {
		struct net_held_chain chain = *chain_at(held, i);

		if (chain.done)
			continue;
		segment_to -= chain.segment_count;
		move_segments(held, segment_to, chain.segment_first, chain.segment_count);
		chain.segment_first = segment_to;
		held->chains[--to] = chain;
		kept++;
	}
	held->first = to;
	held->count -= touched - kept;
	held->touched = 0;
	if (!held->count)
		net_held_forget(held);
}

void net_held_forget(struct net_held *held)
{
	held->first = held->count = held->touched = held->segment_end = 0;
}

size_t net_held_bytes(struct net_held *held, unsigned int index)
{
	return chain_at(held, index)->bytes;
}

struct iovec *net_held_segments(struct net_held *held, unsigned int index, unsigned int *ret_count)
{
	*ret_count = chain_at(held, index)->segment_count;
	return &held->segments[chain_at(held, index)->segment_first];
}

void net_held_poke(struct net_held *held, unsigned int index, size_t offset, const void *data,
                   size_t size_bytes)
{
	const struct net_held_chain *chain = chain_at(held, index);
	const struct iovec *segment = &held->segments[chain->segment_first];
	const uint8_t *bytes = data;

	assert(held->writable && range_contains(0, chain->bytes, offset, size_bytes));
	for (; size_bytes; segment++) {
		size_t part_bytes;

		if (offset >= segment->iov_len) {
			offset -= segment->iov_len;
			continue;
		}
		part_bytes = min_u64(size_bytes, segment->iov_len - offset);
		memcpy((uint8_t *)segment->iov_base + offset, bytes, part_bytes);
		bytes += part_bytes;
		size_bytes -= part_bytes;
		offset = 0;
	}
}
