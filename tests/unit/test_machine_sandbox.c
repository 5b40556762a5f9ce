/* SPDX-License-Identifier: Apache-2.0 */
/* fakes: fake_kvm fake_arch fake_sandbox fake_reclaim fake_device_table */
/* What a machine gives up and the threads that it makes then, over a sandbox that keeps all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/machine_sandbox.h"
#include "ebb/config.h"
#include "ebb/event_loop.h"
#include "fake_reclaim.h"
#include "fake_sandbox.h"

#define FOLDER_FD 77 /* only handed on */

static struct reclaim reclaim;
static struct vm_config config;
static struct vm vm;
static struct error err;

static int set_up(void **state)
{
	(void)state;
	fake_sandbox_reset();
	memset(&reclaim, 0, sizeof(reclaim));
	memset(&vm, 0, sizeof(vm));
	err = (struct error)ERROR_INIT;
	vm_config_init(&config);
	vm.config = &config;
	vm.reclaim = &reclaim;
	list_init(&vm.devices);
	assert_int_equal(event_loop_create(NULL, &vm.main_loop, NULL), 0);
	assert_int_equal(event_loop_create("io", &vm.io_loop, NULL), 0);
	assert_int_equal(event_loop_create("reclaim", &vm.reclaim_loop, NULL), 0);
	event_loop_hold(vm.io_loop);
	event_loop_hold(vm.reclaim_loop);
	return vm_life_create(&vm, NULL);
}

/* Threads are joined, and so have begun. */
static void end_loops(void)
{
	event_loop_destroy(vm.reclaim_loop);
	event_loop_destroy(vm.io_loop);
	vm.reclaim_loop = vm.io_loop = NULL;
}

static int tear_down(void **state)
{
	(void)state;
	end_loops();
	vm_life_destroy(&vm);
	event_loop_destroy(vm.main_loop);
	return 0;
}

static void all_is_given_up_before_the_threads(void **state)
{
	const unsigned int threads = fake_sandbox_count_threads();

	(void)state;
	assert_int_equal(machine_give_up(&vm, FOLDER_FD, &err), 0);
	assert_true(vm.sandboxed);
	assert_int_equal(fake_sandbox.gave_up, 1);
	assert_int_equal(fake_sandbox.threads, threads);
	assert_null(fake_sandbox.needs.user);
	assert_int_equal(fake_sandbox.needs.capabilities, 0);
	assert_int_equal(fake_sandbox.needs.files, SANDBOX_FILES_REMOVE);
	assert_int_equal(fake_sandbox.needs.folder_fd, FOLDER_FD);
	end_loops();
	assert_int_equal(fake_sandbox.pid, getpid());
	assert_int_equal(fake_sandbox.entered[SANDBOX_IO], 1);
	assert_int_equal(fake_sandbox.entered[SANDBOX_RECLAIM], 1);
	assert_int_equal(fake_sandbox.entered[SANDBOX_MAIN], 0);
	assert_int_equal(vm_end(&vm), VM_END_NONE);
}

static void what_cannot_be_given_up_is_an_error(void **state)
{
	const unsigned int threads = fake_sandbox_count_threads();

	(void)state;
	fake_sandbox.fail_with = -EINVAL;
	assert_int_equal(machine_give_up(&vm, FOLDER_FD, &err), -EINVAL);
	assert_string_equal(err.message, "nothing is given up");
	assert_false(vm.sandboxed);
	assert_int_equal(fake_sandbox_count_threads(), threads);
}

static void a_thread_that_does_not_get_in_ends_the_vm(void **state)
{
	(void)state;
	fake_sandbox.enter_fails_with = -ENOMEM;
	assert_int_equal(machine_give_up(&vm, FOLDER_FD, &err), 0);
	end_loops();
	assert_int_equal(vm_end(&vm), VM_END_HOST_FAILURE);
}

static void without_it_nothing_is_given_up(void **state)
{
	(void)state;
	config.sandbox = false;
	assert_int_equal(machine_give_up(&vm, -1, &err), 0);
	assert_false(vm.sandboxed);
	assert_int_equal(fake_sandbox.gave_up, 0);
}

static void locked_memory_can_still_be_plugged(void **state)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit limit = { 4096, RLIM_INFINITY };

	(void)state;
	if (setrlimit(RLIMIT_MEMLOCK, &none))
		skip(); /* whom the host does not let lift it */
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	config.memory.backing.lock = true;
	assert_int_equal(machine_give_up(&vm, FOLDER_FD, &err), 0);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	assert_true(limit.rlim_cur == RLIM_INFINITY);
}

static void root_alone_becomes_another_user(void **state)
{
	struct sandbox_user room;

	(void)state;
	assert_int_equal(machine_find_user(&vm, &room, &err), 0);
	assert_null(vm.user);
	config.user_name = "someone";
	if (geteuid() != 0) {
		assert_int_equal(machine_find_user(&vm, &room, &err), -EPERM);
		return;
	}
	assert_int_equal(machine_find_user(&vm, &room, &err), 0);
	assert_ptr_equal(vm.user, &room);
	assert_int_equal(machine_give_up(&vm, FOLDER_FD, &err), 0);
	assert_ptr_equal(fake_sandbox.needs.user, &room);
	config.user_name = "nobody-of-that-name";
	assert_int_equal(machine_find_user(&vm, &room, &err), -EINVAL);
	assert_string_equal(err.message, "--user: nobody-of-that-name: no user");
}

static void a_trace_begins_where_one_is_asked_for(void **state)
{
	(void)state;
	assert_int_equal(machine_give_up(&vm, FOLDER_FD, &err), 0);
	assert_int_equal(machine_start_trace(&vm, &err), 0);
	assert_false(reclaim.trace_started);
	config.trace_reclaim_path = "/the/trace";
	config.trace_reclaim_limit_bytes = MIB;
	assert_int_equal(machine_start_trace(&vm, &err), 0);
	assert_true(reclaim.trace_started);
	assert_int_equal(reclaim.trace_limit_bytes, MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(all_is_given_up_before_the_threads),
		TEST(what_cannot_be_given_up_is_an_error),
		TEST(a_thread_that_does_not_get_in_ends_the_vm),
		TEST(without_it_nothing_is_given_up),
		TEST(locked_memory_can_still_be_plugged),
		TEST(root_alone_becomes_another_user),
		TEST(a_trace_begins_where_one_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
