/* SPDX-License-Identifier: Apache-2.0 */
/* The trace of released batches: a bounded ring and the thread that writes it. Private to
 * src/reclaim*.c. */
#ifndef EBB_RECLAIM_TRACE_H
#define EBB_RECLAIM_TRACE_H

#include "ebb/log.h"
#include "ebb/reclaim.h"
#include "reclaim_trace_file.h"

/* Batches that wait to be written; more are merged. */
#define RECLAIM_TRACE_RING_ROWS 1024

struct reclaim_trace;

/* Takes the file, also on failure (closes it then). log is borrowed. -errno with a message. */
EBB_MUST_CHECK int reclaim_trace_start(const struct reclaim_trace_file *file, int status_fd,
                                       struct log *log, struct reclaim_trace **ret_trace,
                                       struct error *err);

/* Of one batch. Any thread, one at a time; waits for no write. At most one system call, and none
 * while the thread is busy. */
void reclaim_trace_add(struct reclaim_trace *trace, const struct reclaim_trace_row *row);

/* The file becomes no longer than that: at 0, or of a pipe that nobody sets, it has no limit; a
 * regular file has RECLAIM_TRACE_LIMIT_BYTES (ebb/reclaim.h) from the start. Any thread. */
void reclaim_trace_limit(struct reclaim_trace *trace, uint64_t limit_bytes);

/* Any thread. */
void reclaim_trace_query(struct reclaim_trace *trace, struct reclaim_trace_stats *ret_stats);

/*
 * Writes what waits, closes the file and frees the trace, in 2 s at most; NULL is a no-op. A write
 * that does not end by then is left to itself (-ETIMEDOUT).
 */
int reclaim_trace_stop(struct reclaim_trace *trace, struct reclaim_trace_stats *ret_stats);

#endif
