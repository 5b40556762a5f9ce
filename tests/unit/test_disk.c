/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
/* wraps: io_uring_queue_init_params preadv pwritev fdatasync fallocate stat fstat ioctl */
/*
 * A disk on files of this host: by io_uring where it has it, and by plain system calls, which the
 * test can make short or fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
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
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "failures.h"

#include "../../devices/block/disk.h"

#define IMAGE_BYTES    (4 * MIB)
#define REQUESTS       600
#define NO_RING_RESULT (-EPERM)

struct io_uring;
struct io_uring_params;

static struct {
	char folder[64], path[96];
	struct event_loop *loop;
	struct disk *disk;
	bool plain; /* no io_uring */
	bool direct, readonly;
	bool block_device; /* the file passes for one, with blocks of 4096 */
	int ioctl_code;    /* errno of its ioctls; 0: they work */
	struct disk_request requests[REQUESTS];
	struct iovec segments[REQUESTS][3];
	struct disk_request *done[REQUESTS]; /* by order */
	unsigned int done_count, expected, settled_count;
	bool submit_again; /* the next one done, once */
	/* What plain calls answer. */
	size_t most_bytes; /* of one; 0: any */
	int fail_code;     /* the next one's errno; 0: none */
	unsigned int fail_count;
	unsigned int reads, writes, syncs, allocates;
	int allocate_mode; /* the last one's */
	off_t allocate_offset, allocate_size;
	int sync_code;    /* every fdatasync's errno; 0: none */
	int refused_mode; /* of fallocate: any with one of these flags has EOPNOTSUPP */
} t;

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

static int disguise(int result, struct stat *status)
{
	if (t.block_device)
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
	errno = t.ioctl_code;
	if (t.ioctl_code)
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
	return t.plain ? NO_RING_RESULT : __real_io_uring_queue_init_params(entries, ring, params);
}

static bool fails(void)
{
	if (!t.fail_count)
		return false;
	t.fail_count--;
	errno = t.fail_code;
	return true;
}

/* The first bytes of them, as a host that is interrupted does. */
static int cut(const struct iovec *segments, int count, struct iovec *ret_cut)
{
	size_t left_bytes = t.most_bytes;
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

	t.reads++;
	if (fails())
		return -1;
	if (!t.most_bytes)
		return __real_preadv(fd, segments, count, offset);
	return __real_preadv(fd, less, cut(segments, count, less), offset);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *segments, int count, off_t offset)
{
	struct iovec less[3];

	t.writes++;
	if (fails())
		return -1;
	if (!t.most_bytes)
		return __real_pwritev(fd, segments, count, offset);
	return __real_pwritev(fd, less, cut(segments, count, less), offset);
}

int __wrap_fdatasync(int fd)
{
	t.syncs++;
	errno = t.sync_code;
	return fails() || t.sync_code ? -1 : __real_fdatasync(fd);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t size)
{
	t.allocates++;
	t.allocate_mode = mode;
	t.allocate_offset = offset;
	t.allocate_size = size;
	if (mode & t.refused_mode) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return fails() ? -1 : __real_fallocate(fd, mode, offset, size);
}

/* --- set-up --- */

static void make_file(const char *path, off_t size_bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size_bytes), 0);
	close(fd);
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	strcpy(t.folder, "/tmp/ebb-test-disk-XXXXXX");
	if (!mkdtemp(t.folder))
		return -1;
	snprintf(t.path, sizeof(t.path), "%s/image", t.folder);
	make_file(t.path, IMAGE_BYTES);
	return event_loop_create(NULL, &t.loop, NULL);
}

static int set_up_plain(void **state)
{
	int r = set_up(state);

	t.plain = true;
	return r;
}

static int tear_down(void **state)
{
	(void)state;
	disk_close(t.disk);
	event_loop_destroy(t.loop);
	unlink(t.path);
	return rmdir(t.folder);
}

static void on_done(void *ctx, struct disk_request *request)
{
	assert_ptr_equal(ctx, &t);
	t.done[t.done_count++ % REQUESTS] = request;
	if (t.submit_again) {
		t.submit_again = false;
		t.expected++;
		disk_submit(t.disk, request);
		disk_start(t.disk);
	}
	if (t.done_count == t.expected)
		event_loop_stop(t.loop);
}

static void on_settled(void *ctx)
{
	assert_ptr_equal(ctx, &t);
	t.settled_count++;
}

static int open_disk(struct disk **ret_disk, struct error *err)
{
	const struct disk_setup setup = { .path = t.path,
		                          .readonly = t.readonly,
		                          .direct = t.direct,
		                          .loop = t.loop,
		                          .settled = on_settled };

	return disk_open(&setup, on_done, &t, ret_disk, err);
}

static void open_it(void)
{
	struct error err = ERROR_INIT;

	if (open_disk(&t.disk, &err))
		fail_msg("%s", err.message);
	assert_int_equal(disk_why_no_ring(t.disk) == NO_RING_RESULT, t.plain);
}

static void refused(const char *why)
{
	struct error err = ERROR_INIT;
	struct disk *disk = (struct disk *)&t;

	assert_int_equal(open_disk(&disk, &err), -EINVAL);
	assert_ptr_equal(disk, &t);
	if (!strstr(err.message, why) || !strstr(err.message, t.path))
		fail_msg("not \"%s\" but \"%s\"", why, err.message);
}

static struct disk_request *make(unsigned int i, enum disk_op op, void *bytes, uint64_t offset,
                                 uint64_t size)
{
	struct disk_request *request = &t.requests[i];

	t.segments[i][0] = (struct iovec){ bytes, size };
	*request = (struct disk_request){ .op = op, .offset_bytes = offset, .size_bytes = size };
	if (op == DISK_READ || op == DISK_WRITE) {
		request->segments = t.segments[i];
		request->segment_count = 1;
	}
	request->result = 12345;
	return request;
}

static void submit(struct disk_request *request)
{
	disk_submit(t.disk, request);
	t.expected++;
}

/* Runs the loop until all that was submitted is done. */
static void finish(void)
{
	disk_start(t.disk);
	if (t.done_count < t.expected)
		assert_int_equal(event_loop_run(t.loop), 0);
	else
		event_loop_stop(t.loop), (void)event_loop_run(t.loop);
	assert_int_equal(t.done_count, t.expected);
}

static int run(enum disk_op op, void *bytes, uint64_t offset, uint64_t size)
{
	submit(make(0, op, bytes, offset, size));
	finish();
	return t.requests[0].result;
}

static void fill(void *bytes, size_t size, unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)bytes)[i] = (uint8_t)(seed + i * 7 + i / 251);
}

static void read_file(void *bytes, size_t size, off_t offset)
{
	int fd = open(t.path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, size, offset), size);
	close(fd);
}

static uint64_t file_blocks(void)
{
	int fd = open(t.path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	assert_true(fd >= 0);
	assert_int_equal(__real_fdatasync(fd), 0); /* space is given out late */
	assert_int_equal(fstat(fd, &status), 0);
	close(fd);
	return (uint64_t)status.st_blocks;
}

/* --- reads and writes --- */

static void what_is_written_is_read(void **state)
{
	static uint8_t written[REQUESTS][4096], got[REQUESTS][4096], file[REQUESTS * 4096];

	(void)state;
	open_it();
	assert_int_equal(disk_geometry(t.disk)->size_bytes, IMAGE_BYTES);
	assert_int_equal(disk_geometry(t.disk)->logical_block_bytes, 512);
	assert_true(disk_geometry(t.disk)->physical_block_bytes >= 512);
	/* More than there are jobs. */
	for (unsigned int i = 0; i < REQUESTS; i++) {
		fill(written[i], 4096, i);
		submit(make(i, DISK_WRITE, written[i], (uint64_t)i * 4096, 4096));
	}
	assert_int_equal(t.done_count, 0);
	finish();
	for (unsigned int i = 0; i < REQUESTS; i++)
		assert_int_equal(t.requests[i].result, 0);
	read_file(file, sizeof(file), 0);
	assert_memory_equal(file, written, sizeof(file));
	for (unsigned int i = 0; i < REQUESTS; i++)
		submit(make(i, DISK_READ, got[i], (uint64_t)i * 4096, 4096));
	finish();
	assert_memory_equal(got, written, sizeof(file));
	assert_in_range(t.settled_count, 1, t.expected);
	if (disk_why_no_ring(t.disk))
		assert_int_equal(disk_system_calls(t.disk), t.expected);
	else
		assert_in_range(disk_system_calls(t.disk), 1, t.expected / 2);
}

static void segments_are_gathered(void **state)
{
	static uint8_t bytes[8192], got[8192];
	struct disk_request *request;

	(void)state;
	open_it();
	fill(bytes, sizeof(bytes), 3);
	request = make(0, DISK_WRITE, bytes, 1024, 8192);
	t.segments[0][0] = (struct iovec){ bytes, 100 };
	t.segments[0][1] = (struct iovec){ bytes + 100, 0 };
	t.segments[0][2] = (struct iovec){ bytes + 100, 8092 };
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
	t.most_bytes = 700;
	fill(bytes, sizeof(bytes), 9);
	request = make(0, DISK_WRITE, bytes, 512, sizeof(bytes));
	t.segments[0][0] = (struct iovec){ bytes, 1000 };
	t.segments[0][1] = (struct iovec){ bytes + 1000, 0 };
	t.segments[0][2] = (struct iovec){ bytes + 1000, sizeof(bytes) - 1000 };
	request->segment_count = 3;
	submit(request);
	finish();
	assert_int_equal(request->result, 0);
	assert_in_range(t.writes, sizeof(bytes) / 700, sizeof(bytes) / 700 + 3);
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
		t.fail_code = codes[i];
		t.fail_count = 5;
		assert_int_equal(run(DISK_WRITE, bytes, 0, 512), 0);
		t.fail_count = 5;
		assert_int_equal(run(DISK_READ, bytes, 0, 512), 0);
		t.fail_count = 5;
		assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
		t.fail_count = 5;
		assert_int_equal(run(DISK_DISCARD, NULL, 0, 4096), 0);
	}
	t.fail_code = EAGAIN; /* not for ever */
	t.fail_count = 1000;
	assert_int_equal(run(DISK_WRITE, bytes, 0, 512), -EIO);
	t.fail_count = 0;
	assert_int_equal(run(DISK_WRITE, bytes, 0, 512), 0);
}

static void errors_are_the_requests_own(void **state)
{
	static const int codes[] = { ENOSPC, EIO, EFAULT, EDQUOT, EROFS };
	static uint8_t bytes[512];

	(void)state;
	open_it();
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		t.fail_code = codes[i];
		t.fail_count = 1;
		submit(make(0, DISK_WRITE, bytes, 0, 512));
		submit(make(1, DISK_WRITE, bytes, 512, 512));
		finish();
		assert_int_equal(t.requests[0].result, -codes[i]);
		assert_int_equal(t.requests[1].result, 0);
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
	assert_int_equal(t.requests[0].result, -EFBIG);
	assert_int_equal(run(DISK_WRITE, bytes, 8192, 4096), 0);
	read_file(got, 4096, 8192);
	assert_memory_equal(got, bytes, 4096);
}

static void an_image_that_shrinks(void **state)
{
	static uint8_t bytes[8192];

	(void)state;
	open_it();
	assert_int_equal(truncate(t.path, IMAGE_BYTES / 2 + 1000), 0);
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
	t.submit_again = true;
	assert_int_equal(run(DISK_READ, bytes, 0, 512), 0);
	assert_int_equal(t.done_count, 2);
	/* One with nothing to do is told from within disk_start. */
	t.submit_again = true;
	assert_int_equal(run(DISK_WRITE, bytes, 0, 0), 0);
	assert_int_equal(t.done_count, 4);
}

static void draining_leaves_nothing(void **state)
{
	static uint8_t bytes[REQUESTS][4096];

	(void)state;
	open_it();
	disk_drain(t.disk);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		static const enum disk_op ops[] = { DISK_WRITE, DISK_READ, DISK_FLUSH, DISK_WRITE,
			                            DISK_DISCARD };
		enum disk_op op = ops[i % ARRAY_SIZE(ops)];

		make(i, op, bytes[i], (uint64_t)i * 4096, op == DISK_FLUSH ? 0 : 4096);
		t.requests[i].durable = i % 3 == 0;
		submit(&t.requests[i]);
		if (i == REQUESTS / 2)
			disk_start(t.disk);
	}
	disk_drain(t.disk);
	assert_int_equal(t.done_count, REQUESTS);
	for (unsigned int i = 0; i < REQUESTS; i++)
		assert_int_equal(t.requests[i].result, 0);
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
	assert_int_equal(t.syncs, 1); /* of all */
	assert_int_equal(run(DISK_WRITE, bytes, 0, 512), 0);
	assert_int_equal(t.syncs, 1);
	assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
	assert_int_equal(t.syncs, 2);
}

static void durable_is_synced_before_it_is_told(void **state)
{
	static const enum disk_op ops[] = { DISK_WRITE, DISK_DISCARD, DISK_WRITE_ZEROES };
	static uint8_t bytes[20][512];

	(void)state;
	open_it();
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		t.syncs = 0;
		make(0, ops[i], bytes, 4096, 512)->durable = true;
		submit(&t.requests[0]);
		finish();
		assert_int_equal(t.requests[0].result, 0);
		assert_int_equal(t.syncs, 1);
	}
	t.syncs = 0;
	for (unsigned int i = 0; i < 20; i++) {
		make(i, DISK_WRITE, bytes[i], 512 * i, 512)->durable = true;
		submit(&t.requests[i]);
	}
	finish();
	assert_int_equal(t.syncs, 1);
	/* One that cannot be brought there is not done. */
	t.sync_code = EIO;
	make(0, DISK_WRITE, bytes, 0, 512)->durable = true;
	submit(&t.requests[0]);
	finish();
	assert_int_equal(t.requests[0].result, -EIO);
	t.sync_code = 0;
	submit(&t.requests[0]);
	finish();
	assert_int_equal(t.requests[0].result, 0);
}

static void a_sync_that_fails_is_told_to_all(void **state)
{
	(void)state;
	open_it();
	t.fail_code = EIO;
	t.fail_count = 1;
	submit(make(0, DISK_FLUSH, NULL, 0, 0));
	submit(make(1, DISK_FLUSH, NULL, 0, 0));
	finish();
	assert_int_equal(t.requests[0].result, -EIO);
	assert_int_equal(t.requests[1].result, -EIO);
	assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
}

/* --- space --- */

static void a_discard_gives_space_back(void **state)
{
	static uint8_t bytes[MIB], got[MIB];
	uint64_t before;

	(void)state;
	open_it();
	if (!disk_geometry(t.disk)->can_discard)
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

		t.refused_mode = 0;
		open_it();
		t.refused_mode = t.plain ? refused_modes[i / 2] : 0;
		fill(bytes, sizeof(bytes), i);
		assert_int_equal(run(DISK_WRITE, bytes, 0, sizeof(bytes)), 0);
		memset(bytes + from, 0, size);
		t.writes = t.allocates = 0;
		make(0, DISK_WRITE_ZEROES, NULL, from, size)->unmap = i % 2;
		submit(&t.requests[0]);
		finish();
		assert_int_equal(t.requests[0].result, 0);
		assert_int_equal(run(DISK_READ, got, 0, sizeof(got)), 0);
		assert_memory_equal(got, bytes, sizeof(got));
		if (i / 2 == 2 && t.plain) {
			assert_int_equal(t.writes, 3); /* of a MiB at the most */
			assert_int_equal(t.allocates, 1 + i % 2);
			t.allocates = 0;
			make(0, DISK_WRITE_ZEROES, NULL, from, 512)->unmap = i % 2;
			submit(&t.requests[0]);
			finish();
			assert_int_equal(t.allocates, 0); /* it is known by now */
		}
		disk_close(t.disk);
		t.disk = NULL;
	}
}

static void a_host_without_holes(void **state)
{
	(void)state;
	t.refused_mode = FALLOC_FL_PUNCH_HOLE;
	open_it();
	assert_false(disk_geometry(t.disk)->can_discard);
	assert_false(disk_geometry(t.disk)->can_write_zeroes);
	assert_int_equal(run(DISK_DISCARD, NULL, 0, 4096), -EOPNOTSUPP);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 0, 4096), 0);
}

static void a_host_whose_holes_end(void **state)
{
	(void)state;
	open_it();
	assert_true(disk_geometry(t.disk)->can_discard);
	t.refused_mode = FALLOC_FL_PUNCH_HOLE;
	assert_int_equal(run(DISK_DISCARD, NULL, 0, 4096), -EOPNOTSUPP);
	t.allocates = 0;
	assert_int_equal(run(DISK_DISCARD, NULL, 0, 4096), -EOPNOTSUPP);
	assert_int_equal(t.allocates, 0);
}

static void a_full_disk_may_have_no_room_for_zeroes(void **state)
{
	(void)state;
	open_it();
	t.fail_code = ENOSPC;
	t.fail_count = 1;
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 0, 4096), -ENOSPC);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 0, 4096), 0);
}

/* --- direct --- */

/* Any alignment, past the page cache; every write leaves its neighbours alone. */
static void direct_takes_anything(void **state)
{
	static uint8_t shadow[MIB], got[MIB], memory[600 * KIB + 4096];
	uint32_t random = 1;

	(void)state;
	t.direct = true;
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
		submit(&t.requests[0]);
		finish();
		assert_int_equal(t.requests[0].result, 0);
		memset(memory, 0, sizeof(memory));
		assert_int_equal(run(DISK_READ, memory + skew, offset, size), 0);
		assert_memory_equal(memory + skew, shadow + offset, size);
	}
	read_file(got, MIB, 0);
	assert_memory_equal(got, shadow, MIB);
	memset(shadow + 1536, 0, 70 * KIB);
	t.refused_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 1536, 70 * KIB), 0);
	assert_int_equal(run(DISK_READ, got, 0, MIB), 0);
	assert_memory_equal(got, shadow, MIB);
}

/* Parts of one block, all at once. */
static void direct_parts_do_not_lose_each_other(void **state)
{
	static uint8_t bytes[256][512], got[256 * 512];

	(void)state;
	t.direct = true;
	open_it();
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < 256; i++) {
			fill(bytes[i], 512, i + round);
			submit(make(i, DISK_WRITE, bytes[i], 512 * i, 512));
		}
		finish();
		for (unsigned int i = 0; i < 256; i++)
			assert_int_equal(t.requests[i].result, 0);
		read_file(got, sizeof(got), 0);
		assert_memory_equal(got, bytes, sizeof(got));
	}
}

static void direct_memory_that_goes_away(void **state)
{
	uint8_t *memory = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(memory != MAP_FAILED);
	t.direct = true;
	open_it();
	for (unsigned int skew = 0; skew < 2; skew++) {
		assert_int_equal(run(DISK_READ, memory + skew, 0, 4096), -EFAULT);
		assert_int_equal(run(DISK_WRITE, memory + skew, 0, 4096), -EFAULT);
	}
	munmap(memory, 8192);
}

/* --- a block device --- */

static void a_block_device_has_whole_blocks(void **state)
{
	static uint8_t bytes[16384], got[16384];

	(void)state;
	t.block_device = true;
	open_it();
	assert_int_equal(disk_geometry(t.disk)->size_bytes, IMAGE_BYTES);
	assert_int_equal(disk_geometry(t.disk)->logical_block_bytes, 4096);
	assert_int_equal(disk_geometry(t.disk)->physical_block_bytes, 8192);
	assert_true(disk_geometry(t.disk)->can_discard);
	assert_int_equal(t.allocates, 0); /* nothing is tried on it */
	/* A discard may be less than was asked for. */
	assert_int_equal(run(DISK_DISCARD, NULL, 512, 4096), 0);
	assert_int_equal(t.allocates, 0);
	assert_int_equal(run(DISK_DISCARD, NULL, 512, 8192), 0);
	assert_int_equal(t.allocates, 1);
	assert_int_equal(t.allocate_offset, 4096);
	assert_int_equal(t.allocate_size, 4096);
	/* Zeroes may not: parts of blocks are written. */
	fill(bytes, sizeof(bytes), 1);
	assert_int_equal(run(DISK_WRITE, bytes, 0, sizeof(bytes)), 0);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 512, 8192), 0);
	assert_int_equal(t.allocates, 1);
	assert_int_equal(t.writes, 2);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 12288, 4096), 0);
	assert_int_equal(t.allocates, 2);
	assert_int_equal(t.allocate_mode, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
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
	t.block_device = true;
	t.ioctl_code = EIO;
	assert_int_equal(open_disk(&disk, &err), -EIO);
	assert_non_null(strstr(err.message, "its size"));
}

/* --- opening --- */

static void what_is_no_disk_is_refused(void **state)
{
	char path[96];

	(void)state;
	strcpy(path, t.path);
	strcpy(t.path, "/dev/null");
	refused("neither a file nor a block device");
	strcpy(t.path, t.folder);
	refused("--share");
	snprintf(t.path, sizeof(t.path), "%s/none", t.folder);
	refused("no such file");
	assert_int_equal(mkfifo(t.path, 0600), 0);
	refused("neither a file nor a block device");
	unlink(t.path);
	make_file(t.path, 0);
	refused("empty");
	make_file(t.path, 1000);
	refused("`truncate -s %512 FILE`");
	unlink(t.path);
	strcpy(t.path, path);
}

static void formats_are_refused(void **state)
{
	static const struct {
		const char *bytes, *what;
	} formats[] = {
		{ "QFI\xfb\0\0\0\3", "qcow2" },
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
		int fd = open(t.path, O_WRONLY | O_CLOEXEC);

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
	t.readonly = true;
	refused("another VM writes it");
	disk_close(t.disk);
	open_it();
	assert_int_equal(open_disk(&second, &err), 0);
	assert_int_equal(open_disk(&third, &err), 0);
	t.readonly = false;
	refused("another VM has it");
	disk_close(second);
	disk_close(third);
	disk_close(t.disk);
	open_it();
}

static void readonly_writes_nothing(void **state)
{
	static uint8_t bytes[512] = { 1 };

	(void)state;
	assert_int_equal(chmod(t.path, 0400), 0);
	t.readonly = true;
	open_it();
	assert_false(disk_geometry(t.disk)->can_discard);
	assert_false(disk_geometry(t.disk)->can_write_zeroes);
	assert_int_equal(run(DISK_READ, bytes, 0, 512), 0);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(run(DISK_WRITE, bytes, 0, 512), -EROFS);
	assert_int_equal(run(DISK_DISCARD, NULL, 0, 512), -EROFS);
	assert_int_equal(run(DISK_WRITE_ZEROES, NULL, 0, 512), -EROFS);
	assert_int_equal(run(DISK_FLUSH, NULL, 0, 0), 0);
	assert_int_equal(t.syncs, 0);
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
	return open_disk(&t.disk, err);
}

static void destroy(void *ctx)
{
	(void)ctx;
	disk_close(t.disk);
	t.disk = NULL;
}

static void each_step_of_opening_fails(void **state)
{
	(void)state;
	open_it(); /* the loop has its descriptors */
	destroy(NULL);
	assert_in_range(failures_run(create, destroy, NULL), 3, 20);
	t.direct = true;
	assert_in_range(failures_run(create, destroy, NULL), 5, 20);
	disk_close(NULL);
}

#define BOTH(name) \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down), \
		cmocka_unit_test_setup_teardown(name, set_up_plain, tear_down)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, set_up_plain, tear_down)

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
		PLAIN(durable_is_synced_before_it_is_told),
		PLAIN(a_sync_that_fails_is_told_to_all),
		BOTH(a_discard_gives_space_back),
		BOTH(zeroes_are_read_however_they_came),
		PLAIN(a_host_without_holes),
		PLAIN(a_host_whose_holes_end),
		PLAIN(a_full_disk_may_have_no_room_for_zeroes),
		BOTH(direct_takes_anything),
		BOTH(direct_parts_do_not_lose_each_other),
		BOTH(direct_memory_that_goes_away),
		PLAIN(a_block_device_has_whole_blocks),
		PLAIN(a_block_device_that_does_not_answer),
		BOTH(what_is_no_disk_is_refused),
		BOTH(formats_are_refused),
		BOTH(one_writer_or_many_readers),
		BOTH(readonly_writes_nothing),
		BOTH(a_limit_on_files_is_met_at_the_start),
		BOTH(each_step_of_opening_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
