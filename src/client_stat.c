/* SPDX-License-Identifier: Apache-2.0 */
/* `ebb stat`: a guest's memory, reclaim, devices and exits, for eyes or as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "client_private.h"
#include "ebb/event_loop.h"

#define WATCH_DEFAULT_NS ((uint64_t)(2 * NS_PER_S))
#define WATCH_MAX_NS     ((uint64_t)NS_PER_S * 1000000) /* sums of it do not overflow */
#define WAIT_MAX_MS      60000
#define SCREEN_BYTES     (64 * KIB)

static int take_watch(void *target, const struct cmdline_option *option, const char *value,
                      struct error *err)
{
	struct client_arguments *arguments = target;

	arguments->watch = true;
	arguments->watch_ns = WATCH_DEFAULT_NS;
	if (value && (cmdline_parse_seconds(value, &arguments->watch_ns) || !arguments->watch_ns))
		return error_set(err, -EINVAL, "--%s=%s: not a time (give seconds above 0)",
		                 option->name, value);
	return 0;
}

/* One of the formatted sizes of a line; they live as long as the line is printed. */
struct size_texts {
	char texts[6][CLIENT_SIZE_TEXT_MAX];
	size_t used;
};

static const char *size_at(struct size_texts *texts, const json_t *object, const char *path)
{
	return client_format_bytes(client_number(object, path), texts->texts[texts->used++]);
}

static void print_memory(const json_t *stat)
{
	struct size_texts texts = { .used = 0 };

	printf("memory    %s RAM, %s in the balloon, %s resident on the host\n",
	       size_at(&texts, stat, "memory.ram_bytes"),
	       size_at(&texts, stat, "memory.balloon_bytes"),
	       size_at(&texts, stat, "memory.resident_bytes"));
}

static void print_guest_stats(const json_t *guest_stats)
{
	char text[CLIENT_SIZE_TEXT_MAX];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)guest_stats, key, value)
	{
		uint64_t number = (uint64_t)json_integer_value(value);

		if (strstr(key, "memory") || strstr(key, "caches"))
			printf("          %-24s %s\n", key, client_format_bytes(number, text));
		else
			printf("          %-24s %" PRIu64 "\n", key, number);
	}
}

static void print_balloon(const json_t *stat)
{
	const json_t *balloon = json_object_get(stat, "balloon");
	struct size_texts texts = { .used = 0 };
	size_t i;
	json_t *feature;

	if (!json_is_object(balloon)) {
		printf("balloon   none\n");
		return;
	}
	printf("balloon   %s of %s asked for%s\n", size_at(&texts, balloon, "actual_bytes"),
	       size_at(&texts, balloon, "target_bytes"),
	       json_is_true(json_object_get(balloon, "driver_ready")) ? ""
	                                                              : "; no driver in the guest");
	if (json_array_size(json_object_get(balloon, "features"))) {
		printf("          features");
		json_array_foreach(json_object_get(balloon, "features"), i, feature)
			printf(" %s", json_string_value(feature));
		if (client_number(balloon, "poison_value"))
			printf(" (poison 0x%" PRIx64 ")", client_number(balloon, "poison_value"));
		printf("\n");
	}
	print_guest_stats(json_object_get(balloon, "guest_stats"));
}

static void print_reclaim(const json_t *stat)
{
	const json_t *reclaim = json_object_get(stat, "reclaim"), *source;
	bool has_rows = false;
	const char *name;

	json_object_foreach((json_t *)(uintptr_t)reclaim, name, source)
	{
		struct size_texts texts = { .used = 0 };

		if (!json_is_object(source) || !client_number(source, "ranges_in"))
			continue;
		if (!has_rows)
			printf("reclaim   %-8s %9s %9s %9s %11s %11s %11s %9s %6s %9s\n", "source",
			       "requests", "ranges", "merged", "asked", "released", "refused",
			       "syscalls", "errors", "p99 us");
		has_rows = true;
		printf("          %-8s %9" PRIu64 " %9" PRIu64 " %9" PRIu64
		       " %11s %11s %11s %9" PRIu64 " %6" PRIu64 " %9" PRIu64 "\n",
		       name, client_number(source, "requests"), client_number(source, "ranges_in"),
		       client_number(source, "ranges_released"),
		       size_at(&texts, source, "bytes_in"),
		       size_at(&texts, source, "bytes_released"),
		       size_at(&texts, source, "bytes_refused"), client_number(source, "syscalls"),
		       client_number(source, "errors"),
		       client_number(source, "latency_ns.p99") / (uint64_t)NS_PER_US);
	}
	if (!has_rows)
		printf("reclaim   nothing so far\n");
	if (client_number(reclaim, "refault_bytes")) {
		struct size_texts texts = { .used = 0 };

		printf("          %s came back by the guest's touch\n",
		       size_at(&texts, reclaim, "refault_bytes"));
	}
}

/* What is not zero of an object of counts. Returns whether anything was. */
static bool print_counts(const json_t *counts)
{
	bool printed = false;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)counts, name, value)
	{
		if (!json_integer_value(value))
			continue;
		printf("  %s %" JSON_INTEGER_FORMAT, name, json_integer_value(value));
		printed = true;
	}
	return printed;
}

static void print_exits(const json_t *stat)
{
	const json_t *exits = json_object_get(stat, "exits"), *vcpu;
	size_t index;

	json_array_foreach(exits, index, vcpu)
	{
		printf("%s  vcpu%zu", index ? "        " : "exits   ", index);
		puts(print_counts(vcpu) ? "" : "  none");
	}
}

static bool counted_something(const json_t *device)
{
	const char *name;
	json_t *value;

	json_object_foreach(json_object_get(device, "metrics"), name, value)
	{
		if (json_integer_value(value))
			return true;
	}
	return false;
}

/* A row for each device that has counted something, and one for all the others. */
static void print_devices(const json_t *stat)
{
	const json_t *devices = json_object_get(stat, "devices"), *device;
	const char *head = "devices ";
	size_t index, quiet = 0;

	json_array_foreach(devices, index, device)
	{
		if (!counted_something(device)) {
			quiet++;
			continue;
		}
		printf("%s  %-16s", head, client_string(device, "id"));
		print_counts(json_object_get(device, "metrics"));
		printf("\n");
		head = "        ";
	}
	if (!quiet)
		return;
	printf("%s ", head);
	json_array_foreach(devices, index, device)
	{
		if (!counted_something(device))
			printf(" %s", client_string(device, "id"));
	}
	printf("\n");
}

static void print_stat(const json_t *stat)
{
	uint64_t uptime_s = client_number(stat, "uptime_ms") / 1000;

	printf("%-9s %s, %s, pid %" PRIu64 ", up %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "\n",
	       client_string(stat, "name"), client_string(stat, "state"),
	       client_string(stat, "arch"), client_number(stat, "pid"), uptime_s / 3600,
	       uptime_s / 60 % 60, uptime_s % 60);
	print_memory(stat);
	print_balloon(stat);
	print_reclaim(stat);
	print_exits(stat);
	print_devices(stat);
}

/* head: what comes in front of the table. */
static int print_once(struct client_connection *connection,
                      const struct client_arguments *arguments, const char *head, struct error *err)
{
	json_t *stat;
	int ret = client_command(connection, "x-ebb-query-stat", NULL, &stat, err);

	if (ret)
		return ret;
	if (arguments->json) {
		json_dumpf(stat, stdout, arguments->watch ? 0 : JSON_INDENT(2));
		putchar('\n');
	} else {
		fputs(head, stdout);
		print_stat(stat);
	}
	json_decref(stat);
	return fflush(stdout) == 0 ? 0 : error_set_errno(err, -errno, "stdout");
}

/* Until it is time, or the guest's ebb is gone: -EPIPE. */
static int wait_until(struct client_connection *connection, int64_t time_ns)
{
	for (;;) {
		int64_t left_ns = time_ns - monotonic_ns();
		int ret;

		if (left_ns <= 0)
			return 0;
		ret = client_wait_event(
			connection, (int)min_u64((uint64_t)(left_ns / NS_PER_MS) + 1, WAIT_MAX_MS));
		if (ret)
			return ret;
	}
}

/* A guest that ends while it is watched is no failure. */
static int watch(struct client_connection *connection, const struct client_arguments *arguments,
                 struct error *err)
{
	bool clears = isatty(STDOUT_FILENO);
	const char *head = clears ? "\033[H\033[J" : "";
	int64_t time_ns = monotonic_ns();
	int ret;

	if (clears) /* a whole table at a time: it does not flicker */
		setvbuf(stdout, NULL, _IOFBF, SCREEN_BYTES);
	for (;;) {
		ret = print_once(connection, arguments, head, err);
		if (ret)
			break;
		if (!clears)
			head = "\n";
		time_ns += (int64_t)min_u64(arguments->watch_ns, WATCH_MAX_NS);
		ret = wait_until(connection, time_ns);
		if (ret)
			break;
	}
	if (ret != -EPIPE)
		return ret;
	*err = (struct error)ERROR_INIT;
	return 0;
}

static int run_stat(const struct cmdline_command *command, int argc, char **argv, struct error *err)
{
	struct client_arguments arguments;
	struct client_connection connection;
	int status, ret;

	if (!client_parse(command, argc, argv, &arguments, &status, err))
		return status;
	ret = client_connect(arguments.name, &connection, err);
	if (ret)
		return client_status(ret);
	ret = arguments.watch ? watch(&connection, &arguments, err)
	                      : print_once(&connection, &arguments, "", err);
	if (ret)
		error_prefix(err, "%s", arguments.name);
	client_disconnect(&connection);
	return client_status(ret);
}

static const struct cmdline_option options[] = {
	{ 0, "json", NULL, "print an object; with --watch, one a line", client_take_json },
	{ 0, "watch", "[=SECONDS]",
	  "print again every 2 seconds, or as given, until the guest ends", take_watch },
};

const struct cmdline_command client_stat_command = {
	.name = "stat",
	.arguments = "NAME [--json] [--watch[=SECONDS]]",
	.help = "memory, reclaim, devices and exits of a guest",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.positional_min = 1,
	.positional_max = 1,
	.positional = client_take_word,
	.run = run_stat,
};
