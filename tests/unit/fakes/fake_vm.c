/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_vm.h. */
#include "fake_vm.h"

#include <errno.h>

#define AT_FIRST \
	{ \
		.state = VM_STATE_RUNNING, .uptime_ns = 1500 * NS_PER_MS \
	}

struct fake_vm fake_vm = AT_FIRST;
static struct list listeners = { &listeners, &listeners };

void fake_vm_clear(void)
{
	fake_vm = (struct fake_vm)AT_FIRST;
	list_init(&listeners);
}

void fake_vm_tell(enum vm_event event, uint64_t value)
{
	list_for_each_safe (node, &listeners) {
		struct vm_listener *listener = container_of(node, struct vm_listener, node);

		listener->event(listener, event, value);
	}
}

bool fake_vm_has_listeners(void)
{
	return !list_is_empty(&listeners);
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
	fake_vm.ends++;
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

static int change_state(enum vm_state state)
{
	if (fake_vm.pause_result)
		return fake_vm.pause_result;
	if (fake_vm.state == state)
		return -EALREADY;
	fake_vm.state = state;
	return 0;
}

int vm_pause(struct vm *vm)
{
	(void)vm;
	fake_vm.pauses++;
	return change_state(VM_STATE_PAUSED);
}

int vm_resume(struct vm *vm)
{
	(void)vm;
	fake_vm.resumes++;
	return change_state(VM_STATE_RUNNING);
}

enum vm_state vm_state(const struct vm *vm)
{
	(void)vm;
	return fake_vm.state;
}

int64_t vm_uptime_ns(const struct vm *vm)
{
	(void)vm;
	return fake_vm.uptime_ns;
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
	list_append(&listeners, &listener->node);
}

void vm_unlisten(struct vm_listener *listener)
{
	if (listener->node.next)
		list_remove(&listener->node);
}

void vm_emit(struct vm *vm, enum vm_event event, uint64_t value)
{
	(void)vm;
	fake_vm.events[event]++;
	fake_vm.event_values[event] = value;
	fake_vm_tell(event, value);
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
