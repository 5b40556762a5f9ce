/* SPDX-License-Identifier: Apache-2.0 */
/* The PLIC. */
/*
 * DOC: PLIC
 *
 *	wire --> gateway --> pending --(enabled, priority > threshold)--> context's line
 *	            ^                          |
 *	            +------ complete <-- claim-+
 *
 * A gateway turns a high wire into one request, and no other until that is completed; it cannot
 * take a request back, so a short pulse is not lost. A completion of a source whose wire is still
 * high is a request anew. A claim takes the pending source of the highest priority, of several the
 * one with the lowest number, whatever the threshold; a completion counts only for a source that is
 * enabled in that context.
 *
 *	0x000000 + 4 * source            priority, 0 to 7: 0 never interrupts
 *	0x001000                         pending bits, read-only
 *	0x002000 + 0x80 * context        enable bits
 *	0x200000 + 0x1000 * context      threshold; 4 behind it: claim (read), complete (write)
 *
 * Everything else reads as 0 and ignores writes.
 *
 * RISC-V Platform-Level Interrupt Controller Specification 1.0.0.
 */
#include "plic.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/bytes.h"

#define PENDING_OFFSET UINT64_C(0x1000)
#define ENABLE_OFFSET  UINT64_C(0x2000)
#define ENABLE_STRIDE  UINT64_C(0x80)
#define CONTEXT_OFFSET UINT64_C(0x200000)
#define CONTEXT_STRIDE UINT64_C(0x1000)
#define CLAIM_OFFSET   4
#define PRIORITY_MAX   7
#define WORDS          (PLIC_SOURCES_MAX / 32)

struct plic_context { /* guest-controlled, but for level */
	uint32_t enabled[WORDS];
	uint32_t threshold;
	bool level;
};

struct plic {
	plic_output_fn output;
	void *output_ctx;
	unsigned int context_count, source_count;
	pthread_mutex_t lock;
	/* Under lock: */
	uint32_t wires[WORDS], pending[WORDS], claimed[WORDS];
	uint8_t priorities[PLIC_SOURCES_MAX]; /* guest-controlled */
	struct plic_context contexts[PLIC_CONTEXTS_MAX];
};

int plic_create(unsigned int context_count, unsigned int source_count, plic_output_fn output,
                void *output_ctx, struct plic **ret_plic)
{
	struct plic *plic;

	if (context_count > PLIC_CONTEXTS_MAX || source_count > PLIC_SOURCES_MAX)
		return -EINVAL;
	plic = calloc(1, sizeof(*plic));
	if (!plic)
		return -ENOMEM;
	plic->output = output;
	plic->output_ctx = output_ctx;
	plic->context_count = context_count;
	plic->source_count = source_count;
	pthread_mutex_init(&plic->lock, NULL);
	*ret_plic = plic;
	return 0;
}

void plic_destroy(struct plic *plic)
{
	if (!plic)
		return;
	pthread_mutex_destroy(&plic->lock);
	free(plic);
}

/* --- all below: lock held --- */

static bool test(const uint32_t *words, unsigned int source)
{
	return words[source / 32] >> (source % 32) & 1;
}

static void change(uint32_t *words, unsigned int source, bool value)
{
	uint32_t bit = UINT32_C(1) << (source % 32);

	words[source / 32] = value ? words[source / 32] | bit : words[source / 32] & ~bit;
}

/* What a claim would return; 0: none. Its priority is above `above`. */
static unsigned int best_source(const struct plic *plic, const struct plic_context *context,
                                uint32_t above)
{
	unsigned int best = 0;

	for (unsigned int word = 0; word < WORDS; word++) {
		uint32_t bits = plic->pending[word] & context->enabled[word];

		for (; bits; bits &= bits - 1) {
			unsigned int source = word * 32 + (unsigned int)__builtin_ctz(bits);

			if (plic->priorities[source] > above) {
				above = plic->priorities[source];
				best = source;
			}
		}
	}
	return best;
}

static void update_outputs(struct plic *plic)
{
	for (unsigned int i = 0; i < plic->context_count; i++) {
		struct plic_context *context = &plic->contexts[i];
		bool level = best_source(plic, context, context->threshold);

		if (level == context->level)
			continue;
		context->level = level;
		plic->output(plic->output_ctx, i, level);
	}
}

static void open_gateway(struct plic *plic, unsigned int source)
{
	if (test(plic->wires, source) && !test(plic->claimed, source))
		change(plic->pending, source, true);
}

static uint32_t claim(struct plic *plic, struct plic_context *context)
{
	unsigned int source = best_source(plic, context, 0);

	if (source) {
		change(plic->pending, source, false);
		change(plic->claimed, source, true);
	}
	return source;
}

static void complete(struct plic *plic, struct plic_context *context, uint32_t source)
{
	if (source >= plic->source_count || !test(context->enabled, source))
		return;
	change(plic->claimed, source, false);
	open_gateway(plic, source);
}

/* A word of bits that only has those of sources that are there. */
static uint32_t source_mask(const struct plic *plic, unsigned int word)
{
	uint32_t mask = 0;

	for (unsigned int bit = 0; bit < 32; bit++) {
		unsigned int source = word * 32 + bit;

		if (source && source < plic->source_count)
			mask |= UINT32_C(1) << bit;
	}
	return mask;
}

static uint32_t read_context(struct plic *plic, unsigned int index, uint64_t reg)
{
	if (index >= plic->context_count)
		return 0;
	if (!reg)
		return plic->contexts[index].threshold;
	return reg == CLAIM_OFFSET ? claim(plic, &plic->contexts[index]) : 0;
}

static uint32_t read_register(struct plic *plic, uint64_t offset)
{
	uint64_t index;

	if (offset >= CONTEXT_OFFSET) {
		offset -= CONTEXT_OFFSET;
		return read_context(plic, (unsigned int)(offset / CONTEXT_STRIDE),
		                    offset % CONTEXT_STRIDE);
	}
	if (offset >= ENABLE_OFFSET) {
		index = (offset - ENABLE_OFFSET) / ENABLE_STRIDE;
		offset = (offset - ENABLE_OFFSET) % ENABLE_STRIDE / 4;
		return index < plic->context_count && offset < WORDS
		               ? plic->contexts[index].enabled[offset]
		               : 0;
	}
	if (offset >= PENDING_OFFSET) {
		index = (offset - PENDING_OFFSET) / 4;
		return index < WORDS ? plic->pending[index] : 0;
	}
	return offset / 4 < plic->source_count ? plic->priorities[offset / 4] : 0;
}

static void write_context(struct plic *plic, unsigned int index, uint64_t reg, uint32_t value)
{
	if (index >= plic->context_count)
		return;
	if (!reg)
		plic->contexts[index].threshold = value & PRIORITY_MAX;
	else if (reg == CLAIM_OFFSET)
		complete(plic, &plic->contexts[index], value);
}

static void write_register(struct plic *plic, uint64_t offset, uint32_t value)
{
	uint64_t index;

	if (offset >= CONTEXT_OFFSET) {
		offset -= CONTEXT_OFFSET;
		write_context(plic, (unsigned int)(offset / CONTEXT_STRIDE),
		              offset % CONTEXT_STRIDE, value);
	} else if (offset >= ENABLE_OFFSET) {
		index = (offset - ENABLE_OFFSET) / ENABLE_STRIDE;
		offset = (offset - ENABLE_OFFSET) % ENABLE_STRIDE / 4;
		if (index < plic->context_count && offset < WORDS)
			plic->contexts[index].enabled[offset] =
				value & source_mask(plic, (unsigned int)offset);
	} else if (offset < PENDING_OFFSET) {
		index = offset / 4;
		if (index && index < plic->source_count)
			plic->priorities[index] = value & PRIORITY_MAX;
	}
}

/* --- from outside --- */

static bool is_register(uint64_t offset, unsigned int size_bytes)
{
	return size_bytes == 4 && is_aligned(offset, 4);
}

static void plic_read(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	struct plic *plic = ctx;

	memset(data, 0, size_bytes);
	if (!is_register(offset, size_bytes))
		return;
	pthread_mutex_lock(&plic->lock);
	store_le32(data, read_register(plic, offset));
	update_outputs(plic);
	pthread_mutex_unlock(&plic->lock);
}

static void plic_write(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	struct plic *plic = ctx;

	if (!is_register(offset, size_bytes))
		return;
	pthread_mutex_lock(&plic->lock);
	write_register(plic, offset, load_le32(data));
	update_outputs(plic);
	pthread_mutex_unlock(&plic->lock);
}

const struct bus_ops plic_bus_ops = { .read = plic_read, .write = plic_write };

void plic_set_level(struct plic *plic, unsigned int source, bool level)
{
	if (!source || source >= plic->source_count)
		return;
	pthread_mutex_lock(&plic->lock);
	change(plic->wires, source, level);
	open_gateway(plic, source);
	update_outputs(plic);
	pthread_mutex_unlock(&plic->lock);
}

void plic_reset(struct plic *plic)
{
	pthread_mutex_lock(&plic->lock);
	memset(plic->pending, 0, sizeof(plic->pending));
	memset(plic->claimed, 0, sizeof(plic->claimed));
	memset(plic->priorities, 0, sizeof(plic->priorities));
	for (unsigned int i = 0; i < plic->context_count; i++) {
		memset(plic->contexts[i].enabled, 0, sizeof(plic->contexts[i].enabled));
		plic->contexts[i].threshold = 0;
	}
	for (unsigned int source = 1; source < plic->source_count; source++)
		open_gateway(plic, source);
	update_outputs(plic);
	pthread_mutex_unlock(&plic->lock);
}
