/* SPDX-License-Identifier: Apache-2.0 */
/* Reclaim by itself: when. Pure; DOC in virtio_balloon_auto.c. */
#ifndef VIRTIO_BALLOON_AUTO_H
#define VIRTIO_BALLOON_AUTO_H

#include "ebb/types.h"

struct auto_view {         /* at one look */
	int64_t period_ns; /* since the look before */
	int64_t cpu_ns;    /* that this process used in it */
	int64_t idle_ns;   /* that the guest had been idle at the look before */
	int64_t wanted_idle_ns;
	int64_t rest_ns; /* since the last run ended; a large number: there was none */
	bool runs;       /* one goes now */
};

struct auto_decision {
	int64_t idle_ns; /* that the guest has been idle now */
	bool start;      /* if enough is resident (auto_is_worth_it) */
};

struct auto_decision auto_decide(const struct auto_view *view);

/* Whether a run may bring something: what became resident since the last one. */
bool auto_is_worth_it(uint64_t resident_bytes, uint64_t resident_after_last_bytes);

#endif
