/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ebb gives up once it is set up: its user, capabilities, new privileges, files, and the
 * system calls that it has no use for.
 *
 * In two steps. sandbox_give_up is done once, by the only thread that there is: every thread made
 * from then on has what is left. sandbox_enter is done by each thread, as the first thing, with the
 * list of system calls of its kind; a thread made by one that is inside is inside with its list,
 * and one that enters twice has what both lists allow.
 *
 * The lists come from the sources: a line ` * Syscalls: KIND[,KIND…]: name name …` in a comment of
 * the file that makes the calls, as C names them, after set-up (KIND as below, or `all`); see
 * src/sandbox_lists. Some have groups instead of a name: ioctl:kvm ioctl:vhost ioctl:tun
 * ioctl:terminal ioctl:window ioctl:userfaultfd ioctl:pagemap; see src/sandbox_compile.c.
 */
#ifndef EBB_SANDBOX_H
#define EBB_SANDBOX_H

#include "ebb/error.h"
#include "ebb/log.h"
#include "ebb/types.h"

enum sandbox_thread {
	SANDBOX_MAIN,    /* "main" */
	SANDBOX_IO,      /* "io" */
	SANDBOX_RECLAIM, /* "reclaim": that loop, and the threads of refills and of a trace from the
	                    start (a trace that a client starts is main's) */
	SANDBOX_VCPU,    /* "vcpu" */
	SANDBOX_SHARE,   /* "share": a process of its own, that serves one folder */
	SANDBOX_TEST,    /* "test": a vCPU's of a machine with --test-devices: vcpu and that */
	SANDBOX_THREAD_COUNT
};

struct sandbox_user {
	uint32_t uid, gid;
};

/* name: of /etc/passwd, or its number there. -ENOENT: nobody's; -EINVAL: root, who is no other user
 * than the one that may become another; -errno of the file. */
EBB_MUST_CHECK int sandbox_find_user(const char *name, struct sandbox_user *ret_user,
                                     struct error *err);

/* What of files may still be opened, by a path, or removed; everything beneath one folder. */
enum sandbox_files {
	SANDBOX_FILES_NONE,
	SANDBOX_FILES_REMOVE, /* removed only: what is not a folder */
	SANDBOX_FILES_READ,   /* read and listed */
	SANDBOX_FILES_WRITE,  /* and changed, made, removed, moved; devices are not made */
};

struct sandbox_needs {
	const struct sandbox_user *user; /* to become; NULL: as before. Only for root */
	uint64_t capabilities; /* kept where they are there: 1 << CAP_…; only without a user */
	enum sandbox_files files;
	int folder_fd;   /* for files: any descriptor of the folder; -1 with SANDBOX_FILES_NONE */
	struct log *log; /* what the host lacks is told there; may be NULL */
};

/*
 * For the process's only thread. Gives up all but needs, never to be had again. What the host's
 * kernel does not have is left out and told to the log: Landlock, or rights that its version does
 * not know; what a container's own filter forbids is taken for that. What is there must work.
 * Error: -EPERM (a user, and not root), -errno of the host; part
 * of it may be given up then.
 */
EBB_MUST_CHECK int sandbox_give_up(const struct sandbox_needs *needs, struct error *err);

/*
 * On the thread itself, once sandbox_give_up has succeeded. 1: inside. 0: the host has no seccomp
 * filters, or does not let ebb have any; err holds why, and its code stays 0. -errno. A system call
 * that is not on the list fails with EPERM, and the kernel logs it. pid: of this process, which
 * each thread would have to ask the kernel for; it may signal no other's threads.
 */
EBB_MUST_CHECK int sandbox_enter(enum sandbox_thread kind, int pid, struct error *err);

/* Called by sandbox_enter, inside: nothing, but in the build that tries what is refused (make
 * probe). */
void sandbox_entered(enum sandbox_thread kind);

/* A list as the kernel takes it: instructions of classic BPF, see <linux/seccomp.h>. For tests. */
struct sock_filter;
const struct sock_filter *sandbox_filter(enum sandbox_thread kind, size_t *ret_count);

#endif
