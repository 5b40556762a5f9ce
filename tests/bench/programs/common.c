/* SPDX-License-Identifier: Apache-2.0 */
/* What the bench's programs on the KVM host share: time, lines of output, the VMM's start. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048
#define WORDS_MAX      256

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

__attribute__((format(printf, 3, 0))) static void put_line(int fd, const char *before,
                                                           const char *format, va_list arguments)
{
	char line[LINE_MAX_BYTES];
	size_t at = (size_t)snprintf(line, sizeof(line), "%s", before);
	int length = vsnprintf(line + at, sizeof(line) - at - 1, format, arguments);

	if (length < 0)
		return;
	at += (size_t)length;
	if (at > sizeof(line) - 2)
		at = sizeof(line) - 2;
	line[at++] = '\n';
	for (size_t done = 0; done < at;) {
		ssize_t count = write(fd, line + done, at - done);

		if (count < 0 && errno != EINTR)
			return;
		done += count > 0 ? (size_t)count : 0;
	}
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	put_line(STDOUT_FILENO, "bench ", format, arguments);
	va_end(arguments);
}

void complain(const char *format, ...)
{
	va_list arguments;
	char before[64];

	snprintf(before, sizeof(before), "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	put_line(STDERR_FILENO, before, format, arguments);
	va_end(arguments);
}

bool parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && !*end && *ret <= max;
}

char **read_words(const char *path)
{
	char **words = calloc(WORDS_MAX + 1, sizeof(*words));
	FILE *file = fopen(path, "re");
	size_t count = 0, size = 0;
	ssize_t length;

	if (!words || !file) {
		complain("%s: %s", path, strerror(errno));
		if (file)
			fclose(file);
		free(words);
		return NULL;
	}
	while (count < WORDS_MAX && (length = getline(&words[count], &size, file)) >= 0) {
		words[count][strcspn(words[count], "\n")] = 0;
		count++;
		size = 0;
	}
	free(words[count]);
	words[count] = NULL;
	fclose(file);
	if (count == 0 || count == WORDS_MAX) {
		complain("%s: %s", path, count ? "too many words" : "no word in it");
		return NULL;
	}
	return words;
}

ssize_t read_again(int fd, char *text, size_t size)
{
	size_t at = 0;

	while (at < size - 1) {
		ssize_t count = pread(fd, text + at, size - 1 - at, (off_t)at);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			break;
		at += (size_t)count;
	}
	text[at] = 0;
	return (ssize_t)at;
}

/* --- starting the VMM --- */

/* Only who may do everything gets a filter without giving up privileges. */
static int install_filter(const struct sock_fprog *filter)
{
	unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
	long fd;

	/* Since Linux 5.19: a call that is being told of goes on though a signal comes, as a
	 * vCPU's may; else it would begin again, and be counted twice. */
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
	             flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, filter);
	if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		             flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, filter);
	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, filter);
	return fd < 0 ? -errno : (int)fd;
}

static void child(const struct launch *launch, int gate_fd, int told_fd)
{
	int told = -1;
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	if (launch->stdin_fd >= 0)
		dup2(launch->stdin_fd, STDIN_FILENO);
	if (launch->stdout_fd >= 0)
		dup2(launch->stdout_fd, STDOUT_FILENO);
	if (launch->filter)
		told = install_filter(launch->filter);
	if (write(told_fd, &told, sizeof(told)) != sizeof(told) || read(gate_fd, &go, 1) != 1)
		_exit(126);
	execvp(launch->words[0], launch->words);
	told = -errno;
	if (write(told_fd, &told, sizeof(told)) != sizeof(told))
		_exit(126);
	_exit(127);
}

/* What the child had to tell first: its filter's listener, by its number there. */
static int take_listener(struct launched *launched)
{
	int number, fd;

	if (read(launched->told_fd, &number, sizeof(number)) != sizeof(number))
		return -EIO;
	if (number < 0)
		return number;
	fd = (int)syscall(SYS_pidfd_getfd, launched->pidfd, number, 0);
	return fd < 0 ? -errno : fd;
}

int launch_prepare(const struct launch *launch, struct launched *ret)
{
	struct launched launched = { .listener_fd = -1 };
	int gate[2], told[2], fd;

	if (pipe2(gate, O_CLOEXEC) || pipe2(told, O_CLOEXEC)) {
		complain("pipe: %s", strerror(errno));
		return -errno;
	}
	launched.pid = fork();
	if (launched.pid == 0)
		child(launch, gate[0], told[1]);
	close(gate[0]);
	close(told[1]);
	launched.gate_fd = gate[1];
	launched.told_fd = told[0];
	if (launched.pid < 0) {
		complain("fork: %s", strerror(errno));
		return -errno;
	}
	launched.pidfd = (int)syscall(SYS_pidfd_open, launched.pid, 0);
	fd = take_listener(&launched);
	if (launched.pidfd < 0 || (launch->filter && fd < 0)) {
		complain("%s: %s", launched.pidfd < 0 ? "pidfd_open" : "seccomp filter",
		         strerror(launched.pidfd < 0 ? errno : -fd));
		kill(launched.pid, SIGKILL);
		waitpid(launched.pid, NULL, 0);
		return launched.pidfd < 0 ? -ENOSYS : fd;
	}
	launched.listener_fd = launch->filter ? fd : -1;
	*ret = launched;
	return 0;
}

void launch_go(struct launched *launched)
{
	while (write(launched->gate_fd, "g", 1) < 0 && errno == EINTR)
		;
	close(launched->gate_fd);
	launched->gate_fd = -1;
}

int launch_executed(struct launched *launched)
{
	int told = 0;
	ssize_t count;

	do
		count = read(launched->told_fd, &told, sizeof(told));
	while (count < 0 && errno == EINTR);
	close(launched->told_fd);
	launched->told_fd = -1;
	if (count != sizeof(told))
		return 0;
	complain("the VMM cannot be executed: %s", strerror(-told));
	return told;
}

/* --- what a process has used --- */

bool process_cpu_ns(pid_t pid, uint64_t *ret_ns)
{
	struct timespec used;
	clockid_t id;

	if (clock_getcpuclockid(pid, &id) || clock_gettime(id, &used))
		return false;
	*ret_ns = (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
	return true;
}

bool parse_process_stat(const char *text, struct process_stat *ret)
{
	const char *at = strrchr(text, ')');
	unsigned long long values[21] = { 0 };

	/* proc(5): the field after the name is the third. */
	for (int field = 3; at && field <= 20; field++) {
		at = strchr(at, ' ');
		if (!at)
			return false;
		at++;
		values[field] = field > 3 ? strtoull(at, NULL, 10) : 0;
	}
	if (!at)
		return false;
	*ret = (struct process_stat){
		.minor_faults = values[10],
		.major_faults = values[12],
		.threads = values[20],
	};
	return true;
}
