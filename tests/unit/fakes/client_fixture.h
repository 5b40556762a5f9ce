/* SPDX-License-Identifier: Apache-2.0 */
/* A control socket that serves a guest, and a client of it: for the tests of client commands. Needs
 * the fakes that client_runner and control_server do. */
#ifndef CLIENT_FIXTURE_H
#define CLIENT_FIXTURE_H

#include "client_runner.h"
#include "control_server.h"

extern struct control_server server;
extern struct client_run run; /* of the last client_run */

/* cmocka's. */
int set_up(void **state);
int tear_down(void **state);

#endif
