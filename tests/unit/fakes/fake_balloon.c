/* SPDX-License-Identifier: Apache-2.0 */
/* A balloon in memory: see fake_balloon.h. */
#include "fake_balloon.h"

#include <errno.h>

void balloon_query(struct balloon *balloon, struct balloon_status *ret_status)
{
	*ret_status = balloon->status;
}

int balloon_set_target(struct balloon *balloon, uint64_t target_bytes, struct error *err)
{
	if (balloon->result)
		return error_set(err, balloon->result, "the fake balloon refuses");
	if (balloon->ram_bytes && target_bytes > balloon->ram_bytes)
		return error_set(err, -EINVAL, "above RAM");
	balloon->status.target_bytes = target_bytes;
	return 0;
}

int balloon_set_stats_interval(struct balloon *balloon, uint64_t seconds, struct error *err)
{
	if (balloon->result)
		return error_set(err, balloon->result, "the fake balloon refuses");
	balloon->status.stats_interval_s = seconds;
	return 0;
}

int balloon_hint_start(struct balloon *balloon, struct error *err)
{
	if (balloon->result)
		return error_set(err, balloon->result, "the fake balloon refuses");
	balloon->hint_starts++;
	return 0;
}

void balloon_hint_stop(struct balloon *balloon)
{
	balloon->hint_stops++;
}

const char *balloon_hint_state_name(enum balloon_hint_state state)
{
	return state == BALLOON_HINT_HINTING ? "hinting" : "idle";
}

const char *balloon_feature_name(unsigned int bit)
{
	return bit == 5 ? "free-page-reporting" : bit == 1 ? "stats" : NULL;
}

const char *balloon_stat_name(unsigned int tag)
{
	static const char *const names[] = { "stat-swap-in", "stat-swap-out", "stat-major-faults",
		                             "stat-minor-faults", "stat-free-memory" };

	return tag < ARRAY_SIZE(names) ? names[tag] : NULL;
}

int balloon_run_start(struct balloon *balloon, uint64_t keep_bytes, uint64_t *ret_serial,
                      struct error *err)
{
	if (balloon->result)
		return error_set(err, balloon->result, "the fake balloon refuses");
	balloon->run.serial++;
	balloon->run.phase = BALLOON_RUN_ASKING;
	balloon->run.keep_bytes = keep_bytes;
	*ret_serial = balloon->run.serial;
	return 0;
}

void balloon_run_cancel(struct balloon *balloon, uint64_t serial)
{
	if (serial == balloon->run.serial)
		balloon->run_cancelled++;
}

void balloon_run_query(struct balloon *balloon, struct balloon_run_status *ret_status)
{
	*ret_status = balloon->run;
}

const char *balloon_run_end_name(enum balloon_run_end end)
{
	return end == BALLOON_RUN_DONE ? "done" : end == BALLOON_RUN_STALLED ? "stalled" : "other";
}

const char *balloon_run_phase_name(enum balloon_run_phase phase)
{
	return phase == BALLOON_RUN_IDLE ? "idle" : "inflating";
}

void balloon_query_reporting(struct balloon *balloon, struct balloon_reporting *ret_reporting)
{
	*ret_reporting = balloon->reporting;
}

void balloon_set_reporting(struct balloon *balloon, const struct balloon_reporting *reporting)
{
	balloon->reporting = *reporting;
}

void balloon_query_release(struct balloon *balloon, struct balloon_release *ret_release)
{
	*ret_release = balloon->release;
}

void balloon_set_release(struct balloon *balloon, const struct balloon_release *release)
{
	balloon->release = *release;
}
