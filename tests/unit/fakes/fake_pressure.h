/* SPDX-License-Identifier: Apache-2.0 */
/* What tests see and steer of a faked host's memory pressure. */
#ifndef FAKE_PRESSURE_H
#define FAKE_PRESSURE_H

#include "ebb/pressure.h"

struct fake_pressure {
	bool is_not_told; /* a host without PSI */
	struct event_loop *loop;
	event_work_fn fn; /* of the one watch there may be */
	void *ctx;
};

extern struct fake_pressure fake_pressure;

void fake_pressure_clear(void);

/* Some process waits for memory: returns when who watches has heard of it. */
void fake_pressure_rise(void);

#endif
