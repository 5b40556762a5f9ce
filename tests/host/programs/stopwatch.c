/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Milliseconds from exec until a program has printed a marker: stopwatch MARKER PROGRAM ARG… With
 * --to-end in front: from the marker until the program has ended, and its exit status behind. Runs
 * beside ebb.
 */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Whether the marker came before the stream ended. */
static int wait_for(int fd, const char *marker)
{
	static char seen[65536];
	size_t filled = 0;
	ssize_t count;

	while (filled < sizeof(seen) - 1) {
		count = read(fd, seen + filled, sizeof(seen) - 1 - filled);
		if (count <= 0)
			break;
		filled += (size_t)count;
		seen[filled] = 0;
		if (strstr(seen, marker))
			return 1;
	}
	fprintf(stderr, "stopwatch: no \"%s\" in: %s\n", marker, seen);
	return 0;
}

static pid_t start(char **argv, int *ret_fd)
{
	int pipe_fds[2];
	pid_t child;

	if (pipe(pipe_fds))
		return -1;
	child = fork();
	if (!child) {
		dup2(pipe_fds[1], STDOUT_FILENO);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(pipe_fds[1]);
	*ret_fd = pipe_fds[0];
	return child;
}

int main(int argc, char **argv)
{
	int to_end = argc > 1 && !strcmp(argv[1], "--to-end"), found, fd, status;
	double begun_ms, marked_ms;
	pid_t child;

	argc -= to_end;
	argv += to_end;
	if (argc < 3)
		return 2;
	begun_ms = now_ms();
	child = start(argv + 2, &fd);
	if (child < 0)
		return 2;
	found = wait_for(fd, argv[1]);
	marked_ms = now_ms();
	if (!to_end || !found)
		kill(child, SIGKILL);
	waitpid(child, &status, 0);
	if (!found)
		return 1;
	if (to_end)
		printf("%.2f %d\n", now_ms() - marked_ms, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	else
		printf("%.2f\n", marked_ms - begun_ms);
	return 0;
}
