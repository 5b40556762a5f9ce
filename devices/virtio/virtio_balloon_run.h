/* SPDX-License-Identifier: Apache-2.0 */
/* A reclaim run: what is decided from what is seen. Pure; DOC in virtio_balloon_run.c. */
#ifndef VIRTIO_BALLOON_RUN_H
#define VIRTIO_BALLOON_RUN_H

#include "ebb/balloon.h"

/* What the device knows at a look. The guest's own numbers may be any. */
struct run_view {
	enum balloon_run_phase phase;
	int64_t phase_ns;      /* since the phase began */
	int64_t still_ns;      /* since the balloon last changed its size */
	bool fresh;            /* there are statistics that no look had yet */
	int64_t suspected_ns;  /* since when all statistics broke a rule; 0: the last did not */
	uint64_t free_bytes;   /* the guest's, by its last statistics */
	uint64_t keep_bytes;   /* the reserve */
	uint64_t room_bytes;   /* free at the start */
	uint64_t base_bytes;   /* the target to go back to */
	uint64_t actual_bytes; /* in the balloon now */
	uint64_t asked_actual_bytes; /* in the balloon when the statistics were asked for */
	uint64_t target_bytes;       /* what the driver is asked for now */
	uint64_t ram_bytes;
};

enum run_action {
	RUN_WAIT,
	RUN_AIM,    /* set the target to target_bytes */
	RUN_HOLD,   /* as RUN_AIM; statistics are looked at with suspicion */
	RUN_LET_GO, /* release what waits, then deflate; end says why */
	RUN_FINISH, /* the run is over; end counts where there was no RUN_LET_GO before */
};

struct run_decision {
	enum run_action action;
	uint64_t target_bytes;
	enum balloon_run_end end;
};

struct run_decision run_decide(const struct run_view *view);

/* The reserve of a guest whose user names none. */
uint64_t run_default_keep(uint64_t ram_bytes);

#endif
