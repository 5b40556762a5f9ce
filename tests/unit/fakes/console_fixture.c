/* SPDX-License-Identifier: Apache-2.0 */
/* See console_fixture.h. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "console_fixture.h"

static void on_quit(void *ctx)
{
	((struct fixture *)ctx)->quits++;
}

static void on_match(void *ctx)
{
	((struct fixture *)ctx)->matches++;
}

static void on_panic(void *ctx)
{
	((struct fixture *)ctx)->panics++;
}

static size_t device_room(void *ctx)
{
	struct fixture *fixture = ctx;
	size_t room;

	pthread_mutex_lock(&fixture->lock);
	room = fixture->room;
	pthread_mutex_unlock(&fixture->lock);
	return room;
}

static void device_input(void *ctx, const void *data, size_t size_bytes)
{
	struct fixture *fixture = ctx;

	pthread_mutex_lock(&fixture->lock);
	assert_true(size_bytes <= fixture->room);
	memcpy(fixture->typed + fixture->typed_bytes, data, size_bytes);
	fixture->typed_bytes += size_bytes;
	fixture->room -= size_bytes;
	pthread_mutex_unlock(&fixture->lock);
}

static void device_resized(void *ctx, uint16_t columns, uint16_t rows)
{
	struct fixture *fixture = ctx;

	(void)columns;
	(void)rows;
	fixture->resizes++;
}

static void device_output_room(void *ctx)
{
	((struct fixture *)ctx)->output_rooms++;
}

static const struct console_input_ops device_ops = { device_room, device_input, device_resized,
	                                             device_output_room };

static void do_start(void *ctx)
{
	struct fixture *fixture = ctx;
	struct error err = ERROR_INIT;

	fixture->started = console_start(fixture->console, &err);
	console_attach(fixture->console, &device_ops, fixture);
}

static void do_destroy(void *ctx)
{
	struct fixture *fixture = ctx;

	console_attach(fixture->console, NULL, NULL);
	console_destroy(fixture->console);
	fixture->console = NULL;
}

static void do_resize(void *ctx)
{
	console_resized(((struct fixture *)ctx)->console);
}

void start(struct fixture *fixture, const char *pattern)
{
	const struct console_config config = {
		.input_fd = fixture->input_fd,
		.output_fd = fixture->output_fd,
		.expect_pattern = pattern,
		.stall_max_ms = fixture->stall_max_ms ? fixture->stall_max_ms : 200,
	};
	const struct console_events events = { on_quit, on_match, on_panic, fixture };
	struct error err = ERROR_INIT;

	assert_int_equal(event_loop_create("main", &fixture->loop, &err), 0);
	assert_int_equal(console_create(&config, &events, fixture->loop, fixture->log,
	                                &fixture->console, &err),
	                 0);
	event_loop_call(fixture->loop, do_start, fixture);
	assert_int_equal(fixture->started, 0);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void stop(struct fixture *fixture)
{
	event_loop_call(fixture->loop, do_destroy, fixture);
	event_loop_destroy(fixture->loop);
	fixture->loop = NULL;
}

int set_up(void **state)
{
	static struct fixture fixture;
	int fds[2];

	memset(&fixture, 0, sizeof(fixture));
	pthread_mutex_init(&fixture.lock, NULL);
	fixture.room = sizeof(fixture.typed);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fixture.input_fd = fds[0];
	fixture.typing_fd = fds[1];
	/* Packets: each write(2) is read by itself. */
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_DIRECT), 0);
	fixture.screen_fd = fds[0];
	fixture.output_fd = fds[1];
	*state = &fixture;
	return 0;
}

int tear_down(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->loop)
		stop(fixture);
	close_fd(&fixture->input_fd);
	close_fd(&fixture->output_fd);
	close_fd(&fixture->typing_fd);
	close_fd(&fixture->screen_fd);
	pthread_mutex_destroy(&fixture->lock);
	return 0;
}

void expect_screen(struct fixture *fixture, const char *expected)
{
	struct pollfd pollfd = { .fd = fixture->screen_fd, .events = POLLIN };
	char got[8192];
	ssize_t size;

	assert_int_equal(poll(&pollfd, 1, PATIENCE_MS), 1);
	size = read(fixture->screen_fd, got, sizeof(got) - 1);
	assert_true(size > 0);
	got[size] = '\0';
	assert_string_equal(got, expected);
}

void wait_for(const atomic_uint *counter, unsigned int value)
{
	for (int i = 0; i < PATIENCE_MS && *counter < value; i++)
		usleep(1000);
	assert_int_equal(*counter, value);
}

void expect_typed(struct fixture *fixture, const char *text, size_t size_bytes)
{
	size_t have = 0;

	for (int i = 0; i < PATIENCE_MS && have < size_bytes; i++) {
		pthread_mutex_lock(&fixture->lock);
		have = fixture->typed_bytes;
		pthread_mutex_unlock(&fixture->lock);
		if (have < size_bytes)
			usleep(1000);
	}
	assert_int_equal(have, size_bytes);
	assert_memory_equal(fixture->typed, text, size_bytes);
}

void type(struct fixture *fixture, const char *text, size_t size_bytes)
{
	assert_int_equal(write(fixture->typing_fd, text, size_bytes), size_bytes);
}

void make_room(struct fixture *fixture, size_t room)
{
	pthread_mutex_lock(&fixture->lock);
	fixture->room = room;
	pthread_mutex_unlock(&fixture->lock);
	console_input_ready(fixture->console);
}

static int64_t process_cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * NS_PER_US;
}

void assert_idle(void)
{
	int64_t before_ns = process_cpu_ns();

	usleep(80000);
	assert_true(process_cpu_ns() - before_ns < 40 * NS_PER_MS);
}

void resize(struct fixture *fixture)
{
	event_loop_call(fixture->loop, do_resize, fixture);
}
