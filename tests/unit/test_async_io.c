/* SPDX-License-Identifier: Apache-2.0 */
/* wraps: calloc io_uring_queue_init_params io_uring_enable_rings io_uring_submit_and_wait */
/* wraps: io_uring_register_sync_cancel readv writev */
/*
 * Batches by io_uring where this host has it, and by a call an operation where it has not or a test
 * says so; what is in flight when a ring fails.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <liburing.h>

#include "ebb/async_io.h"
#include "io_uring_tests.h"

#define OPS 40

static struct {
	struct async_io *io;
	int fds[2]; /* datagrams from 1 to 0 */
	struct iovec segments[OPS][2];
	struct async_op ops[OPS];
	char buffers[OPS][16];
	bool calloc_fails;
	int init_result, enable_result; /* instead of the host's, when not 0 */
	unsigned int submit_fails_at;   /* the Nth call, from 1; 0: none */
	int submit_result;              /* then */
	unsigned int submits, plain_calls, cancels;
	unsigned int no_nowait; /* operations that went without RWF_NOWAIT */
	unsigned int hide;      /* the kernel sees so many entries fewer in the call before */
} t;

void *__real_calloc(size_t count, size_t size_bytes);
void *__wrap_calloc(size_t count, size_t size_bytes);
int __real_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __real_io_uring_enable_rings(struct io_uring *ring);
int __wrap_io_uring_enable_rings(struct io_uring *ring);
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait_nr);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait_nr);
int __real_io_uring_register_sync_cancel(struct io_uring *ring,
                                         struct io_uring_sync_cancel_reg *reg);
int __wrap_io_uring_register_sync_cancel(struct io_uring *ring,
                                         struct io_uring_sync_cancel_reg *reg);
ssize_t __real_readv(int fd, const struct iovec *segments, int count);
ssize_t __wrap_readv(int fd, const struct iovec *segments, int count);
ssize_t __real_writev(int fd, const struct iovec *segments, int count);
ssize_t __wrap_writev(int fd, const struct iovec *segments, int count);

void *__wrap_calloc(size_t count, size_t size_bytes)
{
	return t.calloc_fails ? NULL : __real_calloc(count, size_bytes);
}

int __wrap_io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
	return t.init_result ? t.init_result
	                     : __real_io_uring_queue_init_params(entries, ring, params);
}

int __wrap_io_uring_enable_rings(struct io_uring *ring)
{
	return t.enable_result ? t.enable_result : __real_io_uring_enable_rings(ring);
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait_nr)
{
	for (unsigned int i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
		const struct io_uring_sqe *sqe = &ring->sq.sqes[i & ring->sq.ring_mask];

		if (sqe->opcode != IORING_OP_ASYNC_CANCEL && !(sqe->rw_flags & RWF_NOWAIT))
			t.no_nowait++;
	}
	t.submits++;
	if (t.hide &&
	    t.submits + 1 == t.submit_fails_at) { /* some are taken first, and are armed */
		int taken;

		ring->sq.sqe_tail -= t.hide;
		taken = __real_io_uring_submit_and_wait(ring, 0);
		ring->sq.sqe_tail += t.hide;
		return taken;
	}
	if (t.submits != t.submit_fails_at)
		return __real_io_uring_submit_and_wait(ring, wait_nr);
	return t.submit_result;
}

int __wrap_io_uring_register_sync_cancel(struct io_uring *ring,
                                         struct io_uring_sync_cancel_reg *reg)
{
	t.cancels++;
	return __real_io_uring_register_sync_cancel(ring, reg);
}

ssize_t __wrap_readv(int fd, const struct iovec *segments, int count)
{
	t.plain_calls++;
	return __real_readv(fd, segments, count);
}

ssize_t __wrap_writev(int fd, const struct iovec *segments, int count)
{
	t.plain_calls++;
	return __real_writev(fd, segments, count);
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, t.fds);
}

static int tear_down(void **state)
{
	(void)state;
	async_io_destroy(t.io);
	close(t.fds[0]);
	close(t.fds[1]);
	return 0;
}

static void create(unsigned int depth)
{
	int why = 1;

	assert_int_equal(async_io_create(depth, &t.io, &why), 0);
	assert_int_equal(async_io_is_batched(t.io), why == 0);
	assert_true(why <= 0);
}

static void create_batched(unsigned int depth)
{
	create(depth);
	assert_true(async_io_is_batched(t.io));
}

static bool host_has_io_uring(void)
{
	bool has;

	set_up(NULL);
	create(OPS);
	has = async_io_is_batched(t.io);
	tear_down(NULL);
	return has;
}

static void prepare(enum async_op_kind kind, int fd)
{
	for (unsigned int i = 0; i < OPS; i++) {
		t.segments[i][0] = (struct iovec){ &t.buffers[i][0], 4 };
		t.segments[i][1] = (struct iovec){ &t.buffers[i][8], 4 };
		t.ops[i] = (struct async_op){ kind, fd, t.segments[i], 2, 12345 };
	}
}

static void send_some(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		char text[8];

		memcpy(text, "frame_ab", 8);
		text[5] = (char)('A' + i);
		assert_int_equal(send(t.fds[1], text, 8, 0), 8);
	}
}

/* The first so many of all have a frame, in order; the others nothing. */
static void check_received(unsigned int count, unsigned int of)
{
	for (unsigned int i = 0; i < of; i++) {
		char text[8];

		assert_int_equal(t.ops[i].result, i < count ? 8 : -EAGAIN);
		if (i >= count)
			continue;
		memcpy(text, "frame_ab", 8);
		text[5] = (char)('A' + i);
		assert_memory_equal(&t.buffers[i][0], text, 4);
		assert_memory_equal(&t.buffers[i][8], text + 4, 4);
	}
}

static void a_batch_is_one_call(void **state)
{
	(void)state;
	create_batched(OPS);
	prepare(ASYNC_READV, t.fds[0]);
	/* The first batch may find out that this kernel's sockets do not know RWF_NOWAIT. */
	assert_in_range(async_io_run(t.io, t.ops, OPS), 1, 2);
	check_received(0, OPS);
	send_some(20);
	assert_int_equal(async_io_run(t.io, t.ops, OPS), 1);
	check_received(20, OPS);
	t.submits = 0;
	prepare(ASYNC_WRITEV, t.fds[1]);
	for (unsigned int i = 0; i < OPS; i++)
		t.buffers[i][8] = (char)('a' + i);
	assert_int_equal(async_io_run(t.io, t.ops, 10), 1);
	assert_int_equal(t.submits, 1);
	assert_int_equal(t.plain_calls, 0);
	for (unsigned int i = 0; i < 10; i++) {
		char text[9];

		assert_int_equal(t.ops[i].result, 8);
		assert_int_equal(recv(t.fds[0], text, sizeof(text), 0), 8);
		assert_int_equal(text[4], 'a' + i);
	}
	assert_int_equal(t.ops[10].result, 12345);
	/* One alone is as cheap without the ring, none costs nothing. */
	assert_int_equal(async_io_run(t.io, t.ops, 1), 1);
	assert_int_equal(t.plain_calls, 1);
	assert_int_equal(async_io_run(t.io, t.ops, 0), 0);
	assert_int_equal(t.submits, 1);
}

static void more_than_the_depth_goes_in_parts(void **state)
{
	(void)state;
	create_batched(16);
	prepare(ASYNC_READV, t.fds[0]);
	async_io_run(t.io, t.ops, 2);
	send_some(33);
	assert_int_equal(async_io_run(t.io, t.ops, OPS), 3);
	check_received(33, OPS);
}

/* An inotify descriptor can be polled and does not know RWF_NOWAIT, as a TAP before 6.4. */
static void what_waits_is_cancelled(void **state)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	create_batched(OPS);
	prepare(ASYNC_READV, fd);
	assert_int_equal(async_io_run(t.io, t.ops, OPS), 2);
	check_received(0, OPS);
	assert_int_equal(t.no_nowait, OPS);
	assert_int_equal(async_io_run(t.io, t.ops, OPS), 1);
	check_received(0, OPS);
	assert_int_equal(t.no_nowait, 2 * OPS);
	close(fd);
	/* From then on all go that way. */
	prepare(ASYNC_READV, t.fds[0]);
	send_some(7);
	assert_int_equal(async_io_run(t.io, t.ops, OPS), 1);
	check_received(7, OPS);
	send_some(9); /* for nobody: nothing waits any more */
	check_received(7, OPS);
	assert_int_equal(async_io_run(t.io, t.ops, OPS), 1);
	check_received(9, OPS);
}

/* One batch with both: each is done once. */
static void descriptors_are_mixed(void **state)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	(void)state;
	create_batched(OPS);
	prepare(ASYNC_READV, t.fds[0]);
	t.ops[1].fd = t.ops[2].fd = t.ops[5].fd = fd;
	send_some(3);
	assert_in_range(async_io_run(t.io, t.ops, 8), 2, 3);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(t.ops[i].result, i == 0 || i == 3 || i == 4 ? 8 : -EAGAIN);
	assert_int_equal(recv(t.fds[0], t.buffers, sizeof(t.buffers), 0), -1);
	close(fd);
}

static void errors_are_the_operations_own(void **state)
{
	(void)state;
	create(OPS);
	prepare(ASYNC_READV, t.fds[0]);
	send_some(2);
	t.ops[1].fd = -1;
	t.ops[2].segment_count = IOV_MAX + 1;
	assert_in_range(async_io_run(t.io, t.ops, 5), 1, 5);
	assert_int_equal(t.ops[0].result, 8);
	assert_int_equal(t.ops[1].result, -EBADF);
	assert_int_equal(t.ops[2].result, -EINVAL);
	assert_int_equal(t.ops[3].result, 8);
	assert_int_equal(t.ops[4].result, -EAGAIN);
}

static void without_io_uring(void **state)
{
	static const int reasons[] = { -ENOSYS, -EPERM, -ENOMEM, -EINVAL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		int why = 1;

		t.init_result = reasons[i];
		assert_int_equal(async_io_create(OPS, &t.io, &why), 0);
		assert_int_equal(why, reasons[i]);
		assert_false(async_io_is_batched(t.io));
		prepare(ASYNC_READV, t.fds[0]);
		send_some(5);
		/* What has nothing is asked once. */
		assert_int_equal(async_io_run(t.io, t.ops, OPS), 6);
		check_received(5, OPS);
		t.ops[3].segment_count = IOV_MAX + 1;
		send_some(4);
		async_io_run(t.io, t.ops, 5);
		assert_int_equal(t.ops[2].result, 8);
		assert_int_equal(t.ops[3].result, -EINVAL);
		assert_int_equal(t.ops[4].result, 8);
		async_io_destroy(t.io);
		t.io = NULL;
	}
	assert_int_equal(async_io_create(1, &t.io, NULL), 0);
	assert_int_equal(t.submits, 0);
}

static void no_memory(void **state)
{
	(void)state;
	t.calloc_fails = true;
	assert_int_equal(async_io_create(OPS, &t.io, NULL), -ENOMEM);
	t.calloc_fails = false;
	assert_null(t.io);
	async_io_destroy(NULL);
}

static void the_ring_is_refused_later(void **state)
{
	(void)state;
	create_batched(OPS);
	t.enable_result = -EPERM;
	prepare(ASYNC_READV, t.fds[0]);
	send_some(3);
	assert_int_equal(async_io_run(t.io, t.ops, OPS), 4);
	check_received(3, OPS);
	assert_false(async_io_is_batched(t.io));
}

static void the_kernel_takes_nothing(void **state)
{
	(void)state;
	create_batched(16);
	prepare(ASYNC_READV, t.fds[0]);
	async_io_run(t.io, t.ops, 2);
	send_some(20);
	/* In the second part of three. */
	t.submit_fails_at = t.submits + 2;
	t.submit_result = -EAGAIN;
	assert_int_equal(async_io_run(t.io, t.ops, OPS), 2 + 5);
	check_received(20, OPS);
	assert_false(async_io_is_batched(t.io));
	assert_int_equal(t.cancels, 0);
}

static void the_kernel_took_some_that_wait(void **state)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	(void)state;
	create_batched(OPS);
	prepare(ASYNC_READV, fd);
	async_io_run(t.io, t.ops, OPS);
	prepare(ASYNC_READV, t.fds[0]);
	/* All but the order to cancel and the last operation were taken, and wait. */
	t.hide = 2;
	t.submit_fails_at = t.submits + 2;
	t.submit_result = -EBUSY;
	close(fd);
	async_io_run(t.io, t.ops, OPS);
	assert_in_range(t.cancels, 1, OPS);
	check_received(0, OPS);
	assert_false(async_io_is_batched(t.io));
	send_some(1);
	check_received(0, OPS);
	async_io_run(t.io, t.ops, OPS);
	check_received(1, OPS);
}

static void an_interrupted_wait_goes_on(void **state)
{
	(void)state;
	create_batched(OPS);
	prepare(ASYNC_READV, t.fds[0]);
	async_io_run(t.io, t.ops, 2);
	send_some(2);
	t.submit_fails_at = t.submits + 1;
	t.submit_result = -EINTR;
	assert_int_equal(async_io_run(t.io, t.ops, 5), 2);
	check_received(2, 5);
	assert_true(async_io_is_batched(t.io));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest any_host[] = {
		TEST(errors_are_the_operations_own),
		TEST(without_io_uring),
		TEST(no_memory),
	};
	const struct CMUnitTest with_io_uring[] = {
		TEST(a_batch_is_one_call),
		TEST(more_than_the_depth_goes_in_parts),
		TEST(what_waits_is_cancelled),
		TEST(descriptors_are_mixed),
		TEST(the_ring_is_refused_later),
		TEST(the_kernel_takes_nothing),
		TEST(the_kernel_took_some_that_wait),
		TEST(an_interrupted_wait_goes_on),
	};

	return run_io_uring_tests(any_host, with_io_uring, host_has_io_uring());
}
