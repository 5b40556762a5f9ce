/* SPDX-License-Identifier: Apache-2.0 */
/* How many descriptors the test has open, to find those that somebody left. */
#ifndef OPEN_FDS_H
#define OPEN_FDS_H

#include <dirent.h>
#include <stdlib.h>

static inline unsigned int open_fd_count(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned int count = 0;

	if (!folder)
		abort();
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

#endif
