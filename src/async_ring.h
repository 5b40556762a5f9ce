/* SPDX-License-Identifier: Apache-2.0 */
/* What rings of io_uring have in common. Private to src/async_*.c. */
#ifndef EBB_ASYNC_RING_H
#define EBB_ASYNC_RING_H

#include "ebb/types.h"

struct io_uring;

/*
 * A ring that is not enabled yet takes these operations from then on, without flags, and no others:
 * what it does is seen by no filter of system calls. -errno.
 */
EBB_MUST_CHECK int async_ring_restrict(struct io_uring *ring, const uint8_t *operations,
                                       unsigned int count);

#endif
