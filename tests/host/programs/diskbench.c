/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads or writes a file or block device with so many requests in flight, past the page cache:
 *
 *   diskbench FILE read|write|randread|randwrite|check BLOCK-BYTES DEPTH REQUESTS SPAN-MIB
 *
 * Prints "diskbench KIND REQUESTS requests NANOSECONDS ns". What is written at an offset is a
 * function of the offset; "check" reads in order and compares. Through the
 * kernel's own AIO calls, as no library is needed for them. Runs in guests and on their host.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 128 };

struct bench {
	int fd;
	int writes;
	int random;
	int compare;
	size_t block_bytes;
	unsigned int depth;
	uint64_t requests;
	uint64_t blocks;
	uint64_t state;
	unsigned char *buffers;
	struct iocb iocbs[DEPTH_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Every 512 bytes begin with their own offset, mixed. */
static uint64_t stamp(uint64_t offset)
{
	return (offset + 512) * 0x9e3779b97f4a7c15ull;
}

static void fill(unsigned char *buffer, size_t bytes, uint64_t offset)
{
	size_t at;
	uint64_t word;

	for (at = 0; at < bytes; at += 512) {
		word = stamp(offset + at);
		memcpy(buffer + at, &word, sizeof(word));
	}
}

static int right(const unsigned char *buffer, size_t bytes, uint64_t offset)
{
	size_t at;
	uint64_t word;

	for (at = 0; at < bytes; at += 512) {
		memcpy(&word, buffer + at, sizeof(word));
		if (word != stamp(offset + at))
			return 0;
	}
	return 1;
}

static void prepare(struct bench *bench, unsigned int slot, uint64_t index)
{
	struct iocb *iocb = &bench->iocbs[slot];
	unsigned char *buffer = bench->buffers + slot * bench->block_bytes;
	uint64_t block = index % bench->blocks;

	if (bench->random) {
		bench->state = bench->state * 6364136223846793005ull + 1442695040888963407ull;
		block = (bench->state >> 33) % bench->blocks;
	}
	memset(iocb, 0, sizeof(*iocb));
	iocb->aio_data = slot;
	iocb->aio_lio_opcode = bench->writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
	iocb->aio_fildes = (uint32_t)bench->fd;
	iocb->aio_buf = (uint64_t)(uintptr_t)buffer;
	iocb->aio_nbytes = bench->block_bytes;
	iocb->aio_offset = (int64_t)(block * bench->block_bytes);
	if (bench->writes)
		fill(buffer, bench->block_bytes, block * bench->block_bytes);
}

static int complain(const char *what, long code)
{
	printf("diskbench fails: %s: %s\n", what, strerror((int)code));
	return 1;
}

/* One completion: whole and with the right bytes? */
static int finish(struct bench *bench, const struct io_event *event)
{
	const struct iocb *iocb = &bench->iocbs[event->data];

	if (event->res != (int64_t)bench->block_bytes)
		return complain("a request", event->res < 0 ? (long)-event->res : EIO);
	if (bench->compare && !right((unsigned char *)(uintptr_t)iocb->aio_buf, bench->block_bytes,
	                             (uint64_t)iocb->aio_offset)) {
		printf("diskbench fails: wrong bytes at %lld\n", (long long)iocb->aio_offset);
		return 1;
	}
	return 0;
}

static int run(struct bench *bench, aio_context_t context)
{
	struct io_event events[DEPTH_MAX];
	struct iocb *ready[DEPTH_MAX];
	uint64_t begun = 0, ended = 0;
	unsigned int slot, count = 0;
	long got, sent;

	for (slot = 0; slot < bench->depth && begun < bench->requests; slot++) {
		prepare(bench, slot, begun++);
		ready[count++] = &bench->iocbs[slot];
	}
	while (ended < bench->requests) {
		for (slot = 0; slot < count; slot += (unsigned int)sent) {
			sent = syscall(SYS_io_submit, context, (long)(count - slot), ready + slot);
			if (sent <= 0)
				return complain("io_submit", errno);
		}
		got = syscall(SYS_io_getevents, context, 1L, (long)DEPTH_MAX, events, NULL);
		if (got <= 0)
			return complain("io_getevents", errno);
		for (count = 0, slot = 0; slot < (unsigned int)got; slot++) {
			if (finish(bench, &events[slot]))
				return 1;
			ended++;
			if (begun == bench->requests)
				continue;
			prepare(bench, (unsigned int)events[slot].data, begun++);
			ready[count++] = &bench->iocbs[events[slot].data];
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct bench bench = { .state = 1 };
	aio_context_t context = 0;
	uint64_t start;
	const char *kind;

	if (argc != 7)
		return 2;
	kind = argv[2];
	bench.writes = strstr(kind, "write") != NULL;
	bench.random = strncmp(kind, "rand", 4) == 0;
	bench.compare = strcmp(kind, "check") == 0;
	bench.block_bytes = strtoul(argv[3], NULL, 10);
	bench.depth = (unsigned int)strtoul(argv[4], NULL, 10);
	bench.requests = strtoull(argv[5], NULL, 10);
	if (bench.block_bytes < 512 || bench.block_bytes % 512 || bench.block_bytes > 1 << 20 ||
	    bench.depth < 1 || bench.depth > DEPTH_MAX)
		return 2;
	bench.blocks = (strtoull(argv[6], NULL, 10) << 20) / bench.block_bytes;
	bench.fd = open(argv[1], (bench.writes ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (bench.fd < 0)
		return complain(argv[1], errno);
	bench.buffers = aligned_alloc(4096, bench.block_bytes * bench.depth + 4096 -
	                                            bench.block_bytes * bench.depth % 4096);
	if (!bench.buffers || !bench.blocks || syscall(SYS_io_setup, (long)DEPTH_MAX, &context) < 0)
		return complain("set-up", errno);
	memset(bench.buffers, 0, bench.block_bytes * bench.depth);
	start = now_ns();
	if (run(&bench, context))
		return 1;
	if (bench.writes && fdatasync(bench.fd) < 0)
		return complain("fdatasync", errno);
	printf("diskbench %s %llu requests %llu ns\n", kind, (unsigned long long)bench.requests,
	       (unsigned long long)(now_ns() - start));
	return 0;
}
