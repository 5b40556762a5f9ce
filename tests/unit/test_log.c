/* SPDX-License-Identifier: Apache-2.0 */
/* The log: whole lines, levels, what cannot be written, control characters, the rate limit. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/log.h"

struct fixture {
	int read_fd, write_fd;
	struct log *log;
};

static void set_up(struct fixture *fixture, enum log_level level)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	fixture->read_fd = fds[0];
	fixture->write_fd = fds[1];
	assert_int_equal(log_create(fixture->write_fd, level, &fixture->log), 0);
}

static void tear_down(struct fixture *fixture)
{
	log_destroy(fixture->log);
	close(fixture->read_fd);
	close(fixture->write_fd);
}

static void expect(struct fixture *fixture, const char *text)
{
	char got[8192];
	ssize_t size = read(fixture->read_fd, got, sizeof(got) - 1);

	got[size < 0 ? 0 : size] = '\0';
	assert_string_equal(got, text);
}

static void test_lines(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture, LOG_INFO);
	errno = EXDEV;
	log_error(fixture.log, "one %d", 1);
	log_info(fixture.log, "two");
	log_debug(fixture.log, "three");
	assert_int_equal(errno, EXDEV);
	expect(&fixture, "ebb: one 1\nebb: two\n");
	assert_true(log_enabled(fixture.log, LOG_WARN));
	assert_false(log_enabled(fixture.log, LOG_DEBUG));
	log_set_raw_terminal(fixture.log, true);
	log_warn(fixture.log, "raw");
	expect(&fixture, "ebb: raw\r\n");
	log_set_raw_terminal(fixture.log, false);
	log_warn(fixture.log, "not");
	expect(&fixture, "ebb: not\n");
	tear_down(&fixture);
}

static void test_nobody(void **state)
{
	struct log_ratelimit limit = { 0 };

	(void)state;
	log_error(NULL, "x");
	log_message_limited(NULL, &limit, LOG_ERROR, "x");
	log_set_raw_terminal(NULL, true);
	assert_false(log_enabled(NULL, LOG_ERROR));
	assert_int_equal(log_dropped_count(NULL), 0);
	log_destroy(NULL);
}

static void test_controls(void **state)
{
	struct fixture fixture;

	(void)state;
	set_up(&fixture, LOG_INFO);
	log_info(fixture.log, "%s", "a\033[2Jb\nebb: c\td\x7f\xc3\xa9");
	expect(&fixture, "ebb: a?[2Jb?ebb: c d?\xc3\xa9\n");
	tear_down(&fixture);
}

static void test_long(void **state)
{
	char text[4096], got[4096];
	struct fixture fixture;

	(void)state;
	set_up(&fixture, LOG_INFO);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_set_raw_terminal(fixture.log, true);
	log_info(fixture.log, "%s", text);
	assert_int_equal(read(fixture.read_fd, got, sizeof(got)), 1024);
	assert_memory_equal(got + 1020, "xx\r\n", 4);
	tear_down(&fixture);
}

static void test_dropped(void **state)
{
	struct fixture fixture;
	unsigned int lines = 0;
	char sink[4096];
	struct log *log;
	int fd;

	(void)state;
	set_up(&fixture, LOG_INFO);
	while (!log_dropped_count(fixture.log) && lines < 100000) {
		log_info(fixture.log, "%080d", 0);
		lines++;
	}
	assert_int_equal(log_dropped_count(fixture.log), 1);
	log_info(fixture.log, "%080d", 0);
	assert_int_equal(log_dropped_count(fixture.log), 2);
	assert_true(read(fixture.read_fd, sink, sizeof(sink)) > 0);
	log_info(fixture.log, "there is room again");
	assert_int_equal(log_dropped_count(fixture.log), 2);
	tear_down(&fixture);

	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(log_create(fd, LOG_INFO, &log), 0);
	log_info(log, "a full disk");
	assert_int_equal(log_dropped_count(log), 1);
	log_destroy(log);
	close(fd);
}

/* A pipe that blocks, and that nobody empties: who logs goes on, and the reader is told later. */
static void test_stuck_reader(void **state)
{
	char got[65536];
	ssize_t size;
	struct log *log;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(log_create(fds[1], LOG_INFO, &log), 0);
	for (int i = 0; i < 2000; i++)
		log_info(log, "%0500d", 0);
	assert_true(log_dropped_count(log) > 1800);
	size = read(fds[0], got, sizeof(got));
	assert_true(size >= 100 * 506 && size % 506 == 0); /* whole lines */
	log_info(log, "read again");
	size = read(fds[0], got, sizeof(got) - 1);
	assert_true(size > 0);
	got[size] = '\0';
	assert_non_null(strstr(got, "ebb: read again ("));
	assert_non_null(strstr(got, " lines before it are lost)\n"));
	log_info(log, "and again");
	size = read(fds[0], got, sizeof(got) - 1);
	assert_int_equal(size, strlen("ebb: and again\n"));
	log_destroy(log);
	close(fds[0]);
	close(fds[1]);
}

/* A terminal whose user pressed Ctrl-S. The flag of a descriptor is not changed: it is others' too.
 */
static void test_stopped_terminal(void **state)
{
	char got[128] = "";
	struct log *log;
	int master, slave;

	(void)state;
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(log_create(slave, LOG_INFO, &log), 0);
	assert_int_equal(fcntl(slave, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(tcflow(slave, TCOOFF), 0);
	for (int i = 0; i < 3; i++)
		log_info(log, "nobody sees this");
	assert_int_equal(log_dropped_count(log), 3);
	assert_int_equal(tcflow(slave, TCOON), 0);
	log_info(log, "on");
	assert_true(read(master, got, sizeof(got) - 1) > 0);
	assert_string_equal(got, "ebb: on (3 lines before it are lost)\r\n");
	log_destroy(log);
	close(slave);
	close(master);
}

/* However many places a guest makes talk. */
static void test_flood(void **state)
{
	struct fixture fixture;
	char got[65536];

	(void)state;
	set_up(&fixture, LOG_DEBUG);
	for (int i = 0; i < LOG_BURST_LINES; i++) {
		struct log_ratelimit one_place = { 0 };

		log_message_limited(fixture.log, &one_place, LOG_WARN, "x");
		if (i % 1000 == 0)
			assert_true(read(fixture.read_fd, got, sizeof(got)) > 0);
	}
	assert_int_equal(log_dropped_count(fixture.log), 0);
	assert_true(read(fixture.read_fd, got, sizeof(got)) > 0);
	for (int i = 0; i < 100; i++)
		log_error(fixture.log, "too much");
	/* A second may pass on a slow machine. */
	assert_true(log_dropped_count(fixture.log) >= 90);
	while (read(fixture.read_fd, got, sizeof(got)) > 0)
		;
	log_debug(fixture.log, "asked for");
	assert_true(read(fixture.read_fd, got, sizeof(got)) > (ssize_t)strlen("ebb: asked for"));
	assert_memory_equal(got, "ebb: asked for (", 16);
	for (int i = 0; i < 20; i++)
		log_error(fixture.log, "too much");
	log_destroy(fixture.log);
	fixture.log = NULL;
	assert_true(read(fixture.read_fd, got, sizeof(got)) > 0);
	assert_non_null(memmem(got, sizeof(got), " lines of the log are lost\n", 27));
	tear_down(&fixture);
}

static void test_limit(void **state)
{
	struct log_ratelimit limit = { 0 };
	struct fixture fixture;

	(void)state;
	set_up(&fixture, LOG_WARN);
	log_message_limited(fixture.log, &limit, LOG_DEBUG, "not even counted");
	for (int i = 0; i < 5; i++)
		log_message_limited(fixture.log, &limit, LOG_WARN, "line %d", i);
	expect(&fixture, "ebb: line 0\n");
	limit.next_ns = 0; /* a second later */
	log_message_limited(fixture.log, &limit, LOG_WARN, "later");
	expect(&fixture, "ebb: later (4 more held back)\n");
	limit.next_ns = 0;
	log_message_limited(fixture.log, &limit, LOG_WARN, "last");
	expect(&fixture, "ebb: last\n");
	tear_down(&fixture);
}

#define THREADS 4
#define LINES   50

struct writer {
	struct log *log;
	struct log_ratelimit *limit;
};

static void *write_lines(void *ctx)
{
	struct writer *writer = ctx;

	for (int i = 0; i < LINES; i++) {
		log_info(writer->log, "0123456789");
		log_message_limited(writer->log, writer->limit, LOG_INFO, "0123456789");
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct log_ratelimit limit = { 0 };
	struct fixture fixture;
	struct writer writer;
	pthread_t threads[THREADS];
	char got[16384];
	ssize_t size;

	(void)state;
	set_up(&fixture, LOG_INFO);
	writer.log = fixture.log;
	writer.limit = &limit;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &writer), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	size = read(fixture.read_fd, got, sizeof(got));
	/* Whole lines, and of the limited ones as many as passed. */
	assert_true(size >= THREADS * LINES * 16);
	for (char *line = got, *end; line < got + size; line = end + 1) {
		end = memchr(line, '\n', (size_t)(got + size - line));
		assert_non_null(end);
		assert_memory_equal(line, "ebb: 0123456789", 15);
	}
	tear_down(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_stuck_reader),
		cmocka_unit_test(test_stopped_terminal),
		cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
