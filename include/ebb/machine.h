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

/* For tests: set-up in steps, each undone in reverse. Builds the first step_count of them, then
 * takes all down again. */
size_t machine_step_count(void);
EBB_MUST_CHECK int machine_try_steps(const struct vm_config *config, size_t step_count,
                                     struct error *err);

#endif
