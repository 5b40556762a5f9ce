/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the places of standard descriptors that are closed. */
/* Syscalls: none after set-up */
#include "standard_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

int standard_fds_fill(void)
{
	/* The wrong way round: what is not there cannot be read or written. */
	static const int modes[] = { O_WRONLY, O_RDONLY, O_RDONLY };
	struct pollfd fds[] = { { .fd = STDIN_FILENO },
		                { .fd = STDOUT_FILENO },
		                { .fd = STDERR_FILENO } };

	/* One system call for all three; it waits for nothing, and cannot fail but for memory. */
	if (poll(fds, ARRAY_SIZE(fds), 0) <= 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		/* A new descriptor has the lowest free number: this one's. */
		if (fds[i].revents & POLLNVAL && open("/dev/null", modes[i] | O_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}
