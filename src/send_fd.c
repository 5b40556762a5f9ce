/* SPDX-License-Identifier: Apache-2.0 */
/* Handing a descriptor over.
 *
 * Syscalls: none after set-up
 */
#include "ebb/send_fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int send_with_fd(int socket_fd, const void *bytes, size_t size_bytes, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec segment = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size_bytes };
	struct msghdr message = { .msg_iov = &segment,
		                  .msg_iovlen = 1,
		                  .msg_control = &control,
		                  .msg_controllen = sizeof(control) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	return sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
