/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does anything to the PLIC's registers, and wires that go up and down. The room has
 * nothing of RISC-V's own headers, so it is compiled in here and fuzzed on any build host.
 */
#include <assert.h>
#include <stddef.h>

#include "../../arch/riscv/plic.c"

#define CONTEXTS 4
#define SOURCES  68
#define OP_BYTES 8 /* what and how wide, source or context, two bytes of place, four of value */

enum operation { OP_READ, OP_WRITE, OP_WIRE, OP_CLAIM, OP_COMPLETE, OP_RESET, OP_COUNT };

static void on_output(void *ctx, unsigned int context, bool level)
{
	bool *levels = ctx;

	assert(context < CONTEXTS && levels[context] != level);
	levels[context] = level;
}

/* Registers lie far apart: places are folded into the regions, and a little around them. */
static uint64_t place(const uint8_t *op)
{
	static const uint64_t regions[] = { 0,
		                            PENDING_OFFSET,
		                            ENABLE_OFFSET,
		                            CONTEXT_OFFSET,
		                            CONTEXT_OFFSET + CONTEXT_STRIDE,
		                            PLIC_BYTES - 0x100 };

	return regions[op[1] % ARRAY_SIZE(regions)] + load_le16(op + 2) % 0x100;
}

/* What holds whatever a guest does. */
static void check_state(struct plic *plic, const bool *levels)
{
	for (unsigned int source = 0; source < PLIC_SOURCES_MAX; source++) {
		bool there = source && source < SOURCES;

		assert(there || (!test(plic->pending, source) && !test(plic->claimed, source)));
		assert(plic->priorities[source] <= PRIORITY_MAX);
	}
	for (unsigned int i = 0; i < CONTEXTS; i++)
		assert(levels[i] ==
		       (best_source(plic, &plic->contexts[i], plic->contexts[i].threshold) != 0));
}

static void step(struct plic *plic, const uint8_t *op)
{
	unsigned int size_bytes = op[0] & 0x80 ? 1 + (op[0] >> 4 & 7) : 4;
	uint64_t claim_offset =
		CONTEXT_OFFSET + op[1] % (CONTEXTS + 1) * CONTEXT_STRIDE + CLAIM_OFFSET;
	uint8_t data[8] = { 0 };

	memcpy(data, op + 4, 4);
	switch (op[0] % 16 % OP_COUNT) {
	case OP_READ:
		plic_bus_ops.read(plic, place(op), data, size_bytes);
		break;
	case OP_WRITE:
		plic_bus_ops.write(plic, place(op), data, size_bytes);
		break;
	case OP_WIRE:
		plic_set_level(plic, op[1], op[2] & 1);
		break;
	case OP_CLAIM:
		plic_bus_ops.read(plic, claim_offset, data, 4);
		break;
	case OP_COMPLETE:
		plic_bus_ops.write(plic, claim_offset, data, 4);
		break;
	case OP_RESET:
		plic_reset(plic);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool levels[CONTEXTS] = { false };
	struct plic *plic;

	if (plic_create(CONTEXTS, SOURCES, on_output, levels, &plic))
		return 0;
	for (; size >= OP_BYTES; data += OP_BYTES, size -= OP_BYTES) {
		step(plic, data);
		check_state(plic, levels);
	}
	plic_destroy(plic);
	return 0;
}
