/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that serves a folder: what it gives up, and its loop.
 *
 * DOC: ebb's first packet brings the folder's descriptor; beside that, the socket, and
 * /proc/self/fd there is nothing this process holds. It answers once that it is ready, inside of
 * its sandbox, or why it is not. Then packets are requests, one after the other, until ebb closes
 * its end, which the kernel does when ebb is killed.
 *
 * Where root runs ebb, what is kept of root's rights is what the folder takes: reading anything for
 * a share that is read-only; for one that is written also writing anything, owners and modes, and
 * to be another user while a file is made. SECBIT_NO_SETUID_FIXUP is what lets that user's number
 * be taken without losing the rights over files, which a file system of another user's would need.
 *
 * Where another user runs ebb, or root's ebb becomes one (--user), the share can do what that user
 * can.
 *
 * Syscalls: share: recvfrom sendto nanosleep munmap brk exit_group
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ebb/sandbox.h"
#include "share_private.h"

#define FAILED_STATUS 125
#define SEND_TRIES    500 /* five seconds */
#define SEND_PAUSE_NS (10 * NS_PER_MS)
#define CAP(name)     (UINT64_C(1) << CAP_##name)
#define READING_CAPS  CAP(DAC_READ_SEARCH)
#define WRITING_CAPS \
	(CAP(DAC_OVERRIDE) | CAP(CHOWN) | CAP(FOWNER) | CAP(FSETID) | CAP(SETUID) | CAP(SETGID))

struct process {
	int fd;
	struct share_server *server;
	uint8_t request[SHARE_MESSAGE_MAX_BYTES], reply[SHARE_MESSAGE_MAX_BYTES];
};

/* The folder, as a descriptor; -errno. */
static int receive_setup(int fd, struct share_setup_message *ret_setup, struct error *err)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec segment = { .iov_base = ret_setup, .iov_len = sizeof(*ret_setup) };
	struct msghdr message = { .msg_iov = &segment,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
	int folder_fd;

	if (got < 0)
		return error_set_errno(err, -errno,
		                       SHARE_SERVER_COMMAND ", which ebb starts for itself");
	if (got != (ssize_t)sizeof(*ret_setup) || ret_setup->magic != SHARE_SETUP_MAGIC || !head ||
	    head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int)))
		return error_set(err, -EPROTO,
		                 SHARE_SERVER_COMMAND
		                 ", which ebb starts for itself: no folder came");
	memcpy(&folder_fd, CMSG_DATA(head), sizeof(folder_fd));
	return folder_fd;
}

/* How many fids the host's limit on descriptors leaves; root raises it. */
static unsigned int raise_descriptors(void)
{
	const rlim_t wanted = SHARE_FIDS_MAX + SHARE_SPARE_FDS;
	struct rlimit limit = { .rlim_cur = wanted, .rlim_max = wanted };

	if (setrlimit(RLIMIT_NOFILE, &limit) && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = min_u64(limit.rlim_max, wanted);
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < SHARE_FIDS_MIN + SHARE_SPARE_FDS)
		return SHARE_FIDS_MIN;
	return (unsigned int)min_u64(limit.rlim_cur - SHARE_SPARE_FDS, SHARE_FIDS_MAX);
}

static bool can_set_owner(const struct share_setup_message *setup)
{
	int bits = prctl(PR_GET_SECUREBITS);

	return !setup->readonly && !setup->becomes_user && geteuid() == 0 && bits >= 0 &&
	       prctl(PR_SET_SECUREBITS, (unsigned long)bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0;
}

/* From here on this process has its folder, its socket and nothing else. */
static int confine(const struct share_server *server, const struct share_setup_message *setup,
                   struct error *err)
{
	const struct sandbox_user user = { .uid = setup->uid, .gid = setup->gid };
	const struct sandbox_needs needs = {
		.user = setup->becomes_user ? &user : NULL,
		.capabilities = setup->becomes_user ? 0
		                : setup->readonly   ? READING_CAPS
		                                    : READING_CAPS | WRITING_CAPS,
		.files = setup->readonly ? SANDBOX_FILES_READ : SANDBOX_FILES_WRITE,
		.folder_fd = server->root_fd,
	};
	int ret = sandbox_give_up(&needs, err);

	if (!ret)
		ret = sandbox_enter(SANDBOX_SHARE, getpid(), err);
	return ret < 0 ? ret : 0;
}

static int set_up(struct process *process, struct error *err)
{
	struct share_setup_message setup;
	struct share_server_options options;
	int ret, folder_fd = receive_setup(process->fd, &setup, err);

	if (folder_fd < 0)
		return folder_fd;
	(void)prctl(PR_SET_NAME, "ebb-share");
	(void)signal(SIGXFSZ, SIG_IGN); /* a file too long for a limit of the host's: EFBIG */
	(void)umask(0);
	options = (struct share_server_options){
		.folder_fd = folder_fd,
		.readonly = setup.readonly,
		.sets_owner = can_set_owner(&setup),
		.fids_max = raise_descriptors(),
	};
	ret = share_server_create(&options, &process->server, err);
	if (ret || !setup.sandbox)
		return ret;
	return confine(process->server, &setup, err);
}

/* A host that is short of memory may have some soon. */
static int send_packet(int fd, const void *bytes, size_t size_bytes)
{
	const struct timespec pause = { .tv_nsec = SEND_PAUSE_NS };
	unsigned int tries = 0;

	while (send(fd, bytes, size_bytes, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		if ((errno != ENOBUFS && errno != ENOMEM) || ++tries == SEND_TRIES)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int tell_ready(int fd, const struct error *err)
{
	struct share_ready_message message = { .error = err->code };

	memcpy(message.text, err->message, sizeof(message.text));
	return send_packet(fd, &message, sizeof(message));
}

/* Until the other end is closed: 0, or -errno of the socket. */
static int serve(struct process *process)
{
	for (;;) {
		ssize_t got = recv(process->fd, process->request, sizeof(process->request), 0);
		size_t reply_bytes;
		int ret;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : 0;
		reply_bytes = share_server_answer(process->server, process->request, (size_t)got,
		                                  process->reply);
		ret = send_packet(process->fd, process->reply, reply_bytes);
		if (ret)
			return ret == -EPIPE ? 0 : ret;
	}
}

int share_server_main(int argc, char **argv, struct error *err)
{
	struct process *process = calloc(1, sizeof(*process));
	char *end = NULL;
	long fd = argc > 1 ? strtol(argv[1], &end, 10) : -1;
	int ret;

	if (!process) {
		error_set_errno(err, -ENOMEM, "state");
		return FAILED_STATUS;
	}
	process->fd = end && end != argv[1] && !*end && fd > STDERR_FILENO ? (int)fd : -1;
	ret = set_up(process, err);
	if (ret == 0) {
		ret = tell_ready(process->fd, err);
		if (!ret)
			ret = serve(process);
	} else if (tell_ready(process->fd, err) == 0) {
		*err = (struct error)ERROR_INIT; /* it is told there */
	}
	share_server_destroy(process->server);
	free(process);
	return ret ? FAILED_STATUS : 0;
}
