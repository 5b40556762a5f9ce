/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio driver that does what a fuzzer's bytes say. */
#include "fuzz_driver.h"

#include <string.h>

#include "ebb/bytes.h"

#define OPERATIONS_MAX  64
#define BUFFERS_MAX     8
#define SCRIBBLE_MAX    64
#define QUEUE_SIZE      16
#define GPA_STEP        8 /* what 16 bits reach: 512 KiB */
#define FEATURE_BITS    0x3fu
#define RING_FEATURES   (UINT64_C(3) << 28) /* indirect descriptors, event index */
#define OUTSIDE_EVERY_N 32

uint8_t fuzz_u8(struct fuzz_input *input)
{
	if (!input->left_bytes)
		return 0;
	input->left_bytes--;
	return *input->data++;
}

uint16_t fuzz_u16(struct fuzz_input *input)
{
	uint16_t low = fuzz_u8(input);

	return (uint16_t)(low | fuzz_u8(input) << 8);
}

uint32_t fuzz_u32(struct fuzz_input *input)
{
	uint32_t low = fuzz_u16(input);

	return low | (uint32_t)fuzz_u16(input) << 16;
}

/* Mostly in RAM, now and then anywhere. */
static gpa_t guest_address(struct fuzz_driver *fuzz, struct fuzz_input *input)
{
	uint16_t value = fuzz_u16(input);

	if (value % OUTSIDE_EVERY_N == OUTSIDE_EVERY_N - 1)
		return (gpa_t)fuzz_u32(input) << (value >> 8 & 31);
	return (gpa_t)value * GPA_STEP % fuzz->ram_bytes;
}

static void start(struct fuzz_driver *fuzz, struct fuzz_input *input)
{
	uint8_t features = fuzz_u8(input);
	unsigned int queues = 1 + fuzz_u8(input) % fuzz->queue_count;

	fake_driver_reset(&fuzz->driver);
	fake_driver_start(&fuzz->driver,
	                  (features & FEATURE_BITS) |
	                          ((uint64_t)(features >> 6) << 28 & RING_FEATURES),
	                  queues, QUEUE_SIZE);
}

static void add_chain(struct fuzz_driver *fuzz, struct fuzz_input *input, unsigned int queue_index)
{
	struct fake_driver_buffer buffers[BUFFERS_MAX];
	unsigned int count = 1 + fuzz_u8(input) % BUFFERS_MAX;

	if (!fuzz->driver.queues[queue_index].size)
		return;
	for (unsigned int i = 0; i < count; i++) {
		uint8_t shape = fuzz_u8(input);

		buffers[i].gpa = guest_address(fuzz, input);
		buffers[i].writable = shape & 1;
		buffers[i].size_bytes = shape & 2 ? fuzz_u32(input) : fuzz_u8(input);
	}
	fake_driver_add(&fuzz->driver, queue_index, buffers, count);
}

static void scribble(struct fuzz_driver *fuzz, struct fuzz_input *input, gpa_t gpa)
{
	uint8_t bytes[SCRIBBLE_MAX];
	size_t size_bytes = 1 + fuzz_u8(input) % SCRIBBLE_MAX;

	for (size_t i = 0; i < size_bytes; i++)
		bytes[i] = fuzz_u8(input);
	/* Outside there is nothing to scribble on. */
	(void)!gmem_write(fuzz->driver.vm->memory, gpa, bytes, size_bytes);
}

static void write_config(struct fuzz_driver *fuzz, struct fuzz_input *input)
{
	uint8_t bytes[8], shape = fuzz_u8(input);

	store_le32(bytes, fuzz_u32(input));
	store_le32(bytes + 4, fuzz_u32(input));
	virtio_config_write(fuzz->driver.vdev, shape & 31, bytes, (size_t)1 << (shape >> 6));
	virtio_config_read(fuzz->driver.vdev, shape & 31, bytes, (size_t)1 << (shape >> 6));
}

static void operate(struct fuzz_driver *fuzz, struct fuzz_input *input)
{
	uint8_t operation = fuzz_u8(input);
	unsigned int queue_index = (operation >> 4) % fuzz->queue_count;

	switch (operation % 8) {
	case 0:
		start(fuzz, input);
		break;
	case 1:
		add_chain(fuzz, input, queue_index);
		break;
	case 2:
		add_chain(fuzz, input, queue_index);
		fake_driver_kick(&fuzz->driver, queue_index);
		break;
	case 3:
		scribble(fuzz, input, guest_address(fuzz, input));
		break;
	case 4:
		scribble(fuzz, input,
		         fake_driver_descriptors(&fuzz->driver, queue_index) +
		                 (gpa_t)(fuzz_u8(input) % 32) * 16);
		break;
	case 5:
		scribble(fuzz, input,
		         fake_driver_avail(&fuzz->driver, queue_index) + fuzz_u8(input) % 64);
		fake_driver_kick(&fuzz->driver, queue_index);
		break;
	case 6:
		write_config(fuzz, input);
		break;
	default:
		if (fuzz->event)
			fuzz->event(fuzz->ctx, input);
		fake_driver_kick(&fuzz->driver, queue_index);
	}
}

struct fuzz_driver fuzz_driver_of(const struct fake_driver *driver, uint64_t ram_bytes,
                                  unsigned int queue_count, fuzz_event_fn event, void *ctx)
{
	return (struct fuzz_driver){ *driver, ram_bytes, queue_count, event, ctx };
}

void fuzz_driver_run(struct fuzz_driver *fuzz, const uint8_t *data, size_t size_bytes)
{
	struct fuzz_input input = { data, size_bytes };

	memset(fuzz->driver.queues, 0, sizeof(fuzz->driver.queues));
	start(fuzz, &input);
	for (unsigned int i = 0; i < OPERATIONS_MAX && input.left_bytes; i++)
		operate(fuzz, &input);
	fake_driver_reset(&fuzz->driver);
}
