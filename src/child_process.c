/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that works for a VM.
 *
 * DOC: The child is made by clone(CLONE_VM | CLONE_VFORK) on a stack of its own: nothing of guest
 * memory is copied, not even its page tables, and this thread waits until the program is loaded or
 * was not. Up to then the child shares ebb's memory, so it only makes system calls, with every
 * signal blocked until its actions are the default ones. Why it failed comes through a pipe that
 * the program's start closes.
 *
 * It is to end with ebb, however that ends. PR_SET_PDEATHSIG tells the kernel; an ebb that died
 * before that call is found by the parent's number, which is another one then.
 *
 * Its end is told by a pidfd on the loop, and signals go to that: kill(2) could be any process's,
 * and is on no list of the sandbox's. Nobody else reaps it (there is no SIGCHLD handler and no
 * wait for any child), so that its number stays its own until it is waited for here; where SIGCHLD
 * is ignored the kernel reaps it, and its status is not known.
 *
 * Syscalls: main: pidfd_send_signal poll waitpid
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/child_process.h"
#include "ebb/compat.h"

#define STACK_BYTES    (64 * KIB)
#define FAILED_STATUS  127
#define KILLED_WAIT_NS NS_PER_S
#define PATH_DEFAULT   "/usr/local/bin:/usr/bin:/bin"

struct child_process {
	struct child_process_setup setup; /* argv is not kept */
	pid_t pid;
	int pid_fd;
	struct event_source *source;
	bool reaped; /* by the handler of source, or for child_process_stop */
};

/* What the child needs; read by it alone while this thread waits. */
struct launch {
	const char *path;
	char *const *argv;
	int kept_fd, error_fd;
	int null_fd;
	int report_fd; /* an errno is written to it */
	pid_t parent;
};

/* fd, without close-on-exec, at the number target. */
static int move_to(int fd, int target)
{
	close(target);
	return fcntl(fd, F_DUPFD, target) == target ? 0 : -1;
}

/* --- in the child: system calls only --- */

static int set_descriptors(const struct launch *launch)
{
	if (move_to(launch->null_fd, STDIN_FILENO) || move_to(launch->null_fd, STDOUT_FILENO))
		return -1;
	if (launch->error_fd >= 0 && move_to(launch->error_fd, STDERR_FILENO))
		return -1;
	/* Also what ebb was given by who started it. */
	if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC))
		return -1;
	return launch->kept_fd >= 0 ? fcntl(launch->kept_fd, F_SETFD, 0) : 0;
}

static void set_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		(void)sigaction(number, &action, NULL); /* SIGKILL and SIGSTOP cannot be set */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_main(void *ctx)
{
	const struct launch *launch = ctx;
	int failed;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == launch->parent &&
	    set_descriptors(launch) == 0) {
		(void)setsid();
		set_signals();
		execv(launch->path, launch->argv);
	}
	failed = errno;
	(void)!write(launch->report_fd, &failed, sizeof(failed));
	return FAILED_STATUS;
}

/* --- in ebb --- */

/* The first file in PATH of that name that may be run. A name with a '/' is a path. */
static char *find_program(const char *name, int *ret_error)
{
	const char *folder = getenv("PATH");
	char *path;

	*ret_error = -ENOENT;
	if (strchr(name, '/'))
		folder = "";
	else if (!folder || !*folder)
		folder = PATH_DEFAULT;
	do {
		const char *end = strchrnul(folder, ':');

		if (asprintf(&path, "%.*s%s%s", (int)(end - folder), folder,
		             end == folder ? "" : "/", name) < 0) {
			*ret_error = -ENOMEM;
			return NULL;
		}
		if (access(path, X_OK) == 0)
			return path;
		if (errno == EACCES)
			*ret_error = -EACCES;
		free(path);
		folder = *end ? end + 1 : NULL;
	} while (folder);
	return NULL;
}

/* Runs child_main until the program is loaded. The child's number, or -errno of clone. */
static pid_t clone_child(struct launch *launch)
{
	sigset_t all, before;
	char *stack = malloc(STACK_BYTES);
	pid_t pid;

	if (!stack)
		return -ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, launch);
	if (pid < 0)
		pid = -errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	free(stack);
	return pid;
}

/* The child, with its program running; 0 or -errno. */
static int launch_child(struct launch *launch, pid_t *ret_pid)
{
	int report[2], failed = 0, ret;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC))
		return -errno;
	launch->report_fd = report[1];
	pid = clone_child(launch);
	close(report[1]);
	ret = pid < 0 ? pid : 0;
	if (!ret && read(report[0], &failed, sizeof(failed)) == (ssize_t)sizeof(failed)) {
		(void)waitpid(pid, NULL, 0);
		ret = failed ? -failed : -EIO;
	}
	close(report[0]);
	if (!ret)
		*ret_pid = pid;
	return ret;
}

static int launch_program(const struct child_process_setup *setup, const char *path, pid_t *ret_pid)
{
	struct launch launch = {
		.path = path,
		.argv = (char *const *)(uintptr_t)setup->argv,
		.kept_fd = setup->kept_fd,
		.error_fd = setup->error_fd,
		.parent = getpid(),
	};
	int ret;

	assert(setup->kept_fd < 0 || setup->kept_fd > STDERR_FILENO);
	assert(setup->error_fd < 0 || setup->error_fd > STDERR_FILENO);
	launch.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (launch.null_fd < 0)
		return -errno;
	ret = launch_child(&launch, ret_pid);
	close(launch.null_fd);
	return ret;
}

/* Its status as from waitpid, once it has ended; 0 where the kernel did not keep it. */
static int reap(struct child_process *child)
{
	int wait_status = 0;

	while (waitpid(child->pid, &wait_status, 0) < 0 && errno == EINTR)
		;
	child->reaped = true;
	return wait_status;
}

static void pid_fd_ready(void *ctx, uint32_t epoll_events)
{
	struct child_process *child = ctx;

	(void)epoll_events;
	child->setup.ended(child->setup.ctx, reap(child));
}

static int send_signal(const struct child_process *child, int number)
{
	return (int)syscall(SYS_pidfd_send_signal, child->pid_fd, number, NULL, 0);
}

/* Whether it has ended, or does so in time. */
static bool ends_within(const struct child_process *child, int64_t time_ns)
{
	const int64_t end_ns = monotonic_ns() + time_ns;
	struct pollfd pollfd = { .fd = child->pid_fd, .events = POLLIN };
	int64_t left_ns;

	while ((left_ns = end_ns - monotonic_ns()) > 0) {
		struct timespec timeout = { .tv_sec = left_ns / NS_PER_S,
			                    .tv_nsec = left_ns % NS_PER_S };

		if (ppoll(&pollfd, 1, &timeout, NULL) > 0)
			return true;
	}
	return poll(&pollfd, 1, 0) > 0;
}

/* One that became another user, and that ebb without capabilities may not end, is left to itself:
 * what it worked for is closed. So is one that the host's kernel does not let go, as in a file
 * system that does not answer: who inherits it from ebb waits for it. */
static void kill_and_reap(struct child_process *child)
{
	if (send_signal(child, SIGKILL) == 0 && ends_within(child, KILLED_WAIT_NS))
		(void)reap(child);
}

int child_process_start(const struct child_process_setup *setup, struct child_process **ret_child,
                        struct error *err)
{
	struct child_process *child;
	const char *name = setup->argv[0];
	int ret;
	char *path = find_program(name, &ret);

	if (!path)
		return error_set_errno(err, ret, "%s", name);
	child = calloc(1, sizeof(*child));
	if (!child) {
		ret = -ENOMEM;
		goto free_path;
	}
	child->setup = *setup;
	ret = launch_program(setup, path, &child->pid);
	if (ret)
		goto free_child;
	child->pid_fd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	if (child->pid_fd < 0) {
		ret = -errno;
		if (kill(child->pid, SIGKILL) == 0)
			(void)reap(child);
		goto free_child;
	}
	/* Once: what is ended stays readable. */
	ret = event_loop_add(setup->loop, child->pid_fd, EPOLLIN | EPOLLONESHOT, pid_fd_ready,
	                     child, &child->source);
	if (ret)
		goto end_child;
	free(path);
	*ret_child = child;
	return 0;

end_child:
	kill_and_reap(child);
	close(child->pid_fd);
free_child:
	free(child);
free_path:
	free(path);
	return error_set_errno(err, ret, "%s", name);
}

int child_process_pid(const struct child_process *child)
{
	return child->pid;
}

void child_process_stop(struct child_process *child, int64_t grace_ns)
{
	if (!child)
		return;
	event_loop_remove(child->source);
	if (!child->reaped) {
		(void)send_signal(child, SIGTERM);
		if (ends_within(child, grace_ns))
			(void)reap(child);
		else
			kill_and_reap(child);
	}
	close(child->pid_fd);
	free(child);
}
