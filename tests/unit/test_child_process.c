/* SPDX-License-Identifier: Apache-2.0 */
/* A child's start, what it inherits, and its end, with small programs that every host has. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/child_process.h"

static struct event_loop *loop;
static int ended_status;
static unsigned int ended_count;

static void ended(void *ctx, int wait_status)
{
	assert_ptr_equal(ctx, &ended_count);
	ended_status = wait_status;
	ended_count++;
	event_loop_stop(loop);
}

static int set_up(void **state)
{
	(void)state;
	ended_count = 0;
	ended_status = -1;
	return event_loop_create(NULL, &loop, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	event_loop_destroy(loop);
	/* None is left, not even a dead one. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static int start(const char *const *argv, int kept_fd, int error_fd, struct child_process **child,
                 struct error *err)
{
	const struct child_process_setup setup = { .argv = argv,
		                                   .kept_fd = kept_fd,
		                                   .error_fd = error_fd,
		                                   .loop = loop,
		                                   .ended = ended,
		                                   .ctx = &ended_count };

	return child_process_start(&setup, child, err);
}

/* Starts a shell with a script and waits for its end. */
static int run_script(const char *script, int kept_fd, int error_fd)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	struct child_process *child;
	struct error err = ERROR_INIT;
	unsigned int before = ended_count;

	assert_int_equal(start(argv, kept_fd, error_fd, &child, &err), 0);
	assert_true(child_process_pid(child) > 0);
	assert_int_equal(event_loop_run(loop), 0);
	assert_int_equal(ended_count, before + 1);
	child_process_stop(child, 0);
	return ended_status;
}

static void its_end_is_told(void **state)
{
	int status;

	(void)state;
	assert_int_equal(run_script("exit 0", -1, -1), 0);
	status = run_script("exit 42", -1, -1);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
	status = run_script("kill -9 $$", -1, -1);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void what_cannot_start_says_why(void **state)
{
	const char *const missing[] = { "no-such-program-of-ebb", NULL };
	const char *const folder[] = { "/", NULL };
	const char *const no_program[] = { "/etc/passwd", NULL };
	struct child_process *child = (void *)&loop;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(start(missing, -1, -1, &child, &err), -ENOENT);
	assert_string_equal(err.message, "no-such-program-of-ebb: No such file or directory");
	assert_int_equal(start(folder, -1, -1, &child, &err), -EACCES);
	assert_int_equal(start(no_program, -1, -1, &child, &err), -EACCES);
	assert_ptr_equal(child, &loop);
	assert_int_equal(ended_count, 0);
	setenv("PATH", "/nowhere:/bin", 1);
	assert_int_equal(run_script("exit 0", -1, -1), 0);
	setenv("PATH", "/nowhere", 1);
	assert_int_equal(start((const char *const[]){ "sh", NULL }, -1, -1, &child, &err), -ENOENT);
	unsetenv("PATH");
	assert_int_equal(run_script("exit 0", -1, -1), 0);
}

static void it_inherits_one_descriptor(void **state)
{
	char script[256], text[256];
	int fds[2], stray;
	ssize_t bytes;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	stray = fcntl(fds[0], F_DUPFD, 100); /* as one that ebb was given: open across an exec */
	assert_true(stray >= 100);
	snprintf(
		script, sizeof(script),
		"[ -e /proc/self/fd/%d ] || exit 1; [ ! -e /proc/self/fd/%d ] || exit 2; "
		"[ ! -e /proc/self/fd/%d ] || exit 3; [ /proc/self/fd/0 -ef /dev/null ] || exit 4; "
		"[ /proc/self/fd/1 -ef /dev/null ] || exit 5; echo told >&2; echo kept >&%d",
		fds[1], fds[0], stray, fds[1]);
	assert_int_equal(run_script(script, fds[1], fds[1]), 0);
	bytes = read(fds[0], text, sizeof(text));
	assert_int_equal(bytes, strlen("told\nkept\n"));
	assert_memory_equal(text, "told\nkept\n", (size_t)bytes);
	assert_int_equal(fcntl(fds[1], F_GETFD), FD_CLOEXEC); /* ebb's own is as it was */
	close(stray);
	close(fds[0]);
	close(fds[1]);
}

static uint64_t signal_set(const char *status, const char *field)
{
	const char *line = strstr(status, field);

	assert_non_null(line);
	return strtoull(line + strlen(field), NULL, 16);
}

static void signals_are_as_in_any_program(void **state)
{
	sigset_t blocked, before, after;
	/* The C library keeps the first two real-time ones to itself. */
	const uint64_t library_signals = UINT64_C(3) << 31;
	int fds[2];
	char text[4096] = "";

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(run_script("exec cat /proc/self/status >&2", -1, fds[1]), 0);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	assert_int_equal(signal_set(text, "\nSigBlk:"), 0);
	assert_int_equal(signal_set(text, "\nSigIgn:") & ~library_signals, 0);
	assert_int_equal(signal_set(text, "\nSigCgt:"), 0);
	sigprocmask(SIG_SETMASK, &before, &after);
	assert_true(sigismember(&after, SIGTERM) && sigismember(&after, SIGUSR1));
	assert_false(sigismember(&after, SIGHUP));
	signal(SIGPIPE, SIG_DFL);
	close(fds[0]);
	close(fds[1]);
}

static void it_is_stopped(void **state)
{
	const char *const sleeper[] = { "sleep", "1000", NULL };
	/* It says when it listens to no SIGTERM any more. */
	const char *const stubborn[] = { "sh", "-c", "trap '' TERM; echo >&2; exec sleep 1000",
		                         NULL };
	struct child_process *child;
	struct error err = ERROR_INIT;
	int fds[2];
	char byte;

	(void)state;
	assert_int_equal(start(sleeper, -1, -1, &child, &err), 0);
	child_process_stop(child, 1000 * NS_PER_S); /* at once, not after that */
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(start(stubborn, -1, fds[1], &child, &err), 0);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	child_process_stop(child, NS_PER_MS);
	assert_int_equal(ended_count, 0);
	child_process_stop(NULL, 0);
	close(fds[0]);
	close(fds[1]);
}

/* Another process holds it where it is killed, as a file system of the host's that does not answer
 * may for ever. Exit status of that one, which ends when fd is closed: 0. */
static int hold_at_its_end(pid_t pid, int ready_fd, int end_fd)
{
	char byte = 0;

	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT))
		return 1;
	return write(ready_fd, &byte, 1) == 1 && read(end_fd, &byte, 1) == 0 ? 0 : 2;
}

static void one_that_does_not_die_is_not_waited_for(void **state)
{
	const char *const sleeper[] = { "sleep", "1000", NULL };
	struct child_process *child;
	int ready[2], end[2], status;
	pid_t holder, pid;
	char byte;

	(void)state;
	assert_int_equal(start(sleeper, -1, -1, &child, NULL), 0);
	pid = child_process_pid(child);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	holder = fork();
	assert_true(holder >= 0);
	if (!holder) {
		close(ready[0]);
		close(end[1]);
		_exit(hold_at_its_end(pid, ready[1], end[0]));
	}
	close(ready[1]);
	close(end[0]);
	if (read(ready[0], &byte, 1) == 1) {
		alarm(10);
		child_process_stop(child, NS_PER_MS);
		alarm(0);
	} else {
		print_message("this host does not let one process hold another\n");
		child_process_stop(child, 0);
		pid = -1;
	}
	close(ready[0]);
	close(end[1]);
	assert_int_equal(waitpid(holder, &status, 0), holder);
	assert_true(pid < 0 || status == 0);
	if (pid < 0)
		skip();
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

/* A process in between starts the child and is killed: so is the child. */
static void it_ends_with_who_started_it(void **state)
{
	const char *const sleeper[] = { "sleep", "1000", NULL };
	int fds[2], status;
	pid_t between, pid;
	char byte;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	between = fork();
	assert_true(between >= 0);
	if (!between) {
		struct child_process *child;

		if (start(sleeper, fds[1], -1, &child, NULL))
			_exit(1);
		pid = child_process_pid(child);
		if (write(fds[1], &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	assert_int_equal(waitpid(between, &status, 0), between);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* The child holds the other end until it is gone. */
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(its_end_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_start_says_why, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_inherits_one_descriptor, set_up, tear_down),
		cmocka_unit_test_setup_teardown(signals_are_as_in_any_program, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_stopped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_does_not_die_is_not_waited_for, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(it_ends_with_who_started_it, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
