/* SPDX-License-Identifier: Apache-2.0 */
/* Memory return on command, as QMP: a reclaim run, whose end is the answer. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "control_private.h"
#include "ebb/balloon.h"

static void add_number(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)min_u64(value, INT64_MAX)));
}

static json_t *describe_run(const struct balloon_run_status *run)
{
	uint64_t returned_bytes = run->resident_before_bytes -
	                          min_u64(run->resident_after_bytes, run->resident_before_bytes);
	bool ended = run->serial && run->phase == BALLOON_RUN_IDLE;
	json_t *object = json_object();

	add_number(object, "run", run->serial);
	json_object_set_new(object, "phase", json_string(balloon_run_phase_name(run->phase)));
	add_number(object, "keep_bytes", run->keep_bytes);
	add_number(object, "goal_bytes", run->goal_bytes);
	add_number(object, "taken_bytes", run->taken_bytes);
	add_number(object, "resident_before_bytes", run->resident_before_bytes);
	add_number(object, "inflating_ms", (uint64_t)(run->inflating_ns / NS_PER_MS));
	add_number(object, "duration_ms", (uint64_t)(run->duration_ns / NS_PER_MS));
	if (!ended)
		return object;
	add_number(object, "resident_after_bytes", run->resident_after_bytes);
	add_number(object, "returned_bytes", returned_bytes);
	json_object_set_new(object, "end", json_string(balloon_run_end_name(run->end)));
	return object;
}

json_t *control_query_reclaim_run(struct control_session *session, const json_t *arguments,
                                  struct control_failure *failure)
{
	struct balloon *balloon = control_find_balloon(session, failure);
	struct balloon_run_status run;

	(void)arguments;
	if (!balloon)
		return NULL;
	balloon_run_query(balloon, &run);
	return describe_run(&run);
}

json_t *control_reclaim(struct control_session *session, const json_t *arguments,
                        struct control_failure *failure)
{
	struct balloon *balloon = control_find_balloon(session, failure);
	const json_t *keep = json_object_get(arguments, "keep");
	json_int_t keep_bytes = json_integer_value(keep);

	if (!balloon)
		return NULL;
	if (keep_bytes < 0) {
		error_set(&failure->error, -EINVAL,
		          "reclaim: keep %" JSON_INTEGER_FORMAT ": not a size (give bytes)",
		          keep_bytes);
		return NULL;
	}
	if (vm_state(session->shared->vm) != VM_STATE_RUNNING) {
		error_set(&failure->error, -EAGAIN,
		          "reclaim: the guest is paused, and it has to agree (resume it first)");
		return NULL;
	}
	if (balloon_run_start(balloon, keep ? (uint64_t)keep_bytes : BALLOON_KEEP_DEFAULT,
	                      &session->run_serial, &failure->error))
		return NULL;
	failure->later = true;
	return NULL;
}

/* --- what is done with what the guest gives --- */

/* A number that may be missing, which leaves *value as it is. */
static int take_number(const json_t *arguments, const char *command, const char *key,
                       uint64_t *value, struct error *err)
{
	const json_t *given = json_object_get(arguments, key);

	if (!given)
		return 0;
	if (json_integer_value(given) < 0)
		return error_set(err, -EINVAL,
		                 "%s: %s %" JSON_INTEGER_FORMAT ": below 0 (0 takes it away)",
		                 command, key, json_integer_value(given));
	*value = (uint64_t)json_integer_value(given);
	return 0;
}

json_t *control_describe_reporting(struct balloon *balloon)
{
	struct balloon_reporting reporting;
	json_t *object = json_object();

	balloon_query_reporting(balloon, &reporting);
	json_object_set_new(object, "paused", json_boolean(reporting.paused));
	add_number(object, "minimum_range_bytes", reporting.min_range_bytes);
	add_number(object, "rate_limit_bytes_per_s", reporting.rate_bytes_per_s);
	return object;
}

json_t *control_set_reporting(struct control_session *session, const json_t *arguments,
                              struct control_failure *failure)
{
	static const char name[] = "x-ebb-set-reporting";
	struct balloon *balloon = control_find_balloon(session, failure);
	const json_t *paused = json_object_get(arguments, "paused");
	struct balloon_reporting reporting;

	if (!balloon)
		return NULL;
	balloon_query_reporting(balloon, &reporting);
	if (paused)
		reporting.paused = json_is_true(paused);
	if (take_number(arguments, name, "minimum-range", &reporting.min_range_bytes,
	                &failure->error) ||
	    take_number(arguments, name, "rate-limit", &reporting.rate_bytes_per_s,
	                &failure->error))
		return NULL;
	balloon_set_reporting(balloon, &reporting);
	return control_describe_reporting(balloon);
}

json_t *control_set_inflate(struct control_session *session, const json_t *arguments,
                            struct control_failure *failure)
{
	struct balloon *balloon = control_find_balloon(session, failure);
	const json_t *page_by_page = json_object_get(arguments, "page-by-page");
	struct balloon_release release;
	uint64_t hold_ms;

	if (!balloon)
		return NULL;
	balloon_query_release(balloon, &release);
	hold_ms = (uint64_t)(release.hold_ns / NS_PER_MS);
	if (take_number(arguments, "x-ebb-set-inflate", "hold", &hold_ms, &failure->error))
		return NULL;
	if (hold_ms > (uint64_t)(BALLOON_HOLD_MAX_NS / NS_PER_MS)) {
		error_set(&failure->error, -EINVAL, "x-ebb-set-inflate: hold: at most %d ms",
		          (int)(BALLOON_HOLD_MAX_NS / NS_PER_MS));
		return NULL;
	}
	if (page_by_page)
		release.page_by_page = json_is_true(page_by_page);
	release.hold_ns = (int64_t)hold_ms * NS_PER_MS;
	balloon_set_release(balloon, &release);
	return json_pack("{s:b, s:I}", "page-by-page", release.page_by_page, "hold",
	                 (json_int_t)hold_ms);
}

/* --- who waits for a run --- */

bool control_reclaim_ended(struct control_session *session)
{
	struct balloon *balloon = session->shared->vm->balloon;
	struct balloon_run_status run;

	if (!session->waiting || !balloon)
		return false;
	balloon_run_query(balloon, &run);
	if (run.serial == session->run_serial && run.phase != BALLOON_RUN_IDLE)
		return false;
	control_session_answer(session, describe_run(&run));
	return true;
}

void control_reclaim_abandon(struct control_session *session)
{
	struct vm *vm = session->shared->vm;

	if (session->waiting && vm->balloon)
		balloon_run_cancel(vm->balloon, session->run_serial);
}
