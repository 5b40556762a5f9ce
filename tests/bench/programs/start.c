/* SPDX-License-Identifier: Apache-2.0 */
/* What a VMM has used from its exec to its first KVM_RUN: start [--limit SECONDS] --argv FILE. */
/*
 * FILE has the VMM's words, one a line. It is started twice and killed at its first KVM_RUN.
 *
 *	1  a seccomp filter tells of KVM_RUN alone, so nothing else is slowed down; then CPU time of
 *all its threads, those that ended too (its process's CPU clock: rusage has the same in
 *	   microseconds, and after a kill with the price of its end), faults, threads, resident
 *memory 2  ptrace counts system calls of all its threads, the exec too
 *
 * Its console is a pipe that nothing comes from, and /dev/null.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "tracer.h"

struct figures {
	uint64_t cpu_ns, wall_ns, rss_kib;
	struct process_stat stat;
};

static bool read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	length = read_again(fd, text, size);
	close(fd);
	return length > 0;
}

static bool take_figures(pid_t pid, struct figures *ret)
{
	char text[4096];
	const char *rss;

	/* The clock first: looking at the rest takes none of its time, but others of its threads
	 * may still run. */
	if (!process_cpu_ns(pid, &ret->cpu_ns) || !read_proc(pid, "stat", text, sizeof(text)) ||
	    !parse_process_stat(text, &ret->stat))
		return false;
	/* Exact, where statm may be some pages a CPU behind. */
	if (!read_proc(pid, "smaps_rollup", text, sizeof(text)) || !(rss = strstr(text, "\nRss:")))
		return false;
	ret->rss_kib = strtoull(rss + 5, NULL, 10);
	return true;
}

/* From the gate to the first KVM_RUN. */
static int first_pass(struct launched *vmm, unsigned int limit_s, struct figures *ret)
{
	struct pollfd fds[] = { { .fd = vmm->listener_fd, .events = POLLIN },
		                { .fd = vmm->pidfd, .events = POLLIN } };
	struct figures before = { 0 }, at_run;
	char text[4096];
	uint64_t begin_ns;
	int count;

	if (!process_cpu_ns(vmm->pid, &before.cpu_ns) ||
	    !read_proc(vmm->pid, "stat", text, sizeof(text)) ||
	    !parse_process_stat(text, &before.stat))
		return -EIO;
	begin_ns = now_ns();
	launch_go(vmm);
	count = launch_executed(vmm);
	if (count)
		return count;
	do
		count = poll(fds, 2, (int)limit_s * 1000);
	while (count < 0 && errno == EINTR);
	at_run.wall_ns = now_ns() - begin_ns;
	if (count <= 0 || !(fds[0].revents & POLLIN)) {
		complain(count ? "the VMM ended before its first KVM_RUN"
		               : "no KVM_RUN in the time allowed");
		return -ETIMEDOUT;
	}
	if (!take_figures(vmm->pid, &at_run)) {
		complain("what the VMM used cannot be read");
		return -EIO;
	}
	at_run.cpu_ns -= before.cpu_ns;
	at_run.stat.minor_faults -= before.stat.minor_faults;
	at_run.stat.major_faults -= before.stat.major_faults;
	*ret = at_run;
	return 0;
}

static int run_twice(char *const *words, unsigned int limit_s)
{
	struct sock_filter instructions[TRACER_INSTRUCTIONS_MAX];
	struct sock_fprog filter = tracer_run_filter(instructions);
	struct launch launch = { .words = words, .filter = &filter };
	struct figures figures = { 0 };
	struct launched vmm;
	int64_t calls;
	int ret, input[2];

	if (pipe2(input, O_CLOEXEC))
		return -errno;
	launch.stdin_fd = input[0];
	launch.stdout_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ret = launch_prepare(&launch, &vmm);
	if (ret)
		return ret;
	ret = first_pass(&vmm, limit_s, &figures);
	kill(vmm.pid, SIGKILL);
	waitpid(vmm.pid, NULL, 0);
	if (ret)
		return ret;
	close(vmm.listener_fd);
	launch.filter = NULL;
	ret = launch_prepare(&launch, &vmm);
	if (ret)
		return ret;
	calls = tracer_count_to_run(&vmm, limit_s);
	if (calls < 0)
		return (int)calls;
	say("start cpu_ns=%lu minflt=%lu majflt=%lu wall_ns=%lu threads=%lu rss_kib=%lu "
	    "syscalls=%ld",
	    figures.cpu_ns, figures.stat.minor_faults, figures.stat.major_faults, figures.wall_ns,
	    figures.stat.threads, figures.rss_kib, calls);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t limit_s = 120;
	char **words = NULL;

	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && !strcmp(argv[i], "--argv") && !words)
			words = read_words(argv[i + 1]);
		else if (i + 1 == argc || strcmp(argv[i], "--limit") ||
		         !parse_number(argv[i + 1], 86400, &limit_s))
			words = NULL, argc = 0;
	}
	if (!words) {
		complain("usage: start [--limit SECONDS] --argv FILE");
		return 64;
	}
	return run_twice(words, (unsigned int)limit_s) ? 1 : 0;
}
