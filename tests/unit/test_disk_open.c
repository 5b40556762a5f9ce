/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: disk_fixture failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
/* wraps: io_uring_queue_init_params preadv pwritev fdatasync fallocate stat fstat ioctl */
/* wraps: statx nanosleep */
/*
 * What a disk may be, whose it is, and what is found out about it.
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
#include "failures.h"

static void refused(const char *why)
{
	struct error err = ERROR_INIT;
	struct disk *disk = (struct disk *)&fix;

	assert_int_equal(open_disk(&disk, &err), -EINVAL);
	assert_ptr_equal(disk, &fix);
	if (!strstr(err.message, why) || !strstr(err.message, fix.path))
		fail_msg("not \"%s\" but \"%s\"", why, err.message);
}

/* --- a block device --- */

static void a_block_device_has_whole_blocks(void **state)
{
	static uint8_t bytes[16384], got[16384];

	(void)state;
	fix.block_device = true;
	open_it();
	assert_int_equal(disk_geometry(fix.disk)->size_bytes, IMAGE_BYTES);
	assert_int_equal(disk_geometry(fix.disk)->logical_block_bytes, 4096);
	assert_int_equal(disk_geometry(fix.disk)->physical_block_bytes, 8192);
	assert_true(disk_geometry(fix.disk)->can_discard);
	assert_int_equal(fix.allocates, 0); /* nothing is tried on it */
	/* A discard may be less than was asked for. */
	assert_int_equal(run(DISK_DISCARD, NULL, 512, 4096), 0);
	assert_int_equal(fix.allocates, 0);
	assert_int_equal(run(DISK_DISCARD, NULL, 512, 8192), 0);
	assert_int_equal(fix.allocates, 1);
	assert_int_equal(fix.allocate_offset, 4096);
	assert_int_equal(fix.allocate_size, 4096);
	/* Zeroes may not: parts of blocks are written. */
	fill(bytes, sizeof(bytes), 1);
	assert_int_equal(run(DISK_WRITE, bytes, 0, sizeof(bytes)), 0);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 512, 8192), 0);
	assert_int_equal(fix.allocates, 1);
	assert_int_equal(fix.writes, 2);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 12288, 4096), 0);
	assert_int_equal(fix.allocates, 2);
	assert_int_equal(fix.allocate_mode, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	memset(bytes + 512, 0, 8192);
	memset(bytes + 12288, 0, 4096);
	assert_int_equal(run(DISK_READ, got, 0, sizeof(got)), 0);
	assert_memory_equal(got, bytes, sizeof(got));
}

static void a_block_device_that_does_not_answer(void **state)
{
	struct error err = ERROR_INIT;
	struct disk *disk;

	(void)state;
	fix.block_device = true;
	fix.ioctl_code = EIO;
	assert_int_equal(open_disk(&disk, &err), -EIO);
	assert_non_null(strstr(err.message, "its size"));
}

/* --- opening --- */

static void what_is_no_disk_is_refused(void **state)
{
	char path[96];

	(void)state;
	strcpy(path, fix.path);
	strcpy(fix.path, "/dev/null");
	refused("neither a file nor a block device");
	strcpy(fix.path, fix.folder);
	refused("--share");
	snprintf(fix.path, sizeof(fix.path), "%s/none", fix.folder);
	refused("no such file");
	assert_int_equal(mkfifo(fix.path, 0600), 0);
	refused("neither a file nor a block device");
	unlink(fix.path);
	make_file(fix.path, 0);
	refused("empty");
	make_file(fix.path, 1000);
	refused("`truncate -s %512 FILE`");
	unlink(fix.path);
	strcpy(fix.path, path);
}

static void direct_asks_for_whole_blocks(void **state)
{
	(void)state;
	fix.direct = true;
	fix.direct_block_bytes = 4096;
	open_it();
	assert_int_equal(disk_geometry(fix.disk)->logical_block_bytes, 512);
	assert_in_range(disk_geometry(fix.disk)->physical_block_bytes, 4096, 65536);
	disk_close(fix.disk);
	fix.disk = NULL;
	make_file(fix.path, IMAGE_BYTES + 512);
	refused("`truncate -s %4096 FILE`, or leave out direct");
	fix.direct_block_bytes = 128 * KIB;
	refused("leave out direct");
	fix.direct = false;
	open_it();
}

static void formats_are_refused(void **state)
{
	static const struct {
		const char *bytes, *what;
	} formats[] = {
		{ "QFI\xfb\0\0\0\3", "of one that no guest had as its disk" },
		{ "KDMV\1\0\0\0", "VMDK" },
		{ "vhdxfile", "VHDX" },
		{ "\xfd"
		  "7zXZ\0\0\4",
		  "xz -d" },
		{ "\x1f\x8b\x08\0\0\0\0", "gzip -d" },
		{ "\x28\xb5\x2f\xfd\4\0\0", "zstd -d" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		int fd = open(fix.path, O_WRONLY | O_CLOEXEC);

		assert_int_equal(pwrite(fd, formats[i].bytes, 8, 0), 8);
		close(fd);
		refused(formats[i].what);
	}
}

static void one_writer_or_many_readers(void **state)
{
	struct error err = ERROR_INIT;
	struct disk *second, *third;

	(void)state;
	open_it();
	refused("another VM has it");
	fix.readonly = true;
	refused("another VM writes it");
	disk_close(fix.disk);
	open_it();
	assert_int_equal(open_disk(&second, &err), 0);
	assert_int_equal(open_disk(&third, &err), 0);
	fix.readonly = false;
	refused("another VM has it");
	disk_close(second);
	disk_close(third);
	disk_close(fix.disk);
	open_it();
}

/* As that of a VM that was killed, once its I/O has ended. */
static void a_lock_that_goes_is_waited_for(void **state)
{
	struct error err = ERROR_INIT;
	struct disk *second;

	(void)state;
	open_it();
	fix.naps_left = 7;
	assert_int_equal(open_disk(&second, &err), 0);
	assert_null(fix.disk);
	disk_close(second);
	open_it();
	fix.naps = 0;
	refused("another VM has it");
	assert_in_range(fix.naps, 20, 100);
}

static void readonly_writes_nothing(void **state)
{
	static uint8_t bytes[512] = { 1 };

	(void)state;
	assert_int_equal(chmod(fix.path, 0400), 0);
	fix.readonly = true;
	open_it();
	assert_false(disk_geometry(fix.disk)->can_discard);
	assert_false(disk_geometry(fix.disk)->can_write_zeroes);
	assert_int_equal(run(DISK_READ, bytes, 0, 512), 0);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(run(DISK_WRITE, bytes, 0, 512), -EROFS);
	assert_int_equal(run(DISK_DISCARD, NULL, 0, 512), -EROFS);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 0, 512), -EROFS);
	assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
	assert_int_equal(fix.syncs, 0);
}

static void a_limit_on_files_is_met_at_the_start(void **state)
{
	struct rlimit limit, small;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = IMAGE_BYTES - 1;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	refused("ulimit -f");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int create(void *ctx, struct error *err)
{
	(void)ctx;
	return open_disk(&fix.disk, err);
}

static void destroy(void *ctx)
{
	(void)ctx;
	disk_close(fix.disk);
	fix.disk = NULL;
}

static void each_step_of_opening_fails(void **state)
{
	(void)state;
	open_it(); /* the loop has its descriptors */
	destroy(NULL);
	assert_in_range(failures_run(create, destroy, NULL), 3, 20);
	fix.direct = true;
	assert_in_range(failures_run(create, destroy, NULL), 5, 20);
	disk_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(a_block_device_has_whole_blocks),
		PLAIN(a_block_device_that_does_not_answer),
		BOTH(what_is_no_disk_is_refused),
		BOTH(formats_are_refused),
		PLAIN(direct_asks_for_whole_blocks),
		BOTH(one_writer_or_many_readers),
		PLAIN(a_lock_that_goes_is_waited_for),
		BOTH(readonly_writes_nothing),
		BOTH(a_limit_on_files_is_met_at_the_start),
		BOTH(each_step_of_opening_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
