/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: client_fixture client_runner control_server control_guest user_folder fake_vm */
/* fakes: fake_balloon fake_reclaim fake_kvm fake_arch fake_device_table */
/* `ebb mem`: what it lists, what it asks for, what it refuses, how its waiting ends. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_fixture.h"

#define USAGE "(usage: ebb mem NAME [DEVICE [SIZE [--wait[=SECONDS]]]])"

static struct memory_device_status *vm0, *vm1;

static void add_devices(void *ctx)
{
	(void)ctx;
	control_guest_add_memory(&server.guest, "vm0");
	control_guest_add_memory(&server.guest, "vm1");
	vm0 = &server.guest.memory_devices[0].status;
	vm1 = &server.guest.memory_devices[1].status;
	vm0->plugged_bytes = 80 * MIB;
	vm0->requested_bytes = vm0->usable_bytes = GIB;
	vm0->slots = 1;
	vm1->driver_ready = false;
}

static int set_up_devices(void **state)
{
	set_up(state);
	control_server_call(&server, add_devices, NULL);
	return 0;
}

static void devices_are_listed(void **state)
{
	(void)state;
	client_run(&run, &client_mem_command, "guest", NULL);
	assert_string_equal(run.err.message, "");
	assert_int_equal(run.status, 0);
	assert_string_equal(
		run.output,
		"DEVICE       NODE      PLUGGED   REQUESTED        SIZE       BLOCK  DRIVER\n"
		"vm0             0     80.0 MiB     1.0 GiB     8.0 GiB     2.0 MiB  ready\n"
		"vm1             1          0 B         0 B     8.0 GiB     2.0 MiB  none\n");
}

static void one_is_shown(void **state)
{
	(void)state;
	client_run(&run, &client_mem_command, "guest vm0", NULL);
	assert_int_equal(run.status, 0);
	assert_string_equal(
		run.output,
		"vm0: 80.0 MiB of 1.0 GiB asked for\n"
		"          8.0 GiB at 0x100000000, node 0, 1.0 GiB usable, blocks of 2.0 MiB, 1 "
		"memory slot\n");
	vm1->answers[MEMORY_DEVICE_PLUG][MEMORY_DEVICE_ACK] = 3;
	vm1->answers[MEMORY_DEVICE_PLUG][MEMORY_DEVICE_BUSY] = 2;
	vm1->answers[MEMORY_DEVICE_UNPLUG_ALL][MEMORY_DEVICE_ACK] = 1;
	vm1->touches = 4;
	vm1->touched_block = 9;
	vm1->touched_vcpu = 1;
	client_run(&run, &client_mem_command, "guest vm1", NULL);
	assert_string_equal(
		run.output,
		"vm1: 0 B of 0 B asked for; no driver in the guest\n"
		"          8.0 GiB at 0x200000000, node 1, 0 B usable, blocks of 2.0 MiB, 0 "
		"memory slots\n"
		"          the driver's requests: plug ack 3 busy 2, unplug_all ack 1\n"
		"          4 accesses of blocks that are not plugged, the last of block 9 by "
		"vcpu1\n");
}

static void sizes_are_asked_for(void **state)
{
	static const struct {
		const char *words;
		uint64_t requested_bytes;
	} rows[] = {
		{ "guest vm1 2G", 2 * GIB },    { "guest vm1 64", 64 * MIB },
		{ "guest vm1 8GiB", 8 * GIB },  { "guest vm1 0", 0 },
		{ "guest vm1 6144K", 6 * MIB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		client_run(&run, &client_mem_command, rows[i].words, NULL);
		assert_string_equal(run.err.message, "");
		assert_int_equal(run.status, 0);
		assert_string_equal(run.output, "");
		assert_int_equal(vm1->requested_bytes, rows[i].requested_bytes);
	}
	assert_int_equal(vm0->requested_bytes, GIB);
}

static void what_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *words, *message;
		int status;
	} rows[] = {
		{ "", "mem: something is missing " USAGE, EXIT_STATUS_USAGE },
		{ "guest vm0 1G 2G", "2G: one word too many " USAGE, EXIT_STATUS_USAGE },
		{ "guest --wait", "mem: --wait goes with a SIZE " USAGE, EXIT_STATUS_USAGE },
		{ "guest vm0 --wait", "mem: --wait goes with a SIZE " USAGE, EXIT_STATUS_USAGE },
		{ "guest vm0 1G --wait=0", "--wait=0: not a time (give seconds above 0)",
		  EXIT_STATUS_USAGE },
		{ "guest vm0 lots",
		  "mem vm0 lots: not a size (give SIZE, such as 2G; a bare number is MiB)",
		  EXIT_STATUS_USAGE },
		{ "guest vm0 99999999T", "mem vm0 99999999T: more than any guest has",
		  EXIT_STATUS_USAGE },
		{ "guest vm0 3M",
		  "guest: mem vm0 3M: not a multiple of its block size, 2M (give 2M or 4M)",
		  EXIT_STATUS_USAGE },
		{ "guest vm0 1K",
		  "guest: mem vm0 1K: not a multiple of its block size, 2M (give 0 or 2M)",
		  EXIT_STATUS_USAGE },
		{ "guest vm0 8193", "guest: mem vm0 8193: above the device's size (give up to 8G)",
		  EXIT_STATUS_USAGE },
		{ "guest vmO 1G",
		  "guest: mem vmO: no such memory device (did you mean vm0? there is: vm0, vm1)",
		  EXIT_STATUS_USAGE },
		{ "guest dimm-seventeen",
		  "guest: mem dimm-seventeen: no such memory device (there is: vm0, vm1)",
		  EXIT_STATUS_USAGE },
		{ "gast vm0 1G", "gast: no such guest is running (running: guest)",
		  EXIT_STATUS_FAILURE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		client_run(&run, &client_mem_command, rows[i].words, NULL);
		assert_string_equal(run.err.message, rows[i].message);
		assert_int_equal(run.status, rows[i].status);
		assert_string_equal(run.output, "");
	}
	assert_int_equal(vm0->requested_bytes, GIB);
}

static void a_guest_without_devices_says_so(void **state)
{
	(void)state;
	server.guest.memory_device_count = 0;
	for (int i = 0; i < 2; i++) {
		client_run(&run, &client_mem_command, i ? "guest vm0 1G" : "guest", NULL);
		assert_int_equal(run.status, EXIT_STATUS_REFUSED);
		assert_string_equal(run.err.message,
		                    "guest: mem: this guest has no memory devices (give ebb run "
		                    "one, such as --virtio-mem id=vm0,size=8G)");
	}
}

static void add_block(void *ctx)
{
	bool *done = ctx;

	*done = vm0->plugged_bytes == vm0->requested_bytes;
	if (vm0->plugged_bytes < vm0->requested_bytes)
		vm0->plugged_bytes += vm0->block_bytes;
	else if (!*done)
		vm0->plugged_bytes -= vm0->block_bytes;
	fake_vm_tell(VM_EVENT_MEMORY_DEVICE_SIZE_CHANGE, 0);
}

/* A driver that does what it is asked, a block every millisecond. */
static void *drive(void *ctx)
{
	bool done = false;

	while (!done) {
		usleep(1000);
		control_server_call(&server, add_block, &done);
	}
	return ctx;
}

static void waiting_ends_when_the_size_is_reached(void **state)
{
	static const char *const words[] = { "guest vm0 100M --wait", "guest vm0 40M --wait" };
	pthread_t thread;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		vm0->requested_bytes = i ? 40 * MIB : 100 * MIB;
		assert_int_equal(pthread_create(&thread, NULL, drive, NULL), 0);
		client_run(&run, &client_mem_command, words[i], NULL);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_string_equal(run.err.message, "");
		assert_int_equal(run.status, 0);
		assert_int_equal(vm0->plugged_bytes, i ? 40 * MIB : 100 * MIB);
		assert_string_equal(run.output, ""); /* stdout is no terminal here */
	}
}

static void a_terminal_shows_how_far_it_is(void **state)
{
	(void)state;
	client_run_on_terminal(&run, &client_mem_command, "guest vm0 2G --wait=0.05");
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_non_null(strstr(run.output, "\r[........................................] "
	                                   "80.0 MiB of 2.0 GiB\033[K"));
	/* From where it is to where it shall be; there already. */
	client_run_on_terminal(&run, &client_mem_command, "guest vm0 80M --wait");
	assert_int_equal(run.status, 0);
	assert_string_equal(run.output, "\r[########################################] "
	                                "80.0 MiB of 80.0 MiB\033[K\r\n");
}

static void a_guest_that_stops_short_is_told_of(void **state)
{
	(void)state;
	client_run(&run, &client_mem_command, "guest vm0 2G --wait=0.05", NULL);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_string_equal(
		run.err.message,
		"guest: mem vm0: still at 80.0 MiB of 2.0 GiB after 0.05 s without progress (the "
		"guest asks for no more; does it put to use what it gets, as with "
		"memhp_default_state=online on its command line?)");
	assert_int_equal(vm0->requested_bytes, 2 * GIB); /* it stands */
	client_run(&run, &client_mem_command, "guest vm0 0 --wait=0.05", NULL);
	assert_string_equal(
		run.err.message,
		"guest: mem vm0: still at 80.0 MiB of 0 B after 0.05 s without progress (the guest "
		"cannot free more of it: it uses it, or something that cannot be moved lies "
		"there)");
	client_run(&run, &client_mem_command, "guest vm1 2M --wait=0.05", NULL);
	assert_string_equal(
		run.err.message,
		"guest: mem vm1: still at 0 B of 2.0 MiB after 0.05 s without progress (the guest "
		"has no driver for it; Linux has one from 5.16 on)");
}

static void ask_for_another(void *ctx)
{
	(void)ctx;
	vm0->requested_bytes = 4 * MIB;
	fake_vm_tell(VM_EVENT_STOP, 0);
}

static void *interfere(void *ctx)
{
	usleep(50000);
	control_server_call(&server, ask_for_another, NULL);
	return ctx;
}

static void another_request_ends_the_waiting(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, interfere, NULL), 0);
	client_run(&run, &client_mem_command, "guest vm0 2G --wait", NULL);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(run.status, EXIT_STATUS_REFUSED);
	assert_string_equal(run.err.message, "guest: mem vm0: somebody asks for another size "
	                                     "meanwhile, 4.0 MiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_devices, tear_down)
		TEST(devices_are_listed),
		TEST(one_is_shown),
		TEST(sizes_are_asked_for),
		TEST(what_cannot_be_is_refused),
		TEST(a_guest_without_devices_says_so),
		TEST(waiting_ends_when_the_size_is_reached),
		TEST(a_terminal_shows_how_far_it_is),
		TEST(a_guest_that_stops_short_is_told_of),
		TEST(another_request_ends_the_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
