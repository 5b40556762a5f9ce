/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocates, fills, looks and frees, all the time: churn MIB FILE, until FILE is there; or churn
 * MIB TOTAL_MIB SEED, the same work each time, until TOTAL_MIB have been filled. Runs in the guest.
 */

/*
 * DOC: what is filled and looked at
 *
 * Up to 64 pieces of 64 KiB to 16 MiB, MIB at most together. A turn takes one of the 64 places by a
 * pseudo-random sequence (the same for the same SEED): looks at the piece there and unmaps it, then
 * maps and fills another one, unless that would be more than MIB. What runs out of memory frees and
 * goes on.
 *
 * Of each page three words are written, and read again before the piece is let go of: the first,
 * the last, and one between them whose place moves from page to page. Memory that is wrongly given
 * to the host comes back as zeros, or as another page, from one end of a page to the other or,
 * where a length is wrong, from some place to an end: the ends show both. What is written into a
 * guest's page by mistake can lie anywhere, which the third word finds by and by. All words would
 * find it at once, but make the processor's arithmetic the thing that is measured.
 *
 * The result of the second form, everything still held having been looked at too; status 1 where a
 * word is wrong: bench: result churn seconds=2.345 mib=2048 turns=255 wrong=0
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PIECES    64
#define UNIT      ((size_t)65536)
#define UNITS_MAX 256
#define PAGE      4096
#define WORDS     (PAGE / sizeof(uint64_t))

struct piece {
	unsigned char *memory;
	size_t size_bytes;
	uint64_t seed;
};

struct state {
	struct piece pieces[PIECES];
	size_t limit_bytes, used_bytes, wrong;
	uint64_t filled_bytes, turns, random;
};

static uint64_t word_at(const struct piece *piece, size_t offset)
{
	return (piece->seed + offset) * 0x9e3779b97f4a7c15ull;
}

/* Where the third word of the page at offset lies: never the first or the last. */
static size_t third(const struct piece *piece, size_t offset)
{
	return 1 + (size_t)((piece->seed + offset / PAGE * 7) % (WORDS - 2));
}

static void fill(const struct piece *piece)
{
	size_t offset;

	for (offset = 0; offset < piece->size_bytes; offset += PAGE) {
		volatile uint64_t *page = (volatile uint64_t *)(piece->memory + offset);
		uint64_t word = word_at(piece, offset);

		page[0] = word;
		page[third(piece, offset)] = word + 1;
		page[WORDS - 1] = word + 2;
	}
}

static size_t count_wrong(const struct piece *piece)
{
	size_t offset, wrong = 0;

	for (offset = 0; offset < piece->size_bytes; offset += PAGE) {
		const volatile uint64_t *page = (const volatile uint64_t *)(piece->memory + offset);
		uint64_t word = word_at(piece, offset);

		wrong += page[0] != word;
		wrong += page[third(piece, offset)] != word + 1;
		wrong += page[WORDS - 1] != word + 2;
	}
	return wrong;
}

static int get(struct piece *piece, size_t size_bytes, uint64_t seed)
{
	void *memory =
		mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 0;
	piece->memory = memory;
	piece->size_bytes = size_bytes;
	piece->seed = seed;
	fill(piece);
	return 1;
}

static void let_go(struct state *state, struct piece *piece)
{
	if (!piece->memory)
		return;
	state->wrong += count_wrong(piece);
	munmap(piece->memory, piece->size_bytes);
	state->used_bytes -= piece->size_bytes;
	piece->memory = NULL;
}

static void turn(struct state *state)
{
	struct piece *piece;
	size_t size_bytes;

	state->random ^= state->random << 13;
	state->random ^= state->random >> 7;
	state->random ^= state->random << 17;
	piece = &state->pieces[state->random % PIECES];
	let_go(state, piece);
	size_bytes = (1 + (state->random >> 20) % UNITS_MAX) * UNIT;
	if (state->used_bytes + size_bytes <= state->limit_bytes &&
	    get(piece, size_bytes, state->random)) {
		state->used_bytes += size_bytes;
		state->filled_bytes += size_bytes;
	}
	state->turns++;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fixed_work(struct state *state, uint64_t total_bytes)
{
	double began = seconds();
	unsigned int i;

	while (state->filled_bytes < total_bytes && !state->wrong)
		turn(state);
	for (i = 0; i < PIECES; i++)
		let_go(state, &state->pieces[i]);
	printf("bench: result churn seconds=%.3f mib=%llu turns=%llu wrong=%zu\n",
	       seconds() - began, (unsigned long long)(state->filled_bytes >> 20),
	       (unsigned long long)state->turns, state->wrong);
}

int main(int argc, char **argv)
{
	struct state state = { .random = 88172645463325252ull };

	if (argc < 3)
		return 2;
	state.limit_bytes = strtoul(argv[1], NULL, 10) << 20;
	/* With less room than a piece there is no end to it. */
	if (argc > 3 && state.limit_bytes < UNIT * UNITS_MAX)
		return 2;
	if (argc > 3) {
		state.random += strtoul(argv[3], NULL, 10) * 0x9e3779b97f4a7c15ull;
		fixed_work(&state, (uint64_t)strtoul(argv[2], NULL, 10) << 20);
		return state.wrong != 0;
	}
	while (access(argv[2], F_OK) && !state.wrong)
		turn(&state);
	printf("churn %s: %llu turns, %llu MiB, %zu wrong\n", state.wrong ? "broken" : "intact",
	       (unsigned long long)state.turns, (unsigned long long)(state.filled_bytes >> 20),
	       state.wrong);
	return state.wrong != 0;
}
