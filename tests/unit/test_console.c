/* SPDX-License-Identifier: Apache-2.0 */
/* What the console writes and looks for: gathering, slow and lost readers, full disks, patterns. */
/* fakes: console_fixture */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "console_fixture.h"

static void test_lines_are_gathered(void **state)
{
	struct fixture *fixture = *state;
	const char *text = "one line\r\n";

	start(fixture, NULL);
	for (const char *c = text; *c; c++)
		console_write(fixture->console, c, 1);
	expect_screen(fixture, text);
	console_write(fixture->console, "login: ", 7); /* after a silence */
	expect_screen(fixture, "login: ");
}

static void test_long_output_is_not_held_back(void **state)
{
	struct fixture *fixture = *state;
	char text[257];

	memset(text, 'x', 256);
	text[256] = '\0';
	start(fixture, NULL);
	for (int i = 0; i < 256; i++)
		console_write(fixture->console, text, 1);
	expect_screen(fixture, text);
}

static void test_destroy_flushes(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, NULL);
	console_write(fixture->console, "last words", 10);
	stop(fixture);
	expect_screen(fixture, "last words");
}

struct reader {
	int fd;
	size_t bytes;
	bool in_order;
};

static void *read_slowly(void *ctx)
{
	struct reader *reader = ctx;
	char got[4096];
	ssize_t size;

	reader->in_order = true;
	while ((size = read(reader->fd, got, sizeof(got))) > 0) {
		for (ssize_t i = 0; i < size; i++)
			reader->in_order &= got[i] == PATTERN_BYTE(reader->bytes + i);
		reader->bytes += size;
		usleep(2000);
	}
	return NULL;
}

#define BULK_BYTES (256 * 1024)

static char bulk[BULK_BYTES];

static void check_bulk(struct fixture *fixture)
{
	struct reader reader = { .fd = fixture->screen_fd };
	const char *text = bulk;
	pthread_t thread;

	for (size_t i = 0; i < BULK_BYTES; i++)
		bulk[i] = PATTERN_BYTE(i);
	fixture->stall_max_ms = 10000; /* a reader that a busy machine holds up is not dead */
	start(fixture, NULL);
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
	for (size_t i = 0; i < BULK_BYTES; i += 1024)
		console_write(fixture->console, text + i, i < BULK_BYTES / 2 ? 1024 : 0);
	console_write(fixture->console, text + BULK_BYTES / 2, BULK_BYTES / 2); /* at once */
	assert_int_equal(console_dropped_bytes(fixture->console), 0);
	stop(fixture);
	close_fd(&fixture->output_fd);
	pthread_join(thread, NULL);
	assert_int_equal(reader.bytes, BULK_BYTES);
	assert_true(reader.in_order);
}

static void test_slow_reader_gets_all(void **state)
{
	check_bulk(*state);
}

/* Somebody who shares stdout set the flag. */
static void test_nonblocking_output(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(fcntl(fixture->output_fd, F_SETFL, O_NONBLOCK), 0);
	check_bulk(fixture);
}

/* Offers wait for nobody; who offers hears when there is room; nothing is lost. */
static void test_offers_to_a_slow_reader(void **state)
{
	struct fixture *fixture = *state;
	struct reader reader = { .fd = fixture->screen_fd };
	unsigned int waits = 0;
	size_t offered = 0;
	pthread_t thread;

	for (size_t i = 0; i < sizeof(bulk); i++)
		bulk[i] = PATTERN_BYTE(i);
	fixture->stall_max_ms = 10000;
	start(fixture, NULL);
	/* Nobody reads yet: the pipe and the buffer fill up, and that is all. */
	while (true) {
		size_t count = console_offer(fixture->console, bulk + offered, 4096);

		offered += count;
		if (count < 4096)
			break;
	}
	assert_int_equal(console_offer(fixture->console, bulk + offered, 1), 0);
	assert_int_equal(fixture->output_rooms, 0);
	assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
	while (offered < sizeof(bulk)) {
		wait_for(&fixture->output_rooms, ++waits);
		offered += console_offer(fixture->console, bulk + offered, sizeof(bulk) - offered);
	}
	assert_int_equal(console_dropped_bytes(fixture->console), 0);
	stop(fixture);
	close_fd(&fixture->output_fd);
	pthread_join(thread, NULL);
	assert_int_equal(reader.bytes, sizeof(bulk));
	assert_true(reader.in_order);
}

/* A reader that takes nothing for so long is dead: the rest is dropped and counted, and it is told.
 */
static void test_offers_to_a_dead_reader(void **state)
{
	struct fixture *fixture = *state;
	size_t offered = 0, count;

	start(fixture, NULL);
	do {
		count = console_offer(fixture->console, bulk, 4096);
		offered += count;
	} while (count == 4096);
	assert_int_equal(console_dropped_bytes(fixture->console), 0);
	wait_for(&fixture->output_rooms, 1);
	assert_int_equal(console_offer(fixture->console, bulk, 4096), 4096);
	assert_int_equal(console_dropped_bytes(fixture->console), 4096);
	assert_int_equal(console_offer(fixture->console, bulk, 4096), 4096);
	assert_int_equal(console_dropped_bytes(fixture->console), 8192);
	assert_int_equal(fixture->output_rooms, 1);
}

static void test_offers_are_searched_once(void **state)
{
	struct fixture *fixture = *state;
	size_t taken;

	start(fixture, "need.e");
	assert_int_equal(console_offer(fixture->console, "hay needle", 10), 10);
	assert_int_equal(console_offer(fixture->console, "\n", 1), 1);
	assert_int_equal(fixture->matches, 1);
	assert_int_equal(console_offer(NULL, "x", 1), 1);
	/* What was not taken was not seen. */
	do {
		taken = console_offer(fixture->console, bulk, 4096);
	} while (taken == 4096);
	assert_int_equal(console_offer(fixture->console, "\nKernel panic - not syncing: x\n", 31),
	                 0);
	assert_int_equal(fixture->panics, 0);
}

static void test_dead_reader_does_not_stop_the_guest(void **state)
{
	struct fixture *fixture = *state;
	char text[4096];
	int64_t before_ns;
	uint64_t dropped;

	memset(text, 'x', sizeof(text));
	start(fixture, NULL);
	before_ns = monotonic_ns();
	for (int i = 0; i < 100; i++)
		console_write(fixture->console, text, sizeof(text));
	/* It waited once, for stall_max_ms, and not at each write. */
	assert_true(monotonic_ns() - before_ns >= 190 * NS_PER_MS);
	assert_true(monotonic_ns() - before_ns < 5 * NS_PER_S);
	dropped = console_dropped_bytes(fixture->console);
	assert_true(dropped > 200 * 1024);
	/* The reader comes back: so does the output. */
	while (dropped) {
		struct pollfd pollfd = { .fd = fixture->screen_fd, .events = POLLIN };

		if (poll(&pollfd, 1, 300) != 1)
			break;
		assert_true(read(fixture->screen_fd, text, sizeof(text)) > 0);
	}
	console_write(fixture->console, "again\n", 6);
	expect_screen(fixture, "again\n");
	assert_int_equal(console_dropped_bytes(fixture->console), dropped);
}

static void test_lost_reader(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, NULL);
	close_fd(&fixture->screen_fd);
	console_write(fixture->console, "hello\n", 6);
	console_write(fixture->console, "world\n", 6);
	assert_int_equal(console_dropped_bytes(fixture->console), 12);
}

static void test_full_disk(void **state)
{
	struct fixture *fixture = *state;
	char text[512];
	ssize_t size;
	int log_fds[2];

	close_fd(&fixture->output_fd);
	fixture->output_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fixture->output_fd >= 0);
	/* The log goes where the screen was. */
	assert_int_equal(pipe2(log_fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(log_create(log_fds[1], LOG_INFO, &fixture->log), 0);
	start(fixture, "needle");
	console_write(fixture->console, "hay needle hay\n", 15);
	console_write(fixture->console, "more\n", 5);
	assert_int_equal(console_dropped_bytes(fixture->console), 20);
	assert_int_equal(fixture->matches, 1); /* what is dropped is searched all the same */
	usleep(1100000);                       /* a limit by time would let the next one pass */
	console_write(fixture->console, "more\n", 5);
	size = read(log_fds[0], text, sizeof(text) - 1);
	assert_true(size > 0);
	text[size] = '\0';
	assert_string_equal(text, "ebb: console: output dropped: No space left on device\n");
	stop(fixture);
	log_destroy(fixture->log);
	close(log_fds[0]);
	close(log_fds[1]);
}

/* --- what is looked for --- */

static void test_expect(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, "log.n: $");
	console_write(fixture->console, "lo", 2);
	console_write(fixture->console, "gin: ", 5);
	wait_for(&fixture->matches, 1); /* at the pause: the line has no end */
	console_write(fixture->console, "\nlogin: \n", 9);
	assert_int_equal(fixture->matches, 1);
}

static void test_events_precede_what_follows(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, "ready");
	console_write(fixture->console, "ready\n", 6);
	assert_int_equal(fixture->matches, 1); /* when console_write returns */
	console_write(fixture->console, "[    1.0] Kernel panic - not syncing: x\n", 40);
	assert_int_equal(fixture->panics, 1);
}

static void test_bad_pattern(void **state)
{
	struct fixture *fixture = *state;
	const struct console_config config = { -1, fixture->output_fd, "*(", 0 };
	const struct console_events events = { 0 };
	struct event_loop *loop;
	struct console *console = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(event_loop_create("main", &loop, &err), 0);
	assert_int_equal(console_create(&config, &events, loop, NULL, &console, &err), -EINVAL);
	assert_null(console);
	assert_non_null(strstr(err.message, "--expect"));
	event_loop_destroy(loop);
}

static void test_no_console(void **state)
{
	uint16_t columns = 1, rows = 1;

	(void)state;
	console_write(NULL, "x", 1);
	console_flush(NULL);
	console_attach(NULL, NULL, NULL);
	console_input_ready(NULL);
	console_resized(NULL);
	console_destroy(NULL);
	console_size(NULL, &columns, &rows);
	assert_int_equal(columns | rows, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_pipes(test_lines_are_gathered),
		with_pipes(test_long_output_is_not_held_back),
		with_pipes(test_destroy_flushes),
		with_pipes(test_slow_reader_gets_all),
		with_pipes(test_nonblocking_output),
		with_pipes(test_offers_to_a_slow_reader),
		with_pipes(test_offers_to_a_dead_reader),
		with_pipes(test_offers_are_searched_once),
		with_pipes(test_dead_reader_does_not_stop_the_guest),
		with_pipes(test_lost_reader),
		with_pipes(test_full_disk),
		with_pipes(test_expect),
		with_pipes(test_events_precede_what_follows),
		with_pipes(test_bad_pattern),
		cmocka_unit_test(test_no_console),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
