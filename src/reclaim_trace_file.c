/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a trace: its rows as text, and its end kept whole.
 *
 * DOC: a row is one line, of numbers in plain digits. Columns are only ever added at the end. A row
 * of batches tells what one batch did, or several that had to share it; a row called "sample" tells
 * what the process had resident at that time, by the kernel's word, and is 0 in all else, so that
 * sums over all rows are sums over batches. A row called "limit" is the last one of a file that may
 * become no longer; it tells what was resident as well.
 *
 * Regular files and pipes take a trace. Opening one is given 2 s, on a thread of its own, because
 * the user's request comes in on the main loop and the file may be on a network that is gone.
 *
 * Syscalls: main,reclaim: fcntl fstat ftruncate lseek write
 */
#include "reclaim_trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deadline_call.h"

#define OPEN_MAX_NS (2 * NS_PER_S)

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
	if (r == -EINVAL)
		return error_set(err, r, "reclaim trace %s: is neither a file nor a pipe", path);
	if (r == -ETIMEDOUT)
		return error_set(err, r,
		                 "reclaim trace %s: the host hangs in opening it; left behind",
		                 path);
	return error_set_errno(err, r, "cannot write reclaim trace %s", path);
}

static bool takes_a_trace(const struct stat *status)
{
	return S_ISREG(status->st_mode) || S_ISFIFO(status->st_mode);
}

/* What is there is looked at first: to open a device can have effects. O_NONBLOCK: a pipe that
 * nobody empties must not hold anyone. Regular files take no notice. */
static int open_file(const char *path, bool overwrite, struct reclaim_trace_file *file)
{
	int flags = O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK;
	struct stat status;

	if (overwrite && stat(path, &status) == 0 && !takes_a_trace(&status))
		return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
	file->fd = open(path, flags | (overwrite ? O_TRUNC : O_EXCL) | O_CLOEXEC, 0644);
	if (file->fd < 0)
		return -errno;
	if (fstat(file->fd, &status) < 0 || !takes_a_trace(&status))
		return -EINVAL;
	file->regular = S_ISREG(status.st_mode);
	return write_head(file);
}

struct opening {
	bool overwrite;
	struct reclaim_trace_file file;
	int r;
	char path[];
};

static void open_and_begin(void *ctx)
{
	struct opening *opening = ctx;

	opening->r = open_file(opening->path, opening->overwrite, &opening->file);
	if (opening->r < 0 && opening->file.fd >= 0) {
		reclaim_trace_file_cut(&opening->file);
		reclaim_trace_file_close(&opening->file);
	}
}

/* It hung, and came back after all. */
static void discard_opening(void *ctx)
{
	struct opening *opening = ctx;

	if (!opening->r)
		reclaim_trace_file_close(&opening->file);
	free(opening);
}

int reclaim_trace_file_open(const char *path, bool overwrite, struct reclaim_trace_file *ret_file,
                            struct error *err)
{
	size_t path_bytes = strlen(path) + 1;
	struct opening *opening = calloc(1, sizeof(*opening) + path_bytes);
	int r;

	if (!opening)
		return explain(-ENOMEM, path, err);
	opening->overwrite = overwrite;
	opening->file.fd = -1;
	opening->file.json = ends_with(path, ".jsonl") || ends_with(path, ".json");
	memcpy(opening->path, path, path_bytes);
	r = deadline_call(open_and_begin, discard_opening, opening, OPEN_MAX_NS);
	if (r == -ETIMEDOUT)
		return explain(r, path, err);
	if (!r)
		r = opening->r;
	if (!r)
		*ret_file = opening->file;
	free(opening);
	return r < 0 ? explain(r, path, err) : 0;
}

/* A file that can be written to its end, from its beginning, without waiting. */
static int empty_file(struct reclaim_trace_file *file)
{
	struct stat status;
	int flags = fcntl(file->fd, F_GETFL);

	if (flags < 0 || fstat(file->fd, &status) < 0 || !takes_a_trace(&status) ||
	    (flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	file->regular = S_ISREG(status.st_mode);
	if (fcntl(file->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    (file->regular && (ftruncate(file->fd, 0) < 0 || lseek(file->fd, 0, SEEK_SET) < 0)))
		return -errno;
	return write_head(file);
}

int reclaim_trace_file_take(int fd, bool json, struct reclaim_trace_file *ret_file,
                            struct error *err)
{
	struct reclaim_trace_file file = { .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .json = json };
	int r = file.fd < 0 ? -errno : empty_file(&file);

	if (!r) {
		*ret_file = file;
		return 0;
	}
	if (file.fd >= 0)
		close(file.fd);
	if (r == -EINVAL)
		return error_set(err, r,
		                 "reclaim trace: the descriptor is of neither a file nor a pipe "
		                 "that may be written");
	return error_set_errno(err, r, "cannot write reclaim trace");
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
	const char *kind = row->at_limit ? "limit" : "sample";
	const char *source = row->batches ? reclaim_source_name(row->source) : kind;
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
