/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a client command as main.c would, with its stdout and its error caught. */
#ifndef CLIENT_RUNNER_H
#define CLIENT_RUNNER_H

#include "../../../src/client.h"

#define CLIENT_OUTPUT_MAX_BYTES (1 << 16)

struct client_run {
	int status;
	char output[CLIENT_OUTPUT_MAX_BYTES];
	struct error err;
};

/* words: the line, split at blanks, behind the command's name. input: what stdin holds, or NULL. */
void client_run(struct client_run *run, const struct cmdline_command *command, const char *words,
                const char *input);

/* The same with stdout a terminal of 60 columns and 24 lines, and stdin as it is. run->output
 * grows as the command writes. */
void client_run_on_terminal(struct client_run *run, const struct cmdline_command *command,
                            const char *words);

#endif
