/* SPDX-License-Identifier: Apache-2.0 */
/* A reclaim run's decisions, as tables. Sizes in MiB unless a name says otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../../devices/virtio/virtio_balloon_run.h"

#define RAM 1024

struct row {
	const char *what;
	enum balloon_run_phase phase;
	unsigned int phase_ms, still_ms;
	bool fresh;
	unsigned int suspected_ms;
	uint64_t free, keep, room, base, actual, asked_actual, target;
	struct {
		enum run_action action;
		uint64_t target;
		enum balloon_run_end end;
	} expected;
};

static struct run_view view_of(const struct row *row)
{
	return (struct run_view){
		.phase = row->phase,
		.phase_ns = row->phase_ms * NS_PER_MS,
		.still_ns = row->still_ms * NS_PER_MS,
		.fresh = row->fresh,
		.suspected_ns = row->suspected_ms * NS_PER_MS,
		.free_bytes = row->free * MIB,
		.keep_bytes = row->keep * MIB,
		.room_bytes = row->room * MIB,
		.base_bytes = row->base * MIB,
		.actual_bytes = row->actual * MIB,
		.asked_actual_bytes = row->asked_actual * MIB,
		.target_bytes = row->target * MIB,
		.ram_bytes = RAM * MIB,
	};
}

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct row *row = &rows[i];
		struct run_view view = view_of(row);
		struct run_decision decision = run_decide(&view);
		bool has_end =
			row->expected.action == RUN_LET_GO ||
			(row->expected.action == RUN_FINISH && row->phase == BALLOON_RUN_ASKING);
		bool has_target =
			row->expected.action == RUN_AIM || row->expected.action == RUN_HOLD;

		if (decision.action != row->expected.action ||
		    (has_target && decision.target_bytes != row->expected.target * MIB) ||
		    (has_end && decision.end != row->expected.end))
			fail_msg("%s: action %d, target %llu, end %d", row->what, decision.action,
			         (unsigned long long)(decision.target_bytes / MIB), decision.end);
	}
}

static void asking(void **state)
{
	static const struct row rows[] = {
		{ .what = "nothing yet",
		  .phase = BALLOON_RUN_ASKING,
		  .free = 900,
		  .keep = 64,
		  .expected = { RUN_WAIT } },
		{ .what = "never",
		  .phase = BALLOON_RUN_ASKING,
		  .phase_ms = 5001,
		  .keep = 64,
		  .expected = { RUN_FINISH, 0, BALLOON_RUN_NO_STATISTICS } },
		{ .what = "half of what is above the reserve",
		  .phase = BALLOON_RUN_ASKING,
		  .fresh = true,
		  .free = 864,
		  .keep = 64,
		  .expected = { RUN_AIM, 400 } },
		{ .what = "little, whole",
		  .phase = BALLOON_RUN_ASKING,
		  .fresh = true,
		  .free = 80,
		  .keep = 64,
		  .expected = { RUN_AIM, 16 } },
		{ .what = "nothing to take",
		  .phase = BALLOON_RUN_ASKING,
		  .fresh = true,
		  .free = 64,
		  .keep = 64,
		  .expected = { RUN_FINISH, 0, BALLOON_RUN_DONE } },
		{ .what = "less than the reserve",
		  .phase = BALLOON_RUN_ASKING,
		  .fresh = true,
		  .free = 3,
		  .keep = 64,
		  .expected = { RUN_FINISH, 0, BALLOON_RUN_DONE } },
		{ .what = "on top of what the user took",
		  .phase = BALLOON_RUN_ASKING,
		  .fresh = true,
		  .free = 464,
		  .keep = 64,
		  .base = 256,
		  .actual = 256,
		  .asked_actual = 256,
		  .target = 256,
		  .expected = { RUN_AIM, 456 } },
		{ .what = "the user's own target is not there yet",
		  .phase = BALLOON_RUN_ASKING,
		  .fresh = true,
		  .free = 164,
		  .keep = 64,
		  .base = 256,
		  .actual = 10,
		  .asked_actual = 10,
		  .target = 256,
		  .expected = { RUN_AIM, 256 } },
	};

	(void)state;
	check(rows, ARRAY_SIZE(rows));
}

#define INFLATING .phase = BALLOON_RUN_INFLATING, .keep = 64, .room = 864

static void inflating(void **state)
{
	static const struct row rows[] = {
		{ .what = "under way",
		  INFLATING,
		  .still_ms = 2900,
		  .actual = 200,
		  .target = 400,
		  .expected = { RUN_WAIT } },
		{ .what = "the next step",
		  INFLATING,
		  .fresh = true,
		  .free = 464,
		  .actual = 400,
		  .asked_actual = 400,
		  .target = 400,
		  .expected = { RUN_AIM, 600 } },
		{ .what = "from where it was when asked",
		  INFLATING,
		  .fresh = true,
		  .free = 464,
		  .actual = 450,
		  .asked_actual = 400,
		  .target = 450,
		  .expected = { RUN_AIM, 600 } },
		{ .what = "there",
		  INFLATING,
		  .fresh = true,
		  .free = 64,
		  .actual = 800,
		  .asked_actual = 800,
		  .target = 800,
		  .expected = { RUN_LET_GO, 0, BALLOON_RUN_DONE } },
		{ .what = "there, late",
		  INFLATING,
		  .phase_ms = 70000,
		  .still_ms = 9000,
		  .fresh = true,
		  .free = 60,
		  .actual = 800,
		  .target = 800,
		  .expected = { RUN_LET_GO, 0, BALLOON_RUN_DONE } },
		{ .what = "gives no more",
		  INFLATING,
		  .still_ms = 3001,
		  .fresh = true,
		  .free = 100,
		  .actual = 764,
		  .asked_actual = 764,
		  .target = 800,
		  .expected = { RUN_LET_GO, 0, BALLOON_RUN_STALLED } },
		{ .what = "gives no more and tells nothing",
		  INFLATING,
		  .still_ms = 3001,
		  .actual = 764,
		  .target = 800,
		  .expected = { RUN_LET_GO, 0, BALLOON_RUN_STALLED } },
		{ .what = "too slow",
		  INFLATING,
		  .phase_ms = 60001,
		  .fresh = true,
		  .free = 464,
		  .actual = 400,
		  .asked_actual = 400,
		  .target = 400,
		  .expected = { RUN_LET_GO, 0, BALLOON_RUN_TIMEOUT } },
		{ .what = "below the reserve: stop first",
		  INFLATING,
		  .fresh = true,
		  .free = 50,
		  .actual = 700,
		  .asked_actual = 690,
		  .target = 720,
		  .expected = { RUN_HOLD, 700 } },
		{ .what = "below the reserve: then let go",
		  INFLATING,
		  .fresh = true,
		  .suspected_ms = 10,
		  .free = 50,
		  .actual = 700,
		  .asked_actual = 700,
		  .target = 700,
		  .expected = { RUN_LET_GO, 0, BALLOON_RUN_RESERVE } },
		{ .what = "a false alarm",
		  INFLATING,
		  .fresh = true,
		  .suspected_ms = 10,
		  .free = 160,
		  .actual = 700,
		  .asked_actual = 700,
		  .target = 700,
		  .expected = { RUN_AIM, 748 } },
		{ .what = "a suspect who says nothing",
		  INFLATING,
		  .suspected_ms = 10,
		  .free = 50,
		  .actual = 700,
		  .target = 700,
		  .expected = { RUN_WAIT } },
		{ .what = "it allocates",
		  INFLATING,
		  .fresh = true,
		  .free = 400,
		  .actual = 400,
		  .asked_actual = 400,
		  .target = 400,
		  .expected = { RUN_HOLD, 400 } },
		{ .what = "it may be a report",
		  INFLATING,
		  .fresh = true,
		  .suspected_ms = 100,
		  .free = 380,
		  .actual = 400,
		  .asked_actual = 400,
		  .target = 400,
		  .expected = { RUN_HOLD, 400 } },
		{ .what = "it goes on allocating",
		  INFLATING,
		  .fresh = true,
		  .suspected_ms = 110,
		  .free = 380,
		  .actual = 400,
		  .asked_actual = 400,
		  .target = 400,
		  .expected = { RUN_LET_GO, 0, BALLOON_RUN_ALLOCATING } },
		{ .what = "half a reserve is no alarm",
		  INFLATING,
		  .fresh = true,
		  .free = 432,
		  .actual = 400,
		  .asked_actual = 400,
		  .target = 400,
		  .expected = { RUN_AIM, 584 } },
		{ .what = "it frees",
		  INFLATING,
		  .fresh = true,
		  .free = 600,
		  .actual = 400,
		  .asked_actual = 400,
		  .target = 400,
		  .expected = { RUN_AIM, 668 } },
		{ .what = "never below what the user took",
		  INFLATING,
		  .base = 256,
		  .fresh = true,
		  .free = 3,
		  .actual = 200,
		  .asked_actual = 200,
		  .target = 300,
		  .expected = { RUN_HOLD, 256 } },
	};

	(void)state;
	check(rows, ARRAY_SIZE(rows));
}

static void deflating(void **state)
{
	static const struct row rows[] = {
		{ .what = "under way",
		  .phase = BALLOON_RUN_DEFLATING,
		  .phase_ms = 100000,
		  .still_ms = 9000,
		  .actual = 200,
		  .expected = { RUN_WAIT } },
		{ .what = "there",
		  .phase = BALLOON_RUN_DEFLATING,
		  .base = 10,
		  .actual = 10,
		  .expected = { RUN_FINISH } },
		{ .what = "deflated past it, as on OOM",
		  .phase = BALLOON_RUN_DEFLATING,
		  .base = 10,
		  .actual = 0,
		  .expected = { RUN_FINISH } },
		{ .what = "left to itself",
		  .phase = BALLOON_RUN_DEFLATING,
		  .still_ms = 10001,
		  .actual = 200,
		  .expected = { RUN_FINISH } },
		{ .what = "idle",
		  .phase = BALLOON_RUN_IDLE,
		  .fresh = true,
		  .free = 900,
		  .expected = { RUN_WAIT } },
	};

	(void)state;
	check(rows, ARRAY_SIZE(rows));
}

/* However the numbers lie: targets stay between the user's and RAM, and in whole pages. */
static void hostile_numbers(void **state)
{
	static const uint64_t numbers[] = { 0,
		                            1,
		                            64 * MIB - 1,
		                            65 * MIB,
		                            900 * MIB + 5,
		                            RAM * MIB,
		                            RAM * MIB + 1,
		                            UINT64_MAX - 1,
		                            UINT64_MAX };
	const size_t n = ARRAY_SIZE(numbers);

	(void)state;
	for (size_t i = 0; i < n * n * n * n; i++) {
		struct run_view view = {
			.phase = i & 1 ? BALLOON_RUN_ASKING : BALLOON_RUN_INFLATING,
			.fresh = true,
			.free_bytes = numbers[i % n],
			.keep_bytes = numbers[i / n % n],
			.room_bytes = numbers[i / n / n % n],
			.actual_bytes = numbers[i / n / n / n],
			.asked_actual_bytes = numbers[(i + 3) % n],
			.target_bytes = numbers[(i + 5) % n],
			.base_bytes = 256 * MIB,
			.ram_bytes = RAM * MIB,
		};
		struct run_decision decision = run_decide(&view);

		if (decision.action != RUN_AIM && decision.action != RUN_HOLD)
			continue;
		assert_true(decision.target_bytes >= view.base_bytes);
		assert_true(decision.target_bytes <= view.ram_bytes);
	}
}

static void default_reserve(void **state)
{
	(void)state;
	assert_int_equal(run_default_keep(64 * MIB), 64 * MIB);
	assert_int_equal(run_default_keep(GIB), 64 * MIB);
	assert_int_equal(run_default_keep(2 * GIB), 102 * MIB);
	assert_int_equal(run_default_keep(100 * GIB), 5 * GIB);
}

/* A driver that takes as fast as it can, with statistics as old as two looks: never below the
 * reserve, and done. */
static void a_whole_run(void **state)
{
	struct run_view view = {
		.phase = BALLOON_RUN_ASKING,
		.fresh = true,
		.free_bytes = 900 * MIB,
		.keep_bytes = 64 * MIB,
		.room_bytes = 900 * MIB,
		.ram_bytes = RAM * MIB,
	};
	unsigned int looks = 0;

	(void)state;
	for (;;) {
		struct run_decision decision = run_decide(&view);

		assert_true(looks++ < 20);
		if (decision.action == RUN_LET_GO) {
			assert_int_equal(decision.end, BALLOON_RUN_DONE);
			break;
		}
		assert_int_equal(decision.action, RUN_AIM);
		view.phase = BALLOON_RUN_INFLATING;
		/* The statistics were asked for when the driver was half way. */
		view.asked_actual_bytes = (view.actual_bytes + decision.target_bytes) / 2;
		view.free_bytes = 900 * MIB - view.asked_actual_bytes;
		view.actual_bytes = view.target_bytes = decision.target_bytes;
		assert_true(900 * MIB - view.actual_bytes >= view.keep_bytes);
	}
	assert_true(900 * MIB - view.actual_bytes < view.keep_bytes + 2 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asking),          cmocka_unit_test(inflating),
		cmocka_unit_test(deflating),       cmocka_unit_test(hostile_numbers),
		cmocka_unit_test(default_reserve), cmocka_unit_test(a_whole_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
