/* SPDX-License-Identifier: Apache-2.0 */
/* Milliseconds from exec until a program has printed a marker: stopwatch MARKER PROGRAM ARG… Runs
 * beside ebb. */

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

int main(int argc, char **argv)
{
	int pipe_fds[2], found;
	double begun_ms, taken_ms;
	pid_t child;

	if (argc < 3 || pipe(pipe_fds))
		return 2;
	begun_ms = now_ms();
	child = fork();
	if (child < 0)
		return 2;
	if (!child) {
		dup2(pipe_fds[1], STDOUT_FILENO);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	close(pipe_fds[1]);
	found = wait_for(pipe_fds[0], argv[1]);
	taken_ms = now_ms() - begun_ms;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (!found)
		return 1;
	printf("%.2f\n", taken_ms);
	return 0;
}
