/* SPDX-License-Identifier: Apache-2.0 */
/* Set-up and teardown of a whole machine, stopped after every step, with every KVM request failing
 * and with every other call of the host's. */
/* fakes: failures fake_kvm fake_host fake_sandbox user_folder */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ebb/device.h"
#include "ebb/machine.h"
#include "failures.h"
#include "fake_host.h"
#include "fake_kvm.h"
#include "fake_sandbox.h"
#include "user_folder.h"

/* The machine that `ebb run --name test` makes: every device that is on by default. */
static void default_config(struct vm_config *config)
{
	const struct device_class *const *classes;
	size_t class_count;

	memset(config, 0, sizeof(*config));
	strcpy(config->name, "test");
	config->params = "";
	config->memory.size_bytes = 64 * MIB;
	config->memory.backing.thp = true;
	config->cpu_count = 2;
	config->log_level = LOG_ERROR;
	config->timeout_ns = NS_PER_S;
	config->expect_pattern = "login:";
	classes = device_classes(&class_count);
	for (size_t i = 0; i < class_count; i++)
		if (classes[i]->option && classes[i]->on_by_default)
			device_config_init(&config->devices[config->device_count++],
			                   classes[i]->name);
	assert_true(config->device_count >= 2);
}

static void fresh_kvm(void)
{
	fake_kvm_reset();
	fake_host();
}

static void assert_built(const struct vm_config *config, size_t step_count)
{
	struct error err = ERROR_INIT;

	if (machine_try_steps(config, step_count, &err))
		fail_msg("%zu steps: %s", step_count, err.message);
}

static void test_stops_after_every_step(void **state)
{
	struct vm_config config;
	unsigned int fds = open_fd_count();

	(void)state;
	default_config(&config);
	assert_true(machine_step_count() > 10);
	for (size_t steps = 0; steps <= machine_step_count(); steps++) {
		fresh_kvm();
		assert_built(&config, steps);
		assert_int_equal(fake_kvm_open_objects(), 0);
		assert_int_equal(open_fd_count(), fds);
	}
}

static void test_mmio_machine_stops_after_every_step(void **state)
{
	struct vm_config config;
	unsigned int fds = open_fd_count();

	(void)state;
	default_config(&config);
	config.transport = TRANSPORT_MMIO;
	config.test_devices = true;
	for (size_t steps = 0; steps <= machine_step_count(); steps++) {
		fresh_kvm();
		assert_built(&config, steps);
		assert_int_equal(open_fd_count(), fds);
	}
}

static void test_every_kvm_request_fails_once(void **state)
{
	struct vm_config config;
	unsigned int fds = open_fd_count();
	unsigned int failed_starts = 0;

	(void)state;
	default_config(&config);
	for (unsigned int n = 0; n < 1000; n++) {
		struct error err = ERROR_INIT;
		int result;

		fresh_kvm();
		fake_kvm_fail_nth(n, -EIO);
		result = machine_try_steps(&config, machine_step_count(), &err);
		if (result < 0) {
			failed_starts++;
			assert_true(fake_kvm_has_failed());
			assert_string_not_equal(err.message, "");
		}
		assert_int_equal(fake_kvm_open_objects(), 0);
		assert_int_equal(open_fd_count(), fds);
		if (!fake_kvm_has_failed()) {
			assert_int_equal(result, 0);
			assert_true(failed_starts >= 5);
			return;
		}
	}
	fail_msg("set-up makes more KVM requests than this test expected");
}

static int raise_sigterm(enum fake_kvm_scope scope, unsigned long vcpu_id, unsigned long request,
                         void *arg)
{
	(void)scope;
	(void)vcpu_id;
	(void)request;
	(void)arg;
	raise(SIGTERM);
	return -EIO;
}

/* A second Ctrl-C, or one that meets a failing start: teardown runs to its end all the same. */
static void test_a_late_signal_does_not_cut_teardown_short(void **state)
{
	struct vm_config config;
	struct error err = ERROR_INIT;
	int status;
	pid_t pid;

	(void)state;
	default_config(&config);
	fresh_kvm();
	fake_kvm_set_ioctl_hook(raise_sigterm);
	pid = fork();
	if (pid == 0)
		_exit(machine_try_steps(&config, machine_step_count(), &err) == -EIO ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* One vCPU does not ask: any KVM has that. */
static void test_more_cpus_than_the_host_has(void **state)
{
	struct vm_config config;
	struct error err = ERROR_INIT;

	(void)state;
	default_config(&config);
	fresh_kvm();
	fake_kvm_set_extension(KVM_CAP_MAX_VCPUS, 2);
	assert_built(&config, machine_step_count());
	config.cpu_count = 3;
	assert_int_equal(machine_try_steps(&config, machine_step_count(), &err), -EINVAL);
	assert_string_equal(err.message, "--cpus 3: this host's KVM gives a guest at most 2");
}

/* Up to and including the last step, and down again. */
static int build_all(void *ctx, struct error *err)
{
	int ret;

	fresh_kvm();
	ret = machine_try_steps(ctx, machine_step_count(), err);
	assert_int_equal(fake_kvm_open_objects(), 0);
	return ret;
}

/* The host refuses one call, whichever: memory, a descriptor, a mapping, a thread. */
static void test_every_call_of_the_host_fails_once(void **state)
{
	struct vm_config config;

	(void)state;
	default_config(&config);
	assert_true(failures_run(build_all, NULL, &config) > 50);
	/* With every legacy device, on the machines that have some. */
	config.transport = TRANSPORT_MMIO;
	config.test_devices = true;
	config.memory.backing = (struct gmem_backing){ .kind = GMEM_MEMFD };
	assert_true(failures_run(build_all, NULL, &config) > 50);
}

static void test_an_error_leaves_nothing(void **state)
{
	struct vm_config config;
	struct error err = ERROR_INIT;
	unsigned int fds = open_fd_count();

	(void)state;
	fresh_kvm();
	default_config(&config);
	config.kernel_path = "/nonexistent/kernel";
	assert_int_equal(machine_run(&config, &err), -EINVAL);
	assert_non_null(strstr(err.message, "/nonexistent/kernel"));
	assert_int_equal(fake_kvm_open_objects(), 0);
	assert_int_equal(open_fd_count(), fds);
}

static void test_the_sandbox_comes_before_any_thread(void **state)
{
	struct vm_config config;
	struct error err = ERROR_INIT;
	unsigned int fds = open_fd_count(), threads;

	(void)state;
	default_config(&config);
	config.sandbox = true;
	fake_sandbox_reset();
	fresh_kvm();
	threads = fake_sandbox_count_threads(); /* 1, but for an emulator's own */
	assert_built(&config, machine_step_count());
	assert_int_equal(fake_sandbox.gave_up, 1);
	assert_int_equal(fake_sandbox.threads, threads);
	assert_null(fake_sandbox.needs.user);
	assert_int_equal(fake_sandbox.needs.capabilities, 0);
	assert_int_equal(fake_sandbox.needs.files, SANDBOX_FILES_REMOVE);
	assert_true(fake_sandbox.needs.folder_fd >= 0);
	/* Joined by now, so they have been through it: this thread and the vCPUs' do so in vm_run. */
	assert_int_equal(fake_sandbox.entered[SANDBOX_IO], 1);
	assert_int_equal(fake_sandbox.entered[SANDBOX_RECLAIM], 1);
	assert_int_equal(fake_sandbox.entered[SANDBOX_MAIN], 0);
	assert_int_equal(open_fd_count(), fds);

	fake_sandbox.fail_with = -EINVAL;
	fresh_kvm();
	assert_int_equal(machine_try_steps(&config, machine_step_count(), &err), -EINVAL);
	assert_string_equal(err.message, "nothing is given up");
	assert_int_equal(open_fd_count(), fds);
	assert_int_equal(fake_kvm_open_objects(), 0);

	config.sandbox = false;
	fake_sandbox_reset();
	fresh_kvm();
	assert_built(&config, machine_step_count());
	assert_int_equal(fake_sandbox.gave_up, 0);
	assert_int_equal(fake_sandbox.entered[SANDBOX_IO], 0);
}

static void test_only_root_becomes_another_user(void **state)
{
	struct vm_config config;
	struct error err = ERROR_INIT;

	(void)state;
	default_config(&config);
	config.sandbox = true;
	config.user_name = "someone";
	fake_sandbox_reset();
	fresh_kvm();
	if (geteuid() != 0) {
		assert_int_equal(machine_try_steps(&config, 1, &err), -EPERM);
		return;
	}
	assert_built(&config, machine_step_count());
	assert_non_null(fake_sandbox.needs.user);
	config.user_name = "nobody-of-that-name";
	assert_int_equal(machine_try_steps(&config, 1, &err), -EINVAL);
	assert_string_equal(err.message, "--user: nobody-of-that-name: no user");
}

static int set_up(void **state)
{
	(void)state;
	user_folder_enter();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	user_folder_leave();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stops_after_every_step),
		cmocka_unit_test(test_mmio_machine_stops_after_every_step),
		cmocka_unit_test(test_every_kvm_request_fails_once),
		cmocka_unit_test(test_every_call_of_the_host_fails_once),
		cmocka_unit_test(test_a_late_signal_does_not_cut_teardown_short),
		cmocka_unit_test(test_more_cpus_than_the_host_has),
		cmocka_unit_test(test_an_error_leaves_nothing),
		cmocka_unit_test(test_the_sandbox_comes_before_any_thread),
		cmocka_unit_test(test_only_root_becomes_another_user),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
