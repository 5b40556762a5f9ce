/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a VMM's system calls are of interest, and how they are seen. */
/*
 * DOC: Two ways to see system calls.
 *
 *	seccomp notification   a filter tells of a few calls, the rest runs as if nothing were
 *	                       there; the thread waits while it is looked at
 *	                       (seccomp_unotify(2)). Threads are made without a stop.
 *	ptrace                 every call of every thread stops twice; counts only, no time.
 *
 * The filter is there before the VMM is executed, and what the VMM starts inherits it. Filters
 * that the VMM gives itself are asked as well, and the strictest answer is taken: a call that the
 * VMM's own filter refuses with an error is not told of, one that it allows is. The call that was
 * told of happens as it was (SECCOMP_USER_NOTIF_FLAG_CONTINUE): this is a count, not a fence.
 *
 * Numbers are those of the architecture that this program is built for, which has to be the
 * VMM's.
 */
#include "tracer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

/* asm-generic/mman-common.h; C libraries know it later. */
#define ADVICE_DONTNEED_LOCKED 24

#define VECTORS_MAX 1024

/* --- seccomp notification --- */

#define LOAD(field) \
	(struct sock_filter) \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SKIP_IF(value, equal, else) \
	(struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, equal, else)
#define ANSWER(action) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, action)

struct sock_fprog tracer_release_filter(struct sock_filter instructions[TRACER_INSTRUCTIONS_MAX])
{
	const struct sock_filter filter[] = {
		LOAD(nr),
		SKIP_IF(SYS_madvise, 3, 0),
		SKIP_IF(SYS_process_madvise, 2, 0),
		SKIP_IF(SYS_fallocate, 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_USER_NOTIF),
	};

	memcpy(instructions, filter, sizeof(filter));
	return (struct sock_fprog){ .len = sizeof(filter) / sizeof(*filter),
		                    .filter = instructions };
}

/* KVM_RUN's number is in the lower half of the second argument, which comes first on both. */
struct sock_fprog tracer_run_filter(struct sock_filter instructions[TRACER_INSTRUCTIONS_MAX])
{
	const struct sock_filter filter[] = {
		LOAD(nr),
		SKIP_IF(SYS_ioctl, 0, 2),
		LOAD(args[1]),
		SKIP_IF(KVM_RUN, 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_USER_NOTIF),
	};

	memcpy(instructions, filter, sizeof(filter));
	return (struct sock_fprog){ .len = sizeof(filter) / sizeof(*filter),
		                    .filter = instructions };
}

bool tracer_receive(int listener_fd, union tracer_call *ret)
{
	struct pollfd fd = { .fd = listener_fd, .events = POLLIN };

	if (poll(&fd, 1, 0) != 1 || !(fd.revents & POLLIN))
		return false;
	memset(ret, 0, sizeof(*ret));
	return ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &ret->notif) == 0;
}

bool tracer_let_go(int listener_fd, const union tracer_call *call)
{
	union {
		struct seccomp_notif_resp response;
		char room[512];
	} answer = { .response = { .id = call->notif.id,
		                   .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE } };

	return ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer.response) == 0;
}

static bool advice_releases(uint64_t advice)
{
	return advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE ||
	       advice == ADVICE_DONTNEED_LOCKED;
}

/* The bytes of a vector in the thread's memory. */
static uint64_t vector_bytes(pid_t tid, uint64_t vector, uint64_t count)
{
	struct iovec entries[VECTORS_MAX];
	uint64_t bytes = 0;
	struct iovec local = { .iov_base = entries };
	struct iovec remote = { .iov_base = (void *)(uintptr_t)vector };
	ssize_t got;

	if (count > VECTORS_MAX) /* IOV_MAX of Linux */
		return 0;
	local.iov_len = remote.iov_len = count * sizeof(*entries);
	got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
	for (size_t i = 0; got > 0 && i < (size_t)got / sizeof(*entries); i++)
		bytes += entries[i].iov_len;
	return bytes;
}

bool tracer_is_release(const union tracer_call *call, uint64_t *ret_bytes)
{
	const __u64 *args = call->notif.data.args;

	switch (call->notif.data.nr) {
	case SYS_madvise:
		*ret_bytes = args[1];
		return advice_releases(args[2]);
	case SYS_process_madvise:
		if (!advice_releases(args[3]))
			return false;
		*ret_bytes = vector_bytes((pid_t)call->notif.pid, args[1], args[2]);
		return true;
	case SYS_fallocate:
		*ret_bytes = args[3];
		return args[1] & FALLOC_FL_PUNCH_HOLE;
	}
	return false;
}

/* --- ptrace --- */

/* Whether the thread stands before KVM_RUN; adds its call if it stands before another one. */
static bool stands_before_run(pid_t tid, int64_t *calls)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	if (info.entry.nr == SYS_ioctl && (uint32_t)info.entry.args[1] == KVM_RUN)
		return true;
	(*calls)++;
	return false;
}

/* What a stopped thread is to get when it goes on: a signal of its own; else 0. */
static int signal_of_stop(int status)
{
	int number = WSTOPSIG(status);

	return status >> 16 || number == (SIGTRAP | 0x80) ? 0 : number;
}

/* Goes through the stops until KVM_RUN, or until a signal says that it takes too long. */
static int64_t follow(pid_t pid)
{
	int64_t calls = -1; /* until the exec */

	for (;;) {
		int status = 0;
		pid_t tid = waitpid(-1, &status, __WALL);

		if (tid < 0 && errno == EINTR) {
			complain("no KVM_RUN in the time allowed");
			return -ETIMEDOUT;
		}
		if (tid < 0 || (tid == pid && !WIFSTOPPED(status))) {
			complain("the VMM ended before its first KVM_RUN (status 0x%x)", status);
			return -ECHILD;
		}
		if (!WIFSTOPPED(status))
			continue;
		if (status >> 16 == PTRACE_EVENT_EXEC && calls < 0)
			calls = 1;
		else if (WSTOPSIG(status) == (SIGTRAP | 0x80) && calls >= 0 &&
		         stands_before_run(tid, &calls))
			return calls;
		ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(intptr_t)signal_of_stop(status));
	}
}

static void interrupted(int number)
{
	(void)number;
}

int64_t tracer_count_to_run(struct launched *launched, unsigned int limit_s)
{
	const struct sigaction on_alarm = { .sa_handler = interrupted };
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
	                     PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int64_t calls = -EPERM;

	if (ptrace(PTRACE_SEIZE, launched->pid, NULL, (void *)options) ||
	    ptrace(PTRACE_INTERRUPT, launched->pid, NULL, NULL)) {
		complain("ptrace: %s", strerror(errno));
	} else {
		sigaction(SIGALRM, &on_alarm, NULL);
		alarm(limit_s);
		launch_go(launched);
		calls = follow(launched->pid);
		alarm(0);
	}
	kill(launched->pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	return calls;
}
