/* SPDX-License-Identifier: Apache-2.0 */
/* The console on a pseudo-terminal: raw and restored, in the background, stuck, hung up. */
/* fakes: console_fixture */
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "console_fixture.h"

static void open_terminal(struct fixture *fixture)
{
	struct winsize size = { .ws_col = 132, .ws_row = 43 };
	int master, slave;

	close_fd(&fixture->input_fd);
	close_fd(&fixture->typing_fd);
	close_fd(&fixture->output_fd);
	close_fd(&fixture->screen_fd);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	fixture->typing_fd = master;
	fixture->screen_fd = dup(master);
	fixture->input_fd = slave;
	fixture->output_fd = dup(slave);
}

static void test_raw_and_restored(void **state)
{
	struct fixture *fixture = *state;
	struct termios before = { 0 }, raw = { 0 }, after = { 0 };
	uint16_t columns, rows;

	open_terminal(fixture);
	assert_int_equal(tcgetattr(fixture->input_fd, &before), 0);
	start(fixture, NULL);
	assert_int_equal(tcgetattr(fixture->input_fd, &raw), 0);
	assert_false(raw.c_lflag & (ICANON | ECHO | ISIG));
	assert_false(raw.c_oflag & OPOST);
	assert_false(raw.c_iflag & (IXON | ICRNL));
	console_size(fixture->console, &columns, &rows);
	assert_int_equal(columns, 132);
	assert_int_equal(rows, 43);
	resize(fixture);
	assert_int_equal(fixture->resizes, 1);
	console_write(fixture->console, "a\nb\n", 4);
	expect_screen(fixture, "a\nb\n");                              /* as it is */
	assert_false(fcntl(fixture->output_fd, F_GETFL) & O_NONBLOCK); /* others' flag is theirs */
	type(fixture, "\003\r", 2);                                    /* Ctrl-C is the guest's */
	expect_typed(fixture, "\003\r", 2);
	stop(fixture);
	assert_int_equal(tcgetattr(fixture->input_fd, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
}

/* A process that dies of its own fault leaves a terminal that one can type at. */
static void test_fatal_signals(void **state)
{
	static const int numbers[] = { SIGABRT, SIGSEGV };
	struct fixture *fixture = *state;

	open_terminal(fixture);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct termios after = { 0 };
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			dup2(fixture->input_fd, STDIN_FILENO);
			fixture->input_fd = STDIN_FILENO;
			signal(numbers[i], SIG_DFL); /* the test's runner has its own */
			start(fixture, NULL);
			if (tcgetattr(STDIN_FILENO, &after) || after.c_lflag & ICANON)
				_exit(1);
			kill(getpid(), numbers[i]);
			_exit(2);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), numbers[i]);
		assert_int_equal(tcgetattr(fixture->input_fd, &after), 0);
		assert_int_equal(after.c_lflag & (ICANON | ECHO | ISIG | IEXTEN),
		                 ICANON | ECHO | ISIG | IEXTEN);
		assert_true(after.c_oflag & OPOST);
		assert_int_equal(after.c_iflag & (IXON | ICRNL), IXON | ICRNL);
	}
}

/* The guest is deaf, the queue full: the way out still works. */
static void test_keys_with_a_deaf_guest(void **state)
{
	struct fixture *fixture = *state;
	char text[3000];

	open_terminal(fixture);
	fixture->room = 0;
	start(fixture, NULL);
	memset(text, 'q', sizeof(text));
	type(fixture, text, sizeof(text));
	usleep(50000);
	type(fixture, text, sizeof(text));
	usleep(50000);
	type(fixture, "\001x", 2);
	wait_for(&fixture->quits, 1);
}

static void test_stuck_terminal_does_not_stop_the_loop(void **state)
{
	struct fixture *fixture = *state;
	char text[4096];

	open_terminal(fixture);
	start(fixture, NULL);
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 40; i++) /* nobody reads the screen */
		console_write(fixture->console, text, sizeof(text));
	assert_true(console_dropped_bytes(fixture->console) > 0);
	type(fixture, "\001x", 2);
	wait_for(&fixture->quits, 1);
}

static void test_hang_up(void **state)
{
	struct fixture *fixture = *state;

	open_terminal(fixture);
	start(fixture, NULL);
	close_fd(&fixture->typing_fd);
	close_fd(&fixture->screen_fd);
	assert_idle();
	console_write(fixture->console, "x\n", 2);
	assert_int_equal(console_dropped_bytes(fixture->console), 2);
}

static bool terminal_is_raw(int fd)
{
	struct termios modes;

	return tcgetattr(fd, &modes) == 0 && !(modes.c_lflag & ICANON);
}

/* As a job in the background of its session; exits with the number of the check that failed. */
static void run_in_background(struct fixture *fixture, int steps_fd)
{
	start(fixture, NULL);
	usleep(50000);
	if (terminal_is_raw(fixture->input_fd))
		_exit(1);
	if (write(steps_fd, "b", 1) != 1)
		_exit(2);
	for (int i = 0; i < PATIENCE_MS && !terminal_is_raw(fixture->input_fd); i++)
		usleep(1000);
	if (!terminal_is_raw(fixture->input_fd))
		_exit(3);
	expect_typed(fixture, "kept", 4);
	if (write(steps_fd, "f", 1) != 1)
		_exit(4);
	stop(fixture);
	_exit(terminal_is_raw(fixture->input_fd) ? 5 : 0);
}

/* The session's leader: puts the job into the foreground once it has behaved in the background. */
static void run_session(struct fixture *fixture)
{
	int steps[2], status;
	pid_t job;
	char step;

	setsid();
	if (ioctl(fixture->input_fd, TIOCSCTTY, 0) || pipe(steps))
		_exit(11);
	signal(SIGTTOU, SIG_IGN);
	job = fork();
	if (job == 0) {
		signal(SIGTTOU, SIG_DFL);
		setpgid(0, 0);
		run_in_background(fixture, steps[1]);
	}
	setpgid(job, job);
	if (read(steps[0], &step, 1) != 1 || step != 'b')
		_exit(12);
	if (write(fixture->typing_fd, "kept", 4) != 4 || tcsetpgrp(fixture->input_fd, job))
		_exit(13);
	close(steps[1]);
	if (read(steps[0], &step, 1) != 1 || step != 'f')
		_exit(14);
	if (waitpid(job, &status, WUNTRACED) != job || !WIFEXITED(status))
		_exit(15);
	_exit(WEXITSTATUS(status));
}

static void test_background(void **state)
{
	struct fixture *fixture = *state;
	int status;
	pid_t session;

	open_terminal(fixture);
	session = fork();
	if (session == 0)
		run_session(fixture);
	assert_int_equal(waitpid(session, &status, 0), session);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_pipes(test_raw_and_restored),
		with_pipes(test_fatal_signals),
		with_pipes(test_keys_with_a_deaf_guest),
		with_pipes(test_stuck_terminal_does_not_stop_the_loop),
		with_pipes(test_hang_up),
		with_pipes(test_background),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
