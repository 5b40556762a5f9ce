/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one guest under a VMM, hears what it says, and records what it costs the host. */
/*
 * DOC: record [--period MS] [--limit SECONDS] [--vcpu-threads REGEX] [--ram-mib N] [--count-calls]
 *      [--tty] [--on NAME=ACTION]… [--private-at NAME] --argv FILE
 *
 * FILE has the VMM's words, one a line. Its stdin and stdout are pipes of ours, the guest's
 * console (with --tty a terminal of ours, for kvmtool, which reads nothing else); stderr stays.
 * The guest says, in lines of its console:
 *
 *	bench: mark NAME      a snapshot is taken
 *	bench: ask NAME       the same; then ACTION, snapshot NAME-done, and the answer "go"
 *	bench: result WORDS   copied
 *	bench: over           it is about to power off; snapshot "over"
 *
 * ACTION: settle:SECONDS (until resident memory has not moved by 1 MiB for 6 s; settle:S:QUIET for
 * another time than 6), sleep:SECONDS, run:COMMAND (by sh; PID is the VMM's). Without one it is
 * answered at once.
 *
 * Lines of output, each in one write; T is milliseconds since the exec:
 *
 *	bench sample T RSS_KIB               when it moved by 64 KiB or a second passed
 *	bench mark T NAME
 *	bench count T NAME KEY=VALUE…        counters.c says what they are; THP splits are the whole
 *	                                     host's. release_calls and release_bytes with
 *	                                     --count-calls: asked for, whether granted or not,
 *	                                     of any memory (a C library's thread that ends
 *	                                     releases its stack by the same call)
 *	bench private T NAME anonymous_kib=… file_kib=… ram_rss_kib=…     at each --private-at
 *	bench settled T NAME still=0|1 ms=…  how long it took to come to rest
 *	bench action T NAME WORDS            what a command said
 *	bench result WORDS
 *	bench lacks KEY WHY                  a figure that this host does not give
 *	bench end T status=N                 the VMM's; 128 and the signal's number
 *	bench none WHY                       no figure can come of this run; exit status 1
 *
 * One thread, one poll: on a host with one CPU its own work is time that the guest has not. A
 * sample is one read of statm; what costs more is done at snapshots.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "action.h"
#include "common.h"
#include "console.h"
#include "counters.h"
#include "private.h"
#include "tracer.h"

#define ON_MAX           32
#define PRIVATE_MAX      8
#define SAMPLE_MOVED_KIB 64
#define OVER_GRACE_NS    (30 * NS_PER_S)
#define TIME_BYTES       32
#define VCPU_NAMES       "^(vcpu/|CPU [0-9]+/|kvm-vcpu-)"

struct options {
	uint64_t period_ms, limit_s, ram_mib;
	const char *vcpu_names;
	bool count_calls, tty;
	struct action_plan on[ON_MAX];
	const char *private_at[PRIVATE_MAX];
	unsigned int on_count, private_count;
	char **words;
};

struct recorder {
	const struct options *options;
	struct launched vmm;
	struct counters counters;
	struct console console;
	struct action action;
	char last[CONSOLE_NAME_BYTES + 8]; /* what was marked last */
	int to_guest_fd, from_guest_fd, timer_fd;
	uint64_t begin_ns, end_ns; /* the exec; when patience ends */
	uint64_t sampled_ns, sampled_kib, rss_kib;
	bool over, failed, ended;
};

static void time_ms(const struct recorder *recorder, char text[TIME_BYTES])
{
	uint64_t us = (now_ns() - recorder->begin_ns) / 1000;

	snprintf(text, TIME_BYTES, "%lu.%03lu", us / 1000, us % 1000);
}

__attribute__((format(printf, 2, 3))) static void fail(struct recorder *recorder,
                                                       const char *format, ...)
{
	char why[256];
	va_list arguments;

	if (recorder->failed)
		return;
	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	say("none %s (last mark: %s)", why, recorder->last);
	console_complain(&recorder->console);
	complain("%s", why);
	recorder->failed = true;
}

/* --- snapshots and samples --- */

static void snapshot(struct recorder *recorder, const char *name)
{
	struct private_memory memory;
	char at[TIME_BYTES];

	time_ms(recorder, at);
	snprintf(recorder->last, sizeof(recorder->last), "%s", name);
	say("mark %s %s", at, name);
	counters_print(&recorder->counters, at, name);
	for (unsigned int i = 0; i < recorder->options->private_count; i++) {
		if (strcmp(recorder->options->private_at[i], name))
			continue;
		if (private_read(recorder->vmm.pid, recorder->options->ram_mib, &memory))
			say("private %s %s anonymous_kib=%lu file_kib=%lu ram_rss_kib=%lu", at,
			    name, memory.anonymous_kib, memory.file_kib, memory.ram_rss_kib);
		else
			say("lacks private /proc/PID/smaps cannot be read");
	}
}

static void sample(struct recorder *recorder)
{
	uint64_t now = now_ns(), moved_kib;
	char at[TIME_BYTES];

	if (!counters_rss_kib(&recorder->counters, &recorder->rss_kib))
		return;
	moved_kib = recorder->rss_kib > recorder->sampled_kib
	                    ? recorder->rss_kib - recorder->sampled_kib
	                    : recorder->sampled_kib - recorder->rss_kib;
	if (moved_kib < SAMPLE_MOVED_KIB && now - recorder->sampled_ns < NS_PER_S)
		return;
	time_ms(recorder, at);
	say("sample %s %lu", at, recorder->rss_kib);
	recorder->sampled_kib = recorder->rss_kib;
	recorder->sampled_ns = now;
}

/* --- what the guest asks for --- */

static void answer(struct recorder *recorder, const char *name)
{
	char done[CONSOLE_NAME_BYTES + 8];

	snprintf(done, sizeof(done), "%s-done", name);
	snapshot(recorder, done);
	if (write(recorder->to_guest_fd, "go\n", 3) != 3)
		fail(recorder, "the VMM does not read its console");
}

static void look_at_action(struct recorder *recorder)
{
	const char *name = recorder->action.plan->name;
	char at[TIME_BYTES];
	enum action_state state;
	int status;

	time_ms(recorder, at);
	state = action_look(&recorder->action, at, recorder->rss_kib);
	if (state == ACTION_GOES_ON)
		return;
	status = recorder->action.status;
	action_end(&recorder->action);
	if (state == ACTION_FAILED)
		fail(recorder, "the command for %s ended with %d", name,
		     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	else
		answer(recorder, name);
}

static void asked(struct recorder *recorder, const char *name)
{
	const struct options *options = recorder->options;

	if (recorder->action.plan) {
		fail(recorder, "the guest asks for %s before it was answered", name);
		return;
	}
	for (unsigned int i = 0; i < options->on_count; i++) {
		if (strcmp(options->on[i].name, name))
			continue;
		counters_rss_kib(&recorder->counters, &recorder->rss_kib);
		if (action_begin(&recorder->action, &options->on[i], recorder->vmm.pid,
		                 recorder->rss_kib))
			fail(recorder, "the command for %s cannot be started", name);
		return;
	}
	answer(recorder, name);
}

static void heard(struct recorder *recorder, const struct console_line *line)
{
	switch (line->kind) {
	case CONSOLE_NOTHING:
		break;
	case CONSOLE_MARK:
		snapshot(recorder, line->name);
		break;
	case CONSOLE_ASK:
		snapshot(recorder, line->name);
		asked(recorder, line->name);
		break;
	case CONSOLE_RESULT:
		say("result %s", line->words);
		break;
	case CONSOLE_OVER:
		snapshot(recorder, "over");
		recorder->over = true;
		if (recorder->end_ns > now_ns() + OVER_GRACE_NS)
			recorder->end_ns = now_ns() + OVER_GRACE_NS;
		break;
	}
}

static void listen_to_guest(struct recorder *recorder)
{
	struct console_line line;
	char bytes[4096];
	ssize_t count = read(recorder->from_guest_fd, bytes, sizeof(bytes));

	if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
		close(recorder->from_guest_fd);
		recorder->from_guest_fd = -1;
	}
	for (ssize_t i = 0; i < count && !recorder->failed; i++)
		if (console_take(&recorder->console, bytes[i], &line))
			heard(recorder, &line);
}

static void take_calls(struct recorder *recorder)
{
	union tracer_call call;

	while (tracer_receive(recorder->vmm.listener_fd, &call)) {
		uint64_t bytes = 0;
		bool releases = tracer_is_release(&call, &bytes);

		if (!tracer_let_go(recorder->vmm.listener_fd, &call) || !releases)
			continue;
		recorder->counters.release_calls++;
		recorder->counters.release_bytes += bytes;
	}
}

/* --- the run --- */

/* A terminal that changes nothing of what goes through it. */
static int open_terminal(int *ret_ours_fd, int *ret_guests_fd)
{
	int ours_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), guests_fd = -1;
	struct termios how;

	if (ours_fd >= 0 && unlockpt(ours_fd) == 0)
		guests_fd = ioctl(ours_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (guests_fd < 0 || tcgetattr(guests_fd, &how)) {
		complain("no terminal for the VMM: %s", strerror(errno));
		return -errno;
	}
	cfmakeraw(&how);
	tcsetattr(guests_fd, TCSANOW, &how);
	*ret_ours_fd = ours_fd;
	*ret_guests_fd = guests_fd;
	return 0;
}

/* The console, both ends; ours do not block. */
static int open_console(struct recorder *recorder, int *ret_stdin_fd, int *ret_stdout_fd)
{
	int input[2], output[2];

	if (recorder->options->tty) {
		int ret = open_terminal(&input[1], &input[0]);

		if (ret)
			return ret;
		output[0] = fcntl(input[1], F_DUPFD_CLOEXEC, 0);
		output[1] = fcntl(input[0], F_DUPFD_CLOEXEC, 0);
	} else if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC)) {
		complain("pipe: %s", strerror(errno));
		return -errno;
	}
	*ret_stdin_fd = input[0];
	*ret_stdout_fd = output[1];
	recorder->to_guest_fd = input[1];
	recorder->from_guest_fd = output[0];
	fcntl(input[1], F_SETFL, O_NONBLOCK);
	fcntl(output[0], F_SETFL, O_NONBLOCK);
	return 0;
}

static int begin(struct recorder *recorder)
{
	const struct options *options = recorder->options;
	const long period_ns = (long)(options->period_ms * NS_PER_MS);
	struct sock_filter instructions[TRACER_INSTRUCTIONS_MAX];
	struct sock_fprog filter = tracer_release_filter(instructions);
	int stdin_fd = -1, stdout_fd = -1, ret;
	struct itimerspec period = {
		.it_interval = { period_ns / 1000000000, period_ns % 1000000000 },
		.it_value = { period_ns / 1000000000, period_ns % 1000000000 },
	};

	ret = open_console(recorder, &stdin_fd, &stdout_fd);
	if (ret)
		return ret;
	ret = launch_prepare(&(struct launch){ .words = options->words,
	                                       .stdin_fd = stdin_fd,
	                                       .stdout_fd = stdout_fd,
	                                       .filter = options->count_calls ? &filter : NULL },
	                     &recorder->vmm);
	close(stdin_fd);
	close(stdout_fd);
	if (ret)
		return ret;
	recorder->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (recorder->timer_fd < 0 || timerfd_settime(recorder->timer_fd, 0, &period, NULL))
		return -errno;
	ret = counters_open(&recorder->counters, recorder->vmm.pid, options->vcpu_names);
	if (ret)
		return ret;
	recorder->counters.counts_calls = options->count_calls;
	recorder->begin_ns = now_ns();
	recorder->end_ns = recorder->begin_ns + options->limit_s * NS_PER_S;
	launch_go(&recorder->vmm);
	return launch_executed(&recorder->vmm);
}

static void tick(struct recorder *recorder)
{
	uint64_t expirations;

	if (read(recorder->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	sample(recorder);
	if (recorder->action.plan)
		look_at_action(recorder);
	if (now_ns() < recorder->end_ns)
		return;
	if (recorder->over) {
		say("lacks end the guest said that it is over, and the VMM did not end");
		recorder->ended = true;
	} else {
		fail(recorder, "not over within %lu s", recorder->options->limit_s);
	}
}

static void run(struct recorder *recorder)
{
	enum { CONSOLE, TIMER, CALLS, OUTPUT, COMMAND, VMM, FDS };

	while (!recorder->failed && !recorder->ended) {
		struct pollfd fds[FDS] = {
			[CONSOLE] = { recorder->from_guest_fd, POLLIN, 0 },
			[TIMER] = { recorder->timer_fd, POLLIN, 0 },
			[CALLS] = { recorder->vmm.listener_fd, POLLIN, 0 },
			[OUTPUT] = { recorder->action.output_fd, POLLIN, 0 },
			[COMMAND] = { recorder->action.pidfd, POLLIN, 0 },
			[VMM] = { recorder->vmm.pidfd, POLLIN, 0 },
		};

		if (poll(fds, FDS, -1) < 0)
			continue;
		if (fds[CALLS].revents & POLLIN)
			take_calls(recorder);
		if (fds[CONSOLE].revents)
			listen_to_guest(recorder);
		if (fds[TIMER].revents)
			tick(recorder);
		if ((fds[OUTPUT].revents || fds[COMMAND].revents) && recorder->action.plan &&
		    !recorder->failed)
			look_at_action(recorder);
		/* Last: what it said before it ended is heard first. */
		if (fds[VMM].revents && !fds[CONSOLE].revents)
			recorder->ended = true;
	}
}

static void end(struct recorder *recorder)
{
	char at[TIME_BYTES];
	int status;

	if (recorder->ended && !recorder->over)
		fail(recorder, "the VMM ended before the guest said that it is over");
	action_end(&recorder->action);
	kill(recorder->vmm.pid, SIGKILL);
	waitpid(recorder->vmm.pid, &status, 0);
	time_ms(recorder, at);
	say("end %s status=%d", at,
	    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* --- options --- */

static bool take_option(struct options *options, const char *key, char *value)
{
	if (!strcmp(key, "--period"))
		return parse_number(value, 60000, &options->period_ms) && options->period_ms;
	if (!strcmp(key, "--limit"))
		return parse_number(value, 86400, &options->limit_s);
	if (!strcmp(key, "--ram-mib"))
		return parse_number(value, UINT64_C(1) << 30, &options->ram_mib);
	if (!strcmp(key, "--argv") && !options->words)
		return (options->words = read_words(value));
	if (!strcmp(key, "--on") && options->on_count < ON_MAX)
		return action_parse(value, &options->on[options->on_count++]);
	if (!strcmp(key, "--private-at") && options->private_count < PRIVATE_MAX) {
		options->private_at[options->private_count++] = value;
		return true;
	}
	if (strcmp(key, "--vcpu-threads"))
		return false;
	options->vcpu_names = value;
	return true;
}

static bool parse_options(int argc, char **argv, struct options *ret)
{
	struct options options = { .period_ms = 100, .limit_s = 600, .vcpu_names = VCPU_NAMES };

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--count-calls")) {
			options.count_calls = true;
			continue;
		}
		if (!strcmp(argv[i], "--tty")) {
			options.tty = true;
			continue;
		}
		if (i + 1 == argc || !take_option(&options, argv[i], argv[i + 1])) {
			complain("%s: not understood", argv[i]);
			return false;
		}
		i++;
	}
	*ret = options;
	return options.words;
}

int main(int argc, char **argv)
{
	struct recorder recorder = { .action = { .output_fd = -1, .pidfd = -1 }, .last = "none" };
	struct options options;

	if (!parse_options(argc, argv, &options)) {
		complain("usage: record [--period MS] [--limit SECONDS] [--vcpu-threads REGEX] "
		         "[--ram-mib N] [--count-calls] [--tty] [--on NAME=ACTION]... "
		         "[--private-at NAME] --argv FILE");
		return 64;
	}
	signal(SIGPIPE, SIG_IGN);
	recorder.options = &options;
	if (begin(&recorder)) {
		say("none the VMM cannot be started");
		return 1;
	}
	run(&recorder);
	end(&recorder);
	return recorder.failed ? 1 : 0;
}
