/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
/* wraps: io_uring_queue_init_params io_uring_register_eventfd io_uring_enable_rings */
/* wraps: io_uring_submit_and_get_events io_uring_submit_and_wait */
/* wraps: io_uring_submit_and_wait_timeout */
/* wraps: preadv pwritev fdatasync fallocate __io_uring_get_cqe */
/*
 * Operations in flight: by io_uring where this host has it, and by a call an operation where it has
 * not or a test says so; what is in flight when a ring fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <liburing.h>

#include "ebb/async_queue.h"

#include "failures.h"
#include "io_uring_tests.h"

#define TASKS 300
#define BLOCK 512

static struct {
	struct event_loop *loop;
	struct async_queue *queue;
	int fd, pipe[2];
	struct async_task tasks[TASKS];
	struct iovec segments[TASKS];
	uint8_t bytes[TASKS][BLOCK];
	struct async_task *done[TASKS * 2];
	unsigned int done_count, expected, settled_count;
	bool in_submit, in_done;
	unsigned int again; /* the first so many done are submitted again */
	/* Instead of the host's answers, when not 0. */
	int init_result, eventfd_result, enable_result, get_result;
	int submit_result;         /* of the next submissions */
	unsigned int submit_fails; /* so many of them */
	unsigned int taken;        /* the kernel takes so many before, when not 0 */
	bool cancels;              /* all that the kernel takes */
	unsigned int submits, plain_calls, wait_calls, get_calls;
} t;

int __real_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __real_io_uring_register_eventfd(struct io_uring *ring, int fd);
int __wrap_io_uring_register_eventfd(struct io_uring *ring, int fd);
int __real_io_uring_enable_rings(struct io_uring *ring);
int __wrap_io_uring_enable_rings(struct io_uring *ring);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned int wanted, struct __kernel_timespec *timeout,
                                            sigset_t *signals);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned int wanted, struct __kernel_timespec *timeout,
                                            sigset_t *signals);
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned int wanted);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int wanted);
int __real___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned int submit,
                              unsigned int wanted, sigset_t *signals);
int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned int submit,
                              unsigned int wanted, sigset_t *signals);
ssize_t __real_preadv(int fd, const struct iovec *segments, int count, off_t offset);
ssize_t __wrap_preadv(int fd, const struct iovec *segments, int count, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *segments, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *segments, int count, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size);

int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
	return t.init_result ? t.init_result
	                     : __real_io_uring_queue_init_params(entries, ring, params);
}

int __wrap_io_uring_register_eventfd(struct io_uring *ring, int fd)
{
	return t.eventfd_result ? t.eventfd_result : __real_io_uring_register_eventfd(ring, fd);
}

int __wrap_io_uring_enable_rings(struct io_uring *ring)
{
	return t.enable_result ? t.enable_result : __real_io_uring_enable_rings(ring);
}

/* Whether a submission fails, perhaps after the kernel took some. */
static bool refuses(struct io_uring *ring)
{
	unsigned int hidden = io_uring_sq_ready(ring) - t.taken;

	t.submits++;
	if (!t.submit_fails)
		return false;
	t.submit_fails--;
	if (t.taken) {
		/* The library publishes what is between head and tail; what is hidden comes
		 * after. */
		ring->sq.sqe_tail -= hidden;
		assert_int_equal(__real_io_uring_submit_and_wait(ring, 0), t.taken);
		ring->sq.sqe_tail += hidden;
	}
	t.taken = 0;
	return true;
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	unsigned int head;
	int r;

	if (refuses(ring))
		return t.submit_result;
	r = __real_io_uring_submit_and_get_events(ring);
	io_uring_for_each_cqe(ring, head, cqe)
	{
		if (t.cancels)
			cqe->res = -ECANCELED;
	}
	return r;
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned int wanted, struct __kernel_timespec *timeout,
                                            sigset_t *signals)
{
	t.wait_calls++;
	assert_true(timeout->tv_sec == 0 && timeout->tv_nsec <= NS_PER_MS);
	if (refuses(ring))
		return t.submit_result;
	return __real_io_uring_submit_and_wait_timeout(ring, cqe, wanted, timeout, signals);
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int wanted)
{
	return refuses(ring) ? t.submit_result : __real_io_uring_submit_and_wait(ring, wanted);
}

int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned int submit,
                              unsigned int wanted, sigset_t *signals)
{
	t.get_calls++;
	return t.get_result ? t.get_result
	                    : __real___io_uring_get_cqe(ring, cqe, submit, wanted, signals);
}

ssize_t __wrap_preadv(int fd, const struct iovec *segments, int count, off_t offset)
{
	t.plain_calls++;
	return __real_preadv(fd, segments, count, offset);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *segments, int count, off_t offset)
{
	t.plain_calls++;
	return __real_pwritev(fd, segments, count, offset);
}

int __wrap_fdatasync(int fd)
{
	t.plain_calls++;
	return __real_fdatasync(fd);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t size)
{
	t.plain_calls++;
	return __real_fallocate(fd, mode, offset, size);
}

/* --- set-up --- */

static int set_up(void **state)
{
	char path[] = "/tmp/ebb-test-queue-XXXXXX";

	(void)state;
	memset(&t, 0, sizeof(t));
	t.fd = mkostemp(path, O_CLOEXEC);
	if (t.fd < 0 || unlink(path) || pipe2(t.pipe, O_CLOEXEC))
		return -1;
	return event_loop_create(NULL, &t.loop, NULL);
}

static int set_up_plain(void **state)
{
	int r = set_up(state);

	t.init_result = -ENOSYS;
	return r;
}

static int tear_down(void **state)
{
	(void)state;
	async_queue_destroy(t.queue);
	event_loop_destroy(t.loop);
	close(t.fd);
	close(t.pipe[0]);
	if (t.pipe[1] >= 0)
		close(t.pipe[1]);
	return 0;
}

static void submit(unsigned int i)
{
	t.in_submit = true;
	t.expected++;
	async_queue_submit(t.queue, &t.tasks[i]);
	t.in_submit = false;
}

static void on_done(void *ctx, struct async_task *task)
{
	assert_ptr_equal(ctx, &t);
	assert_false(t.in_submit || t.in_done);
	t.in_done = true;
	t.done[t.done_count++] = task;
	if (t.again) {
		t.again--;
		submit((unsigned int)(task - t.tasks));
		async_queue_start(t.queue);
	}
	t.in_done = false;
	if (t.done_count == t.expected)
		event_loop_stop(t.loop);
}

static void on_settled(void *ctx)
{
	assert_ptr_equal(ctx, &t);
	t.settled_count++;
}

static const struct async_queue_ops ops = { .done = on_done, .settled = on_settled };

static void create(unsigned int depth)
{
	assert_int_equal(async_queue_create(t.loop, depth, &ops, &t, &t.queue), 0);
}

static void create_batched(unsigned int depth)
{
	create(depth);
	assert_int_equal(async_queue_why_no_ring(t.queue), 0);
}

static void make(unsigned int i, enum async_task_kind kind, uint64_t offset_bytes)
{
	t.segments[i] = (struct iovec){ t.bytes[i], BLOCK };
	t.tasks[i] = (struct async_task){ .kind = kind,
		                          .fd = t.fd,
		                          .offset_bytes = offset_bytes,
		                          .segments = &t.segments[i],
		                          .segment_count = 1,
		                          .result = 12345 };
}

static void submit_all(enum async_task_kind kind)
{
	for (unsigned int i = 0; i < TASKS; i++) {
		make(i, kind, (uint64_t)i * BLOCK);
		if (kind == ASYNC_TASK_WRITE)
			memset(t.bytes[i], (int)(i % 255 + 1), BLOCK);
		else
			memset(t.bytes[i], 0, BLOCK);
		submit(i);
	}
}

static void finish(void)
{
	async_queue_start(t.queue);
	assert_int_equal(event_loop_run(t.loop), 0);
	assert_int_equal(t.done_count, t.expected);
}

static void check_all(void)
{
	for (unsigned int i = 0; i < TASKS; i++) {
		assert_int_equal(t.tasks[i].result, BLOCK);
		assert_int_equal(t.bytes[i][0], i % 255 + 1);
		assert_int_equal(t.bytes[i][BLOCK - 1], i % 255 + 1);
	}
}

/* Each was told once. */
static void check_told(void)
{
	assert_int_equal(t.done_count, t.expected);
	for (unsigned int i = 0; i < t.done_count; i++)
		for (unsigned int k = 0; k < i; k++)
			assert_ptr_not_equal(t.done[i], t.done[k]);
}

/* --- any host --- */

static void what_is_written_is_read(void **state)
{
	(void)state;
	create(16);
	submit_all(ASYNC_TASK_WRITE);
	assert_int_equal(t.done_count, 0);
	finish();
	check_all();
	check_told();
	t.done_count = t.expected = 0;
	submit_all(ASYNC_TASK_READ);
	finish();
	check_all();
	check_told();
	assert_in_range(t.settled_count, 2, 2 * TASKS);
	if (async_queue_why_no_ring(t.queue))
		assert_int_equal(async_queue_system_calls(t.queue), 2 * TASKS);
	else
		assert_int_equal(t.plain_calls, 0);
}

static void results_are_the_operations_own(void **state)
{
	struct stat status;

	(void)state;
	create(16);
	for (unsigned int i = 0; i < 7; i++)
		make(i, ASYNC_TASK_WRITE, 0);
	t.tasks[0].fd = -1;
	t.tasks[1].durable = true;
	t.tasks[2].kind = ASYNC_TASK_SYNC;
	t.tasks[3].kind = ASYNC_TASK_ALLOCATE;
	t.tasks[3].mode = FALLOC_FL_KEEP_SIZE;
	t.tasks[3].offset_bytes = MIB;
	t.tasks[3].size_bytes = MIB;
	t.tasks[4].kind = ASYNC_TASK_ALLOCATE; /* of nothing */
	t.tasks[5].kind = ASYNC_TASK_READ;
	t.tasks[5].offset_bytes = GIB; /* behind the end */
	t.tasks[6].kind = ASYNC_TASK_SYNC;
	t.tasks[6].fd = t.pipe[0];
	for (unsigned int i = 0; i < 7; i++)
		submit(i);
	finish();
	check_told();
	assert_int_equal(t.tasks[0].result, -EBADF);
	assert_int_equal(t.tasks[1].result, BLOCK);
	assert_int_equal(t.tasks[2].result, 0);
	assert_int_equal(t.tasks[3].result, 0);
	assert_int_equal(fstat(t.fd, &status), 0);
	assert_int_equal(status.st_size, BLOCK);
	assert_true(status.st_blocks * 512 >= (blkcnt_t)MIB);
	assert_int_equal(t.tasks[4].result, -EINVAL);
	assert_int_equal(t.tasks[5].result, 0);
	assert_int_equal(t.tasks[6].result, -EINVAL);
}

static void done_may_submit_again(void **state)
{
	(void)state;
	create(4);
	t.again = 50;
	for (unsigned int i = 0; i < 8; i++) {
		make(i, ASYNC_TASK_WRITE, 0);
		submit(i);
	}
	finish();
	assert_int_equal(t.done_count, 58);
}

static void draining_leaves_nothing(void **state)
{
	(void)state;
	create(32);
	async_queue_drain(t.queue);
	assert_int_equal(async_queue_system_calls(t.queue), 0);
	submit_all(ASYNC_TASK_WRITE);
	async_queue_drain(t.queue);
	check_all();
	check_told();
	/* Some of which are under way. */
	t.done_count = t.expected = 0;
	t.again = 3;
	for (unsigned int i = 0; i < TASKS; i++) {
		make(i, i % 5 ? ASYNC_TASK_READ : ASYNC_TASK_SYNC, 0);
		submit(i);
		if (i % 100 == 0)
			async_queue_start(t.queue);
	}
	async_queue_drain(t.queue);
	assert_int_equal(t.done_count, TASKS + 3);
}

static int create_it(void *ctx, struct error *err)
{
	int r = async_queue_create(t.loop, 8, &ops, &t, &t.queue);

	(void)ctx;
	if (r)
		error_set_errno(err, r, "queue");
	return r;
}

static void destroy_it(void *ctx)
{
	(void)ctx;
	async_queue_destroy(t.queue);
	t.queue = NULL;
}

static void each_step_of_creating_fails(void **state)
{
	(void)state;
	create(8); /* the loop has its descriptors */
	destroy_it(NULL);
	assert_in_range(failures_run(create_it, destroy_it, NULL), 3, 10);
	async_queue_destroy(NULL);
}

static void a_host_without_io_uring(void **state)
{
	(void)state;
	create(8);
	assert_int_equal(async_queue_why_no_ring(t.queue), -ENOSYS);
	destroy_it(NULL);
	t.init_result = 0;
	t.eventfd_result = -EPERM;
	create(8);
	/* That of a host that has none at all comes first. */
	assert_true(async_queue_why_no_ring(t.queue) < 0);
	submit_all(ASYNC_TASK_WRITE);
	finish();
	check_all();
	assert_int_equal(t.plain_calls, TASKS);
}

/* --- with io_uring --- */

static void many_take_one_call(void **state)
{
	uint64_t before;

	(void)state;
	create_batched(TASKS - 50);
	submit_all(ASYNC_TASK_WRITE);
	finish();
	t.done_count = t.expected = 0;
	submit_all(ASYNC_TASK_READ);
	before = async_queue_system_calls(t.queue);
	finish();
	check_all();
	/* Out of the page cache: a call for as many as may be in flight. */
	assert_in_range(async_queue_system_calls(t.queue) - before, 1, 30);
	assert_int_equal(t.plain_calls, 0);
}

/* A read of a pipe stays in flight until there is something. */
static void make_slow(unsigned int i)
{
	make(i, ASYNC_TASK_READ, 0);
	t.tasks[i].fd = t.pipe[0];
	submit(i);
}

static void feed_pipe(unsigned int blocks)
{
	static const uint8_t block[BLOCK] = { 99 };

	while (blocks--)
		assert_int_equal(write(t.pipe[1], block, BLOCK), BLOCK);
}

static void nobody_waits_for_a_slow_one(void **state)
{
	(void)state;
	create_batched(8);
	make_slow(0);
	t.expected = 0;
	for (unsigned int i = 1; i < 100; i++) {
		make(i, ASYNC_TASK_WRITE, 0);
		submit(i);
	}
	finish();
	assert_int_equal(t.tasks[0].result, 12345);
	feed_pipe(1);
	t.expected++;
	assert_int_equal(event_loop_run(t.loop), 0);
	assert_int_equal(t.tasks[0].result, BLOCK);
	assert_int_equal(t.bytes[0][0], 99);
	check_told();
}

static void destroying_after_a_drain_of_slow_ones(void **state)
{
	(void)state;
	create_batched(8);
	for (unsigned int i = 0; i < 20; i++)
		make_slow(i);
	async_queue_start(t.queue);
	feed_pipe(20);
	async_queue_drain(t.queue);
	check_told();
	assert_int_equal(t.done_count, 20);
}

static void a_turn_waits_for_more_where_that_helps(void **state)
{
	(void)state;
	create_batched(32);
	for (unsigned int i = 0; i < 32; i++)
		make_slow(i);
	async_queue_start(t.queue);
	/* One at a time: waiting gains nothing, so it is not done each time. */
	for (unsigned int i = 0; i < 20; i++) {
		t.expected = i + 1;
		feed_pipe(1);
		assert_int_equal(event_loop_run(t.loop), 0);
	}
	assert_in_range(t.wait_calls, 1, 10);
	t.expected = 32;
	feed_pipe(12);
	assert_int_equal(event_loop_run(t.loop), 0);
	check_told();
}

static void the_ring_is_refused_later(void **state)
{
	(void)state;
	create_batched(8);
	t.enable_result = -EPERM;
	submit_all(ASYNC_TASK_WRITE);
	finish();
	check_all();
	assert_int_equal(t.plain_calls, TASKS);
	assert_int_equal(async_queue_why_no_ring(t.queue), -EPERM);
}

/* What it took is waited for; what it did not is done without it; each once. */
static void the_kernel_takes_no_more(void **state)
{
	(void)state;
	for (unsigned int taken = 0; taken < 20; taken += 7) {
		create_batched(32);
		t.done_count = t.expected = t.plain_calls = 0;
		t.submit_fails = 1;
		t.submit_result = -EINVAL;
		t.taken = taken;
		submit_all(ASYNC_TASK_WRITE);
		finish();
		check_all();
		check_told();
		assert_int_equal(async_queue_why_no_ring(t.queue), -EINVAL);
		assert_int_equal(t.plain_calls, TASKS - taken);
		destroy_it(NULL);
	}
}

static void the_kernel_is_short_for_a_moment(void **state)
{
	(void)state;
	create_batched(32);
	make_slow(0);
	async_queue_start(t.queue);
	t.submit_fails = 1;
	t.submit_result = -EAGAIN;
	for (unsigned int i = 1; i < 6; i++) {
		make(i, ASYNC_TASK_WRITE, 0);
		submit(i);
	}
	async_queue_start(t.queue);
	assert_int_equal(t.done_count, 0);
	feed_pipe(1); /* what ends lets the others in */
	assert_int_equal(event_loop_run(t.loop), 0);
	check_told();
	assert_int_equal(async_queue_why_no_ring(t.queue), 0);
	assert_int_equal(t.plain_calls, 0);
	/* With nothing to wait for, it is done without. */
	t.submit_fails = 1;
	t.done_count = t.expected = 0;
	submit_all(ASYNC_TASK_WRITE);
	finish();
	check_all();
	assert_int_equal(async_queue_why_no_ring(t.queue), -EAGAIN);
}

/* It takes some, which are over at once, and says nothing of the others: nobody else would hand
 * those in. */
static void the_kernel_takes_some_alone(void **state)
{
	static const int results[] = { 3, -EAGAIN };

	(void)state;
	create_batched(32);
	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		submit_all(ASYNC_TASK_WRITE);
		finish();
		t.done_count = t.expected = t.plain_calls = 0;
		t.taken = 3;
		t.submit_fails = 1;
		t.submit_result = results[i];
		for (unsigned int k = 0; k < 5; k++) {
			make(k, ASYNC_TASK_READ, 0);
			submit(k);
		}
		finish();
		check_told();
		assert_int_equal(async_queue_why_no_ring(t.queue), 0);
		assert_int_equal(t.plain_calls, 0);
	}
}

static void an_interrupted_call_goes_on(void **state)
{
	(void)state;
	create_batched(8);
	t.submit_fails = 2;
	t.submit_result = -EINTR;
	submit_all(ASYNC_TASK_WRITE);
	async_queue_drain(t.queue);
	check_all();
	check_told();
	assert_int_equal(async_queue_why_no_ring(t.queue), 0);
}

/* As where it may make no worker thread. */
static void what_the_kernel_cancels_is_done_here(void **state)
{
	(void)state;
	create_batched(TASKS - 50);
	submit_all(ASYNC_TASK_WRITE);
	finish();
	t.done_count = t.expected = 0;
	t.cancels = true;
	submit_all(ASYNC_TASK_READ);
	finish();
	check_all();
	check_told();
	assert_in_range(t.plain_calls, 1, TASKS);
	assert_int_equal(async_queue_why_no_ring(t.queue), 0);
}

static void a_ring_that_is_lost(void **state)
{
	(void)state;
	create_batched(8);
	make_slow(0);
	async_queue_start(t.queue);
	make(1, ASYNC_TASK_WRITE, 0);
	submit(1);
	t.submit_fails = 1;
	t.submit_result = -EBADF;
	t.get_result = -EBADF;
	finish();
	assert_int_equal(t.tasks[0].result, -EIO);
	assert_int_equal(t.tasks[1].result, BLOCK);
	assert_int_equal(t.plain_calls, 1);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define PLAIN(name) cmocka_unit_test_setup_teardown(name, set_up_plain, tear_down)

static bool host_has_io_uring(void)
{
	bool has;

	if (set_up(NULL))
		return false;
	create(8);
	has = !async_queue_why_no_ring(t.queue);
	tear_down(NULL);
	return has;
}

int main(void)
{
	const struct CMUnitTest any_host[] = {
		TEST(what_is_written_is_read),        PLAIN(what_is_written_is_read),
		TEST(results_are_the_operations_own), PLAIN(results_are_the_operations_own),
		TEST(done_may_submit_again),          PLAIN(done_may_submit_again),
		TEST(draining_leaves_nothing),        PLAIN(draining_leaves_nothing),
		TEST(each_step_of_creating_fails),    PLAIN(a_host_without_io_uring),
	};
	const struct CMUnitTest with_io_uring[] = {
		TEST(many_take_one_call),
		TEST(nobody_waits_for_a_slow_one),
		TEST(destroying_after_a_drain_of_slow_ones),
		TEST(a_turn_waits_for_more_where_that_helps),
		TEST(the_ring_is_refused_later),
		TEST(the_kernel_takes_no_more),
		TEST(the_kernel_is_short_for_a_moment),
		TEST(the_kernel_takes_some_alone),
		TEST(an_interrupted_call_goes_on),
		TEST(what_the_kernel_cancels_is_done_here),
		TEST(a_ring_that_is_lost),
	};

	return run_io_uring_tests(any_host, with_io_uring, host_has_io_uring());
}
