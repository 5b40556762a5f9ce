/* SPDX-License-Identifier: Apache-2.0 */
/* What the console reads, from pipes and files: room, the end, keys. */
/* fakes: console_fixture */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console_fixture.h"

static void test_input_as_there_is_room(void **state)
{
	struct fixture *fixture = *state;

	fixture->room = 3;
	start(fixture, NULL);
	type(fixture, "abcdefgh", 8);
	expect_typed(fixture, "abc", 3);
	make_room(fixture, 2);
	expect_typed(fixture, "abcde", 5);
	make_room(fixture, 100);
	expect_typed(fixture, "abcdefgh", 8);
}

static size_t polled_room(void *ctx)
{
	return *(size_t *)ctx;
}

static void polled_input(void *ctx, const void *data, size_t size_bytes)
{
	size_t *room = ctx;

	assert_true(size_bytes <= *room && !memcmp(data, "de", 2));
	*room -= size_bytes;
}

/* What the device has no room for goes to who polls, and no more than that. */
static void test_second_taker(void **state)
{
	static const struct console_input_ops ops = { .room = polled_room, .input = polled_input };
	struct fixture *fixture = *state;
	size_t room = 2;

	fixture->room = 3;
	start(fixture, NULL);
	console_attach_polled(fixture->console, &ops, &room);
	type(fixture, "abcdefgh", 8);
	expect_typed(fixture, "abc", 3);
	make_room(fixture, 100);
	expect_typed(fixture, "abcfgh", 6);
	assert_int_equal(room, 0);
	console_attach_polled(fixture->console, NULL, NULL);
	console_attach_polled(NULL, &ops, &room);
}

static void test_end_of_input(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, NULL);
	type(fixture, "bye", 3);
	close_fd(&fixture->typing_fd);
	expect_typed(fixture, "bye", 3);
	assert_idle();
}

/* More than the queue holds, a guest that takes nothing, and a hang-up on top. */
static void test_full_queue_does_not_spin(void **state)
{
	struct fixture *fixture = *state;
	char text[6000];

	memset(text, 'q', sizeof(text));
	fixture->room = 0;
	start(fixture, NULL);
	type(fixture, text, sizeof(text));
	close_fd(&fixture->typing_fd);
	assert_idle();
	make_room(fixture, sizeof(fixture->typed));
	expect_typed(fixture, text, sizeof(text)); /* nothing was lost */
	assert_idle();
}

static void test_file_as_input(void **state)
{
	struct fixture *fixture = *state;
	char path[] = "/tmp/test-console-XXXXXX", text[6000];

	close_fd(&fixture->input_fd);
	fixture->input_fd = mkostemp(path, O_CLOEXEC);
	assert_true(fixture->input_fd >= 0);
	unlink(path);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = PATTERN_BYTE(i);
	assert_int_equal(write(fixture->input_fd, text, sizeof(text)), sizeof(text));
	assert_int_equal(lseek(fixture->input_fd, 0, SEEK_SET), 0);
	fixture->room = 100;
	start(fixture, NULL);
	expect_typed(fixture, text, 100);
	make_room(fixture, 5000);
	expect_typed(fixture, text, 5100);
	make_room(fixture, 5000);
	expect_typed(fixture, text, 6000);
	assert_idle();
}

static void check_silent_input(struct fixture *fixture, int fd)
{
	close_fd(&fixture->input_fd);
	fixture->input_fd = fd;
	start(fixture, NULL);
	assert_idle();
	assert_int_equal(fixture->typed_bytes, 0);
	console_write(fixture->console, "x\n", 2);
	expect_screen(fixture, "x\n");
}

static void test_null_as_input(void **state)
{
	check_silent_input(*state, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void test_folder_as_input(void **state)
{
	check_silent_input(*state, open("/tmp", O_RDONLY | O_CLOEXEC));
}

static void test_no_input(void **state)
{
	check_silent_input(*state, -1);
}

static void test_keys(void **state)
{
	struct fixture *fixture = *state;

	start(fixture, NULL);
	type(fixture, "a\001\001b\001ac\001zd", 10);
	expect_typed(fixture, "a\001b\001cd", 6); /* an unknown key is nothing */
	type(fixture, "\001", 1);
	usleep(10000);
	assert_int_equal(fixture->quits, 0);
	type(fixture, "x", 1); /* in two reads */
	wait_for(&fixture->quits, 1);
	type(fixture, "\001h", 2);
	expect_screen(fixture, "\r\nCtrl-A x       end the guest\r\n"
	                       "Ctrl-A h       this list\r\n"
	                       "Ctrl-A Ctrl-A  (or Ctrl-A a) send Ctrl-A to the guest\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_pipes(test_input_as_there_is_room),
		with_pipes(test_second_taker),
		with_pipes(test_end_of_input),
		with_pipes(test_full_queue_does_not_spin),
		with_pipes(test_file_as_input),
		with_pipes(test_null_as_input),
		with_pipes(test_folder_as_input),
		with_pipes(test_no_input),
		with_pipes(test_keys),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
