/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoll loop with its thread: file descriptors, timers, work from other threads.
 *
 * DOC: One turn of a loop: run the work that was posted, run the timers that are due, sleep in
 * epoll_wait until the next timer, run the handlers of what was ready. The lock is held throughout,
 * but for the sleep and while something of a user's runs.
 *
 * Removal. epoll hands back an id, not a pointer: slot number and a serial number that is never
 * used twice. An event that was fetched before its source went finds an empty or a different slot
 * and is dropped, so a handler may remove itself and others of the same batch. Who removes from
 * another thread waits until what runs (`running`) is no longer the object that goes.
 *
 * Waking. `sleeping` is set under the lock after the last look at the work list and the timers;
 * whoever adds to them sees it under the lock and writes to the wake eventfd. That one is
 * edge-triggered and never read: each write is an event, and its counter would take centuries.
 *
 * Waiting for a loop (event_loop_call, remove, destroy, cancel from another thread) goes one way:
 * vCPU -> main -> io and reclaim. A handler of io must not wait for main, or the two may wait for
 * each other. Work and calls for a loop without a thread of its own run while event_loop_run does.
 *
 * A loop with a thread costs nothing until it is needed: descriptors and thread are made with the
 * first source, timer or work. One that is held has no thread yet, whatever is needed: calls run on
 * the caller's, the rest waits. Once it is let go its thread is there, and sleeps without
 * descriptors until something needs it.
 *
 * A thread that cannot be started, or for which there are no descriptors: sources and timers are
 * refused; posted work waits for the next attempt; a call runs at once on the caller's thread,
 * which stands in for the loop's: one caller at a time, and a thread that can be had after all, or
 * that slept, waits for the last of them.
 *
 * Syscalls: all: epoll_create1 epoll_ctl epoll_wait eventfd write
 * Syscalls: main,io,reclaim: pthread_create
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "ebb/event_loop.h"

#define THREAD_NAME_MAX    16 /* Linux's own limit, with NUL */
#define THREAD_STACK_BYTES (512 * KIB)
#define BATCH_EVENTS       16
#define WAKE_ID            UINT64_MAX
#define NEVER_NS           INT64_MAX

struct event_source {
	struct event_loop *loop;
	int fd;
	uint32_t slot, serial;
	event_fn fn;
	void *ctx;
};

struct event_timer {
	struct list node;
	struct event_loop *loop;
	event_work_fn fn;
	void *ctx;
	int64_t due_ns; /* NEVER_NS: not set */
	int64_t period_ns;
};

struct event_loop {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something finished running */
	int epoll_fd, wake_fd;
	char thread_name[THREAD_NAME_MAX]; /* "": no thread of its own */
	bool has_thread;                   /* thread is the loop's own and runs */
	bool is_held;                      /* no thread may be started */
	event_work_fn first;               /* what the thread does first, or NULL */
	void *first_ctx;
	bool stopping;
	bool sleeping;
	int64_t wakes_at_ns; /* while sleeping */
	pthread_t thread;    /* its own, or the one that runs it */
	const void *running; /* the source, timer or work whose function runs now */
	bool has_stand_in;
	pthread_t stand_in;
	pthread_mutex_t stand_in_lock; /* above lock; held by who stands in */
	struct list works, timers;
	struct event_source **sources; /* by slot */
	uint32_t source_slots;
	uint32_t next_serial;
};

/* One event_loop_call, on the caller's stack. */
struct event_call {
	struct event_work work;
	event_work_fn fn;
	void *ctx;
	bool done;
};

int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static bool on_loop_thread(const struct event_loop *loop)
{
	if (loop->has_stand_in && pthread_equal(loop->stand_in, pthread_self()))
		return true;
	return (loop->has_thread || !loop->thread_name[0]) &&
	       pthread_equal(loop->thread, pthread_self());
}

/* Lock held. */
static void wake(struct event_loop *loop)
{
	if (!loop->sleeping)
		return;
	loop->sleeping = false;
	/* Fails only with a counter that is full, which wakes as well. */
	(void)!eventfd_write(loop->wake_fd, 1);
}

/* Lock held, given up and taken again. fn may free object. */
static void run_unlocked(struct event_loop *loop, const void *object, event_work_fn fn, void *ctx)
{
	const void *outer = loop->running;

	loop->running = object;
	pthread_mutex_unlock(&loop->lock);
	fn(ctx);
	pthread_mutex_lock(&loop->lock);
	loop->running = outer;
	pthread_cond_broadcast(&loop->changed);
}

/* Lock held. Returns when object's function does not run, unless this thread runs it. */
static void wait_until_idle(struct event_loop *loop, const void *object)
{
	if (on_loop_thread(loop))
		return;
	while (loop->running == object)
		pthread_cond_wait(&loop->changed, &loop->lock);
}

/* --- a turn; lock held --- */

static void run_works(struct event_loop *loop)
{
	struct list batch;

	/* What is posted meanwhile waits for the next turn, so that it cannot keep events out. */
	list_init(&batch);
	list_for_each_safe (node, &loop->works) {
		list_remove(node);
		list_append(&batch, node);
	}
	while (!list_is_empty(&batch)) {
		struct event_work *work = container_of(batch.next, struct event_work, node);

		list_remove(&work->node);
		work->queued = false;
		run_unlocked(loop, work, work->fn, work->ctx);
	}
}

static struct event_timer *next_timer(const struct event_loop *loop)
{
	struct event_timer *next = NULL;

	list_for_each (node, &loop->timers) {
		struct event_timer *timer = container_of(node, struct event_timer, node);

		if (!next || timer->due_ns < next->due_ns)
			next = timer;
	}
	return next;
}

static void run_timers(struct event_loop *loop)
{
	int64_t now_ns;
	struct event_timer *timer = next_timer(loop);

	if (!timer || timer->due_ns == NEVER_NS)
		return;
	now_ns = monotonic_ns();
	while (timer && timer->due_ns <= now_ns) {
		/* A period that was missed is left out, not made up for. */
		if (!timer->period_ns)
			timer->due_ns = NEVER_NS;
		else if (now_ns - timer->due_ns < timer->period_ns)
			timer->due_ns += timer->period_ns;
		else
			timer->due_ns = now_ns + timer->period_ns;
		run_unlocked(loop, timer, timer->fn, timer->ctx);
		timer = next_timer(loop);
	}
}

/* Until the next timer, in whole milliseconds, rounded up; -1: for ever. */
static int timeout_ms(struct event_loop *loop)
{
	const struct event_timer *timer = next_timer(loop);
	int64_t delay_ns, delay_ms;

	loop->wakes_at_ns = timer ? timer->due_ns : NEVER_NS;
	if (!list_is_empty(&loop->works) || loop->stopping)
		return 0;
	if (loop->wakes_at_ns == NEVER_NS)
		return -1;
	delay_ns = loop->wakes_at_ns - monotonic_ns();
	if (delay_ns <= 0)
		return 0;
	delay_ms = (delay_ns + NS_PER_MS - 1) / NS_PER_MS;
	return delay_ms > INT32_MAX ? INT32_MAX : (int)delay_ms;
}

struct source_call {
	event_fn fn;
	void *ctx;
	uint32_t events;
};

static void call_source(void *ctx)
{
	const struct source_call *call = ctx;

	call->fn(call->ctx, call->events);
}

static void run_source(struct event_loop *loop, const struct epoll_event *event)
{
	uint32_t slot = (uint32_t)event->data.u64;
	uint32_t serial = (uint32_t)(event->data.u64 >> 32);
	struct event_source *source = slot < loop->source_slots ? loop->sources[slot] : NULL;
	struct source_call call;

	if (!source || source->serial != serial)
		return;
	call.fn = source->fn;
	call.ctx = source->ctx;
	call.events = event->events;
	run_unlocked(loop, source, call_source, &call);
}

static void run_turn(struct event_loop *loop)
{
	struct epoll_event events[BATCH_EVENTS];
	int count, timeout;

	run_works(loop);
	run_timers(loop);
	timeout = timeout_ms(loop);
	loop->sleeping = timeout != 0;
	pthread_mutex_unlock(&loop->lock);
	count = epoll_wait(loop->epoll_fd, events, BATCH_EVENTS, timeout);
	pthread_mutex_lock(&loop->lock);
	loop->sleeping = false;
	for (int i = 0; i < count; i++)
		if (events[i].data.u64 != WAKE_ID)
			run_source(loop, &events[i]);
}

static void run_until_stopped(struct event_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	while (!loop->stopping)
		run_turn(loop);
	loop->stopping = false;
	pthread_mutex_unlock(&loop->lock);
}

/* --- the thread --- */

static void wait_until_needed(struct event_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	while (loop->epoll_fd < 0 && !loop->stopping)
		pthread_cond_wait(&loop->changed, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

static void *thread_main(void *ctx)
{
	struct event_loop *loop = ctx;

	if (loop->first)
		loop->first(loop->first_ctx);
	wait_until_needed(loop);
	pthread_setname_np(pthread_self(), loop->thread_name);
	pthread_mutex_lock(&loop->stand_in_lock);
	pthread_mutex_unlock(&loop->stand_in_lock);
	run_until_stopped(loop);
	return NULL;
}

/* Lock held, or nobody else knows the loop. Both or none. */
static int open_descriptors(struct event_loop *loop)
{
	struct epoll_event wake_event = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE_ID };
	int epoll_fd, wake_fd, result;

	if (loop->epoll_fd >= 0)
		return 0;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return -errno;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0) {
		result = -errno;
		goto close_epoll_fd;
	}
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &wake_event)) {
		result = -errno;
		goto close_wake_fd;
	}
	loop->epoll_fd = epoll_fd;
	loop->wake_fd = wake_fd;
	return 0;

close_wake_fd:
	close(wake_fd);
close_epoll_fd:
	close(epoll_fd);
	return result;
}

/* Lock held. */
static int make_thread(struct event_loop *loop)
{
	pthread_attr_t attributes;
	sigset_t all;
	int result;

	result = pthread_attr_init(&attributes);
	if (result)
		return -result;
	/* Not 2 MiB or more: a host that has huge pages always would give each stack one. */
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	sigfillset(&all);
	/* Faults of our own keep their action. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGTRAP);
	sigdelset(&all, SIGSYS);
	pthread_attr_setsigmask_np(&attributes, &all);
	result = pthread_create(&loop->thread, &attributes, thread_main, loop);
	pthread_attr_destroy(&attributes);
	loop->has_thread = !result;
	return -result;
}

/* Lock held. 0 when the loop has whom it needs, or will. */
static int start_thread(struct event_loop *loop)
{
	int result;

	if (!loop->thread_name[0])
		return 0;
	if (loop->epoll_fd < 0) {
		result = open_descriptors(loop);
		if (result)
			return result;
		pthread_cond_broadcast(&loop->changed);
	}
	return loop->has_thread || loop->is_held ? 0 : make_thread(loop);
}

void event_loop_hold(struct event_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->is_held = true;
	pthread_mutex_unlock(&loop->lock);
}

int event_loop_let_go(struct event_loop *loop, event_work_fn first, void *ctx)
{
	int result;

	pthread_mutex_lock(&loop->lock);
	loop->is_held = false;
	loop->first = first;
	loop->first_ctx = ctx;
	result = make_thread(loop);
	pthread_mutex_unlock(&loop->lock);
	return result;
}

int event_loop_create(const char *thread_name, struct event_loop **ret_loop, struct error *err)
{
	struct event_loop *loop = calloc(1, sizeof(*loop));
	int result;

	if (!loop)
		return error_set_errno(err, -ENOMEM, "event loop");
	snprintf(loop->thread_name, sizeof(loop->thread_name), "%s",
	         thread_name ? thread_name : "");
	list_init(&loop->works);
	list_init(&loop->timers);
	loop->thread = pthread_self();
	loop->epoll_fd = loop->wake_fd = -1;
	result = -pthread_mutex_init(&loop->lock, NULL);
	if (result)
		goto free_loop;
	result = -pthread_mutex_init(&loop->stand_in_lock, NULL);
	if (result)
		goto destroy_lock;
	result = -pthread_cond_init(&loop->changed, NULL);
	if (result)
		goto destroy_stand_in_lock;
	if (!thread_name)
		result = open_descriptors(loop);
	if (result)
		goto destroy_changed;
	*ret_loop = loop;
	return 0;

destroy_changed:
	pthread_cond_destroy(&loop->changed);
destroy_stand_in_lock:
	pthread_mutex_destroy(&loop->stand_in_lock);
destroy_lock:
	pthread_mutex_destroy(&loop->lock);
free_loop:
	free(loop);
	return error_set_errno(err, result, "event loop");
}

void event_loop_destroy(struct event_loop *loop)
{
	if (!loop)
		return;
	event_loop_stop(loop);
	if (loop->has_thread)
		pthread_join(loop->thread, NULL);
	if (loop->epoll_fd >= 0) {
		close(loop->wake_fd);
		close(loop->epoll_fd);
	}
	pthread_cond_destroy(&loop->changed);
	pthread_mutex_destroy(&loop->stand_in_lock);
	pthread_mutex_destroy(&loop->lock);
	free(loop->sources);
	free(loop);
}

int event_loop_run(struct event_loop *loop)
{
	if (loop->thread_name[0])
		return -EINVAL;
	pthread_mutex_lock(&loop->lock);
	loop->thread = pthread_self();
	pthread_mutex_unlock(&loop->lock);
	run_until_stopped(loop);
	return 0;
}

void event_loop_stop(struct event_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->stopping = true;
	wake(loop);
	pthread_cond_broadcast(&loop->changed);
	pthread_mutex_unlock(&loop->lock);
}

/* --- sources --- */

/* Lock held. Finds or makes an empty slot. */
static int take_slot(struct event_loop *loop, struct event_source *source)
{
	struct event_source **sources;
	uint32_t slot = 0;

	while (slot < loop->source_slots && loop->sources[slot])
		slot++;
	if (slot == loop->source_slots) {
		uint32_t slots = slot ? slot * 2 : 8;

		sources = reallocarray(loop->sources, slots, sizeof(*sources));
		if (!sources)
			return -ENOMEM;
		memset(sources + slot, 0, (slots - slot) * sizeof(*sources));
		loop->sources = sources;
		loop->source_slots = slots;
	}
	source->slot = slot;
	source->serial = loop->next_serial++;
	loop->sources[slot] = source;
	return 0;
}

/* Serials fill 32 bits but the last, which with the last slot would be WAKE_ID: slots never get
 * there. */
static int control(struct event_source *source, int operation, uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = (uint64_t)source->serial << 32 | source->slot,
	};

	return epoll_ctl(source->loop->epoll_fd, operation, source->fd, &event) ? -errno : 0;
}

int event_loop_add(struct event_loop *loop, int fd, uint32_t events, event_fn fn, void *ctx,
                   struct event_source **ret_source)
{
	struct event_source *source = calloc(1, sizeof(*source));
	int result;

	if (!source)
		return -ENOMEM;
	source->loop = loop;
	source->fd = fd;
	source->fn = fn;
	source->ctx = ctx;
	pthread_mutex_lock(&loop->lock);
	result = start_thread(loop);
	if (!result)
		result = take_slot(loop, source);
	if (result)
		goto unlock;
	result = control(source, EPOLL_CTL_ADD, events);
	if (result)
		loop->sources[source->slot] = NULL;
	else
		*ret_source = source; /* under the lock: before its handler can run */
unlock:
	pthread_mutex_unlock(&loop->lock);
	if (result)
		free(source);
	return result;
}

void event_loop_remove(struct event_source *source)
{
	struct event_loop *loop;

	if (!source)
		return;
	loop = source->loop;
	pthread_mutex_lock(&loop->lock);
	loop->sources[source->slot] = NULL;
	/* -EBADF when its owner closed it already: epoll forgot it then. */
	(void)!control(source, EPOLL_CTL_DEL, 0);
	wait_until_idle(loop, source);
	pthread_mutex_unlock(&loop->lock);
	free(source);
}

int event_loop_modify(struct event_source *source, uint32_t events)
{
	int result;

	pthread_mutex_lock(&source->loop->lock);
	result = control(source, EPOLL_CTL_MOD, events);
	pthread_mutex_unlock(&source->loop->lock);
	return result;
}

/* --- timers --- */

int event_timer_create(struct event_loop *loop, event_work_fn fn, void *ctx,
                       struct event_timer **ret_timer)
{
	struct event_timer *timer = calloc(1, sizeof(*timer));
	int result;

	if (!timer)
		return -ENOMEM;
	timer->loop = loop;
	timer->fn = fn;
	timer->ctx = ctx;
	timer->due_ns = NEVER_NS;
	pthread_mutex_lock(&loop->lock);
	result = start_thread(loop);
	if (!result)
		list_append(&loop->timers, &timer->node);
	pthread_mutex_unlock(&loop->lock);
	if (result) {
		free(timer);
		return result;
	}
	*ret_timer = timer;
	return 0;
}

void event_timer_destroy(struct event_timer *timer)
{
	struct event_loop *loop;

	if (!timer)
		return;
	loop = timer->loop;
	pthread_mutex_lock(&loop->lock);
	list_remove(&timer->node);
	wait_until_idle(loop, timer);
	pthread_mutex_unlock(&loop->lock);
	free(timer);
}

void event_timer_set(struct event_timer *timer, int64_t delay_ns, int64_t period_ns)
{
	struct event_loop *loop = timer->loop;
	int64_t now_ns = monotonic_ns();

	pthread_mutex_lock(&loop->lock);
	if (delay_ns < 0)
		delay_ns = 0;
	timer->due_ns = delay_ns < NEVER_NS - now_ns ? now_ns + delay_ns : NEVER_NS;
	timer->period_ns = period_ns > 0 ? period_ns : 0;
	if (timer->due_ns < loop->wakes_at_ns)
		wake(loop);
	pthread_mutex_unlock(&loop->lock);
}

void event_timer_cancel(struct event_timer *timer)
{
	pthread_mutex_lock(&timer->loop->lock);
	timer->due_ns = NEVER_NS;
	pthread_mutex_unlock(&timer->loop->lock);
}

/* --- work --- */

void event_work_init(struct event_work *work, struct event_loop *loop, event_work_fn fn, void *ctx)
{
	list_init(&work->node);
	work->fn = fn;
	work->ctx = ctx;
	work->loop = loop;
	work->queued = false;
}

/* Lock held. */
static void post(struct event_loop *loop, struct event_work *work)
{
	if (work->queued)
		return;
	work->queued = true;
	list_append(&loop->works, &work->node);
	wake(loop);
}

void event_work_post(struct event_work *work)
{
	struct event_loop *loop = work->loop;

	pthread_mutex_lock(&loop->lock);
	(void)!start_thread(loop);
	post(loop, work);
	pthread_mutex_unlock(&loop->lock);
}

void event_work_cancel(struct event_work *work)
{
	struct event_loop *loop = work->loop;

	if (!loop)
		return;
	pthread_mutex_lock(&loop->lock);
	list_remove(&work->node);
	work->queued = false;
	wait_until_idle(loop, work);
	pthread_mutex_unlock(&loop->lock);
}

static void run_call(void *ctx)
{
	struct event_call *call = ctx;

	call->fn(call->ctx);
	pthread_mutex_lock(&call->work.loop->lock);
	call->done = true;
	pthread_mutex_unlock(&call->work.loop->lock);
}

/* Does a call in place of the thread. False: there is one by now that does not sleep for want of
 * descriptors. */
static bool stand_in(struct event_loop *loop, event_work_fn fn, void *ctx)
{
	bool alone;

	pthread_mutex_lock(&loop->stand_in_lock);
	pthread_mutex_lock(&loop->lock);
	alone = !loop->has_thread || loop->epoll_fd < 0;
	loop->has_stand_in = alone;
	loop->stand_in = pthread_self();
	pthread_mutex_unlock(&loop->lock);
	if (alone) {
		fn(ctx);
		pthread_mutex_lock(&loop->lock);
		loop->has_stand_in = false;
		pthread_mutex_unlock(&loop->lock);
	}
	pthread_mutex_unlock(&loop->stand_in_lock);
	return alone;
}

void event_loop_call(struct event_loop *loop, event_work_fn fn, void *ctx)
{
	struct event_call call = { .fn = fn, .ctx = ctx };
	bool is_here, has_thread;

	pthread_mutex_lock(&loop->lock);
	is_here = on_loop_thread(loop);
	has_thread = is_here || (!loop->is_held && !start_thread(loop));
	pthread_mutex_unlock(&loop->lock);
	if (is_here) {
		fn(ctx);
		return;
	}
	if (!has_thread && stand_in(loop, fn, ctx))
		return;
	event_work_init(&call.work, loop, run_call, &call);
	pthread_mutex_lock(&loop->lock);
	post(loop, &call.work);
	/* run_unlocked announces the end; the work must be off `running` before the frame goes. */
	while (!call.done || loop->running == &call.work)
		pthread_cond_wait(&loop->changed, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}
