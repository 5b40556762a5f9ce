/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of one VM: lines to stderr, "ebb: text".
 *
 * Functions in libraries never print errors that they also return (DESIGN: an error is reported
 * once, by its last caller); they log what nobody is told otherwise, above all a driver that breaks
 * VIRTIO, through a rate limit. Any thread. A log that cannot be written is dropped and counted,
 * never an error, and nobody waits for its reader.
 */
#ifndef EBB_LOG_H
#define EBB_LOG_H

#include <stdatomic.h>

#include "ebb/types.h"

/* Lines that are written as fast as they come, before it is one a second (LOG_DEBUG is not
 * counted). */
#define LOG_BURST_LINES 4096

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log;

/* fd is borrowed. Lines above level are dropped. */
EBB_MUST_CHECK int log_create(int fd, enum log_level level, struct log **ret_log);
void log_destroy(struct log *log);

/* While the guest's console owns the terminal, lines end in CR LF. Any thread. */
void log_set_raw_terminal(struct log *log, bool raw);

/* log may be NULL: the line is dropped. One write(2) a line, cut at 1 KiB. */
void log_message(struct log *log, enum log_level level, const char *format, ...) EBB_PRINTF(3, 4);
bool log_enabled(const struct log *log, enum log_level level);

/* Lines that were lost: fd took no more at once, or too many came. The next one says how many. */
uint64_t log_dropped_count(const struct log *log);

/* One line a second at the most; the next one that passes says how many were held back.
 * Zero-initialised. */
struct log_ratelimit {
	_Atomic int64_t next_ns;
	_Atomic uint64_t held_back_count;
};

void log_message_limited(struct log *log, struct log_ratelimit *limit, enum log_level level,
                         const char *format, ...) EBB_PRINTF(4, 5);

#define log_error(log, ...) log_message(log, LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...)  log_message(log, LOG_WARN, __VA_ARGS__)
#define log_info(log, ...)  log_message(log, LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_message(log, LOG_DEBUG, __VA_ARGS__)

#endif
