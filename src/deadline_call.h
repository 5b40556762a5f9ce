/* SPDX-License-Identifier: Apache-2.0 */
/* A function that may hang in the host, and a caller that must not. Private to src/. */
#ifndef EBB_DEADLINE_CALL_H
#define EBB_DEADLINE_CALL_H

#include "ebb/types.h"

/*
 * Runs fn(ctx) on a thread of its own, with all signals blocked, and waits for its end, timeout_ns
 * at most. 0: it has ended, and ctx is the caller's again. -ETIMEDOUT: it goes on without the
 * caller; when it ends, discard(ctx) is called there, and ctx must live until then. -ENOMEM,
 * -EAGAIN: it was not begun.
 */
EBB_MUST_CHECK int deadline_call(void (*fn)(void *ctx), void (*discard)(void *ctx), void *ctx,
                                 int64_t timeout_ns);

#endif
