/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side: `ebb VERB NAME`, each one conversation with the control socket of a running
 * guest. Rows for main.c's table.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "cmdline.h"

/* Beside 0, EXIT_STATUS_USAGE and EXIT_STATUS_FAILURE: the guest's ebb said no, or a wait ended
 * short. */
#define EXIT_STATUS_REFUSED     1
#define EXIT_STATUS_INTERRUPTED 130 /* a signal ended a wait; what was asked stands */

extern const struct cmdline_command client_list_command;    /* client_list.c */
extern const struct cmdline_command client_stat_command;    /* client_stat.c */
extern const struct cmdline_command client_balloon_command; /* client_balloon.c */
extern const struct cmdline_command client_reclaim_command; /* client_reclaim.c */
extern const struct cmdline_command client_mem_command;     /* client_mem.c */
extern const struct cmdline_command client_pause_command;   /* client.c, and below */
extern const struct cmdline_command client_resume_command;
extern const struct cmdline_command client_reset_command;
extern const struct cmdline_command client_powerdown_command;
extern const struct cmdline_command client_stop_command;
extern const struct cmdline_command client_qmp_command;

#endif
