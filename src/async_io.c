/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many reads and writes with one system call, by io_uring.
 *
 * DOC: nothing is in flight when async_io_run returns, so buffers may lie in guest memory that the
 * caller holds for the call alone. How each kernel is brought to that:
 *
 * O_NONBLOCK by itself does not do it: io_uring takes a descriptor that can be polled as an
 * invitation to wait for it, and an operation that finds nothing would stay armed. So each goes
 * with RWF_NOWAIT: the kernel tries it inline, within io_uring_enter, and answers -EAGAIN where it
 * would have waited. No worker thread, no poll.
 *
 * What does not know RWF_NOWAIT (TAPs, pipes and sockets before 6.4) answers -EOPNOTSUPP before it
 * does anything. From then on operations go without, tried inline all the same, and behind them,
 * in the same submission, an order to cancel all that still wait: their result is -ECANCELED, told
 * as -EAGAIN. io_uring_enter returns when each operation and that order have their completions.
 *
 * The ring is made for DEFER_TASKRUN, which needs SINGLE_ISSUER: completions come within
 * io_uring_enter and at no other time, with no interrupt of the thread. It belongs to the thread
 * that runs it first (it is made disabled), since the loop's thread may not be there yet. A kernel
 * older than that (6.1), one that has no io_uring or forbids it, and a ring that fails later: a
 * readv or writev an operation.
 *
 * It deliberately does nothing in the background, and registers neither buffers nor files: guest
 * memory comes and goes, and registering pins it.
 *
 * Syscalls: io: io_uring_enter io_uring_register readv writev
 */
#include "ebb/async_io.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <stdlib.h>

#include "async_ring.h"

#define USER_DATA_CANCEL UINT64_MAX
#define RESULT_PENDING   INT64_MIN

struct async_io {
	struct io_uring ring;
	unsigned int depth;
	bool batched; /* the ring is there */
	bool enabled; /* and belongs to a thread */
	bool nowait;  /* descriptors seen so far know RWF_NOWAIT */
};

static void close_ring(struct async_io *io)
{
	if (io->batched)
		io_uring_queue_exit(&io->ring);
	io->batched = false;
}

int async_ring_restrict(struct io_uring *ring, const uint8_t *operations, unsigned int count)
{
	struct io_uring_restriction all[8] = {
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_REGISTER_SYNC_CANCEL },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_REGISTER_IOWQ_MAX_WORKERS },
	};

	assert(count <= ARRAY_SIZE(all) - 2);
	for (unsigned int i = 0; i < count; i++)
		all[2 + i] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_OP,
			                                    .sqe_op = operations[i] };
	return io_uring_register_restrictions(ring, all, 2 + count);
}

int async_io_create(unsigned int depth, struct async_io **ret_io, int *ret_why)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
		         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	static const uint8_t operations[] = { IORING_OP_READV, IORING_OP_WRITEV,
		                              IORING_OP_ASYNC_CANCEL };
	struct async_io *io;
	int r;

	assert(depth && depth <= ASYNC_IO_OPS_MAX);
	io = calloc(1, sizeof(*io));
	if (!io)
		return -ENOMEM;
	io->depth = depth;
	io->nowait = true;
	r = io_uring_queue_init_params(depth + 1, &io->ring, &params);
	io->batched = r == 0;
	if (io->batched)
		r = async_ring_restrict(&io->ring, operations, ARRAY_SIZE(operations));
	if (r < 0)
		close_ring(io);
	if (ret_why)
		*ret_why = r;
	*ret_io = io;
	return 0;
}

void async_io_destroy(struct async_io *io)
{
	if (!io)
		return;
	close_ring(io);
	free(io);
}

bool async_io_is_batched(const struct async_io *io)
{
	return io->batched;
}

/* --- A system call an operation --- */

static int64_t run_one(const struct async_op *op)
{
	ssize_t r;

	if (op->segment_count > IOV_MAX)
		return -EINVAL;
	do {
		if (op->kind == ASYNC_READV)
			r = readv(op->fd, op->segments, (int)op->segment_count);
		else
			r = writev(op->fd, op->segments, (int)op->segment_count);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* Those that have no result yet: all where there is no ring, or one alone, which is as cheap
 * without. What has nothing now is not asked again for the next operation. */
static int run_each(struct async_op *ops, unsigned int count)
{
	const struct async_op *waits = NULL;
	int calls = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct async_op *op = &ops[i];

		if (op->result != RESULT_PENDING)
			continue;
		if (waits && waits->fd == op->fd && waits->kind == op->kind) {
			op->result = -EAGAIN;
			continue;
		}
		op->result = run_one(op);
		calls++;
		if (op->result == -EAGAIN)
			waits = op;
	}
	return calls;
}

/* --- By the ring --- */

static void prepare(struct async_io *io, const struct async_op *op, unsigned int index)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

	assert(sqe); /* as many as the ring has, and all of the last run were taken */
	if (op->kind == ASYNC_READV)
		io_uring_prep_readv(sqe, op->fd, op->segments, op->segment_count, 0);
	else
		io_uring_prep_writev(sqe, op->fd, op->segments, op->segment_count, 0);
	sqe->off = UINT64_MAX; /* as readv: at the file's own position */
	sqe->rw_flags = io->nowait ? RWF_NOWAIT : 0;
	io_uring_sqe_set_data64(sqe, index);
}

static void prepare_cancel(struct async_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

	assert(sqe);
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
	io_uring_sqe_set_data64(sqe, USER_DATA_CANCEL);
}

/* Takes the completions that are there; returns how many. */
static unsigned int reap(struct async_io *io, struct async_op *ops)
{
	struct io_uring_cqe *cqe;
	unsigned int head, count = 0;

	io_uring_for_each_cqe(&io->ring, head, cqe)
	{
		count++;
		if (cqe->user_data != USER_DATA_CANCEL)
			ops[cqe->user_data].result = cqe->res == -ECANCELED ? -EAGAIN : cqe->res;
	}
	io_uring_cq_advance(&io->ring, count);
	return count;
}

/* What the kernel may have taken is not tried again. */
static void fail_pending(struct async_op *ops, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (ops[i].result == RESULT_PENDING)
			ops[i].result = -EIO;
}

/*
 * The kernel takes no more of what is in the ring: what it has taken is cancelled and ends, and
 * the ring goes. Only a ring that refuses even that (its memory is not what it was) is left to the
 * kernel, which cancels before it lets go of a ring.
 */
static int give_up_ring(struct async_io *io, struct async_op *ops, unsigned int count,
                        unsigned int in_flight)
{
	struct io_uring_sync_cancel_reg all = {
		.fd = -1,
		.flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
		.timeout = { -1, -1 },
	};
	struct io_uring_cqe *cqe;
	int calls = 0;

	while (in_flight) {
		unsigned int reaped;

		calls += 2;
		(void)io_uring_register_sync_cancel(&io->ring, &all);
		(void)__io_uring_get_cqe(&io->ring, &cqe, 0, 1, NULL);
		reaped = reap(io, ops);
		if (!reaped) {
			fail_pending(ops, count);
			break;
		}
		in_flight -= reaped;
	}
	close_ring(io);
	return calls;
}

/* At most io->depth operations that are all pending; leaves some so where the ring fails. Returns
 * the number of system calls. */
static int run_batch(struct async_io *io, struct async_op *ops, unsigned int count)
{
	unsigned int submitted = 0, reaped = 0;
	unsigned int total = io->nowait ? count : count + 1;
	int calls = 0;

	for (unsigned int i = 0; i < count; i++)
		prepare(io, &ops[i], i);
	if (!io->nowait)
		prepare_cancel(io);
	while (reaped < total) {
		int r = io_uring_submit_and_wait(&io->ring, total - reaped);

		calls++;
		if (r < 0 && r != -EINTR)
			return calls + give_up_ring(io, ops, count, submitted - reaped);
		if (r > 0)
			submitted += (unsigned int)r;
		reaped += reap(io, ops);
	}
	return calls;
}

/* The ring has to be enabled by the thread that uses it. */
static bool ring_is_ready(struct async_io *io)
{
	if (!io->batched)
		return false;
	if (!io->enabled && io_uring_enable_rings(&io->ring) < 0)
		close_ring(io);
	else
		io->enabled = true;
	return io->batched;
}

/* Of descriptors that do not know RWF_NOWAIT: nothing was done. */
static unsigned int forget_unsupported(struct async_op *ops, unsigned int count)
{
	unsigned int forgotten = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (ops[i].result != -EOPNOTSUPP)
			continue;
		ops[i].result = RESULT_PENDING;
		forgotten++;
	}
	return forgotten;
}

static int run_chunk(struct async_io *io, struct async_op *ops, unsigned int count)
{
	int calls = run_batch(io, ops, count);

	if (!io->batched || !io->nowait || !forget_unsupported(ops, count))
		return calls;
	io->nowait = false;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int run = 0;

		while (i + run < count && ops[i + run].result == RESULT_PENDING)
			run++;
		if (run && io->batched)
			calls += run_batch(io, &ops[i], run);
		i += run;
	}
	return calls;
}

int async_io_run(struct async_io *io, struct async_op *ops, unsigned int count)
{
	unsigned int done = 0;
	int calls = 0;

	for (unsigned int i = 0; i < count; i++)
		ops[i].result = RESULT_PENDING;
	while (count > 1 && done < count && ring_is_ready(io)) {
		unsigned int chunk = (unsigned int)min_u64(count - done, io->depth);

		calls += run_chunk(io, &ops[done], chunk);
		done += chunk;
	}
	return calls + run_each(ops, count);
}
