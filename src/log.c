/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of one VM: a line, one write(2).
 *
 * DOC: No lock and no buffer: a line is built on the caller's stack and written whole, so lines of
 * several threads do not mix (POSIX keeps writes up to PIPE_BUF apart, and a terminal or a file
 * opened for appending takes them whole). What the descriptor does not take at once - full pipe
 * that does not block, full disk, closed reader - is dropped and counted; a line is never retried,
 * because a log must not be able to hold a guest up. Control characters are replaced: texts may
 * hold what a guest chose, and the log may be a terminal.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/event_loop.h"
#include "ebb/log.h"
#include "ebb/metrics.h"

#define LINE_MAX_BYTES      1024 /* with the line end */
#define LINE_PREFIX         "ebb: "
#define LIMITED_INTERVAL_NS NS_PER_S

struct log {
	int fd; /* borrowed */
	enum log_level level;
	struct metric_counter raw_terminal; /* 0 or 1 */
	struct metric_counter dropped;
};

int log_create(int fd, enum log_level level, struct log **ret_log)
{
	struct log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->fd = fd;
	log->level = level;
	*ret_log = log;
	return 0;
}

void log_destroy(struct log *log)
{
	free(log);
}

void log_set_raw_terminal(struct log *log, bool raw)
{
	if (log)
		atomic_store_explicit(&log->raw_terminal.value, raw, memory_order_relaxed);
}

bool log_enabled(const struct log *log, enum log_level level)
{
	return log && level <= log->level;
}

uint64_t log_dropped_count(const struct log *log)
{
	return log ? metric_read(&log->dropped) : 0;
}

static void replace_controls(char *text, size_t size_bytes)
{
	for (size_t i = 0; i < size_bytes; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = text[i] == '\t' ? ' ' : '?';
}

/* held_back: lines that a rate limit kept since the last one that passed. */
static void write_line(struct log *log, const char *format, va_list args, uint64_t held_back)
{
	const bool raw = metric_read(&log->raw_terminal);
	const size_t text_max = LINE_MAX_BYTES - 2; /* room for CR LF */
	char line[LINE_MAX_BYTES + 1] = LINE_PREFIX;
	size_t used = strlen(line);
	ssize_t written;
	int length;

	length = vsnprintf(line + used, text_max - used + 1, format, args);
	if (length > 0)
		used += min_u64((uint64_t)length, text_max - used);
	if (held_back && used < text_max) {
		length = snprintf(line + used, text_max - used + 1, " (%llu more held back)",
		                  (unsigned long long)held_back);
		if (length > 0)
			used += min_u64((uint64_t)length, text_max - used);
	}
	replace_controls(line, used);
	if (raw)
		line[used++] = '\r';
	line[used++] = '\n';
	do {
		written = write(log->fd, line, used);
	} while (written < 0 && errno == EINTR);
	if (written != (ssize_t)used)
		metric_increment(&log->dropped);
}

void log_message(struct log *log, enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	va_list args;

	if (!log_enabled(log, level))
		return;
	va_start(args, format);
	write_line(log, format, args, 0);
	va_end(args);
	errno = saved_errno;
}

void log_message_limited(struct log *log, struct log_ratelimit *limit, enum log_level level,
                         const char *format, ...)
{
	int64_t now_ns, next_ns;
	int saved_errno = errno;
	uint64_t held_back;
	va_list args;

	if (!log_enabled(log, level))
		return;
	now_ns = monotonic_ns();
	next_ns = atomic_load_explicit(&limit->next_ns, memory_order_relaxed);
	/* Of several threads that find the interval over, the one whose exchange wins writes. */
	if (now_ns < next_ns || !atomic_compare_exchange_strong_explicit(
					&limit->next_ns, &next_ns, now_ns + LIMITED_INTERVAL_NS,
					memory_order_relaxed, memory_order_relaxed)) {
		atomic_fetch_add_explicit(&limit->held_back_count, 1, memory_order_relaxed);
		return;
	}
	held_back = atomic_exchange_explicit(&limit->held_back_count, 0, memory_order_relaxed);
	va_start(args, format);
	write_line(log, format, args, held_back);
	va_end(args);
	errno = saved_errno;
}
