/* SPDX-License-Identifier: Apache-2.0 */
/* What memory of a VMM is its own, and what is its guest's. */
#ifndef BENCH_PRIVATE_H
#define BENCH_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct private_memory {
	uint64_t anonymous_kib; /* of its own: anonymous pages, file pages that it wrote to too */
	uint64_t file_kib;      /* of its own: pages of files that no other process maps */
	uint64_t ram_rss_kib;   /* resident guest RAM */
};

/* ram_mib: the size of guest RAM; 0 where it is not known. False: smaps cannot be read. */
bool private_read(pid_t pid, uint64_t ram_mib, struct private_memory *ret);

#endif
