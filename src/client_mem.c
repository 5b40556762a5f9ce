/* SPDX-License-Identifier: Apache-2.0 */
/* `ebb mem`: a guest's memory devices, and the size that one of them is asked to have. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client_memory.h"
#include "ebb/event_loop.h"

/* Linux takes its time over a block that it has to empty first. */
#define STALL_NS (20 * NS_PER_S)

/* --- finding --- */

/* The devices in what x-ebb-query-stat says, of which there are some. */
static int check_devices(const json_t *devices, struct error *err)
{
	if (json_array_size(devices))
		return 0;
	return error_set(err, -EREMOTEIO,
	                 "mem: this guest has no memory devices (give ebb run one, such as "
	                 "--virtio-mem id=vm0,size=8G)");
}

/* "vm0, vm1" */
static void list_names(const json_t *devices, char *text, size_t size_bytes)
{
	size_t i, used = 0;
	json_t *device;

	text[0] = '\0';
	json_array_foreach(devices, i, device)
	{
		int length = snprintf(text + used, size_bytes - used, "%s%s", i ? ", " : "",
		                      client_string(device, "id"));

		used = min_u64(used + (size_t)length, size_bytes - 1);
	}
}

/* Borrowed from devices; NULL with err set. */
static const json_t *find_device(const json_t *devices, const char *id, struct error *err)
{
	struct cmdline_nearest nearest = { .word = id };
	char names[256];
	size_t i;
	json_t *device;

	json_array_foreach(devices, i, device)
	{
		if (strcmp(client_string(device, "id"), id) == 0)
			return device;
		cmdline_nearest_offer(&nearest, client_string(device, "id"));
	}
	list_names(devices, names, sizeof(names));
	if (nearest.best)
		error_set(err, -EINVAL,
		          "mem %s: no such memory device (did you mean %s? there is: %s)", id,
		          nearest.best, names);
	else
		error_set(err, -EINVAL, "mem %s: no such memory device (there is: %s)", id, names);
	return NULL;
}

/* --- asking for a size --- */

static int parse_size(const char *id, const char *word, uint64_t *ret_bytes, struct error *err)
{
	int ret = cmdline_parse_size(word, MIB, ret_bytes);

	if (ret == -EINVAL)
		return error_set(err, -EINVAL,
		                 "mem %s %s: not a size (give SIZE, such as 2G; a bare number is "
		                 "MiB)",
		                 id, word);
	if (ret || *ret_bytes > INT64_MAX)
		return error_set(err, -EINVAL, "mem %s %s: more than any guest has", id, word);
	return 0;
}

/* What the device would refuse, in the words that were typed, with what would do. */
static int check_size(const json_t *device, const char *word, uint64_t bytes, struct error *err)
{
	uint64_t region_bytes = client_number(device, "region_bytes");
	uint64_t block_bytes = client_number(device, "block_size");
	char below[SIZE_TEXT_MAX], above[SIZE_TEXT_MAX], block[SIZE_TEXT_MAX];
	const char *id = client_string(device, "id");

	if (bytes > region_bytes)
		return error_set(err, -EINVAL, "mem %s %s: above the device's size (give up to %s)",
		                 id, word, cmdline_format_size(region_bytes, below));
	if (!block_bytes || bytes % block_bytes == 0)
		return 0;
	return error_set(err, -EINVAL,
	                 "mem %s %s: not a multiple of its block size, %s (give %s or %s)", id,
	                 word, cmdline_format_size(block_bytes, block),
	                 cmdline_format_size(bytes - bytes % block_bytes, below),
	                 cmdline_format_size(bytes - bytes % block_bytes + block_bytes, above));
}

static int request_size(struct client_connection *connection, const char *id, uint64_t bytes,
                        struct error *err)
{
	json_t *result;
	int ret = client_command(connection, "qom-set",
	                         json_pack("{s:s, s:s, s:I}", "path", id, "property",
	                                   "requested-size", "value", (json_int_t)bytes),
	                         &result, err);

	if (!ret)
		json_decref(result);
	return ret;
}

/* --- waiting --- */

struct mem_wait {
	const char *id;
	const json_t *stat; /* from before the request; borrowed */
};

static int query_size(struct client_wait *wait, uint64_t *ret_bytes, struct error *err)
{
	const struct mem_wait *mem = wait->ctx;
	char asked[CLIENT_SIZE_TEXT_MAX];
	json_t *list, *entry;
	uint64_t requested_bytes = 0;
	size_t i;
	int ret = client_command(wait->connection, "query-memory-devices", NULL, &list, err);

	if (ret)
		return ret;
	json_array_foreach(list, i, entry)
	{
		const json_t *data = json_object_get(entry, "data");

		if (strcmp(client_string(data, "id"), mem->id) != 0)
			continue;
		*ret_bytes = client_number(data, "size");
		requested_bytes = client_number(data, "requested-size");
	}
	json_decref(list);
	if (requested_bytes == wait->target_bytes)
		return 0;
	return error_set(err, -EREMOTEIO, "%s: somebody asks for another size meanwhile, %s",
	                 wait->what, client_format_bytes(requested_bytes, asked));
}

static void explain(struct client_wait *wait, uint64_t bytes, char why[CLIENT_WHY_MAX])
{
	const struct mem_wait *mem = wait->ctx;
	json_t *stat;

	(void)bytes;
	if (client_command(wait->connection, "x-ebb-query-stat", NULL, &stat, NULL)) {
		strcpy(why, "see ebb stat for what the guest has");
		return;
	}
	client_memory_explain(mem->stat, stat, mem->id, why);
	json_decref(stat);
}

static int set_size(const struct client_arguments *arguments, struct client_connection *connection,
                    const json_t *stat, const json_t *device, struct error *err)
{
	struct mem_wait mem = { .id = arguments->word, .stat = stat };
	char what[DEVICE_ID_MAX + 8];
	struct client_wait wait = {
		.connection = connection,
		.what = what,
		.start_bytes = client_number(device, "plugged_bytes"),
		.stall_ns = arguments->stall_ns ? (int64_t)arguments->stall_ns : STALL_NS,
		.ctx = &mem,
		.query = query_size,
		.explain = explain,
	};
	int ret = parse_size(arguments->word, arguments->value, &wait.target_bytes, err);

	snprintf(what, sizeof(what), "mem %s", client_string(device, "id"));
	if (!ret)
		ret = check_size(device, arguments->value, wait.target_bytes, err);
	if (!ret)
		ret = request_size(connection, arguments->word, wait.target_bytes, err);
	if (!ret && arguments->wait)
		ret = client_wait_for(&wait, err);
	return ret;
}

/* --- showing --- */

static void show_table(const json_t *devices)
{
	char plugged[CLIENT_SIZE_TEXT_MAX], requested[CLIENT_SIZE_TEXT_MAX];
	char region[CLIENT_SIZE_TEXT_MAX], block[CLIENT_SIZE_TEXT_MAX];
	size_t i;
	json_t *device;

	printf("%-12s %4s  %11s %11s %11s %11s  %s\n", "DEVICE", "NODE", "PLUGGED", "REQUESTED",
	       "SIZE", "BLOCK", "DRIVER");
	json_array_foreach(devices, i, device)
	{
		printf("%-12s %4" PRIu64 "  %11s %11s %11s %11s  %s\n", client_string(device, "id"),
		       client_number(device, "node"),
		       client_format_bytes(client_number(device, "plugged_bytes"), plugged),
		       client_format_bytes(client_number(device, "requested_bytes"), requested),
		       client_format_bytes(client_number(device, "region_bytes"), region),
		       client_format_bytes(client_number(device, "block_size"), block),
		       json_is_true(json_object_get(device, "driver_ready")) ? "ready" : "none");
	}
}

static int run(const struct client_arguments *arguments, struct client_connection *connection,
               struct error *err)
{
	const json_t *devices, *device = NULL;
	json_t *stat;
	int ret = client_command(connection, "x-ebb-query-stat", NULL, &stat, err);

	if (ret)
		return ret;
	devices = json_object_get(stat, "virtio_mem");
	ret = check_devices(devices, err);
	if (!ret && arguments->word) {
		device = find_device(devices, arguments->word, err);
		ret = device ? 0 : -EINVAL;
	}
	if (!ret && arguments->value)
		ret = set_size(arguments, connection, stat, device, err);
	else if (!ret && device)
		client_memory_print(device);
	else if (!ret)
		show_table(devices);
	json_decref(stat);
	return ret;
}

static int run_mem(const struct cmdline_command *command, int argc, char **argv, struct error *err)
{
	struct client_arguments arguments;
	struct client_connection connection;
	uint64_t ignored_bytes;
	int status, ret;

	if (!client_parse(command, argc, argv, &arguments, &status, err))
		return status;
	if (arguments.wait && !arguments.value) {
		error_set(err, -EINVAL, "mem: --wait goes with a SIZE (usage: ebb mem %s)",
		          command->arguments);
		return EXIT_STATUS_USAGE;
	}
	if (arguments.value && parse_size(arguments.word, arguments.value, &ignored_bytes, err))
		return EXIT_STATUS_USAGE;
	ret = client_connect(arguments.name, &connection, err);
	if (ret)
		return client_status(ret);
	ret = run(&arguments, &connection, err);
	return client_end(&connection, arguments.name, ret, err);
}

static const struct cmdline_option options[] = {
	{ 0, "wait", "[=SECONDS]",
	  "wait until the guest has SIZE, or has not moved for 20 seconds, or as given",
	  client_take_wait },
};

const struct cmdline_command client_mem_command = {
	.name = "mem",
	.arguments = "NAME [DEVICE [SIZE [--wait[=SECONDS]]]]",
	.help = "memory devices of a guest: list, show, ask for a size",
	.details = "The guest plugs and unplugs by itself, as far as it can; SIZE is a multiple of "
		   "the device's\nblock size, a bare number is MiB, and the request stands until "
		   "another one. With --wait,\nstatus 1 says that the guest stopped short of it, "
		   "and why; 130 that a signal ended the wait.\n",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.positional_min = 1,
	.positional_max = 3,
	.positional = client_take_word,
	.run = run_mem,
};
