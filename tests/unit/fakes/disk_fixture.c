/* SPDX-License-Identifier: Apache-2.0 */
/* See disk_fixture.h. __wrap_* and __real_* are the linker's names (ld --wrap). */
#include "disk_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct io_uring;
struct io_uring_params;

struct disk_fixture fix;

int __real_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params);
ssize_t __real_preadv(int fd, const struct iovec *segments, int count, off_t offset);
ssize_t __wrap_preadv(int fd, const struct iovec *segments, int count, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *segments, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *segments, int count, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size);
int __real_stat(const char *path, struct stat *status);
int __wrap_stat(const char *path, struct stat *status);
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);
int __wrap_ioctl(int fd, unsigned long request, void *answer);

struct timespec;
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left);

/* Time passes at once. */
int __wrap_nanosleep(const struct timespec *pause, struct timespec *left)
{
	(void)pause;
	(void)left;
	fix.naps++;
	if (fix.naps_left && --fix.naps_left == 0) {
		disk_close(fix.disk);
		fix.disk = NULL;
	}
	return 0;
}

int __real_statx(int fd, const char *path, int flags, unsigned int mask, struct statx *status);
int __wrap_statx(int fd, const char *path, int flags, unsigned int mask, struct statx *status);

int __wrap_statx(int fd, const char *path, int flags, unsigned int mask, struct statx *status)
{
	int r = __real_statx(fd, path, flags, mask, status);

	if (!fix.direct_block_bytes)
		return r;
	status->stx_mask |= STATX_DIOALIGN;
	status->stx_dio_mem_align = 512;
	status->stx_dio_offset_align = fix.direct_block_bytes;
	return 0;
}

static int disguise(int result, struct stat *status)
{
	if (fix.block_device)
		status->st_mode = S_IFBLK | 0600;
	return result;
}

int __wrap_stat(const char *path, struct stat *status)
{
	return disguise(__real_stat(path, status), status);
}

int __wrap_fstat(int fd, struct stat *status)
{
	return disguise(__real_fstat(fd, status), status);
}

int __wrap_ioctl(int fd, unsigned long request, void *answer)
{
	(void)fd;
	errno = fix.ioctl_code;
	if (fix.ioctl_code)
		return -1;
	if (request == BLKGETSIZE64)
		*(uint64_t *)answer = IMAGE_BYTES;
	else if (request == BLKSSZGET)
		*(int *)answer = 4096;
	else if (request == BLKPBSZGET)
		*(unsigned int *)answer = 8192;
	else
		fail_msg("an ioctl that is not one of a disk's");
	return 0;
}

int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
	return fix.plain ? NO_RING_RESULT
	                 : __real_io_uring_queue_init_params(entries, ring, params);
}

static bool fails(void)
{
	if (!fix.fail_count)
		return false;
	fix.fail_count--;
	errno = fix.fail_code;
	return true;
}

/* The first bytes of them, as a host that is interrupted does. */
static int cut(const struct iovec *segments, int count, struct iovec *ret_cut)
{
	size_t left_bytes = fix.most_bytes;
	int i;

	for (i = 0; i < count && i < 3 && left_bytes; i++) {
		ret_cut[i] = segments[i];
		if (ret_cut[i].iov_len > left_bytes)
			ret_cut[i].iov_len = left_bytes;
		left_bytes -= ret_cut[i].iov_len;
	}
	return i;
}

ssize_t __wrap_preadv(int fd, const struct iovec *segments, int count, off_t offset)
{
	struct iovec less[3];

	fix.reads++;
	if (fails())
		return -1;
	if (!fix.most_bytes)
		return __real_preadv(fd, segments, count, offset);
	return __real_preadv(fd, less, cut(segments, count, less), offset);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *segments, int count, off_t offset)
{
	struct iovec less[3];

	fix.writes++;
	if (fails())
		return -1;
	if (!fix.most_bytes)
		return __real_pwritev(fd, segments, count, offset);
	return __real_pwritev(fd, less, cut(segments, count, less), offset);
}

int __wrap_fdatasync(int fd)
{
	fix.syncs++;
	errno = fix.sync_code;
	return fails() || fix.sync_code ? -1 : __real_fdatasync(fd);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t size)
{
	fix.allocates++;
	fix.allocate_mode = mode;
	fix.allocate_offset = offset;
	fix.allocate_size = size;
	if (mode & fix.refused_mode) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return fails() ? -1 : __real_fallocate(fd, mode, offset, size);
}

/* --- set-up --- */

void make_file(const char *path, off_t size_bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size_bytes), 0);
	close(fd);
}

int disk_set_up(void **state)
{
	(void)state;
	memset(&fix, 0, sizeof(fix));
	strcpy(fix.folder, "/tmp/ebb-test-disk-XXXXXX");
	if (!mkdtemp(fix.folder))
		return -1;
	snprintf(fix.path, sizeof(fix.path), "%s/image", fix.folder);
	make_file(fix.path, IMAGE_BYTES);
	return event_loop_create(NULL, &fix.loop, NULL);
}

int disk_set_up_plain(void **state)
{
	int r = disk_set_up(state);

	fix.plain = true;
	return r;
}

int disk_tear_down(void **state)
{
	(void)state;
	disk_close(fix.disk);
	event_loop_destroy(fix.loop);
	unlink(fix.path);
	return rmdir(fix.folder);
}

static void on_done(void *ctx, struct disk_request *request)
{
	assert_ptr_equal(ctx, &fix);
	fix.done[fix.done_count++ % REQUESTS] = request;
	if (fix.submit_again) {
		fix.submit_again = false;
		fix.expected++;
		disk_submit(fix.disk, request);
		disk_start(fix.disk);
	}
	if (fix.done_count == fix.expected)
		event_loop_stop(fix.loop);
}

static void on_settled(void *ctx)
{
	assert_ptr_equal(ctx, &fix);
	fix.settled_count++;
}

int open_disk(struct disk **ret_disk, struct error *err)
{
	const struct disk_setup setup = { .path = fix.path,
		                          .readonly = fix.readonly,
		                          .direct = fix.direct,
		                          .loop = fix.loop,
		                          .settled = on_settled };

	return disk_open(&setup, on_done, &fix, ret_disk, err);
}

void open_it(void)
{
	struct error err = ERROR_INIT;

	if (open_disk(&fix.disk, &err))
		fail_msg("%s", err.message);
	assert_int_equal(disk_why_no_ring(fix.disk) == NO_RING_RESULT, fix.plain);
}

struct disk_request *make(unsigned int i, enum disk_op op, void *bytes, uint64_t offset,
                          uint64_t size)
{
	struct disk_request *request = &fix.requests[i];

	fix.segments[i][0] = (struct iovec){ bytes, size };
	*request = (struct disk_request){ .op = op, .offset_bytes = offset, .size_bytes = size };
	if (op == DISK_READ || op == DISK_WRITE) {
		request->segments = fix.segments[i];
		request->segment_count = 1;
	}
	request->result = 12345;
	return request;
}

void submit(struct disk_request *request)
{
	disk_submit(fix.disk, request);
	fix.expected++;
}

/* Runs the loop until all that was submitted is done. */
void finish(void)
{
	disk_start(fix.disk);
	if (fix.done_count < fix.expected)
		assert_int_equal(event_loop_run(fix.loop), 0);
	else
		event_loop_stop(fix.loop), (void)event_loop_run(fix.loop);
	assert_int_equal(fix.done_count, fix.expected);
}

int run(enum disk_op op, void *bytes, uint64_t offset, uint64_t size)
{
	submit(make(0, op, bytes, offset, size));
	finish();
	return fix.requests[0].result;
}

void fill(void *bytes, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)bytes)[i] = (uint8_t)(seed + i * 7 + i / 251);
}

void read_file(void *bytes, size_t size, off_t offset)
{
	int fd = open(fix.path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, size, offset), size);
	close(fd);
}

uint64_t file_blocks(void)
{
	int fd = open(fix.path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	assert_true(fd >= 0);
	assert_int_equal(__real_fdatasync(fd), 0); /* space is given out late */
	assert_int_equal(fstat(fd, &status), 0);
	close(fd);
	return (uint64_t)status.st_blocks;
}
