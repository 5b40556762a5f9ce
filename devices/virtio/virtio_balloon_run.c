/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reclaim run's decisions: how far the balloon goes, and when it lets go.
 *
 * DOC: a run gives the memory back that the guest does not use now, and leaves the guest with all
 * of it at its disposal:
 *
 *   IDLE -> ASKING -> INFLATING -> DEFLATING -> IDLE
 *
 *   ASKING     fresh statistics are on their way
 *   INFLATING  the balloon takes what is free above the reserve
 *   DEFLATING  what waited is released, the target is the one from before, the guest takes back
 *
 * What counts as not used is the guest's free memory, not what it calls available: that holds its
 * page cache as well, which it would have to read from its disks again. Its kernel keeps a few
 * percent free for itself and reclaims its cache below that, so the default reserve is the larger
 * of 64 MiB and a twentieth of RAM.
 *
 * The driver takes as fast as it can, and the statistics are old as soon as they are there. So a
 * step is half of what is above the reserve, all of it at 16 MiB: between two statistics the
 * balloon never takes more than half of what the guest can do without. Steps start from the
 * balloon's size when the statistics were asked for, which is on the safe side of their age.
 *
 * A guest that starts to allocate shows as free memory below 7/8 of the reserve, or as free memory
 * and balloon together less than at the start by half a reserve. Pages under way in a free page
 * report look like that too, up to 64 MiB, and are back as soon as they are released: so the first
 * sight only stops the balloon, and it takes another to confirm it, at once for the reserve and
 * after 100 ms of nothing else for the sum. Until then the guest has what deflate-on-oom gives it.
 *
 * Bounds: 5 s for the first statistics, 60 s for inflating, 3 s without the balloon moving; 10 s
 * without moving when it deflates, after which the guest is left to it: the target is the old one.
 */
#include "virtio_balloon_run.h"

#define KEEP_MIN_BYTES     (64 * MIB)
#define KEEP_FRACTION      20
#define STEP_WHOLE_BYTES   (16 * MIB)
#define NOTHING_BYTES      MIB /* a request of the driver's is as much */
#define ASKING_MAX_NS      (5 * NS_PER_S)
#define INFLATING_MAX_NS   (60 * NS_PER_S)
#define INFLATING_STILL_NS (3 * NS_PER_S)
#define DEFLATING_STILL_NS (10 * NS_PER_S)
#define SUSPICION_NS       (100 * NS_PER_MS)
#define WOBBLE_MIN_BYTES   (8 * MIB) /* what a guest that does nothing takes and gives */

uint64_t run_default_keep(uint64_t ram_bytes)
{
	return max_u64(KEEP_MIN_BYTES, align_down(ram_bytes / KEEP_FRACTION, MIB));
}

static struct run_decision wait_on(void)
{
	return (struct run_decision){ .action = RUN_WAIT };
}

static struct run_decision let_go(enum balloon_run_end end)
{
	return (struct run_decision){ .action = RUN_LET_GO, .end = end };
}

static struct run_decision finish(enum balloon_run_end end)
{
	return (struct run_decision){ .action = RUN_FINISH, .end = end };
}

/* Half of what is above the reserve, the last of it whole; never back, so that the balloon was no
 * larger when the statistics were asked for than when they were told. */
static struct run_decision next_step(const struct run_view *view)
{
	uint64_t above = view->free_bytes - view->keep_bytes;
	uint64_t step = above <= STEP_WHOLE_BYTES ? above : above / 2;
	uint64_t target = min_u64(view->asked_actual_bytes + step, view->ram_bytes);
	uint64_t least = max_u64(view->target_bytes, view->base_bytes);

	return (struct run_decision){
		.action = RUN_AIM,
		.target_bytes = max_u64(align_down(target, PAGE_4K_BYTES), least),
	};
}

static bool has_nothing_to_give(const struct run_view *view)
{
	return view->free_bytes < view->keep_bytes + NOTHING_BYTES;
}

/* Which rule the guest's statistics break; BALLOON_RUN_DONE: none. */
static enum balloon_run_end broken_rule(const struct run_view *view)
{
	uint64_t taken = view->actual_bytes - min_u64(view->base_bytes, view->actual_bytes);
	uint64_t room = view->free_bytes + taken;
	uint64_t wobble = max_u64(view->keep_bytes / 2, WOBBLE_MIN_BYTES);

	if (view->free_bytes < view->keep_bytes - view->keep_bytes / 8)
		return BALLOON_RUN_RESERVE;
	if (view->room_bytes > room && view->room_bytes - room > wobble)
		return BALLOON_RUN_ALLOCATING;
	return BALLOON_RUN_DONE;
}

static struct run_decision decide_asking(const struct run_view *view)
{
	if (!view->fresh)
		return view->phase_ns > ASKING_MAX_NS ? finish(BALLOON_RUN_NO_STATISTICS)
		                                      : wait_on();
	return has_nothing_to_give(view) ? finish(BALLOON_RUN_DONE) : next_step(view);
}

static struct run_decision hold(const struct run_view *view)
{
	uint64_t target = min_u64(view->actual_bytes, view->target_bytes);

	return (struct run_decision){
		.action = RUN_HOLD,
		.target_bytes = max_u64(target, view->base_bytes),
	};
}

static bool is_confirmed(const struct run_view *view, enum balloon_run_end rule)
{
	return view->suspected_ns > (rule == BALLOON_RUN_ALLOCATING ? SUSPICION_NS : 0);
}

static struct run_decision decide_inflating(const struct run_view *view)
{
	enum balloon_run_end rule = view->fresh ? broken_rule(view) : BALLOON_RUN_DONE;

	if (rule != BALLOON_RUN_DONE)
		return is_confirmed(view, rule) ? let_go(rule) : hold(view);
	if (view->fresh && has_nothing_to_give(view))
		return let_go(BALLOON_RUN_DONE);
	if (view->phase_ns > INFLATING_MAX_NS)
		return let_go(BALLOON_RUN_TIMEOUT);
	if (view->still_ns > INFLATING_STILL_NS)
		return let_go(BALLOON_RUN_STALLED);
	return view->fresh ? next_step(view) : wait_on();
}

static struct run_decision decide_deflating(const struct run_view *view)
{
	if (view->actual_bytes <= view->base_bytes || view->still_ns > DEFLATING_STILL_NS)
		return finish(BALLOON_RUN_DONE);
	return wait_on();
}

/* The guest's numbers, made such that they can be added up. */
static void bound(struct run_view *view)
{
	uint64_t *const numbers[] = {
		&view->free_bytes,         &view->keep_bytes,   &view->room_bytes,
		&view->base_bytes,         &view->actual_bytes, &view->target_bytes,
		&view->asked_actual_bytes,
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		*numbers[i] = min_u64(*numbers[i], view->ram_bytes);
}

struct run_decision run_decide(const struct run_view *view)
{
	struct run_view bounded = *view;

	bound(&bounded);
	switch (bounded.phase) {
	case BALLOON_RUN_ASKING:
		return decide_asking(&bounded);
	case BALLOON_RUN_INFLATING:
		return decide_inflating(&bounded);
	case BALLOON_RUN_DEFLATING:
		return decide_deflating(&bounded);
	case BALLOON_RUN_IDLE:
	default:
		return wait_on();
	}
}
