/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a trace: its rows as text, and its end kept whole.
 *
 * DOC: a row is one line, of numbers in plain digits. Columns are only ever added at the end. A row
 * of batches tells what one batch did, or several that had to share it; a row called "sample" tells
 * what the process had resident at that time, by the kernel's word, and is 0 in all else, so that
 * sums over all rows are sums over batches.
 */
#include "reclaim_trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool ends_with(const char *text, const char *ending)
{
	size_t text_length = strlen(text), ending_length = strlen(ending);

	return text_length >= ending_length && !strcmp(text + text_length - ending_length, ending);
}

static int write_head(struct reclaim_trace_file *file)
{
	static const char head[] = "time_ns,source,ranges_in,ranges_released,bytes_in,"
				   "bytes_released,bytes_absent,bytes_refused,syscalls,"
				   "latency_ns,errors,batches,resident_bytes\n";
	ssize_t written;

	if (file->json)
		return 0;
	written = reclaim_trace_file_write(file, head, sizeof(head) - 1);
	if (written < 0)
		return (int)written;
	if ((size_t)written < sizeof(head) - 1)
		return -ENOSPC;
	reclaim_trace_file_mark(file, sizeof(head) - 1);
	return 0;
}

static int explain(int r, const char *path, struct error *err)
{
	if (r == -ENXIO)
		return error_set(
			err, r, "reclaim trace %s: a pipe without a reader (start it first)", path);
	if (r == -EEXIST)
		return error_set(err, r, "reclaim trace %s: is there already (give a new file)",
		                 path);
	return error_set_errno(err, r, "cannot write reclaim trace %s", path);
}

/* O_NONBLOCK: a pipe that nobody empties must not hold anyone. Regular files take no notice. */
int reclaim_trace_file_open(const char *path, bool overwrite, struct reclaim_trace_file *ret_file,
                            struct error *err)
{
	int flags = O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK;
	struct reclaim_trace_file file = { .json = ends_with(path, ".jsonl") ||
		                                   ends_with(path, ".json") };
	struct stat status;
	int r;

	file.fd = open(path, flags | (overwrite ? O_TRUNC : O_EXCL) | O_CLOEXEC, 0644);
	if (file.fd < 0)
		return explain(-errno, path, err);
	file.regular = fstat(file.fd, &status) == 0 && S_ISREG(status.st_mode);
	r = write_head(&file);
	if (r < 0) {
		reclaim_trace_file_cut(&file);
		reclaim_trace_file_close(&file);
		return explain(r, path, err);
	}
	*ret_file = file;
	return 0;
}

void reclaim_trace_file_close(struct reclaim_trace_file *file)
{
	close(file->fd);
	file->fd = -1;
}

size_t reclaim_trace_file_format(const struct reclaim_trace_file *file,
                                 const struct reclaim_trace_row *row,
                                 char line[RECLAIM_TRACE_ROW_MAX_BYTES])
{
	static const char csv[] =
		"%" PRId64 ",%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
		",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",";
	static const char json[] =
		"{\"time_ns\": %" PRId64 ", \"source\": \"%s\", \"ranges_in\": %" PRIu64
		", \"ranges_released\": %" PRIu64 ", \"bytes_in\": %" PRIu64
		", \"bytes_released\": %" PRIu64 ", \"bytes_absent\": %" PRIu64
		", \"bytes_refused\": %" PRIu64 ", \"syscalls\": %" PRIu64
		", \"latency_ns\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"batches\": %" PRIu64;
	int length = snprintf(
		line, RECLAIM_TRACE_ROW_MAX_BYTES, file->json ? json : csv, row->time_ns,
		row->batches ? reclaim_source_name(row->source) : "sample", row->ranges_in,
		row->ranges_released, row->bytes_in, row->bytes_released, row->bytes_absent,
		row->bytes_refused, row->syscalls, row->latency_ns, row->errors, row->batches);

	if (!row->batches)
		length += snprintf(line + length, RECLAIM_TRACE_ROW_MAX_BYTES - (size_t)length,
		                   file->json ? ", \"resident_bytes\": %" PRIu64 : "%" PRIu64,
		                   row->resident_bytes);
	length += snprintf(line + length, RECLAIM_TRACE_ROW_MAX_BYTES - (size_t)length,
	                   file->json ? "}\n" : "\n");
	return (size_t)length;
}

ssize_t reclaim_trace_file_write(struct reclaim_trace_file *file, const char *text,
                                 size_t size_bytes)
{
	ssize_t written;

	do {
		written = write(file->fd, text, size_bytes);
	} while (written < 0 && errno == EINTR);
	return written < 0 ? -errno : written;
}

void reclaim_trace_file_mark(struct reclaim_trace_file *file, uint64_t size_bytes)
{
	file->whole_bytes += size_bytes;
}

void reclaim_trace_file_cut(struct reclaim_trace_file *file)
{
	if (file->regular)
		(void)!ftruncate(file->fd, (off_t)file->whole_bytes);
}
