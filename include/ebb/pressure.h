/* SPDX-License-Identifier: Apache-2.0 */
/* The host's memory pressure (PSI): a call when processes begin to wait for memory. */
#ifndef EBB_PRESSURE_H
#define EBB_PRESSURE_H

#include "ebb/event_loop.h"

struct pressure_watch;

/*
 * From now on fn runs on the loop's thread when some process of the host waited for memory for 150
 * ms of 2 s, once in 2 s at most. -EOPNOTSUPP: a host without PSI, or one that does not let us;
 * -ENOMEM and the loop's errors. Any thread. fd: what pressure_open gave, a descriptor that stays
 * the caller's or the error; -1: it is opened now.
 */
EBB_MUST_CHECK int pressure_watch_create(struct event_loop *loop, int fd, event_work_fn fn,
                                         void *ctx, struct pressure_watch **ret_watch);

/* For who may not open files later: a descriptor, or -EOPNOTSUPP. */
EBB_MUST_CHECK int pressure_open(void);

/* On return fn is not running and will not run. NULL is fine. */
void pressure_watch_destroy(struct pressure_watch *watch);

#endif
