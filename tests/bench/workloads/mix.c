/* SPDX-License-Identifier: Apache-2.0 */
/* Work like a build's: mix FOLDER JOBS FILES. Many short processes, their files, the page cache.
 * Runs in the guest. */

/*
 * DOC: what is done
 *
 * First, not measured: FOLDER gets FILES sources of 4 to 64 KiB and 64 headers of 8 to 32 KiB, and
 * all is written to the disk (sync). Then, measured, at most JOBS processes at a time, one for each
 * source, this program started anew (fork and exec). Each reads its source and 20 of the headers,
 * maps 8 to 40 MiB in pieces of 64 KiB to 1 MiB and writes to every page, goes over these pages
 * STEPS times in a pseudo-random order, looks at every page again, and writes an object of 8 to 128
 * KiB. Last a "link", another process, reads all objects, maps 64 MiB, and writes them into one
 * file, with fsync. Then everything is removed.
 *
 * Every byte in a file, and the first word of every page of memory, is a pseudo-random function of
 * where it is: the same in every run, and compared wherever it is read. wrong= counts the processes
 * that found a difference. checksum= is of what was linked, so that two runs can be seen to have
 * made the same. setup= is the seconds of the first part. bench: result mix seconds=3.210 jobs=2
 * files=60 processes=61 wrong=0 setup=0.456 checksum=0123456789abcdef
 *
 * Status 1 where something was wrong, 2 and no result where a process could not do its work (no
 * memory, no room).
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADERS      64
#define HEADERS_READ 20
#define BLOCK        4096
#define BLOCK_WORDS  (BLOCK / sizeof(uint64_t))
#define PIECES_MAX   1024
#define STEPS        1000000
#define LINK_MIB     64

/* Statuses of a process, the parent's as well. */
enum { GOOD, WRONG, FAILED };

enum kind { SOURCE, HEADER, OBJECT };

static const char *const kind_names[] = { "source", "header", "object" };

static uint64_t scramble(uint64_t word)
{
	word ^= word >> 30;
	word *= 0xbf58476d1ce4e5b9ull;
	word ^= word >> 27;
	word *= 0x94d049bb133111ebull;
	return word ^ word >> 31;
}

static uint64_t identity(enum kind kind, unsigned int number)
{
	return scramble(((uint64_t)kind << 32 | number) + 0x9e3779b97f4a7c15ull);
}

/* In blocks. */
static size_t length(enum kind kind, unsigned int number)
{
	static const size_t least[] = { 1, 2, 2 }, most[] = { 16, 8, 32 };

	return least[kind] + identity(kind, number) % (most[kind] - least[kind] + 1);
}

static void make_block(uint64_t *block, enum kind kind, unsigned int number, size_t index)
{
	uint64_t word = identity(kind, number) + index * BLOCK_WORDS;
	size_t i;

	for (i = 0; i < BLOCK_WORDS; i++)
		block[i] = (word + i) * 0x9e3779b97f4a7c15ull;
}

static void file_name(char *path, enum kind kind, unsigned int number)
{
	sprintf(path, "%s/%02u/%u", kind_names[kind], number % 16, number);
}

static int write_file(enum kind kind, unsigned int number)
{
	uint64_t block[BLOCK_WORDS];
	char path[64];
	size_t i;
	int fd;

	file_name(path, kind, number);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return FAILED;
	for (i = 0; i < length(kind, number); i++) {
		make_block(block, kind, number, i);
		if (write(fd, block, BLOCK) != BLOCK) {
			close(fd);
			return FAILED;
		}
	}
	return close(fd) ? FAILED : GOOD;
}

/* Compares what it reads; with a file out >= 0 copies it there, with a checksum adds to that. */
static int read_file(enum kind kind, unsigned int number, int out, uint64_t *checksum)
{
	uint64_t block[BLOCK_WORDS], right[BLOCK_WORDS];
	int fd, status = GOOD;
	char path[64];
	size_t i;

	file_name(path, kind, number);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return FAILED;
	for (i = 0; i < length(kind, number) && status == GOOD; i++) {
		make_block(right, kind, number, i);
		if (read(fd, block, BLOCK) != BLOCK)
			status = FAILED;
		else if (memcmp(block, right, BLOCK) != 0)
			status = WRONG;
		if (out >= 0 && write(out, block, BLOCK) != BLOCK)
			status = FAILED;
		*checksum = scramble(*checksum + block[i % BLOCK_WORDS]);
	}
	close(fd);
	return status;
}

struct heap {
	unsigned char *pieces[PIECES_MAX];
	size_t sizes[PIECES_MAX];
	unsigned int count;
	size_t used_bytes;
};

static uint64_t heap_word(unsigned int piece, size_t offset)
{
	return scramble((uint64_t)piece << 32 | offset);
}

static int fill_heap(struct heap *heap, size_t size_bytes, uint64_t seed)
{
	size_t offset;

	while (heap->used_bytes < size_bytes && heap->count < PIECES_MAX) {
		size_t piece_bytes = (1 + scramble(seed + heap->count) % 16) << 16;
		unsigned char *piece = mmap(NULL, piece_bytes, PROT_READ | PROT_WRITE,
		                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (piece == MAP_FAILED)
			return FAILED;
		for (offset = 0; offset < piece_bytes; offset += BLOCK)
			*(volatile uint64_t *)(piece + offset) = heap_word(heap->count, offset);
		heap->pieces[heap->count] = piece;
		heap->sizes[heap->count++] = piece_bytes;
		heap->used_bytes += piece_bytes;
	}
	return GOOD;
}

/* Reads and writes second words of pages, which nobody compares. */
static void compute(const struct heap *heap, uint64_t seed)
{
	unsigned long step;

	for (step = 0; step < STEPS; step++) {
		unsigned int piece;
		volatile uint64_t *page;

		seed = scramble(seed + step);
		piece = (unsigned int)(seed % heap->count);
		page = (volatile uint64_t *)(heap->pieces[piece] +
		                             (seed >> 32) % (heap->sizes[piece] / BLOCK) * BLOCK);
		seed += page[1];
		page[1] = seed;
	}
}

static int look_at_heap(const struct heap *heap)
{
	unsigned int i;
	size_t offset;

	for (i = 0; i < heap->count; i++)
		for (offset = 0; offset < heap->sizes[i]; offset += BLOCK)
			if (*(volatile uint64_t *)(heap->pieces[i] + offset) !=
			    heap_word(i, offset))
				return WRONG;
	return GOOD;
}

static int compile(unsigned int number)
{
	uint64_t seed = identity(SOURCE, number), checksum = 0;
	struct heap heap = { .count = 0 };
	unsigned int i;
	int status = read_file(SOURCE, number, -1, &checksum);

	for (i = 0; i < HEADERS_READ && status == GOOD; i++)
		status = read_file(HEADER, (unsigned int)(scramble(seed + i) % HEADERS), -1,
		                   &checksum);
	if (status == GOOD)
		status = fill_heap(&heap, (size_t)(8 + seed % 33) << 20, seed);
	if (status != GOOD)
		return status;
	compute(&heap, checksum);
	status = look_at_heap(&heap);
	return status == GOOD ? write_file(OBJECT, number) : status;
}

/* Writes the checksum of what it has linked to the pipe. */
static int link_objects(unsigned int files, int answer)
{
	struct heap heap = { .count = 0 };
	uint64_t checksum = 0;
	int status = fill_heap(&heap, (size_t)LINK_MIB << 20, 0);
	int fd = open("linked", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	unsigned int i;

	if (fd < 0)
		return FAILED;
	for (i = 0; i < files && status == GOOD; i++)
		status = read_file(OBJECT, i, fd, &checksum);
	if (status == GOOD)
		status = look_at_heap(&heap);
	if (fsync(fd) || close(fd) || write(answer, &checksum, sizeof(checksum)) < 0)
		return FAILED;
	return status;
}

static pid_t start(const char *verb, unsigned int number, int answer)
{
	char number_text[16], answer_text[16];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	snprintf(number_text, sizeof(number_text), "%u", number);
	snprintf(answer_text, sizeof(answer_text), "%d", answer);
	execl("/proc/self/exe", "mix", verb, number_text, answer_text, (char *)NULL);
	_exit(FAILED);
}

struct counts {
	unsigned int processes, wrong, failed;
};

static void take(struct counts *counts)
{
	int status;

	if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) >= FAILED)
		counts->failed++;
	else if (WEXITSTATUS(status) == WRONG)
		counts->wrong++;
	counts->processes++;
}

static void build(struct counts *counts, unsigned int jobs, unsigned int files)
{
	unsigned int running = 0, i;

	for (i = 0; i < files && !counts->failed; i++) {
		if (running == jobs) {
			take(counts);
			running--;
		}
		if (start("--compile", i, 0) < 0)
			counts->failed++;
		else
			running++;
	}
	while (running-- > 0)
		take(counts);
}

static void link_all(struct counts *counts, unsigned int files, uint64_t *checksum)
{
	int answer[2];

	if (pipe(answer) || start("--link", files, answer[1]) < 0) {
		counts->failed++;
		return;
	}
	take(counts);
	close(answer[1]);
	if (read(answer[0], checksum, sizeof(*checksum)) != sizeof(*checksum))
		counts->failed++;
	close(answer[0]);
}

static int set_up(unsigned int files)
{
	unsigned int kind, i;
	int status = GOOD;
	char path[64];

	for (kind = SOURCE; kind <= OBJECT; kind++) {
		if (mkdir(kind_names[kind], 0755))
			return FAILED;
		for (i = 0; i < 16; i++) {
			sprintf(path, "%s/%02u", kind_names[kind], i);
			if (mkdir(path, 0755))
				return FAILED;
		}
	}
	for (i = 0; i < HEADERS && status == GOOD; i++)
		status = write_file(HEADER, i);
	for (i = 0; i < files && status == GOOD; i++)
		status = write_file(SOURCE, i);
	sync();
	return status;
}

static void remove_all(unsigned int files)
{
	unsigned int kind, i;
	char path[64];

	unlink("linked");
	for (kind = SOURCE; kind <= OBJECT; kind++) {
		for (i = 0; i < (kind == HEADER ? HEADERS : files); i++) {
			file_name(path, kind, i);
			unlink(path);
		}
		for (i = 0; i < 16; i++) {
			sprintf(path, "%s/%02u", kind_names[kind], i);
			rmdir(path);
		}
		rmdir(kind_names[kind]);
	}
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int whole(const char *folder, unsigned int jobs, unsigned int files)
{
	struct counts counts = { 0, 0, 0 };
	double began = seconds(), set, done;
	uint64_t checksum = 0;

	if (chdir(folder) || set_up(files) != GOOD) {
		fprintf(stderr, "mix: %s: %s\n", folder, strerror(errno));
		remove_all(files);
		return FAILED;
	}
	set = seconds();
	build(&counts, jobs, files);
	if (!counts.failed && !counts.wrong)
		link_all(&counts, files, &checksum);
	done = seconds();
	remove_all(files);
	if (counts.failed) {
		fprintf(stderr, "mix: %u of %u processes failed\n", counts.failed,
		        counts.processes);
		return FAILED;
	}
	printf("bench: result mix seconds=%.3f jobs=%u files=%u processes=%u wrong=%u setup=%.3f "
	       "checksum=%016llx\n",
	       done - set, jobs, files, counts.processes, counts.wrong, set - began,
	       (unsigned long long)checksum);
	return counts.wrong ? WRONG : GOOD;
}

int main(int argc, char **argv)
{
	unsigned int jobs, files;

	if (argc != 4) {
		fprintf(stderr, "mix FOLDER JOBS FILES\n");
		return FAILED;
	}
	if (!strcmp(argv[1], "--compile"))
		return compile((unsigned int)strtoul(argv[2], NULL, 10));
	jobs = (unsigned int)strtoul(argv[2], NULL, 10);
	files = (unsigned int)strtoul(argv[3], NULL, 10);
	if (!strcmp(argv[1], "--link"))
		return link_objects(jobs, (int)files);
	return jobs && files ? whole(argv[1], jobs, files) : FAILED;
}
