/* SPDX-License-Identifier: Apache-2.0 */
/* A file server that a test plays: stands in for devices/share/share_start.c (`fakes:
 * fake_share_server`). One at a time; its socket blocks. */
#ifndef FAKE_SHARE_SERVER_H
#define FAKE_SHARE_SERVER_H

#include "ebb/share_server.h"

struct fake_share_server {
	int start_result; /* what the next start answers */
	int fd;           /* the server's end; -1: closed */
	int device_fd;
	int send_buffer_bytes; /* of the device's end; 0: the host's default */
	struct share_server_setup setup;
	char path[64];
	unsigned int starts, stops;
};

extern struct fake_share_server fake_share_server;

void fake_share_server_clear(void);

/* The next request; its size, 0 when there is none. */
size_t fake_share_receive(void *bytes, size_t size_max_bytes);
void fake_share_reply(const void *bytes, size_t size_bytes);
void fake_share_end(void); /* its socket is closed */

#endif
