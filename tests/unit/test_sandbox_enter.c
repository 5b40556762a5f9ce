/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox for real, in processes made for it: what a thread that goes wrong inside may still
 * do, and hosts that lack a part of it. Those are played by a filter around it that answers as
 * their kernels do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/console_terminal.h"
#include "ebb/log.h"
#include "ebb/sandbox.h"

#define WRONG 99 /* status of a child that got where it must not */

static const enum sandbox_thread all_kinds[] = { SANDBOX_MAIN, SANDBOX_IO,    SANDBOX_RECLAIM,
	                                         SANDBOX_VCPU, SANDBOX_SHARE, SANDBOX_TEST };

static bool host_has_filters(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static bool host_has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* In a child: one system call fails from here on. */
static void take_away(int number, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(WRONG);
}

/* In a child: all is given up, as a machine does. */
static void give_up(struct log *log)
{
	const struct sandbox_needs needs = { .folder_fd = -1, .log = log };
	struct error err = ERROR_INIT;

	if (sandbox_give_up(&needs, &err)) {
		dprintf(STDERR_FILENO, "%s\n", err.message);
		_exit(WRONG);
	}
}

/* In a child: one that leaves no core file, and none of the test runner's handlers. */
static void begin_child(void)
{
	static const struct rlimit none;

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(SIGABRT, SIG_DFL);
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* --- going wrong inside --- */

static void an_assertion_that_fails_is_an_abort(void **state)
{
	(void)state;
	if (!host_has_filters())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(all_kinds); i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			begin_child();
			give_up(NULL);
			if (sandbox_enter(all_kinds[i], getpid(), NULL) == 1)
				abort();
			_exit(WRONG);
		}
		status = wait_for(pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

/* In a child: stdin becomes its terminal, raw, and whoever it is goes wrong inside. */
static void go_wrong_at(int terminal_fd, enum sandbox_thread kind)
{
	struct console_terminal terminal = { .fd = STDIN_FILENO };

	begin_child();
	setsid();
	if (ioctl(terminal_fd, TIOCSCTTY, 0) || dup2(terminal_fd, STDIN_FILENO) != STDIN_FILENO ||
	    console_terminal_take(&terminal))
		_exit(WRONG);
	console_terminal_catch_fatal_signals();
	give_up(NULL);
	if (sandbox_enter(kind, getpid(), NULL) == 1)
		abort();
	_exit(WRONG);
}

static void whoever_goes_wrong_leaves_a_terminal_to_type_at(void **state)
{
	(void)state;
	if (!host_has_filters())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(all_kinds); i++) {
		struct termios after = { 0 };
		int master, slave;
		pid_t pid;

		if (all_kinds[i] == SANDBOX_SHARE)
			continue; /* has none */
		assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
		pid = fork();
		if (pid == 0)
			go_wrong_at(slave, all_kinds[i]);
		assert_true(WIFSIGNALED(wait_for(pid)));
		assert_int_equal(tcgetattr(slave, &after), 0);
		assert_int_equal(after.c_lflag & (ICANON | ECHO), ICANON | ECHO);
		close(master);
		close(slave);
	}
}

/* In a child: of two groups of processes the other one is in the terminal's foreground. */
static void look_from_the_background(int terminal_fd)
{
	pid_t child;
	int status;

	setsid();
	(void)signal(SIGTTOU, SIG_IGN);
	if (ioctl(terminal_fd, TIOCSCTTY, 0))
		_exit(WRONG);
	child = fork();
	if (child == 0) {
		setpgid(0, 0);
		give_up(NULL);
		if (sandbox_enter(SANDBOX_MAIN, getpid(), NULL) != 1)
			_exit(WRONG);
		_exit(console_terminal_is_foreground(terminal_fd));
	}
	if (waitpid(child, &status, 0) != child)
		_exit(WRONG);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : WRONG);
}

static void the_background_is_known_inside(void **state)
{
	int master, slave, status;
	pid_t pid;

	(void)state;
	if (!host_has_filters())
		skip();
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	pid = fork();
	if (pid == 0)
		look_from_the_background(slave);
	status = wait_for(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(master);
	close(slave);
}

/* --- hosts that lack something --- */

/* What is said where a call of Landlock's fails with error. */
static void without_landlock(int error, char *said, size_t size_bytes)
{
	int ends[2], status;
	ssize_t length;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		struct log *log;

		take_away(SYS_landlock_create_ruleset, error);
		if (log_create(ends[1], LOG_INFO, &log))
			_exit(WRONG);
		give_up(log);
		_exit(0);
	}
	close(ends[1]);
	length = read(ends[0], said, size_bytes - 1);
	said[length > 0 ? length : 0] = '\0';
	close(ends[0]);
	status = wait_for(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* An older kernel's, one's that was started without it, and a container's that forbids it. */
static void a_host_without_landlock_is_told(void **state)
{
	static const int errors[] = { ENOSYS, EOPNOTSUPP, EPERM };

	(void)state;
	if (!host_has_filters())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		char said[512];

		without_landlock(errors[i], said, sizeof(said));
		assert_non_null(strstr(said, "this host has no Landlock"));
		assert_non_null(strstr(said, strerror(errors[i])));
	}
}

static void with_landlock_no_file_opens(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (!host_has_landlock())
		skip();
	pid = fork();
	if (pid == 0) {
		give_up(NULL);
		_exit(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES &&
		                      open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0
		              ? 0
		              : WRONG);
	}
	status = wait_for(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Without filters ebb goes on, and whoever entered knows and can tell why. */
static void a_host_without_filters_is_told(void **state)
{
	static const int errors[] = { ENOSYS, EPERM, EINVAL };

	(void)state;
	if (!host_has_filters())
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			struct error err = ERROR_INIT;

			take_away(SYS_seccomp, errors[i]);
			give_up(NULL);
			_exit(sandbox_enter(SANDBOX_MAIN, getpid(), &err) == 0 && !err.code &&
			                      strstr(err.message, strerror(errors[i]))
			              ? 0
			              : WRONG);
		}
		status = wait_for(pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_assertion_that_fails_is_an_abort),
		cmocka_unit_test(whoever_goes_wrong_leaves_a_terminal_to_type_at),
		cmocka_unit_test(the_background_is_known_inside),
		cmocka_unit_test(a_host_without_landlock_is_told),
		cmocka_unit_test(with_landlock_no_file_opens),
		cmocka_unit_test(a_host_without_filters_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
