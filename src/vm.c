/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual machine's life: run, pause, reset, end, and who is told.
 *
 * DOC: Requests come from any thread and only leave a mark under the lock; one piece of work on the
 * main loop, carry_out(), looks at all marks. So the main thread alone changes the state, and needs
 * no lock to know it.
 *
 *	paused <-> running     vm_pause, vm_resume (main thread)
 *	paused, running        reset in place, state unchanged
 *	paused, running -> ended   once; the first request's reason stays
 *
 * A vCPU that asks for an end or a reset stops where it is (vcpu_idle_if_current): what stands
 * behind the write to the reset register is never executed. It goes on when it is resumed, which
 * happens after the reset, or never. vm_resume first does what was asked for, so that it cannot
 * resume a vCPU whose reset is still to come.
 *
 * Reset, all vCPUs paused: devices in order of creation -> all guest memory back to the host (a
 * reset machine has none resident) -> images and tables loaded again -> each vCPU's registers, on
 * its thread -> on. What several vCPUs asked for until they were paused is one reset.
 *
 * A moment of quiet (vm_quiet) is a pause that nobody hears of, with the loops held as well: main
 * calls io, whose handler waits for I/O in flight, holds who writes unseen (vhost) and calls
 * reclaim. It gives way to a reset or an end that was asked for: the vCPU that asked must not run
 * on.
 *
 * Events of other threads wait in a bit and a value each: of several alike, the last one counts.
 *
 * Locks: life->lock is innermost but for the event loop's, and never held while a callback runs.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/device.h"
#include "ebb/event_loop.h"
#include "ebb/log.h"
#include "ebb/pci.h"
#include "ebb/reclaim.h"
#include "ebb/sandbox.h"
#include "ebb/vcpu.h"
#include "ebb/vm.h"
#include "host_limits.h"

struct vm_life {
	struct vm *vm;
	struct event_work work; /* carry_out */
	struct list listeners;  /* main thread */
	vm_reload_fn reload;
	pthread_mutex_t lock;
	/* Under the lock: */
	enum vm_state state; /* written by the main thread alone */
	int64_t started_ns;  /* 0: not yet */
	bool reset_requested;
	bool panic_noted;
	enum vm_end end; /* requested; in force once the state is ended */
	uint32_t debug_exit_value;
	unsigned int pending_events; /* bits, by enum vm_event */
	uint64_t event_values[VM_EVENT_COUNT];
};

static void carry_out(void *ctx);

int vm_life_create(struct vm *vm, struct error *err)
{
	struct vm_life *life = calloc(1, sizeof(*life));

	if (!life || pthread_mutex_init(&life->lock, NULL)) {
		free(life);
		return error_set_errno(err, -ENOMEM, "virtual machine");
	}
	life->vm = vm;
	life->state = VM_STATE_PAUSED;
	list_init(&life->listeners);
	event_work_init(&life->work, vm->main_loop, carry_out, vm);
	vm->life = life;
	return 0;
}

void vm_life_destroy(struct vm *vm)
{
	struct vm_life *life = vm->life;

	if (!life)
		return;
	event_work_cancel(&life->work);
	pthread_mutex_destroy(&life->lock);
	free(life);
	vm->life = NULL;
}

void vm_set_reload(struct vm *vm, vm_reload_fn reload)
{
	vm->life->reload = reload;
}

/* --- what other threads read --- */

enum vm_state vm_state(const struct vm *vm)
{
	enum vm_state state;

	pthread_mutex_lock(&vm->life->lock);
	state = vm->life->state;
	pthread_mutex_unlock(&vm->life->lock);
	return state;
}

int64_t vm_uptime_ns(const struct vm *vm)
{
	int64_t started_ns;

	pthread_mutex_lock(&vm->life->lock);
	started_ns = vm->life->started_ns;
	pthread_mutex_unlock(&vm->life->lock);
	return started_ns ? monotonic_ns() - started_ns : 0;
}

enum vm_end vm_end(const struct vm *vm)
{
	enum vm_end end;

	pthread_mutex_lock(&vm->life->lock);
	end = vm->life->end;
	pthread_mutex_unlock(&vm->life->lock);
	return end;
}

int vm_exit_status(const struct vm *vm)
{
	uint32_t debug_exit_value;

	switch (vm_end(vm)) {
	case VM_END_POWEROFF:
	case VM_END_STOPPED:
	case VM_END_EXPECTED:
	case VM_END_NO_REBOOT:
		return 0;
	case VM_END_TIMEOUT:
		return 124;
	case VM_END_PANIC:
		return 126;
	case VM_END_VCPU_FATAL:
		return 127;
	case VM_END_DEBUG_EXIT:
		pthread_mutex_lock(&vm->life->lock);
		debug_exit_value = vm->life->debug_exit_value;
		pthread_mutex_unlock(&vm->life->lock);
		return (int)((debug_exit_value << 1 | 1) & 0xff); /* all that a status holds */
	case VM_END_NONE:
	case VM_END_HOST_FAILURE:
		break;
	}
	return 125;
}

/* --- requests --- */

static void idle_if_vcpu(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_idle_if_current(vm->vcpus[i]);
}

/* Lock held. */
static void set_end(struct vm_life *life, enum vm_end end, uint32_t debug_exit_value)
{
	if (life->end != VM_END_NONE)
		return;
	life->end = end;
	life->debug_exit_value = debug_exit_value;
}

void vm_request_end(struct vm *vm, enum vm_end end, uint32_t debug_exit_value)
{
	struct vm_life *life = vm->life;

	pthread_mutex_lock(&life->lock);
	set_end(life, end, debug_exit_value);
	pthread_mutex_unlock(&life->lock);
	idle_if_vcpu(vm);
	event_work_post(&life->work);
}

void vm_request_reset(struct vm *vm)
{
	struct vm_life *life = vm->life;

	pthread_mutex_lock(&life->lock);
	if (life->panic_noted)
		set_end(life, VM_END_PANIC, 0);
	else if (vm->config->no_reboot)
		set_end(life, VM_END_NO_REBOOT, 0);
	else
		life->reset_requested = true;
	pthread_mutex_unlock(&life->lock);
	idle_if_vcpu(vm);
	event_work_post(&life->work);
}

/* Lock held. */
static void mark_event(struct vm_life *life, enum vm_event event, uint64_t value)
{
	life->pending_events |= 1u << event;
	life->event_values[event] = value;
}

void vm_note_panic(struct vm *vm)
{
	struct vm_life *life = vm->life;

	pthread_mutex_lock(&life->lock);
	if (!life->panic_noted)
		mark_event(life, VM_EVENT_GUEST_PANICKED, 0);
	life->panic_noted = true;
	pthread_mutex_unlock(&life->lock);
	event_work_post(&life->work);
}

void vm_emit(struct vm *vm, enum vm_event event, uint64_t value)
{
	struct vm_life *life = vm->life;

	pthread_mutex_lock(&life->lock);
	mark_event(life, event, value);
	pthread_mutex_unlock(&life->lock);
	event_work_post(&life->work);
}

void vm_request_powerdown(struct vm *vm)
{
	vm_emit(vm, VM_EVENT_POWERDOWN, 0);
}

/* --- listeners; main thread --- */

void vm_listen(struct vm *vm, struct vm_listener *listener)
{
	list_append(&vm->life->listeners, &listener->node);
}

void vm_unlisten(struct vm_listener *listener)
{
	if (listener->node.next)
		list_remove(&listener->node);
}

static void tell(struct vm *vm, enum vm_event event, uint64_t value)
{
	list_for_each_safe (node, &vm->life->listeners) {
		struct vm_listener *listener = container_of(node, struct vm_listener, node);

		listener->event(listener, event, value);
	}
}

static void tell_pending(struct vm *vm)
{
	struct vm_life *life = vm->life;
	uint64_t values[VM_EVENT_COUNT];
	unsigned int pending;

	pthread_mutex_lock(&life->lock);
	pending = life->pending_events;
	life->pending_events = 0;
	memcpy(values, life->event_values, sizeof(values));
	pthread_mutex_unlock(&life->lock);
	for (unsigned int event = 0; event < VM_EVENT_COUNT; event++)
		if (pending >> event & 1)
			tell(vm, event, values[event]);
}

/* --- what the main thread does --- */

static void set_state(struct vm *vm, enum vm_state state)
{
	pthread_mutex_lock(&vm->life->lock);
	vm->life->state = state;
	pthread_mutex_unlock(&vm->life->lock);
}

static void wait_vcpus(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_wait_paused(vm->vcpus[i]);
}

static void pause_vcpus(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_request_pause(vm->vcpus[i]);
	wait_vcpus(vm);
}

static void resume_vcpus(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_resume(vm->vcpus[i]);
}

static void finish(struct vm *vm)
{
	pause_vcpus(vm);
	set_state(vm, VM_STATE_ENDED);
	tell_pending(vm); /* what the vCPUs' last exits brought */
	tell(vm, VM_EVENT_SHUTDOWN, vm_end(vm));
	event_loop_stop(vm->main_loop);
}

static int reset_paused(struct vm *vm, struct error *err)
{
	int result;

	list_for_each (node, &vm->devices) {
		struct device *device = container_of(node, struct device, node);

		if (device->reset)
			device->reset(device);
	}
	if (vm->pci)
		pci_host_reset(vm->pci);
	if (vm->reclaim) {
		result = reclaim_release_all(vm->reclaim, RECLAIM_RESET);
		if (result < 0)
			log_warn(vm->log, "reset: guest memory stays resident: %s",
			         strerror(-result));
		if (gmem_reserve(vm->memory) < 0)
			log_warn(vm->log,
			         "reset: others took huge pages that the guest gave back, and "
			         "the pool has no more for it to begin with (let it grow)");
	}
	if (vm->life->reload) {
		result = vm->life->reload(vm, err);
		if (result < 0)
			return result;
	}
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vcpu_request_reset(vm->vcpus[i]);
	wait_vcpus(vm);
	return 0;
}

static void reset(struct vm *vm)
{
	const bool was_running = vm_state(vm) == VM_STATE_RUNNING;
	struct error err = ERROR_INIT;

	pause_vcpus(vm);
	/* Whoever asked until now, another vCPU too, gets this one. */
	pthread_mutex_lock(&vm->life->lock);
	vm->life->reset_requested = false;
	pthread_mutex_unlock(&vm->life->lock);
	if (reset_paused(vm, &err) < 0) {
		log_error(vm->log, "reset: %s", err.message);
		vm_request_end(vm, VM_END_HOST_FAILURE, 0);
		finish(vm);
		return;
	}
	tell(vm, VM_EVENT_RESET, 0);
	/* An end that came meanwhile, such as a vCPU's that cannot be reset, leaves them parked. */
	if (was_running && vm_end(vm) == VM_END_NONE)
		resume_vcpus(vm);
}

static void carry_out(void *ctx)
{
	struct vm *vm = ctx;
	struct vm_life *life = vm->life;
	bool reset_requested, end_requested;

	tell_pending(vm);
	if (vm_state(vm) == VM_STATE_ENDED)
		return;
	pthread_mutex_lock(&life->lock);
	reset_requested = life->reset_requested;
	end_requested = life->end != VM_END_NONE;
	pthread_mutex_unlock(&life->lock);
	if (end_requested)
		finish(vm);
	else if (reset_requested)
		reset(vm);
}

int vm_pause(struct vm *vm)
{
	if (vm_state(vm) != VM_STATE_RUNNING)
		return -EALREADY;
	pause_vcpus(vm);
	set_state(vm, VM_STATE_PAUSED);
	tell(vm, VM_EVENT_STOP, 0);
	return 0;
}

int vm_resume(struct vm *vm)
{
	carry_out(vm);
	if (vm_state(vm) != VM_STATE_PAUSED)
		return -EALREADY;
	set_state(vm, VM_STATE_RUNNING);
	tell(vm, VM_EVENT_RESUME, 0);
	resume_vcpus(vm);
	return 0;
}

/* --- a moment of quiet --- */

static void hold_io(void *ctx)
{
	struct vm_quiet *quiet = ctx;
	struct guest_memory *memory = quiet->vm->memory;

	if (memory) {
		gmem_settle_late_writers(memory);
		gmem_hold_unseen_writers(memory);
	}
	event_loop_call(quiet->vm->reclaim_loop, quiet->fn, quiet->ctx);
	if (memory)
		gmem_let_unseen_writers_go(memory);
}

static void run_quiet(void *ctx)
{
	struct vm_quiet *quiet = ctx;
	struct vm *vm = quiet->vm;
	struct vm_life *life = vm->life;
	const bool was_running = vm_state(vm) == VM_STATE_RUNNING;
	bool gives_way;

	if (vm_state(vm) == VM_STATE_ENDED)
		return;
	pause_vcpus(vm);
	pthread_mutex_lock(&life->lock);
	gives_way = life->reset_requested || life->end != VM_END_NONE;
	pthread_mutex_unlock(&life->lock);
	if (!gives_way)
		event_loop_call(vm->io_loop, hold_io, quiet);
	/* Who asked for a reset or an end has posted carry_out, which finds the vCPUs paused. */
	if (was_running && !gives_way)
		resume_vcpus(vm);
}

void vm_quiet_init(struct vm_quiet *quiet, struct vm *vm, event_work_fn fn, void *ctx)
{
	quiet->vm = vm;
	quiet->fn = fn;
	quiet->ctx = ctx;
	event_work_init(&quiet->work, vm->main_loop, run_quiet, quiet);
}

void vm_quiet_request(struct vm_quiet *quiet)
{
	event_work_post(&quiet->work);
}

void vm_quiet_cancel(struct vm_quiet *quiet)
{
	event_work_cancel(&quiet->work);
}

static int enter_sandbox(struct vm *vm, struct error *err)
{
	int ret = sandbox_enter(SANDBOX_MAIN, vm->pid, err);

	if (ret == 0)
		log_warn(vm->log,
		         "this host filters no system calls (%s; it needs CONFIG_SECCOMP_FILTER): "
		         "a guest that breaks out of ebb has them all",
		         err->message);
	return ret < 0 ? ret : 0;
}

/* The vCPUs' threads, and then this one, which would have them in its own list of system calls. */
static int start_vcpus(struct vm *vm, struct error *err)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		int result = vcpu_start(vm->vcpus[i], err);

		if (result < 0)
			return result;
	}
	/* All of them as at power-on before the first one runs and starts the others. */
	if (vm->vcpu_count > 1)
		wait_vcpus(vm);
	return vm->sandboxed ? enter_sandbox(vm, err) : 0;
}

int vm_run(struct vm *vm)
{
	struct error err = ERROR_INIT;

	pthread_mutex_lock(&vm->life->lock);
	vm->life->started_ns = monotonic_ns();
	pthread_mutex_unlock(&vm->life->lock);
	if (start_vcpus(vm, &err) < 0) {
		host_limits_explain(&err);
		log_error(vm->log, "%s", err.message);
		vm_request_end(vm, VM_END_HOST_FAILURE, 0);
	}
	carry_out(vm); /* an end that was asked for before there was a loop to hear of it */
	if (vm_state(vm) != VM_STATE_ENDED) {
		set_state(vm, VM_STATE_RUNNING);
		resume_vcpus(vm);
	}
	while (vm_state(vm) != VM_STATE_ENDED) {
		int result = event_loop_run(vm->main_loop);

		if (result < 0) {
			log_error(vm->log, "main loop: %s", strerror(-result));
			vm_request_end(vm, VM_END_HOST_FAILURE, 0);
			finish(vm);
		}
	}
	return vm_exit_status(vm);
}
