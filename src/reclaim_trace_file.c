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
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of both formats, in order; the refusals' are behind them. */
static const char *const column_names[] = {
	"ranges_in",    "ranges_released", "bytes_in",       "bytes_released",
	"bytes_absent", "bytes_refused",   "syscalls",       "latency_ns",
	"errors",       "batches",         "resident_bytes", "bytes_lazy",
};

#define RESIDENT_COLUMN 10

static bool ends_with(const char *text, const char *ending)
{
	size_t text_length = strlen(text), ending_length = strlen(ending);

	return text_length >= ending_length && !strcmp(text + text_length - ending_length, ending);
}

/* Appends to a line that is long enough for all rows. */
EBB_PRINTF(3, 4)
static void append(char line[RECLAIM_TRACE_ROW_MAX_BYTES], size_t *length, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	*length += (size_t)vsnprintf(line + *length, RECLAIM_TRACE_ROW_MAX_BYTES - *length, format,
	                             arguments);
	va_end(arguments);
}

static int write_head(struct reclaim_trace_file *file)
{
	char head[RECLAIM_TRACE_ROW_MAX_BYTES];
	size_t length = 0;
	ssize_t written;

	if (file->json)
		return 0;
	append(head, &length, "time_ns,source");
	for (size_t i = 0; i < ARRAY_SIZE(column_names); i++)
		append(head, &length, ",%s", column_names[i]);
	for (size_t i = 0; i < RECLAIM_REFUSAL_COUNT; i++)
		append(head, &length, ",refused_%s", reclaim_refusal_name((enum reclaim_refusal)i));
	append(head, &length, "\n");
	written = reclaim_trace_file_write(file, head, length);
	if (written < 0)
		return (int)written;
	if ((size_t)written < length)
		return -ENOSPC;
	reclaim_trace_file_mark(file, length);
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
	const struct reclaim_outcome *outcome = &row->outcome;
	const uint64_t values[ARRAY_SIZE(column_names)] = {
		row->ranges_in,        outcome->ranges_released,
		row->bytes_in,         outcome->bytes_released,
		outcome->bytes_absent, outcome->bytes_refused,
		outcome->syscalls,     row->latency_ns,
		row->errors,           row->batches,
		row->resident_bytes,   outcome->bytes_lazy,
	};
	const char *source = row->batches ? reclaim_source_name(row->source) : "sample";
	size_t length = 0;

	append(line, &length,
	       file->json ? "{\"time_ns\": %" PRId64 ", \"source\": \"%s\"" : "%" PRId64 ",%s",
	       row->time_ns, source);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		bool told = i != RESIDENT_COLUMN || !row->batches;

		if (file->json && told)
			append(line, &length, ", \"%s\": %" PRIu64, column_names[i], values[i]);
		else if (!file->json && told)
			append(line, &length, ",%" PRIu64, values[i]);
		else if (!file->json)
			append(line, &length, ",");
	}
	for (size_t i = 0; i < RECLAIM_REFUSAL_COUNT; i++) {
		if (file->json)
			append(line, &length, ", \"refused_%s\": %" PRIu64,
			       reclaim_refusal_name((enum reclaim_refusal)i), outcome->refused[i]);
		else
			append(line, &length, ",%" PRIu64, outcome->refused[i]);
	}
	append(line, &length, file->json ? "}\n" : "\n");
	return length;
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
