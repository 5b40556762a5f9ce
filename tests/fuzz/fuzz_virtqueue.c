/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue whose driver writes anything anywhere, between any calls of its device, while memory
 * comes and goes.
 *
 * Input: a byte of ring features and size, then operations of a byte and their arguments. Checked
 * beside the sanitizers: what a chain says of itself adds up, its segments are guest memory, and a
 * broken queue stays broken.
 */
/* fakes: test_driver */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "test_driver.h"

#define LOW_BYTES  (64 * KIB)
#define HIGH_BYTES (16 * KIB) /* right behind */
#define CHAINS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct input {
	const uint8_t *data;
	size_t left_bytes;
};

static uint64_t take(struct input *input, size_t size_bytes)
{
	uint64_t value = 0;
	size_t got_bytes = min_u64(size_bytes, input->left_bytes);

	memcpy(&value, input->data, got_bytes);
	input->data += got_bytes;
	input->left_bytes -= got_bytes;
	return value;
}

struct target {
	struct guest_memory *memory;
	struct virtqueue *vq;
	struct virtqueue_config config;
	struct virtq_chain chains[CHAINS_MAX]; /* popped, not pushed */
	unsigned int chain_count;
	bool broken, high_there;
};

static void check_chain(struct target *target, const struct virtq_chain *chain)
{
	size_t totals[2] = { 0, 0 };

	assert(chain->head_index < target->config.size);
	for (unsigned int i = 0; i < chain->readable_count + chain->writable_count; i++) {
		const struct iovec *segment = &chain->segments[i];

		assert(gmem_span(target->memory, chain->segment_gpas[i], segment->iov_len) ==
		       segment->iov_base);
		totals[i >= chain->readable_count] += segment->iov_len;
	}
	assert(totals[0] == chain->readable_bytes && totals[1] == chain->writable_bytes);
}

static void use_chain(struct virtq_chain *chain, struct input *input)
{
	uint8_t buffer[256] = { 0 };
	size_t read_bytes = take(input, 1), write_bytes = take(input, 1);
	size_t readable = virtq_chain_readable_bytes(chain);
	size_t writable = virtq_chain_writable_bytes(chain);

	assert(virtq_chain_read(chain, buffer, read_bytes) ==
	       (read_bytes <= readable ? 0 : -EMSGSIZE));
	assert(virtq_chain_write(chain, buffer, write_bytes) ==
	       (write_bytes <= writable ? 0 : -EMSGSIZE));
	virtq_chain_note_written(chain, virtq_chain_writable_bytes(chain) / 2);
}

static void pop(struct target *target, struct input *input)
{
	struct virtq_chain chain;
	int got = virtqueue_pop(target->vq, &chain);

	assert(got == 1 || got == 0 || got == -EPROTO);
	assert(!target->broken || got == -EPROTO);
	target->broken = got < 0;
	if (got <= 0)
		return;
	check_chain(target, &chain);
	use_chain(&chain, input);
	assert(target->chain_count < CHAINS_MAX); /* never more than its size */
	target->chains[target->chain_count++] = chain;
}

static void push(struct target *target, struct input *input)
{
	unsigned int index = (unsigned int)take(input, 1);

	if (!target->chain_count)
		return;
	index %= target->chain_count;
	virtqueue_push(target->vq, &target->chains[index]);
	target->chains[index] = target->chains[--target->chain_count];
}

static void scribble(struct target *target, struct input *input)
{
	gpa_t gpa = take(input, 2);
	uint64_t value;
	size_t size_bytes = take(input, 1) % 8 + 1;

	value = take(input, size_bytes);
	(void)!gmem_write(target->memory, gpa, &value, size_bytes);
}

static void write_descriptor(struct target *target, struct input *input)
{
	unsigned int index = (unsigned int)take(input, 1);
	struct test_descriptor descriptor = {
		.gpa = take(input, 3),
		.size_bytes = (uint32_t)take(input, 2),
		.flags = (uint16_t)take(input, 1),
		.next = (uint16_t)take(input, 1),
	};

	if (index & 0x80)
		descriptor.gpa |= take(input, 4) << 32;
	test_write_descriptor(target->memory, target->config.descriptor_gpa, index & 0x7f,
	                      descriptor);
}

static void restart(struct target *target)
{
	target->chain_count = 0;
	target->broken = false;
	virtqueue_disable(target->vq);
	gmem_unlock_shared(target->memory);
	(void)!virtqueue_enable(target->vq, &target->config);
	gmem_lock_shared(target->memory);
}

/* Chains that are out lose their segments with the memory; their heads may still be pushed. */
static void change_memory(struct target *target)
{
	gmem_unlock_shared(target->memory);
	if (target->high_there)
		(void)!gmem_remove_region(target->memory, LOW_BYTES);
	else
		(void)!gmem_add_region(target->memory, LOW_BYTES, HIGH_BYTES, false, NULL);
	target->high_there = !target->high_there;
	gmem_lock_shared(target->memory);
}

static void step(struct target *target, struct input *input)
{
	switch (take(input, 1) % 12) {
	case 0:
	case 1:
		pop(target, input);
		break;
	case 2:
		push(target, input);
		break;
	case 3:
		virtqueue_flush(target->vq);
		break;
	case 4:
		virtqueue_should_notify(target->vq);
		break;
	case 5:
		virtqueue_enable_notification(target->vq);
		break;
	case 6:
		virtqueue_disable_notification(target->vq);
		break;
	case 7:
	case 8:
		scribble(target, input);
		break;
	case 9:
		write_descriptor(target, input);
		break;
	case 10:
		restart(target);
		break;
	case 11:
		change_memory(target);
		break;
	}
}

/* The rings low in memory, or right at its end. */
static void configure(struct target *target, struct input *input)
{
	uint8_t choice = (uint8_t)take(input, 1);
	struct test_ring ring;

	test_ring_init(&ring, target->memory, 0, (uint16_t)(1U << (choice & 7) % 7));
	target->config = test_ring_config(&ring, choice & 8, choice & 16);
	if (choice & 32)
		target->config.device_gpa =
			LOW_BYTES + HIGH_BYTES - 4 - 8ULL * ring.size - (choice & 16 ? 4 : 0);
	restart(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct input input = { data, size_bytes };
	struct target target = { .high_there = true };
	int failed = guest_memory_create(&target.memory, NULL) ||
	             gmem_add_region(target.memory, 0, LOW_BYTES, false, NULL) ||
	             gmem_add_region(target.memory, LOW_BYTES, HIGH_BYTES, false, NULL) ||
	             virtqueue_create(target.memory, CHAINS_MAX, &target.vq);

	assert(!failed);
	(void)failed;
	gmem_lock_shared(target.memory);
	configure(&target, &input);
	while (input.left_bytes)
		step(&target, &input);
	gmem_unlock_shared(target.memory);
	virtqueue_destroy(target.vq);
	guest_memory_destroy(target.memory);
	return 0;
}
