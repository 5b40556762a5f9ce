/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a VMM's system calls are of interest, and how they are seen. */
#ifndef BENCH_TRACER_H
#define BENCH_TRACER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TRACER_INSTRUCTIONS_MAX 8

/* A filter that tells of the calls that may release memory, or of ioctl(KVM_RUN) alone; every other
 * call passes untold. */
struct sock_fprog tracer_release_filter(struct sock_filter instructions[TRACER_INSTRUCTIONS_MAX]);
struct sock_fprog tracer_run_filter(struct sock_filter instructions[TRACER_INSTRUCTIONS_MAX]);

/* A call that a thread waits in until tracer_let_go. Linux may know more of it than we. */
union tracer_call {
	struct seccomp_notif notif;
	char room[512];
};

/* The next call. False: there is none now (its thread died, or nobody is left). */
bool tracer_receive(int listener_fd, union tracer_call *ret);

/* Lets the call happen. False: it did not, its thread was gone. */
bool tracer_let_go(int listener_fd, const union tracer_call *call);

/* Whether the call releases memory, and how much it was asked to release; whether it then succeeds
 * is not known. */
bool tracer_is_release(const union tracer_call *call, uint64_t *ret_bytes);

/*
 * Under ptrace, from the exec (which counts) of a program that waits at its gate: the number of
 * system calls of all of its threads and children before the first KVM_RUN, which does not count.
 * Kills it then. -errno after a complaint.
 */
struct launched;
int64_t tracer_count_to_run(struct launched *launched, unsigned int limit_s);

#endif
