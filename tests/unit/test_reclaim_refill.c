/* SPDX-License-Identifier: Apache-2.0 */
/* Released memory that reads as the guest's poison: on real memory, with threads that look at every
 * byte, and with a host that fails. */
/* fakes: fake_refill_host */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ebb/log.h"
#include "ebb/reclaim.h"
#include "fake_refill_host.h"
#include "open_fds.h"

#define POISON    0xaaaaaaaau
#define BLOCK     PAGE_2M_BYTES
#define PAGE      PAGE_4K_BYTES
#define RAM_BYTES (32 * MIB)
#define RUNS_MAX  8192 /* of guarded blocks: reclaim_refill.h */

struct fixture {
	struct guest_memory *memory;
	struct reclaim *reclaim;
	uint8_t *ram;
};

static int set_up(void **state)
{
	static const struct gmem_backing thp = { .kind = GMEM_ANON, .thp = true };
	struct fixture *f = calloc(1, sizeof(*f));

	fake_refill_host_reset();
	assert_int_equal(guest_memory_create(&f->memory, NULL), 0);
	assert_int_equal(gmem_add_region(f->memory, 0, RAM_BYTES, &thp, NULL), 0);
	assert_int_equal(reclaim_create(f->memory, &f->reclaim, NULL), 0);
	f->ram = gmem_span(f->memory, 0, RAM_BYTES);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	reclaim_destroy(f->reclaim);
	guest_memory_destroy(f->memory);
	free(f);
	return 0;
}

/* Users without the privilege do not see the rest of these tests. */
static void poison(struct fixture *f, uint32_t value)
{
	if (reclaim_set_poison(f->reclaim, value, NULL) == -EPERM)
		skip();
	assert_int_equal(reclaim_set_poison(f->reclaim, value, NULL), 0);
}

static struct reclaim_outcome release_as(struct fixture *f, enum reclaim_source source, gpa_t gpa,
                                         uint64_t size_bytes)
{
	struct reclaim_range range = { gpa, size_bytes };
	struct reclaim_outcome outcome;

	(void)!reclaim_release(f->reclaim, source, &range, 1, &outcome);
	assert_int_equal(outcome.bytes_released + outcome.bytes_absent + outcome.bytes_refused,
	                 size_bytes);
	return outcome;
}

static struct reclaim_outcome report(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	return release_as(f, RECLAIM_REPORT, gpa, size_bytes);
}

static struct reclaim_refill_stats refill_stats(struct fixture *f)
{
	struct reclaim_stats stats;

	reclaim_query(f->reclaim, &stats);
	return stats.refill;
}

static void assert_bytes(const uint8_t *bytes, uint8_t value, uint64_t size_bytes)
{
	assert_int_equal(bytes[0], value);
	assert_memory_equal(bytes, bytes + 1, size_bytes - 1);
}

static uint64_t resident(struct fixture *f, gpa_t gpa, uint64_t size_bytes)
{
	uint8_t *pages = malloc(size_bytes / PAGE);
	uint64_t bytes = 0;

	assert_int_equal(mincore(f->ram + gpa, size_bytes, pages), 0);
	for (size_t i = 0; i < size_bytes / PAGE; i++)
		bytes += (pages[i] & 1) * PAGE;
	free(pages);
	return bytes;
}

/* Of huge pages, all mappings that begin in ram together. */
static uint64_t huge_bytes(struct fixture *f)
{
	unsigned long long start, kib, bytes = 0;
	FILE *maps = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[512];

	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%*x %*s", &start) == 1 && strchr(line, '-'))
			inside = range_contains((uintptr_t)f->ram, RAM_BYTES, start, 1);
		else if (inside && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
			bytes += kib * KIB;
	}
	fclose(maps);
	return bytes;
}

/* --- what is read --- */

static void test_reads_as_poison(void **state)
{
	struct fixture *f = *state;
	struct reclaim_outcome outcome;

	memset(f->ram, 0x5a, RAM_BYTES);
	poison(f, POISON);
	outcome = report(f, 2 * BLOCK, 3 * BLOCK);
	assert_int_equal(outcome.bytes_released, 3 * BLOCK);
	assert_int_equal(outcome.ranges_released, 1);
	assert_int_equal(resident(f, 0, RAM_BYTES), RAM_BYTES - 3 * BLOCK);
	assert_int_equal(refill_stats(f).guarded_bytes, 3 * BLOCK);
	assert_int_equal(refill_stats(f).faults, 0);
	assert_bytes(f->ram + 2 * BLOCK, 0xaa, 2 * BLOCK);
	assert_int_equal(refill_stats(f).guarded_bytes, BLOCK);
	assert_int_equal(refill_stats(f).bytes, 2 * BLOCK);
	assert_int_equal(resident(f, 4 * BLOCK, BLOCK), 0);
	assert_bytes(f->ram + 4 * BLOCK, 0xaa, BLOCK);
	assert_int_equal(refill_stats(f).guarded_bytes, 0);
	assert_in_range(refill_stats(f).faults, 3, 6);
	assert_bytes(f->ram, 0x5a, 2 * BLOCK);
	assert_bytes(f->ram + 5 * BLOCK, 0x5a, RAM_BYTES - 5 * BLOCK);
}

static void test_any_value_and_a_first_write(void **state)
{
	struct fixture *f = *state;

	memset(f->ram, 0x5a, 2 * BLOCK);
	poison(f, 0x12345678);
	report(f, 0, 2 * BLOCK);
	f->ram[BLOCK + 5 * PAGE + 3] = 0x77;
	assert_int_equal(f->ram[BLOCK + 5 * PAGE + 3], 0x77);
	f->ram[BLOCK + 5 * PAGE + 3] = 0x12;
	for (uint64_t i = 0; i < 2 * BLOCK; i += sizeof(uint32_t))
		assert_int_equal(*(uint32_t *)(void *)(f->ram + i), 0x12345678);
	/* Twice as much for a block that is released again. */
	report(f, 0, BLOCK);
	assert_int_equal(f->ram[BLOCK - 1], 0x12);
	assert_int_equal(refill_stats(f).bytes, 3 * BLOCK);
}

static void test_moved_blocks_are_huge(void **state)
{
	struct fixture *f = *state;

	memset(f->ram, 0xaa, RAM_BYTES);
	poison(f, POISON);
	if (huge_bytes(f) < RAM_BYTES)
		skip(); /* this host has none */
	report(f, 0, RAM_BYTES);
	assert_int_equal(huge_bytes(f), 0);
	for (uint64_t i = 0; i < RAM_BYTES; i += PAGE)
		assert_int_equal(f->ram[i], 0xaa);
	if (!refill_stats(f).blocks_moved)
		skip(); /* before Linux 6.8 */
	assert_int_equal(refill_stats(f).blocks_moved, RAM_BYTES / BLOCK);
	assert_int_equal(refill_stats(f).blocks_copied, 0);
	assert_int_equal(huge_bytes(f), RAM_BYTES);
	/* The first access to each block, and nothing else, waited. */
	assert_int_equal(refill_stats(f).faults, RAM_BYTES / BLOCK);
}

static void test_copies_where_nothing_moves(void **state)
{
	struct fixture *f = *state;

	fake_refill_host.no_move = true;
	memset(f->ram, 0x5a, RAM_BYTES);
	poison(f, POISON);
	report(f, BLOCK, 6 * BLOCK);
	assert_bytes(f->ram + BLOCK, 0xaa, 6 * BLOCK);
	assert_int_equal(refill_stats(f).blocks_copied, 6);
	assert_int_equal(refill_stats(f).blocks_moved, 0);
	assert_int_equal(fake_refill_host.calls[FAKE_COPY], 6);
	assert_int_equal(fake_refill_host.calls[FAKE_MOVE], 0);
}

static void test_edges_are_refused(void **state)
{
	struct fixture *f = *state;
	struct reclaim_outcome outcome;

	memset(f->ram, 0x5a, RAM_BYTES);
	poison(f, POISON);
	outcome = report(f, BLOCK - PAGE, 2 * BLOCK);
	assert_int_equal(outcome.bytes_released, BLOCK);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_POISON], BLOCK);
	outcome = report(f, 8 * BLOCK + PAGE, 2 * BLOCK - 2 * PAGE);
	assert_int_equal(outcome.bytes_refused, 2 * BLOCK - 2 * PAGE);
	outcome = report(f, RAM_BYTES - PAGE, BLOCK);
	assert_int_equal(outcome.bytes_refused, BLOCK);
	assert_bytes(f->ram, 0x5a, BLOCK);
	assert_bytes(f->ram + BLOCK, 0xaa, BLOCK);
	assert_bytes(f->ram + 2 * BLOCK, 0x5a, RAM_BYTES - 2 * BLOCK);
}

static void test_what_is_absent_stays_so(void **state)
{
	struct fixture *f = *state;
	struct reclaim_outcome outcome;

	poison(f, POISON);
	outcome = report(f, 0, 4 * BLOCK);
	assert_int_equal(outcome.bytes_absent, 4 * BLOCK);
	assert_int_equal(fake_refill_host.calls[FAKE_REGISTER], 0);
	/* Once released, the same again is absent and still guarded. */
	memset(f->ram, 0xaa, BLOCK);
	report(f, 0, BLOCK);
	outcome = report(f, 0, BLOCK);
	assert_int_equal(outcome.bytes_absent, BLOCK);
	assert_bytes(f->ram, 0xaa, BLOCK);
}

static void test_the_kernel_waits_too(void **state)
{
	struct fixture *f = *state;
	FILE *file = tmpfile();
	uint8_t buf[256];

	memset(f->ram, 0x5a, 2 * BLOCK);
	poison(f, POISON);
	report(f, 0, 2 * BLOCK);
	fputs("from a file", file);
	fflush(file);
	assert_int_equal(gmem_load_file(f->memory, BLOCK + 100, fileno(file), 0, 11), 0);
	fclose(file);
	assert_int_equal(gmem_read(f->memory, BLOCK, buf, sizeof(buf)), 0);
	assert_bytes(buf, 0xaa, 100);
	assert_memory_equal(buf + 100, "from a file", 11);
	assert_bytes(buf + 111, 0xaa, sizeof(buf) - 111);
	assert_int_equal(gmem_write(f->memory, 7, "x", 1), 0);
	assert_bytes(f->ram, 0xaa, 7);
	assert_bytes(f->ram + 8, 0xaa, BLOCK - 8);
}

/* --- what ends a guard --- */

static void test_other_sources_read_as_zeroes(void **state)
{
	static const enum reclaim_source plain[] = { RECLAIM_INFLATE, RECLAIM_RESET };
	struct fixture *f = *state;

	poison(f, POISON);
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		memset(f->ram, 0x5a, 3 * BLOCK);
		release_as(f, plain[i], 0, 3 * BLOCK);
		assert_bytes(f->ram, 0, 3 * BLOCK);
		/* Also after a report of the same; but parts of a block do not end its guard. */
		memset(f->ram, 0x5a, 3 * BLOCK);
		report(f, 0, 3 * BLOCK);
		release_as(f, plain[i], PAGE, 2 * BLOCK);
		assert_int_equal(refill_stats(f).guarded_bytes, 2 * BLOCK);
		assert_bytes(f->ram + BLOCK, 0, BLOCK);
		assert_bytes(f->ram, 0xaa, BLOCK);
		assert_bytes(f->ram + 2 * BLOCK, 0xaa, BLOCK);
	}
	release_as(f, RECLAIM_HINT, 0, BLOCK);
	assert_bytes(f->ram, 0xaa, BLOCK);
}

static void test_reset_begins_anew(void **state)
{
	struct fixture *f = *state;

	memset(f->ram, 0x5a, RAM_BYTES);
	poison(f, POISON);
	report(f, BLOCK, BLOCK);
	report(f, 3 * BLOCK, 4 * BLOCK);
	assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_RESET), 0);
	assert_int_equal(refill_stats(f).guarded_bytes, 0);
	assert_bytes(f->ram, 0, RAM_BYTES);
	assert_int_equal(refill_stats(f).faults, 0);
}

static void test_a_value_belongs_to_what_was_released(void **state)
{
	struct fixture *f = *state;

	memset(f->ram, 0x5a, RAM_BYTES);
	poison(f, 0x11111111);
	report(f, 0, 2 * BLOCK);
	assert_int_equal(reclaim_set_poison(f->reclaim, 0x22222222, NULL), 0);
	report(f, 2 * BLOCK, BLOCK);
	/* The driver is gone; the guest is not. */
	assert_int_equal(reclaim_set_poison(f->reclaim, 0, NULL), 0);
	report(f, 3 * BLOCK, BLOCK);
	report(f, BLOCK, BLOCK);
	assert_bytes(f->ram, 0x11, BLOCK);
	assert_bytes(f->ram + BLOCK, 0, BLOCK);
	assert_bytes(f->ram + 2 * BLOCK, 0x22, BLOCK);
	assert_bytes(f->ram + 3 * BLOCK, 0, BLOCK);
	assert_bytes(f->ram + 4 * BLOCK, 0x5a, BLOCK);
}

static void test_regions_come_and_go(void **state)
{
	struct fixture *f = *state;
	uint8_t *hva;

	poison(f, POISON);
	for (size_t i = 0; i < 3; i++) {
		/* Neither end is a block's; one is no block at all. */
		assert_int_equal(gmem_add_region(f->memory, GIB + PAGE, 3 * BLOCK, NULL, NULL), 0);
		assert_int_equal(gmem_add_region(f->memory, 2 * GIB + PAGE, BLOCK, NULL, NULL), 0);
		hva = gmem_span(f->memory, GIB + PAGE, 3 * BLOCK);
		memset(hva, 0x5a, 3 * BLOCK);
		memset(gmem_span(f->memory, 2 * GIB + PAGE, BLOCK), 0x5a, BLOCK);
		assert_int_equal(report(f, GIB, 4 * BLOCK).bytes_released, 2 * BLOCK);
		assert_int_equal(report(f, 2 * GIB, 2 * BLOCK).bytes_refused, 2 * BLOCK);
		assert_int_equal(refill_stats(f).guarded_bytes, 2 * BLOCK);
		assert_bytes(hva + BLOCK - PAGE, 0xaa, BLOCK);
		assert_bytes(hva, 0x5a, BLOCK - PAGE);
		assert_int_equal(gmem_remove_region(f->memory, GIB + PAGE), 0);
		assert_int_equal(gmem_remove_region(f->memory, 2 * GIB + PAGE), 0);
		assert_int_equal(refill_stats(f).guarded_bytes, 0);
	}
}

/* Shared memory is filled by copies alone. */
static void test_memfd(void **state)
{
	static const struct gmem_backing memfd = { .kind = GMEM_MEMFD };
	struct fixture *f = *state;
	uint8_t *hva;

	poison(f, POISON);
	assert_int_equal(gmem_add_region(f->memory, GIB, 4 * BLOCK, &memfd, NULL), 0);
	hva = gmem_span(f->memory, GIB, 4 * BLOCK);
	memset(hva, 0x5a, 4 * BLOCK);
	assert_int_equal(report(f, GIB + BLOCK, 2 * BLOCK).bytes_released, 2 * BLOCK);
	assert_bytes(hva, 0x5a, BLOCK);
	assert_bytes(hva + BLOCK, 0xaa, 2 * BLOCK);
	assert_bytes(hva + 3 * BLOCK, 0x5a, BLOCK);
	assert_int_equal(refill_stats(f).blocks_copied, 2);
	assert_int_equal(refill_stats(f).guarded_bytes, 0);
	report(f, GIB, 4 * BLOCK);
	release_as(f, RECLAIM_INFLATE, GIB, 2 * BLOCK);
	assert_bytes(hva, 0, 2 * BLOCK);
	assert_bytes(hva + 2 * BLOCK, 0xaa, 2 * BLOCK);
}

static void test_memfd_of_a_host_that_cannot(void **state)
{
	static const struct gmem_backing memfd = { .kind = GMEM_MEMFD };
	struct fixture *f = *state;
	struct reclaim_outcome outcome;
	uint8_t *hva;

	fake_refill_host.no_shared = true;
	poison(f, POISON);
	assert_int_equal(gmem_add_region(f->memory, GIB, 2 * BLOCK, &memfd, NULL), 0);
	hva = gmem_span(f->memory, GIB, 2 * BLOCK);
	memset(hva, 0x5a, 2 * BLOCK);
	outcome = report(f, GIB, 2 * BLOCK);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_POISON], 2 * BLOCK);
	assert_bytes(hva, 0x5a, 2 * BLOCK);
}

static void test_files_are_not_refilled(void **state)
{
	char path[] = "/tmp/test_reclaim_refill.XXXXXX";
	const struct gmem_backing file = { .kind = GMEM_FILE, .path = path };
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	struct reclaim_outcome outcome;
	int fd = mkstemp(path);
	uint8_t *hva;

	assert_int_equal(ftruncate(fd, 2 * BLOCK), 0);
	poison(f, POISON);
	assert_int_equal(gmem_add_region(f->memory, GIB, 2 * BLOCK, &file, NULL), 0);
	hva = gmem_span(f->memory, GIB, 2 * BLOCK);
	memset(hva, 0x5a, 2 * BLOCK);
	outcome = report(f, GIB, 2 * BLOCK);
	assert_int_equal(outcome.refused[RECLAIM_REFUSED_POISON], 2 * BLOCK);
	assert_bytes(hva, 0x5a, 2 * BLOCK);
	/* Where all memory is like that, the user is told. */
	assert_int_equal(gmem_remove_region(f->memory, 0), 0);
	assert_int_equal(reclaim_set_poison(f->reclaim, POISON, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.message, "backing=anon"));
	assert_int_equal(reclaim_set_poison(f->reclaim, 0, &err), 0);
	close(fd);
	unlink(path);
}

static void test_inhibited(void **state)
{
	struct fixture *f = *state;

	memset(f->ram, 0x5a, BLOCK);
	poison(f, POISON);
	reclaim_inhibit(f->reclaim);
	assert_int_equal(report(f, 0, BLOCK).bytes_refused, BLOCK);
	reclaim_allow(f->reclaim);
	assert_int_equal(refill_stats(f).guarded_bytes, 0);
	assert_bytes(f->ram, 0x5a, BLOCK);
}

/* --- bounds --- */

static void test_runs_are_bounded(void **state)
{
	const uint64_t size_bytes = (2 * RUNS_MAX + 8) * BLOCK;
	struct fixture *f = *state;
	struct reclaim_outcome outcome;
	uint8_t *hva;

	poison(f, POISON);
	assert_int_equal(gmem_add_region(f->memory, GIB, size_bytes, NULL, NULL), 0);
	hva = gmem_span(f->memory, GIB, size_bytes);
	for (uint64_t i = 0; i < size_bytes; i += BLOCK)
		hva[i] = 0x5a;
	report(f, GIB, 3 * BLOCK);
	for (size_t i = 1; i < RUNS_MAX; i++)
		assert_int_equal(report(f, GIB + 2 * (i + 1) * BLOCK, BLOCK).bytes_released, PAGE);
	/* One run more is one too many; a neighbour makes none. */
	outcome = report(f, GIB + size_bytes - BLOCK, BLOCK);
	assert_int_equal(outcome.bytes_refused, BLOCK);
	assert_int_equal(hva[size_bytes - BLOCK], 0x5a);
	assert_int_equal(report(f, GIB + (2 * RUNS_MAX + 1) * BLOCK, BLOCK).bytes_released, PAGE);
	/* Filled in the middle of a run: its guard would end with a run too many. */
	assert_bytes(hva + BLOCK, 0xaa, BLOCK);
	assert_int_equal(refill_stats(f).guarded_bytes, (RUNS_MAX + 3) * BLOCK);
	assert_bytes(hva, 0xaa, 3 * BLOCK);
	release_as(f, RECLAIM_INFLATE, GIB, size_bytes);
	assert_int_equal(refill_stats(f).guarded_bytes, 0);
	hva[0] = 1;
	assert_int_equal(report(f, GIB, size_bytes).bytes_refused, 0);
	assert_int_equal(hva[1], 0xaa);
}

/* --- a host that fails --- */

static void test_no_privilege(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	memset(f->ram, 0x5a, 8 * BLOCK);
	fake_refill_host.errors[FAKE_OPEN_DEVICE] = -EACCES;
	fake_refill_host.errors[FAKE_OPEN_SYSCALL] = -EPERM;
	assert_int_equal(reclaim_set_poison(f->reclaim, POISON, &err), -EPERM);
	assert_non_null(strstr(err.message, "vm.unprivileged_userfaultfd"));
	assert_non_null(strstr(err.message, "/dev/userfaultfd"));
	assert_non_null(strstr(err.message, "CAP_SYS_PTRACE"));
	assert_int_equal(report(f, 0, 2 * BLOCK).refused[RECLAIM_REFUSED_POISON], 2 * BLOCK);
	assert_int_equal(release_as(f, RECLAIM_HINT, 0, BLOCK).refused[RECLAIM_REFUSED_POISON],
	                 BLOCK);
	assert_bytes(f->ram, 0x5a, 8 * BLOCK);
	assert_int_equal(release_as(f, RECLAIM_INFLATE, 4 * BLOCK, BLOCK).bytes_released, BLOCK);
	/* A guest that poisons no more is worth another look. */
	assert_int_equal(reclaim_set_poison(f->reclaim, 0, NULL), 0);
	assert_int_equal(report(f, 0, BLOCK).bytes_released, BLOCK);
	fake_refill_host.errors[FAKE_OPEN_DEVICE] = -ENOENT;
	fake_refill_host.errors[FAKE_OPEN_SYSCALL] = -ENOSYS;
	assert_int_equal(reclaim_set_poison(f->reclaim, POISON, &err), -ENOSYS);
	assert_non_null(strstr(err.message, "CONFIG_USERFAULTFD"));
	fake_refill_host_reset();
	poison(f, POISON);
	assert_int_equal(report(f, BLOCK, BLOCK).bytes_released, BLOCK);
	assert_bytes(f->ram + BLOCK, 0xaa, BLOCK);
}

static void test_set_up_failures_leave_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned int before = open_fd_count();
	struct error err = ERROR_INIT;

	fake_refill_host.errors[FAKE_OPEN_DEVICE] = -EMFILE;
	fake_refill_host.errors[FAKE_OPEN_SYSCALL] = -EMFILE;
	assert_int_equal(reclaim_set_poison(f->reclaim, POISON, &err), -EMFILE);
	fake_refill_host_reset();
	poison(f, POISON);
	tear_down(state);
	set_up(state);
	f = *state;
	before = open_fd_count();
	fake_refill_host.errors[FAKE_HANDSHAKE] = -EINVAL;
	assert_int_equal(reclaim_set_poison(f->reclaim, POISON, &err), -EINVAL);
	assert_string_not_equal(err.message, "");
	assert_int_equal(open_fd_count(), before);
	/* Either way in is enough. */
	fake_refill_host_reset();
	fake_refill_host.errors[FAKE_OPEN_DEVICE] = -ENOENT;
	assert_int_equal(reclaim_set_poison(f->reclaim, POISON, &err), 0);
}

/* Whatever the host's Nth call answers, each byte is the guest's own or its poison, and where it is
 * not refused the memory is gone. */
static bool run_with_failure(void **state, unsigned int number, int error, bool half)
{
	struct fixture *f;
	bool failed;

	set_up(state);
	f = *state;
	memset(f->ram, 0xaa, 8 * BLOCK);
	poison(f, POISON);
	fake_refill_host.half = half;
	fake_refill_host.fail_with = error;
	fake_refill_host.fail_at = fake_refill_host.all_calls + number;
	report(f, BLOCK, BLOCK);
	report(f, 0, 4 * BLOCK);
	assert_bytes(f->ram + 2 * BLOCK, 0xaa, BLOCK);
	report(f, 2 * BLOCK, 2 * BLOCK);
	release_as(f, RECLAIM_INFLATE, 5 * BLOCK, BLOCK);
	assert_bytes(f->ram, 0xaa, 5 * BLOCK);
	assert_bytes(f->ram + 5 * BLOCK, 0, BLOCK);
	memset(f->ram + 5 * BLOCK, 0xaa, BLOCK);
	report(f, 4 * BLOCK, 4 * BLOCK);
	release_as(f, RECLAIM_INFLATE, 5 * BLOCK, 2 * BLOCK);
	assert_bytes(f->ram + 5 * BLOCK, 0, 2 * BLOCK);
	assert_bytes(f->ram + 4 * BLOCK, 0xaa, BLOCK);
	assert_bytes(f->ram + 7 * BLOCK, 0xaa, BLOCK);
	failed = fake_refill_host.failures;
	assert_int_equal(reclaim_release_all(f->reclaim, RECLAIM_RESET), 0);
	assert_bytes(f->ram, 0, 8 * BLOCK);
	return failed;
}

static void test_any_call_may_fail(void **state)
{
	static const int errors[] = { -ENOMEM, -EINVAL, -EAGAIN };

	poison(*state, POISON);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(errors); i++) {
		unsigned int number = 1;

		tear_down(state);
		while (run_with_failure(state, number, errors[i / 2], i % 2)) {
			tear_down(state);
			number++;
		}
		assert_in_range(number, 10, 200);
	}
}

static void test_accesses_wait_for_memory(void **state)
{
	struct fixture *f = *state;

	memset(f->ram, 0x5a, 4 * BLOCK);
	poison(f, POISON);
	report(f, 0, 4 * BLOCK);
	fake_refill_host.errors[FAKE_MOVE] = -ENOMEM;
	fake_refill_host.rounds[FAKE_COPY] = 20;
	fake_refill_host.errors[FAKE_COPY] = -ENOMEM;
	assert_bytes(f->ram, 0xaa, 2 * BLOCK);
	assert_int_equal(fake_refill_host.errors[FAKE_COPY], 0);
	assert_in_range(refill_stats(f).errors, 10, 20);
	/* Half done is done in pages. */
	fake_refill_host.half = true;
	fake_refill_host.rounds[FAKE_COPY] = 1;
	fake_refill_host.errors[FAKE_COPY] = -EAGAIN;
	assert_bytes(f->ram + 2 * BLOCK, 0xaa, 2 * BLOCK);
	assert_int_equal(fake_refill_host.errors[FAKE_COPY], 0);
}

static void test_guards_that_stay(void **state)
{
	struct fixture *f = *state;

	memset(f->ram, 0x5a, 4 * BLOCK);
	poison(f, POISON);
	report(f, 0, 4 * BLOCK);
	fake_refill_host.errors[FAKE_UNREGISTER] = -ENOMEM;
	assert_bytes(f->ram, 0xaa, 2 * BLOCK);
	assert_int_equal(refill_stats(f).guarded_bytes, 4 * BLOCK);
	assert_int_equal(refill_stats(f).faults, 2);
	/* A page of it that goes again comes again; what is released plainly reads as zeroes. */
	release_as(f, RECLAIM_INFLATE, PAGE, 3 * PAGE);
	assert_bytes(f->ram, 0xaa, BLOCK);
	release_as(f, RECLAIM_INFLATE, BLOCK, 2 * BLOCK);
	assert_bytes(f->ram + BLOCK, 0, 2 * BLOCK);
	assert_bytes(f->ram + 3 * BLOCK, 0xaa, BLOCK);
}

/* --- threads --- */

struct race {
	struct fixture *f;
	atomic_bool over;
	atomic_uint wrong, looks, rounds;
	atomic_uint seed;
	pthread_mutex_t taken[RAM_BYTES / BLOCK];
};

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 24;
}

static void *look_everywhere(void *ctx)
{
	struct race *race = ctx;
	uint64_t seed = ++race->seed;

	while (!race->over) {
		const uint32_t *words = (const void *)race->f->ram;
		uint64_t word = next_random(&seed) % (RAM_BYTES / sizeof(*words));

		race->wrong += words[word] != POISON;
		race->looks++;
	}
	return NULL;
}

/* All of it is poison all the time, whatever is released how often. */
static void test_readers_see_nothing_but_poison(void **state)
{
	struct race race = { .f = *state };
	uint64_t seed = 1;
	pthread_t readers[3];

	memset(race.f->ram, 0xaa, RAM_BYTES);
	poison(race.f, POISON);
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		assert_int_equal(pthread_create(&readers[i], NULL, look_everywhere, &race), 0);
	for (size_t i = 0; i < 1000; i++) {
		struct reclaim_range ranges[4];
		struct reclaim_outcome outcome;
		unsigned int looks = race.looks;

		for (size_t j = 0; j < ARRAY_SIZE(ranges); j++)
			ranges[j] = (struct reclaim_range){ next_random(&seed) %
				                                    (RAM_BYTES / BLOCK) * BLOCK,
				                            (1 + next_random(&seed) % 3) * BLOCK };
		reclaim_release(race.f->reclaim, RECLAIM_REPORT, ranges, ARRAY_SIZE(ranges),
		                &outcome);
		while (race.looks - looks < 2)
			sched_yield();
	}
	race.over = true;
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(race.wrong, 0);
	assert_in_range(race.looks, 2000, UINT32_MAX);
	assert_in_range(refill_stats(race.f).faults, 500, UINT32_MAX);
	assert_bytes(race.f->ram, 0xaa, RAM_BYTES);
	assert_int_equal(refill_stats(race.f).errors, 0);
}

/* A block is taken into use as a kernel does: looked at, written, checked, poisoned, reported. */
static void use_block(struct race *race, size_t index, uint64_t *seed)
{
	uint32_t *block = (void *)(race->f->ram + index * BLOCK), value = (uint32_t)*seed;
	const size_t words = BLOCK / sizeof(*block);
	size_t step = 1 + next_random(seed) % 64;

	for (size_t i = next_random(seed) % step; i < words; i += step)
		race->wrong += block[i] != POISON;
	for (size_t i = 0; i < words; i += step)
		block[i] = value + (uint32_t)i;
	sched_yield();
	for (size_t i = 0; i < words; i += step)
		race->wrong += block[i] != value + (uint32_t)i;
	memset(block, 0xaa, BLOCK);
	report(race->f, index * BLOCK, BLOCK);
	race->rounds++;
}

static void *use_blocks(void *ctx)
{
	struct race *race = ctx;
	uint64_t seed = ++race->seed * 7919;

	while (race->rounds < 3000) {
		size_t index = next_random(&seed) % (RAM_BYTES / BLOCK);

		if (pthread_mutex_trylock(&race->taken[index]))
			continue;
		use_block(race, index, &seed);
		pthread_mutex_unlock(&race->taken[index]);
	}
	return NULL;
}

static void test_allocators_find_their_poison(void **state)
{
	struct race race = { .f = *state };
	pthread_t users[4];

	memset(race.f->ram, 0xaa, RAM_BYTES);
	poison(race.f, POISON);
	for (size_t i = 0; i < ARRAY_SIZE(race.taken); i++)
		pthread_mutex_init(&race.taken[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++)
		assert_int_equal(pthread_create(&users[i], NULL, use_blocks, &race), 0);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++)
		pthread_join(users[i], NULL);
	assert_int_equal(race.wrong, 0);
	assert_in_range(refill_stats(race.f).faults, 2000, UINT32_MAX);
	assert_bytes(race.f->ram, 0xaa, RAM_BYTES);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reads_as_poison),
		TEST(test_any_value_and_a_first_write),
		TEST(test_moved_blocks_are_huge),
		TEST(test_copies_where_nothing_moves),
		TEST(test_edges_are_refused),
		TEST(test_what_is_absent_stays_so),
		TEST(test_the_kernel_waits_too),
		TEST(test_other_sources_read_as_zeroes),
		TEST(test_reset_begins_anew),
		TEST(test_a_value_belongs_to_what_was_released),
		TEST(test_regions_come_and_go),
		TEST(test_memfd),
		TEST(test_memfd_of_a_host_that_cannot),
		TEST(test_files_are_not_refilled),
		TEST(test_inhibited),
		TEST(test_runs_are_bounded),
		TEST(test_no_privilege),
		TEST(test_set_up_failures_leave_nothing),
		TEST(test_any_call_may_fail),
		TEST(test_accesses_wait_for_memory),
		TEST(test_guards_that_stay),
		TEST(test_readers_see_nothing_but_poison),
		TEST(test_allocators_find_their_poison),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
