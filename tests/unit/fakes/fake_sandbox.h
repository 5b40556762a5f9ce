/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine gave up, in a test's process that gives up nothing (`fakes: fake_sandbox`). */
#ifndef FAKE_SANDBOX_H
#define FAKE_SANDBOX_H

#include "ebb/sandbox.h"

struct fake_sandbox {
	unsigned int gave_up;       /* how often */
	unsigned int threads;       /* the process's, then */
	struct sandbox_needs needs; /* of the last time */
	int fail_with;              /* giving up fails: -errno */
	int enter_fails_with;           /* so does entering; before a thread is made */
	int pid; /* as entered with, by the last */
	unsigned int entered[SANDBOX_THREAD_COUNT];
};

extern struct fake_sandbox fake_sandbox;

void fake_sandbox_reset(void);
unsigned int fake_sandbox_count_threads(void); /* of this process, now */

#endif
