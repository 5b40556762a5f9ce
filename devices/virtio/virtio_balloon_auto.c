/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reclaim by itself (--balloon auto): what `ebb reclaim` does, when the guest has been idle.
 *
 * DOC: every 5 s a timer looks at the CPU time that this process used, vCPUs and devices together.
 * Below 5 % of one CPU the guest counts as idle for these 5 s, and any more begins its idle time
 * anew. When it has been idle as long as the user says (30 s), the last run is 5 minutes ago, and
 * 64 MiB more of guest memory are resident than after that run, a run starts, with the default
 * reserve. Whatever is in a run's way (no driver, poison) is in its way here, without a word.
 *
 * Threads: the reclaim loop.
 */
#include "virtio_balloon_auto.h"

#include <time.h>

#include "ebb/vm.h"
#include "virtio_balloon_private.h"

#define LOOK_PERIOD_NS (5 * NS_PER_S)
#define BUSY_PERCENT   5
#define REST_NS        (300 * NS_PER_S)
#define WORTH_BYTES    (64 * MIB)

struct auto_decision auto_decide(const struct auto_view *view)
{
	struct auto_decision decision = { 0 };
	bool busy = view->cpu_ns > view->period_ns / 100 * BUSY_PERCENT;

	if (busy || view->runs || view->period_ns <= 0)
		return decision;
	decision.idle_ns = view->idle_ns + view->period_ns;
	decision.start = decision.idle_ns >= view->wanted_idle_ns && view->rest_ns >= REST_NS;
	return decision;
}

bool auto_is_worth_it(uint64_t resident_bytes, uint64_t resident_after_last_bytes)
{
	return resident_bytes > resident_after_last_bytes &&
	       resident_bytes - resident_after_last_bytes >= WORTH_BYTES;
}

static int64_t process_cpu_ns(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0)
		return 0;
	return (int64_t)used.tv_sec * NS_PER_S + used.tv_nsec;
}

static void start_if_worth_it(struct balloon *balloon, const struct balloon_run_status *last)
{
	struct reclaim *reclaim = balloon->vdev.device.vm->reclaim;
	struct error err = ERROR_INIT;
	uint64_t serial;

	balloon->auto_look.idle_ns = 0; /* looking costs something too */
	if (auto_is_worth_it(reclaim_resident_bytes(reclaim), last->resident_after_bytes))
		(void)!balloon_run_start(balloon, BALLOON_KEEP_DEFAULT, &serial, &err);
}

static void look(void *ctx)
{
	struct balloon *balloon = ctx;
	struct balloon_auto *auto_look = &balloon->auto_look;
	int64_t now_ns = monotonic_ns(), cpu_ns = process_cpu_ns();
	struct balloon_run_status last;
	struct auto_decision decision;
	struct auto_view view;

	balloon_run_query(balloon, &last);
	if (last.phase != BALLOON_RUN_IDLE)
		auto_look->run_seen_ns = now_ns;
	if (last.serial != auto_look->last_serial) {
		auto_look->last_serial = last.serial;
		auto_look->run_seen_ns = now_ns;
	}
	view = (struct auto_view){
		.period_ns = now_ns - auto_look->looked_ns,
		.cpu_ns = cpu_ns - auto_look->cpu_ns,
		.idle_ns = auto_look->idle_ns,
		.wanted_idle_ns = auto_look->wanted_idle_ns,
		.rest_ns = last.serial ? now_ns - auto_look->run_seen_ns : INT64_MAX,
		.runs = last.phase != BALLOON_RUN_IDLE,
	};
	auto_look->looked_ns = now_ns;
	auto_look->cpu_ns = cpu_ns;
	decision = auto_decide(&view);
	auto_look->idle_ns = decision.idle_ns;
	if (decision.start)
		start_if_worth_it(balloon, &last);
}

void balloon_auto_start(struct balloon *balloon)
{
	struct balloon_auto *auto_look = &balloon->auto_look;

	if (!auto_look->wanted_idle_ns ||
	    event_timer_create(balloon->vdev.loop, look, balloon, &auto_look->timer) < 0) {
		auto_look->timer = NULL;
		return;
	}
	auto_look->idle_ns = 0;
	auto_look->looked_ns = monotonic_ns();
	auto_look->cpu_ns = process_cpu_ns();
	event_timer_set(auto_look->timer, LOOK_PERIOD_NS, LOOK_PERIOD_NS);
}

void balloon_auto_stop(struct balloon *balloon)
{
	event_timer_destroy(balloon->auto_look.timer);
	balloon->auto_look.timer = NULL;
}
