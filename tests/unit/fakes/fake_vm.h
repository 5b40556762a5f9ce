/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's life for tests: stands in for src/vm.c (`fakes: fake_vm`). Requests and events are
 * counted, listeners are told at once on the thread that emits, it pauses and resumes; nothing else
 * happens.
 */
#ifndef FAKE_VM_H
#define FAKE_VM_H

#include "ebb/vm.h"

struct fake_vm {
	unsigned int events[VM_EVENT_COUNT];
	uint64_t event_values[VM_EVENT_COUNT];
	unsigned int resets, powerdowns, panics, pauses, resumes, ends; /* requests */
	enum vm_end end;                                                /* the first */
	uint32_t debug_exit_value;
	enum vm_state state; /* running after fake_vm_clear */
	int64_t uptime_ns;
	int pause_result;               /* what vm_pause and vm_resume answer instead, when not 0 */
	struct vm_quiet *_Atomic quiet; /* requested, and did not run yet */
};

extern struct fake_vm fake_vm;

/* As it was at first. Listeners of earlier tests are forgotten. */
void fake_vm_clear(void);

/* What vm.c does on the main loop: tells every listener. */
void fake_vm_tell(enum vm_event event, uint64_t value);
bool fake_vm_has_listeners(void);

/* The moment of quiet comes, if one was asked for. Whether it was. */
bool fake_vm_run_quiet(void);

#endif
