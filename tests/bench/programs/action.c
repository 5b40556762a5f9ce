/* SPDX-License-Identifier: Apache-2.0 */
/* What is done while the guest waits for an answer. */
#include "action.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

#define STILL_KIB   1024
#define QUIET_S     6
#define SECONDS_MAX 86400

static bool parse_settle(char *text, struct action_plan *plan)
{
	char *quiet = strchr(text, ':');
	uint64_t limit_s, quiet_s = QUIET_S;

	if (quiet)
		*quiet++ = 0;
	if (!parse_number(text, SECONDS_MAX, &limit_s) ||
	    (quiet && !parse_number(quiet, SECONDS_MAX, &quiet_s)))
		return false;
	plan->kind = ACTION_SETTLE;
	plan->limit_ns = limit_s * NS_PER_S;
	plan->quiet_ns = quiet_s * NS_PER_S;
	return true;
}

bool action_parse(char *text, struct action_plan *ret)
{
	struct action_plan plan = { .name = text };
	char *what = strchr(text, '=');
	uint64_t seconds;

	if (what) {
		*what++ = 0;
		if (!strncmp(what, "settle:", 7) && parse_settle(what + 7, &plan)) {
			*ret = plan;
			return true;
		}
		if (!strncmp(what, "sleep:", 6) && parse_number(what + 6, SECONDS_MAX, &seconds)) {
			plan.kind = ACTION_SLEEP;
			plan.limit_ns = seconds * NS_PER_S;
			*ret = plan;
			return true;
		}
		if (!strncmp(what, "run:", 4)) {
			plan.kind = ACTION_RUN;
			plan.command = what + 4;
			*ret = plan;
			return true;
		}
	}
	complain("--on %s=%s: neither settle:SECONDS nor sleep:SECONDS nor run:COMMAND", text,
	         what ? what : "");
	return false;
}

static void child(const char *command, pid_t vmm_pid, int output_fd)
{
	char number[16];
	int nothing_fd = open("/dev/null", O_RDONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	snprintf(number, sizeof(number), "%d", (int)vmm_pid);
	setenv("PID", number, 1);
	dup2(nothing_fd, STDIN_FILENO);
	dup2(output_fd, STDOUT_FILENO);
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(127);
}

static int begin_command(struct action *action, pid_t vmm_pid)
{
	int output[2], ret = 0;

	if (pipe2(output, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	action->pid = fork();
	if (action->pid == 0) {
		fcntl(output[1], F_SETFL, 0);
		child(action->plan->command, vmm_pid, output[1]);
	}
	if (action->pid < 0) {
		ret = -errno;
		action->pid = 0;
		complain("fork: %s", strerror(-ret));
	}
	close(output[1]);
	action->output_fd = output[0];
	if (action->pid > 0) {
		setpgid(action->pid, action->pid);
		action->pidfd = (int)syscall(SYS_pidfd_open, action->pid, 0);
	}
	return ret;
}

int action_begin(struct action *ret, const struct action_plan *plan, pid_t vmm_pid,
                 uint64_t rss_kib)
{
	*ret = (struct action){
		.plan = plan,
		.begin_ns = now_ns(),
		.still_kib = rss_kib,
		.output_fd = -1,
		.pidfd = -1,
	};
	ret->still_since_ns = ret->begin_ns;
	return plan->kind == ACTION_RUN ? begin_command(ret, vmm_pid) : 0;
}

/* --- looking --- */

static enum action_state look_at_settling(struct action *action, const char *time_ms,
                                          uint64_t rss_kib)
{
	uint64_t now = now_ns();
	uint64_t moved_kib = rss_kib > action->still_kib ? rss_kib - action->still_kib
	                                                 : action->still_kib - rss_kib;
	bool still;

	if (moved_kib >= STILL_KIB) {
		action->still_kib = rss_kib;
		action->still_since_ns = now;
	}
	still = now - action->still_since_ns >= action->plan->quiet_ns;
	if (!still && now - action->begin_ns < action->plan->limit_ns)
		return ACTION_GOES_ON;
	/* The time until it was still, without that in which it was watched being so. */
	say("settled %s %s still=%d ms=%lu", time_ms, action->plan->name, still,
	    ((still ? action->still_since_ns : now) - action->begin_ns) / NS_PER_MS);
	return ACTION_DONE;
}

static void take_output(struct action *action, const char *time_ms, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] == '\n') {
			action->line[action->length] = 0;
			say("action %s %s %s", time_ms, action->plan->name, action->line);
			action->length = 0;
		} else if (action->length + 1 < sizeof(action->line)) {
			action->line[action->length++] =
				bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '?';
		}
	}
}

/* The command is over when it has ended; what it left behind with its output open is its affair. */
static enum action_state look_at_command(struct action *action, const char *time_ms)
{
	bool ended = waitpid(action->pid, &action->status, WNOHANG) == action->pid;
	char bytes[1024];
	ssize_t count;

	while ((count = read(action->output_fd, bytes, sizeof(bytes))) > 0)
		take_output(action, time_ms, bytes, (size_t)count);
	if (count == 0) {
		/* No more to come. */
		close(action->output_fd);
		action->output_fd = -1;
	}
	if (!ended)
		return ACTION_GOES_ON;
	if (action->length)
		take_output(action, time_ms, "\n", 1);
	action->pid = 0;
	return WIFEXITED(action->status) && WEXITSTATUS(action->status) == 0 ? ACTION_DONE
	                                                                     : ACTION_FAILED;
}

enum action_state action_look(struct action *action, const char *time_ms, uint64_t rss_kib)
{
	switch (action->plan->kind) {
	case ACTION_SETTLE:
		return look_at_settling(action, time_ms, rss_kib);
	case ACTION_SLEEP:
		return now_ns() - action->begin_ns < action->plan->limit_ns ? ACTION_GOES_ON
		                                                            : ACTION_DONE;
	case ACTION_RUN:
		return look_at_command(action, time_ms);
	case ACTION_NONE:
		break;
	}
	return ACTION_DONE;
}

void action_end(struct action *action)
{
	if (action->pid > 0) {
		kill(-action->pid, SIGKILL);
		waitpid(action->pid, NULL, 0);
	}
	if (action->output_fd >= 0)
		close(action->output_fd);
	if (action->pidfd >= 0)
		close(action->pidfd);
	*action = (struct action){ .output_fd = -1, .pidfd = -1 };
}
