/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's life for tests of the control socket: stands in for src/vm.c (`fakes: fake_vm_life`). It
 * pauses and resumes, tells many listeners, and records what is asked of it. */
#ifndef FAKE_VM_LIFE_H
#define FAKE_VM_LIFE_H

#include "ebb/vm.h"

struct fake_vm_life {
	enum vm_state state;
	int64_t uptime_ns;
	enum vm_end end; /* the last one asked for */
	unsigned int end_requests, reset_requests, powerdown_requests, pauses, resumes;
	int pause_result; /* what vm_pause and vm_resume answer instead, when not 0 */
};

/* As it was at first, running. The listeners of earlier tests are forgotten. */
struct fake_vm_life *fake_vm_life_reset(void);

/* What vm.c does on the main loop: tells every listener. */
void fake_vm_life_tell(enum vm_event event, uint64_t value);

#endif
