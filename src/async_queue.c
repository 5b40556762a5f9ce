/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on files that stay in flight, by io_uring.
 *
 * Syscalls: io: io_uring_enter io_uring_register preadv pwritev fdatasync fallocate
 *
 * DOC: one io_uring_enter hands in all that was submitted and takes out all that is over. The ring
 * is made for DEFER_TASKRUN (6.1), as async_io's: completions come within io_uring_enter and at no
 * other time, so nothing interrupts the thread, and whoever waits is woken once for many.
 *
 * How the loop learns of completions. The ring signals an eventfd when the first one comes after
 * all were taken; epoll reports it edge-triggered, so it is never read. (The ring's own descriptor
 * can be polled as well, but with DEFER_TASKRUN later kernels wake who polls it only from within
 * io_uring_enter.) The ring's memory says whether there is anything to take (TASKRUN_FLAG), so a
 * signal that comes late costs no call. While the loop's thread is in here it does not want to be
 * told: the signals are off, and what came meanwhile is looked for when they are on again, in the
 * order that leaves no gap (an atomic instruction with a full barrier).
 *
 * Few calls. What is over at once, as reading what the page cache has, comes out of the call that
 * handed it in. Else two calls a turn: one takes completions, one hands in what follows from them.
 * With many in flight each first completion would wake the loop for one or two; so from 8 on that
 * call waits for half of what is in flight, a millisecond at the most: what else the loop serves
 * waits as long, which is why it does so only for a gain. Where fewer than 4 came, on a disk that
 * is slower than that, it is not tried for the next turn, then for three, up to 63. A turn has
 * ROUNDS_MAX exchanges, then the loop's other work gets its turn.
 *
 * Chains (IOSQE_IO_LINK) with one completion for many were tried, for buffered writes that go
 * through worker threads one after the other: with DEFER_TASKRUN each link comes back to this
 * thread, so that they cost more calls, not fewer.
 *
 * What cannot be done without waiting goes to worker threads of the kernel's, WORKERS_MAX of them
 * for all rings of the loop's thread; they have that thread's credentials and filters, and go when
 * they are idle. What it has to cancel because it may make none is done here.
 *
 * The ring belongs to the thread that runs it first (it is made disabled), since set-up is
 * another's. A ring that fails is given up when what it holds is over; from then on, and where
 * there is none, an operation is a system call, made right here.
 *
 * It registers neither buffers nor files: guest memory comes and goes, and registering pins it.
 */
#include "ebb/async_queue.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "async_ring.h"

#define WORKERS_MAX 8
#define ROUNDS_MAX  4
#define WAIT_FROM   8 /* in flight */
#define WAIT_NS     NS_PER_MS
#define WAIT_GAINS  4
#define SKIP_MAX    63

struct async_queue {
	struct io_uring ring;
	struct event_source *source;
	struct event_work more; /* than a turn allows */
	const struct async_queue_ops *ops;
	void *ctx;
	int event_fd;
	unsigned int depth;
	int why_no_ring; /* 0: it is there */
	bool enabled;    /* and belongs to the loop's thread */
	bool in_turn;
	struct list waiting;          /* to be handed in */
	struct list started;          /* in the ring, by their order in it */
	struct list finished;         /* to be told */
	unsigned int in_flight;       /* started */
	unsigned int skip, skip_next; /* turns without waiting for more */
	uint64_t system_calls;
};

static struct async_task *first_of(const struct list *tasks)
{
	return container_of(tasks->next, struct async_task, node);
}

static void finish(struct async_queue *queue, struct async_task *task, int64_t result)
{
	task->result = result;
	list_remove(&task->node);
	list_append(&queue->finished, &task->node);
}

/* --- A system call an operation --- */

static int64_t write_here(struct async_queue *queue, const struct async_task *task)
{
	ssize_t written = pwritev(task->fd, task->segments, (int)task->segment_count,
	                          (off_t)task->offset_bytes);

	if (written < 0 || !task->durable)
		return written;
	queue->system_calls++;
	return fdatasync(task->fd) ? -1 : written;
}

static int64_t call_host(struct async_queue *queue, const struct async_task *task)
{
	switch (task->kind) {
	case ASYNC_TASK_READ:
		return preadv(task->fd, task->segments, (int)task->segment_count,
		              (off_t)task->offset_bytes);
	case ASYNC_TASK_WRITE:
		return write_here(queue, task);
	case ASYNC_TASK_SYNC:
		return fdatasync(task->fd);
	case ASYNC_TASK_ALLOCATE:
		return fallocate(task->fd, task->mode, (off_t)task->offset_bytes,
		                 (off_t)task->size_bytes);
	}
	errno = EINVAL;
	return -1;
}

static int64_t run_one(struct async_queue *queue, const struct async_task *task)
{
	int64_t result;

	do {
		result = call_host(queue, task);
		queue->system_calls++;
	} while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

static void run_here(struct async_queue *queue)
{
	for (unsigned int i = 0; i < queue->depth && !list_is_empty(&queue->waiting); i++) {
		struct async_task *task = first_of(&queue->waiting);

		finish(queue, task, run_one(queue, task));
	}
}

/* --- By the ring --- */

static void prepare(struct async_queue *queue, struct async_task *task)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);

	assert(sqe); /* as many as may be in flight */
	switch (task->kind) {
	case ASYNC_TASK_READ:
		io_uring_prep_readv2(sqe, task->fd, task->segments, task->segment_count,
		                     task->offset_bytes, 0);
		break;
	case ASYNC_TASK_WRITE:
		io_uring_prep_writev2(sqe, task->fd, task->segments, task->segment_count,
		                      task->offset_bytes, task->durable ? RWF_DSYNC : 0);
		break;
	case ASYNC_TASK_SYNC:
		io_uring_prep_fsync(sqe, task->fd, IORING_FSYNC_DATASYNC);
		break;
	case ASYNC_TASK_ALLOCATE:
		io_uring_prep_fallocate(sqe, task->fd, task->mode, (off_t)task->offset_bytes,
		                        (off_t)task->size_bytes);
		break;
	}
	io_uring_sqe_set_data(sqe, task);
}

static bool has_room(const struct async_queue *queue)
{
	return !list_is_empty(&queue->waiting) && queue->in_flight < queue->depth;
}

static void fill(struct async_queue *queue)
{
	while (has_room(queue)) {
		struct async_task *task = first_of(&queue->waiting);

		prepare(queue, task);
		list_remove(&task->node);
		list_append(&queue->started, &task->node);
		queue->in_flight++;
	}
}

/* Takes the completions that are there; returns how many. Nobody cancels anything but the kernel,
 * which does where it can make no worker thread: nothing was done. */
static unsigned int reap(struct async_queue *queue)
{
	struct io_uring_cqe *cqe;
	unsigned int head, count = 0;

	io_uring_for_each_cqe(&queue->ring, head, cqe)
	{
		struct async_task *task = io_uring_cqe_get_data(cqe);

		count++;
		finish(queue, task, cqe->res == -ECANCELED ? run_one(queue, task) : cqe->res);
	}
	io_uring_cq_advance(&queue->ring, count);
	queue->in_flight -= count;
	return count;
}

static void close_ring(struct async_queue *queue, int why)
{
	if (!queue->why_no_ring)
		io_uring_queue_exit(&queue->ring);
	queue->why_no_ring = why;
}

/* What the kernel has not taken, the last ones, goes back to the head of those who wait. */
static void take_back(struct async_queue *queue)
{
	for (unsigned int left = io_uring_sq_ready(&queue->ring); left; left--) {
		struct list *node = queue->started.prev;

		list_remove(node);
		list_append(queue->waiting.next, node);
		queue->in_flight--;
	}
}

/*
 * The kernel takes no more. What it has taken is waited for. Only a ring that refuses even that
 * (its memory is not what it was) is left to the kernel, and what it may have taken is not tried
 * again.
 */
static void give_up_ring(struct async_queue *queue, int why)
{
	struct io_uring_cqe *cqe;

	take_back(queue);
	while (queue->in_flight) {
		int r = __io_uring_get_cqe(&queue->ring, &cqe, 0, 1, NULL);

		queue->system_calls++;
		if (!reap(queue) && r != -EINTR)
			break;
	}
	while (queue->in_flight) {
		finish(queue, first_of(&queue->started), -EIO);
		queue->in_flight--;
	}
	close_ring(queue, why);
}

/* The ring has to be enabled by the thread that uses it. */
static void enable_ring(struct async_queue *queue)
{
	unsigned int workers[2] = { WORKERS_MAX, WORKERS_MAX };
	int r;

	if (queue->enabled)
		return;
	queue->enabled = true;
	queue->system_calls++;
	r = io_uring_enable_rings(&queue->ring);
	if (r < 0) {
		close_ring(queue, r);
		return;
	}
	queue->system_calls++;
	(void)io_uring_register_iowq_max_workers(&queue->ring, workers);
}

/* What only io_uring_enter brings into the ring. */
static bool has_deferred(const struct async_queue *queue)
{
	return !queue->why_no_ring && (IO_URING_READ_ONCE(*queue->ring.sq.kflags) &
	                               (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

/* The kernel has nothing of what is in the ring, whose end would be a reason to try again. */
static bool is_stranded(const struct async_queue *queue)
{
	return queue->in_flight && queue->in_flight == io_uring_sq_ready(&queue->ring);
}

/* Something goes in, or has come out. */
static bool has_next(const struct async_queue *queue)
{
	if (queue->why_no_ring)
		return !list_is_empty(&queue->waiting);
	return has_room(queue) || io_uring_cq_ready(&queue->ring) || is_stranded(queue);
}

/* One io_uring_enter: what is prepared goes in, what is over comes out. wanted: so many are waited
 * for, until timeout (NULL: for ever). */
static void enter(struct async_queue *queue, unsigned int wanted, struct __kernel_timespec *timeout)
{
	struct io_uring_cqe *cqe;
	int r;

	if (!wanted)
		r = io_uring_submit_and_get_events(&queue->ring);
	else if (timeout)
		r = io_uring_submit_and_wait_timeout(&queue->ring, &cqe, wanted, timeout, NULL);
	else
		r = io_uring_submit_and_wait(&queue->ring, wanted);
	queue->system_calls++;
	if (r >= 0 || r == -EINTR || r == -ETIME)
		return;
	/* Short of memory or of room: what ends makes some, and says so. */
	if ((r == -EAGAIN || r == -ENOMEM || r == -EBUSY) &&
	    queue->in_flight > io_uring_sq_ready(&queue->ring))
		return;
	give_up_ring(queue, r);
}

/* Hands in what waits, takes what is over; returns how many completions came. */
static unsigned int exchange(struct async_queue *queue, unsigned int wanted,
                             struct __kernel_timespec *timeout)
{
	if (!queue->why_no_ring)
		enable_ring(queue);
	if (!queue->why_no_ring) {
		fill(queue);
		if (wanted || io_uring_sq_ready(&queue->ring) || has_deferred(queue))
			enter(queue, wanted, timeout);
	}
	if (!queue->why_no_ring)
		return reap(queue);
	run_here(queue);
	return 0;
}

static void deliver(struct async_queue *queue)
{
	if (list_is_empty(&queue->finished))
		return;
	while (!list_is_empty(&queue->finished)) {
		struct async_task *task = first_of(&queue->finished);

		list_remove(&task->node);
		queue->ops->done(queue->ctx, task);
	}
	if (queue->ops->settled)
		queue->ops->settled(queue->ctx);
}

/* Whether completions signal event_fd. */
static void set_signals(struct async_queue *queue, bool on)
{
	if (queue->why_no_ring)
		return;
	if (on)
		__atomic_and_fetch(queue->ring.cq.kflags, ~IORING_CQ_EVENTFD_DISABLED,
		                   __ATOMIC_SEQ_CST);
	else
		__atomic_or_fetch(queue->ring.cq.kflags, IORING_CQ_EVENTFD_DISABLED,
		                  __ATOMIC_SEQ_CST);
}

/* Whether waiting for so many more was worth it. */
static void learn(struct async_queue *queue, unsigned int came)
{
	if (came >= WAIT_GAINS) {
		queue->skip_next = 0;
		return;
	}
	queue->skip_next = (unsigned int)min_u64(2 * queue->skip_next + 1, SKIP_MAX);
	queue->skip = queue->skip_next;
}

/* What is over by now but has to be fetched waits for the next turn, which fetches more at a time:
 * but in the first round, when it is what the turn is for. */
static void take_turn(struct async_queue *queue, unsigned int wanted)
{
	struct __kernel_timespec timeout = { .tv_nsec = WAIT_NS };
	unsigned int came;

	queue->in_turn = true;
	set_signals(queue, false);
	for (unsigned int i = 0; i < ROUNDS_MAX; i++) {
		came = exchange(queue, wanted, &timeout);
		if (wanted)
			learn(queue, came);
		wanted = 0;
		deliver(queue);
		if (!has_next(queue))
			break;
	}
	set_signals(queue, true);
	queue->in_turn = false;
	if (has_next(queue) || has_deferred(queue))
		event_work_post(&queue->more);
}

static void take_completions(void *ctx)
{
	struct async_queue *queue = ctx;
	unsigned int wanted = 0;

	if (!has_next(queue) && !has_deferred(queue))
		return;
	if (queue->skip)
		queue->skip--;
	else if (queue->in_flight >= WAIT_FROM)
		wanted = queue->in_flight / 2;
	take_turn(queue, wanted);
}

static void on_event(void *ctx, uint32_t epoll_events)
{
	(void)epoll_events;
	take_completions(ctx);
}

/* --- public --- */

/* A host without it, or that does not let us, is no error. */
static void open_ring(struct async_queue *queue)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
		         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		         IORING_SETUP_TASKRUN_FLAG,
	};
	static const uint8_t operations[] = { IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
		                              IORING_OP_FALLOCATE };
	int r;

	queue->why_no_ring = io_uring_queue_init_params(queue->depth, &queue->ring, &params);
	if (queue->why_no_ring)
		return;
	r = io_uring_register_eventfd(&queue->ring, queue->event_fd);
	if (!r)
		r = async_ring_restrict(&queue->ring, operations, ARRAY_SIZE(operations));
	if (r < 0)
		close_ring(queue, r);
}

int async_queue_create(struct event_loop *loop, unsigned int depth,
                       const struct async_queue_ops *ops, void *ctx, struct async_queue **ret_queue)
{
	struct async_queue *queue;
	int r;

	assert(depth && depth <= ASYNC_QUEUE_DEPTH_MAX);
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	queue->ops = ops;
	queue->ctx = ctx;
	queue->depth = depth;
	list_init(&queue->waiting);
	list_init(&queue->started);
	list_init(&queue->finished);
	event_work_init(&queue->more, loop, take_completions, queue);
	queue->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->event_fd < 0) {
		r = -errno;
		goto free_queue;
	}
	/* Never read: each signal is an event. */
	r = event_loop_add(loop, queue->event_fd, EPOLLIN | EPOLLET, on_event, queue,
	                   &queue->source);
	if (r)
		goto close_event_fd;
	open_ring(queue);
	*ret_queue = queue;
	return 0;

close_event_fd:
	close(queue->event_fd);
free_queue:
	free(queue);
	return r;
}

void async_queue_destroy(struct async_queue *queue)
{
	if (!queue)
		return;
	assert(list_is_empty(&queue->waiting) && !queue->in_flight);
	event_work_cancel(&queue->more);
	event_loop_remove(queue->source);
	close_ring(queue, -ENXIO);
	close(queue->event_fd);
	free(queue);
}

void async_queue_submit(struct async_queue *queue, struct async_task *task)
{
	list_append(&queue->waiting, &task->node);
}

void async_queue_start(struct async_queue *queue)
{
	if (!queue->in_turn && has_next(queue))
		take_turn(queue, 0);
}

void async_queue_drain(struct async_queue *queue)
{
	assert(!queue->in_turn);
	queue->in_turn = true;
	while (!list_is_empty(&queue->waiting) || queue->in_flight) {
		exchange(queue, (unsigned int)max_u64(queue->in_flight, 1), NULL);
		deliver(queue);
	}
	queue->in_turn = false;
}

int async_queue_why_no_ring(const struct async_queue *queue)
{
	return queue->why_no_ring;
}

uint64_t async_queue_system_calls(const struct async_queue *queue)
{
	return queue->system_calls;
}
