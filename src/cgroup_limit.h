/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this process's control groups leave it of memory and of processes. Pure: files are read
 * through the caller's function. Private to src/.
 */
#ifndef CGROUP_LIMIT_H
#define CGROUP_LIMIT_H

#include <sys/types.h>

#include "ebb/types.h"

#define CGROUP_PATH_MAX   320
#define CGROUP_LEVELS_MAX 16   /* of folders, from the process's own one upwards */
#define CGROUP_TEXT_MAX   4096 /* of a file; what is behind it is not looked at */

/* Up to size_bytes of the file into text; how many, or -errno. */
typedef ssize_t (*cgroup_read_fn)(const char *path, char *text, size_t size_bytes);

struct cgroup_limit {
	uint64_t value; /* bytes, or processes; UINT64_MAX: no limit is known, and no path */
	char path[CGROUP_PATH_MAX]; /* the file that says so, and that may be written to raise it */
};

struct cgroup_memory {
	struct cgroup_limit max;  /* above it one is ended */
	struct cgroup_limit high; /* above it one is slowed down */
};

/*
 * The limits on memory. Version 2: the lowest memory.max of the process's group and those above it
 * as far as they can be seen, and memory.high of its own; version 1: what the kernel says holds for
 * all of them. Reads 2 files where a process is in no group, 3 in a container.
 */
void cgroup_memory_limit(cgroup_read_fn read, struct cgroup_memory *ret_memory);

/* The lowest limit on processes and threads (pids.max). */
void cgroup_process_limit(cgroup_read_fn read, struct cgroup_limit *ret_limit);

#endif
