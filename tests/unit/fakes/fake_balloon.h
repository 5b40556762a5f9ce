/* SPDX-License-Identifier: Apache-2.0 */
/* A balloon in memory: stands in for devices/virtio/virtio_balloon.c (`fakes: fake_balloon`). */
#ifndef FAKE_BALLOON_H
#define FAKE_BALLOON_H

#include "ebb/balloon.h"

struct balloon {
	struct balloon_status status; /* what balloon_query answers; the setters write it */
	uint64_t ram_bytes;           /* a target above is refused; 0: none is */
	int result;                   /* what the setters answer instead, when not 0 */
	struct balloon_run_status run;
	unsigned int run_cancelled;
	unsigned int hint_starts, hint_stops;
	struct balloon_reporting reporting;
	struct balloon_release release;
};

#endif
