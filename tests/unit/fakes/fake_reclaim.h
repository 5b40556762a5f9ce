/* SPDX-License-Identifier: Apache-2.0 */
/* An accounting in memory: stands in for src/reclaim.c (`fakes: fake_reclaim`). Releases nothing.
 */
#ifndef FAKE_RECLAIM_H
#define FAKE_RECLAIM_H

#include "ebb/reclaim.h"

struct reclaim {
	struct reclaim_stats stats; /* what reclaim_query answers */
	bool no_refill;             /* poison values are refused */
	char trace_path[64];        /* of the last trace */
	bool trace_overwrites;
	int trace_fd; /* of the last one into a descriptor */
	bool trace_is_json;
	bool trace_started; /* one that was prepared */
	uint64_t trace_limit_bytes;
};

#endif
