/* SPDX-License-Identifier: Apache-2.0 */
/* The trace of released batches: CSV with a header, or JSON lines; one write(2) a batch. */
#include "reclaim_trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRACE_LINE_MAX 512

void reclaim_trace_init(struct reclaim_trace *trace)
{
	*trace = (struct reclaim_trace){ .fd = -1 };
}

void reclaim_trace_fini(struct reclaim_trace *trace)
{
	if (trace->fd >= 0)
		close(trace->fd);
	trace->fd = -1;
}

static bool ends_with(const char *text, const char *ending)
{
	size_t text_length = strlen(text), ending_length = strlen(ending);

	return text_length >= ending_length && !strcmp(text + text_length - ending_length, ending);
}

/* A line that is cut short (full disk) counts as failed. */
static int write_line(int fd, const char *line, size_t length)
{
	ssize_t written;

	do {
		written = write(fd, line, length);
	} while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	return (size_t)written == length ? 0 : -ENOSPC;
}

int reclaim_trace_start(struct reclaim_trace *trace, const char *path, struct log *log,
                        struct error *err)
{
	static const char header[] = "time_ns,source,ranges_in,ranges_released,bytes_in,"
				     "bytes_released,bytes_absent,bytes_refused,syscalls,"
				     "latency_ns\n";
	bool json = ends_with(path, ".jsonl") || ends_with(path, ".json");
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return error_set_errno(err, -errno, "cannot open reclaim trace %s", path);
	r = json ? 0 : write_line(fd, header, sizeof(header) - 1);
	if (r < 0) {
		close(fd);
		return error_set_errno(err, r, "cannot write reclaim trace %s", path);
	}
	reclaim_trace_fini(trace);
	*trace = (struct reclaim_trace){ .fd = fd, .json = json, .log = log };
	return 0;
}

void reclaim_trace_write(struct reclaim_trace *trace, const struct reclaim_trace_record *record)
{
	static const char csv[] = "%" PRId64 ",%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
				  ",%" PRIu64 ",%" PRIu64 ",%u,%" PRIu64 "\n";
	static const char json[] =
		"{\"time_ns\": %" PRId64 ", \"source\": \"%s\", \"ranges_in\": %" PRIu64
		", \"ranges_released\": %" PRIu64 ", \"bytes_in\": %" PRIu64
		", \"bytes_released\": %" PRIu64 ", \"bytes_absent\": %" PRIu64
		", \"bytes_refused\": %" PRIu64 ", \"syscalls\": %u, \"latency_ns\": %" PRIu64
		"}\n";
	char line[TRACE_LINE_MAX];
	int length, r;

	if (trace->fd < 0)
		return;
	length = snprintf(line, sizeof(line), trace->json ? json : csv, record->time_ns,
	                  record->source, record->ranges_in, record->ranges_released,
	                  record->bytes_in, record->bytes_released, record->bytes_absent,
	                  record->bytes_refused, record->syscalls, record->latency_ns);
	r = write_line(trace->fd, line, (size_t)length);
	if (r == 0)
		return;
	log_warn(trace->log, "reclaim trace stopped: %s", strerror(-r));
	reclaim_trace_fini(trace);
}
