/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_device_table */
/* Why a memory device is not what it should be: the likeliest reason, from figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "../../src/client_memory.h"

/* What x-ebb-query-stat says; counts: what was answered to whom, and how often. */
static json_t *make_stat(const char *state, bool ready, const char *sizes, const char *counts)
{
	json_t *stat = json_pack("{s:s, s:[{s:s, s:b}]}", "state", state, "virtio_mem", "id", "vm0",
	                         "driver_ready", ready);
	json_t *device = json_array_get(json_object_get(stat, "virtio_mem"), 0);
	json_t *more = json_loads(sizes, 0, NULL), *answers = json_loads(counts, 0, NULL);

	assert_non_null(more);
	assert_non_null(answers);
	json_object_update_new(device, more);
	json_object_set_new(device, "answers", answers);
	return stat;
}

#define GROWING   "{\"plugged_bytes\": 10, \"requested_bytes\": 20}"
#define SHRINKING "{\"plugged_bytes\": 20, \"requested_bytes\": 10}"

static void the_reason_follows_from_the_figures(void **state)
{
	static const struct {
		const char *state;
		bool ready;
		const char *sizes, *before, *now, *why;
	} rows[] = {
		{ "paused", true, GROWING, "{}", "{}", "the guest is paused" },
		{ "running", false, GROWING, "{}", "{}",
		  "the guest has no driver for it; Linux has one from 5.16 on" },
		{ "running", true, GROWING, "{\"plug\": {\"busy\": 3}}",
		  "{\"plug\": {\"busy\": 5, \"nack\": 1}}",
		  "the host has no memory for it: BUSY was the answer to 2 requests" },
		{ "running", true, GROWING, "{\"plug\": {\"busy\": 5, \"nack\": 4, \"error\": 1}}",
		  "{\"plug\": {\"busy\": 5, \"nack\": 6, \"error\": 2}}",
		  "the guest's driver asks for what it may not have: 2 requests answered with "
		  "NACK, 1 with ERROR" },
		{ "running", true, GROWING, "{\"plug\": {\"busy\": 5}}",
		  "{\"plug\": {\"busy\": 5, \"ack\": 6}}",
		  "the guest asks for no more; does it put to use what it gets, as with "
		  "memhp_default_state=online on its command line?" },
		{ "running", true, SHRINKING, "{\"plug\": {\"busy\": 5}}",
		  "{\"plug\": {\"busy\": 6}, \"unplug\": {\"busy\": 1}}",
		  "the host did not take it: BUSY was the answer to 1 requests, ERROR to 0" },
		{ "running", true, SHRINKING, "{}", "{\"unplug\": {\"ack\": 6}}",
		  "the guest cannot free more of it: it uses it, or something that cannot be moved "
		  "lies there" },
	};
	char why[CLIENT_WHY_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *before = make_stat("running", true, "{}", rows[i].before);
		json_t *now = make_stat(rows[i].state, rows[i].ready, rows[i].sizes, rows[i].now);

		client_memory_explain(before, now, "vm0", why);
		assert_string_equal(why, rows[i].why);
		json_decref(before);
		json_decref(now);
	}
}

static void the_guests_word_is_told(void **state)
{
	json_t *now = make_stat("running", true, SHRINKING, "{}");
	char why[CLIENT_WHY_MAX];

	(void)state;
	json_object_set_new(now, "balloon",
	                    json_pack("{s:{s:I}}", "guest_stats", "stat-available-memory",
	                              (json_int_t)(3 * MIB)));
	client_memory_explain(now, now, "vm0", why);
	assert_string_equal(why, "the guest cannot free more of it; it has 3.0 MiB available in "
	                         "all, by its word");
	/* A device that is not there is one without a driver. */
	client_memory_explain(now, now, "vm1", why);
	assert_string_equal(why, "the guest has no driver for it; Linux has one from 5.16 on");
	json_decref(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reason_follows_from_the_figures),
		cmocka_unit_test(the_guests_word_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
