/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: disk_fixture failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
/* wraps: io_uring_queue_init_params preadv pwritev fdatasync fallocate stat fstat ioctl */
/* wraps: statx nanosleep */
/*
 * Requests of a disk on files of this host: by io_uring where it has it, and by plain system calls,
 * which the test can make short or fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_fixture.h"

/* --- reads and writes --- */

static void what_is_written_is_read(void **state)
{
	static uint8_t written[REQUESTS][4096], got[REQUESTS][4096], file[REQUESTS * 4096];

	(void)state;
	open_it();
	assert_int_equal(disk_geometry(fix.disk)->size_bytes, IMAGE_BYTES);
	assert_int_equal(disk_geometry(fix.disk)->logical_block_bytes, 512);
	assert_true(disk_geometry(fix.disk)->physical_block_bytes >= 512);
	/* More than there are jobs. */
	for (unsigned int i = 0; i < REQUESTS; i++) {
		fill(written[i], 4096, i);
		submit(make(i, DISK_WRITE, written[i], (uint64_t)i * 4096, 4096));
	}
	assert_int_equal(fix.done_count, 0);
	finish();
	for (unsigned int i = 0; i < REQUESTS; i++)
		assert_int_equal(fix.requests[i].result, 0);
	read_file(file, sizeof(file), 0);
	assert_memory_equal(file, written, sizeof(file));
	for (unsigned int i = 0; i < REQUESTS; i++)
		submit(make(i, DISK_READ, got[i], (uint64_t)i * 4096, 4096));
	finish();
	assert_memory_equal(got, written, sizeof(file));
	assert_in_range(fix.settled_count, 1, fix.expected);
	if (disk_why_no_ring(fix.disk))
		assert_int_equal(disk_system_calls(fix.disk), fix.expected);
	else
		assert_in_range(disk_system_calls(fix.disk), 1, fix.expected / 2);
}

static void segments_are_gathered(void **state)
{
	static uint8_t bytes[8192], got[8192];
	struct disk_request *request;

	(void)state;
	open_it();
	fill(bytes, sizeof(bytes), 3);
	request = make(0, DISK_WRITE, bytes, 1024, 8192);
	fix.segments[0][0] = (struct iovec){ bytes, 100 };
	fix.segments[0][1] = (struct iovec){ bytes + 100, 0 };
	fix.segments[0][2] = (struct iovec){ bytes + 100, 8092 };
	request->segment_count = 3;
	submit(request);
	finish();
	assert_int_equal(request->result, 0);
	read_file(got, sizeof(got), 1024);
	assert_memory_equal(got, bytes, sizeof(got));
}

static void short_transfers_go_on(void **state)
{
	static uint8_t bytes[6000 - 368], got[sizeof(bytes)];
	struct disk_request *request;

	(void)state;
	open_it();
	fix.most_bytes = 700;
	fill(bytes, sizeof(bytes), 9);
	request = make(0, DISK_WRITE, bytes, 512, sizeof(bytes));
	fix.segments[0][0] = (struct iovec){ bytes, 1000 };
	fix.segments[0][1] = (struct iovec){ bytes + 1000, 0 };
	fix.segments[0][2] = (struct iovec){ bytes + 1000, sizeof(bytes) - 1000 };
	request->segment_count = 3;
	submit(request);
	finish();
	assert_int_equal(request->result, 0);
	assert_in_range(fix.writes, sizeof(bytes) / 700, sizeof(bytes) / 700 + 3);
	read_file(got, sizeof(got), 512);
	assert_memory_equal(got, bytes, sizeof(got));
	memset(got, 0, sizeof(got));
	assert_int_equal(run(DISK_READ, got, 512, sizeof(got)), 0);
	assert_memory_equal(got, bytes, sizeof(got));
}

static void what_comes_to_nothing_is_tried_again(void **state)
{
	static const int codes[] = { EINTR, EAGAIN };
	static uint8_t bytes[512];

	(void)state;
	open_it();
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		fix.fail_code = codes[i];
		fix.fail_count = 5;
		assert_int_equal(run(DISK_WRITE, bytes, 0, 512), 0);
		fix.fail_count = 5;
		assert_int_equal(run(DISK_READ, bytes, 0, 512), 0);
		fix.fail_count = 5;
		assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
		fix.fail_count = 5;
		assert_int_equal(run(DISK_DISCARD, NULL, 0, 4096), 0);
	}
	fix.fail_code = EAGAIN; /* not for ever */
	fix.fail_count = 1000;
	assert_int_equal(run(DISK_WRITE, bytes, 0, 512), -EIO);
	assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), -EIO);
	fix.fail_count = 0;
	assert_int_equal(run(DISK_WRITE, bytes, 0, 512), 0);
	assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
}

static void errors_are_the_requests_own(void **state)
{
	static const int codes[] = { ENOSPC, EIO, EFAULT, EDQUOT, EROFS };
	static uint8_t bytes[512];

	(void)state;
	open_it();
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		fix.fail_code = codes[i];
		fix.fail_count = 1;
		submit(make(0, DISK_WRITE, bytes, 0, 512));
		submit(make(1, DISK_WRITE, bytes, 512, 512));
		finish();
		assert_int_equal(fix.requests[0].result, -codes[i]);
		assert_int_equal(fix.requests[1].result, 0);
	}
}

/* A full disk in the middle of a write: the rest fails, and there is room later. */
static void a_full_disk_recovers(void **state)
{
	static uint8_t bytes[4096], got[4096];
	struct rlimit limit, small;

	(void)state;
	fill(bytes, sizeof(bytes), 1);
	open_it();
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 10240; /* writing goes as far as that */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	submit(make(0, DISK_WRITE, bytes, 8192, 4096));
	finish();
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(fix.requests[0].result, -EFBIG);
	assert_int_equal(run(DISK_WRITE, bytes, 8192, 4096), 0);
	read_file(got, 4096, 8192);
	assert_memory_equal(got, bytes, 4096);
}

static void an_image_that_shrinks(void **state)
{
	static uint8_t bytes[8192];

	(void)state;
	open_it();
	assert_int_equal(truncate(fix.path, IMAGE_BYTES / 2 + 1000), 0);
	assert_int_equal(run(DISK_READ, bytes, IMAGE_BYTES - 8192, 8192), -EIO);
	assert_int_equal(run(DISK_READ, bytes, IMAGE_BYTES / 2, 8192), -EIO);
	assert_int_equal(run(DISK_READ, bytes, 0, 8192), 0);
	/* What is written is there, and so is the image up to it. */
	assert_int_equal(run(DISK_WRITE, bytes, IMAGE_BYTES - 8192, 8192), 0);
	assert_int_equal(run(DISK_READ, bytes, IMAGE_BYTES / 2, 8192), 0);
}

/* As with a block of virtio-mem that is unplugged meanwhile. */
static void memory_that_goes_away(void **state)
{
	uint8_t *memory = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static uint8_t bytes[4096];

	(void)state;
	assert_true(memory != MAP_FAILED);
	open_it();
	assert_int_equal(run(DISK_READ, memory, 0, 8192), -EFAULT);
	assert_int_equal(run(DISK_WRITE, memory, 0, 8192), -EFAULT);
	assert_int_equal(run(DISK_READ, bytes, 0, 4096), 0);
	munmap(memory, 8192);
}

static void one_done_may_submit_again(void **state)
{
	static uint8_t bytes[512];

	(void)state;
	open_it();
	fix.submit_again = true;
	assert_int_equal(run(DISK_READ, bytes, 0, 512), 0);
	assert_int_equal(fix.done_count, 2);
	/* One with nothing to do is told from within disk_start. */
	fix.submit_again = true;
	assert_int_equal(run(DISK_WRITE, bytes, 0, 0), 0);
	assert_int_equal(fix.done_count, 4);
}

static void draining_leaves_nothing(void **state)
{
	static uint8_t bytes[REQUESTS][4096];

	(void)state;
	open_it();
	disk_drain(fix.disk);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		static const enum disk_op ops[] = { DISK_WRITE, DISK_READ, DISK_FLUSH, DISK_WRITE,
			                            DISK_DISCARD };
		enum disk_op op = ops[i % ARRAY_SIZE(ops)];

		make(i, op, bytes[i], (uint64_t)i * 4096, op == DISK_FLUSH ? 0 : 4096);
		fix.requests[i].durable = i % 3 == 0;
		submit(&fix.requests[i]);
		if (i == REQUESTS / 2)
			disk_start(fix.disk);
	}
	disk_drain(fix.disk);
	assert_int_equal(fix.done_count, REQUESTS);
	for (unsigned int i = 0; i < REQUESTS; i++)
		assert_int_equal(fix.requests[i].result, 0);
}

/* --- the medium --- */

static void a_flush_covers_what_was_done(void **state)
{
	static uint8_t bytes[512];

	(void)state;
	open_it();
	for (unsigned int i = 0; i < 20; i++)
		submit(make(i, DISK_FLUSH, NULL, 0, 0));
	finish();
	assert_int_equal(fix.syncs, 1); /* of all */
	assert_int_equal(run(DISK_WRITE, bytes, 0, 512), 0);
	assert_int_equal(fix.syncs, 1);
	assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
	assert_int_equal(fix.syncs, 2);
}

/* One that comes while a sync's end is told has its own. */
static void a_flush_that_comes_while_one_is_told(void **state)
{
	(void)state;
	open_it();
	fix.fail_code = EIO;
	fix.fail_count = 1;
	fix.submit_again = true;
	submit(make(0, DISK_FLUSH, NULL, 0, 0));
	submit(make(1, DISK_FLUSH, NULL, 0, 0));
	finish();
	assert_int_equal(fix.done_count, 3);
	assert_int_equal(fix.syncs, 2);
	assert_int_equal(fix.requests[0].result, 0);
	assert_int_equal(fix.requests[1].result, -EIO);
}

static void durable_is_synced_before_it_is_told(void **state)
{
	static const enum disk_op ops[] = { DISK_WRITE, DISK_DISCARD, DISK_WRITE_ZEROES };
	static uint8_t bytes[20][512];

	(void)state;
	open_it();
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		fix.syncs = 0;
		make(0, ops[i], bytes, 4096, 512)->durable = true;
		submit(&fix.requests[0]);
		finish();
		assert_int_equal(fix.requests[0].result, 0);
		assert_int_equal(fix.syncs, 1);
	}
	fix.syncs = 0;
	for (unsigned int i = 0; i < 20; i++) {
		make(i, DISK_WRITE, bytes[i], 512 * i, 512)->durable = true;
		submit(&fix.requests[i]);
	}
	finish();
	assert_int_equal(fix.syncs, 1);
	/* One that cannot be brought there is not done. */
	fix.sync_code = EIO;
	make(0, DISK_WRITE, bytes, 0, 512)->durable = true;
	submit(&fix.requests[0]);
	finish();
	assert_int_equal(fix.requests[0].result, -EIO);
	fix.sync_code = 0;
	submit(&fix.requests[0]);
	finish();
	assert_int_equal(fix.requests[0].result, 0);
}

static void a_sync_that_fails_is_told_to_all(void **state)
{
	(void)state;
	open_it();
	fix.fail_code = EIO;
	fix.fail_count = 1;
	submit(make(0, DISK_FLUSH, NULL, 0, 0));
	submit(make(1, DISK_FLUSH, NULL, 0, 0));
	finish();
	assert_int_equal(fix.requests[0].result, -EIO);
	assert_int_equal(fix.requests[1].result, -EIO);
	assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
}

/* --- space --- */

static void a_discard_gives_space_back(void **state)
{
	static uint8_t bytes[MIB], got[MIB];
	uint64_t before;

	(void)state;
	open_it();
	if (!disk_geometry(fix.disk)->can_discard)
		skip();
	fill(bytes, sizeof(bytes), 5);
	assert_int_equal(run(DISK_WRITE, bytes, 0, MIB), 0);
	before = file_blocks();
	assert_int_equal(run(DISK_DISCARD, NULL, 0, MIB / 2), 0);
	assert_true(before - file_blocks() >= MIB / 2 / 512);
	memset(bytes, 0, MIB / 2);
	assert_int_equal(run(DISK_READ, got, 0, MIB), 0);
	assert_memory_equal(got, bytes, MIB);
}

static void zeroes_are_read_however_they_came(void **state)
{
	static uint8_t bytes[3 * MIB], got[3 * MIB];
	const uint64_t from = 1536, size = 2 * MIB + 512;

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		static const int refused_modes[] = { 0, FALLOC_FL_PUNCH_HOLE,
			                             FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE };

		fix.refused_mode = 0;
		open_it();
		fix.refused_mode = fix.plain ? refused_modes[i / 2] : 0;
		fill(bytes, sizeof(bytes), i);
		assert_int_equal(run(DISK_WRITE, bytes, 0, sizeof(bytes)), 0);
		memset(bytes + from, 0, size);
		fix.writes = fix.allocates = 0;
		make(0, DISK_WRITE_ZEROES, NULL, from, size)->unmap = i % 2;
		submit(&fix.requests[0]);
		finish();
		assert_int_equal(fix.requests[0].result, 0);
		assert_int_equal(run(DISK_READ, got, 0, sizeof(got)), 0);
		assert_memory_equal(got, bytes, sizeof(got));
		if (i / 2 == 2 && fix.plain) {
			assert_int_equal(fix.writes, 3); /* of a MiB at the most */
			assert_int_equal(fix.allocates, 1 + i % 2);
			fix.allocates = 0;
			make(0, DISK_WRITE_ZEROES, NULL, from, 512)->unmap = i % 2;
			submit(&fix.requests[0]);
			finish();
			assert_int_equal(fix.allocates, 0); /* it is known by now */
		}
		disk_close(fix.disk);
		fix.disk = NULL;
	}
}

static void a_host_without_holes(void **state)
{
	(void)state;
	fix.refused_mode = FALLOC_FL_PUNCH_HOLE;
	open_it();
	assert_false(disk_geometry(fix.disk)->can_discard);
	assert_false(disk_geometry(fix.disk)->can_write_zeroes);
	assert_int_equal(run(DISK_DISCARD, NULL, 0, 4096), -EOPNOTSUPP);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 0, 4096), 0);
}

static void a_host_whose_holes_end(void **state)
{
	(void)state;
	open_it();
	assert_true(disk_geometry(fix.disk)->can_discard);
	fix.refused_mode = FALLOC_FL_PUNCH_HOLE;
	assert_int_equal(run(DISK_DISCARD, NULL, 0, 4096), -EOPNOTSUPP);
	fix.allocates = 0;
	assert_int_equal(run(DISK_DISCARD, NULL, 0, 4096), -EOPNOTSUPP);
	assert_int_equal(fix.allocates, 0);
}

static void a_full_disk_may_have_no_room_for_zeroes(void **state)
{
	(void)state;
	open_it();
	fix.fail_code = ENOSPC;
	fix.fail_count = 1;
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 0, 4096), -ENOSPC);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 0, 4096), 0);
}

/* --- direct --- */

static void take_anything(void)
{
	static uint8_t shadow[MIB], got[MIB], memory[600 * KIB + 4096];
	uint32_t random = 1;

	open_it();
	for (unsigned int i = 0; i < 60; i++) {
		uint64_t size, offset, skew;

		random = random * 1664525 + 1013904223;
		size = 512 * (1 + (random >> 8) % (i % 10 ? 40 : 1100));
		offset = 512 * ((random >> 16) % ((MIB - size) / 512));
		skew = i % 3 ? (random >> 5) % 4096 : 0;
		fill(memory + skew, size, i);
		memcpy(shadow + offset, memory + skew, size);
		make(0, DISK_WRITE, memory + skew, offset, size)->durable = i % 7 == 0;
		submit(&fix.requests[0]);
		finish();
		assert_int_equal(fix.requests[0].result, 0);
		memset(memory, 0, sizeof(memory));
		assert_int_equal(run(DISK_READ, memory + skew, offset, size), 0);
		assert_memory_equal(memory + skew, shadow + offset, size);
	}
	read_file(got, MIB, 0);
	assert_memory_equal(got, shadow, MIB);
	memset(shadow + 1536, 0, 70 * KIB);
	fix.refused_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 1536, 70 * KIB), 0);
	assert_int_equal(run(DISK_READ, got, 0, MIB), 0);
	assert_memory_equal(got, shadow, MIB);
}

/* Any alignment, past the page cache; every write leaves its neighbours alone. */
static void direct_takes_anything(void **state)
{
	static const uint32_t blocks[] = { 0, 512, 4096, 16384 };

	(void)state;
	fix.direct = true;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		fix.direct_block_bytes = blocks[i];
		fix.refused_mode = 0;
		make_file(fix.path, IMAGE_BYTES);
		take_anything();
		disk_close(fix.disk);
		fix.disk = NULL;
	}
}

/* What is around zeroes that the host makes by itself is not put back over them. */
static void direct_parts_leave_zeroes_alone(void **state)
{
	static uint8_t bytes[64 * KIB], got[64 * KIB];

	(void)state;
	fix.direct = true;
	fix.direct_block_bytes = 4096;
	open_it();
	for (unsigned int round = 0; round < 4; round++) {
		fill(bytes, sizeof(bytes), 17 + round);
		assert_int_equal(run(DISK_WRITE, bytes, 0, sizeof(bytes)), 0);
		for (unsigned int i = 0; i < sizeof(bytes) / 512; i++) {
			make(i, i % 2 ? DISK_WRITE_ZEROES : DISK_WRITE, bytes + i * 512, i * 512,
			     512);
			fix.requests[i].unmap = i % 4 == 1;
			submit(&fix.requests[i]);
		}
		finish();
		for (unsigned int i = 1; i < sizeof(bytes) / 512; i += 2)
			memset(bytes + i * 512, 0, 512);
		assert_int_equal(run(DISK_READ, got, 0, sizeof(got)), 0);
		assert_memory_equal(got, bytes, sizeof(got));
	}
}

/* Parts of one block, all at once. */
static void direct_parts_do_not_lose_each_other(void **state)
{
	static uint8_t bytes[256][512], got[256 * 512];

	(void)state;
	fix.direct = true;
	fix.direct_block_bytes = 4096;
	open_it();
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < 256; i++) {
			fill(bytes[i], 512, i + round);
			submit(make(i, DISK_WRITE, bytes[i], 512 * i, 512));
		}
		finish();
		for (unsigned int i = 0; i < 256; i++)
			assert_int_equal(fix.requests[i].result, 0);
		read_file(got, sizeof(got), 0);
		assert_memory_equal(got, bytes, sizeof(got));
	}
}

static void direct_memory_that_goes_away(void **state)
{
	uint8_t *memory = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(memory != MAP_FAILED);
	fix.direct = true;
	fix.direct_block_bytes = 4096;
	open_it();
	for (unsigned int skew = 0; skew < 2; skew++) {
		assert_int_equal(run(DISK_READ, memory + skew, 0, 4096), -EFAULT);
		assert_int_equal(run(DISK_WRITE, memory + skew, 0, 4096), -EFAULT);
	}
	munmap(memory, 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(what_is_written_is_read),
		BOTH(segments_are_gathered),
		PLAIN(short_transfers_go_on),
		PLAIN(what_comes_to_nothing_is_tried_again),
		PLAIN(errors_are_the_requests_own),
		BOTH(a_full_disk_recovers),
		BOTH(an_image_that_shrinks),
		BOTH(memory_that_goes_away),
		BOTH(one_done_may_submit_again),
		BOTH(draining_leaves_nothing),
		PLAIN(a_flush_covers_what_was_done),
		PLAIN(a_flush_that_comes_while_one_is_told),
		PLAIN(durable_is_synced_before_it_is_told),
		PLAIN(a_sync_that_fails_is_told_to_all),
		BOTH(a_discard_gives_space_back),
		BOTH(zeroes_are_read_however_they_came),
		PLAIN(a_host_without_holes),
		PLAIN(a_host_whose_holes_end),
		PLAIN(a_full_disk_may_have_no_room_for_zeroes),
		BOTH(direct_takes_anything),
		BOTH(direct_parts_leave_zeroes_alone),
		BOTH(direct_parts_do_not_lose_each_other),
		BOTH(direct_memory_that_goes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
