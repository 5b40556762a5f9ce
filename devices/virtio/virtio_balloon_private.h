/* SPDX-License-Identifier: Apache-2.0 */
/* What the rooms of virtio-balloon share; DOC in virtio_balloon.c. */
#ifndef VIRTIO_BALLOON_PRIVATE_H
#define VIRTIO_BALLOON_PRIVATE_H

#include <linux/virtio_balloon.h>
#include <pthread.h>

#include "ebb/balloon.h"
#include "ebb/bytes.h"
#include "ebb/pressure.h"
#include "ebb/reclaim.h"
#include "ebb/virtio.h"
#include "ebb/vm.h"

#define BALLOON_QUEUE_SIZE   128 /* Linux refuses to report to fewer than 32 */
#define BALLOON_CHAINS_MAX   BALLOON_QUEUE_SIZE
#define BALLOON_RANGES_MAX   4096
#define STATS_INTERVAL_MAX_S UINT32_MAX
#define BALLOON_HOLD_NS      (10 * NS_PER_S) /* why this long: virtio_balloon_pages.c */

#define BALLOON_CONFIG_OFFSET(field) offsetof(struct virtio_balloon_config, field)

enum queue_role {
	ROLE_INFLATE,
	ROLE_DEFLATE,
	ROLE_STATS,
	ROLE_HINTING,
	ROLE_REPORTING,
	ROLE_COUNT,
	ROLE_NONE = ROLE_COUNT
};

struct report_bucket { /* virtio_balloon_report.c's: what may be released now */
	int64_t bytes; /* below 0: more was released than should have been */
	int64_t filled_ns;
};

struct balloon_auto {              /* virtio_balloon_auto.c's; on the reclaim loop */
	int64_t wanted_idle_ns;    /* 0: off */
	struct event_timer *timer; /* NULL: no driver */
	int64_t looked_ns, cpu_ns, idle_ns, run_seen_ns;
	uint64_t last_serial;
};

struct balloon_run { /* virtio_balloon_reclaim.c's */
	/* Under the device lock: */
	struct balloon_run_status status;
	int64_t started_ns;
	bool cancelled, overruled;
	/* On the reclaim loop: */
	struct event_timer *timer; /* NULL until it is needed */
	struct event_work begin;
	int64_t phase_started_ns, moved_ns, statistics_seen_ns;
	int64_t suspected_since_ns; /* 0: not suspected */
	uint64_t last_actual_bytes, asked_actual_bytes, room_bytes;
};

struct balloon_hint { /* virtio_balloon_hint.c's */
	/* Under the device lock: */
	struct balloon_hint_status status; /* written on the reclaim loop */
	uint32_t shown_id;                 /* free_page_hint_cmd_id */
	/* On the reclaim loop: */
	bool accepting;         /* the driver said the command id, and not yet that it stops */
	struct page_map *pages; /* hinted; NULL: no round */
	struct page_proof *proof;
	struct event_timer *timer; /* NULL until it is needed */
	struct vm_quiet quiet;
	size_t region_index; /* where the decision goes on */
	gpa_t next_gpa;
};

struct balloon {
	struct virtio_device vdev;
	struct balloon_hint hint;
	struct vm_listener listener;
	uint32_t start_target_pages; /* what a reset goes back to */
	pthread_mutex_t target_lock; /* one new target at a time; taken before the device lock */
	/* Under the device lock: */
	uint64_t ram_bytes;    /* what the guest has, plugged memory included */
	uint32_t target_pages; /* what the user wants */
	uint32_t asked_pages;  /* num_pages: the same, but for a run on its way */
	uint64_t stats[BALLOON_STATS_MAX];
	int64_t stats_updated_ns;
	uint64_t stats_interval_s;
	struct balloon_reporting reporting;
	struct balloon_release release;
	/* On the reclaim loop: */
	struct event_timer *stats_timer;    /* NULL until it is needed */
	struct event_timer *deferred_timer; /* NULL: nothing is put off */
	bool complete_released;             /* what waits are parts */
	struct pressure_watch *pressure;    /* from the first driver that may wait; NULL: none */
	bool pressure_tried;
	int pressure_fd; /* see pressure_open; -1: opened when it is needed */
	struct report_bucket report_bucket;
	struct event_work interval_changed, another_turn, release_changed;
	unsigned int another_turn_queues; /* a bit a queue */
	bool stats_chain_held;
	struct virtq_chain stats_chain;
	uint32_t poison_taken; /* what the engine was told */
	bool keeps_reports;    /* it cannot refill */
	bool poison_told;
	struct virtq_chain chains[BALLOON_CHAINS_MAX]; /* popped, not yet pushed */
	size_t chain_count;
	struct reclaim_range ranges[BALLOON_RANGES_MAX];
	size_t range_count, turn_range_count;
	struct balloon_run run;
	struct balloon_auto auto_look;
};

/* --- virtio_balloon.c --- */

/* The queue's turn is over before the queue was empty: another is asked for, behind what else waits
 * on the loop. */
void balloon_ask_for_another_turn(struct balloon *balloon, unsigned int queue_index);

/* Under the device lock; any field of struct virtio_balloon_config. */
uint32_t balloon_config_load(const struct balloon *balloon, size_t offset);

/* What the guest has, plugged memory included. Takes the device lock. */
uint64_t balloon_ram_bytes(struct balloon *balloon);

/* Under the device lock; by the driver's word, at most RAM. */
uint64_t balloon_actual_bytes(const struct balloon *balloon);

/* Asks the driver for another size than the user did, as a run does; false: the user has set a new
 * target meanwhile, and that one counts. Without the device lock. */
bool balloon_aim(struct balloon *balloon, uint64_t target_bytes);

/* The driver is not there any more, so what it is asked for is what the user wants. Without the
 * device lock; tells nobody. */
void balloon_aim_at_target(struct balloon *balloon);

/* 0 where the device has no such field. Takes the device lock. */
uint32_t balloon_poison_value(struct balloon *balloon);

/* Under the device lock. */
bool balloon_driver_ready(const struct balloon *balloon);

/* --- virtio_balloon_pages.c: inflate, deflate, and the batch that they share with reporting; on
 * the reclaim loop --- */

/* A turn of any of the three queues. */
void balloon_serve_pages(struct balloon *balloon, enum queue_role role, unsigned int queue_index);

/* Adds to the batch, which is released as often as it fills and at the turn's end. */
void balloon_add_range(struct balloon *balloon, enum queue_role role, gpa_t gpa,
                       uint64_t size_bytes);

/* Releases all that was put off: a timer's and anyone's function. */
void balloon_release_deferred(void *ctx);

/* The driver came, and may be made to wait; it goes. */
void balloon_start_deferring(struct balloon *balloon);
void balloon_stop_deferring(struct balloon *balloon);

/* --- virtio_balloon_report.c; on the reclaim loop --- */

/* The driver is ready, or gone: its poison becomes the engine's. */
void balloon_take_poison(struct balloon *balloon);

/* A report: its ranges go into the batch, or are refused and counted. */
void balloon_gather_report(struct balloon *balloon, const struct virtq_chain *chain);

/* --- virtio_balloon_hint.c --- */

void balloon_hint_init(struct balloon *balloon, struct vm *vm); /* set-up */
void balloon_hint_fini(struct balloon *balloon); /* main thread; the driver is gone */

/* On the reclaim loop: */
void balloon_serve_hints(struct balloon *balloon, unsigned int queue_index);
void balloon_hint_driver_gone(struct balloon *balloon);

/* --- virtio_balloon_stats.c --- */

void balloon_serve_stats(struct balloon *balloon, unsigned int queue_index); /* reclaim loop */

/* The interval changed, or the driver came or goes. Work and function of the reclaim loop. */
void balloon_apply_stats_interval(void *ctx);

/* Asks the driver for new figures; false: it was asked already. On the reclaim loop. */
bool balloon_ask_for_stats(struct balloon *balloon);

/* Nothing was told yet. Under the device lock. */
void balloon_forget_stats(struct balloon *balloon);

/* --- virtio_balloon_reclaim.c --- */

void balloon_run_init(struct balloon *balloon, struct event_loop *loop);
void balloon_run_fini(struct balloon *balloon);

/* The driver goes, and a run with it. On the reclaim loop. */
void balloon_run_driver_gone(struct balloon *balloon);

/* --- virtio_balloon_auto.c: the driver came, and goes; on the reclaim loop --- */

void balloon_auto_start(struct balloon *balloon);
void balloon_auto_stop(struct balloon *balloon);

#endif
