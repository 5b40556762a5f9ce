/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoll loop with its thread: file descriptors, timers, work handed over from other threads.
 *
 * Loops of a VM: main (the process's first thread: control, terminal, signals), io (devices' data
 * paths), reclaim (memory return). Handlers run on the loop's thread, one at a time. The thread of
 * a loop made by event_loop_create starts with the first source, timer or call.
 */
#ifndef EBB_EVENT_LOOP_H
#define EBB_EVENT_LOOP_H

#include <sys/epoll.h>

#include "ebb/error.h"
#include "ebb/list.h"
#include "ebb/types.h"

struct event_loop;
struct event_source;
struct event_timer;

typedef void (*event_fn)(void *ctx, uint32_t epoll_events);
typedef void (*event_work_fn)(void *ctx);

/* thread_name: up to 15 characters; NULL: the loop is run by event_loop_run on the caller's thread.
 */
EBB_MUST_CHECK int event_loop_create(const char *thread_name, struct event_loop **ret_loop,
                                     struct error *err);

/*
 * Set-up, for a loop that has no thread yet: holds it back, although it is needed, until it is let
 * go; meanwhile calls run on the caller's thread, and work, timers and sources wait. Then its
 * thread is started at once and does first(ctx) before anything else. -errno: it cannot be started,
 * now.
 */
void event_loop_hold(struct event_loop *loop);
EBB_MUST_CHECK int event_loop_let_go(struct event_loop *loop, event_work_fn first, void *ctx);

/* Stops and joins the thread. Sources, timers and queued work must be gone. Not on a thread that
 * the loop made. */
void event_loop_destroy(struct event_loop *loop);

/* Runs handlers on this thread until event_loop_stop, also one that came earlier. Only for a loop
 * without a thread of its own (-EINVAL otherwise). 0 or -errno. Until it is called, the thread that
 * created the loop counts as the loop's own. */
int event_loop_run(struct event_loop *loop);
void event_loop_stop(struct event_loop *loop); /* any thread */

/*
 * Any thread. fd is borrowed until removed: it must not be closed before. events as for epoll_ctl;
 * with EPOLLET an eventfd needs no read: every signal wakes anew. -errno: -ENOMEM, -EAGAIN (no
 * thread), epoll's.
 */
EBB_MUST_CHECK int event_loop_add(struct event_loop *loop, int fd, uint32_t events, event_fn fn,
                                  void *ctx, struct event_source **ret_source);

/* On return the handler is not running and will not run. Any thread (the handler's own too). NULL
 * is fine. */
void event_loop_remove(struct event_source *source);
EBB_MUST_CHECK int event_loop_modify(struct event_source *source, uint32_t events);

/* Timers on CLOCK_MONOTONIC; no descriptor each. Any thread; destroy waits as event_loop_remove
 * does. */
EBB_MUST_CHECK int event_timer_create(struct event_loop *loop, event_work_fn fn, void *ctx,
                                      struct event_timer **ret_timer);
void event_timer_destroy(struct event_timer *timer);

/* Fires once, delay_ns from now, replacing an earlier setting; then every period_ns if that is not
 * 0. */
void event_timer_set(struct event_timer *timer, int64_t delay_ns, int64_t period_ns);
void event_timer_cancel(struct event_timer *timer);

/*
 * Runs fn on the loop's thread and waits for it. On the loop's own thread: at once. Never under a
 * lock that fn or a handler takes. Waiting goes one way, vCPU -> main -> io, reclaim: a handler of
 * io or reclaim never calls main, and a vCPU's thread never does (main may be waiting for it to
 * pause); io calls reclaim in a moment of quiet (vm.h), reclaim never calls io. A loop without a
 * thread of its own answers while event_loop_run runs.
 */
void event_loop_call(struct event_loop *loop, event_work_fn fn, void *ctx);

/* Work to be done once, later, on the loop's thread. Embedded by its owner; posting it again before
 * it ran does nothing. */
struct event_work {
	struct list node;
	event_work_fn fn;
	void *ctx;
	struct event_loop *loop;
	bool queued;
};

void event_work_init(struct event_work *work, struct event_loop *loop, event_work_fn fn, void *ctx);
void event_work_post(struct event_work *work);   /* any thread, async-signal-unsafe */
void event_work_cancel(struct event_work *work); /* on return it is not running and will not run */

/* CLOCK_MONOTONIC. */
int64_t monotonic_ns(void);

#endif
