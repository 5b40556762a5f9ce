/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's kernel counts of a VMM: one line a snapshot. */
#ifndef BENCH_COUNTERS_H
#define BENCH_COUNTERS_H

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define COUNTERS_VCPUS_MAX  64
#define COUNTERS_GUESTS_MAX 8

/* Keys of the line that a host may not give. */
enum counters_key {
	COUNTERS_CPU,
	COUNTERS_VCPU,
	COUNTERS_VMM,
	COUNTERS_EXITS,
	COUNTERS_SPLIT_PMD,
	COUNTERS_SPLIT_PAGE,
	COUNTERS_KEYS
};

struct counters_vcpu {
	pid_t tid;
	int schedstat_fd;
	uint64_t run_ns; /* as it last was */
};

struct counters {
	pid_t pid;
	int statm_fd, stat_fd, vmstat_fd;
	uint64_t page_kib;
	regex_t vcpu_names;
	unsigned int vcpu_count, guest_count;
	struct counters_vcpu vcpus[COUNTERS_VCPUS_MAX];
	char guests[COUNTERS_GUESTS_MAX][32]; /* names of debugfs: PID-NUMBER */
	bool known[COUNTERS_KEYS]; /* it was had once, or that it cannot be had was said */
	bool counts_calls;
	uint64_t release_calls, release_bytes;
};

/* Of a process that waits at its gate. vcpu_names is an extended regular expression. -errno after a
 * complaint; what was opened stays so until the program ends. */
int counters_open(struct counters *ret, pid_t pid, const char *vcpu_names);

/* Resident memory, by statm, which may be some pages a CPU behind. False: the process is gone. */
bool counters_rss_kib(const struct counters *counters, uint64_t *ret_kib);

/* Prints the line "bench count", and before it a line "bench lacks" for each counter that is found
 * missing. */
void counters_print(struct counters *counters, const char *time_ms, const char *name);

#endif
