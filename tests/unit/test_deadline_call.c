/* SPDX-License-Identifier: Apache-2.0 */
/* A call that may hang: in time it is its caller's, else it clears up by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "../../src/deadline_call.h"
#include "ebb/event_loop.h"

struct host {
	sem_t lets_go, discarded;
	pthread_t thread;
	bool hears_signals;
	unsigned int runs, discards;
};

static void run(void *ctx)
{
	struct host *host = ctx;
	sigset_t blocked;

	host->runs++;
	host->thread = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	host->hears_signals = !sigismember(&blocked, SIGTERM);
	while (sem_wait(&host->lets_go))
		;
}

static void discard(void *ctx)
{
	struct host *host = ctx;

	host->discards++;
	sem_post(&host->discarded);
}

static void in_time_it_is_the_callers(void **state)
{
	struct host host = { 0 };

	(void)state;
	sem_init(&host.lets_go, 0, 1);
	assert_int_equal(deadline_call(run, discard, &host, 60 * NS_PER_S), 0);
	assert_int_equal(host.runs, 1);
	assert_int_equal(host.discards, 0);
	assert_false(pthread_equal(host.thread, pthread_self()));
	assert_false(host.hears_signals);
	sem_destroy(&host.lets_go);
}

static void what_hangs_is_left_behind(void **state)
{
	struct host host = { 0 };
	int64_t start_ns = monotonic_ns();

	(void)state;
	sem_init(&host.lets_go, 0, 0);
	sem_init(&host.discarded, 0, 0);
	assert_int_equal(deadline_call(run, discard, &host, 50 * NS_PER_MS), -ETIMEDOUT);
	assert_true(monotonic_ns() - start_ns >= 50 * NS_PER_MS);
	assert_int_equal(host.discards, 0);
	sem_post(&host.lets_go);
	while (sem_wait(&host.discarded))
		;
	assert_int_equal(host.runs, 1);
	assert_int_equal(host.discards, 1);
	sem_destroy(&host.lets_go);
	sem_destroy(&host.discarded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_time_it_is_the_callers),
		cmocka_unit_test(what_hangs_is_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
