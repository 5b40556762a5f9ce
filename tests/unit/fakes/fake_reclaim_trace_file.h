/* SPDX-License-Identifier: Apache-2.0 */
/* A trace's file in memory, which can be full, slow or hang. */
#ifndef FAKE_RECLAIM_TRACE_FILE_H
#define FAKE_RECLAIM_TRACE_FILE_H

#include <pthread.h>

#include "../../../src/reclaim_trace_file.h"

/* A test locks `lock` around what it reads or steers while the trace runs. */
struct fake_reclaim_trace_file {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Seen: */
	struct reclaim_trace_row rows[8192]; /* whole, in order, samples too */
	size_t row_count;
	size_t text_bytes; /* rows are sizeof(struct reclaim_trace_row) of text each */
	unsigned int writes, cuts, closes;
	/* Steered: */
	size_t room_bytes; /* what is behind it is ENOSPC */
	bool hangs;        /* a write does not return until this is false */
};

extern struct fake_reclaim_trace_file fake_reclaim_trace_file;

void fake_reclaim_trace_file_reset(void);

#endif
