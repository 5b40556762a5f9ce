/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a trace: its rows as text, and its end kept whole. Private to src/reclaim*.c; one
 * thread at a time. */
#ifndef EBB_RECLAIM_TRACE_FILE_H
#define EBB_RECLAIM_TRACE_FILE_H

#include <sys/types.h>

#include "ebb/error.h"
#include "ebb/reclaim.h"

#define RECLAIM_TRACE_ROW_MAX_BYTES 1024 /* 22 numbers of 20 digits, and their names */

struct reclaim_trace_row {
	int64_t time_ns; /* CLOCK_MONOTONIC, at the batch's beginning */
	enum reclaim_source source;
	uint64_t batches; /* that the row stands for; 0: none, it tells resident_bytes */
	bool at_limit;    /* batches 0: the last row, as the file is as long as it may be */
	uint64_t ranges_in, bytes_in;
	struct reclaim_outcome outcome;
	uint64_t errors;
	uint64_t latency_ns;     /* of the longest batch */
	uint64_t resident_bytes; /* of the process at time_ns; not of batches */
};

struct reclaim_trace_file {
	int fd;
	bool json;
	bool regular;         /* can be cut */
	uint64_t whole_bytes; /* of its beginning, that is whole rows */
};

/*
 * Opens path and writes the head. It may exist where overwrite is true, and is emptied; else
 * -EEXIST. JSON lines where it ends in .jsonl or .json. A pipe needs its reader first (-ENXIO);
 * devices and sockets are refused (-EINVAL). Waits 2 s at most (-ETIMEDOUT). -errno with a message.
 */
EBB_MUST_CHECK int reclaim_trace_file_open(const char *path, bool overwrite,
                                           struct reclaim_trace_file *ret_file, struct error *err);
void reclaim_trace_file_close(struct reclaim_trace_file *file);

/* A copy of fd, emptied where it is a regular file, with the head written; as JSON lines or not.
 * fd stays the caller's. -errno with a message. */
EBB_MUST_CHECK int reclaim_trace_file_take(int fd, bool json, struct reclaim_trace_file *ret_file,
                                           struct error *err);

/* One line. Its length. */
size_t reclaim_trace_file_format(const struct reclaim_trace_file *file,
                                 const struct reclaim_trace_row *row,
                                 char line[RECLAIM_TRACE_ROW_MAX_BYTES]);

/* As write(2): what was taken, or -errno (-EAGAIN: the reader of a pipe is slow). */
EBB_MUST_CHECK ssize_t reclaim_trace_file_write(struct reclaim_trace_file *file, const char *text,
                                                size_t size_bytes);

/* What was written so far ends with a whole row. */
void reclaim_trace_file_mark(struct reclaim_trace_file *file, uint64_t size_bytes);

/* Takes back, where the file can be cut, what was written behind the last mark. */
void reclaim_trace_file_cut(struct reclaim_trace_file *file);

#endif
