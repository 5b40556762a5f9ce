/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a machine's set-up that give up what it does not need. Private to src/. Main thread.
 */
#ifndef MACHINE_SANDBOX_H
#define MACHINE_SANDBOX_H

#include "ebb/sandbox.h"
#include "ebb/vm.h"

/* vm->user, in room, where the configuration names one. -EPERM: not root; -EINVAL: nobody's name.
 */
EBB_MUST_CHECK int machine_find_user(struct vm *vm, struct sandbox_user *room, struct error *err);

/*
 * Gives up all but removing files from a folder, and lets the loops go, which were held; each of
 * their threads enters its list first of all, and one that cannot ends the VM. With no sandbox that
 * is said, and nothing else happens. Errors as of sandbox_give_up, and -errno of a thread.
 */
EBB_MUST_CHECK int machine_give_up(struct vm *vm, int folder_fd, struct error *err);

/* The trace that the configuration asks for and that was prepared; nothing where there is none. */
EBB_MUST_CHECK int machine_start_trace(struct vm *vm, struct error *err);

#endif
