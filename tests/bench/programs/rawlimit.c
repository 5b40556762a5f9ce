/* SPDX-License-Identifier: Apache-2.0 */
/* How fast memory can be given back at all: one madvise(DONTNEED), no VMM. rawlimit MIB */
/*
 * Private anonymous memory of MIB, touched and released five times, in huge pages and then in small
 * ones:
 *
 *	bench raw kind=thp|small mib=… ns=BEST gib_s=… all_ns=N,N,N,N,N
 *	bench lacks thp WHY      where the host gives no huge pages: nothing is printed for them
 *then
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common.h"

#define ROUNDS     5
#define HUGE_BYTES (UINT64_C(2) << 20)

/* Of this mapping; -1 where the kernel does not say. */
static long huge_kib(const void *start)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	char *line = NULL;
	size_t size = 0;
	bool ours = false;
	long kib = -1;

	while (file && kib < 0 && getline(&line, &size, file) > 0) {
		unsigned long first, end;

		if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
			ours = (uintptr_t)start >= first && (uintptr_t)start < end;
		else if (ours && !strncmp(line, "AnonHugePages:", 14))
			kib = strtol(line + 14, NULL, 10);
	}
	free(line);
	if (file)
		fclose(file);
	return kib;
}

static void touch(volatile char *bytes, uint64_t size)
{
	for (uint64_t i = 0; i < size; i += 4096)
		bytes[i] = 1;
}

static int measure(char *memory, uint64_t mib, bool huge)
{
	const uint64_t size = mib << 20;
	uint64_t all_ns[ROUNDS], best_ns = UINT64_MAX;

	if (madvise(memory, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) && huge) {
		say("lacks thp madvise(MADV_HUGEPAGE): %s", strerror(errno));
		return 0;
	}
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t begin_ns;
		long kib;

		touch(memory, size);
		kib = huge && i == 0 ? huge_kib(memory) : 0;
		if (huge && i == 0 && kib < (long)(size / 1024 / 10 * 9)) {
			say("lacks thp %ld of %lu MiB were given in huge pages", kib / 1024, mib);
			return 0;
		}
		begin_ns = now_ns();
		if (madvise(memory, size, MADV_DONTNEED)) {
			complain("madvise: %s", strerror(errno));
			return -errno;
		}
		all_ns[i] = now_ns() - begin_ns;
		if (!all_ns[i])
			all_ns[i] = 1;
		if (all_ns[i] < best_ns)
			best_ns = all_ns[i];
	}
	say("raw kind=%s mib=%lu ns=%lu gib_s=%.3f all_ns=%lu,%lu,%lu,%lu,%lu",
	    huge ? "thp" : "small", mib, best_ns, (double)mib / 1024 / ((double)best_ns / NS_PER_S),
	    all_ns[0], all_ns[1], all_ns[2], all_ns[3], all_ns[4]);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t mib;
	char *memory;

	if (argc != 2 || !parse_number(argv[1], 1 << 20, &mib) || mib < 2) {
		complain("usage: rawlimit MIB");
		return 64;
	}
	memory = mmap(NULL, (mib << 20) + HUGE_BYTES, PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		complain("mmap of %lu MiB: %s", mib, strerror(errno));
		return 1;
	}
	memory += HUGE_BYTES - (uintptr_t)memory % HUGE_BYTES;
	return measure(memory, mib, true) || measure(memory, mib, false) ? 1 : 0;
}
