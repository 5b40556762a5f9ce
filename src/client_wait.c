/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting until a guest has given or taken what was asked: `ebb balloon --wait`, `ebb mem --wait`.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client_private.h"
#include "ebb/event_loop.h"

#define POLL_MS 500

int client_take_wait(void *target, const struct cmdline_option *option, const char *value,
                     struct error *err)
{
	struct client_arguments *arguments = target;

	arguments->wait = true;
	if (value && (cmdline_parse_seconds(value, &arguments->stall_ns) || !arguments->stall_ns ||
	              arguments->stall_ns > INT64_MAX))
		return error_set(err, -EINVAL, "--%s=%s: not a time (give seconds above 0)",
		                 option->name, value);
	return 0;
}

void client_ending_catch(struct client_ending *ending, struct client_connection *connection)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGQUIT);
	ending->fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (ending->fd < 0)
		return;
	pthread_sigmask(SIG_BLOCK, &signals, &ending->old_signals);
	connection->end_fd = &ending->fd;
}

void client_ending_release(struct client_ending *ending, struct client_connection *connection,
                           bool forget)
{
	struct signalfd_siginfo info;

	if (ending->fd < 0)
		return;
	connection->end_fd = NULL;
	while (forget && read(ending->fd, &info, sizeof(info)) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &ending->old_signals, NULL);
	close(ending->fd);
	ending->fd = -1;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a < b ? b - a : a - b;
}

/* From where it began towards the target; on the other side of the start, nothing. */
static void show_progress(const struct client_wait *wait, uint64_t bytes)
{
	char reached[CLIENT_SIZE_TEXT_MAX], target[CLIENT_SIZE_TEXT_MAX];
	char text[2 * CLIENT_SIZE_TEXT_MAX + 8];
	bool grows = wait->start_bytes < wait->target_bytes;
	bool ahead = grows ? bytes > wait->start_bytes : bytes < wait->start_bytes;
	uint64_t whole = distance(wait->start_bytes, wait->target_bytes);

	snprintf(text, sizeof(text), "%s of %s", client_format_bytes(bytes, reached),
	         client_format_bytes(wait->target_bytes, target));
	client_show_bar(whole ? ahead ? distance(bytes, wait->start_bytes) : 0 : 1,
	                whole ? whole : 1, text);
}

static int fail_stalled(struct client_wait *wait, uint64_t bytes, struct error *err)
{
	char reached[CLIENT_SIZE_TEXT_MAX], target[CLIENT_SIZE_TEXT_MAX];
	char why[CLIENT_WHY_MAX];

	wait->explain(wait, bytes, why);
	return error_set(err, -EREMOTEIO, "%s: still at %s of %s after %g s without progress (%s)",
	                 wait->what, client_format_bytes(bytes, reached),
	                 client_format_bytes(wait->target_bytes, target),
	                 (double)wait->stall_ns / (double)NS_PER_S, why);
}

static int wait_on(struct client_wait *wait, bool shows_progress, uint64_t *ret_bytes,
                   struct error *err)
{
	uint64_t last_bytes = UINT64_MAX;
	int64_t moved_ns = monotonic_ns();

	for (;;) {
		int ret = wait->query(wait, ret_bytes, err);

		if (ret)
			return ret;
		if (shows_progress)
			show_progress(wait, *ret_bytes);
		if (*ret_bytes == wait->target_bytes)
			return 0;
		if (*ret_bytes != last_bytes)
			moved_ns = monotonic_ns();
		last_bytes = *ret_bytes;
		if (monotonic_ns() - moved_ns > wait->stall_ns)
			return fail_stalled(wait, *ret_bytes, err);
		ret = client_wait_event(
			wait->connection,
			(int)min_u64((uint64_t)(wait->stall_ns / NS_PER_MS) + 1, POLL_MS));
		if (ret)
			return error_set(err, ret, "%s: the guest ended", wait->what);
	}
}

int client_wait_for(struct client_wait *wait, struct error *err)
{
	char reached[CLIENT_SIZE_TEXT_MAX], target[CLIENT_SIZE_TEXT_MAX];
	bool shows_progress = isatty(STDOUT_FILENO);
	uint64_t bytes = wait->start_bytes;
	struct client_ending ending;
	int ret;

	client_ending_catch(&ending, wait->connection);
	ret = wait_on(wait, shows_progress, &bytes, err);
	client_ending_release(&ending, wait->connection, true);
	if (shows_progress)
		putchar('\n');
	if (ret == -ECANCELED)
		error_set(err, ret, "%s: waits no more, at %s of %s; the request stands",
		          wait->what, client_format_bytes(bytes, reached),
		          client_format_bytes(wait->target_bytes, target));
	return ret;
}
