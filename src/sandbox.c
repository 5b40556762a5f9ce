/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up what is not needed: user, capabilities, privileges, files, system calls. */
/*
 * DOC: The stages, and what each is there for when a guest has taken over a thread of ebb.
 *
 *	user            with --user, whatever that user may not is refused by the host's own rules
 *	capabilities    none, in every thread: root's number alone is what is left of root
 *	no_new_privs    no program could give them back; so the bounding set may stay as it is (to
 *	                empty it takes 41 system calls, and an ordinary user may not)
 *	Landlock        no file can be opened, nothing bound or connected to, whatever the filter
 *	                lets through; but names in the control sockets' folder may be removed
 *	seccomp         a list a kind of thread; the rest is refused with EPERM and logged
 *
 * All but the last are one thread's affair in Linux and inherited by those that it makes. So they
 * are given up by the main thread while it is the only one, and the threads, the loops' too, are
 * made after that; each enters its own list first of all. main enters last, once they are there:
 * its list would be theirs as well.
 *
 * Descriptors stay what they are. Their uses are bounded by the lists: no ioctl that is not of a
 * group of its thread, io_uring rings are made before and take no operations but reads, writes and
 * the like (async_io.c).
 *
 * EPERM and not a signal: a C library that makes another call than those known (its next version,
 * another one) falls back or fails one operation, and the log tells; a signal would end the guest.
 * clone3 is refused with ENOSYS, which C libraries know from older kernels.
 *
 * The library's own calls, of every thread: memory of malloc and stacks, locks, the end of a
 * thread and of a process, an assertion that does not hold (which signals the thread itself).
 *
 * Syscalls: all,share: brk close clock_gettime clock_nanosleep exit exit_group futex
 * Syscalls: all,share: getpid gettid getrandom gettimeofday madvise mmap mprotect mremap munmap
 * Syscalls: all,share: prctl prlimit64 read restart_syscall rseq rt_sigaction rt_sigprocmask
 * Syscalls: all,share: rt_sigreturn sched_getaffinity sched_yield set_robust_list sysinfo
 * Syscalls: all,share: sigaltstack tgkill write writev lseek
 */
#include "ebb/sandbox.h"

#include <assert.h>
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox_pid.h"

#define INSTRUCTIONS_MAX 1024

/* Landlock's later versions; build hosts have older headers (Documentation/userspace-api/
 * landlock.rst). */
#define FS_TRUNCATE            (UINT64_C(1) << 14) /* 3 */
#define FS_IOCTL_DEV           (UINT64_C(1) << 15) /* 5 */
#define FS_RIGHTS_ABI1         ((UINT64_C(1) << 13) - 1)
#define NET_RIGHTS             UINT64_C(3) /* 4: bind and connect by TCP */
#define SCOPE_ABSTRACT_SOCKETS UINT64_C(1) /* 6; not of signals: passt has to be ended */

#define LANDLOCK_ABI_KNOWN 6

struct ruleset {
	uint64_t fs, net, scoped;
};

/* --- user, capabilities, privileges --- */

static int become(const struct sandbox_user *user, struct error *err)
{
	if (geteuid() != 0)
		return error_set(err, -EPERM,
		                 "only root can become another user (run ebb as that user)");
	if (setgroups(0, NULL) || setresgid(user->gid, user->gid, user->gid) ||
	    setresuid(user->uid, user->uid, user->uid))
		return error_set_errno(err, -errno, "user %u", user->uid);
	return 0;
}

/* What is to be kept can only be kept where it is there. */
static int keep_capabilities(uint64_t kept)
{
	if (capng_get_caps_process())
		return -EPERM;
	for (unsigned int i = 0; i <= CAP_LAST_CAP; i++) {
		bool keep = kept >> i & 1 && capng_have_capability(CAPNG_PERMITTED, i);

		if (capng_update(keep ? CAPNG_ADD : CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
		                 i) ||
		    capng_update(CAPNG_DROP, CAPNG_INHERITABLE, i))
			return -EINVAL;
	}
	return 0;
}

static int drop_privileges(uint64_t kept_capabilities, struct error *err)
{
	int ret = 0;

	if (kept_capabilities)
		ret = keep_capabilities(kept_capabilities);
	else
		capng_clear(CAPNG_SELECT_CAPS);
	if (ret || capng_apply(CAPNG_SELECT_CAPS))
		return error_set(err, -EPERM, "capabilities cannot be dropped");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_set_errno(err, -errno, "no_new_privs");
	return 0;
}

/* --- Landlock --- */

static struct ruleset ruleset_of(int abi, size_t *ret_size_bytes)
{
	struct ruleset ruleset = { .fs = FS_RIGHTS_ABI1 };

	if (abi >= 2)
		ruleset.fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		ruleset.fs |= FS_TRUNCATE;
	if (abi >= 4)
		ruleset.net = NET_RIGHTS;
	if (abi >= 5)
		ruleset.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		ruleset.scoped = SCOPE_ABSTRACT_SOCKETS;
	*ret_size_bytes = abi >= 6   ? sizeof(ruleset)
	                  : abi >= 4 ? offsetof(struct ruleset, scoped)
	                             : offsetof(struct ruleset, net);
	return ruleset;
}

static uint64_t file_rights(enum sandbox_files files)
{
	const uint64_t read_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

	switch (files) {
	case SANDBOX_FILES_NONE:
		break;
	case SANDBOX_FILES_REMOVE:
		return LANDLOCK_ACCESS_FS_REMOVE_FILE;
	case SANDBOX_FILES_READ:
		return read_rights;
	case SANDBOX_FILES_WRITE:
		return read_rights | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
		       LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
		       LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
		       LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |
		       LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE;
	}
	return 0;
}

static int restrict_files(int ruleset_fd, uint64_t rights, int folder_fd)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = rights,
		.parent_fd = folder_fd,
	};

	if (rights &&
	    syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		return -errno;
	return syscall(SYS_landlock_restrict_self, ruleset_fd, 0) ? -errno : 0;
}

/* The rules' set, of all that this host's Landlock knows; the newest is tried first, since it is
 * most likely there. -errno: -ENOSYS and -EOPNOTSUPP where there is none, and -EPERM, which Linux
 * itself does not say here: a container's own filter forbids it. */
static int make_ruleset(struct ruleset *ret_ruleset)
{
	size_t size_bytes;
	long abi;
	int fd;

	*ret_ruleset = ruleset_of(LANDLOCK_ABI_KNOWN, &size_bytes);
	fd = (int)syscall(SYS_landlock_create_ruleset, ret_ruleset, size_bytes, 0);
	if (fd >= 0 || (errno != E2BIG && errno != EINVAL))
		return fd < 0 ? -errno : fd;
	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 0)
		return -errno;
	*ret_ruleset = ruleset_of((int)abi, &size_bytes);
	fd = (int)syscall(SYS_landlock_create_ruleset, ret_ruleset, size_bytes, 0);
	return fd < 0 ? -errno : fd;
}

static int close_files(const struct sandbox_needs *needs, struct error *err)
{
	struct ruleset ruleset;
	int fd = make_ruleset(&ruleset), ret;

	if (fd == -ENOSYS || fd == -EOPNOTSUPP || fd == -EPERM) {
		if (needs->log)
			log_info(needs->log,
			         "this host has no Landlock (%s): files are kept shut by the lists "
			         "of system calls alone, which let the main thread remove some and "
			         "a share's server open any that it may",
			         strerror(-fd));
		return 0;
	}
	if (fd < 0)
		return error_set_errno(err, fd, "Landlock");
	ret = restrict_files(fd, file_rights(needs->files) & ruleset.fs, needs->folder_fd);
	close(fd);
	return ret ? error_set_errno(err, ret, "Landlock") : 0;
}

int sandbox_give_up(const struct sandbox_needs *needs, struct error *err)
{
	int ret = needs->user ? become(needs->user, err) : 0;

	if (!ret)
		ret = drop_privileges(needs->capabilities, err);
	return ret ? ret : close_files(needs, err);
}

/* --- seccomp --- */

/* Whether it is the host that has no filters, rather than a filter that the host refuses. */
static bool host_has_filters(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* A filter of our own process: it is compiled without its number. */
static struct sock_fprog fill_in(enum sandbox_thread kind, int pid,
                                 struct sock_filter instructions[INSTRUCTIONS_MAX])
{
	size_t count;
	const struct sock_filter *filter = sandbox_filter(kind, &count);

	assert(filter && count <= INSTRUCTIONS_MAX);
	memcpy(instructions, filter, count * sizeof(*filter));
	for (size_t i = 0; i < count; i++)
		if (instructions[i].code == (BPF_JMP | BPF_JEQ | BPF_K) &&
		    instructions[i].k == SANDBOX_PID)
			instructions[i].k = (uint32_t)pid;
	return (struct sock_fprog){ .len = (unsigned short)count, .filter = instructions };
}

int sandbox_enter(enum sandbox_thread kind, int pid, struct error *err)
{
	struct sock_filter instructions[INSTRUCTIONS_MAX];
	struct sock_fprog program = fill_in(kind, pid, instructions);

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program)) {
		int ret = -errno;

		if (!host_has_filters())
			return error_set(err, 0, "%s", strerror(-ret));
		return error_set_errno(err, ret, "seccomp");
	}
	sandbox_entered(kind);
	return 1;
}
