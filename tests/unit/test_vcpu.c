/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_arch fake_sandbox */
/* vCPU threads: dispatch, kicks in every state, accesses completed before a pause, resets,
 * failures. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/bus.h"
#include "ebb/event_loop.h"
#include "ebb/guest_memory.h"
#include "ebb/log.h"
#include "ebb/memslot.h"
#include "ebb/vcpu.h"
#include "ebb/vm.h"

#include "fake_arch.h"
#include "fake_kvm.h"
#include "fake_sandbox.h"

/* What the guest does, step by step; shared with hooks, which have no context. */
static struct script {
	struct metric_counter runs;
	struct metric_counter step;
	unsigned int last_step; /* from here on the vCPU sleeps */
	uint8_t data[16];       /* what devices were given, or what they answer */
	struct metric_counter writes, reads;
	struct vcpu *vcpu;
} script;

static struct vm vm;
static struct vm_config config;

static int set_up(void **state)
{
	(void)state;
	fake_kvm_reset();
	fake_arch_reset();
	fake_sandbox_reset();
	memset(&script, 0, sizeof(script));
	memset(&vm, 0, sizeof(vm));
	memset(&config, 0, sizeof(config));
	vm.config = &config;
	list_init(&vm.devices);
	vm.kvm = fake_kvm_open();
	vm.kvm_vm = fake_kvm_vm(vm.kvm);
	assert_int_equal(event_loop_create(NULL, &vm.main_loop, NULL), 0);
	assert_int_equal(bus_create("pio", &vm.pio), 0);
	assert_int_equal(bus_create("mmio", &vm.mmio), 0);
	assert_int_equal(vm_life_create(&vm, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vm_life_destroy(&vm);
	bus_destroy(vm.pio);
	bus_destroy(vm.mmio);
	event_loop_destroy(vm.main_loop);
	kvm_vm_destroy(vm.kvm_vm);
	kvm_close(vm.kvm);
	assert_int_equal(fake_kvm_open_objects(), 0);
	return 0;
}

static struct vcpu *start_vcpu(void)
{
	struct vcpu *vcpu = NULL;

	assert_int_equal(vcpu_create(&vm, 0, &vcpu, NULL), 0);
	script.vcpu = vcpu;
	assert_int_equal(vcpu_start(vcpu, NULL), 0);
	vcpu_wait_paused(vcpu);
	return vcpu;
}

static void pause_vcpu(struct vcpu *vcpu)
{
	vcpu_request_pause(vcpu);
	vcpu_wait_paused(vcpu);
}

static void wait_for(struct metric_counter *counter, uint64_t value)
{
	for (int i = 0; i < 50000 && metric_read(counter) < value; i++)
		usleep(100);
	assert_true(metric_read(counter) >= value);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < VCPU_EXIT_COUNT; i++)
		for (unsigned int j = 0; j < i; j++)
			assert_string_not_equal(vcpu_exit_name(i), vcpu_exit_name(j));
	assert_string_equal(vcpu_exit_name(VCPU_EXIT_COUNT), "unknown");
}

static void test_create_fails(void **state)
{
	(void)state;
	/* The fake architecture has one call of its own before KVM's. */
	for (int which = 0; which < 2; which++) {
		struct error err = ERROR_INIT;
		struct vcpu *vcpu = NULL;
		unsigned int before = fake_kvm_open_objects();

		if (which)
			fake_kvm_fail_nth(0, -ENOMEM);
		else
			fake_arch_fail_nth(0, -EINVAL);
		assert_int_equal(vcpu_create(&vm, 0, &vcpu, &err), which ? -ENOMEM : -EINVAL);
		assert_null(vcpu);
		assert_int_not_equal(err.code, 0);
		assert_int_equal(fake_kvm_open_objects(), before);
	}
	vcpu_destroy(NULL);
}

static void test_never_started(void **state)
{
	struct vcpu *vcpu = NULL;

	(void)state;
	assert_int_equal(vcpu_create(&vm, 0, &vcpu, NULL), 0);
	pause_vcpu(vcpu); /* does not wait for what is not there */
	vcpu_idle_if_current(vcpu);
	vcpu_destroy(vcpu);
}

static void test_start_parked(void **state)
{
	struct vcpu *vcpu = start_vcpu();

	(void)state;
	assert_int_equal(fake_arch_reset_count(0), 1);
	assert_true(vcpu->used);
	assert_int_equal(fake_kvm_call_count(), 1); /* its creation: it has not run */
	vcpu_destroy(vcpu);                         /* while parked */
	vcpu = start_vcpu();
	vcpu_resume(vcpu);
	vcpu_destroy(vcpu); /* while running, or nearly */
}

static void read_data(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	memcpy(data, script.data + offset, size_bytes);
	metric_increment(&script.reads);
}

static void write_data(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	(void)ctx;
	memcpy(script.data + offset, data, size_bytes);
	metric_increment(&script.writes);
}

static const struct bus_ops data_ops = { .read = read_data, .write = write_data };

static void fill_pio(struct kvm_run *run, uint8_t direction, uint16_t port, uint8_t size,
                     uint32_t count)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = direction;
	run->io.port = port;
	run->io.size = size;
	run->io.count = count;
	run->io.data_offset = PAGE_4K_BYTES;
}

static void fill_mmio(struct kvm_run *run, bool is_write, gpa_t gpa, uint32_t size_bytes)
{
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.is_write = is_write;
	run->mmio.phys_addr = gpa;
	run->mmio.len = size_bytes;
}

static int run_dispatch(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	uint8_t *pio = (uint8_t *)run + PAGE_4K_BYTES;

	(void)vcpu_id;
	(void)ret_completes;
	switch (metric_read(&script.step)) {
	case 0:
		memcpy(pio, "\x11\x22\x33\x44", 4);
		fill_pio(run, KVM_EXIT_IO_OUT, 0x100, 4, 1);
		break;
	case 1:
		memcpy(run->mmio.data, "12345678", 8);
		fill_mmio(run, true, 0xd0000008, 8);
		break;
	case 2: /* a string write, three times two bytes to one port */
		memcpy(pio, "aabbcc", 6);
		fill_pio(run, KVM_EXIT_IO_OUT, 0x102, 2, 3);
		break;
	case 3:
		memset(pio, 0, 8);
		fill_pio(run, KVM_EXIT_IO_IN, 0x100, 1, 2);
		break;
	case 4:
		assert_memory_equal(pio, "\x11\x11\0", 3);
		fill_mmio(run, false, 0xd0000008, 4);
		break;
	case 5:
		assert_memory_equal(run->mmio.data, "1234", 4);
		fill_pio(run, KVM_EXIT_IO_IN, 0x777, 2, 1);
		break;
	case 6:
		assert_memory_equal(pio, "\xff\xff\0", 3);
		fill_mmio(run, false, 0xdeadbeef, 2);
		break;
	case 7:
		assert_memory_equal(run->mmio.data, "\xff\xff", 2);
		run->exit_reason = KVM_EXIT_INTR;
		break;
	case 8: /* a number no architecture knows */
		run->exit_reason = 4711;
		break;
	case 9:
		metric_increment(&script.step);
		return -EAGAIN;
	default:
		metric_increment(&script.runs);
		return FAKE_KVM_BLOCK;
	}
	metric_increment(&script.step);
	return 0;
}

static void test_dispatch(void **state)
{
	struct vcpu *vcpu;
	int fds[2];
	char text[8192];
	ssize_t size;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(log_create(fds[1], LOG_DEBUG, &vm.log), 0);
	config.trace_exits = true;
	assert_int_equal(bus_add(vm.pio, 0x100, 8, &data_ops, NULL, "ports"), 0);
	assert_int_equal(bus_add(vm.mmio, 0xd0000000, 16, &data_ops, NULL, "registers"), 0);
	fake_kvm_set_run_hook(run_dispatch);
	vcpu = start_vcpu();
	vcpu_resume(vcpu);
	wait_for(&script.runs, 1);
	pause_vcpu(vcpu);
	assert_memory_equal(script.data,
	                    "\x11\x22"
	                    "cc\0\0\0\0"
	                    "12345678",
	                    16);
	assert_int_equal(metric_read(&script.writes), 5);
	assert_int_equal(metric_read(&script.reads), 3);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_PIO]), 4);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_MMIO]), 3);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_OTHER]), 1);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_INTERRUPTED]), 3);
	assert_int_equal(bus_unclaimed_count(vm.pio), 1);
	assert_int_equal(bus_unclaimed_count(vm.mmio), 1);
	vcpu_destroy(vcpu);

	size = read(fds[0], text, sizeof(text) - 1);
	text[size] = '\0';
	assert_non_null(strstr(text, "vcpu 0: pio write 0x100 size 4 count 1 value 0x44332211\n"));
	assert_non_null(strstr(text, "vcpu 0: mmio read 0xd0000008 size 4 value 0x34333231\n"));
	assert_non_null(strstr(text, "vcpu 0: other (KVM exit reason 4711)\n"));
	log_destroy(vm.log);
	close(fds[0]);
	close(fds[1]);
}

static void test_no_ports(void **state)
{
	struct bus *pio = vm.pio;
	struct vcpu *vcpu;

	(void)state;
	/* Steps 5 and 6: a read of ports that the architecture does not have. */
	metric_add(&script.step, 5);
	memcpy(script.data, "1234", 4);
	vcpu = NULL;
	vm.pio = NULL;
	assert_int_equal(vcpu_create(&vm, 0, &vcpu, NULL), 0);
	memcpy(vcpu->run->mmio.data, "1234", 4);
	fake_kvm_set_run_hook(run_dispatch);
	assert_int_equal(vcpu_start(vcpu, NULL), 0);
	vcpu_resume(vcpu);
	wait_for(&script.runs, 1);
	vcpu_destroy(vcpu);
	vm.pio = pio;
}

/* --- kicks --- */

/* The guest computes: exits one after another, never asleep. */
static int run_busy(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)vcpu_id;
	(void)ret_completes;
	fill_pio(run, KVM_EXIT_IO_OUT, 0x500, 1, 1);
	metric_increment(&script.runs);
	return 0;
}

/* Now this, now that: the pause meets it before, in and behind KVM_RUN. */
static int run_mixed(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	run_busy(vcpu_id, run, ret_completes);
	return metric_read(&script.runs) % 3 ? 0 : FAKE_KVM_BLOCK;
}

static int run_asleep(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)vcpu_id;
	(void)run;
	(void)ret_completes;
	metric_increment(&script.runs);
	return FAKE_KVM_BLOCK;
}

static void pause_often(fake_kvm_run_fn hook)
{
	struct vcpu *vcpu;

	fake_kvm_set_run_hook(hook);
	vcpu = start_vcpu();
	for (unsigned int i = 0; i < 500; i++) {
		uint64_t runs = metric_read(&script.runs);

		vcpu_resume(vcpu);
		if (i % 4 == 0)
			wait_for(&script.runs, runs + 1);
		if (i % 4 == 1)
			usleep(50);
		pause_vcpu(vcpu);
		runs = metric_read(&script.runs);
		pause_vcpu(vcpu); /* a second one changes nothing */
		if (i % 50 == 0) {
			usleep(1000);
			assert_int_equal(metric_read(&script.runs), runs);
		}
	}
	vcpu_destroy(vcpu);
}

static void test_pause_busy(void **state)
{
	(void)state;
	pause_often(run_busy);
}

static void test_pause_asleep(void **state)
{
	(void)state;
	pause_often(run_asleep);
}

static void test_pause_mixed(void **state)
{
	(void)state;
	pause_often(run_mixed);
}

/* --- what is in flight is completed --- */

static void pause_myself(void *ctx, uint64_t offset, void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)offset;
	memset(data, 0x77, size_bytes);
	vcpu_request_pause(script.vcpu); /* as main would, at the worst moment */
	metric_increment(&script.reads);
}

static const struct bus_ops pausing_ops = { .read = pause_myself };

/* A read whose answer KVM takes at the start of the next KVM_RUN, in two parts. */
static int run_reading(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)vcpu_id;
	switch (metric_read(&script.step)) {
	case 0:
		fill_mmio(run, false, 0xd0000000, 4);
		*ret_completes = true;
		break;
	case 1:
		assert_int_equal(run->immediate_exit, 1);
		fill_mmio(run, false, 0xd0000004, 4); /* the access's second half */
		*ret_completes = true;
		break;
	case 2:
		memcpy(script.data, run->mmio.data, 4);
		metric_increment(&script.step);
		return run->immediate_exit ? -EINTR : FAKE_KVM_BLOCK;
	default:
		metric_increment(&script.runs);
		return FAKE_KVM_BLOCK;
	}
	metric_increment(&script.step);
	return 0;
}

static void test_completes_before_pause(void **state)
{
	struct vcpu *vcpu;

	(void)state;
	assert_int_equal(bus_add(vm.mmio, 0xd0000000, 16, &pausing_ops, NULL, "pausing"), 0);
	fake_kvm_set_run_hook(run_reading);
	vcpu = start_vcpu();
	vcpu_resume(vcpu);
	wait_for(&script.reads, 2);
	vcpu_wait_paused(vcpu);
	/* Both halves were served and the answer taken, though the pause came in the first. */
	assert_int_equal(metric_read(&script.step), 3);
	assert_memory_equal(script.data, "\x77\x77\x77\x77", 4);
	assert_int_equal(metric_read(&script.runs), 0);
	vcpu_resume(vcpu);
	wait_for(&script.runs, 1);
	vcpu_destroy(vcpu);
}

/* --- idle, reset, fatal --- */

static enum vcpu_verdict answer_idle(struct vcpu *vcpu, enum vcpu_exit *ret_exit)
{
	(void)vcpu;
	*ret_exit = VCPU_EXIT_SHUTDOWN;
	return VCPU_IDLE;
}

static enum vcpu_verdict answer_fatal(struct vcpu *vcpu, enum vcpu_exit *ret_exit)
{
	(void)vcpu;
	*ret_exit = VCPU_EXIT_ERROR;
	return VCPU_FATAL;
}

static enum vcpu_verdict answer_nonsense(struct vcpu *vcpu, enum vcpu_exit *ret_exit)
{
	(void)vcpu;
	*ret_exit = VCPU_EXIT_COUNT;
	return VCPU_FATAL;
}

static int run_unknown(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)vcpu_id;
	(void)ret_completes;
	run->exit_reason = KVM_EXIT_SHUTDOWN;
	metric_increment(&script.runs);
	return 0;
}

static void test_idle(void **state)
{
	struct vcpu *vcpu;

	(void)state;
	fake_arch_set_exit_hook(answer_idle);
	fake_kvm_set_run_hook(run_unknown);
	vcpu = start_vcpu();
	vcpu_resume(vcpu);
	vcpu_wait_paused(vcpu); /* idle is parked */
	assert_int_equal(metric_read(&script.runs), 1);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_SHUTDOWN]), 1);
	usleep(1000);
	assert_int_equal(metric_read(&script.runs), 1);
	/* A reset and a resume bring it back. */
	pause_vcpu(vcpu);
	vcpu_request_reset(vcpu);
	vcpu_wait_paused(vcpu);
	assert_int_equal(fake_arch_reset_count(0), 2);
	vcpu_resume(vcpu);
	wait_for(&script.runs, 2);
	vcpu_destroy(vcpu);
}

static int run_touch(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)ret_completes;
	if (metric_read(&script.runs) > vcpu_id)
		return FAKE_KVM_BLOCK;
	metric_increment(&script.runs);
	fill_mmio(run, true, vcpu_id, 1);
	return 0;
}

static void note_vcpu(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)data;
	(void)size_bytes;
	script.data[offset] = (uint8_t)(vcpu_current(&vm)->index + 1);
	metric_increment(&script.writes);
}

/* Who accesses a device can be told. */
static void test_current(void **state)
{
	static const struct bus_ops note_ops = { .write = note_vcpu };
	struct vcpu *vcpus[2] = { NULL, NULL };

	(void)state;
	assert_int_equal(bus_add(vm.mmio, 0, 2, &note_ops, NULL, "note"), 0);
	fake_kvm_set_run_hook(run_touch);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vcpu_create(&vm, i, &vcpus[i], NULL), 0);
		assert_int_equal(vcpu_start(vcpus[i], NULL), 0);
		vcpu_wait_paused(vcpus[i]);
	}
	vm.vcpus = vcpus;
	vm.vcpu_count = 2;
	assert_null(vcpu_current(&vm));
	for (unsigned int i = 0; i < 2; i++) {
		vcpu_resume(vcpus[i]);
		wait_for(&script.writes, i + 1);
		pause_vcpu(vcpus[i]);
		assert_int_equal(script.data[i], i + 1);
	}
	vm.vcpu_count = 0;
	for (unsigned int i = 0; i < 2; i++)
		vcpu_destroy(vcpus[i]);
}

static void test_resets(void **state)
{
	struct vcpu *vcpu;

	(void)state;
	fake_kvm_set_run_hook(run_mixed);
	vcpu = start_vcpu();
	for (unsigned int i = 0; i < 100; i++) {
		vcpu_resume(vcpu);
		pause_vcpu(vcpu);
		vcpu_request_reset(vcpu);
		vcpu_wait_paused(vcpu);
		assert_int_equal(fake_arch_reset_count(0), i + 2);
	}
	/* One that is under way when the vCPU goes. */
	vcpu_request_reset(vcpu);
	vcpu_destroy(vcpu);
}

static void test_reset_fails(void **state)
{
	struct vcpu *vcpu = start_vcpu();

	(void)state;
	fake_arch_fail_nth(0, -EIO);
	vcpu_request_reset(vcpu);
	vcpu_wait_paused(vcpu);
	assert_int_equal(vm_end(&vm), VM_END_HOST_FAILURE);
	vcpu_destroy(vcpu);
}

/* Whoever resumes it does not know yet. */
static void test_not_in_the_sandbox(void **state)
{
	struct vcpu *vcpu;

	(void)state;
	fake_kvm_set_run_hook(run_asleep);
	vm.sandboxed = true;
	fake_sandbox.enter_fails_with = -ENOMEM;
	vcpu = start_vcpu();
	assert_int_equal(vm_end(&vm), VM_END_HOST_FAILURE);
	vcpu_resume(vcpu);
	usleep(20000);
	pause_vcpu(vcpu);
	assert_int_equal(metric_read(&script.runs), 0);
	vcpu_destroy(vcpu);
}

static void test_fatal(void **state)
{
	struct vcpu *vcpu;

	(void)state;
	fake_arch_set_exit_hook(answer_fatal);
	fake_kvm_set_run_hook(run_unknown);
	vcpu = start_vcpu();
	vcpu_resume(vcpu);
	vcpu_wait_paused(vcpu);
	assert_int_equal(fake_arch_dump_count(), 1);
	assert_int_equal(metric_read(&script.runs), 1); /* and not once more */
	assert_int_equal(vm_end(&vm), VM_END_VCPU_FATAL);
	assert_int_equal(vm_exit_status(&vm), 127);
	vcpu_destroy(vcpu);
}

static void test_name_out_of_range(void **state)
{
	struct vcpu *vcpu;

	(void)state;
	fake_arch_set_exit_hook(answer_nonsense);
	fake_kvm_set_run_hook(run_unknown);
	vcpu = start_vcpu();
	vcpu_resume(vcpu);
	vcpu_wait_paused(vcpu);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_OTHER]), 1);
	vcpu_destroy(vcpu);
}

static int run_refused(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)vcpu_id;
	(void)run;
	(void)ret_completes;
	metric_increment(&script.runs);
	return -EFAULT;
}

static void test_kvm_run_fails(void **state)
{
	struct vcpu *vcpu;

	(void)state;
	fake_kvm_set_run_hook(run_refused);
	vcpu = start_vcpu();
	vcpu_resume(vcpu);
	vcpu_wait_paused(vcpu);
	assert_int_equal(metric_read(&script.runs), 1);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_ERROR]), 1);
	assert_int_equal(fake_arch_dump_count(), 1);
	assert_int_equal(vm_end(&vm), VM_END_VCPU_FATAL);
	vcpu_destroy(vcpu);
}

/* --- unplugged memory --- */

#define AREA_GPA (4 * GIB)
#define BLOCK    (2 * MIB)

static bool is_covered(gpa_t gpa)
{
	const struct fake_memslot *slot;

	for (size_t i = 0; (slot = fake_kvm_memslot(i)); i++)
		if (range_contains(slot->gpa, slot->size_bytes, gpa, 1))
			return true;
	return false;
}

/* As KVM: an access to what a slot covers and the host has no memory for; then to a hole. */
static int touch_unplugged(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)vcpu_id;
	(void)ret_completes;
	metric_increment(&script.runs);
	if (is_covered(AREA_GPA + BLOCK)) {
		run->exit_reason = KVM_EXIT_UNKNOWN;
		return -EFAULT;
	}
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = AREA_GPA + BLOCK;
	run->mmio.len = 4;
	run->mmio.is_write = true;
	return 0;
}

static void on_touch(void *ctx, uint64_t offset, const void *data, unsigned int size_bytes)
{
	(void)ctx;
	(void)data;
	(void)size_bytes;
	assert_true(offset == BLOCK);
	metric_increment(&script.writes);
	vm_request_end(&vm, VM_END_POWEROFF, 0);
}

static void set_up_area(struct gmem_area **ret_area)
{
	assert_int_equal(guest_memory_create(&vm.memory, NULL), 0);
	assert_int_equal(gmem_add_area(vm.memory,
	                               &(struct gmem_extent){ AREA_GPA, 64 * BLOCK, BLOCK }, NULL,
	                               ret_area, NULL),
	                 0);
	assert_int_equal(gmem_plug(*ret_area, AREA_GPA, BLOCK), 0);
	assert_int_equal(event_loop_create("io", &vm.io_loop, NULL), 0);
	assert_int_equal(event_loop_create("reclaim", &vm.reclaim_loop, NULL), 0);
	assert_int_equal(memslots_create(&vm, &vm.memslots, NULL), 0);
}

static void tear_down_area(struct gmem_area *area)
{
	memslots_destroy(vm.memslots);
	event_loop_destroy(vm.reclaim_loop);
	event_loop_destroy(vm.io_loop);
	gmem_remove_area(area);
	guest_memory_destroy(vm.memory);
}

static void test_touches_unplugged(void **state)
{
	static const struct bus_ops ops = { .write = on_touch };
	struct gmem_area *area;
	struct vcpu *vcpu;

	(void)state;
	set_up_area(&area);
	assert_int_equal(bus_add(vm.mmio, AREA_GPA, 64 * BLOCK, &ops, NULL, "area"), 0);
	assert_int_equal(memslots_count(vm.memslots, AREA_GPA, 64 * BLOCK), 1);
	fake_kvm_set_run_hook(touch_unplugged);
	assert_int_equal(vcpu_create(&vm, 0, &vcpu, NULL), 0);
	vm.vcpus = &vcpu;
	vm.vcpu_count = 1;
	assert_int_equal(vm_run(&vm), 0);
	assert_int_equal(metric_read(&script.writes), 1);
	assert_int_equal(metric_read(&script.runs), 2);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_MEMORY_FAULT]), 1);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_ERROR]), 0);
	/* What is plugged is still there. */
	assert_true(is_covered(AREA_GPA) && is_covered(AREA_GPA + BLOCK - 1));
	vcpu_destroy(vcpu);
	tear_down_area(area);
}

/* Plugged between the fault and the look: no other cause. The next one is. */
static struct gmem_area *raced;

static int fault_and_plug(unsigned long vcpu_id, struct kvm_run *run, bool *ret_completes)
{
	(void)vcpu_id;
	(void)ret_completes;
	run->exit_reason = KVM_EXIT_UNKNOWN;
	metric_increment(&script.runs);
	if (metric_read(&script.runs) == 1)
		assert_int_equal(gmem_plug(raced, AREA_GPA + BLOCK, 63 * BLOCK), 0);
	return -EFAULT;
}

static void test_fault_races_with_plug(void **state)
{
	struct vcpu *vcpu;

	(void)state;
	set_up_area(&raced);
	fake_kvm_set_run_hook(fault_and_plug);
	assert_int_equal(vcpu_create(&vm, 0, &vcpu, NULL), 0);
	vm.vcpus = &vcpu;
	vm.vcpu_count = 1;
	assert_int_equal(vm_run(&vm), 127);
	assert_int_equal(metric_read(&script.runs), 2);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_MEMORY_FAULT]), 1);
	assert_int_equal(metric_read(&vcpu->exits[VCPU_EXIT_ERROR]), 1);
	vcpu_destroy(vcpu);
	tear_down_area(raced);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_names),
		TEST(test_create_fails),
		TEST(test_never_started),
		TEST(test_start_parked),
		TEST(test_dispatch),
		TEST(test_no_ports),
		TEST(test_pause_busy),
		TEST(test_pause_asleep),
		TEST(test_pause_mixed),
		TEST(test_completes_before_pause),
		TEST(test_idle),
		TEST(test_current),
		TEST(test_resets),
		TEST(test_reset_fails),
		TEST(test_not_in_the_sandbox),
		TEST(test_fatal),
		TEST(test_name_out_of_range),
		TEST(test_kvm_run_fails),
		cmocka_unit_test_setup_teardown(test_touches_unplugged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fault_races_with_plug, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
