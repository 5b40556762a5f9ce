/* SPDX-License-Identifier: Apache-2.0 */
/* What the host lets this process have: memory, descriptors, threads. */
/*
 * DOC: Memory that a guest does not use is not there, and what it stops using is given back. So a
 * guest that may become larger than its control group lets it is no error: it gets one line, since
 * the host would end ebb (or slow it down) in the middle of the guest's work, without a word. It is
 * an error where the memory is taken at the start (prealloc), or never given back (lock): then it
 * is certain, and the kernel's way to say so would be SIGKILL.
 *
 * Descriptors are counted from the configuration, upwards: what a guest or a client makes ebb open
 * is bounded by it (an eventfd a queue and a vector, a socket a client and what that passes). The
 * soft limit of most hosts, 1024, is for programs that use select; ebb does not, and raises it for
 * itself alone as far as it needs.
 *
 * Nothing here is asked again later: a limit that is lowered while a guest runs is between the host
 * and the kernel.
 */
#include "host_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmdline.h"
#include "ebb/control.h"
#include "ebb/device.h"

/* Standard streams, name, signals, loops, KVM, memory's file, page map, userfaultfd, trace, disks'
 * ring, terminal: 20 of a VM with everything. The rest is for what libraries open for a moment. */
#define BASE_DESCRIPTORS 40

/* The vCPU, and its statistics. */
#define VCPU_DESCRIPTORS 2

/* Of any virtio device: its back end, and for up to five queues two eventfds each and one more for
 * changes of its configuration; a queue (of a network interface, two) with its back end's. */
#define DEVICE_DESCRIPTORS 16
#define QUEUE_DESCRIPTORS  8

/* ebb's own: 1 MiB, and what the C library, the ring and clients may take at most. */
#define OWN_BYTES (8 * MIB)

/* Of guest memory: page tables of the process and of KVM, 1/512 each with small pages. */
#define TABLE_SHARE 256

/* --- pure --- */

static uint64_t queues_of(const struct device_config *device)
{
	for (size_t i = 0; i < device->class->option_count; i++) {
		if (strcmp(device->class->options[i].key, "queues") == 0)
			return device_config_number(device, "queues");
	}
	return 1;
}

uint64_t host_limits_descriptors(const struct vm_config *config)
{
	uint64_t count =
		BASE_DESCRIPTORS + CONTROL_DESCRIPTORS_MAX + VCPU_DESCRIPTORS * config->cpu_count;

	for (size_t i = 0; i < config->device_count; i++)
		count += DEVICE_DESCRIPTORS + QUEUE_DESCRIPTORS * queues_of(&config->devices[i]);
	return count;
}

uint64_t host_limits_own_bytes(uint64_t guest_bytes)
{
	return align_up(OWN_BYTES + guest_bytes / TABLE_SHARE, MIB);
}

static uint64_t pluggable_bytes(const struct vm_config *config)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < config->device_count; i++) {
		if (config->devices[i].class->is_memory)
			bytes += device_config_number(&config->devices[i], "size");
	}
	return bytes;
}

static bool is_counted(const struct vm_config *config)
{
	enum gmem_kind kind = config->memory.backing.kind;

	return kind == GMEM_ANON || kind == GMEM_MEMFD;
}

/* For people: one number and its unit, at most half of the last digit off. */
static const char *about(uint64_t bytes, char text[SIZE_TEXT_MAX])
{
	const uint64_t unit = bytes >= 10 * GIB ? GIB : MIB;

	return bytes % MIB ? cmdline_format_size((bytes + unit / 2) / unit * unit, text)
	                   : cmdline_format_size(bytes, text);
}

static int refuse(const struct vm_config *config, const struct cgroup_limit *limit, uint64_t own,
                  struct error *err)
{
	const bool prealloc = config->memory.backing.prealloc;
	char ram_text[SIZE_TEXT_MAX], own_text[SIZE_TEXT_MAX], limit_text[SIZE_TEXT_MAX];

	return error_set(err, -ENOMEM,
	                 "--mem %s,%s: with %s of ebb's own it does not fit into the %s of memory "
	                 "that this control group may use (ask for less, leave out %s, or raise "
	                 "%s)",
	                 about(config->memory.size_bytes, ram_text), prealloc ? "prealloc" : "lock",
	                 about(own, own_text), about(limit->value, limit_text),
	                 prealloc ? "prealloc" : "lock", limit->path);
}

static void warn(const struct vm_config *config, const struct cgroup_memory *group, uint64_t own,
                 struct error *err)
{
	const bool is_soft = group->high.value < group->max.value;
	const struct cgroup_limit *limit = is_soft ? &group->high : &group->max;
	const uint64_t plug = pluggable_bytes(config);
	char ram_text[SIZE_TEXT_MAX], plug_text[SIZE_TEXT_MAX], own_text[SIZE_TEXT_MAX];
	char limit_text[SIZE_TEXT_MAX];

	error_set(err, 0,
	          "memory: %s of RAM%s%s%s and %s of ebb's own do not fit into the %s that this "
	          "control group may use: a guest that uses it all %s (ask for less, or raise %s)",
	          about(config->memory.size_bytes, ram_text), plug ? ", " : "",
	          plug ? about(plug, plug_text) : "", plug ? " of virtio-mem" : "",
	          about(own, own_text), about(limit->value, limit_text),
	          is_soft ? "is slowed down by the host" : "is ended by the host", limit->path);
}

int host_limits_judge_memory(const struct vm_config *config, const struct cgroup_memory *group,
                             struct error *err)
{
	const uint64_t ram = config->memory.size_bytes;
	const uint64_t all = ram + pluggable_bytes(config);
	const struct gmem_backing *backing = &config->memory.backing;

	if (!is_counted(config))
		return 0;
	if ((backing->prealloc || backing->lock) &&
	    ram + host_limits_own_bytes(ram) > group->max.value)
		return refuse(config, &group->max, host_limits_own_bytes(ram), err);
	if (all + host_limits_own_bytes(all) <= min_u64(group->max.value, group->high.value))
		return 0;
	warn(config, group, host_limits_own_bytes(all), err);
	return 1;
}

/* --- of this process --- */

static ssize_t read_host_file(const char *path, char *text, size_t size_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, text, size_bytes);
	if (length < 0)
		length = -errno;
	close(fd);
	return length;
}

static int raise_descriptors(const struct vm_config *config, struct error *err)
{
	const uint64_t wanted = host_limits_descriptors(config);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
		return 0;
	if (limit.rlim_max < wanted)
		return error_set(err, -EMFILE,
		                 "this guest takes up to %" PRIu64 " file descriptors, and the "
		                 "host's hard limit is %" PRIu64 " (raise `ulimit -n`, or ask for "
		                 "fewer vCPUs, devices or queues)",
		                 wanted, (uint64_t)limit.rlim_max);
	limit.rlim_cur = wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return error_set_errno(err, -errno, "raising `ulimit -n` to %" PRIu64, wanted);
	return 0;
}

static int judge_memory(const struct vm_config *config, struct log *log, struct error *err)
{
	struct error warning = ERROR_INIT;
	struct cgroup_memory group;
	int ret;

	if (!is_counted(config))
		return 0;
	cgroup_memory_limit(read_host_file, &group);
	ret = host_limits_judge_memory(config, &group, &warning);
	if (ret > 0)
		log_warn(log, "%s", warning.message);
	else if (ret < 0)
		error_set(err, ret, "%s", warning.message);
	return ret < 0 ? ret : 0;
}

int host_limits_apply(const struct vm_config *config, struct log *log, struct error *err)
{
	int ret = raise_descriptors(config, err);

	return ret ? ret : judge_memory(config, log, err);
}

EBB_PRINTF(2, 3) static void add_hint(struct error *err, const char *format, ...)
{
	const size_t used = strlen(err->message);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(err->message + used, sizeof(err->message) - used, format, args);
	va_end(args);
}

static void explain_threads(struct error *err)
{
	struct rlimit limit = { .rlim_cur = RLIM_INFINITY };
	struct cgroup_limit pids;

	(void)!getrlimit(RLIMIT_NPROC, &limit);
	cgroup_process_limit(read_host_file, &pids);
	add_hint(err, " (this user or control group may have no more threads: raise ");
	if (limit.rlim_cur != RLIM_INFINITY)
		add_hint(err, "`ulimit -u`, which is %" PRIu64 "%s", (uint64_t)limit.rlim_cur,
		         pids.path[0] ? ", or " : "");
	if (pids.path[0])
		add_hint(err, "%s, which is %" PRIu64, pids.path, pids.value);
	if (limit.rlim_cur == RLIM_INFINITY && !pids.path[0])
		add_hint(err, "kernel.threads-max");
	add_hint(err, ")");
}

void host_limits_explain(struct error *err)
{
	struct rlimit limit = { 0 };

	if (!err || strchr(err->message, '('))
		return;
	switch (err->code) {
	case -EMFILE:
		if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
			add_hint(err, " (raise `ulimit -n`, which is %" PRIu64 ")",
			         (uint64_t)limit.rlim_cur);
		return;
	case -ENFILE:
		add_hint(err, " (the whole host's limit: raise fs.file-max)");
		return;
	case -EAGAIN:
		explain_threads(err);
		return;
	default:
		return;
	}
}
