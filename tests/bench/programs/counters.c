/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's kernel counts of a VMM: one line a snapshot. */
/*
 * DOC: Where the figures are from.
 *
 *	cpu_ns          the process's CPU clock: all threads, those that ended too
 *	vcpu_ns         schedstat of the threads whose names match; of one that runs at this
 *	                moment on another CPU it may be a tick behind: take it while the guest
 *	                waits
 *	vmm_ns          cpu_ns without vcpu_ns: what other threads do. What a vCPU's thread does
 *	                in the kernel and in the VMM is in vcpu_ns
 *	exits           /sys/kernel/debug/kvm/PID-*, all vCPUs; for root, with debugfs mounted
 *	thp_split_*     /proc/vmstat: of the whole host, whoever split it
 *	minflt threads  /proc/PID/stat
 *
 * Programs that the VMM starts (a file server, passt) are not counted. Files of /proc stay open
 * and are read again, which is the least that a look can cost.
 */
#include "counters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

#define GUESTS_FOLDER "/sys/kernel/debug/kvm"

static int open_proc(pid_t pid, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int counters_open(struct counters *ret, pid_t pid, const char *vcpu_names)
{
	*ret = (struct counters){
		.pid = pid,
		.statm_fd = open_proc(pid, "statm"),
		.stat_fd = open_proc(pid, "stat"),
		.vmstat_fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC),
		.page_kib = (uint64_t)sysconf(_SC_PAGESIZE) / 1024,
	};
	if (regcomp(&ret->vcpu_names, vcpu_names, REG_EXTENDED | REG_NOSUB)) {
		complain("%s: no regular expression", vcpu_names);
		return -EINVAL;
	}
	if (ret->statm_fd < 0 || ret->stat_fd < 0) {
		complain("/proc/%d cannot be read", (int)pid);
		return -EIO;
	}
	return 0;
}

bool counters_rss_kib(const struct counters *counters, uint64_t *ret_kib)
{
	char text[128];
	unsigned long pages;

	if (read_again(counters->statm_fd, text, sizeof(text)) <= 0 ||
	    sscanf(text, "%*u %lu", &pages) != 1 || !pages) /* no memory: it is ending */
		return false;
	*ret_kib = pages * counters->page_kib;
	return true;
}

static const char *const key_names[COUNTERS_KEYS] = {
	[COUNTERS_CPU] = "cpu_ns",
	[COUNTERS_VCPU] = "vcpu_ns",
	[COUNTERS_VMM] = "vmm_ns",
	[COUNTERS_EXITS] = "exits",
	[COUNTERS_SPLIT_PMD] = "thp_split_pmd",
	[COUNTERS_SPLIT_PAGE] = "thp_split_page",
};

/* What was there before is missing because the VMM is ending, which is no news. */
static void lacks(struct counters *counters, enum counters_key key, const char *why)
{
	if (!counters->known[key])
		say("lacks %s %s", key_names[key], why);
	counters->known[key] = true;
}

/* --- vCPUs --- */

static bool is_known(const struct counters *counters, pid_t tid)
{
	for (unsigned int i = 0; i < counters->vcpu_count; i++)
		if (counters->vcpus[i].tid == tid)
			return true;
	return false;
}

static void look_at_thread(struct counters *counters, pid_t tid)
{
	char path[64], name[32] = "";
	int fd;

	snprintf(path, sizeof(path), "task/%d/comm", (int)tid);
	fd = open_proc(counters->pid, path);
	if (fd < 0)
		return;
	if (read_again(fd, name, sizeof(name)) < 0)
		name[0] = 0;
	close(fd);
	name[strcspn(name, "\n")] = 0;
	if (regexec(&counters->vcpu_names, name, 0, NULL, 0))
		return;
	snprintf(path, sizeof(path), "task/%d/schedstat", (int)tid);
	fd = open_proc(counters->pid, path);
	if (fd >= 0)
		counters->vcpus[counters->vcpu_count++] =
			(struct counters_vcpu){ .tid = tid, .schedstat_fd = fd };
}

/* The others' names are looked at each time: a thread is there before it has its name. */
static void find_vcpus(struct counters *counters)
{
	char path[64];
	struct dirent *entry;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)counters->pid);
	folder = opendir(path);
	while (folder && counters->vcpu_count < COUNTERS_VCPUS_MAX && (entry = readdir(folder))) {
		pid_t tid = atoi(entry->d_name);

		if (tid > 0 && !is_known(counters, tid))
			look_at_thread(counters, tid);
	}
	if (folder)
		closedir(folder);
}

static bool vcpu_run_ns(struct counters *counters, uint64_t *ret_ns)
{
	*ret_ns = 0;
	for (unsigned int i = 0; i < counters->vcpu_count; i++) {
		struct counters_vcpu *vcpu = &counters->vcpus[i];
		char text[128];

		/* What has ended keeps its last value. */
		if (read_again(vcpu->schedstat_fd, text, sizeof(text)) > 0)
			vcpu->run_ns = strtoull(text, NULL, 10);
		*ret_ns += vcpu->run_ns;
	}
	return counters->vcpu_count > 0;
}

/* --- exits --- */

static void find_guests(struct counters *counters)
{
	struct dirent *entry;
	char before[32];
	DIR *folder = opendir(GUESTS_FOLDER);

	snprintf(before, sizeof(before), "%d-", (int)counters->pid);
	while (folder && counters->guest_count < COUNTERS_GUESTS_MAX && (entry = readdir(folder)))
		if (!strncmp(entry->d_name, before, strlen(before)) &&
		    strlen(entry->d_name) < sizeof(counters->guests[0]))
			strcpy(counters->guests[counters->guest_count++], entry->d_name);
	if (folder)
		closedir(folder);
}

/* These files know no position and give each reading of theirs once: they are opened anew. -errno:
 * none can be read. */
static int read_exits(struct counters *counters, uint64_t *ret)
{
	int answer = -ENOENT;

	if (!counters->guest_count)
		find_guests(counters);
	*ret = 0;
	for (unsigned int i = 0; i < counters->guest_count; i++) {
		char path[96], text[32] = "";
		int fd;

		snprintf(path, sizeof(path), GUESTS_FOLDER "/%s/exits", counters->guests[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			answer = answer ? -errno : 0;
			continue;
		}
		if (read(fd, text, sizeof(text) - 1) > 0) {
			*ret += strtoull(text, NULL, 10);
			answer = 0;
		}
		close(fd);
	}
	return answer;
}

/* --- the line --- */

struct line {
	char text[512];
	size_t length;
};

static void add(struct line *line, const char *key, uint64_t value)
{
	size_t room = sizeof(line->text) - line->length;
	int length = snprintf(line->text + line->length, room, " %s=%lu", key, value);

	if (length > 0 && (size_t)length < room)
		line->length += (size_t)length;
}

static void add_key(struct counters *counters, struct line *line, enum counters_key key,
                    uint64_t value)
{
	counters->known[key] = true;
	add(line, key_names[key], value);
}

static void add_cpu(struct counters *counters, struct line *line)
{
	static const char no_vcpus[] = "no thread has a vCPU's name and a schedstat";
	static const char no_clock[] = "the CPU clock of the process cannot be read";
	uint64_t cpu_ns, vcpu_ns;
	bool has_cpu, has_vcpus;

	find_vcpus(counters);
	has_vcpus = vcpu_run_ns(counters, &vcpu_ns);
	has_cpu = process_cpu_ns(counters->pid, &cpu_ns);
	if (has_cpu)
		add_key(counters, line, COUNTERS_CPU, cpu_ns);
	else
		lacks(counters, COUNTERS_CPU, no_clock);
	if (has_vcpus)
		add_key(counters, line, COUNTERS_VCPU, vcpu_ns);
	else
		lacks(counters, COUNTERS_VCPU, no_vcpus);
	if (has_cpu && has_vcpus)
		add_key(counters, line, COUNTERS_VMM, cpu_ns > vcpu_ns ? cpu_ns - vcpu_ns : 0);
	else
		lacks(counters, COUNTERS_VMM, has_cpu ? no_vcpus : no_clock);
}

static void add_exits(struct counters *counters, struct line *line)
{
	char why[128];
	uint64_t exits;
	int ret = read_exits(counters, &exits);

	if (!ret) {
		add_key(counters, line, COUNTERS_EXITS, exits);
		return;
	}
	snprintf(why, sizeof(why), "of this guest in %s: %s (needs root and a mounted debugfs)",
	         GUESTS_FOLDER, strerror(-ret));
	lacks(counters, COUNTERS_EXITS, why);
}

static void add_splits(struct counters *counters, struct line *line)
{
	char text[16384];

	if (counters->vmstat_fd < 0 || read_again(counters->vmstat_fd, text, sizeof(text)) <= 0)
		text[0] = 0;
	for (enum counters_key key = COUNTERS_SPLIT_PMD; key <= COUNTERS_SPLIT_PAGE; key++) {
		char sought[32];
		const char *at;

		snprintf(sought, sizeof(sought), "\n%s ", key_names[key]);
		at = strstr(text, sought);
		if (at)
			add_key(counters, line, key, strtoull(at + strlen(sought), NULL, 10));
		else
			lacks(counters, key, "not in /proc/vmstat");
	}
}

void counters_print(struct counters *counters, const char *time_ms, const char *name)
{
	struct line line = { .length = 0 };
	struct process_stat stat;
	char text[1024];
	uint64_t value;

	add_cpu(counters, &line);
	add_exits(counters, &line);
	add_splits(counters, &line);
	if (read_again(counters->stat_fd, text, sizeof(text)) > 0 &&
	    parse_process_stat(text, &stat)) {
		add(&line, "minflt", stat.minor_faults);
		add(&line, "threads", stat.threads);
	}
	if (counters_rss_kib(counters, &value))
		add(&line, "rss_kib", value);
	if (counters->counts_calls) {
		add(&line, "release_calls", counters->release_calls);
		add(&line, "release_bytes", counters->release_bytes);
	}
	say("count %s %s%s", time_ms, name, line.text);
}
