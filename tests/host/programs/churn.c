/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocates, fills, looks and frees, all the time: churn MIB FILE. Pieces of 64 KiB to 16 MiB, MIB
 * at most together, until FILE is there. What runs out of memory frees and goes on. Runs in the
 * guest.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECES    64
#define UNIT      ((size_t)65536)
#define UNITS_MAX 256
#define PAGE      4096

struct piece {
	unsigned char *memory;
	size_t size_bytes;
	uint64_t seed;
};

static uint64_t word_at(const struct piece *piece, size_t offset)
{
	return (piece->seed + offset) * 0x9e3779b97f4a7c15ull;
}

static void fill(const struct piece *piece)
{
	size_t offset;

	for (offset = 0; offset < piece->size_bytes; offset += PAGE)
		*(volatile uint64_t *)(piece->memory + offset) = word_at(piece, offset);
}

static size_t count_wrong(const struct piece *piece)
{
	size_t offset, wrong = 0;

	for (offset = 0; offset < piece->size_bytes; offset += PAGE)
		wrong += *(volatile uint64_t *)(piece->memory + offset) != word_at(piece, offset);
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

int main(int argc, char **argv)
{
	struct piece pieces[PIECES] = { { NULL, 0, 0 } };
	size_t limit_bytes, used_bytes = 0, wrong = 0;
	unsigned long turns = 0, filled_mib = 0;
	uint64_t random = 88172645463325252ull;

	if (argc < 3)
		return 2;
	limit_bytes = strtoul(argv[1], NULL, 10) << 20;
	for (; access(argv[2], F_OK) && !wrong; turns++) {
		struct piece *piece;
		size_t size_bytes;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		piece = &pieces[random % PIECES];
		if (piece->memory) {
			wrong += count_wrong(piece);
			munmap(piece->memory, piece->size_bytes);
			used_bytes -= piece->size_bytes;
			piece->memory = NULL;
		}
		size_bytes = (1 + (random >> 20) % UNITS_MAX) * UNIT;
		if (used_bytes + size_bytes <= limit_bytes && get(piece, size_bytes, random)) {
			used_bytes += size_bytes;
			filled_mib += size_bytes >> 20;
		}
	}
	printf("churn %s: %lu turns, %lu MiB, %zu wrong\n", wrong ? "broken" : "intact", turns,
	       filled_mib, wrong);
	return wrong != 0;
}
