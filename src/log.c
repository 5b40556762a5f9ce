/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of one VM: a line, one write(2).
 *
 * DOC: No lock and no buffer: a line is built on the caller's stack and written whole, so lines of
 * several threads do not mix (POSIX keeps writes up to PIPE_BUF apart, and a terminal or a file
 * opened for appending takes them whole). What the descriptor does not take at once - full pipe,
 * stopped terminal, full disk, closed reader - is lost and counted; a line is never retried and
 * never waited for, because a log must not be able to hold a guest up. A terminal is written
 * through an open file description of our own that does not block (its flag would otherwise be
 * every other process's as well), a pipe only when poll says that it takes a page.
 *
 * A guest can make ebb say something in many places. Each of them has its own limit, of a line a
 * second (log_message_limited); all of them together have BURST_LINES, for a machine of many vCPUs
 * that are all dumped, and from then on a line a second: a log of some ten MiB a day at the most.
 * What --debug adds is not limited: who asks for every exit gets it.
 *
 * The next line that passes says how many were lost before it, and the log's end if none did.
 *
 * Control characters are replaced: texts may hold what a guest chose, and the log may be a
 * terminal.
 *
 * Syscalls: all: poll write
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/event_loop.h"
#include "ebb/log.h"
#include "ebb/metrics.h"

#define LINE_MAX_BYTES      1024 /* with the line end */
#define LINE_PREFIX         "ebb: "
#define LIMITED_INTERVAL_NS NS_PER_S
#define BURST_LINES         LOG_BURST_LINES
#define LINE_INTERVAL_NS    NS_PER_S /* behind the burst */

struct log {
	int fd; /* borrowed, or own_fd */
	int own_fd;
	bool poll_first;
	enum log_level level;
	struct metric_counter raw_terminal; /* 0 or 1 */
	struct metric_counter dropped;
	_Atomic uint64_t untold;     /* of those: since the last line that said so */
	_Atomic int64_t paid_for_ns; /* all lines so far, at one each LINE_INTERVAL_NS */
};

/* Neither a full pipe nor a stopped terminal may hold whoever logs. */
static void open_output(struct log *log, int fd)
{
	struct stat status;
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
	mode_t mode = fstat(fd, &status) ? 0 : status.st_mode;

	log->fd = fd;
	log->own_fd = -1;
	if (S_ISCHR(mode) && isatty(fd)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		log->own_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (log->own_fd >= 0)
			log->fd = log->own_fd;
	}
	log->poll_first = log->own_fd < 0 && !S_ISREG(mode);
}

int log_create(int fd, enum log_level level, struct log **ret_log)
{
	struct log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	open_output(log, fd);
	log->level = level;
	*ret_log = log;
	return 0;
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

/* untold: those lost before, which the line would have said. */
static void lose(struct log *log, uint64_t untold)
{
	metric_increment(&log->dropped);
	atomic_fetch_add_explicit(&log->untold, untold + 1, memory_order_relaxed);
}

/* Whether a line may pass: not too many came before it. */
static bool take_turn(struct log *log, enum log_level level)
{
	int64_t now_ns, paid_ns, next_ns;

	if (level >= LOG_DEBUG)
		return true;
	now_ns = monotonic_ns();
	paid_ns = atomic_load_explicit(&log->paid_for_ns, memory_order_relaxed);
	do {
		next_ns = (paid_ns > now_ns ? paid_ns : now_ns) + LINE_INTERVAL_NS;
		if (next_ns - now_ns > BURST_LINES * LINE_INTERVAL_NS)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&log->paid_for_ns, &paid_ns, next_ns, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static bool write_all(const struct log *log, const char *line, size_t size_bytes)
{
	struct pollfd pollfd = { .fd = log->fd, .events = POLLOUT };
	ssize_t written;

	/* An error or a hang-up is "ready": write says what it is. */
	if (log->poll_first && poll(&pollfd, 1, 0) <= 0)
		return false;
	do {
		written = write(log->fd, line, size_bytes);
	} while (written < 0 && errno == EINTR);
	return written == (ssize_t)size_bytes;
}

EBB_PRINTF(3, 4)
static size_t append(char *line, size_t used, const char *format, ...)
{
	const size_t text_max = LINE_MAX_BYTES - 2; /* room for CR LF */
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line + used, text_max - used + 1, format, args);
	va_end(args);
	return length > 0 ? used + min_u64((uint64_t)length, text_max - used) : used;
}

/* held_back: lines that a rate limit kept since the last one that passed. */
static void write_line(struct log *log, enum log_level level, const char *text, uint64_t held_back)
{
	char line[LINE_MAX_BYTES + 1];
	uint64_t untold;
	size_t used;

	if (!take_turn(log, level)) {
		lose(log, 0);
		return;
	}
	untold = atomic_exchange_explicit(&log->untold, 0, memory_order_relaxed);
	used = append(line, 0, "%s%s", LINE_PREFIX, text);
	if (held_back)
		used = append(line, used, " (%llu more held back)", (unsigned long long)held_back);
	if (untold)
		used = append(line, used, " (%llu lines before it are lost)",
		              (unsigned long long)untold);
	replace_controls(line, used);
	if (metric_read(&log->raw_terminal))
		line[used++] = '\r';
	line[used++] = '\n';
	if (!write_all(log, line, used))
		lose(log, untold);
}

void log_destroy(struct log *log)
{
	uint64_t untold;
	char line[96];
	int length;

	if (!log)
		return;
	untold = atomic_load_explicit(&log->untold, memory_order_relaxed);
	length = snprintf(line, sizeof(line), LINE_PREFIX "%llu lines of the log are lost\n",
	                  (unsigned long long)untold);
	if (untold)
		(void)write_all(log, line, (size_t)length);
	if (log->own_fd >= 0)
		close(log->own_fd);
	free(log);
}

void log_message(struct log *log, enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char text[LINE_MAX_BYTES];
	va_list args;

	if (!log_enabled(log, level))
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(log, level, text, 0);
	errno = saved_errno;
}

void log_message_limited(struct log *log, struct log_ratelimit *limit, enum log_level level,
                         const char *format, ...)
{
	int64_t now_ns, next_ns;
	int saved_errno = errno;
	char text[LINE_MAX_BYTES];
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
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_line(log, level, text, held_back);
	errno = saved_errno;
}
