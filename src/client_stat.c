/* SPDX-License-Identifier: Apache-2.0 */
/* `ebb stat`: a guest's memory, reclaim, devices and exits, for eyes or as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client_memory.h"
#include "client_watch.h"

#define WATCH_DEFAULT_NS ((uint64_t)(2 * NS_PER_S))

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

	printf("memory    %s RAM, ", size_at(&texts, stat, "memory.ram_bytes"));
	if (client_number(stat, "memory.plugged_bytes"))
		printf("%s plugged, ", size_at(&texts, stat, "memory.plugged_bytes"));
	printf("%s in the balloon, %s resident on the host\n",
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

/* One a device, under the label of the first. */
static void print_memory_devices(const json_t *stat)
{
	size_t i;
	json_t *device;

	json_array_foreach(json_object_get(stat, "virtio_mem"), i, device)
	{
		printf("%-10s", i ? "" : "plugged");
		client_memory_print(device);
	}
}

static void print_refaults(const json_t *reclaim)
{
	uint64_t looked_bytes = client_number(reclaim, "look.looked_bytes");
	uint64_t of_bytes = client_number(reclaim, "look.of_bytes");
	struct size_texts texts = { .used = 0 };

	if (!client_number(reclaim, "refault_bytes"))
		return;
	printf("          %s came back by the guest's touch",
	       size_at(&texts, reclaim, "refault_bytes"));
	if (looked_bytes < of_bytes)
		printf(", estimated from %s of %s", size_at(&texts, reclaim, "look.looked_bytes"),
		       size_at(&texts, reclaim, "look.of_bytes"));
	printf("\n");
}

/* What was refused, by source and reason. */
static void print_refusals(const json_t *reclaim)
{
	char size[CLIENT_SIZE_TEXT_MAX];
	const char *name, *reason;
	json_t *source, *bytes;

	json_object_foreach((json_t *)(uintptr_t)reclaim, name, source)
	{
		if (!client_number(source, "bytes_refused"))
			continue;
		printf("          %s refused:", name);
		json_object_foreach(json_object_get(source, "refused"), reason, bytes)
		{
			if (json_integer_value(bytes))
				printf("  %s %s", reason,
				       client_format_bytes((uint64_t)json_integer_value(bytes),
				                           size));
		}
		printf("\n");
	}
}

/* What happens beside the releases, where anything does. */
static void print_aside(const json_t *reclaim)
{
	struct size_texts texts = { .used = 0 };

	if (client_number(reclaim, "deferred_bytes"))
		printf("          %s wait for the rest of their huge pages\n",
		       size_at(&texts, reclaim, "deferred_bytes"));
	if (client_number(reclaim, "refill.guarded_bytes") ||
	    client_number(reclaim, "refill.bytes"))
		printf("          %s read as poison until they are written; %s were filled with it "
		       "in %" PRIu64 " faults\n",
		       size_at(&texts, reclaim, "refill.guarded_bytes"),
		       size_at(&texts, reclaim, "refill.bytes"),
		       client_number(reclaim, "refill.faults"));
	if (json_is_true(json_object_get(json_object_get(reclaim, "trace"), "active")) ||
	    client_number(reclaim, "trace.rows"))
		printf("          trace: %" PRIu64 " rows, %" PRIu64
		       " batches without one of their own, %" PRIu64 " failed writes\n",
		       client_number(reclaim, "trace.rows"),
		       client_number(reclaim, "trace.dropped"),
		       client_number(reclaim, "trace.failed"));
}

static void print_reclaim(const json_t *stat)
{
	const json_t *reclaim = json_object_get(stat, "reclaim");
	char table[4 * KIB];
	struct client_text text = { .data = table, .size_bytes = sizeof(table) };
	struct winsize size = { 0 };

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		text.width = size.ws_col;
	client_text_start(&text);
	client_text_put(&text, CLIENT_PLAIN, "reclaim");
	if (client_put_sources(&text, reclaim, 10))
		fputs(text.data, stdout);
	else
		printf("reclaim   nothing so far\n");
	print_refusals(reclaim);
	print_refaults(reclaim);
	print_aside(reclaim);
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
	print_memory_devices(stat);
	print_balloon(stat);
	print_reclaim(stat);
	print_exits(stat);
	print_devices(stat);
}

static int print_once(struct client_connection *connection,
                      const struct client_arguments *arguments, struct error *err)
{
	json_t *stat;
	int ret = client_command(connection, "x-ebb-query-stat", NULL, &stat, err);

	if (ret)
		return ret;
	if (arguments->json) {
		json_dumpf(stat, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_stat(stat);
	}
	json_decref(stat);
	return fflush(stdout) == 0 ? 0 : error_set_errno(err, -errno, "stdout");
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
	ret = arguments.watch ? client_watch_run(&connection, &arguments, err)
	                      : print_once(&connection, &arguments, err);
	return client_end(&connection, arguments.name, ret, err);
}

static const struct cmdline_option options[] = {
	{ 0, "json", NULL, "print an object; with --watch, one a line each time",
	  client_take_json },
	{ 0, "watch", "[=SECONDS]",
	  "a screen that is drawn anew every 2 seconds, or as given; in a pipe, a line each time",
	  take_watch },
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
