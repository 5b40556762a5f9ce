/* SPDX-License-Identifier: Apache-2.0 */
/* What tests see of the faked life of a VM: requests and events are counted, nothing happens. */
#ifndef FAKE_VM_H
#define FAKE_VM_H

#include "ebb/vm.h"

struct fake_vm {
	unsigned int events[VM_EVENT_COUNT];
	uint64_t event_values[VM_EVENT_COUNT];
	unsigned int resets, powerdowns, panics;
	enum vm_end end;
	uint32_t debug_exit_value;
	struct vm_listener *listener;   /* the last that listens */
	struct vm_quiet *_Atomic quiet; /* requested, and did not run yet */
};

extern struct fake_vm fake_vm;

void fake_vm_clear(void);

/* The moment of quiet comes, if one was asked for. Whether it was. */
bool fake_vm_run_quiet(void);

#endif
