/* SPDX-License-Identifier: Apache-2.0 */
/* At build time: the lists of system calls, on stdin as sandbox_lists prints them, into filters of
 * classic BPF by libseccomp, as C source on stdout: sandbox_compile x86|riscv */
/*
 * DOC: A name is what C calls it. It stands for every system call that a C library may make of it
 * (`aliases`), of which an architecture has some. A few are let through only with certain
 * arguments (`limited`, `groups`); what holds a pointer cannot be looked into. `never` is what no
 * list may have: a mistake in a comment must not open a door.
 *
 * Why not at run time: the filters are the same at each start, and libseccomp would ask the kernel
 * a dozen times what it can do, and take some 100 KiB of memory that the guest could have.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox_pid.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define NAME_LENGTH       64
#define INSTRUCTIONS_MAX  4096

/* Linux 6.7's; older headers lack it. */
#define PAGEMAP_SCAN_REQUEST _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96)

#define KVM_RUN_REQUEST _IO(0xae, 0x80)

/* What threads of glibc and musl are made with, and nothing that makes a process or a namespace;
 * and what they may be made with beside that. */
#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define THREAD_OPTIONS \
	(CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | \
	 CLONE_CHILD_SETTID | CLONE_DETACHED)

/* By enum sandbox_thread. */
static const char *const kinds[] = { "main", "io", "reclaim", "vcpu", "share", "test" };

#define VCPU  3
#define SHARE 4
#define TEST  5

/* The system calls behind a name, where they are not the one of that name. */
static const struct {
	const char *name;
	const char *calls[5];
} aliases[] = {
	{ "epoll_wait", { "epoll_wait", "epoll_pwait" } },
	{ "eventfd", { "eventfd2" } },
	{ "fstat", { "fstat", "newfstatat" } },
	{ "getpgrp", { "getpgrp", "getpgid" } },
	{ "mkdir", { "mkdir", "mkdirat" } },
	{ "mknod", { "mknod", "mknodat" } },
	{ "nanosleep", { "nanosleep", "clock_nanosleep" } },
	{ "poll", { "poll", "ppoll" } },
	{ "pread", { "pread64" } },
	{ "pwrite", { "pwrite64" } },
	{ "pthread_create", { "clone", "sched_getaffinity" } },
	{ "pthread_kill", { "tgkill" } },
	{ "recv", { "recvfrom" } },
	{ "renameat", { "renameat", "renameat2" } },
	{ "rename", { "rename", "renameat", "renameat2" } },
	{ "send", { "sendto" } },
	{ "sigaction", { "rt_sigaction" } },
	{ "unlink", { "unlink", "unlinkat" } },
	{ "waitpid", { "wait4", "waitid" } },
};

/* Arguments that a call has to have; several rows: any of them. The whole argument is compared
 * under mask. */
struct limit {
	const char *call;
	unsigned int argument;
	uint64_t mask, value;
};

#define EXACT UINT32_MAX

static const struct limit limited[] = {
	{ "clone", 0, EXACT & ~THREAD_OPTIONS, THREAD_FLAGS },
	{ "fcntl", 1, EXACT, F_GETFD },
	{ "fcntl", 1, EXACT, F_SETFD },
	{ "fcntl", 1, EXACT, F_GETFL },
	{ "fcntl", 1, EXACT, F_SETFL },
	{ "fcntl", 1, EXACT, F_DUPFD_CLOEXEC },
	{ "mmap", 2, PROT_EXEC, 0 },
	{ "mprotect", 2, PROT_EXEC, 0 },
	{ "newfstatat", 3, EXACT, AT_EMPTY_PATH },
	{ "pidfd_send_signal", 1, EXACT, SIGTERM },
	{ "pidfd_send_signal", 1, EXACT, SIGKILL },
	{ "prctl", 0, EXACT, PR_SET_NAME },
	{ "prlimit64", 2, UINT64_MAX, 0 }, /* asked, not set */
	{ "tgkill", 0, EXACT, SANDBOX_PID },
};

/* A group of ioctl requests. */
static const struct {
	const char *name;
	uint64_t mask, value;
} groups[] = {
	{ "ioctl:kvm", 0xff00, 0xae00 },         { "ioctl:pagemap", EXACT, PAGEMAP_SCAN_REQUEST },
	{ "ioctl:terminal", EXACT, TCGETS },     { "ioctl:terminal", EXACT, TCSETS },
	{ "ioctl:terminal", EXACT, TCGETS2 }, /* newer C libraries */
	{ "ioctl:terminal", EXACT, TCSETS2 },    { "ioctl:terminal", EXACT, TIOCGPGRP },
	{ "ioctl:tun", EXACT, TUNSETOFFLOAD },   { "ioctl:tun", EXACT, TUNSETQUEUE },
	{ "ioctl:tun", EXACT, TUNSETVNETHDRSZ }, { "ioctl:tun", EXACT, TUNSETVNETLE },
	{ "ioctl:tun", EXACT, TUNGETIFF },       { "ioctl:userfaultfd", 0xff00, 0xaa00 },
	{ "ioctl:vhost", 0xff00, 0xaf00 },       { "ioctl:window", EXACT, TIOCGWINSZ },
};

/* For nobody; and for nobody but the server of a folder. */
static const char *const never[] = {
	"bpf",
	"connect",
	"execve",
	"execveat",
	"finit_module",
	"fork",
	"init_module",
	"io_uring_setup",
	"kcmp",
	"kexec_load",
	"kill",
	"mount",
	"open_by_handle_at",
	"perf_event_open",
	"pidfd_getfd",
	"pidfd_open",
	"pivot_root",
	"process_vm_readv",
	"process_vm_writev",
	"ptrace",
	"setns",
	"setresuid",
	"setuid",
	"socket",
	"umount2",
	"unshare",
	"userfaultfd",
	"vfork",
	"clone3",
	"seccomp",
	"personality",
};
static const char *const never_but_share[] = { "chroot",   "creat",     "linkat",   "mkdirat",
	                                       "mknodat",  "open",      "openat",   "openat2",
	                                       "renameat", "renameat2", "symlinkat" };

static bool is_among(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

struct filter {
	scmp_filter_ctx ctx;
	uint32_t arch;
	bool is_share;
};

/* --- one call --- */

/* What rules take: the build host's number, whatever the architecture that they are for. */
static int number_of(const char *call)
{
	return seccomp_syscall_resolve_name(call);
}

static int allow_with(struct filter *filter, int number, unsigned int argument, uint64_t mask,
                      uint64_t value)
{
	const struct scmp_arg_cmp compare = SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, value);
	int ret = seccomp_rule_add_array(filter->ctx, SCMP_ACT_ALLOW, number, 1, &compare);

	return ret == -EEXIST ? 0 : ret;
}

/* 1: the architecture has it; 0: not; -errno. */
static int allow_call(struct filter *filter, const char *call)
{
	int number = number_of(call), ret;
	bool is_limited = false;

	if (number == __NR_SCMP_ERROR)
		return -ENOENT;
	if (seccomp_syscall_resolve_name_arch(filter->arch, call) < 0)
		return 0;
	if (is_among(call, never, ARRAY_SIZE(never)) ||
	    (!filter->is_share && is_among(call, never_but_share, ARRAY_SIZE(never_but_share))))
		return -EACCES;
	for (size_t i = 0; i < ARRAY_SIZE(limited); i++) {
		const struct limit *limit = &limited[i];

		/* A folder's server looks at files by their paths. */
		if (strcmp(call, limit->call) || (filter->is_share && !strcmp(call, "newfstatat")))
			continue;
		is_limited = true;
		ret = allow_with(filter, number, limit->argument, limit->mask, limit->value);
		if (ret)
			return ret;
	}
	if (is_limited)
		return 1;
	ret = seccomp_rule_add_array(filter->ctx, SCMP_ACT_ALLOW, number, 0, NULL);
	return ret && ret != -EEXIST ? ret : 1;
}

static int allow_group(struct filter *filter, const char *name)
{
	int number = number_of("ioctl"), ret = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (strcmp(name, groups[i].name))
			continue;
		ret = allow_with(filter, number, 1, groups[i].mask, groups[i].value);
		if (ret)
			return ret;
	}
	return ret;
}

/* All that stands behind a name. -ENOENT: this architecture has none of it. */
static int allow(struct filter *filter, const char *name)
{
	int found = 0, ret;

	if (strcmp(name, "mprotect:exec") == 0)
		return seccomp_rule_add_array(filter->ctx, SCMP_ACT_ALLOW, number_of("mprotect"), 0,
		                              NULL);
	if (strchr(name, ':'))
		return allow_group(filter, name);
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
		if (strcmp(name, aliases[i].name))
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(aliases[i].calls) && aliases[i].calls[j]; j++) {
			ret = allow_call(filter, aliases[i].calls[j]);
			if (ret < 0)
				return ret;
			found += ret;
		}
		return found ? 0 : -ENOENT;
	}
	if (strcmp(name, "ioctl") == 0)
		return -EACCES; /* a group of it */
	ret = allow_call(filter, name);
	return ret == 0 ? -ENOENT : ret < 0 ? ret : 0;
}

/* --- a filter --- */

static int open_filter(struct filter *filter, uint32_t arch, size_t kind)
{
	int ret = 0;

	*filter = (struct filter){ .arch = arch, .is_share = kind == SHARE };
	filter->ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter->ctx)
		return -ENOMEM;
	if (arch != seccomp_arch_native()) {
		ret = seccomp_arch_add(filter->ctx, arch);
		if (!ret)
			ret = seccomp_arch_remove(filter->ctx, SCMP_ARCH_NATIVE);
	}
	/* Calls of another architecture that this one's kernel also takes. */
	if (!ret)
		ret = seccomp_attr_set(filter->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* Its flags lie in memory, where no filter looks. C libraries fall back to clone. */
	if (!ret)
		ret = seccomp_rule_add_array(filter->ctx, SCMP_ACT_ERRNO(ENOSYS),
		                             number_of("clone3"), 0, NULL);
	/*
	 * The kernel runs a new filter once for every call's number, to remember those that it
	 * always allows: most of what a filter costs a start. So it is a tree, no list.
	 */
	if (!ret)
		ret = seccomp_attr_set(filter->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return ret;
}

static void print_instruction(struct sock_filter instruction)
{
	printf("\t{ %#x, %u, %u, %#x },\n", instruction.code, instruction.jt, instruction.jf,
	       instruction.k);
}

/* In front of a vCPU's tree, as ioctl is no call that the kernel remembers: KVM_RUN, allowed. */
static void print_kvm_run(const struct filter *filter)
{
	const struct sock_filter instructions[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, filter->arch, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
		         (uint32_t)seccomp_syscall_resolve_name_arch(filter->arch, "ioctl"), 0, 3),
		/* The low word, which is all that the kernel takes of it. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN_REQUEST, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++)
		print_instruction(instructions[i]);
}

static int print_filter(const struct filter *filter, size_t kind)
{
	static struct sock_filter instructions[INSTRUCTIONS_MAX];
	int fd = memfd_create("filter", MFD_CLOEXEC), ret;
	ssize_t size_bytes;

	if (fd < 0)
		return -errno;
	ret = seccomp_export_bpf(filter->ctx, fd);
	size_bytes = ret ? 0 : pread(fd, instructions, sizeof(instructions), 0);
	close(fd);
	if (ret || size_bytes <= 0 || size_bytes == sizeof(instructions))
		return ret ? ret : -E2BIG;
	/* The architecture is loaded and compared, then the number. */
	if (instructions[2].code != (BPF_LD | BPF_W | BPF_ABS) ||
	    instructions[2].k != offsetof(struct seccomp_data, nr))
		return -EPROTO;
	printf("\nstatic const struct sock_filter %s_filter[] = {\n", kinds[kind]);
	if (kind == VCPU || kind == TEST)
		print_kvm_run(filter);
	for (size_t i = 0; i < (size_t)size_bytes / sizeof(instructions[0]); i++)
		print_instruction(instructions[i]);
	puts("};");
	return 0;
}

static int explain(int ret, const char *kind, const char *name, const char *file)
{
	fprintf(stderr, "%s: Syscalls: %s: %s: %s\n", file, kind, name,
	        ret == -ENOENT   ? "no such system call on this architecture"
	        : ret == -EACCES ? "may stand on no such list"
	                         : strerror(-ret));
	return ret;
}

/* The lines of sandbox_lists, three words each, of this kind. */
static int fill_filter(struct filter *filter, const char *kind, char (*lines)[3][NAME_LENGTH],
                       size_t line_count)
{
	for (size_t i = 0; i < line_count; i++) {
		int ret;

		if (strcmp(lines[i][0], kind))
			continue;
		ret = allow(filter, lines[i][1]);
		if (ret)
			return explain(ret, kind, lines[i][1], lines[i][2]);
	}
	return 0;
}

static void print_table(void)
{
	puts("\nconst struct sock_filter *sandbox_filter(enum sandbox_thread kind, "
	     "size_t *ret_count)\n{");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		printf("\tif (kind == %zu) {\n"
		       "\t\t*ret_count = sizeof(%s_filter) / sizeof(%s_filter[0]);\n"
		       "\t\treturn %s_filter;\n\t}\n",
		       i, kinds[i], kinds[i], kinds[i]);
	puts("\t*ret_count = 0;\n\treturn NULL;\n}");
}

static int compile(uint32_t arch, char (*lines)[3][NAME_LENGTH], size_t line_count)
{
	int ret = 0;

	puts("/* Generated by src/sandbox_compile from the sources' Syscalls lines. */\n"
	     "#include <linux/filter.h>\n#include \"ebb/sandbox.h\"");
	for (size_t i = 0; !ret && i < ARRAY_SIZE(kinds); i++) {
		struct filter filter;

		ret = open_filter(&filter, arch, i);
		if (!ret)
			ret = fill_filter(&filter, kinds[i], lines, line_count);
		if (!ret && i == TEST)
			ret = fill_filter(&filter, kinds[VCPU], lines, line_count);
		if (!ret)
			ret = print_filter(&filter, i);
		seccomp_release(filter.ctx);
	}
	if (!ret)
		print_table();
	return ret;
}

int main(int argc, char **argv)
{
	static char lines[4096][3][NAME_LENGTH];
	size_t line_count = 0;
	uint32_t arch;
	int ret;

	if (argc != 2)
		return 64;
	arch = strcmp(argv[1], "x86") == 0 ? SCMP_ARCH_X86_64 : SCMP_ARCH_RISCV64;
	while (line_count < ARRAY_SIZE(lines) &&
	       scanf("%63s %63s %63s", lines[line_count][0], lines[line_count][1],
	             lines[line_count][2]) == 3)
		line_count++;
	ret = compile(arch, lines, line_count);
	if (ret)
		fprintf(stderr, "sandbox_compile: %s\n", strerror(-ret));
	return ret || fflush(stdout) ? 1 : 0;
}
