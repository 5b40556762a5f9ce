/* SPDX-License-Identifier: Apache-2.0 */
/* The trace of released batches. Private to src/reclaim*.c; one thread at a time. */
#ifndef EBB_RECLAIM_TRACE_H
#define EBB_RECLAIM_TRACE_H

#include "ebb/error.h"
#include "ebb/log.h"
#include "ebb/types.h"

struct reclaim_trace {
	int fd; /* -1: no trace */
	bool json;
	struct log *log; /* borrowed */
};

struct reclaim_trace_record {
	int64_t time_ns; /* CLOCK_MONOTONIC, at the batch's beginning */
	const char *source;
	uint64_t ranges_in, ranges_released;
	uint64_t bytes_in, bytes_released, bytes_absent, bytes_refused;
	unsigned int syscalls;
	uint64_t latency_ns;
};

void reclaim_trace_init(struct reclaim_trace *trace);
void reclaim_trace_fini(struct reclaim_trace *trace);

/* Replaces a trace that is open. Truncates the file. -errno with a message. */
EBB_MUST_CHECK int reclaim_trace_start(struct reclaim_trace *trace, const char *path,
                                       struct log *log, struct error *err);

/* A file that takes no more ends the trace, with one log line. */
void reclaim_trace_write(struct reclaim_trace *trace, const struct reclaim_trace_record *record);

#endif
