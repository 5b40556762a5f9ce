/* SPDX-License-Identifier: Apache-2.0 */
/* What tests see and steer of a program that was not started: stands in for src/child_process.c
 * (`fakes: fake_child_process`). One at a time. */
#ifndef FAKE_CHILD_PROCESS_H
#define FAKE_CHILD_PROCESS_H

#include "ebb/child_process.h"

#define FAKE_CHILD_WORDS_MAX 64

struct fake_child_process {
	int start_result; /* what the next start answers */
	/* Runs within the start, as the program's first deed. */
	void (*started)(void);
	char words[FAKE_CHILD_WORDS_MAX][32];
	unsigned int word_count;
	int kept_fd, error_fd; /* its own; -1: closed, or never there */
	struct child_process_setup setup;
	bool runs;
	unsigned int starts, stops;
};

extern struct fake_child_process fake_child_process;

void fake_child_process_clear(void);
/* It ends: its descriptors are closed; and the loop's handler runs. */
void fake_child_process_close(void);
void fake_child_process_end(int wait_status);

#endif
