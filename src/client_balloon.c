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
#define POLL_MS  500

static int take_wait(void *target, const struct cmdline_option *option, const char *value,
                     struct error *err)
{
	(void)option;
	(void)value;
	(void)err;
	((struct client_arguments *)target)->wait = true;
	return 0;
}

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

struct balloon_wait {
	struct client_connection *connection;
	uint64_t ram_bytes, start_bytes, target_bytes;
	bool shows_progress;
};

static void show_progress(const struct balloon_wait *wait, uint64_t actual_bytes)
{
	char actual[CLIENT_SIZE_TEXT_MAX], target[CLIENT_SIZE_TEXT_MAX];
	char text[2 * CLIENT_SIZE_TEXT_MAX + 8];
	uint64_t start = wait->start_bytes, whole, part;

	if (!wait->shows_progress)
		return;
	whole = start < wait->target_bytes ? wait->target_bytes - start
	                                   : start - wait->target_bytes;
	part = start < wait->target_bytes ? actual_bytes - min_u64(start, actual_bytes)
	                                  : start - min_u64(start, actual_bytes);
	snprintf(text, sizeof(text), "%s of %s", client_format_bytes(actual_bytes, actual),
	         client_format_bytes(wait->target_bytes, target));
	client_show_bar(part, whole, text);
}

static int query_actual(const struct balloon_wait *wait, uint64_t *ret_bytes, struct error *err)
{
	json_t *result;
	int ret = client_command(wait->connection, "query-balloon", NULL, &result, err);

	if (ret)
		return ret;
	*ret_bytes = wait->ram_bytes - min_u64(client_number(result, "actual"), wait->ram_bytes);
	json_decref(result);
	return 0;
}

/* Until the balloon holds the target, or nothing moves any more: -EREMOTEIO then. */
static int wait_for_target(const struct balloon_wait *wait, struct error *err)
{
	char actual[CLIENT_SIZE_TEXT_MAX], target[CLIENT_SIZE_TEXT_MAX];
	uint64_t actual_bytes, last_bytes = UINT64_MAX;
	int64_t moved_ns = monotonic_ns();

	for (;;) {
		int ret = query_actual(wait, &actual_bytes, err);

		if (ret)
			return ret;
		show_progress(wait, actual_bytes);
		if (actual_bytes == wait->target_bytes)
			return 0;
		if (actual_bytes != last_bytes)
			moved_ns = monotonic_ns();
		last_bytes = actual_bytes;
		if (monotonic_ns() - moved_ns > STALL_NS)
			return error_set(err, -EREMOTEIO,
			                 "balloon: still at %s of %s after %d s without progress "
			                 "(see ebb stat for what the guest has)",
			                 client_format_bytes(actual_bytes, actual),
			                 client_format_bytes(wait->target_bytes, target),
			                 (int)(STALL_NS / NS_PER_S));
		ret = client_wait_event(wait->connection, POLL_MS);
		if (ret)
			return error_set(err, ret, "balloon: the guest ended");
	}
}

static int set_target(struct client_connection *connection, const char *word,
                      struct balloon_wait *wait, struct error *err)
{
	json_t *stat, *result;
	char limit[SIZE_TEXT_MAX];
	bool has_balloon;
	uint64_t old_bytes;
	int ret = client_command(connection, "x-ebb-query-stat", NULL, &stat, err);

	if (ret)
		return ret;
	has_balloon = json_is_object(json_object_get(stat, "balloon"));
	*wait = (struct balloon_wait){
		.connection = connection,
		.ram_bytes = client_number(stat, "memory.ram_bytes"),
		.start_bytes = client_number(stat, "balloon.actual_bytes"),
		.shows_progress = isatty(STDOUT_FILENO),
	};
	old_bytes = client_number(stat, "balloon.target_bytes");
	json_decref(stat);
	if (!has_balloon)
		return error_set(
			err, -EREMOTEIO,
			"balloon: this guest has none (it was started with --balloon off)");
	ret = parse_target(word, old_bytes, &wait->target_bytes, err);
	if (ret)
		return ret;
	if (wait->target_bytes >= wait->ram_bytes)
		return error_set(err, -EINVAL,
		                 "balloon %s: all of the guest's RAM (give less than %s)", word,
		                 cmdline_format_size(wait->ram_bytes, limit));
	ret = client_command(
		connection, "balloon",
		json_pack("{s:I}", "value", (json_int_t)(wait->ram_bytes - wait->target_bytes)),
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
	struct balloon_wait wait;
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
	if (!ret && arguments.wait) {
		ret = wait_for_target(&wait, err);
		if (wait.shows_progress)
			putchar('\n');
	}
	if (ret)
		error_prefix(err, "%s", arguments.name);
	client_disconnect(&connection);
	return client_status(ret);
}

static const struct cmdline_option options[] = {
	{ 0, "wait", NULL, "wait until the balloon has reached SIZE", take_wait },
};

const struct cmdline_command client_balloon_command = {
	.name = "balloon",
	.arguments = "NAME SIZE|+SIZE|-SIZE [--wait]",
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
