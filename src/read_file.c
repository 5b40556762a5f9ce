/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a part of a file whole, whatever pread returns at once. */
/* Syscalls: main: pread */
#include "read_file.h"

#include <errno.h>
#include <unistd.h>

int read_file(int fd, uint64_t offset, void *buf, size_t size_bytes)
{
	uint8_t *to = buf;

	while (size_bytes) {
		ssize_t got = pread(fd, to, size_bytes, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -EIO;
		to += got;
		offset += (uint64_t)got;
		size_bytes -= (size_t)got;
	}
	return 0;
}
