/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: control_guest fake_vm fake_balloon fake_reclaim fake_kvm fake_arch */
/* fakes: fake_device_table */
/* What `ebb stat` sees, and KVM's binary statistics taken apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>
#include <linux/kvm.h>

#include "../../src/control_private.h"
#include "control_guest.h"
#include "ebb/event_loop.h"
#include "fake_kvm.h"

static struct control_guest guest;
static struct control_shared shared;
static struct control_session session;

static int set_up(void **state)
{
	(void)state;
	fake_kvm_reset();
	control_guest_create(&guest);
	shared = (struct control_shared){ .vm = &guest.vm };
	session = (struct control_session){ .shared = &shared };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_guest_destroy(&guest);
	return 0;
}

/* The object or value at keys and indexes, "exits.0.pio". */
static const json_t *at(const json_t *value, const char *path)
{
	char key[64];

	while (*path) {
		size_t length = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)length, path);
		value = json_is_array(value) ? json_array_get(value, (size_t)atoi(key))
		                             : json_object_get(value, key);
		path += length + (path[length] == '.');
	}
	return value;
}

static void number_is(const json_t *value, const char *path, json_int_t expected)
{
	if (!json_is_integer(at(value, path)))
		print_error("%s is not there\n", path);
	assert_true(json_is_integer(at(value, path)));
	assert_int_equal(json_integer_value(at(value, path)), expected);
}

static void text_is(const json_t *value, const char *path, const char *expected)
{
	assert_string_equal(json_string_value(at(value, path)), expected);
}

static void every_key_of_the_contract_is_there(void **state)
{
	static const char *const numbers[] = {
		"pid",
		"uptime_ms",
		"memory.ram_bytes",
		"memory.plugged_bytes",
		"memory.balloon_bytes",
		"memory.resident_bytes",
		"reclaim.refault_bytes",
		"reclaim.look.looked_bytes",
		"reclaim.look.of_bytes",
		"reclaim.look.latency_ns",
		"reclaim.trace.rows",
		"reclaim.trace.dropped",
		"reclaim.trace.failed",
		"balloon.target_bytes",
		"balloon.actual_bytes",
		"balloon.poison_value",
	};
	static const char *const sources[] = { "inflate", "report", "hint", "unplug", "reset" };
	static const char *const counts[] = {
		"requests",       "ranges_in",      "ranges_released", "bytes_in", "bytes_released",
		"bytes_absent",   "bytes_refused",  "syscalls",        "errors",   "latency_ns.p50",
		"latency_ns.p99", "latency_ns.max", "refault_bytes",
	};
	json_t *stat = control_query_stat(&session, NULL, NULL);
	char path[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		assert_true(json_is_integer(at(stat, numbers[i])));
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(counts); j++) {
			snprintf(path, sizeof(path), "reclaim.%s.%s", sources[i], counts[j]);
			assert_true(json_is_integer(at(stat, path)));
		}
	}
	text_is(stat, "name", "guest");
	text_is(stat, "arch", "fake");
	text_is(stat, "state", "running");
	assert_true(json_is_array(at(stat, "balloon.features")));
	assert_true(json_is_object(at(stat, "balloon.guest_stats")));
	text_is(stat, "balloon.free_page_hint.state", "idle");
	number_is(stat, "balloon.free_page_hint.hinted_bytes", 0);
	assert_true(json_is_array(at(stat, "virtio_mem")));
	assert_int_equal(json_array_size(at(stat, "virtio_mem")), 0);
	assert_int_equal(json_array_size(at(stat, "exits")), 2);
	number_is(stat, "unclaimed_accesses", 0);
	json_decref(stat);
}

static void figures_come_from_their_rooms(void **state)
{
	struct reclaim_source_stats *report = &guest.reclaim.stats.sources[RECLAIM_REPORT];
	json_t *stat;

	(void)state;
	*report = (struct reclaim_source_stats){ .requests = 1,
		                                 .ranges_in = 2,
		                                 .ranges_released = 3,
		                                 .bytes_in = 4,
		                                 .bytes_released = 5,
		                                 .bytes_absent = 6,
		                                 .bytes_refused = 7,
		                                 .syscalls = 8,
		                                 .errors = 9,
		                                 .latency_p50_ns = 10,
		                                 .latency_p99_ns = 11,
		                                 .latency_max_ns = 12,
		                                 .refault_bytes = 19 };
	guest.reclaim.stats.refault_bytes = 13;
	guest.reclaim.stats.resident_bytes = 14;
	guest.reclaim.stats.looked_bytes = 20;
	guest.reclaim.stats.total_bytes = 21;
	guest.reclaim.stats.look_ns = 22;
	guest.reclaim.stats.refill = (struct reclaim_refill_stats){ .faults = 23,
		                                                    .bytes = 24,
		                                                    .blocks_moved = 25,
		                                                    .blocks_copied = 26,
		                                                    .errors = 27,
		                                                    .guarded_bytes = 28 };
	guest.reclaim.stats.trace = (struct reclaim_trace_stats){
		.active = true, .rows = 23, .dropped = 24, .failed = 25
	};
	guest.balloon.status = (struct balloon_status){ .target_bytes = 15,
		                                        .actual_bytes = 16,
		                                        .negotiated_features = 1 << 5 | 1 << 1,
		                                        .poison_value = 0xaaaaaaaa };
	guest.vcpus[1].exits[VCPU_EXIT_MMIO].value = 17;
	guest.metrics[1].counter.value = 18;
	stat = control_query_stat(&session, NULL, NULL);

	number_is(stat, "uptime_ms", 1500);
	number_is(stat, "memory.ram_bytes", CONTROL_GUEST_RAM_BYTES);
	number_is(stat, "memory.resident_bytes", 14);
	number_is(stat, "memory.balloon_bytes", 16);
	number_is(stat, "reclaim.report.requests", 1);
	number_is(stat, "reclaim.report.ranges_in", 2);
	number_is(stat, "reclaim.report.ranges_released", 3);
	number_is(stat, "reclaim.report.bytes_in", 4);
	number_is(stat, "reclaim.report.bytes_released", 5);
	number_is(stat, "reclaim.report.bytes_absent", 6);
	number_is(stat, "reclaim.report.bytes_refused", 7);
	number_is(stat, "reclaim.report.syscalls", 8);
	number_is(stat, "reclaim.report.errors", 9);
	number_is(stat, "reclaim.report.latency_ns.p50", 10);
	number_is(stat, "reclaim.report.latency_ns.p99", 11);
	number_is(stat, "reclaim.report.latency_ns.max", 12);
	number_is(stat, "reclaim.report.refault_bytes", 19);
	number_is(stat, "reclaim.look.looked_bytes", 20);
	number_is(stat, "reclaim.look.of_bytes", 21);
	number_is(stat, "reclaim.look.latency_ns", 22);
	number_is(stat, "reclaim.refill.faults", 23);
	number_is(stat, "reclaim.refill.bytes", 24);
	number_is(stat, "reclaim.refill.blocks_moved", 25);
	number_is(stat, "reclaim.refill.blocks_copied", 26);
	number_is(stat, "reclaim.refill.errors", 27);
	number_is(stat, "reclaim.refill.guarded_bytes", 28);
	number_is(stat, "reclaim.trace.rows", 23);
	number_is(stat, "reclaim.trace.dropped", 24);
	number_is(stat, "reclaim.trace.failed", 25);
	assert_true(json_is_true(at(stat, "reclaim.trace.active")));
	number_is(stat, "reclaim.inflate.requests", 0);
	number_is(stat, "reclaim.refault_bytes", 13);
	number_is(stat, "balloon.target_bytes", 15);
	number_is(stat, "balloon.poison_value", 0xaaaaaaaa);
	assert_int_equal(json_array_size(at(stat, "balloon.features")), 2);
	text_is(stat, "balloon.features.1", "free-page-reporting");
	number_is(stat, "exits.0.mmio", 0);
	number_is(stat, "exits.1.mmio", 17);
	text_is(stat, "devices.0.id", "virtio-balloon");
	number_is(stat, "devices.0.metrics.bytes_in", 18);
	json_decref(stat);
	/* The accounting by itself. */
	stat = control_query_reclaim(&session, NULL, NULL);
	number_is(stat, "report.bytes_released", 5);
	number_is(stat, "refault_bytes", 13);
	json_decref(stat);
}

static void a_guest_without_a_balloon_has_none(void **state)
{
	json_t *stat;

	(void)state;
	guest.vm.balloon = NULL;
	fake_vm.state = VM_STATE_PAUSED;
	stat = control_query_stat(&session, NULL, NULL);
	assert_true(json_is_null(at(stat, "balloon")));
	number_is(stat, "memory.balloon_bytes", 0);
	text_is(stat, "state", "paused");
	json_decref(stat);
}

static void statistics_say_what_was_told_and_when(void **state)
{
	struct balloon_status *status = &guest.balloon.status;
	json_t *stats;

	(void)state;
	memset(status->stats, 0xff, sizeof(status->stats));
	status->stats[4] = 123 * MIB;
	status->stats[0] = 0;
	status->stats[1] = INT64_MAX + UINT64_C(5); /* what a hostile guest says */
	status->stats_updated_ns = monotonic_ns() - 100 * NS_PER_S;
	stats = control_guest_stats(&guest.vm);
	number_is(stats, "stats.stat-free-memory", (json_int_t)(123 * MIB));
	number_is(stats, "stats.stat-swap-in", 0);
	number_is(stats, "stats.stat-swap-out", INT64_MAX);
	number_is(stats, "stats.stat-major-faults", -1);
	assert_in_range(time(NULL) - json_integer_value(at(stats, "last-update")), 99, 101);
	json_decref(stats);
	/* `ebb stat` leaves out what was not told. */
	stats = control_query_stat(&session, NULL, NULL);
	assert_int_equal(json_object_size(at(stats, "balloon.guest_stats")), 3);
	number_is(stats, "balloon.guest_stats.stat-free-memory", (json_int_t)(123 * MIB));
	json_decref(stats);
}

/* --- KVM's binary statistics --- */

#define NAME_BYTES 16

struct stats_row {
	struct kvm_stats_desc descriptor;
	char name[NAME_BYTES];
};

struct stats_file {
	struct kvm_stats_header header;
	char id[8];
	struct stats_row rows[3];
	uint64_t data[5];
};

static struct stats_file make_file(void)
{
	return (struct stats_file){
		.header = { .name_size = NAME_BYTES,
		            .num_desc = 3,
		            .id_offset = offsetof(struct stats_file, id),
		            .desc_offset = offsetof(struct stats_file, rows),
		            .data_offset = offsetof(struct stats_file, data) },
		.rows = { { .descriptor = { .flags = KVM_STATS_TYPE_CUMULATIVE, .size = 1 },
		            .name = "exits" },
		          { .descriptor = { .flags = KVM_STATS_TYPE_LOG_HIST,
		                            .size = 3,
		                            .offset = 8 },
		            .name = "wait_hist" },
		          { .descriptor = { .flags =
		                                    KVM_STATS_UNIT_BOOLEAN | KVM_STATS_TYPE_INSTANT,
		                            .size = 1,
		                            .offset = 32 },
		            .name = "blocking" } },
		.data = { 42, 1, 2, 3, 1 },
	};
}

static void kvm_statistics_are_taken_apart(void **state)
{
	struct stats_file file = make_file();
	json_t *names = json_pack("[s, s]", "blocking", "nothing");
	json_t *list = control_parse_kvm_stats((const uint8_t *)&file, sizeof(file), NULL);
	char *text = json_dumps(list, 0);

	(void)state;
	assert_string_equal(text,
	                    "[{\"name\": \"exits\", \"value\": 42}, {\"name\": \"wait_hist\", "
	                    "\"value\": [1, 2, 3]}, {\"name\": \"blocking\", \"value\": "
	                    "true}]");
	free(text);
	json_decref(list);
	list = control_parse_kvm_stats((const uint8_t *)&file, sizeof(file), names);
	text = json_dumps(list, 0);
	assert_string_equal(text, "[{\"name\": \"blocking\", \"value\": true}]");
	free(text);
	json_decref(list);
	json_decref(names);
}

static void kvm_statistics_that_contradict_themselves_are_refused(void **state)
{
	struct stats_file file;

	(void)state;
#define REFUSED(change) \
	do { \
		file = make_file(); \
		change; \
		assert_null(control_parse_kvm_stats((const uint8_t *)&file, sizeof(file), NULL)); \
	} while (0)
	REFUSED(file.header.num_desc = 9);
	REFUSED(file.header.num_desc = UINT32_MAX);
	REFUSED(file.header.name_size = UINT32_MAX);
	REFUSED(file.header.name_size = 0);
	REFUSED(file.header.desc_offset = sizeof(file));
	REFUSED(file.header.desc_offset = UINT32_MAX);
	REFUSED(file.header.data_offset = sizeof(file));
	REFUSED(file.header.data_offset = UINT32_MAX);
	REFUSED(file.rows[1].descriptor.size = 5);
	REFUSED(file.rows[1].descriptor.size = 0);
	REFUSED(file.rows[1].descriptor.offset = UINT32_MAX);
	REFUSED(memset(file.rows[2].name, 'x', NAME_BYTES));
	/* Every length of a file that breaks off. */
	file = make_file();
	for (size_t size_bytes = 0; size_bytes < sizeof(file); size_bytes++) {
		uint8_t *copy = malloc(size_bytes + 1);

		memcpy(copy, &file, size_bytes);
		assert_null(control_parse_kvm_stats(copy, size_bytes, NULL));
		free(copy);
	}
}

static json_t *query_stats(const char *arguments, struct control_failure *failure)
{
	json_t *parsed = json_loads(arguments, 0, NULL), *result;

	*failure = (struct control_failure){ .error = ERROR_INIT };
	result = control_query_stats(&session, parsed, failure);
	json_decref(parsed);
	return result;
}

static void requests_for_statistics_are_checked(void **state)
{
	static const struct {
		const char *arguments, *message;
	} rows[] = {
		{ "{\"target\": \"disk\"}",
		  "query-stats: target 'disk': unknown (give vm or vcpu)" },
		{ "{\"target\": \"vm\", \"vcpus\": []}",
		  "query-stats: 'vcpus' goes with the target vcpu only" },
		{ "{\"target\": \"vm\", \"providers\": [1]}",
		  "query-stats: 'providers' must be a list of {provider, names?}" },
		{ "{\"target\": \"vm\", \"providers\": [{\"provider\": \"kvm\", \"names\": 1}]}",
		  "query-stats: 'providers' must be a list of {provider, names?}" },
		{ "{\"target\": \"vm\", \"providers\": [{\"provider\": \"cryptodev\"}]}",
		  "query-stats: provider 'cryptodev': unknown (give kvm)" },
	};
	struct control_failure failure;
	json_t *result;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_null(query_stats(rows[i].arguments, &failure));
		assert_string_equal(failure.error.message, rows[i].message);
	}
	/* None asked for, none given; and a descriptor that gives nothing is an error. */
	result = query_stats("{\"target\": \"vm\", \"providers\": []}", &failure);
	assert_int_equal(json_array_size(result), 0);
	json_decref(result);
	result = query_stats("{\"target\": \"vcpu\", \"vcpus\": [\"/machine/cpu[7]\"]}", &failure);
	assert_int_equal(json_array_size(result), 0);
	json_decref(result);
	assert_null(query_stats("{\"target\": \"vcpu\"}", &failure));
	assert_string_equal(failure.error.message, "KVM's statistics: Operation not supported");
	assert_int_equal(control_stats_open(&shared), 0);
	assert_null(query_stats("{\"target\": \"vcpu\"}", &failure));
	assert_string_equal(failure.error.message, "KVM's statistics cannot be read");
	control_stats_close(&shared);
	control_stats_close(&shared);
	fake_kvm_fail_nth(1, -24);
	assert_int_equal(control_stats_open(&shared), 0);
	assert_null(
		query_stats("{\"target\": \"vcpu\", \"vcpus\": [\"/machine/cpu[1]\"]}", &failure));
	assert_string_equal(failure.error.message, "KVM's statistics: Too many open files");
	control_stats_close(&shared);
	fake_kvm_fail_nth(0, -12);
	assert_null(query_stats("{\"target\": \"vm\"}", &failure));
	assert_string_equal(failure.error.message, "KVM's statistics: Cannot allocate memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(every_key_of_the_contract_is_there),
		TEST(figures_come_from_their_rooms),
		TEST(a_guest_without_a_balloon_has_none),
		TEST(statistics_say_what_was_told_and_when),
		TEST(kvm_statistics_are_taken_apart),
		TEST(kvm_statistics_that_contradict_themselves_are_refused),
		TEST(requests_for_statistics_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
