/* SPDX-License-Identifier: Apache-2.0 */
/* The composition root: what a VM is made of, in order, and the same list backwards. */
/*
 * DOC: Building a machine
 *
 * `steps` is the whole of set-up: each row builds one room from those above it, teardown walks the
 * rows upwards from the last one that was built. A row's unbuild accepts what a failed build left.
 * This is the only file that knows src/, arch/ and devices/ at once.
 *
 * The process's first thread runs it all: set-up, then the main loop in vm_run, then teardown.
 *
 * Until the step "sandbox" it is the only one (machine_sandbox.c): the loops are held, and what
 * they are called for runs here. Whatever a step opens that is used later is opened before.
 * Teardown runs inside.
 *
 * Syscalls: main: close epoll_ctl munmap read rt_sigprocmask sigaction
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "ebb/arch.h"
#include "ebb/bus.h"
#include "ebb/console.h"
#include "ebb/control.h"
#include "ebb/device.h"
#include "ebb/event_loop.h"
#include "ebb/guest_memory.h"
#include "ebb/irq.h"
#include "ebb/kvm.h"
#include "ebb/machine.h"
#include "ebb/memslot.h"
#include "ebb/numa.h"
#include "ebb/reclaim.h"
#include "ebb/sandbox.h"
#include "ebb/vm.h"
#include "host_limits.h"
#include "machine_sandbox.h"

/* A panicked guest gets this long to finish what it prints. */
#define PANIC_GRACE_NS (500 * NS_PER_MS)

struct machine {
	struct vm vm;
	const struct vm_config *config;
	struct sandbox_user user; /* with config->user_name */
	struct control_name *name;
	struct control *control;
	int signal_fd;
	sigset_t old_signals;
	struct event_source *signal_source;
	struct event_timer *timeout_timer;
	struct event_timer *panic_timer;
};

struct machine_step {
	const char *name;
	int (*build)(struct machine *machine, struct error *err);
	void (*unbuild)(struct machine *machine);
};

static int build_name(struct machine *machine, struct error *err)
{
	return control_name_acquire(machine->config->name, &machine->name, err);
}

static void unbuild_name(struct machine *machine)
{
	control_name_release(machine->name);
}

static int build_log(struct machine *machine, struct error *err)
{
	int ret = log_create(STDERR_FILENO, machine->config->log_level, &machine->vm.log);

	return ret ? error_set_errno(err, ret, "log") : 0;
}

static void unbuild_log(struct machine *machine)
{
	log_destroy(machine->vm.log);
}

static int build_limits(struct machine *machine, struct error *err)
{
	return host_limits_apply(machine->config, machine->vm.log, err);
}

/*
 * Signals become reads on the main loop. They are blocked before the first thread starts, so that
 * every thread inherits that; SIGPIPE, SIGTTIN, SIGTTOU and SIGXFSZ stay blocked and unread: their
 * causes are error returns.
 */
static int build_signals(struct machine *machine, struct error *err)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGQUIT);
	sigaddset(&signals, SIGWINCH);
	sigaddset(&signals, SIGCONT);
	machine->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (machine->signal_fd < 0)
		return error_set_errno(err, -errno, "signalfd");
	sigaddset(&signals, SIGPIPE);
	sigaddset(&signals, SIGTTIN);
	sigaddset(&signals, SIGTTOU);
	sigaddset(&signals, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &signals, &machine->old_signals);
	return 0;
}

static void unbuild_signals(struct machine *machine)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct signalfd_siginfo info;

	if (machine->signal_fd < 0)
		return;
	/* What came since the main loop ended asks for what is nearly done: it must not end the
	 * process here, with the control socket and the name still to go. */
	while (read(machine->signal_fd, &info, sizeof(info)) == sizeof(info))
		;
	close(machine->signal_fd);
	/* Those that this thread brought on itself wait; and the last words may have no reader. */
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore, NULL);
	pthread_sigmask(SIG_SETMASK, &machine->old_signals, NULL);
}

static int build_loops(struct machine *machine, struct error *err)
{
	struct vm *vm = &machine->vm;
	int ret = event_loop_create(NULL, &vm->main_loop, err);

	if (!ret)
		ret = event_loop_create("io", &vm->io_loop, err);
	if (!ret)
		ret = event_loop_create("reclaim", &vm->reclaim_loop, err);
	if (!ret && machine->config->sandbox) {
		event_loop_hold(vm->io_loop);
		event_loop_hold(vm->reclaim_loop);
	}
	return ret;
}

static void unbuild_loops(struct machine *machine)
{
	event_loop_destroy(machine->vm.reclaim_loop);
	event_loop_destroy(machine->vm.io_loop);
	event_loop_destroy(machine->vm.main_loop);
}

static int check_cpu_count(struct kvm *kvm, unsigned int cpu_count, struct error *err)
{
	int cpus_max;

	if (cpu_count == 1)
		return 0;
	cpus_max = kvm_check_extension(kvm, KVM_CAP_MAX_VCPUS);
	if (cpus_max > 0 && cpu_count > (unsigned int)cpus_max)
		return error_set(err, -EINVAL,
		                 "--cpus %u: this host's KVM gives a guest at most %d", cpu_count,
		                 cpus_max);
	return 0;
}

static int build_kvm(struct machine *machine, struct error *err)
{
	const struct vm_config *config = machine->config;
	int ret = kvm_open(&machine->vm.kvm, err);

	if (!ret)
		ret = arch_check_host(machine->vm.kvm, config, err);
	return ret ? ret : check_cpu_count(machine->vm.kvm, config->cpu_count, err);
}

static void unbuild_kvm(struct machine *machine)
{
	kvm_close(machine->vm.kvm);
}

static int build_memory(struct machine *machine, struct error *err)
{
	struct vm *vm = &machine->vm;
	const struct memory_config *config = &machine->config->memory;
	struct gmem_backing backing = config->backing;
	struct arch_memory_map map;
	int ret = guest_memory_create(&vm->memory, err);

	arch_memory_map(config->size_bytes, &map);
	backing.file_bytes = config->size_bytes;
	for (size_t i = 0; !ret && i < map.range_count; i++)
		ret = gmem_add_region(vm->memory, map.ranges[i].gpa, map.ranges[i].size_bytes,
		                      &backing, err);
	if (!ret)
		ret = numa_bind_memory(machine->config, vm->memory, err);
	if (!ret && backing.kind == GMEM_HUGETLB && !backing.lock)
		log_info(vm->log,
		         "huge pages that the guest gives back are free for others; if the "
		         "pool is empty when it wants them again, it ends (see GUEST MEMORY "
		         "in ebb(1))");
	return ret;
}

static void unbuild_memory(struct machine *machine)
{
	guest_memory_destroy(machine->vm.memory);
}

static int build_reclaim(struct machine *machine, struct error *err)
{
	struct vm *vm = &machine->vm;
	int ret = reclaim_create(vm->memory, &vm->reclaim, err);

	if (ret || !machine->config->trace_reclaim_path)
		return ret;
	ret = reclaim_trace_prepare(vm->reclaim, machine->config->trace_reclaim_path, err);
	if (ret < 0) {
		error_prefix(err, "--trace-reclaim");
		return -EINVAL; /* the user's to mend: another path, another mode */
	}
	return 0;
}

static void unbuild_reclaim(struct machine *machine)
{
	reclaim_destroy(machine->vm.reclaim);
}

static int build_life(struct machine *machine, struct error *err)
{
	return vm_life_create(&machine->vm, err);
}

static void unbuild_life(struct machine *machine)
{
	vm_life_destroy(&machine->vm);
}

static int build_arch_vm(struct machine *machine, struct error *err)
{
	return arch_vm_create(&machine->vm, err);
}

static void unbuild_arch_vm(struct machine *machine)
{
	arch_vm_destroy(&machine->vm);
}

static int build_memslots(struct machine *machine, struct error *err)
{
	int ret = memslots_create(&machine->vm, &machine->vm.memslots, err);

	if (!ret && arch_info.dirty_log)
		memslots_allow_log(machine->vm.memslots);
	return ret;
}

static void unbuild_memslots(struct machine *machine)
{
	memslots_destroy(machine->vm.memslots);
}

static int build_buses(struct machine *machine, struct error *err)
{
	struct vm *vm = &machine->vm;
	int ret = bus_create("mmio", &vm->mmio);

	if (!ret && arch_info.has_pio)
		ret = bus_create("pio", &vm->pio);
	return ret ? error_set_errno(err, ret, "bus") : 0;
}

static void unbuild_buses(struct machine *machine)
{
	bus_destroy(machine->vm.pio);
	bus_destroy(machine->vm.mmio);
}

static int build_irq(struct machine *machine, struct error *err)
{
	return irq_router_create(&machine->vm, arch_info.irqchip_pins, &machine->vm.irq, err);
}

static void unbuild_irq(struct machine *machine)
{
	irq_router_destroy(machine->vm.irq);
}

static int build_vcpus(struct machine *machine, struct error *err)
{
	struct vm *vm = &machine->vm;
	unsigned int count = machine->config->cpu_count;

	vm->vcpus = calloc(count, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return error_set(err, -ENOMEM, "vCPUs: out of memory");
	for (unsigned int i = 0; i < count; i++) {
		int ret = vcpu_create(vm, i, &vm->vcpus[i], err);

		if (ret)
			return ret;
		vm->vcpu_count = i + 1;
	}
	return 0;
}

static void unbuild_vcpus(struct machine *machine)
{
	struct vm *vm = &machine->vm;

	while (vm->vcpu_count)
		vcpu_destroy(vm->vcpus[--vm->vcpu_count]);
	free(vm->vcpus);
	vm->vcpus = NULL;
}

static void on_quit_key(void *ctx)
{
	struct machine *machine = ctx;

	vm_request_end(&machine->vm, VM_END_STOPPED, 0);
}

static void on_expect_matched(void *ctx)
{
	struct machine *machine = ctx;

	vm_request_end(&machine->vm, VM_END_EXPECTED, 0);
}

static void on_panic_grace_over(void *ctx)
{
	struct machine *machine = ctx;

	vm_request_end(&machine->vm, VM_END_PANIC, 0);
}

/* The guest's kernel printed its panic line: one with no pvpanic driver says it no other way. */
static void on_panicked(void *ctx)
{
	struct machine *machine = ctx;

	vm_note_panic(&machine->vm);
	event_timer_set(machine->panic_timer, PANIC_GRACE_NS, 0);
}

static int build_console(struct machine *machine, struct error *err)
{
	struct vm *vm = &machine->vm;
	const struct console_config config = {
		.input_fd = STDIN_FILENO,
		.output_fd = STDOUT_FILENO,
		.expect_pattern = machine->config->expect_pattern,
	};
	const struct console_events events = {
		.quit = on_quit_key,
		.expect_matched = on_expect_matched,
		.panicked = on_panicked,
		.ctx = machine,
	};
	int ret = event_timer_create(vm->main_loop, on_panic_grace_over, machine,
	                             &machine->panic_timer);

	if (ret)
		return error_set_errno(err, ret, "timer");
	return console_create(&config, &events, vm->main_loop, vm->log, &vm->console, err);
}

static void unbuild_console(struct machine *machine)
{
	console_destroy(machine->vm.console);
	event_timer_destroy(machine->panic_timer);
}

static int build_platform(struct machine *machine, struct error *err)
{
	return arch_platform_create(&machine->vm, err);
}

/* Devices of the platform and of the user are one list; the newest goes first. */
static void unbuild_platform(struct machine *machine)
{
	device_destroy_all(&machine->vm);
	arch_platform_destroy(&machine->vm);
}

static int build_devices(struct machine *machine, struct error *err)
{
	const struct vm_config *config = machine->config;
	int ret = 0;

	for (size_t i = 0; !ret && i < config->device_count; i++)
		ret = device_create(&machine->vm, &config->devices[i], err);
	return ret;
}

static int load(struct vm *vm, struct error *err)
{
	int ret = arch_load_images(vm, err);

	return ret ? ret : arch_describe_machine(vm, err);
}

static int build_images(struct machine *machine, struct error *err)
{
	vm_set_reload(&machine->vm, load);
	return load(&machine->vm, err);
}

static int build_control(struct machine *machine, struct error *err)
{
	return control_create(&machine->vm, machine->name, &machine->control, err);
}

static void unbuild_control(struct machine *machine)
{
	control_destroy(machine->control);
}

static void on_timeout(void *ctx)
{
	struct machine *machine = ctx;

	vm_request_end(&machine->vm, VM_END_TIMEOUT, 0);
}

static void on_signal(void *ctx, uint32_t epoll_events)
{
	struct machine *machine = ctx;
	struct signalfd_siginfo info;

	(void)epoll_events;
	while (read(machine->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGWINCH || info.ssi_signo == SIGCONT)
			console_resized(machine->vm.console);
		else
			vm_request_end(&machine->vm, VM_END_STOPPED, 0);
	}
}

/* What the main loop listens to; last, so that nothing arrives at a half-built machine. */
static int build_events(struct machine *machine, struct error *err)
{
	struct vm *vm = &machine->vm;
	int ret = event_loop_add(vm->main_loop, machine->signal_fd, EPOLLIN, on_signal, machine,
	                         &machine->signal_source);

	if (!ret && machine->config->timeout_ns) {
		ret = event_timer_create(vm->main_loop, on_timeout, machine,
		                         &machine->timeout_timer);
		if (!ret)
			event_timer_set(machine->timeout_timer,
			                (int64_t)machine->config->timeout_ns, 0);
	}
	if (ret)
		return error_set_errno(err, ret, "main loop");
	return console_start(vm->console, err);
}

static void unbuild_events(struct machine *machine)
{
	event_timer_destroy(machine->timeout_timer);
	event_loop_remove(machine->signal_source);
}

/* Whom the user named, for the steps that make processes; before anything is made. */
static int build_user(struct machine *machine, struct error *err)
{
	return machine_find_user(&machine->vm, &machine->user, err);
}

static int build_sandbox(struct machine *machine, struct error *err)
{
	return machine_give_up(&machine->vm, control_name_folder_fd(machine->name), err);
}

static int build_trace(struct machine *machine, struct error *err)
{
	return machine_start_trace(&machine->vm, err);
}

static const struct machine_step steps[] = {
	{ "user", build_user, NULL },
	{ "name", build_name, unbuild_name },
	{ "log", build_log, unbuild_log },
	{ "limits", build_limits, NULL },
	{ "signals", build_signals, unbuild_signals },
	{ "loops", build_loops, unbuild_loops },
	{ "kvm", build_kvm, unbuild_kvm },
	{ "memory", build_memory, unbuild_memory },
	{ "reclaim", build_reclaim, unbuild_reclaim },
	{ "life", build_life, unbuild_life },
	{ "VM", build_arch_vm, unbuild_arch_vm },
	{ "memslots", build_memslots, unbuild_memslots },
	{ "buses", build_buses, unbuild_buses },
	{ "interrupts", build_irq, unbuild_irq },
	{ "vCPUs", build_vcpus, unbuild_vcpus },
	{ "console", build_console, unbuild_console },
	{ "platform", build_platform, unbuild_platform },
	{ "devices", build_devices, NULL },
	{ "images", build_images, NULL },
	{ "control", build_control, unbuild_control },
	{ "events", build_events, unbuild_events },
	{ "sandbox", build_sandbox, NULL },
	{ "trace", build_trace, NULL },
};

static int build(struct machine *machine, size_t step_count, size_t *ret_built, struct error *err)
{
	for (size_t i = 0; i < step_count; i++) {
		int ret;

		*ret_built = i + 1;
		ret = steps[i].build(machine, err);
		if (ret) {
			host_limits_explain(err);
			log_debug(machine->vm.log, "set-up stopped at step %s", steps[i].name);
			return ret;
		}
	}
	return 0;
}

static void unbuild(struct machine *machine, size_t built)
{
	while (built--)
		if (steps[built].unbuild)
			steps[built].unbuild(machine);
}

size_t machine_step_count(void)
{
	return ARRAY_SIZE(steps);
}

static int run_steps(const struct vm_config *config, size_t step_count, bool run, struct error *err)
{
	struct machine *machine = calloc(1, sizeof(*machine));
	size_t built = 0;
	int ret;

	if (!machine)
		return error_set(err, -ENOMEM, "machine: out of memory");
	machine->config = config;
	machine->vm.config = config;
	machine->signal_fd = -1;
	list_init(&machine->vm.devices);
	ret = build(machine, step_count, &built, err);
	if (!ret && run)
		ret = vm_run(&machine->vm);
	unbuild(machine, built);
	free(machine);
	return ret;
}

int machine_try_steps(const struct vm_config *config, size_t step_count, struct error *err)
{
	return run_steps(config, step_count, false, err);
}

int machine_run(const struct vm_config *config, struct error *err)
{
	return run_steps(config, ARRAY_SIZE(steps), true, err);
}
