/* SPDX-License-Identifier: Apache-2.0 */
/* The composition root: a whole machine, from its configuration to its exit status. */
#ifndef EBB_MACHINE_H
#define EBB_MACHINE_H

#include "ebb/config.h"
#include "ebb/error.h"

/*
 * Builds the machine, runs it to its end, takes it down. Returns the exit status (>= 0) or -errno
 * with err set and nothing left behind: -EINVAL is the user's mistake (a missing or unfit file, a
 * value that does not fit), anything else the host's or ours.
 */
EBB_MUST_CHECK int machine_run(const struct vm_config *config, struct error *err);

#endif
