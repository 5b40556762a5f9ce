/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on files that stay in flight while the loop does other things, by io_uring
 * (src/async_queue.c). For what is to be over when the call returns: async_io.h.
 *
 * Made and destroyed on any thread while nothing is in flight; the rest, and done, on the thread of
 * the loop it was made for. No locks.
 */
#ifndef EBB_ASYNC_QUEUE_H
#define EBB_ASYNC_QUEUE_H

#include <sys/uio.h>

#include "ebb/error.h"
#include "ebb/event_loop.h"
#include "ebb/list.h"
#include "ebb/types.h"

#define ASYNC_QUEUE_DEPTH_MAX 256

struct async_queue;

enum async_task_kind { ASYNC_TASK_READ, ASYNC_TASK_WRITE, ASYNC_TASK_SYNC, ASYNC_TASK_ALLOCATE };

/* The caller's, from async_queue_submit until done is called for it. */
struct async_task {
	struct list node; /* async_queue.c's */
	enum async_task_kind kind;
	int fd;
	bool durable; /* WRITE: on the medium before it is done, as by RWF_DSYNC */
	int mode;     /* ALLOCATE: fallocate's */
	uint64_t offset_bytes;
	uint64_t size_bytes;          /* ALLOCATE */
	const struct iovec *segments; /* READ, WRITE; stay where they are meanwhile */
	unsigned int segment_count;   /* 1 to IOV_MAX */
	int64_t result;               /* bytes, or 0, or -errno: what the host said */
};

struct async_queue_ops {
	/* Once for each task, never from within async_queue_submit. */
	void (*done)(void *ctx, struct async_task *task);
	/* After some were told, before anything else goes to the host. May be NULL. */
	void (*settled)(void *ctx);
};

/*
 * depth: operations in the kernel's hands at a time, 1 to ASYNC_QUEUE_DEPTH_MAX; more wait here.
 * Where the host has no io_uring, or does not allow it, the same object works with a system call an
 * operation, made on the loop: async_queue_why_no_ring says so. The ring takes some 100 bytes of
 * the kernel's memory an operation. -ENOMEM, -EMFILE, event_loop_add's.
 */
EBB_MUST_CHECK int async_queue_create(struct event_loop *loop, unsigned int depth,
                                      const struct async_queue_ops *ops, void *ctx,
                                      struct async_queue **ret_queue);
void async_queue_destroy(struct async_queue *queue); /* NULL is fine; nothing is in flight */

/* Takes a task; no order among tasks that are not done. */
void async_queue_submit(struct async_queue *queue, struct async_task *task);

/* Hands what was submitted to the host, one system call for all. Calls done for what was over at
 * once, but not where it is called by done itself: then on that one's return. */
void async_queue_start(struct async_queue *queue);

/* Returns when all that was submitted is done. Not from within done. */
void async_queue_drain(struct async_queue *queue);

/* 0: by io_uring; -errno: why the host does not let us, or no longer. */
int async_queue_why_no_ring(const struct async_queue *queue);

/* System calls so far, on the loop's thread. */
uint64_t async_queue_system_calls(const struct async_queue *queue);

#endif
