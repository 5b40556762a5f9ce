/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a client command with its stdout caught: see client_runner.h. */
#include "client_runner.h"

#include <pthread.h>
#include <pty.h>
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

/* With what stdout is now. */
static void call(struct client_run *run, const struct cmdline_command *command, const char *words)
{
	char *text = strdup(words), *rest = text, *argv[WORDS_MAX + 1];
	int argc = 1;

	argv[0] = strdup(command->name);
	while (argc < WORDS_MAX && (argv[argc] = strsep(&rest, " ")))
		argc += argv[argc][0] != '\0';
	argv[argc] = NULL;
	run->err = (struct error)ERROR_INIT;
	run->status = command->run(command, argc, argv, &run->err);
	fflush(stdout);
	free(argv[0]);
	free(text);
}

void client_run(struct client_run *run, const struct cmdline_command *command, const char *words,
                const char *input)
{
	int saved_output, saved_input = -1;
	ssize_t length;

	fflush(stdout);
	saved_output = replace(STDOUT_FILENO, "");
	if (input)
		saved_input = replace(STDIN_FILENO, input);
	call(run, command, words);
	length = pread(STDOUT_FILENO, run->output, sizeof(run->output) - 1, 0);
	run->output[length < 0 ? 0 : length] = '\0';
	dup2(saved_output, STDOUT_FILENO);
	close(saved_output);
	if (input) {
		dup2(saved_input, STDIN_FILENO);
		close(saved_input);
	}
}

struct reader {
	int fd; /* the terminal's other end */
	struct client_run *run;
};

static void *read_terminal(void *ctx)
{
	struct reader *reader = ctx;
	char *output = reader->run->output;
	size_t length = 0;
	ssize_t count;

	while ((count = read(reader->fd, output + length,
	                     sizeof(reader->run->output) - 1 - length)) > 0)
		length += (size_t)count;
	output[length] = '\0';
	return NULL;
}

void client_run_on_terminal(struct client_run *run, const struct cmdline_command *command,
                            const char *words)
{
	const struct winsize size = { .ws_row = 24, .ws_col = 60 };
	struct reader reader = { .run = run };
	pthread_t thread;
	int slave, saved;

	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	if (saved < 0 || openpty(&reader.fd, &slave, NULL, NULL, &size) ||
	    dup2(slave, STDOUT_FILENO) < 0 || pthread_create(&thread, NULL, read_terminal, &reader))
		abort();
	close(slave);
	call(run, command, words);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	pthread_join(thread, NULL);
	close(reader.fd);
}
