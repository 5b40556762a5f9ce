/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reclaim on command: a run, carried out.
 *
 * DOC: what is decided is virtio_balloon_run.c's; here is what is looked at and done. A timer looks
 * every 10 ms while a run goes: it asks the driver for statistics as often as it answers, hands
 * what is known to run_decide, and does what that says.
 *
 * A run asks the driver for another size than the user did (asked_pages, not target_pages), so
 * that whoever queries sees the user's target, and what a run leaves behind is that one. A target
 * that is set meanwhile ends the run at once: it counts. So does a driver that goes.
 *
 * Threads: start, cancel and query anywhere; all else on the reclaim loop. The status and what is
 * asked of a run are under the device lock.
 */
#include <errno.h>

#include "ebb/vm.h"
#include "virtio_balloon_private.h"
#include "virtio_balloon_run.h"

#define LOOK_PERIOD_NS (10 * NS_PER_MS)

static bool goes(const struct balloon_run *run)
{
	return run->status.phase != BALLOON_RUN_IDLE;
}

static void enter(struct balloon *balloon, enum balloon_run_phase phase)
{
	struct balloon_run *run = &balloon->run;

	run->phase_started_ns = run->moved_ns = monotonic_ns();
	run->suspected_since_ns = 0;
	pthread_mutex_lock(&balloon->vdev.lock);
	run->status.phase = phase;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

static void set_end(struct balloon *balloon, enum balloon_run_end end)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->run.status.end = end;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

static void finish(struct balloon *balloon)
{
	struct balloon_run *run = &balloon->run;
	struct vm *vm = balloon->vdev.device.vm;
	uint64_t resident_bytes = reclaim_resident_bytes(vm->reclaim);
	uint64_t before_bytes;

	if (run->timer)
		event_timer_cancel(run->timer);
	pthread_mutex_lock(&balloon->vdev.lock);
	run->status.resident_after_bytes = resident_bytes;
	run->status.duration_ns = monotonic_ns() - run->started_ns;
	run->status.phase = BALLOON_RUN_IDLE;
	before_bytes = run->status.resident_before_bytes;
	pthread_mutex_unlock(&balloon->vdev.lock);
	vm_emit(vm, VM_EVENT_RECLAIM_ENDED, before_bytes - min_u64(resident_bytes, before_bytes));
}

/* From here on the guest gets its memory back, whatever happens. */
static void let_go(struct balloon *balloon, enum balloon_run_end end)
{
	uint64_t target_bytes;

	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->run.status.end = end;
	balloon->run.status.inflating_ns = monotonic_ns() - balloon->run.started_ns;
	target_bytes = balloon->target_pages * PAGE_4K_BYTES;
	pthread_mutex_unlock(&balloon->vdev.lock);
	balloon_release_deferred(balloon);
	enter(balloon, BALLOON_RUN_DEFLATING);
	(void)balloon_aim(balloon, target_bytes);
}

/* --- looking --- */

struct orders { /* what came from outside since the last look */
	bool cancelled, overruled;
};

/* What is there to see. */
static struct run_view take_view(struct balloon *balloon, struct orders *ret_orders)
{
	struct balloon_run *run = &balloon->run;
	int64_t now_ns = monotonic_ns();
	struct run_view view;
	int64_t updated_ns;
	uint64_t taken_bytes;

	pthread_mutex_lock(&balloon->vdev.lock);
	view = (struct run_view){
		.phase = run->status.phase,
		.free_bytes = balloon->stats[VIRTIO_BALLOON_S_MEMFREE],
		.keep_bytes = run->status.keep_bytes,
		.room_bytes = run->room_bytes,
		.base_bytes = balloon->target_pages * PAGE_4K_BYTES,
		.actual_bytes = balloon_actual_bytes(balloon),
		.target_bytes = balloon->asked_pages * PAGE_4K_BYTES,
		.ram_bytes = balloon->ram_bytes,
	};
	updated_ns = balloon->stats_updated_ns;
	*ret_orders = (struct orders){ run->cancelled, run->overruled };
	taken_bytes = view.actual_bytes - min_u64(view.base_bytes, view.actual_bytes);
	run->status.taken_bytes = max_u64(run->status.taken_bytes, taken_bytes);
	pthread_mutex_unlock(&balloon->vdev.lock);
	if (view.actual_bytes != run->last_actual_bytes)
		run->moved_ns = now_ns;
	run->last_actual_bytes = view.actual_bytes;
	view.phase_ns = now_ns - run->phase_started_ns;
	view.still_ns = now_ns - run->moved_ns;
	view.suspected_ns = run->suspected_since_ns ? now_ns - run->suspected_since_ns : 0;
	view.asked_actual_bytes = run->asked_actual_bytes;
	view.fresh = updated_ns > run->statistics_seen_ns && view.free_bytes != UINT64_MAX;
	if (view.fresh)
		run->statistics_seen_ns = updated_ns;
	return view;
}

static void begin_inflating(struct balloon *balloon, const struct run_view *view)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	balloon->run.room_bytes = view->free_bytes;
	balloon->run.status.goal_bytes =
		view->free_bytes - min_u64(view->keep_bytes, view->free_bytes);
	pthread_mutex_unlock(&balloon->vdev.lock);
	enter(balloon, BALLOON_RUN_INFLATING);
}

static void act(struct balloon *balloon, const struct run_view *view,
                const struct run_decision *decision)
{
	switch (decision->action) {
	case RUN_AIM:
	case RUN_HOLD:
		if (view->phase == BALLOON_RUN_ASKING)
			begin_inflating(balloon, view);
		if (decision->action == RUN_AIM)
			balloon->run.suspected_since_ns = 0;
		else if (!balloon->run.suspected_since_ns)
			balloon->run.suspected_since_ns = monotonic_ns();
		if (decision->target_bytes != view->target_bytes)
			(void)balloon_aim(balloon, decision->target_bytes);
		return;
	case RUN_LET_GO:
		let_go(balloon, decision->end);
		return;
	case RUN_FINISH:
		if (view->phase == BALLOON_RUN_ASKING)
			set_end(balloon, decision->end);
		finish(balloon);
		return;
	case RUN_WAIT:
	default:
		return;
	}
}

static void look(void *ctx)
{
	struct balloon *balloon = ctx;
	struct run_decision decision;
	struct orders orders;
	struct run_view view = take_view(balloon, &orders);

	if (view.phase == BALLOON_RUN_IDLE)
		return;
	if (orders.overruled) {
		if (view.phase != BALLOON_RUN_DEFLATING)
			set_end(balloon, BALLOON_RUN_OVERRULED);
		finish(balloon);
		return;
	}
	decision = run_decide(&view);
	if (orders.cancelled && view.phase == BALLOON_RUN_INFLATING)
		decision = (struct run_decision){ RUN_LET_GO, 0, BALLOON_RUN_CANCELLED };
	if (orders.cancelled && view.phase == BALLOON_RUN_ASKING)
		decision = (struct run_decision){ RUN_FINISH, 0, BALLOON_RUN_CANCELLED };
	act(balloon, &view, &decision);
	if (balloon_ask_for_stats(balloon))
		balloon->run.asked_actual_bytes = view.actual_bytes;
}

/* --- life --- */

static void begin(void *ctx)
{
	struct balloon *balloon = ctx;
	struct balloon_run *run = &balloon->run;
	uint64_t resident_bytes = reclaim_resident_bytes(balloon->vdev.device.vm->reclaim);

	pthread_mutex_lock(&balloon->vdev.lock);
	run->status.resident_before_bytes = resident_bytes;
	run->last_actual_bytes = run->asked_actual_bytes = balloon_actual_bytes(balloon);
	pthread_mutex_unlock(&balloon->vdev.lock);
	run->statistics_seen_ns = monotonic_ns();
	enter(balloon, BALLOON_RUN_ASKING);
	if (!run->timer && event_timer_create(balloon->vdev.loop, look, balloon, &run->timer) < 0) {
		run->timer = NULL;
		set_end(balloon, BALLOON_RUN_NO_STATISTICS);
		finish(balloon);
		return;
	}
	(void)balloon_ask_for_stats(balloon);
	event_timer_set(run->timer, LOOK_PERIOD_NS, LOOK_PERIOD_NS);
}

void balloon_run_init(struct balloon *balloon, struct event_loop *loop)
{
	event_work_init(&balloon->run.begin, loop, begin, balloon);
}

void balloon_run_fini(struct balloon *balloon)
{
	event_work_cancel(&balloon->run.begin);
	event_timer_destroy(balloon->run.timer);
	balloon->run.timer = NULL;
}

void balloon_run_driver_gone(struct balloon *balloon)
{
	bool went;

	event_work_cancel(&balloon->run.begin);
	pthread_mutex_lock(&balloon->vdev.lock);
	went = goes(&balloon->run);
	if (went && balloon->run.status.phase != BALLOON_RUN_DEFLATING)
		balloon->run.status.end = BALLOON_RUN_DRIVER_GONE;
	pthread_mutex_unlock(&balloon->vdev.lock);
	if (!went)
		return;
	balloon_aim_at_target(balloon);
	finish(balloon);
}

/* --- balloon.h --- */

/* Why there can be no run now. Under the device lock. */
static int check_start(const struct balloon *balloon, uint64_t keep_bytes, struct error *err)
{
	const struct virtio_device *vdev = &balloon->vdev;

	if (keep_bytes > balloon->ram_bytes)
		return error_set(
			err, -EINVAL,
			"reclaim: a reserve of %llu MiB: more than the guest's memory (keep "
			"up to %llu MiB)",
			(unsigned long long)(keep_bytes / MIB),
			(unsigned long long)(balloon->ram_bytes / MIB));
	if (goes(&balloon->run))
		return error_set(err, -EBUSY, "reclaim: one is under way (wait until it ends)");
	if (!balloon_driver_ready(balloon))
		return error_set(err, -ENOTSUP,
		                 "reclaim: the guest has no balloon driver (load virtio_balloon)");
	if (!virtio_has_feature(vdev, VIRTIO_BALLOON_F_STATS_VQ))
		return error_set(err, -ENOTSUP,
		                 "reclaim: the guest's balloon driver does not tell statistics");
	if (virtio_has_feature(vdev, VIRTIO_BALLOON_F_PAGE_POISON))
		return error_set(
			err, -ENOTSUP,
			"reclaim: this guest writes every page that it frees (page_poison=1 or "
			"init_on_free=1), so what it takes back from the balloon would be "
			"resident again (leave it to free page reporting, or set a balloon size)");
	return 0;
}

int balloon_run_start(struct balloon *balloon, uint64_t keep_bytes, uint64_t *ret_serial,
                      struct error *err)
{
	struct balloon_run *run = &balloon->run;
	int r;

	pthread_mutex_lock(&balloon->vdev.lock);
	if (keep_bytes == BALLOON_KEEP_DEFAULT)
		keep_bytes = min_u64(run_default_keep(balloon->ram_bytes), balloon->ram_bytes);
	r = check_start(balloon, keep_bytes, err);
	if (!r) {
		run->status = (struct balloon_run_status){
			.serial = run->status.serial + 1,
			.phase = BALLOON_RUN_ASKING,
			.keep_bytes = keep_bytes,
		};
		run->started_ns = monotonic_ns();
		run->cancelled = run->overruled = false;
		*ret_serial = run->status.serial;
	}
	pthread_mutex_unlock(&balloon->vdev.lock);
	if (!r)
		event_work_post(&run->begin);
	return r;
}

void balloon_run_cancel(struct balloon *balloon, uint64_t serial)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	if (serial == balloon->run.status.serial)
		balloon->run.cancelled = true;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

void balloon_run_query(struct balloon *balloon, struct balloon_run_status *ret_status)
{
	pthread_mutex_lock(&balloon->vdev.lock);
	*ret_status = balloon->run.status;
	if (goes(&balloon->run))
		ret_status->duration_ns = monotonic_ns() - balloon->run.started_ns;
	pthread_mutex_unlock(&balloon->vdev.lock);
}

const char *balloon_run_end_name(enum balloon_run_end end)
{
	static const char *const names[] = {
		[BALLOON_RUN_DONE] = "done",
		[BALLOON_RUN_RESERVE] = "reserve",
		[BALLOON_RUN_ALLOCATING] = "guest-allocates",
		[BALLOON_RUN_STALLED] = "stalled",
		[BALLOON_RUN_TIMEOUT] = "timeout",
		[BALLOON_RUN_NO_STATISTICS] = "no-statistics",
		[BALLOON_RUN_CANCELLED] = "cancelled",
		[BALLOON_RUN_OVERRULED] = "balloon-set",
		[BALLOON_RUN_DRIVER_GONE] = "driver-gone",
	};

	return names[end];
}

const char *balloon_run_phase_name(enum balloon_run_phase phase)
{
	static const char *const names[] = {
		[BALLOON_RUN_IDLE] = "idle",
		[BALLOON_RUN_ASKING] = "asking",
		[BALLOON_RUN_INFLATING] = "inflating",
		[BALLOON_RUN_DEFLATING] = "deflating",
	};

	return names[phase];
}
