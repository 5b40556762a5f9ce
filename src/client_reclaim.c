/* SPDX-License-Identifier: Apache-2.0 */
/* `ebb reclaim`: has a guest's unused memory given back now, and says what came of it. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "client_private.h"

#define POLL_MS 200

/* Longer than any run: asking, inflating and deflating have limits of their own. */
#define REPLY_TIMEOUT_MS 300000

static int take_keep(void *target, const struct cmdline_option *option, const char *value,
                     struct error *err)
{
	struct client_arguments *arguments = target;

	(void)option;
	if (cmdline_parse_size(value, MIB, &arguments->keep_bytes) ||
	    arguments->keep_bytes > INT64_MAX)
		return error_set(err, -EINVAL,
		                 "--keep %s: not a size (give SIZE, such as 128M; a bare number is "
		                 "MiB)",
		                 value);
	arguments->keep_given = true;
	return 0;
}

/* Why a run let go, for people. */
static const char *explain_end(const char *end)
{
	static const char *const reasons[][2] = {
		{ "reserve", "the guest's free memory fell below the reserve" },
		{ "guest-allocates", "the guest has begun to use memory" },
		{ "stalled", "the guest gives no more" },
		{ "timeout", "it took too long" },
		{ "no-statistics", "the guest told no statistics" },
		{ "cancelled", "it was cancelled" },
		{ "balloon-set", "another balloon size was set" },
		{ "driver-gone", "the guest was reset, or its balloon driver went" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (strcmp(end, reasons[i][0]) == 0)
			return reasons[i][1];
	}
	return end;
}

/*
 * What a terminal shows while a run goes. A signal that ends the command waits until the line is
 * wiped, and then takes its course, as whoever started the command may have to know.
 */
struct progress {
	bool shown, watches;
	struct client_connection watcher; /* a second connection, to look with */
	struct client_ending ending;
};

static void start_progress(struct progress *progress, const char *name,
                           struct client_connection *connection)
{
	*progress = (struct progress){ .shown = isatty(STDOUT_FILENO) };
	if (!progress->shown)
		return;
	client_ending_catch(&progress->ending, connection);
	progress->watches = !client_connect(name, &progress->watcher, NULL);
	if (progress->watches)
		progress->watcher.end_fd = connection->end_fd;
}

static void show_progress(struct progress *progress)
{
	char taken[CLIENT_SIZE_TEXT_MAX], goal[CLIENT_SIZE_TEXT_MAX], text[128];
	uint64_t taken_bytes, goal_bytes;
	json_t *run;

	if (!progress->watches ||
	    client_command(&progress->watcher, "x-ebb-query-reclaim-run", NULL, &run, NULL))
		return;
	taken_bytes = client_number(run, "taken_bytes");
	goal_bytes = client_number(run, "goal_bytes");
	snprintf(text, sizeof(text), "%s: %s of %s", client_string(run, "phase"),
	         client_format_bytes(taken_bytes, taken), client_format_bytes(goal_bytes, goal));
	client_show_bar(goal_bytes ? taken_bytes : 0, goal_bytes ? goal_bytes : 1, text);
	json_decref(run);
}

static void end_progress(struct progress *progress, struct client_connection *connection)
{
	if (!progress->shown)
		return;
	if (progress->watches)
		client_disconnect(&progress->watcher);
	client_ending_release(&progress->ending, connection, false);
}

static int wait_for_run(struct client_connection *connection, struct progress *progress,
                        json_t **ret_result, struct error *err)
{
	json_t *reply;
	int waited_ms = 0, ret = -ETIMEDOUT;

	for (; ret == -ETIMEDOUT && waited_ms < REPLY_TIMEOUT_MS; waited_ms += POLL_MS) {
		struct error ignored = ERROR_INIT;

		ret = client_wait_reply(connection, POLL_MS, &reply, &ignored);
		if (ret && ret != -ETIMEDOUT)
			*err = ignored;
		if (ret == -ETIMEDOUT)
			show_progress(progress);
	}
	if (progress->shown) {
		printf("\r\033[K");
		fflush(stdout);
	}
	if (ret == -ETIMEDOUT)
		error_set(err, ret, "the guest's ebb does not answer (waited %d s)",
		          REPLY_TIMEOUT_MS / 1000);
	return ret ? ret : client_take_result(reply, ret_result, err);
}

/* The line that says it all; -EREMOTEIO when the run ended short. */
static int report(const char *name, const json_t *run, struct error *err)
{
	char returned[CLIENT_SIZE_TEXT_MAX], before[CLIENT_SIZE_TEXT_MAX];
	char after[CLIENT_SIZE_TEXT_MAX], keep[CLIENT_SIZE_TEXT_MAX];
	const char *end = client_string(run, "end");

	printf("%s: %s given back in %.1f s (resident: %s, now %s; reserve %s)\n", name,
	       client_format_bytes(client_number(run, "returned_bytes"), returned),
	       (double)client_number(run, "duration_ms") / 1000,
	       client_format_bytes(client_number(run, "resident_before_bytes"), before),
	       client_format_bytes(client_number(run, "resident_after_bytes"), after),
	       client_format_bytes(client_number(run, "keep_bytes"), keep));
	if (strcmp(end, "done") == 0)
		return 0;
	return error_set(err, -EREMOTEIO, "reclaim: ended early: %s", explain_end(end));
}

static int reclaim(const struct client_arguments *arguments, struct client_connection *connection,
                   struct error *err)
{
	struct progress progress;
	json_t *keep = NULL, *run;
	int ret;

	if (arguments->keep_given)
		keep = json_pack("{s:I}", "keep", (json_int_t)arguments->keep_bytes);
	ret = client_send_request(
		connection, json_pack("{s:s, s:o*}", "execute", "x-ebb-reclaim", "arguments", keep),
		err);
	if (ret)
		return ret;
	start_progress(&progress, arguments->name, connection);
	ret = wait_for_run(connection, &progress, &run, err);
	if (ret == -ECANCELED) {
		/* ebb cancels a run whose client hangs up. */
		printf("%s: cancelled, the guest takes its memory back\n", arguments->name);
		fflush(stdout);
		ret = error_set(err, -EREMOTEIO, "reclaim: ended early: %s",
		                explain_end("cancelled"));
	} else if (!ret) {
		ret = report(arguments->name, run, err);
		json_decref(run);
	}
	end_progress(&progress, connection);
	return ret;
}

static int run_reclaim(const struct cmdline_command *command, int argc, char **argv,
                       struct error *err)
{
	struct client_arguments arguments;
	struct client_connection connection;
	int status, ret;

	if (!client_parse(command, argc, argv, &arguments, &status, err))
		return status;
	ret = client_connect(arguments.name, &connection, err);
	if (ret)
		return client_status(ret);
	ret = reclaim(&arguments, &connection, err);
	return client_end(&connection, arguments.name, ret, err);
}

static const struct cmdline_option options[] = {
	{ 0, "keep", "SIZE", "free memory that the guest is left with meanwhile", take_keep },
};

const struct cmdline_command client_reclaim_command = {
	.name = "reclaim",
	.arguments = "NAME [--keep SIZE]",
	.help = "give back now what a guest does not use",
	.details =
		"The balloon takes the guest's free memory, all but SIZE, the host gets it, and "
		"the guest may\nuse it again at once. SIZE is the larger of 64 MiB and a twentieth "
		"of its RAM by default; a\nbare number is MiB. Ctrl-C lets go. Status 1 says that "
		"it ended early, and why.\n",
	.options = options,
	.option_count = ARRAY_SIZE(options),
	.positional_min = 1,
	.positional_max = 1,
	.positional = client_take_word,
	.run = run_reclaim,
};
