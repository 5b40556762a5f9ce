/* SPDX-License-Identifier: Apache-2.0 */
/* What control asks of the balloon (vm->balloon); devices/virtio/virtio_balloon.c answers. Any
 * thread. */
#ifndef EBB_BALLOON_H
#define EBB_BALLOON_H

#include "ebb/error.h"
#include "ebb/types.h"

struct balloon;

#define BALLOON_ID "balloon0" /* on the control socket; no other device is called that */

#define BALLOON_STATS_MAX 16 /* tags 0 to 15, VIRTIO 1.3, 5.5.6.3 and Linux 6.12 */

/* Free page hinting (VIRTIO 1.2, 5.5.6.5): a round at a time. DOC in
 * devices/virtio/virtio_balloon_hint.c. */
enum balloon_hint_state {
	BALLOON_HINT_IDLE,
	BALLOON_HINT_ASKED,   /* the driver has not begun */
	BALLOON_HINT_HINTING, /* it tells its free pages */
	BALLOON_HINT_DECIDING /* which of them may go */
};

struct balloon_hint_status {
	enum balloon_hint_state state;
	/* Of the round under way, or of the last one. Hinted is touched, kept, and what reclaim was
	 * handed (its source "hint"). */
	uint32_t command_id;     /* 0: there was none */
	bool sees_writes;        /* false: only pages of zeroes can be proven */
	uint64_t hinted_bytes;   /* guest-controlled, bounded by RAM: each page once */
	uint64_t ignored_bytes;  /* named out of turn, or no whole page of RAM; guest-controlled */
	uint64_t touched_bytes;  /* written since, or not to be told */
	uint64_t kept_bytes;     /* for the sake of the 2 MiB they lie in */
	uint64_t zero_bytes;     /* of what was handed on: written, but holding zeroes */
	uint64_t released_bytes; /* were resident, are no longer */
	uint64_t rounds;         /* that came to a decision, in all */
};

struct balloon_status {
	struct balloon_hint_status hint;
	uint64_t target_bytes; /* what the balloon is asked to take */
	uint64_t actual_bytes; /* what the driver says it has given; guest-controlled, bounded by
	                          RAM */
	uint64_t negotiated_features;
	bool driver_ready;
	uint32_t poison_value;
	uint64_t stats[BALLOON_STATS_MAX]; /* guest-controlled; by tag, UINT64_MAX: not told */
	int64_t stats_updated_ns;          /* monotonic; 0: never */
	uint64_t stats_interval_s;         /* 0: not polled */
};

void balloon_query(struct balloon *balloon, struct balloon_status *ret_status);

/* -EINVAL: all of RAM, or more; -ENODEV with no driver is not an error: a driver that comes finds
 * the target.
 */
EBB_MUST_CHECK int balloon_set_target(struct balloon *balloon, uint64_t target_bytes,
                                      struct error *err);

/* 0 stops. -ENOTSUP when the driver did not negotiate STATS_VQ. */
EBB_MUST_CHECK int balloon_set_stats_interval(struct balloon *balloon, uint64_t seconds,
                                              struct error *err);

/* What is done with free page reports. A report is always acknowledged; what is not released counts
 * as refused (RECLAIM_REFUSED_PAUSED). */
struct balloon_reporting {
	bool paused;
	uint64_t min_range_bytes;  /* smaller ranges are not released */
	uint64_t rate_bytes_per_s; /* what is more than that on the average is not released; 0: no
	                              limit */
};

void balloon_query_reporting(struct balloon *balloon, struct balloon_reporting *ret_reporting);
void balloon_set_reporting(struct balloon *balloon, const struct balloon_reporting *reporting);

#define BALLOON_HOLD_MAX_NS (60 * NS_PER_S)

/* How inflated pages are released. Other than the default it serves measurements alone. */
struct balloon_release {
	bool page_by_page; /* each 4 KiB page by itself, at once */
	int64_t hold_ns;   /* how long parts of huge pages wait for the rest; at most
	                      BALLOON_HOLD_MAX_NS */
};

void balloon_query_release(struct balloon *balloon, struct balloon_release *ret_release);
/* Any thread. What waits already is released now. */
void balloon_set_release(struct balloon *balloon, const struct balloon_release *release);

/*
 * A reclaim run: what the guest does not use is taken by the balloon, released, and given back to
 * the guest to use when it needs it. One at a time; DOC in devices/virtio/virtio_balloon_run.c.
 */
enum balloon_run_phase {
	BALLOON_RUN_IDLE,
	BALLOON_RUN_ASKING,    /* for statistics */
	BALLOON_RUN_INFLATING, /* what is free above the reserve is taken */
	BALLOON_RUN_DEFLATING, /* and given back */
};

enum balloon_run_end {                      /* why it let go */
	               BALLOON_RUN_DONE,    /* the guest has the reserve left free, and no more */
	               BALLOON_RUN_RESERVE, /* its free memory fell below the reserve */
	               BALLOON_RUN_ALLOCATING, /* it uses more memory than at the start */
	               BALLOON_RUN_STALLED,    /* it gives no more */
	               BALLOON_RUN_TIMEOUT,
	               BALLOON_RUN_NO_STATISTICS, /* none came */
	               BALLOON_RUN_CANCELLED,
	               BALLOON_RUN_OVERRULED,   /* balloon_set_target */
	               BALLOON_RUN_DRIVER_GONE, /* reset */
};

struct balloon_run_status { /* of the run that goes, or went last */
	uint64_t serial;    /* counts from 1; 0: there was none yet */
	enum balloon_run_phase phase;
	enum balloon_run_end end; /* from DEFLATING on */
	uint64_t keep_bytes;
	uint64_t goal_bytes;  /* what was free above the reserve at the start */
	uint64_t taken_bytes; /* by the balloon, at its largest */
	uint64_t resident_before_bytes, resident_after_bytes; /* guest memory, from the kernel */
	int64_t inflating_ns; /* until it let go; 0: it did not yet */
	int64_t duration_ns;  /* until it ended, or until now */
};

#define BALLOON_KEEP_DEFAULT UINT64_MAX

/*
 * Starts a run that leaves the guest keep_bytes of free memory; VM_EVENT_RECLAIM_ENDED tells its
 * end. -EINVAL: keep_bytes above RAM; -EBUSY: one goes already; -ENOTSUP: no driver, or one without
 * statistics, or one whose pages are written when they are freed (poison), which would bring all of
 * it back.
 */
EBB_MUST_CHECK int balloon_run_start(struct balloon *balloon, uint64_t keep_bytes,
                                     uint64_t *ret_serial, struct error *err);

/* Lets go at once, if this is the run that goes. */
void balloon_run_cancel(struct balloon *balloon, uint64_t serial);
void balloon_run_query(struct balloon *balloon, struct balloon_run_status *ret_status);

/* "done", "reserve", ...; "idle", "asking", ... */
const char *balloon_run_end_name(enum balloon_run_end end);
const char *balloon_run_phase_name(enum balloon_run_phase phase);

/*
 * Begins a round of hinting; it ends by itself. Main thread. -ENOTSUP: not offered; -ENODEV: no
 * driver that negotiated it; -EBUSY: one goes already; -ENOMEM.
 */
EBB_MUST_CHECK int balloon_hint_start(struct balloon *balloon, struct error *err);

/* Ends the round, if there is one, with nothing more released. Main thread. */
void balloon_hint_stop(struct balloon *balloon);

/* "idle", "asked", "hinting", "deciding". */
const char *balloon_hint_state_name(enum balloon_hint_state state);

/* The name of a feature bit and of a statistics tag (QEMU's names, "stat-free-memory"); NULL:
 * unknown. */
const char *balloon_feature_name(unsigned int bit);
const char *balloon_stat_name(unsigned int tag);

#endif
