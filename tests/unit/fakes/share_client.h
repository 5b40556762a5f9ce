/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 9P2000.L client that writes messages by hand, for tests of the file server, and a folder to be
 * served that goes with the test.
 */
#ifndef SHARE_CLIENT_H
#define SHARE_CLIENT_H

#include "../../../devices/share/share_private.h"

#define P9_READ_HEAD_BYTES (P9_HEADER_BYTES + 4) /* of an answer with data, before them */

struct share_client {
	struct share_server *server;
	char folder[96];        /* what is shared: a folder in one of the test's own */
	char outside[32];       /* that one; it has a file "secret" */
	int folder_fd;          /* to look at it from the host's side */
	uint8_t request[SHARE_MESSAGE_MAX_BYTES + 16];
	uint8_t reply[SHARE_MESSAGE_MAX_BYTES];
	size_t request_bytes, reply_bytes;
	size_t at; /* what is read of the reply */
};

/* A server of a new folder, with nothing agreed yet. Owners are not set. */
void share_client_create(struct share_client *client, bool readonly, unsigned int fids_max);
/* The same, with Tversion and Tattach of fid 0 done. */
void share_client_begin(struct share_client *client, bool readonly);
void share_client_end(struct share_client *client); /* removes the folder */

/* cmocka's: the state is a client that has begun, of a share that is written. */
int share_client_set_up(void **state);
int share_client_tear_down(void **state);

/* A message of fields: b w d q numbers of 1, 2, 4, 8 bytes (int, int, unsigned, uint64_t), s a
 * string, r raw bytes (const void *, size_t). */
void share_client_write(struct share_client *client, uint8_t type, const char *fields, ...);
/* Has it answered: 0 or the -errno of an Rlerror. Asserts that the reply goes with the request. */
int share_client_send(struct share_client *client);
/* Both. */
int share_call(struct share_client *client, uint8_t type, const char *fields, ...);

/* The next number of the reply. */
uint64_t share_reply_number(struct share_client *client, size_t size_bytes);

/* Walks from fid 0 to a path of names with '/' between. */
int share_walk_path(struct share_client *client, uint32_t new_fid, const char *path);
/* The same, and opens it: wire flags. */
int share_open_path(struct share_client *client, uint32_t new_fid, const char *path,
                    uint32_t flags);

/* Of the host's side, beneath the shared folder; they assert. */
void share_host_file(struct share_client *client, const char *path, const char *content);
bool share_host_has(struct share_client *client, const char *path);
struct stat share_host_stat(struct share_client *client, const char *path); /* of a link itself */

#endif
