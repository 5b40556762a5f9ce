/* SPDX-License-Identifier: Apache-2.0 */
/* `ebb list`: the running guests of this user. */
#include <inttypes.h>
#include <jansson.h>

#include "client_private.h"

static json_t *query_guest(const char *name)
{
	struct client_connection connection;
	json_t *stat;
	int ret;

	if (client_connect(name, &connection, NULL))
		return NULL;
	ret = client_command(&connection, "x-ebb-query-stat", NULL, &stat, NULL);
	client_disconnect(&connection);
	return ret ? NULL : stat;
}

static void print_guest(const char *name, const json_t *stat)
{
	char ram[CLIENT_SIZE_TEXT_MAX], balloon[CLIENT_SIZE_TEXT_MAX],
		resident[CLIENT_SIZE_TEXT_MAX];
	uint64_t uptime_s = client_number(stat, "uptime_ms") / 1000;

	if (!stat) {
		printf("%-20s  does not answer\n", name);
		return;
	}
	printf("%-20s %8" PRIu64 "  %-8s %4" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " %11s %11s %11s\n",
	       name, client_number(stat, "pid"), client_string(stat, "state"), uptime_s / 3600,
	       uptime_s / 60 % 60, uptime_s % 60,
	       client_format_bytes(client_number(stat, "memory.ram_bytes"), ram),
	       client_format_bytes(client_number(stat, "memory.balloon_bytes"), balloon),
	       client_format_bytes(client_number(stat, "memory.resident_bytes"), resident));
}

static void append_guest(json_t *list, const char *name, const json_t *stat)
{
	static const char *const keys[] = { "pid", "arch", "state", "uptime_ms", "memory" };
	json_t *object = json_pack("{s:s}", "name", name);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_object_set(object, keys[i], json_object_get(stat, keys[i]));
	json_array_append_new(list, object);
}

static int run_list(const struct cmdline_command *command, int argc, char **argv, struct error *err)
{
	struct client_arguments arguments;
	json_t *list;
	char **names;
	size_t count;
	int status;

	if (!client_parse(command, argc, argv, &arguments, &status, err))
		return status;
	if (client_running(&names, &count, err))
		return EXIT_STATUS_FAILURE;
	list = json_array();
	if (!arguments.json && count)
		printf("%-20s %8s  %-8s %10s %11s %11s %11s\n", "NAME", "PID", "STATE", "UPTIME",
		       "RAM", "BALLOON", "RESIDENT");
	for (size_t i = 0; i < count; i++) {
		json_t *stat = query_guest(names[i]);

		if (arguments.json)
			append_guest(list, names[i], stat);
		else
			print_guest(names[i], stat);
		json_decref(stat);
	}
	if (arguments.json) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(list);
	client_free_names(names, count);
	return 0;
}

static const struct cmdline_option options[] = {
	{ 0, "json", NULL, "print a list of objects", client_take_json },
};

const struct cmdline_command client_list_command = {
	.name = "list",
	.arguments = "[--json]",
	.help = "the running guests of this user",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.run = run_list,
};
