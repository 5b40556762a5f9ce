/* SPDX-License-Identifier: Apache-2.0 */
/* What tests see and steer of the faked system calls of refilling. */
#ifndef FAKE_REFILL_HOST_H
#define FAKE_REFILL_HOST_H

#include <stdatomic.h>

#include "../../../src/reclaim_refill_host.h"

enum fake_refill_call {
	FAKE_OPEN_DEVICE,
	FAKE_OPEN_SYSCALL,
	FAKE_HANDSHAKE,
	FAKE_REGISTER,
	FAKE_UNREGISTER,
	FAKE_WAKE,
	FAKE_COPY,
	FAKE_MOVE,
	FAKE_REFILL_CALLS
};

struct fake_refill_host {
	/* Seen: */
	atomic_uint calls[FAKE_REFILL_CALLS], all_calls;
	atomic_uint failures;
	/* Steered: */
	bool no_move, no_shared;               /* what the handshake says */
	atomic_uint fail_at;                   /* the Nth call of all fails, once; 0: none */
	atomic_int fail_with;                  /* -errno */
	atomic_int errors[FAKE_REFILL_CALLS];  /* -errno of every such call; 0: none */
	atomic_uint rounds[FAKE_REFILL_CALLS]; /* how often, then no more; 0: for ever */
	bool half;                             /* register, copy and move do half before failing */
};

extern struct fake_refill_host fake_refill_host;

void fake_refill_host_reset(void);

#endif
