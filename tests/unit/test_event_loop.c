/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: failures */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
/* Event loops: sources, timers, work and calls; removal from everywhere; no wake-up lost. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/event_loop.h"
#include "ebb/metrics.h"
#include "failures.h"

/* Counters are atomic so that a test may look while the loop's thread counts. */
struct counted {
	struct metric_counter count;
	struct event_loop *loop;
	struct event_source *source, *other;
	struct event_timer *timer;
	struct event_work work;
	pthread_t thread;
	bool flag;
	int fd;
};

static struct event_loop *new_loop(const char *name)
{
	struct event_loop *loop = NULL;

	assert_int_equal(event_loop_create(name, &loop, NULL), 0);
	return loop;
}

static int new_fd(unsigned int value)
{
	int fd = eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* Up to 5 s: a limit, not a measurement. */
static void wait_for(struct metric_counter *counter, uint64_t value)
{
	for (int i = 0; i < 50000 && metric_read(counter) < value; i++)
		usleep(100);
	assert_true(metric_read(counter) >= value);
}

static void nothing(void *ctx)
{
	(void)ctx;
}

/* Returns when the loop has done what was there before. */
static void settle(struct event_loop *loop)
{
	for (int i = 0; i < 3; i++)
		event_loop_call(loop, nothing, NULL);
}

static void count_event(void *ctx, uint32_t epoll_events)
{
	struct counted *counted = ctx;
	eventfd_t value;

	assert_true(epoll_events & EPOLLIN);
	assert_int_equal(eventfd_read(counted->fd, &value), 0);
	counted->thread = pthread_self();
	metric_increment(&counted->count);
}

static void count_work(void *ctx)
{
	struct counted *counted = ctx;

	counted->thread = pthread_self();
	metric_increment(&counted->count);
}

static void count_edge(void *ctx, uint32_t epoll_events)
{
	(void)epoll_events;
	count_work(ctx);
}

static void stop_loop(void *ctx)
{
	event_loop_stop(ctx);
}

static void test_unused(void **state)
{
	(void)state;
	event_loop_destroy(new_loop("io"));
	event_loop_destroy(new_loop(NULL));
	event_loop_destroy(NULL);
	event_loop_remove(NULL);
	event_timer_destroy(NULL);
}

/* No descriptors left, or one: create or the first use says so, and nothing leaks. */
static void test_no_descriptors(void **state)
{
	int first_free = new_fd(0);
	struct rlimit before, limit;

	(void)state;
	close(first_free);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	for (rlim_t room = 0; room <= 2; room++) {
		struct event_loop *own = NULL, *io = new_loop("io");
		struct event_timer *timer = NULL;
		struct error err = ERROR_INIT;
		int result, first_use;

		limit.rlim_cur = (rlim_t)first_free + room;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		result = event_loop_create(NULL, &own, &err);
		event_loop_destroy(own);
		first_use = event_timer_create(io, nothing, NULL, &timer);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(result, room < 2 ? -EMFILE : 0);
		assert_int_equal(err.code, result);
		assert_int_equal(first_use, result);
		assert_true((timer != NULL) == !result);
		if (!timer) /* and it works once there is room */
			assert_int_equal(event_timer_create(io, nothing, NULL, &timer), 0);
		event_timer_destroy(timer);
		event_loop_destroy(io);
	}
	int now_free = new_fd(0);

	assert_int_equal(now_free, first_free);
	close(now_free);
}

static void test_source(void **state)
{
	struct event_loop *loop = new_loop("io");
	struct counted counted = { .fd = new_fd(0) };
	struct event_source *twice = NULL;

	(void)state;
	assert_int_equal(
		event_loop_add(loop, counted.fd, EPOLLIN, count_event, &counted, &counted.source),
		0);
	assert_int_equal(event_loop_add(loop, counted.fd, EPOLLIN, count_event, &counted, &twice),
	                 -EEXIST);
	assert_null(twice);
	assert_int_equal(event_loop_add(loop, -1, EPOLLIN, count_event, &counted, &twice), -EBADF);
	eventfd_write(counted.fd, 1);
	wait_for(&counted.count, 1);
	settle(loop);
	assert_false(pthread_equal(counted.thread, pthread_self()));
	/* Silenced, and heard again. */
	assert_int_equal(event_loop_modify(counted.source, 0), 0);
	eventfd_write(counted.fd, 1);
	settle(loop);
	assert_int_equal(metric_read(&counted.count), 1);
	assert_int_equal(event_loop_modify(counted.source, EPOLLIN), 0);
	wait_for(&counted.count, 2);
	event_loop_remove(counted.source);
	eventfd_write(counted.fd, 1);
	settle(loop);
	assert_int_equal(metric_read(&counted.count), 2);
	event_loop_destroy(loop);
	close(counted.fd);
}

static void test_edge_triggered(void **state)
{
	struct event_loop *loop = new_loop("io");
	struct counted counted = { .fd = new_fd(0) };

	(void)state;
	/* Level would have it called for ever; edge once a signal, though nobody reads. */
	assert_int_equal(event_loop_add(loop, counted.fd, EPOLLIN | EPOLLET, count_edge, &counted,
	                                &counted.source),
	                 0);
	for (unsigned int i = 1; i <= 3; i++) {
		eventfd_write(counted.fd, 1);
		wait_for(&counted.count, i);
	}
	settle(loop);
	assert_int_equal(metric_read(&counted.count), 3);
	event_loop_remove(counted.source);
	event_loop_destroy(loop);
	close(counted.fd);
}

/* Both are ready in one batch; whichever comes first removes both. */
static void remove_both(void *ctx, uint32_t epoll_events)
{
	struct counted *counted = ctx;

	(void)epoll_events;
	event_loop_remove(counted->source);
	event_loop_remove(counted->other);
	metric_increment(&counted->count);
}

static void test_remove_in_batch(void **state)
{
	struct event_loop *loop = new_loop("io");

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct counted both = { .fd = -1 };
		int fds[2] = { new_fd(0), new_fd(0) };

		assert_int_equal(
			event_loop_add(loop, fds[0], EPOLLIN, remove_both, &both, &both.source), 0);
		assert_int_equal(
			event_loop_add(loop, fds[1], EPOLLIN, remove_both, &both, &both.other), 0);
		eventfd_write(fds[0], 1);
		eventfd_write(fds[1], 1);
		wait_for(&both.count, 1);
		settle(loop);
		assert_int_equal(metric_read(&both.count), 1);
		close(fds[0]);
		close(fds[1]);
	}
	event_loop_destroy(loop);
}

/* The event was fetched when its source went and another took the slot: not delivered to that. */
struct pair {
	struct event_loop *loop;
	struct event_source *own, *newcomer;
	struct pair *other;
	struct counted counted; /* the newcomer's: its eventfd is empty, so it must not be called */
	unsigned int calls;
};

static void replace_other(void *ctx, uint32_t epoll_events)
{
	struct pair *pair = ctx;

	(void)epoll_events;
	pair->calls++;
	assert_int_equal(event_loop_modify(pair->own, 0), 0);
	event_loop_remove(pair->other->own);
	pair->other->own = NULL;
	assert_int_equal(event_loop_add(pair->loop, pair->counted.fd, EPOLLIN, count_event,
	                                &pair->counted, &pair->newcomer),
	                 0);
}

static void test_slot_reused_in_batch(void **state)
{
	struct event_loop *loop = new_loop(NULL);
	struct pair pairs[2] = { { .loop = loop, .other = &pairs[1] },
		                 { .loop = loop, .other = &pairs[0] } };
	int fds[2] = { new_fd(1), new_fd(1) };
	struct event_work stop;

	(void)state;
	for (int i = 0; i < 2; i++) {
		pairs[i].counted.fd = new_fd(0);
		assert_int_equal(event_loop_add(loop, fds[i], EPOLLIN, replace_other, &pairs[i],
		                                &pairs[i].own),
		                 0);
	}
	event_work_init(&stop, loop, stop_loop, loop);
	event_work_post(&stop);
	assert_int_equal(event_loop_run(loop), 0); /* the work, and one batch */
	assert_int_equal(pairs[0].calls + pairs[1].calls, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(metric_read(&pairs[i].counted.count), 0);
		event_loop_remove(pairs[i].own);
		event_loop_remove(pairs[i].newcomer);
		close(pairs[i].counted.fd);
		close(fds[i]);
	}
	event_loop_destroy(loop);
}

/* On return of remove and destroy the handler does not run. */
static void slow_event(void *ctx, uint32_t epoll_events)
{
	struct counted *counted = ctx;

	(void)epoll_events;
	metric_increment(&counted->count);
	usleep(2000);
	counted->flag = true; /* not atomic: TSan would tell */
}

static void slow_work(void *ctx)
{
	slow_event(ctx, 0);
}

static void test_remove_waits(void **state)
{
	struct event_loop *loop = new_loop("io");
	struct counted source = { .fd = new_fd(1) }, timer = { .fd = -1 }, work = { .fd = -1 };

	(void)state;
	assert_int_equal(
		event_loop_add(loop, source.fd, EPOLLIN, slow_event, &source, &source.source), 0);
	wait_for(&source.count, 1);
	event_loop_remove(source.source);
	assert_true(source.flag);

	assert_int_equal(event_timer_create(loop, slow_work, &timer, &timer.timer), 0);
	event_timer_set(timer.timer, 0, 0);
	wait_for(&timer.count, 1);
	event_timer_destroy(timer.timer);
	assert_true(timer.flag);

	event_work_init(&work.work, loop, slow_work, &work);
	event_work_post(&work.work);
	wait_for(&work.count, 1);
	event_work_cancel(&work.work);
	assert_true(work.flag);
	event_loop_destroy(loop);
	close(source.fd);
}

static void test_timers(void **state)
{
	struct event_loop *loop = new_loop("io");
	struct counted once = { .fd = -1 }, often = { .fd = -1 }, never = { .fd = -1 };
	int64_t started_ns = monotonic_ns();

	(void)state;
	assert_int_equal(event_timer_create(loop, count_work, &once, &once.timer), 0);
	assert_int_equal(event_timer_create(loop, count_work, &often, &often.timer), 0);
	assert_int_equal(event_timer_create(loop, count_work, &never, &never.timer), 0);
	/* A later setting replaces an earlier one, in both directions. */
	event_timer_set(never.timer, 2 * NS_PER_MS, 0);
	event_timer_set(never.timer, 3600 * NS_PER_S, 0);
	event_timer_set(once.timer, 3600 * NS_PER_S, 0);
	event_timer_set(once.timer, 3 * NS_PER_MS, 0);
	event_timer_set(often.timer, 1 * NS_PER_MS, 1 * NS_PER_MS);
	wait_for(&once.count, 1);
	assert_true(monotonic_ns() - started_ns >= 3 * NS_PER_MS); /* never early */
	wait_for(&often.count, 5);
	event_timer_cancel(often.timer);
	settle(loop);
	uint64_t count = metric_read(&often.count);

	usleep(5000);
	assert_int_equal(metric_read(&often.count), count);
	assert_int_equal(metric_read(&once.count), 1);
	assert_int_equal(metric_read(&never.count), 0);
	/* Times that do not fit are never, not now. */
	event_timer_set(once.timer, INT64_MAX, 0);
	event_timer_set(often.timer, -5, 0);
	wait_for(&often.count, count + 1);
	assert_int_equal(metric_read(&once.count), 1);
	event_timer_destroy(once.timer);
	event_timer_destroy(often.timer);
	event_timer_destroy(never.timer);
	event_loop_destroy(loop);
}

static void destroy_own_timer(void *ctx)
{
	struct counted *counted = ctx;

	event_timer_destroy(counted->timer);
	metric_increment(&counted->count);
}

static void test_timer_destroys_itself(void **state)
{
	struct event_loop *loop = new_loop("io");
	struct counted counted = { .fd = -1 };

	(void)state;
	assert_int_equal(event_timer_create(loop, destroy_own_timer, &counted, &counted.timer), 0);
	event_timer_set(counted.timer, 0, 1);
	wait_for(&counted.count, 1);
	settle(loop);
	assert_int_equal(metric_read(&counted.count), 1);
	event_loop_destroy(loop);
}

static void post_again(void *ctx)
{
	struct counted *counted = ctx;

	metric_increment(&counted->count);
	if (metric_read(&counted->count) < 10)
		event_work_post(&counted->work);
}

static void test_work(void **state)
{
	struct event_loop *loop = new_loop(NULL);
	struct counted counted = { .fd = -1 }, again = { .fd = -1 };
	struct event_work stop;

	(void)state;
	event_work_init(&counted.work, loop, count_work, &counted);
	event_work_init(&again.work, loop, post_again, &again);
	event_work_init(&stop, loop, stop_loop, loop);
	/* Posted twice before it runs: once. Cancelled: not at all. */
	event_work_post(&counted.work);
	event_work_post(&counted.work);
	event_work_post(&stop);
	assert_int_equal(event_loop_run(loop), 0);
	assert_int_equal(metric_read(&counted.count), 1);
	event_work_post(&counted.work);
	event_work_cancel(&counted.work);
	event_work_cancel(&counted.work);
	event_work_post(&stop);
	assert_int_equal(event_loop_run(loop), 0);
	assert_int_equal(metric_read(&counted.count), 1);
	/* A stop that comes first is not lost; what runs may post itself. */
	event_loop_stop(loop);
	assert_int_equal(event_loop_run(loop), 0);
	event_work_post(&again.work);
	while (metric_read(&again.count) < 10) {
		event_work_post(&stop);
		assert_int_equal(event_loop_run(loop), 0);
	}
	assert_int_equal(metric_read(&again.count), 10);
	event_loop_destroy(loop);
}

struct nested {
	struct event_loop *outer, *inner;
	pthread_t outer_thread, inner_thread;
	unsigned int count;
};

static void inner_call(void *ctx)
{
	struct nested *nested = ctx;

	nested->inner_thread = pthread_self();
	nested->count++;
}

static void outer_call(void *ctx)
{
	struct nested *nested = ctx;

	nested->outer_thread = pthread_self();
	event_loop_call(nested->inner, inner_call, nested);
	event_loop_call(nested->outer, inner_call, nested); /* its own: at once */
}

static void test_call(void **state)
{
	struct nested nested = { .outer = new_loop("main"), .inner = new_loop("io") };
	struct event_loop *own = new_loop(NULL);

	(void)state;
	event_loop_call(nested.outer, outer_call, &nested);
	assert_int_equal(nested.count, 2);
	assert_false(pthread_equal(nested.outer_thread, pthread_self()));
	assert_true(pthread_equal(nested.inner_thread, nested.outer_thread));
	event_loop_call(nested.inner, inner_call, &nested);
	assert_false(pthread_equal(nested.inner_thread, nested.outer_thread));
	/* A loop without a thread belongs to who made it until somebody runs it. */
	event_loop_call(own, inner_call, &nested);
	assert_true(pthread_equal(nested.inner_thread, pthread_self()));
	assert_int_equal(event_loop_run(nested.inner), -EINVAL);
	event_loop_destroy(nested.outer);
	event_loop_destroy(nested.inner);
	event_loop_destroy(own);
}

static void read_mask(void *ctx)
{
	pthread_sigmask(SIG_BLOCK, NULL, ctx);
}

static void test_signals_blocked(void **state)
{
	struct event_loop *loop = new_loop("io");
	sigset_t mask;

	(void)state;
	sigemptyset(&mask);
	event_loop_call(loop, read_mask, &mask);
	assert_true(sigismember(&mask, SIGINT));
	assert_true(sigismember(&mask, SIGTERM));
	assert_true(sigismember(&mask, SIGRTMIN));
	assert_false(sigismember(&mask, SIGSEGV));
	event_loop_destroy(loop);
}

/* --- several threads at once --- */

#define ROUNDS 300

static void *add_and_remove(void *ctx)
{
	struct event_loop *loop = ctx;

	for (int i = 0; i < ROUNDS; i++) {
		struct counted counted = { .fd = new_fd(1) };

		assert_int_equal(event_loop_add(loop, counted.fd, EPOLLIN, slow_event, &counted,
		                                &counted.source),
		                 0);
		if (i % 16)
			assert_int_equal(event_loop_modify(counted.source, 0), 0);
		event_loop_remove(counted.source);
		/* Its frame goes now: a handler still running would be seen by ASan and TSan. */
		close(counted.fd);
	}
	return NULL;
}

static void *call_and_post(void *ctx)
{
	struct event_loop *loop = ctx;
	unsigned int calls = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct counted counted = { .fd = -1 };
		struct nested nested = { .inner = loop };

		event_work_init(&counted.work, loop, count_work, &counted);
		event_work_post(&counted.work);
		event_loop_call(loop, inner_call, &nested);
		calls += nested.count;
		event_work_cancel(&counted.work);
		assert_int_equal(event_timer_create(loop, count_work, &counted, &counted.timer), 0);
		event_timer_set(counted.timer, 0, 1000);
		event_timer_destroy(counted.timer);
	}
	assert_int_equal(calls, ROUNDS);
	return NULL;
}

static void test_threads(void **state)
{
	struct event_loop *loop = new_loop("io");
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, i & 1 ? call_and_post : add_and_remove, loop);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	event_loop_destroy(loop);
}

static void *stop_later(void *ctx)
{
	usleep(1000);
	event_loop_stop(ctx);
	return NULL;
}

static void test_stop_from_elsewhere(void **state)
{
	struct event_loop *loop = new_loop(NULL);
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 5; i++) {
		pthread_create(&thread, NULL, stop_later, loop);
		assert_int_equal(event_loop_run(loop), 0); /* asleep, with nothing to wait for */
		pthread_join(thread, NULL);
	}
	event_loop_destroy(loop);
}

struct stand_in {
	struct event_loop *loop;
	struct metric_counter inside, together, calls;
};

static void be_alone(void *ctx)
{
	struct stand_in *stand_in = ctx;

	metric_increment(&stand_in->inside);
	usleep(500);
	if (metric_read(&stand_in->inside) != metric_read(&stand_in->calls) + 1)
		metric_increment(&stand_in->together);
	metric_increment(&stand_in->calls);
}

static void *call_without_a_thread(void *ctx)
{
	struct stand_in *stand_in = ctx;

	for (int i = 0; i < 20; i++) {
		/* At last the host has room for one after all. */
		failures_arm(i < 15 ? 0 : UINT32_MAX);
		event_loop_call(stand_in->loop, be_alone, stand_in);
		failures_disarm();
	}
	return NULL;
}

/* Callers do a loop's calls where its thread cannot be had: one of them at a time. */
static void test_calls_of_a_loop_without_a_thread(void **state)
{
	struct stand_in stand_in = { .loop = new_loop("refused") };
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, call_without_a_thread, &stand_in);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_read(&stand_in.calls), 80);
	assert_int_equal(metric_read(&stand_in.together), 0);
	event_loop_destroy(stand_in.loop);
}

struct beginning {
	unsigned int begun; /* how often the thread began; behind so many calls */
	uint64_t begun_behind;
	struct metric_counter calls;
	pthread_t caller, called_on;
};

static void begin(void *ctx)
{
	struct beginning *beginning = ctx;

	beginning->begun_behind = metric_read(&beginning->calls);
	beginning->begun++;
}

static void note_call(void *ctx)
{
	struct beginning *beginning = ctx;

	beginning->called_on = pthread_self();
	metric_increment(&beginning->calls);
}

/* A loop that is held has its calls done by the caller; then its thread does what it is for first. */
static void test_held(void **state)
{
	struct beginning beginning = { .caller = pthread_self() };
	struct event_loop *loop = new_loop("held");

	(void)state;
	event_loop_hold(loop);
	event_loop_call(loop, note_call, &beginning);
	assert_true(pthread_equal(beginning.called_on, beginning.caller));
	assert_int_equal(event_loop_let_go(loop, begin, &beginning), 0);
	event_loop_call(loop, note_call, &beginning);
	assert_int_equal(metric_read(&beginning.calls), 2);
	assert_false(pthread_equal(beginning.called_on, beginning.caller));
	event_loop_destroy(loop);
	assert_int_equal(beginning.begun, 1);
	assert_int_equal(beginning.begun_behind, 1);
}

/* The thread is there and sleeps, and no descriptor is left that could wake it. */
static void test_calls_of_a_loop_without_descriptors(void **state)
{
	struct beginning beginning = { .caller = pthread_self() };
	struct event_loop *loop = new_loop("asleep");
	struct rlimit before, limit;
	int first_free = new_fd(0);

	(void)state;
	close(first_free);
	event_loop_hold(loop);
	assert_int_equal(event_loop_let_go(loop, NULL, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)first_free + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	alarm(20); /* who waits does so for ever */
	event_loop_call(loop, note_call, &beginning);
	alarm(0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(pthread_equal(beginning.called_on, beginning.caller));
	event_loop_call(loop, note_call, &beginning); /* there is room again */
	assert_false(pthread_equal(beginning.called_on, beginning.caller));
	assert_int_equal(metric_read(&beginning.calls), 2);
	event_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unused),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_edge_triggered),
		cmocka_unit_test(test_remove_in_batch),
		cmocka_unit_test(test_slot_reused_in_batch),
		cmocka_unit_test(test_remove_waits),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_timer_destroys_itself),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_call),
		cmocka_unit_test(test_signals_blocked),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_calls_of_a_loop_without_a_thread),
		cmocka_unit_test(test_calls_of_a_loop_without_descriptors),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_stop_from_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
