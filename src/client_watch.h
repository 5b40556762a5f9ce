/* SPDX-License-Identifier: Apache-2.0 */
/* `ebb stat --watch`: what is seen over time, laid out (client_watch_layout.c, pure), and the
 * terminal it is shown on (client_watch.c). */
#ifndef CLIENT_WATCH_H
#define CLIENT_WATCH_H

#include "client_text.h"

#define CLIENT_WATCH_SAMPLES_MAX 256

/* What of a stat is followed over time; counters since the guest's start. */
struct client_watch_sample {
	int64_t time_ns; /* monotonic */
	uint64_t resident_bytes, balloon_bytes;
	uint64_t released_bytes, refault_bytes, exits, batches;
};

struct client_watch {
	const char *name;
	double interval_s;
	struct client_watch_sample samples[CLIENT_WATCH_SAMPLES_MAX]; /* a ring */
	size_t first, count;
};

/* Takes what stat says. */
void client_watch_note(struct client_watch *watch, const struct json_t *stat, int64_t now_ns);

/* The screen: as much of it as fits text's width and height. */
void client_watch_screen(const struct client_watch *watch, const struct json_t *stat,
                         struct client_text *text);

/* For a pipe: the names of the columns, and a line of them for the newest sample. */
void client_watch_head(struct client_text *text);
void client_watch_line(const struct client_watch *watch, const struct json_t *stat,
                       struct client_text *text);

/* A table of reclaim's sources that have something to tell: as many columns as fit. False: none
 * has. */
bool client_put_sources(struct client_text *text, const struct json_t *reclaim,
                        unsigned int indent);

/* Again and again until the guest or the user ends it. 0 or -errno with a message. */
EBB_MUST_CHECK int client_watch_run(struct client_connection *connection,
                                    const struct client_arguments *arguments, struct error *err);

#endif
