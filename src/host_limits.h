/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host lets this process have, held against what a configuration takes: memory,
 * descriptors. And what an error says of a limit that was met. Private to src/.
 */
#ifndef HOST_LIMITS_H
#define HOST_LIMITS_H

#include "cgroup_limit.h"
#include "ebb/config.h"
#include "ebb/error.h"
#include "ebb/log.h"

/* --- pure --- */

/* The most descriptors that a VM of this configuration has open at a time, with all its clients,
 * and some to spare. */
uint64_t host_limits_descriptors(const struct vm_config *config);

/* What ebb itself and the page tables behind so much guest memory take. */
uint64_t host_limits_own_bytes(uint64_t guest_bytes);

/*
 * Whether guest memory can all be there at once. 0; 1 with a text in err (its code stays 0) if it
 * does not fit once the guest uses it all; -ENOMEM with a message if it cannot even start: memory
 * that is taken at once, or never given back. Huge pages of a pool and files are not counted: no
 * group's memory limit holds for them, or they leave memory for their disk.
 */
EBB_MUST_CHECK int host_limits_judge_memory(const struct vm_config *config,
                                            const struct cgroup_memory *group, struct error *err);

/* --- of this process --- */

/*
 * At the beginning of set-up: raises the soft limit on descriptors to what the configuration takes
 * (-EMFILE with a message where the hard limit forbids it), and judges memory: one line where it
 * may not fit. -ENOMEM as above. Five system calls where no limit is set and nothing is raised,
 * eight in a container.
 */
EBB_MUST_CHECK int host_limits_apply(const struct vm_config *config, struct log *log,
                                     struct error *err);

/* Adds to an error of set-up which limit it was, and how to raise it: -EMFILE, -ENFILE, and -EAGAIN
 * of a thread or a process that could not be made. Leaves others, and what says that already. */
void host_limits_explain(struct error *err);

#endif
