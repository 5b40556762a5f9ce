/* SPDX-License-Identifier: Apache-2.0 */
/* Page faults a second, as the field counts them: page_fault 1|2 PROCESSES SECONDS|passes=N
 * [FOLDER]. Runs in the guest. */

/*
 * DOC: what is counted
 *
 * The field's page_fault1 and page_fault2 are tests of will-it-scale (Anton Blanchard); this
 * program does what they do and shares no code with them. PROCESSES processes, each pinned to a
 * processor of its own, repeat a pass: map 128 MiB readable, writable and private, write to every
 * page in ascending order, unmap. 1 maps anonymous memory; 2 maps a file of 128 MiB with nothing
 * written to it, of the process's own, made in FOLDER (/tmp) and unlinked: every write copies a
 * page of the page cache. One iteration is one page (the guest's page size) written to, however
 * many pages a fault brings in.
 *
 * Two things are chosen here. 1 asks for huge pages by madvise(MADV_HUGEPAGE), so that it has them
 * whether the guest says "always" or "madvise"; what the guest says stands in the result (thp=).
 * Where the mapping does not begin at a multiple of 2 MiB (kernels before 6.7 do not see to it),
 * its two ends are small pages, as they are in the original.
 *
 * By time, SECONDS: the processes run; after a quarter of SECONDS, and not before each has made a
 * whole pass, the parent reads everyone's counter, sleeps SECONDS, and reads them again. By work,
 * passes=N: each process makes one pass unmeasured, all wait for each other, each makes N passes;
 * time ends when the last has ended. The second is the same work in every run, which is what
 * compares best where instructions are the clock; the first is the field's.
 *
 * The result is one line, per_second the sum over processes, least and most the pages of the
 * slowest and the fastest of them: bench: result page_fault1 procs=2 seconds=3.002 iterations=N
 * per_second=N passes=N least=N most=N thp=always Memory: 128 MiB for each process for 1, twice
 * that for 2 (page cache and copies). Status 1, and no result, where a process ends early.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAP_BYTES     ((size_t)128 << 20)
#define PROCESSES_MAX 256

/* What a process tells of itself, in memory shared with the parent; a cache line and the one
 * fetched with it for each. */
struct tally {
	volatile uint64_t iterations;
	volatile uint64_t passes;
	volatile uint64_t ended_ns; /* by work: when the last pass was made */
	char unused[104];
};

struct plan {
	unsigned int mode, processes, passes; /* passes: 0 for a run by time */
	uint64_t span_ns;
	const char *folder;
	struct tally *tallies;
	pid_t pids[PROCESSES_MAX];
	int start[2]; /* nobody begins to measure before its write end is closed */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t then_ns)
{
	struct timespec then = { (time_t)(then_ns / 1000000000), (long)(then_ns % 1000000000) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL) == EINTR)
		;
}

/* The word in brackets of the guest's setting. */
static void thp_setting(char *word, size_t size)
{
	char text[128] = "";
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
	char *begin, *end;

	snprintf(word, size, "none");
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && (begin = strchr(text, '[')) != NULL &&
	    (end = strchr(begin, ']')) != NULL)
		snprintf(word, size, "%.*s", (int)(end - begin - 1), begin + 1);
	close(fd);
}

/* The index'th of the processors this process may use. */
static int pin(unsigned int index)
{
	cpu_set_t allowed, one;
	int cpu;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	index %= (unsigned int)CPU_COUNT(&allowed);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && index-- == 0)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) ? -errno : 0;
}

static int own_file(const char *folder)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/page_fault.XXXXXX", folder) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = mkstemp(path);
	if (fd < 0)
		return -errno;
	if (unlink(path) || ftruncate(fd, (off_t)MAP_BYTES)) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	return fd;
}

static int make_pass(int fd, struct tally *tally)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), offset;
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
	unsigned char *memory = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	if (fd < 0)
		madvise(memory, MAP_BYTES, MADV_HUGEPAGE);
	for (offset = 0; offset < MAP_BYTES; offset += page_bytes) {
		*(volatile uint64_t *)(memory + offset) = offset;
		tally->iterations++;
	}
	tally->passes++;
	return munmap(memory, MAP_BYTES) ? -errno : 0;
}

/* One process from beginning to end; its status. By time it ends by being killed. */
static int work(const struct plan *plan, unsigned int index)
{
	struct tally *tally = &plan->tallies[index];
	int ret = pin(index), fd = -1;
	char byte;

	if (!ret && plan->mode == 2) {
		fd = own_file(plan->folder);
		ret = fd < 0 ? fd : 0;
	}
	if (!ret && plan->passes)
		ret = make_pass(fd, tally);
	if (!ret && read(plan->start[0], &byte, 1) < 0)
		ret = -errno;
	while (!ret && (!plan->passes || tally->passes <= plan->passes))
		ret = make_pass(fd, tally);
	tally->ended_ns = now_ns();
	if (ret)
		fprintf(stderr, "page_fault: %s\n", strerror(-ret));
	return ret != 0;
}

static int begin(struct plan *plan)
{
	unsigned int index;
	pid_t pid;

	if (pipe2(plan->start, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	for (index = 0; index < plan->processes; index++) {
		pid = fork();
		if (pid < 0)
			return -errno;
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(plan->start[1]);
			_exit(work(plan, index));
		}
		plan->pids[index] = pid;
	}
	return 0;
}

static uint64_t pages(const struct plan *plan, const uint64_t *before, uint64_t *least,
                      uint64_t *most)
{
	uint64_t sum = 0, one;
	unsigned int index;

	for (index = 0; index < plan->processes; index++) {
		one = plan->tallies[index].iterations - before[index];
		if (index == 0 || one < *least)
			*least = one;
		if (index == 0 || one > *most)
			*most = one;
		sum += one;
	}
	return sum;
}

/* Waits until each process has made a whole pass; false where one has ended instead. */
static int warm(const struct plan *plan)
{
	unsigned int index;
	int status;

	for (index = 0; index < plan->processes; index++) {
		while (plan->tallies[index].passes == 0) {
			if (waitpid(plan->pids[index], &status, WNOHANG) == plan->pids[index])
				return 0;
			sleep_until(now_ns() + 2000000);
		}
	}
	return 1;
}

/* Waits for all; when the last of them had done its work, 0 where one failed. What it takes to end
 * and to free files is not work. */
static uint64_t all_ended_ns(const struct plan *plan)
{
	uint64_t last_ns = 0;
	unsigned int index;
	int status, good = 1;

	for (index = 0; index < plan->processes; index++) {
		if (waitpid(plan->pids[index], &status, 0) < 0 || status)
			good = 0;
		if (plan->tallies[index].ended_ns > last_ns)
			last_ns = plan->tallies[index].ended_ns;
	}
	return good ? last_ns : 0;
}

/* What time it is, 0 where a process is no longer there. */
static uint64_t all_there_ns(const struct plan *plan)
{
	unsigned int index;
	int status;

	for (index = 0; index < plan->processes; index++)
		if (waitpid(plan->pids[index], &status, WNOHANG) != 0)
			return 0;
	return now_ns();
}

static int measure(const struct plan *plan)
{
	uint64_t before[PROCESSES_MAX], began_ns = now_ns(), ended_ns, taken_ns;
	uint64_t sum, passes = 0, least = 0, most = 0;
	unsigned int index;
	char thp[32];

	if (!plan->passes)
		close(plan->start[1]);
	if (!warm(plan))
		return 1;
	if (!plan->passes)
		sleep_until(began_ns + plan->span_ns / 4);
	for (index = 0; index < plan->processes; index++) {
		before[index] = plan->tallies[index].iterations;
		passes -= plan->tallies[index].passes;
	}
	began_ns = now_ns();
	if (plan->passes)
		close(plan->start[1]);
	else
		sleep_until(began_ns + plan->span_ns);
	ended_ns = plan->passes ? all_ended_ns(plan) : all_there_ns(plan);
	if (!ended_ns)
		return 1;
	taken_ns = ended_ns - began_ns;
	sum = pages(plan, before, &least, &most);
	for (index = 0; index < plan->processes; index++)
		passes += plan->tallies[index].passes;
	thp_setting(thp, sizeof(thp));
	printf("bench: result page_fault%u procs=%u seconds=%.3f iterations=%llu per_second=%.0f "
	       "passes=%llu least=%llu most=%llu thp=%s\n",
	       plan->mode, plan->processes, (double)taken_ns / 1e9, (unsigned long long)sum,
	       (double)sum * 1e9 / (double)taken_ns, (unsigned long long)passes,
	       (unsigned long long)least, (unsigned long long)most, thp);
	return 0;
}

static int parse(struct plan *plan, int argc, char **argv)
{
	if (argc < 4)
		return 0;
	plan->mode = (unsigned int)strtoul(argv[1], NULL, 10);
	plan->processes = (unsigned int)strtoul(argv[2], NULL, 10);
	if (!strncmp(argv[3], "passes=", 7))
		plan->passes = (unsigned int)strtoul(argv[3] + 7, NULL, 10);
	else
		plan->span_ns = (uint64_t)(strtod(argv[3], NULL) * 1e9);
	plan->folder = argc > 4 ? argv[4] : "/tmp";
	return (plan->mode == 1 || plan->mode == 2) && plan->processes >= 1 &&
	       plan->processes <= PROCESSES_MAX && (plan->passes || plan->span_ns);
}

int main(int argc, char **argv)
{
	struct plan plan = { 0 };
	unsigned int index;
	int ret;

	if (!parse(&plan, argc, argv)) {
		fprintf(stderr, "page_fault 1|2 PROCESSES SECONDS|passes=N [FOLDER]\n");
		return 2;
	}
	plan.tallies = mmap(NULL, sizeof(struct tally) * PROCESSES_MAX, PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan.tallies == MAP_FAILED) {
		perror("page_fault");
		return 1;
	}
	ret = begin(&plan);
	if (ret)
		fprintf(stderr, "page_fault: %s\n", strerror(-ret));
	else if ((ret = measure(&plan)) != 0)
		fprintf(stderr, "page_fault: a process did not get to the end\n");
	for (index = 0; index < plan.processes && plan.pids[index] > 0; index++)
		kill(plan.pids[index], SIGKILL);
	while (wait(NULL) > 0)
		;
	return ret != 0;
}
