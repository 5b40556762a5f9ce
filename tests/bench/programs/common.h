/* SPDX-License-Identifier: Apache-2.0 */
/* What the bench's programs on the KVM host share: time, lines of output, the VMM's start. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <linux/filter.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t now_ns(void);

/* One line on stdout, "bench " before it, in one write. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line on stderr with the program's name before it. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A whole decimal number from 0 to max; false where the text is none. */
bool parse_number(const char *text, uint64_t max, uint64_t *ret);

/* The words of a file, one a line, ended by NULL as execvp wants them; they live as long as the
 * program. NULL after a complaint. */
char **read_words(const char *path);

/* Reads a file of /proc or /sys that stays open, from its beginning. Bytes, of which there is one
 * fewer than size at most (text is ended by 0); -errno. */
ssize_t read_again(int fd, char *text, size_t size);

/*
 * A program that is about to be executed: it waits at a gate, so that whoever wants to look at it
 * can get ready. CPU time and faults until then are its parent's doing.
 */
struct launched {
	pid_t pid;
	int pidfd;
	int listener_fd; /* of its seccomp filter; -1 without one */
	int gate_fd, told_fd;
};

struct launch {
	char *const *words;
	int stdin_fd, stdout_fd;         /* become the program's; -1: stays as it is */
	const struct sock_fprog *filter; /* a seccomp filter that notifies; NULL: none */
};

/* Forks; the child waits. -errno after a complaint. It dies with the calling thread. */
int launch_prepare(const struct launch *launch, struct launched *ret);

/* Lets it go. */
void launch_go(struct launched *launched);

/* After launch_go: waits until it has become the program. 0, or -errno after a complaint. */
int launch_executed(struct launched *launched);

/* The CPU time of all threads of a process, those that ended too. False: it cannot be had. */
bool process_cpu_ns(pid_t pid, uint64_t *ret_ns);

struct process_stat {
	uint64_t minor_faults, major_faults, threads;
};

/* What /proc/PID/stat says of a process with all its threads. */
bool parse_process_stat(const char *text, struct process_stat *ret);

#endif
