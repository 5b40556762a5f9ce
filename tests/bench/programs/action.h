/* SPDX-License-Identifier: Apache-2.0 */
/* What is done while the guest waits for an answer. */
#ifndef BENCH_ACTION_H
#define BENCH_ACTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum action_kind { ACTION_NONE, ACTION_SETTLE, ACTION_SLEEP, ACTION_RUN };

/* As it was asked for: NAME=settle:SECONDS[:QUIET], NAME=sleep:SECONDS, NAME=run:COMMAND. */
struct action_plan {
	const char *name;
	enum action_kind kind;
	uint64_t limit_ns, quiet_ns;
	const char *command;
};

/* False after a complaint. text is kept, and changed. */
bool action_parse(char *text, struct action_plan *ret);

enum action_state { ACTION_GOES_ON, ACTION_DONE, ACTION_FAILED };

/* One at a time; all zeroes when there is none. */
struct action {
	const struct action_plan *plan;
	uint64_t begin_ns, still_since_ns;
	uint64_t still_kib; /* what resident memory has stayed near to */
	pid_t pid;          /* of a command; 0: none or ended */
	int output_fd;      /* of a command; -1: none, as the next */
	int pidfd;          /* readable when the command has ended */
	int status;
	char line[512];
	unsigned int length;
};

/* vmm_pid is the command's PID. -errno after a complaint. */
int action_begin(struct action *ret, const struct action_plan *plan, pid_t vmm_pid,
                 uint64_t rss_kib);

/* To be asked at each sample and when a descriptor above is readable. Prints how a settling
 * ended, and the lines that the command says. */
enum action_state action_look(struct action *action, const char *time_ms, uint64_t rss_kib);

/* Ends a command that still runs. */
void action_end(struct action *action);

#endif
