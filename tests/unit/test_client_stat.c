/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_runner control_server control_guest user_folder fake_vm fake_balloon */
/* fakes: fake_reclaim fake_kvm fake_arch fake_device_table */
/* `ebb stat`: for eyes and as JSON. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "client_runner.h"
#include "control_server.h"

static struct control_server server;
static struct client_run run;

static int set_up(void **state)
{
	(void)state;
	control_server_start(&server);
	server.guest.reclaim.stats.resident_bytes = 12 * MIB;
	server.guest.balloon.status = (struct balloon_status){
		.target_bytes = 16 * MIB,
		.actual_bytes = 8 * MIB,
		.driver_ready = true,
		.negotiated_features = 1 << 5,
		.stats_updated_ns = 1,
	};
	memset(server.guest.balloon.status.stats, 0xff, sizeof(server.guest.balloon.status.stats));
	server.guest.balloon.status.stats[4] = 3 * MIB;
	server.guest.balloon.status.stats[2] = 77;
	server.guest.reclaim.stats.sources[RECLAIM_REPORT] = (struct reclaim_source_stats){
		.requests = 5,
		.ranges_in = 6,
		.bytes_in = 4 * MIB,
		.bytes_released = 2 * MIB,
		.bytes_refused = 2 * MIB,
		.refused = { [RECLAIM_REFUSED_OUTSIDE] = KIB, [RECLAIM_REFUSED_POISON] = MIB },
	};
	server.guest.reclaim.stats.refault_bytes = MIB;
	server.guest.reclaim.stats.deferred_bytes = 3 * MIB;
	server.guest.reclaim.stats.refill.guarded_bytes = 6 * MIB;
	server.guest.reclaim.stats.refill.bytes = 2 * MIB;
	server.guest.reclaim.stats.refill.faults = 1;
	server.guest.reclaim.stats.trace.active = true;
	server.guest.reclaim.stats.trace.rows = 7;
	server.guest.vcpus[1].exits[VCPU_EXIT_PIO].value = 99;
	server.guest.metrics[0].counter.value = 55;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_server_stop(&server);
	return 0;
}

static void the_table_has_what_matters(void **state)
{
	static const char *const expected[] = {
		"guest     running, fake, pid ",
		", up 0:00:01\n",
		"memory    64.0 MiB RAM, 8.0 MiB in the balloon, 12.0 MiB resident on the host\n",
		"balloon   8.0 MiB of 16.0 MiB asked for\n",
		"          features free-page-reporting\n",
		"          stat-free-memory         3.0 MiB\n",
		"          stat-major-faults        77\n",
		"reclaim   source    batches   ranges   merged       asked    released ",
		"          report          5        6        0     4.0 MiB     2.0 MiB ",
		"          report refused:  outside 1.0 KiB  poison 1.0 MiB\n",
		"          1.0 MiB came back by the guest's touch\n",
		"          3.0 MiB wait for the rest of their huge pages\n",
		"          6.0 MiB read as poison until they are written; 2.0 MiB were filled with "
		"it "
		"in 1 faults\n",
		"          trace: 7 rows, 0 batches without one of their own, 0 failed writes\n",
		"exits     vcpu0  none\n          vcpu1  pio 99\n",
		"devices   virtio-balloon    requests 55\n",
	};

	(void)state;
	client_run(&run, &client_stat_command, "guest", NULL);
	assert_int_equal(run.status, 0);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		if (!strstr(run.output, expected[i]))
			print_error("not there: %s\nin:\n%s", expected[i], run.output);
		assert_non_null(strstr(run.output, expected[i]));
	}
	/* Nothing was hinted: no row. */
	assert_null(strstr(run.output, "hint"));
}

static void add_memory(void *ctx)
{
	(void)ctx;
	control_guest_add_memory(&server.guest, "vm0");
	control_guest_add_memory(&server.guest, "vm1");
	server.guest.memory_devices[0].status.plugged_bytes = 80 * MIB;
	server.guest.memory_devices[0].status.requested_bytes = GIB;
	server.guest.memory_devices[1].status.answers[MEMORY_DEVICE_PLUG][MEMORY_DEVICE_BUSY] = 2;
}

static void memory_devices_have_their_lines(void **state)
{
	(void)state;
	control_server_call(&server, add_memory, NULL);
	client_run(&run, &client_stat_command, "guest", NULL);
	assert_non_null(
		strstr(run.output, "memory    64.0 MiB RAM, 80.0 MiB plugged, 8.0 MiB in the "));
	assert_non_null(strstr(run.output, "plugged   vm0: 80.0 MiB of 1.0 GiB asked for\n"
	                                   "          8.0 GiB at 0x100000000, node 0, "));
	assert_non_null(strstr(run.output, "          vm1: 0 B of 0 B asked for\n"));
	assert_non_null(strstr(run.output, "          the driver's requests: plug busy 2\n"));
}

static void an_estimate_says_what_it_was_made_from(void **state)
{
	(void)state;
	server.guest.reclaim.stats.looked_bytes = 16 * MIB;
	server.guest.reclaim.stats.total_bytes = 64 * MIB;
	client_run(&run, &client_stat_command, "guest", NULL);
	assert_non_null(strstr(run.output, "          1.0 MiB came back by the guest's touch, "
	                                   "estimated from 16.0 MiB of 64.0 MiB\n"));
}

static void json_is_one_object(void **state)
{
	json_t *stat;

	(void)state;
	client_run(&run, &client_stat_command, "--json guest", NULL);
	assert_int_equal(run.status, 0);
	stat = json_loads(run.output, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(stat, "memory"),
	                                                    "resident_bytes")),
	                 12 * MIB);
	json_decref(stat);
}

static void a_guest_without_a_driver_or_a_balloon_says_so(void **state)
{
	(void)state;
	server.guest.balloon.status = (struct balloon_status){ .driver_ready = false };
	client_run(&run, &client_stat_command, "guest", NULL);
	assert_non_null(strstr(run.output, "asked for; no driver in the guest\n"));
	server.guest.vm.balloon = NULL;
	client_run(&run, &client_stat_command, "guest", NULL);
	assert_non_null(strstr(run.output, "balloon   none\n"));
}

static void what_is_nothing_is_short(void **state)
{
	(void)state;
	server.guest.reclaim.stats.sources[RECLAIM_REPORT].ranges_in = 0;
	server.guest.metrics[0].counter.value = 0;
	client_run(&run, &client_stat_command, "guest", NULL);
	assert_non_null(strstr(run.output, "reclaim   nothing so far\n"));
	assert_non_null(strstr(run.output, "devices   virtio-balloon\n"));
}

static void *end_after_a_while(void *ctx)
{
	usleep(300000);
	control_server_end(ctx);
	return NULL;
}

/* In a pipe: a head, and a line each time; the guest's end is nothing bad. */
static void watching_ends_with_the_guest(void **state)
{
	pthread_t ender;
	const char *line;

	(void)state;
	assert_int_equal(pthread_create(&ender, NULL, end_after_a_while, &server), 0);
	client_run(&run, &client_stat_command, "guest --watch=0.05", NULL);
	pthread_join(ender, NULL);
	assert_int_equal(run.status, 0);
	assert_int_equal(run.err.code, 0);
	line = "       up       total    resident     balloon     released/s    came back/s   "
	       "exits/s\n"
	       "  0:00:01    64.0 MiB    12.0 MiB     8.0 MiB              -              -      "
	       "   -\n"
	       "  0:00:01    64.0 MiB    12.0 MiB     8.0 MiB            0 B            0 B      "
	       "   0\n";
	if (strncmp(run.output, line, strlen(line)))
		print_error("%s", run.output);
	assert_int_equal(strncmp(run.output, line, strlen(line)), 0);
	assert_null(strchr(run.output, '\033'));
}

/* Drawn in place on a screen of its own, which goes with all that was changed for it; the last one
 * stays. */
static void watching_on_a_terminal_leaves_it_as_it_was(void **state)
{
	const char *second, *left;
	pthread_t ender;

	(void)state;
	assert_int_equal(pthread_create(&ender, NULL, end_after_a_while, &server), 0);
	client_run_on_terminal(&run, &client_stat_command, "guest --watch=0.05");
	pthread_join(ender, NULL);
	assert_int_equal(run.status, 0);
	assert_int_equal(strncmp(run.output, "\033[?1049h\033[?25l\033[H", 17), 0);
	second = strstr(run.output + 17, "\033[H");
	assert_non_null(second);
	assert_null(strstr(run.output, "\033[2J")); /* which would flicker */
	left = strstr(second, "\033[?25h\033[?1049l");
	assert_non_null(left);
	assert_non_null(strstr(left, "64.0 MiB RAM"));
	assert_null(strstr(left, "\033[H"));
	assert_string_equal(run.output + strlen(run.output) - 17, "guest has ended\r\n");
}

static void watching_as_json_is_an_object_a_line(void **state)
{
	pthread_t ender;
	json_t *stat;

	(void)state;
	assert_int_equal(pthread_create(&ender, NULL, end_after_a_while, &server), 0);
	client_run(&run, &client_stat_command, "guest --json --watch=0.05", NULL);
	pthread_join(ender, NULL);
	assert_int_equal(run.status, 0);
	stat = json_loads(run.output, JSON_DISABLE_EOF_CHECK, NULL);
	assert_true(json_is_object(json_object_get(stat, "memory")));
	json_decref(stat);
	assert_non_null(strstr(run.output, "}\n{"));
}

static void watching_wants_a_time(void **state)
{
	(void)state;
	client_run(&run, &client_stat_command, "guest --watch=0", NULL);
	assert_int_equal(run.status, EXIT_STATUS_USAGE);
	assert_string_equal(run.err.message, "--watch=0: not a time (give seconds above 0)");
	client_run(&run, &client_stat_command, "guest --watch=soon", NULL);
	assert_int_equal(run.status, EXIT_STATUS_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_table_has_what_matters),
		TEST(memory_devices_have_their_lines),
		TEST(an_estimate_says_what_it_was_made_from),
		TEST(json_is_one_object),
		TEST(a_guest_without_a_driver_or_a_balloon_says_so),
		TEST(what_is_nothing_is_short),
		TEST(watching_ends_with_the_guest),
		TEST(watching_on_a_terminal_leaves_it_as_it_was),
		TEST(watching_as_json_is_an_object_a_line),
		TEST(watching_wants_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
