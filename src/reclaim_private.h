/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's state, for src/reclaim.c and what is asked of it. Private to src/reclaim*.c. */
#ifndef EBB_RECLAIM_PRIVATE_H
#define EBB_RECLAIM_PRIVATE_H

#include <pthread.h>

#include "reclaim_look.h"
#include "reclaim_pieces.h"
#include "reclaim_trace.h"

struct reclaim {
	struct guest_memory *memory;
	struct gmem_listener listener;
	pthread_mutex_t lock; /* the batch lock: everything below */
	struct reclaim_regions regions;
	unsigned int inhibit_count;
	struct reclaim_source_stats stats[RECLAIM_SOURCE_COUNT];
	struct metric_histogram latency[RECLAIM_SOURCE_COUNT];
	uint64_t deferred_range_count; /* came since something deferred was last released */
	uint32_t poison_value;         /* see reclaim_set_poison */
	bool lazy;                     /* see reclaim_set_lazy */
	struct reclaim_trace *trace;   /* NULL: none */
	struct reclaim_trace_stats trace_stats; /* of the last one */
	struct reclaim_pieces pieces;
	int status_fd;                      /* see reclaim_host_status_open; -1: opened each time */
	bool refill_is_opened;              /* see reclaim_open_files */
	struct refill_opened refill_opened; /* then, until it is used */
	struct reclaim_trace_file prepared_trace; /* fd -1: none */
};

/* The shared lock of guest memory, and then the batch lock. */
void reclaim_lock(struct reclaim *reclaim);
void reclaim_unlock(struct reclaim *reclaim);

#endif
