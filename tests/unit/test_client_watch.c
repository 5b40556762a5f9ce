/* SPDX-License-Identifier: Apache-2.0 */
/* What `ebb stat --watch` shows: stats in, text out, for terminals of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "../../src/client_watch.h"
#include "ebb/event_loop.h"

static char data[16384];
static struct client_text text;
static struct client_watch watch;
static json_t *stat;

static json_t *make_source(json_int_t requests, uint64_t bytes)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I}}", "requests",
	                 requests, "ranges_in", 2 * requests, "bytes_in", (json_int_t)(2 * bytes),
	                 "bytes_released", (json_int_t)bytes, "bytes_refused", (json_int_t)0,
	                 "refault_bytes", (json_int_t)(bytes / 4), "syscalls", requests, "errors",
	                 (json_int_t)0, "latency_ns", "p50", (json_int_t)1000, "p99",
	                 (json_int_t)2500000, "max", (json_int_t)3000000000);
}

/* A guest of 1 GiB with a number of things that all go up by it. */
static json_t *make_stat(json_int_t n)
{
	return json_pack("{s:s, s:s, s:i, s:I, s:{s:I, s:I, s:I, s:I}, s:{s:o, s:o, s:o, s:I},"
	                 " s:{s:I, s:I, s:{s:I, s:I}}, s:[{s:I, s:I}, {s:I}]}",
	                 "name", "guest", "state", "running", "pid", 42, "uptime_ms",
	                 (json_int_t)3723000, "memory", "ram_bytes", (json_int_t)GIB,
	                 "plugged_bytes", (json_int_t)0, "balloon_bytes", (json_int_t)(256 * MIB),
	                 "resident_bytes", (json_int_t)(512 * MIB) + n, "reclaim", "inflate",
	                 make_source(n, 8 * MIB * (uint64_t)n), "report", make_source(n, 0), "hint",
	                 make_source(0, 0), "refault_bytes", (json_int_t)(2 * MIB) * n, "balloon",
	                 "actual_bytes", (json_int_t)(256 * MIB), "target_bytes",
	                 (json_int_t)(512 * MIB), "guest_stats", "stat-total-memory",
	                 (json_int_t)(900 * MIB), "stat-available-memory", (json_int_t)(644 * MIB),
	                 "exits", "pio", 100 * n, "mmio", (json_int_t)0, "mmio", 20 * n);
}

static void note(json_int_t n, int64_t time_ns)
{
	json_decref(stat);
	stat = make_stat(n);
	client_watch_note(&watch, stat, time_ns);
}

static int set_up(void **state)
{
	(void)state;
	text = (struct client_text){
		.data = data, .size_bytes = sizeof(data), .width = 80, .height = 24
	};
	watch = (struct client_watch){ .name = "guest", .interval_s = 2 };
	stat = NULL;
	note(1, NS_PER_S);
	note(3, 3 * NS_PER_S);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	json_decref(stat);
	return 0;
}

static void shows(const char *expected)
{
	if (!strstr(data, expected))
		print_error("not there: %s\nin:\n%s", expected, data);
	assert_non_null(strstr(data, expected));
}

static void a_screen_of_80_by_24(void **state)
{
	(void)state;
	client_watch_screen(&watch, stat, &text);
	shows("guest  running  1.0 GiB RAM  up 1:02:03  pid 42  every 2 s\n\n");
	shows("resident  ####################....................  512.0 MiB, 50 %\n");
	shows("balloon   ##########..............................  256.0 MiB of 512.0 MiB\n");
	shows("in use    ##########..............................  256.0 MiB by its word\n");
	/* Two seconds, in which each counter went up by twice its step. */
	shows("a second  8.0 MiB released, 2.0 MiB came back, 120 exits, 2.0 batches\n");
	shows("resident, last 0:02: 512.0 MiB to 512.0 MiB\n##\n##\n");
	shows("source    batches       asked    released     refused   came back      p99\n"
	      "inflate         3    48.0 MiB    24.0 MiB         0 B     6.0 MiB   2.5 ms\n"
	      "report          3         0 B         0 B         0 B         0 B   2.5 ms\n");
	assert_null(strstr(data, "hint"));
}

static void a_terminal_that_can_gets_blocks_and_color(void **state)
{
	(void)state;
	text.utf8 = text.color = true;
	client_watch_screen(&watch, stat, &text);
	shows("\033[1mguest\033[0m\033[32m  running\033[0m");
	shows("\033[36m████████████████████\033[0m\033[2m····················\033[0m");
}

/* No line is wider, no screen longer than the terminal, however small. */
static void any_size_is_kept_to(void **state)
{
	(void)state;
	for (unsigned int width = 1; width <= 200; width += 3) {
		for (unsigned int height = 1; height <= 40; height += 3) {
			unsigned int lines = 0, column = 0;

			text.width = width;
			text.height = height;
			client_watch_screen(&watch, stat, &text);
			for (const char *at = data; *at; at++) {
				column = *at == '\n' ? 0 : column + 1;
				lines += *at == '\n';
				assert_true(column <= width);
			}
			assert_true(lines <= height);
		}
	}
}

/* What matters most stays: the table's first columns, and its rows before the graph. */
static void a_small_screen_leaves_out_what_matters_least(void **state)
{
	(void)state;
	text.width = 34;
	text.height = 10;
	client_watch_screen(&watch, stat, &text);
	shows("resident  512.0 MiB, 50 %\n");
	shows("source      released     refused\n"
	      "inflate     24.0 MiB         0 B\n"
	      "report           0 B         0 B\n");
	assert_null(strstr(data, "\n\n"));
}

static void a_guest_that_says_nothing(void **state)
{
	(void)state;
	json_decref(stat);
	stat = json_pack("{s:s, s:n, s:{s:I}}", "state", "paused", "balloon", "memory", "ram_bytes",
	                 (json_int_t)GIB);
	watch.count = 0;
	client_watch_note(&watch, stat, 0);
	client_watch_screen(&watch, stat, &text);
	shows("guest  paused  1.0 GiB RAM");
	shows("resident  ........................................  0 B, 0 %\n");
	shows("a second  after the next look\n");
	shows("nothing released so far\n");
	assert_null(strstr(data, "balloon"));
	assert_null(strstr(data, "in use"));
}

/* An estimate of refaults may fall; time may stand still. */
static void rates_are_never_negative(void **state)
{
	(void)state;
	note(1, 5 * NS_PER_S);
	client_watch_screen(&watch, stat, &text);
	shows("a second  0 B released, 0 B came back, 0 exits, 0.0 batches\n");
	note(5, 5 * NS_PER_S);
	client_watch_screen(&watch, stat, &text);
	shows("a second  after the next look\n");
}

static void history_is_a_ring(void **state)
{
	(void)state;
	for (int64_t n = 0; n < 3 * CLIENT_WATCH_SAMPLES_MAX; n++)
		note(n, n * NS_PER_S);
	assert_int_equal(watch.count, CLIENT_WATCH_SAMPLES_MAX);
	client_watch_screen(&watch, stat, &text);
	shows("resident, last 1:19: ");
	text.width = 0;
	client_watch_screen(&watch, stat, &text);
	shows("resident, last 1:19: ");
	text.width = 400;
	client_watch_screen(&watch, stat, &text);
	shows("resident, last 4:15: ");
}

static void plugged_memory_counts(void **state)
{
	(void)state;
	json_object_set_new(json_object_get(stat, "memory"), "plugged_bytes",
	                    json_integer((json_int_t)GIB));
	client_watch_screen(&watch, stat, &text);
	shows("2.0 GiB RAM (1.0 GiB plugged)");
	shows("512.0 MiB, 25 %\n");
	assert_null(strstr(data, "\nplugged"));
	json_object_set_new(stat, "virtio_mem",
	                    json_pack("[{s:I, s:I}, {s:I, s:I}]", "plugged_bytes", (json_int_t)GIB,
	                              "requested_bytes", (json_int_t)(3 * GIB), "plugged_bytes",
	                              (json_int_t)0, "requested_bytes", (json_int_t)GIB));
	client_watch_screen(&watch, stat, &text);
	shows("\nplugged   ##########..............................  1.0 GiB of 4.0 GiB\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_screen_of_80_by_24),      TEST(a_terminal_that_can_gets_blocks_and_color),
		TEST(any_size_is_kept_to),       TEST(a_small_screen_leaves_out_what_matters_least),
		TEST(a_guest_that_says_nothing), TEST(rates_are_never_negative),
		TEST(history_is_a_ring),         TEST(plugged_memory_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
