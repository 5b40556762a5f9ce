/* SPDX-License-Identifier: Apache-2.0 */
/* The SBI's consoles: legacy putchar and getchar (5.2, 5.3), DBCN (12). */
#include "sbi.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "ebb/console.h"
#include "ebb/event_loop.h"
#include "ebb/guest_memory.h"

#define PIECE_BYTES 1024
#define INPUT_BYTES 64

/* Who polled this lately waits for input: what is typed goes to it, if no device takes it. */
#define POLLING_NS NS_PER_S

#define LEGACY_NO_CHARACTER ((uint64_t)-1)

struct sbi {
	struct guest_memory *memory;
	struct console *console;
	pthread_mutex_t lock;
	/* Under lock: */
	uint8_t input[INPUT_BYTES];
	size_t input_first, input_count;
	int64_t polled_ns; /* when the guest last found nothing; 0: never */
	bool owes_ready;   /* the console was told that there is no room */
};

/* --- input --- */

static size_t input_room(void *ctx)
{
	struct sbi *sbi = ctx;
	bool polls;

	pthread_mutex_lock(&sbi->lock);
	polls = !sbi->input_count && sbi->polled_ns && monotonic_ns() - sbi->polled_ns < POLLING_NS;
	sbi->owes_ready = !polls;
	pthread_mutex_unlock(&sbi->lock);
	return polls ? INPUT_BYTES : 0;
}

static void input_arrived(void *ctx, const void *data, size_t size_bytes)
{
	struct sbi *sbi = ctx;
	const uint8_t *bytes = data;

	pthread_mutex_lock(&sbi->lock);
	for (size_t i = 0; i < size_bytes && sbi->input_count < INPUT_BYTES; i++)
		sbi->input[(sbi->input_first + sbi->input_count++) % INPUT_BYTES] = bytes[i];
	pthread_mutex_unlock(&sbi->lock);
}

static const struct console_input_ops input_ops = {
	.room = input_room,
	.input = input_arrived,
};

/* Returns how many bytes there were. */
static size_t take_input(struct sbi *sbi, uint8_t *bytes, size_t max)
{
	bool ready;
	size_t count = 0;

	pthread_mutex_lock(&sbi->lock);
	for (; count < max && sbi->input_count; count++) {
		bytes[count] = sbi->input[sbi->input_first];
		sbi->input_first = (sbi->input_first + 1) % INPUT_BYTES;
		sbi->input_count--;
	}
	if (!sbi->input_count)
		sbi->polled_ns = monotonic_ns();
	ready = !sbi->input_count && sbi->owes_ready;
	if (ready)
		sbi->owes_ready = false;
	pthread_mutex_unlock(&sbi->lock);
	if (ready)
		console_input_ready(sbi->console);
	return count;
}

int sbi_create(struct guest_memory *memory, struct console *console, struct sbi **ret_sbi)
{
	struct sbi *sbi = calloc(1, sizeof(*sbi));

	if (!sbi)
		return -ENOMEM;
	sbi->memory = memory;
	sbi->console = console;
	pthread_mutex_init(&sbi->lock, NULL);
	console_attach_polled(console, &input_ops, sbi);
	*ret_sbi = sbi;
	return 0;
}

void sbi_destroy(struct sbi *sbi)
{
	if (!sbi)
		return;
	console_attach_polled(sbi->console, NULL, NULL);
	pthread_mutex_destroy(&sbi->lock);
	free(sbi);
}

void sbi_reset(struct sbi *sbi)
{
	pthread_mutex_lock(&sbi->lock);
	sbi->input_count = 0;
	sbi->polled_ns = 0;
	pthread_mutex_unlock(&sbi->lock);
}

/* --- calls --- */

/* Whether a buffer lies in RAM. It stays there: RAM does not go away while a hart runs. */
static bool is_in_ram(struct sbi *sbi, gpa_t gpa, uint64_t size_bytes)
{
	bool found;

	gmem_lock_shared(sbi->memory);
	found = gmem_span(sbi->memory, gpa, size_bytes);
	gmem_unlock_shared(sbi->memory);
	return found;
}

static struct sbi_result success(uint64_t value)
{
	return (struct sbi_result){ .error = SBI_SUCCESS, .value = value };
}

static struct sbi_result failure(uint64_t error)
{
	return (struct sbi_result){ .error = error };
}

static struct sbi_result write_buffer(struct sbi *sbi, gpa_t gpa, uint64_t size_bytes)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t done = 0;

	while (done < size_bytes) {
		size_t bytes = (size_t)min_u64(size_bytes - done, sizeof(piece));

		if (gmem_read(sbi->memory, gpa + done, piece, bytes))
			break;
		console_write(sbi->console, piece, bytes);
		done += bytes;
	}
	return success(done);
}

static struct sbi_result read_buffer(struct sbi *sbi, gpa_t gpa, uint64_t size_bytes)
{
	uint8_t bytes[INPUT_BYTES];
	size_t count = take_input(sbi, bytes, (size_t)min_u64(size_bytes, sizeof(bytes)));

	if (count && gmem_write(sbi->memory, gpa, bytes, count))
		return failure(SBI_ERR_INVALID_PARAM);
	return success(count);
}

static struct sbi_result write_byte(struct sbi *sbi, uint64_t value)
{
	uint8_t byte = (uint8_t)value;

	console_write(sbi->console, &byte, 1);
	return success(0);
}

static struct sbi_result debug_console(struct sbi *sbi, const struct sbi_call *call)
{
	uint64_t size_bytes = call->args[0];
	gpa_t gpa = call->args[1];

	if (call->function == SBI_DBCN_WRITE_BYTE)
		return write_byte(sbi, call->args[0]);
	if (call->function != SBI_DBCN_WRITE && call->function != SBI_DBCN_READ)
		return failure(SBI_ERR_NOT_SUPPORTED);
	if (!size_bytes)
		return success(0);
	/* args[2]: the address's upper half, of a machine with 128 bits. */
	if (call->args[2] || !is_in_ram(sbi, gpa, size_bytes))
		return failure(SBI_ERR_INVALID_PARAM);
	size_bytes = min_u64(size_bytes, SBI_DBCN_BYTES_MAX);
	return call->function == SBI_DBCN_WRITE ? write_buffer(sbi, gpa, size_bytes)
	                                        : read_buffer(sbi, gpa, size_bytes);
}

/* A legacy call has one result, in a0. */
static struct sbi_result legacy_getchar(struct sbi *sbi)
{
	uint8_t byte;

	return failure(take_input(sbi, &byte, 1) ? byte : LEGACY_NO_CHARACTER);
}

struct sbi_result sbi_handle(struct sbi *sbi, const struct sbi_call *call)
{
	switch (call->extension) {
	case SBI_EXT_LEGACY_PUTCHAR:
		return write_byte(sbi, call->args[0]);
	case SBI_EXT_LEGACY_GETCHAR:
		return legacy_getchar(sbi);
	case SBI_EXT_DBCN:
		return debug_console(sbi, call);
	default:
		return failure(SBI_ERR_NOT_SUPPORTED);
	}
}
