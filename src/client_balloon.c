/* SPDX-License-Identifier: Apache-2.0 */
/* `ebb balloon`: sets what the balloon takes away, and waits until it has it. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client_private.h"
#include "ebb/event_loop.h"

/* A guest that gives nothing for this long has no more to give. */
#define STALL_NS (10 * NS_PER_S)

/* The new target from SIZE, +SIZE or -SIZE. */
static int parse_target(const char *word, uint64_t old_bytes, uint64_t *ret_bytes,
                        struct error *err)
{
	const char *digits = word + (word[0] == '+' || word[0] == '-');
	uint64_t bytes;
	int ret = cmdline_parse_size(digits, MIB, &bytes);

	if (ret == -EINVAL)
		return error_set(err, -EINVAL,
		                 "balloon %s: not a size (give SIZE, +SIZE or -SIZE, such as 512M; "
		                 "a bare number is MiB)",
		                 word);
	if (!ret && word[0] == '+')
		ret = __builtin_add_overflow(old_bytes, bytes, &bytes) ? -ERANGE : 0;
	else if (!ret && word[0] == '-')
		bytes = old_bytes - min_u64(bytes, old_bytes);
	if (ret)
		return error_set(err, -EINVAL, "balloon %s: more than any guest has", word);
	*ret_bytes = align_down(bytes, PAGE_4K_BYTES);
	return 0;
}

/* What the balloon holds: what the guest could have, plugged memory included, but for what it has.
 */
static int query_actual(struct client_wait *wait, uint64_t *ret_bytes, struct error *err)
{
	json_t *memory, *balloon;
	uint64_t total_bytes;
	int ret = client_command(wait->connection, "query-memory-size-summary", NULL, &memory, err);

	if (ret)
		return ret;
	total_bytes =
		client_number(memory, "base-memory") + client_number(memory, "plugged-memory");
	json_decref(memory);
	ret = client_command(wait->connection, "query-balloon", NULL, &balloon, err);
	if (ret)
		return ret;
	*ret_bytes = total_bytes - min_u64(client_number(balloon, "actual"), total_bytes);
	json_decref(balloon);
	return 0;
}

static void explain(struct client_wait *wait, uint64_t bytes, char why[CLIENT_WHY_MAX])
{
	(void)wait;
	(void)bytes;
	strcpy(why, "see ebb stat for what the guest has");
}

static int set_target(struct client_connection *connection, const char *word,
                      struct client_wait *wait, struct error *err)
{
	json_t *stat, *result;
	char limit[SIZE_TEXT_MAX];
	bool has_balloon;
	uint64_t old_bytes, total_bytes;
	int ret = client_command(connection, "x-ebb-query-stat", NULL, &stat, err);

	if (ret)
		return ret;
	has_balloon = json_is_object(json_object_get(stat, "balloon"));
	*wait = (struct client_wait){
		.connection = connection,
		.what = "balloon",
		.start_bytes = client_number(stat, "balloon.actual_bytes"),
		.stall_ns = STALL_NS,
		.query = query_actual,
		.explain = explain,
	};
	total_bytes = client_number(stat, "memory.ram_bytes") +
	              client_number(stat, "memory.plugged_bytes");
	old_bytes = client_number(stat, "balloon.target_bytes");
	json_decref(stat);
	if (!has_balloon)
		return error_set(
			err, -EREMOTEIO,
			"balloon: this guest has none (it was started with --balloon off)");
	ret = parse_target(word, old_bytes, &wait->target_bytes, err);
	if (ret)
		return ret;
	if (wait->target_bytes >= total_bytes)
		return error_set(err, -EINVAL,
		                 "balloon %s: all of the guest's RAM (give less than %s)", word,
		                 cmdline_format_size(total_bytes, limit));
	ret = client_command(
		connection, "balloon",
		json_pack("{s:I}", "value", (json_int_t)(total_bytes - wait->target_bytes)),
		&result, err);
	if (!ret)
		json_decref(result);
	return ret;
}

static int run_balloon(const struct cmdline_command *command, int argc, char **argv,
                       struct error *err)
{
	struct client_arguments arguments;
	struct client_connection connection;
	struct client_wait wait;
	uint64_t ignored_bytes;
	int status, ret;

	if (!client_parse(command, argc, argv, &arguments, &status, err))
		return status;
	if (parse_target(arguments.word, 0, &ignored_bytes, err))
		return EXIT_STATUS_USAGE;
	ret = client_connect(arguments.name, &connection, err);
	if (ret)
		return client_status(ret);
	ret = set_target(&connection, arguments.word, &wait, err);
	if (!ret && arguments.stall_ns)
		wait.stall_ns = (int64_t)arguments.stall_ns;
	if (!ret && arguments.wait)
		ret = client_wait_for(&wait, err);
	return client_end(&connection, arguments.name, ret, err);
}

static const struct cmdline_option options[] = {
	{ 0, "wait", "[=SECONDS]",
	  "wait until the balloon has reached SIZE, or has not moved for 10 seconds, or as given",
	  client_take_wait },
};

const struct cmdline_command client_balloon_command = {
	.name = "balloon",
	.arguments = "NAME SIZE|+SIZE|-SIZE [--wait[=SECONDS]]",
	.help = "set what the balloon takes away from a guest",
	.details = "SIZE is what the balloon takes away in all; + and - change it. A bare number "
		   "is MiB. With\n--wait, status 1 says that the guest stopped short of it.\n",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.positional_min = 2,
	.positional_max = 2,
	.positional = client_take_word,
	.run = run_balloon,
};
