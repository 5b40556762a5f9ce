/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for src/vm.c: a life that only takes notes. */
#include "fake_vm.h"

#include <string.h>

struct fake_vm fake_vm;

void fake_vm_clear(void)
{
	memset(&fake_vm, 0, sizeof(fake_vm));
}

int vm_life_create(struct vm *vm, struct error *err)
{
	(void)vm;
	(void)err;
	return 0;
}

void vm_life_destroy(struct vm *vm)
{
	(void)vm;
}

void vm_request_end(struct vm *vm, enum vm_end end, uint32_t debug_exit_value)
{
	(void)vm;
	if (fake_vm.end)
		return;
	fake_vm.end = end;
	fake_vm.debug_exit_value = debug_exit_value;
}

void vm_request_reset(struct vm *vm)
{
	(void)vm;
	fake_vm.resets++;
}

void vm_note_panic(struct vm *vm)
{
	(void)vm;
	fake_vm.panics++;
}

void vm_request_powerdown(struct vm *vm)
{
	(void)vm;
	fake_vm.powerdowns++;
}

int vm_pause(struct vm *vm)
{
	(void)vm;
	return 0;
}

int vm_resume(struct vm *vm)
{
	(void)vm;
	return 0;
}

enum vm_state vm_state(const struct vm *vm)
{
	(void)vm;
	return VM_STATE_RUNNING;
}

int64_t vm_uptime_ns(const struct vm *vm)
{
	(void)vm;
	return 0;
}

enum vm_end vm_end(const struct vm *vm)
{
	(void)vm;
	return fake_vm.end;
}

int vm_exit_status(const struct vm *vm)
{
	(void)vm;
	return 0;
}

int vm_run(struct vm *vm)
{
	(void)vm;
	return 0;
}

void vm_set_reload(struct vm *vm, vm_reload_fn reload)
{
	(void)vm;
	(void)reload;
}

void vm_listen(struct vm *vm, struct vm_listener *listener)
{
	(void)vm;
	list_init(&listener->node);
	fake_vm.listener = listener;
}

void vm_unlisten(struct vm_listener *listener)
{
	list_remove(&listener->node);
	if (fake_vm.listener == listener)
		fake_vm.listener = NULL;
}

void vm_emit(struct vm *vm, enum vm_event event, uint64_t value)
{
	(void)vm;
	fake_vm.events[event]++;
	fake_vm.event_values[event] = value;
}

void vm_quiet_init(struct vm_quiet *quiet, struct vm *vm, event_work_fn fn, void *ctx)
{
	*quiet = (struct vm_quiet){ .vm = vm, .fn = fn, .ctx = ctx };
}

void vm_quiet_request(struct vm_quiet *quiet)
{
	fake_vm.quiet = quiet;
}

void vm_quiet_cancel(struct vm_quiet *quiet)
{
	if (fake_vm.quiet == quiet)
		fake_vm.quiet = NULL;
}

bool fake_vm_run_quiet(void)
{
	struct vm_quiet *quiet = fake_vm.quiet;

	if (!quiet)
		return false;
	fake_vm.quiet = NULL;
	event_loop_call(quiet->vm->reclaim_loop, quiet->fn, quiet->ctx);
	return true;
}
