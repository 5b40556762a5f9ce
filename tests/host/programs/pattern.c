/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds a known pattern and looks whether it is still there: pattern MIB ROUNDS [SECONDS-BETWEEN
 * [FILE]]. ROUNDS times; with a FILE as often as it takes until that is there, once more behind,
 * and ROUNDS times at least. First, that all between the words of the pattern came as zeroes, as
 * new memory has to: kernels that zero pages when they free them do not look at them again. Runs in
 * the guest.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t word_at(size_t index)
{
	return (index + 1) * 0x9e3779b97f4a7c15ull;
}

static size_t count_wrong(const volatile uint64_t *memory, size_t words)
{
	size_t index, wrong = 0;

	for (index = 0; index < words; index += 8)
		wrong += memory[index] != word_at(index);
	return wrong;
}

/* Words of each line of 64 bytes that nobody wrote. */
static size_t count_not_zero(const volatile uint64_t *memory, size_t words)
{
	size_t index, wrong = 0;

	for (index = 0; index < words; index++)
		wrong += index % 8 != 0 && memory[index] != 0;
	return wrong;
}

int main(int argc, char **argv)
{
	size_t size_bytes, words, index, wrong;
	unsigned long rounds, round;
	unsigned int pause_s;
	uint64_t *memory;
	int ending;

	if (argc < 3)
		return 2;
	size_bytes = strtoul(argv[1], NULL, 10) << 20;
	rounds = strtoul(argv[2], NULL, 10);
	pause_s = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : 1;
	words = size_bytes / sizeof(*memory);
	memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("pattern");
		return 1;
	}
	for (index = 0; index < words; index += 8)
		memory[index] = word_at(index);
	wrong = count_not_zero(memory, words);
	if (wrong) {
		printf("pattern broken: %zu words of new memory are not zero\n", wrong);
		return 1;
	}
	printf("pattern holds %zu MiB\n", size_bytes >> 20);
	fflush(stdout);
	for (round = 0, ending = argc <= 4; round < rounds || !ending; round++) {
		ending = argc <= 4 || access(argv[4], F_OK) == 0;
		sleep(pause_s);
		wrong = count_wrong(memory, words);
		if (wrong) {
			printf("pattern broken: %zu words in round %lu\n", wrong, round);
			return 1;
		}
	}
	printf("pattern intact %lu rounds\n", round);
	return 0;
}
