/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_arch */
/* The VM's life: run, pause, reset in place, every end, and what listeners hear. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/bus.h"
#include "ebb/device.h"
#include "ebb/event_loop.h"
#include "ebb/guest_memory.h"
#include "ebb/log.h"
#include "ebb/pci.h"
#include "ebb/reclaim.h"
#include "ebb/vcpu.h"
#include "ebb/vm.h"

#include "fake_arch.h"
#include "fake_kvm.h"

#define RESET_PORT 0x64
#define END_PORT   0xf4
#define PCI_GPA    (256 * MIB)

/* The machine, and what a test does with it: hooks have no context of their own. */
static struct machine {
	struct vm vm;
	struct vm_config config;
	struct vcpu *vcpus[VM_CPUS_MAX];
	struct vm_listener listener;
	struct device devices[2];
	struct event_work act; /* posted before vm_run: what main does meanwhile */
	struct event_timer *timer;
	struct metric_counter runs;      /* exits of all vCPUs */
	struct metric_counter after_ask; /* exits of a vCPU behind its own request */
	unsigned int resets_wanted;
	struct metric_counter asked;
	char story[512]; /* main thread */
	int reload_answer;
	unsigned int running_at_reset; /* vCPUs that ran while devices were reset */
	bool memory_was_clear;
} m;

static void tell(const char *format, ...)
{
	size_t used = strlen(m.story);
	va_list args;

	va_start(args, format);
	vsnprintf(m.story + used, sizeof(m.story) - used, format, args);
	va_end(args);
}

static void on_event(struct vm_listener *listener, enum vm_event event, uint64_t value)
{
	static const char *const names[VM_EVENT_COUNT] = { "stop",     "resume", "reset",
		                                           "shutdown", "panic",  "balloon",
		                                           "powerdown" };

	assert_ptr_equal(listener, &m.listener);
	if (event == VM_EVENT_SHUTDOWN || event == VM_EVENT_BALLOON_CHANGE)
		tell("%s=%d ", names[event], (int)value);
	else
		tell("%s ", names[event]);
}

static void reset_device(struct device *device)
{
	uint64_t runs = metric_read(&m.runs);

	usleep(300);
	m.running_at_reset += metric_read(&m.runs) != runs;
	tell("device%d ", (int)(device - m.devices));
}

static int reload(struct vm *vm, struct error *err)
{
	uint64_t word = 1;

	assert_int_equal(gmem_read(vm->memory, 0x1000, &word, sizeof(word)), 0);
	m.memory_was_clear = !word;
	tell("reload ");
	return m.reload_answer < 0 ? error_set(err, m.reload_answer, "kernel: gone") : 0;
}

static void write_port(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	(void)offset;
	(void)data;
	(void)size_bytes;
	metric_increment(&m.asked);
	if (ctx)
		vm_request_reset(&m.vm);
	else
		vm_request_end(&m.vm, VM_END_POWEROFF, 0);
}

static const struct bus_ops port_ops = { .write = write_port };

static void build(unsigned int vcpu_count)
{
	struct vm *vm = &m.vm;

	fake_kvm_reset();
	fake_arch_reset();
	memset(&m, 0, sizeof(m));
	vm->config = &m.config;
	list_init(&vm->devices);
	for (int i = 0; i < 2; i++) {
		m.devices[i].reset = reset_device;
		list_append(&vm->devices, &m.devices[i].node);
	}
	assert_int_equal(event_loop_create(NULL, &vm->main_loop, NULL), 0);
	vm->kvm = fake_kvm_open();
	vm->kvm_vm = fake_kvm_vm(vm->kvm);
	assert_int_equal(guest_memory_create(&vm->memory, NULL), 0);
	assert_int_equal(gmem_add_region(vm->memory, 0, 2 * MIB, NULL, NULL), 0);
	assert_int_equal(reclaim_create(vm->memory, &vm->reclaim, NULL), 0);
	assert_int_equal(vm_life_create(vm, NULL), 0);
	assert_int_equal(bus_create("pio", &vm->pio), 0);
	assert_int_equal(bus_create("mmio", &vm->mmio), 0);
	assert_int_equal(bus_add(vm->pio, RESET_PORT, 1, &port_ops, &m, "reset"), 0);
	assert_int_equal(bus_add(vm->pio, END_PORT, 1, &port_ops, NULL, "end"), 0);
	vm->vcpus = m.vcpus;
	for (unsigned int i = 0; i < vcpu_count; i++)
		assert_int_equal(vcpu_create(vm, i, &vm->vcpus[vm->vcpu_count++], NULL), 0);
	m.listener.event = on_event;
	vm_listen(vm, &m.listener);
	vm_set_reload(vm, reload);
}

static void unbuild(void)
{
	struct vm *vm = &m.vm;

	vm_unlisten(&m.listener);
	event_timer_destroy(m.timer);
	while (vm->vcpu_count)
		vcpu_destroy(vm->vcpus[--vm->vcpu_count]);
	bus_destroy(vm->pio);
	bus_destroy(vm->mmio);
	vm_life_destroy(vm);
	vm_life_destroy(vm); /* a second time is harmless */
	reclaim_destroy(vm->reclaim);
	guest_memory_destroy(vm->memory);
	kvm_vm_destroy(vm->kvm_vm);
	kvm_close(vm->kvm);
	event_loop_destroy(vm->main_loop);
	assert_int_equal(fake_kvm_open_objects(), 0);
}

/* What main does once the VM runs. */
static void when_running(event_work_fn act)
{
	event_work_init(&m.act, m.vm.main_loop, act, &m.vm);
	event_work_post(&m.act);
}

static int run_busy(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)vcpu_id;
	(void)ret_completes;
	metric_increment(&m.runs);
	run->exit_reason = KVM_EXIT_INTR;
	return 0;
}

static void fill_out(struct kvm_run *run, uint16_t port)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_OUT;
	run->io.port = port;
	run->io.size = 1;
	run->io.count = 1;
	run->io.data_offset = PAGE_4K_BYTES;
}

/* --- ends --- */

static void test_exit_statuses(void **state)
{
	static const struct {
		enum vm_end end;
		uint32_t value;
		int status;
	} table[] = {
		{ VM_END_POWEROFF, 0, 0 },       { VM_END_STOPPED, 0, 0 },
		{ VM_END_EXPECTED, 0, 0 },       { VM_END_NO_REBOOT, 0, 0 },
		{ VM_END_TIMEOUT, 0, 124 },      { VM_END_HOST_FAILURE, 0, 125 },
		{ VM_END_PANIC, 0, 126 },        { VM_END_VCPU_FATAL, 0, 127 },
		{ VM_END_DEBUG_EXIT, 0, 1 },     { VM_END_DEBUG_EXIT, 16, 33 },
		{ VM_END_DEBUG_EXIT, 127, 255 }, { VM_END_DEBUG_EXIT, 0xffffffff, 255 },
		{ VM_END_DEBUG_EXIT, 0x100, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char expected[32];

		build(1);
		assert_int_equal(vm_exit_status(&m.vm), 125); /* not ended at all */
		vm_request_end(&m.vm, table[i].end, table[i].value);
		vm_request_end(&m.vm, VM_END_TIMEOUT, 3); /* comes second */
		assert_int_equal(vm_run(&m.vm), table[i].status);
		assert_int_equal(vm_end(&m.vm), table[i].end);
		assert_int_equal(vm_state(&m.vm), VM_STATE_ENDED);
		assert_int_equal(vm_exit_status(&m.vm), table[i].status);
		snprintf(expected, sizeof(expected), "shutdown=%d ", table[i].end);
		assert_string_equal(m.story, expected);
		/* It ran no guest code, and it is over. */
		assert_int_equal(vm_pause(&m.vm), -EALREADY);
		assert_int_equal(vm_resume(&m.vm), -EALREADY);
		unbuild();
	}
}

static int run_power_off(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)ret_completes;
	metric_increment(&m.runs);
	if (vcpu_id)
		return FAKE_KVM_BLOCK;
	if (metric_read(&m.asked))
		metric_increment(&m.after_ask);
	fill_out(run, END_PORT);
	return 0;
}

/* The vCPU that asked runs nothing more, whatever main is doing. */
static void test_guest_powers_off(void **state)
{
	(void)state;
	for (unsigned int vcpus = 1; vcpus <= 3; vcpus++) {
		build(vcpus);
		fake_kvm_set_run_hook(run_power_off);
		assert_int_equal(vm_uptime_ns(&m.vm), 0);
		assert_int_equal(vm_run(&m.vm), 0);
		assert_true(vm_uptime_ns(&m.vm) > 0);
		assert_int_equal(metric_read(&m.asked), 1);
		assert_int_equal(metric_read(&m.after_ask), 0);
		assert_string_equal(m.story, "shutdown=1 ");
		unbuild();
	}
}

static void *end_from_elsewhere(void *ctx)
{
	vm_emit(ctx, VM_EVENT_BALLOON_CHANGE, 1);
	vm_emit(ctx, VM_EVENT_BALLOON_CHANGE, 42);
	vm_request_end(ctx, VM_END_STOPPED, 0);
	return NULL;
}

static void test_64_vcpus(void **state)
{
	pthread_t thread;

	(void)state;
	build(VM_CPUS_MAX);
	fake_kvm_set_run_hook(run_busy);
	pthread_create(&thread, NULL, end_from_elsewhere, &m.vm);
	assert_int_equal(vm_run(&m.vm), 0);
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < VM_CPUS_MAX; i++)
		assert_int_equal(fake_arch_reset_count(i), 1);
	/* Of the same event the last value, and before the end. */
	assert_string_equal(m.story, "balloon=42 shutdown=2 ");
	unbuild();
}

static void test_start_fails(void **state)
{
	(void)state;
	build(3);
	fake_arch_fail_nth(1, -EIO); /* the second vCPU's first reset */
	assert_int_equal(vm_run(&m.vm), 125);
	assert_int_equal(vm_end(&m.vm), VM_END_HOST_FAILURE);
	unbuild();
}

/* --- pause and resume --- */

static void pause_and_resume(void *ctx)
{
	struct vm *vm = ctx;
	uint64_t runs;

	assert_int_equal(vm_state(vm), VM_STATE_RUNNING);
	assert_int_equal(vm_resume(vm), -EALREADY);
	assert_int_equal(vm_pause(vm), 0);
	assert_int_equal(vm_pause(vm), -EALREADY);
	assert_int_equal(vm_state(vm), VM_STATE_PAUSED);
	runs = metric_read(&m.runs);
	usleep(1000);
	assert_int_equal(metric_read(&m.runs), runs);
	assert_int_equal(vm_resume(vm), 0);
	while (metric_read(&m.runs) == runs)
		usleep(100);
	/* And an end while paused. */
	assert_int_equal(vm_pause(vm), 0);
	vm_request_end(vm, VM_END_STOPPED, 0);
	assert_int_equal(vm_resume(vm), -EALREADY);
}

static void test_pause(void **state)
{
	(void)state;
	build(2);
	fake_kvm_set_run_hook(run_busy);
	when_running(pause_and_resume);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_string_equal(m.story, "stop resume stop shutdown=2 ");
	unbuild();
}

/* --- a moment of quiet --- */

static struct vm_quiet quiet;
static unsigned int quiet_count, quiet_wanted;
static uint64_t quiet_runs; /* of vCPUs in the moment */

/* On the reclaim loop; io is held by whoever called, main waits. */
static void in_quiet(void *ctx)
{
	struct vm *vm = ctx;
	uint64_t runs = metric_read(&m.runs);

	usleep(1000);
	quiet_runs += metric_read(&m.runs) - runs;
	if (++quiet_count < quiet_wanted)
		vm_quiet_request(&quiet); /* once more, after the vCPUs ran */
	else
		vm_request_end(vm, VM_END_STOPPED, 0);
}

static void build_quiet(unsigned int wanted)
{
	build(2);
	assert_int_equal(event_loop_create("io", &m.vm.io_loop, NULL), 0);
	assert_int_equal(event_loop_create("reclaim", &m.vm.reclaim_loop, NULL), 0);
	fake_kvm_set_run_hook(run_busy);
	vm_quiet_init(&quiet, &m.vm, in_quiet, &m.vm);
	quiet_count = 0;
	quiet_runs = 0;
	quiet_wanted = wanted;
}

static void unbuild_quiet(void)
{
	vm_quiet_cancel(&quiet);
	event_loop_destroy(m.vm.reclaim_loop);
	event_loop_destroy(m.vm.io_loop);
	unbuild();
}

static void request_quiet(void *ctx)
{
	(void)ctx;
	vm_quiet_request(&quiet);
	vm_quiet_request(&quiet); /* does nothing */
}

static void test_quiet(void **state)
{
	(void)state;
	build_quiet(3);
	when_running(request_quiet);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_int_equal(quiet_count, 3);
	assert_int_equal(quiet_runs, 0);
	assert_string_equal(m.story, "shutdown=2 "); /* nobody hears of it */
	unbuild_quiet();
}

static struct {
	struct gmem_unseen_writer writer;
	bool held;
	unsigned int times;
} silent_writer;

static unsigned int late_settled;

static void hold_writer(struct gmem_unseen_writer *writer)
{
	(void)writer;
	assert_false(silent_writer.held);
	silent_writer.held = true;
}

static void let_writer_go(struct gmem_unseen_writer *writer)
{
	(void)writer;
	assert_true(silent_writer.held);
	silent_writer.held = false;
	silent_writer.times++;
}

static void in_quiet_without_writers(void *ctx)
{
	assert_true(silent_writer.held);
	in_quiet(ctx);
}

static void settle_writer(struct gmem_late_writer *writer)
{
	(void)writer;
	assert_false(silent_writer.held); /* what it does may take a while, and locks */
	late_settled++;
}

/* vhost does not write guest memory in a moment of quiet, and goes on behind it. */
static void test_quiet_holds_unseen_writers(void **state)
{
	struct gmem_late_writer late_writer = { .settle = settle_writer };

	(void)state;
	build_quiet(3);
	memset(&silent_writer, 0, sizeof(silent_writer));
	silent_writer.writer.hold = hold_writer;
	silent_writer.writer.let_go = let_writer_go;
	gmem_add_unseen_writer(m.vm.memory, &silent_writer.writer);
	late_settled = 0;
	gmem_add_late_writer(m.vm.memory, &late_writer);
	vm_quiet_init(&quiet, &m.vm, in_quiet_without_writers, &m.vm);
	when_running(request_quiet);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_int_equal(quiet_count, 3);
	assert_int_equal(silent_writer.times, 3);
	assert_false(silent_writer.held);
	gmem_remove_unseen_writer(m.vm.memory, &silent_writer.writer);
	assert_int_equal(late_settled, 3);
	gmem_remove_late_writer(&late_writer);
	unbuild_quiet();
}

static void request_quiet_while_paused(void *ctx)
{
	assert_int_equal(vm_pause(ctx), 0);
	vm_quiet_request(&quiet);
}

/* Paused by the user before and after. */
static void test_quiet_while_paused(void **state)
{
	(void)state;
	build_quiet(2);
	when_running(request_quiet_while_paused);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_int_equal(quiet_count, 2);
	assert_int_equal(quiet_runs, 0);
	assert_string_equal(m.story, "stop shutdown=2 ");
	unbuild_quiet();
}

static void request_quiet_and_end(void *ctx)
{
	vm_quiet_request(&quiet);
	vm_request_end(ctx, VM_END_STOPPED, 0);
}

static void test_quiet_gives_way(void **state)
{
	(void)state;
	build_quiet(1);
	when_running(request_quiet_and_end);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_int_equal(quiet_count, 0);
	unbuild_quiet();
}

/* --- reset --- */

static int run_resets(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)ret_completes;
	metric_increment(&m.runs);
	if (vcpu_id) {
		run->exit_reason = KVM_EXIT_INTR;
		return 0;
	}
	/* Registers as at power-on as often as it was asked for, and once at the start. */
	if (fake_arch_reset_count(0) != metric_read(&m.asked) + 1)
		metric_increment(&m.after_ask);
	fill_out(run, metric_read(&m.asked) < m.resets_wanted ? RESET_PORT : END_PORT);
	return 0;
}

static void dirty_memory(void)
{
	uint64_t word = 0x1234;

	assert_int_equal(gmem_write(m.vm.memory, 0x1000, &word, sizeof(word)), 0);
}

static void test_reset(void **state)
{
	static const struct pci_host_layout layout = { .ecam_gpa = PCI_GPA };
	uint8_t command[2];

	(void)state;
	build(3);
	m.resets_wanted = 1;
	dirty_memory();
	assert_int_equal(pci_host_create(&m.vm, &layout, &m.vm.pci, NULL), 0);
	bus_write(m.vm.mmio, PCI_GPA + PCI_COMMAND, "\4", 2);
	fake_kvm_set_run_hook(run_resets);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_string_equal(m.story, "device0 device1 reload reset shutdown=1 ");
	assert_true(m.memory_was_clear);
	assert_int_equal(m.running_at_reset, 0);
	assert_int_equal(metric_read(&m.after_ask), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(fake_arch_reset_count(i), 2);
	bus_read(m.vm.mmio, PCI_GPA + PCI_COMMAND, command, sizeof(command));
	assert_int_equal(command[0], 0); /* the bridge is nobody's device */
	pci_host_destroy(m.vm.pci);
	unbuild();
}

static void test_many_resets(void **state)
{
	(void)state;
	build(4);
	m.resets_wanted = 30;
	fake_kvm_set_run_hook(run_resets);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_int_equal(metric_read(&m.asked), 31);
	assert_int_equal(metric_read(&m.after_ask), 0);
	assert_int_equal(m.running_at_reset, 0);
	unbuild();
}

static int run_resets_and_quiet(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	vm_quiet_request(&quiet);
	return metric_read(&m.runs) % 4 ? run_busy(vcpu_id, run, ret_completes)
	                                : run_resets(vcpu_id, run, ret_completes);
}

/* A vCPU that asked for a reset does not run on because there was a moment of quiet before it. */
static void test_resets_among_quiet(void **state)
{
	(void)state;
	build_quiet(1u << 31);
	m.resets_wanted = 30;
	fake_kvm_set_run_hook(run_resets_and_quiet);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_int_equal(metric_read(&m.asked), 31);
	assert_int_equal(metric_read(&m.after_ask), 0);
	assert_int_equal(m.running_at_reset, 0);
	assert_int_equal(quiet_runs, 0);
	unbuild_quiet();
}

/* The second vCPU asks as well, once main is about to pause it for the first one's sake. */
static int run_two_ask(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)ret_completes;
	if (fake_arch_reset_count(0) == 1) {
		while (vcpu_id && !__atomic_load_n(&run->immediate_exit, __ATOMIC_SEQ_CST))
			usleep(100);
		fill_out(run, RESET_PORT);
		return 0;
	}
	if (vcpu_id)
		return FAKE_KVM_BLOCK;
	usleep(20000); /* time for a reset that nobody wants */
	fill_out(run, END_PORT);
	return 0;
}

static void test_two_ask_for_a_reset(void **state)
{
	(void)state;
	build(2);
	fake_kvm_set_run_hook(run_two_ask);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_string_equal(m.story, "device0 device1 reload reset shutdown=1 ");
	unbuild();
}

static void test_no_reboot(void **state)
{
	(void)state;
	build(1);
	m.resets_wanted = 1;
	m.config.no_reboot = true;
	fake_kvm_set_run_hook(run_resets);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_int_equal(vm_end(&m.vm), VM_END_NO_REBOOT);
	assert_int_equal(fake_arch_reset_count(0), 1);
	unbuild();
}

static void test_reload_fails(void **state)
{
	char text[256] = "";
	int fds[2];

	(void)state;
	build(2);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(log_create(fds[1], LOG_INFO, &m.vm.log), 0);
	m.resets_wanted = 1;
	m.reload_answer = -ENOENT;
	fake_kvm_set_run_hook(run_resets);
	assert_int_equal(vm_run(&m.vm), 125);
	assert_string_equal(m.story, "device0 device1 reload shutdown=6 ");
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "ebb: reset: kernel: gone\n");
	unbuild();
	log_destroy(m.vm.log);
	close(fds[0]);
	close(fds[1]);
}

static void test_vcpu_reset_fails(void **state)
{
	(void)state;
	build(2);
	m.resets_wanted = 1;
	fake_arch_fail_nth(3, -EIO); /* two at the start, then the second one's */
	fake_kvm_set_run_hook(run_resets);
	assert_int_equal(vm_run(&m.vm), 125);
	unbuild();
}

static void reset_while_paused(void *ctx)
{
	struct vm *vm = ctx;

	assert_int_equal(vm_pause(vm), 0);
	vm_request_reset(vm);
	vm_request_reset(vm);               /* one, if main has not come to it yet */
	assert_int_equal(vm_resume(vm), 0); /* after the reset */
	assert_string_equal(m.story, "stop device0 device1 reload reset resume ");
	vm_request_end(vm, VM_END_STOPPED, 0);
}

static void test_reset_while_paused(void **state)
{
	(void)state;
	build(2);
	fake_kvm_set_run_hook(run_busy);
	when_running(reset_while_paused);
	assert_int_equal(vm_run(&m.vm), 0);
	assert_int_equal(fake_arch_reset_count(1), 2);
	unbuild();
}

/* --- panic, powerdown --- */

static void panic_then_reset(void *ctx)
{
	vm_note_panic(ctx);
	vm_note_panic(ctx);
	vm_request_reset(ctx);
}

static void test_panic(void **state)
{
	(void)state;
	build(1);
	fake_kvm_set_run_hook(run_busy);
	when_running(panic_then_reset);
	assert_int_equal(vm_run(&m.vm), 126);
	assert_string_equal(m.story, "panic shutdown=7 ");
	unbuild();
}

static void ask_powerdown(void *ctx)
{
	vm_request_powerdown(ctx);
	vm_request_end(ctx, VM_END_TIMEOUT, 0);
}

static void test_powerdown(void **state)
{
	(void)state;
	build(1);
	when_running(ask_powerdown);
	assert_int_equal(vm_run(&m.vm), 124);
	assert_string_equal(m.story, "powerdown shutdown=5 ");
	unbuild();
}

/* --- all at once --- */

static void *disturb(void *ctx)
{
	for (int i = 0; i < 200; i++) {
		vm_emit(ctx, VM_EVENT_BALLOON_CHANGE, (uint64_t)i);
		if (i % 10 == 5)
			vm_request_reset(ctx);
		assert_true(vm_state(ctx) != VM_STATE_ENDED);
		(void)vm_uptime_ns(ctx);
	}
	vm_request_end(ctx, VM_END_STOPPED, 0);
	return NULL;
}

static void toggle(void *ctx)
{
	if (vm_pause(ctx) < 0)
		(void)!vm_resume(ctx);
}

static void on_event_quietly(struct vm_listener *listener, enum vm_event event, uint64_t value)
{
	(void)listener;
	(void)event;
	(void)value;
	m.story[0] = '\0';
}

static void test_threads(void **state)
{
	pthread_t thread;

	(void)state;
	build(3);
	m.listener.event = on_event_quietly;
	fake_kvm_set_run_hook(run_busy);
	assert_int_equal(event_timer_create(m.vm.main_loop, toggle, &m.vm, &m.timer), 0);
	event_timer_set(m.timer, 0, 300000);
	pthread_create(&thread, NULL, disturb, &m.vm);
	assert_int_equal(vm_run(&m.vm), 0);
	pthread_join(thread, NULL);
	assert_int_equal(m.running_at_reset, 0);
	unbuild();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_statuses),
		cmocka_unit_test(test_guest_powers_off),
		cmocka_unit_test(test_64_vcpus),
		cmocka_unit_test(test_start_fails),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_quiet_holds_unseen_writers),
		cmocka_unit_test(test_quiet_while_paused),
		cmocka_unit_test(test_quiet_gives_way),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_many_resets),
		cmocka_unit_test(test_resets_among_quiet),
		cmocka_unit_test(test_two_ask_for_a_reset),
		cmocka_unit_test(test_no_reboot),
		cmocka_unit_test(test_reload_fails),
		cmocka_unit_test(test_vcpu_reset_fails),
		cmocka_unit_test(test_reset_while_paused),
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_powerdown),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
