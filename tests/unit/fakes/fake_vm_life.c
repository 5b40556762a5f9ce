/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's life for tests of the control socket: see fake_vm_life.h. */
#include "fake_vm_life.h"

#include <errno.h>

static struct fake_vm_life fake;
static struct list listeners = { &listeners, &listeners };

struct fake_vm_life *fake_vm_life_reset(void)
{
	fake = (struct fake_vm_life){ .state = VM_STATE_RUNNING, .uptime_ns = 1500 * NS_PER_MS };
	list_init(&listeners);
	return &fake;
}

void fake_vm_life_tell(enum vm_event event, uint64_t value)
{
	list_for_each_safe (node, &listeners) {
		struct vm_listener *listener = container_of(node, struct vm_listener, node);

		listener->event(listener, event, value);
	}
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
	(void)debug_exit_value;
	fake.end = end;
	fake.end_requests++;
}

void vm_request_reset(struct vm *vm)
{
	(void)vm;
	fake.reset_requests++;
}

void vm_request_powerdown(struct vm *vm)
{
	(void)vm;
	fake.powerdown_requests++;
}

void vm_note_panic(struct vm *vm)
{
	(void)vm;
}

int vm_pause(struct vm *vm)
{
	(void)vm;
	fake.pauses++;
	if (fake.pause_result)
		return fake.pause_result;
	if (fake.state == VM_STATE_PAUSED)
		return -EALREADY;
	fake.state = VM_STATE_PAUSED;
	return 0;
}

int vm_resume(struct vm *vm)
{
	(void)vm;
	fake.resumes++;
	if (fake.pause_result)
		return fake.pause_result;
	if (fake.state == VM_STATE_RUNNING)
		return -EALREADY;
	fake.state = VM_STATE_RUNNING;
	return 0;
}

enum vm_state vm_state(const struct vm *vm)
{
	(void)vm;
	return fake.state;
}

int64_t vm_uptime_ns(const struct vm *vm)
{
	(void)vm;
	return fake.uptime_ns;
}

enum vm_end vm_end(const struct vm *vm)
{
	(void)vm;
	return fake.end;
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
	fake_vm_life_tell(event, value);
}
