/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each thread of ebb tries once it is inside the sandbox, in place of src/sandbox_entered.c:
 * each system call that nobody in a VMM has any business with. A line a call on standard error,
 * "probe KIND NAME refused|done ERRNO"; tests/guest/sandbox reads them.
 *
 * Arguments are such that the call would succeed, for root, where it was let through, and do no
 * harm.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "ebb/sandbox.h"

static long try_openat(void)
{
	return openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);
}

static long try_openat2(void)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };

	return syscall(SYS_openat2, AT_FDCWD, "/dev/null", &how, sizeof(how));
}

static long try_creat(void)
{
	return openat(AT_FDCWD, "/tmp/ebb-probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long try_execve(void)
{
	char *const none[] = { NULL };

	return execve("/nowhere", none, none);
}

static long try_execveat(void)
{
	char *const none[] = { NULL };

	return syscall(SYS_execveat, AT_FDCWD, "/nowhere", none, none, 0);
}

static long try_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long try_connect(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/nowhere" };

	return connect(STDERR_FILENO, (const struct sockaddr *)&name, sizeof(name));
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_SEIZE, getppid(), 0, 0);
}

static long try_process_vm_readv(void)
{
	char from = 0, to;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

static long try_mount(void)
{
	return syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, NULL);
}

static long try_setuid(void)
{
	return syscall(SYS_setuid, getuid());
}

static long try_setgroups(void)
{
	return syscall(SYS_setgroups, 0, NULL);
}

static long try_fork(void)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		syscall(SYS_exit, 0);
	return pid;
}

/* Nobody's number: where it is let through it is ESRCH. */
static long try_kill(void)
{
	return kill(0x3fffffff, SIGKILL);
}

static long try_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static long try_execute_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long ret = mprotect(page, 4096, PROT_READ | PROT_EXEC);
	int error = errno;

	munmap(page, 4096);
	errno = error;
	return ret;
}

static long try_map_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? -1 : 0;
}

static long try_type_for_the_user(void)
{
	return ioctl(STDIN_FILENO, TIOCSTI, "x");
}

static long try_io_uring_setup(void)
{
	uint64_t parameters[15] = { 0 };

	return syscall(SYS_io_uring_setup, 1, parameters);
}

static long try_pidfd_open(void)
{
	return syscall(SYS_pidfd_open, getpid(), 0);
}

static long try_be_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_bpf(void)
{
	uint64_t attributes[16] = { 0 };

	return syscall(SYS_bpf, 0, attributes, sizeof(attributes));
}

static const struct {
	const char *name;
	long (*attempt)(void);
	bool share_may;
} attempts[] = {
	{ "openat", try_openat, true },
	{ "openat2", try_openat2, true },
	{ "creat", try_creat, true },
	{ "execve", try_execve, false },
	{ "execveat", try_execveat, false },
	{ "socket", try_socket, false },
	{ "connect", try_connect, false },
	{ "ptrace", try_ptrace, false },
	{ "process_vm_readv", try_process_vm_readv, false },
	{ "mount", try_mount, false },
	{ "setuid", try_setuid, false },
	{ "setgroups", try_setgroups, false },
	{ "fork", try_fork, false },
	{ "kill", try_kill, false },
	{ "unshare", try_unshare, false },
	{ "mprotect-exec", try_execute_memory, false },
	{ "mmap-exec", try_map_executable, false },
	{ "TIOCSTI", try_type_for_the_user, false },
	{ "io_uring_setup", try_io_uring_setup, false },
	{ "pidfd_open", try_pidfd_open, false },
	{ "PR_SET_DUMPABLE", try_be_dumpable, false },
	{ "bpf", try_bpf, false },
};

void sandbox_entered(enum sandbox_thread kind)
{
	static const char *const kinds[] = {
		[SANDBOX_MAIN] = "main", [SANDBOX_IO] = "io",       [SANDBOX_RECLAIM] = "reclaim",
		[SANDBOX_VCPU] = "vcpu", [SANDBOX_SHARE] = "share", [SANDBOX_TEST] = "test",
	};

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		long ret;
		int error;

		if (kind == SANDBOX_SHARE && attempts[i].share_may)
			continue;
		errno = 0;
		ret = attempts[i].attempt();
		error = errno;
		dprintf(STDERR_FILENO, "probe %s %s %s %d\n", kinds[kind], attempts[i].name,
		        ret < 0 && error == EPERM ? "refused" : "done", error);
	}
}
