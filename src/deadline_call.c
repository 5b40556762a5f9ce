/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function that may hang in the host, and a caller that must not.
 *
 * DOC: opening a file of a network that is gone does not return, whatever the flags, and no signal
 * ends it. So a thread does it, and who asked waits for a while. One lock decides whose the outcome
 * is: the caller's, if the thread was first, else the thread's, which then clears up by itself.
 */
#include "deadline_call.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "ebb/event_loop.h"

#define THREAD_STACK_BYTES (128 * KIB)

struct deadline_call {
	void (*fn)(void *ctx);
	void (*discard)(void *ctx);
	void *ctx;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended, abandoned;
};

static void free_call(struct deadline_call *call)
{
	pthread_cond_destroy(&call->changed);
	pthread_mutex_destroy(&call->lock);
	free(call);
}

static void *thread_main(void *ctx)
{
	struct deadline_call *call = ctx;
	bool abandoned;

	pthread_setname_np(pthread_self(), "host-call");
	call->fn(call->ctx);
	pthread_mutex_lock(&call->lock);
	call->ended = true;
	abandoned = call->abandoned;
	pthread_cond_signal(&call->changed);
	pthread_mutex_unlock(&call->lock);
	if (abandoned) {
		call->discard(call->ctx);
		free_call(call);
	}
	return NULL;
}

static int start_thread(struct deadline_call *call, pthread_t *ret_thread)
{
	pthread_attr_t attributes;
	sigset_t all;
	int r = pthread_attr_init(&attributes);

	if (r)
		return -r;
	sigfillset(&all);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	pthread_attr_setsigmask_np(&attributes, &all);
	r = pthread_create(ret_thread, &attributes, thread_main, call);
	pthread_attr_destroy(&attributes);
	return -r;
}

/* Whether it ended in time; if not, the thread has it. */
static bool wait_for_end(struct deadline_call *call, int64_t timeout_ns)
{
	int64_t end_ns = monotonic_ns() + timeout_ns;
	struct timespec until = { .tv_sec = end_ns / NS_PER_S, .tv_nsec = end_ns % NS_PER_S };
	bool ended;

	pthread_mutex_lock(&call->lock);
	while (!call->ended &&
	       pthread_cond_timedwait(&call->changed, &call->lock, &until) != ETIMEDOUT)
		;
	ended = call->ended;
	call->abandoned = !ended;
	pthread_mutex_unlock(&call->lock);
	return ended;
}

int deadline_call(void (*fn)(void *ctx), void (*discard)(void *ctx), void *ctx, int64_t timeout_ns)
{
	struct deadline_call *call = calloc(1, sizeof(*call));
	pthread_condattr_t attributes;
	pthread_t thread;
	int r;

	if (!call)
		return -ENOMEM;
	*call = (struct deadline_call){ .fn = fn, .discard = discard, .ctx = ctx };
	pthread_mutex_init(&call->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&call->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	r = start_thread(call, &thread);
	if (r < 0) {
		free_call(call);
		return r;
	}
	if (!wait_for_end(call, timeout_ns)) {
		pthread_detach(thread);
		return -ETIMEDOUT;
	}
	pthread_join(thread, NULL);
	free_call(call);
	return 0;
}
