/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains that virtio-net popped and has not pushed yet.
 *
 * DOC: a queue keeps the segments of one chain alone, and only until the next pop; here are those
 * of many, one behind the other, so that neighbouring chains make one vector of segments without a
 * copy. Between two turns gpas are what counts: host addresses are found anew when guest memory
 * changed. A chain with more segments than could be taken is held without any, good for nothing but
 * being pushed.
 */
#include <assert.h>
#include <string.h>

#include "virtio_net_private.h"

/* Descriptors of a chain, and what borders of regions split of it (virtqueue.h). */
#define CHAIN_SEGMENTS_MAX (2 * NET_QUEUE_SIZE)

static void append(struct net_held *held, const struct virtq_chain *chain)
{
	const unsigned int first = held->writable ? chain->readable_count : 0;
	unsigned int count = held->writable ? chain->writable_count : chain->readable_count;
	struct virtq_chain *mine = &held->chains[held->count];

	if (count > NET_HELD_SEGMENTS_MAX - held->segment_count)
		count = 0;
	memcpy(&held->segments[held->segment_count], chain->segments + first,
	       count * sizeof(*chain->segments));
	memcpy(&held->segment_gpas[held->segment_count], chain->segment_gpas + first,
	       count * sizeof(*chain->segment_gpas));
	*mine = *chain;
	mine->segments = &held->segments[held->segment_count];
	mine->segment_gpas = &held->segment_gpas[held->segment_count];
	mine->readable_count = held->writable ? 0 : count;
	mine->writable_count = held->writable ? count : 0;
	mine->readable_bytes = held->writable || !count ? 0 : chain->readable_bytes;
	mine->writable_bytes = held->writable && count ? chain->writable_bytes : 0;
	mine->reader = mine->writer = (struct virtq_cursor){ 0 };
	held->done[held->count] = false;
	held->segment_count += count;
	held->generation = chain->generation;
	held->count++;
}

int net_held_fill(struct net_held *held, struct virtqueue *vq, unsigned int max)
{
	struct virtq_chain chain;

	while (held->count < max &&
	       held->segment_count <= NET_HELD_SEGMENTS_MAX - CHAIN_SEGMENTS_MAX) {
		int got = virtqueue_pop(vq, &chain);

		if (got <= 0)
			return got;
		append(held, &chain);
	}
	return 1;
}

int net_held_locate(struct net_held *held, const struct guest_memory *memory)
{
	uint64_t generation = gmem_generation(memory);

	if (!held->count || held->generation == generation)
		return 0;
	for (unsigned int i = 0; i < held->count; i++) {
		int ret = virtq_chain_locate(&held->chains[i]);

		if (ret)
			return ret;
	}
	held->generation = generation;
	return 0;
}

void net_held_push(struct net_held *held, struct virtqueue *vq, unsigned int index)
{
	assert(index < held->count && !held->done[index]);
	virtqueue_push(vq, &held->chains[index]);
	held->done[index] = true;
}

void net_held_compact(struct net_held *held)
{
	unsigned int kept = 0, segments = 0;

	for (unsigned int i = 0; i < held->count; i++) {
		struct virtq_chain *chain = &held->chains[i];
		const unsigned int count = chain->readable_count + chain->writable_count;

		if (held->done[i])
			continue;
		if (kept != i) {
			memmove(&held->segments[segments], chain->segments,
			        count * sizeof(*chain->segments));
			memmove(&held->segment_gpas[segments], chain->segment_gpas,
			        count * sizeof(*chain->segment_gpas));
			held->chains[kept] = *chain;
			held->chains[kept].segments = &held->segments[segments];
			held->chains[kept].segment_gpas = &held->segment_gpas[segments];
			held->done[kept] = false;
		}
		kept++;
		segments += count;
	}
	held->count = kept;
	held->segment_count = segments;
}

void net_held_forget(struct net_held *held)
{
	held->count = 0;
	held->segment_count = 0;
}

size_t net_held_bytes(const struct net_held *held, unsigned int index)
{
	const struct virtq_chain *chain = &held->chains[index];

	return held->writable ? chain->writable_bytes : chain->readable_bytes;
}

void net_held_poke(struct net_held *held, unsigned int index, size_t offset, const void *data,
                   size_t size_bytes)
{
	const struct iovec *segment = held->chains[index].segments;
	const uint8_t *bytes = data;

	assert(range_contains(0, held->chains[index].writable_bytes, offset, size_bytes));
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
