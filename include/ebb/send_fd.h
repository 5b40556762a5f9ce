/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor handed to another process, over a UNIX socket. */
#ifndef EBB_SEND_FD_H
#define EBB_SEND_FD_H

#include "ebb/types.h"

/* One message, of at least a byte, with fd (SCM_RIGHTS), which stays the caller's. Any thread. 0 or
 * -errno of sendmsg: -EPIPE without a signal where nobody is there. */
EBB_MUST_CHECK int send_with_fd(int socket_fd, const void *bytes, size_t size_bytes, int fd);

#endif
