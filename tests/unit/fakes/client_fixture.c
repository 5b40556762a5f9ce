/* SPDX-License-Identifier: Apache-2.0 */
/* See client_fixture.h. */
#include "client_fixture.h"

struct control_server server;
struct client_run run;

int set_up(void **state)
{
	(void)state;
	control_server_start(&server);
	return 0;
}

int tear_down(void **state)
{
	(void)state;
	control_server_stop(&server);
	return 0;
}
