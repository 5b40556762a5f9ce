/* SPDX-License-Identifier: Apache-2.0 */
/* Between the client commands: their arguments, and the connection to a guest's control socket. */
#ifndef CLIENT_PRIVATE_H
#define CLIENT_PRIVATE_H

#include <signal.h>

#include "client.h"
#include "ebb/config.h"
#include "ebb/control.h"

struct json_t;

/* What the client commands' options and words are parsed into. */
struct client_arguments {
	const char *name;
	const char *word;  /* the second one: SIZE, JSON, DEVICE; or NULL */
	const char *value; /* the third one, or NULL */
	bool json, wait, watch;
	uint64_t stall_ns; /* of --wait; 0: not given */
	uint64_t watch_ns;
	bool keep_given;
	uint64_t keep_bytes;
};

/* For struct cmdline_command.positional and the rows of options; target is a client_arguments. */
int client_take_word(void *target, size_t index, const char *value, struct error *err);
int client_take_json(void *target, const struct cmdline_option *option, const char *value,
                     struct error *err);

/* Parses; prints help where that was asked. True: go on; false: the command ends with *ret_status.
 */
bool client_parse(const struct cmdline_command *command, int argc, char **argv,
                  struct client_arguments *ret_arguments, int *ret_status, struct error *err);

/* The exit status for -errno from the functions below. */
int client_status(int ret);

struct client_connection;

/* Hangs up, has the message begin with the guest's name, and is the exit status. */
int client_end(struct client_connection *connection, const char *name, int ret, struct error *err);

/* --- client_connection.c --- */

#define CLIENT_REPLY_TIMEOUT_MS 10000
#define CLIENT_REPLY_MAX_BYTES  (8 * MIB)

struct client_connection {
	int fd;
	const int *end_fd; /* borrowed; readable: waiting ends with -ECANCELED. NULL: none */
	char *buffer;      /* what arrived and is not consumed */
	size_t size_bytes, capacity_bytes;
};

/* A connected socket. -ENOENT: no such guest runs; the message lists those that do. */
EBB_MUST_CHECK int client_open_socket(const char *name, int *ret_fd, struct error *err);

/* Connects and negotiates. */
EBB_MUST_CHECK int client_connect(const char *name, struct client_connection *connection,
                                  struct error *err);

/* The same on a socket that is connected; takes fd, also on failure. */
EBB_MUST_CHECK int client_start(int fd, struct client_connection *connection, struct error *err);
void client_disconnect(struct client_connection *connection);

/*
 * One command: its result, a new reference. arguments is taken and may be NULL. Events that come in
 * between are dropped. -EREMOTEIO: an error reply, whose text is the message; -ETIMEDOUT, -EPIPE:
 * no answer.
 */
EBB_MUST_CHECK int client_command(struct client_connection *connection, const char *command,
                                  struct json_t *arguments, struct json_t **ret_result,
                                  struct error *err);

/* Sends request as it is (taken) and returns the whole reply. */
EBB_MUST_CHECK int client_request(struct client_connection *connection, struct json_t *request,
                                  struct json_t **ret_reply, struct error *err);

/* The same in steps, for a command that takes its time: send (request is taken); wait, again after
 * -ETIMEDOUT if one likes; and the result in a reply, which is taken. */
EBB_MUST_CHECK int client_send_request(struct client_connection *connection, struct json_t *request,
                                       struct error *err);
EBB_MUST_CHECK int client_wait_reply(struct client_connection *connection, int timeout_ms,
                                     struct json_t **ret_reply, struct error *err);
EBB_MUST_CHECK int client_take_result(struct json_t *reply, struct json_t **ret_result,
                                      struct error *err);

/* Waits for an event or timeout_ms, whichever comes first; 0, or -EPIPE when the guest is gone. */
EBB_MUST_CHECK int client_wait_event(struct client_connection *connection, int timeout_ms);

/* Waits until the other side hangs up. -ETIMEDOUT. */
EBB_MUST_CHECK int client_wait_end(struct client_connection *connection, int timeout_ms);

/* The names of the guests whose sockets answer, sorted; the caller frees each and the array. */
EBB_MUST_CHECK int client_running(char ***ret_names, size_t *ret_count, struct error *err);
void client_free_names(char **names, size_t count);

/* A number at keys of nested objects, "memory.ram_bytes"; 0 when it is not there. */
uint64_t client_number(const struct json_t *object, const char *path);
const char *client_string(const struct json_t *object, const char *key);

/* --- client_wait.c: until a guest has given or taken what was asked --- */

/*
 * Signals that end a command while it waits: read instead of taken, so that it can be said what
 * becomes of what was asked. One that came makes the connection's functions return -ECANCELED;
 * when they are released, it is forgotten, or takes its course.
 */
struct client_ending {
	int fd; /* -1: they are not caught */
	sigset_t old_signals;
};

void client_ending_catch(struct client_ending *ending, struct client_connection *connection);
void client_ending_release(struct client_ending *ending, struct client_connection *connection,
                           bool forget);

#define CLIENT_WHY_MAX 256

struct client_wait {
	struct client_connection *connection;
	const char *what; /* what errors begin with: "mem vm0" */
	uint64_t start_bytes, target_bytes;
	int64_t stall_ns; /* a guest that has not moved for so long does not move any more */
	void *ctx;        /* the caller's */
	/* Where it is now. */
	int (*query)(struct client_wait *wait, uint64_t *ret_bytes, struct error *err);
	/* Why it may be that it does not move any more, or what to look at. */
	void (*explain)(struct client_wait *wait, uint64_t bytes, char why[CLIENT_WHY_MAX]);
};

/* --wait[=SECONDS]. */
int client_take_wait(void *target, const struct cmdline_option *option, const char *value,
                     struct error *err);

/*
 * Waits, with a bar on a terminal. 0: it is there; -EREMOTEIO: it moves no more, or query's;
 * -ECANCELED: a signal, and what was asked stands; -EPIPE: the guest is gone. With a message.
 */
EBB_MUST_CHECK int client_wait_for(struct client_wait *wait, struct error *err);

/* --- looking at results, and showing them --- */

/* A bar on a terminal's line, and what it stands for: "[####....] part of whole". */
void client_show_bar(uint64_t part_bytes, uint64_t whole_bytes, const char *text);

/* "1.5 GiB"; exact below 1 KiB. */
#define CLIENT_SIZE_TEXT_MAX 32
const char *client_format_bytes(uint64_t bytes, char text[CLIENT_SIZE_TEXT_MAX]);

#endif
