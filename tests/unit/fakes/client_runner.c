/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a client command with its stdout caught: see client_runner.h. */
#include "client_runner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS_MAX 16

/* Puts a file in memory in the place of fd; returns what was there. */
static int replace(int fd, const char *content)
{
	int saved = dup(fd), memory = memfd_create("client", MFD_CLOEXEC);

	if (saved < 0 || memory < 0 ||
	    write(memory, content, strlen(content)) != (ssize_t)strlen(content) ||
	    lseek(memory, 0, SEEK_SET) != 0 || dup2(memory, fd) != fd)
		abort();
	close(memory);
	return saved;
}

void client_run(struct client_run *run, const struct cmdline_command *command, const char *words,
                const char *input)
{
	char *text = strdup(words), *rest = text, *argv[WORDS_MAX + 1];
	int argc = 1, saved_output, saved_input = -1;
	ssize_t length;

	argv[0] = strdup(command->name);
	while (argc < WORDS_MAX && (argv[argc] = strsep(&rest, " ")))
		argc += argv[argc][0] != '\0';
	argv[argc] = NULL;
	fflush(stdout);
	saved_output = replace(STDOUT_FILENO, "");
	if (input)
		saved_input = replace(STDIN_FILENO, input);
	run->err = (struct error)ERROR_INIT;
	run->status = command->run(command, argc, argv, &run->err);
	fflush(stdout);
	length = pread(STDOUT_FILENO, run->output, sizeof(run->output) - 1, 0);
	run->output[length < 0 ? 0 : length] = '\0';
	dup2(saved_output, STDOUT_FILENO);
	close(saved_output);
	if (input) {
		dup2(saved_input, STDIN_FILENO);
		close(saved_input);
	}
	free(argv[0]);
	free(text);
}
