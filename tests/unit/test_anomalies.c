/* SPDX-License-Identifier: Apache-2.0 */
/* The host refuses one call of set-up, whichever: memory, a descriptor, a mapping, a thread. The
 * machine is not built, says why, and leaves nothing; the refusals of KVM are test_machine's. */
/* fakes: failures fake_kvm fake_host user_folder */
/* wraps: malloc calloc realloc reallocarray strdup mmap pthread_create */
/* wraps: open socket bind listen eventfd epoll_create1 epoll_ctl signalfd memfd_create */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ebb/device.h"
#include "ebb/machine.h"
#include "failures.h"
#include "fake_host.h"
#include "fake_kvm.h"
#include "user_folder.h"

static struct vm_config config;

/* As `ebb run --name test --timeout 1 --expect login:`. */
static int set_up(void **state)
{
	const struct device_class *const *classes;
	size_t class_count;

	(void)state;
	user_folder_enter();
	memset(&config, 0, sizeof(config));
	strcpy(config.name, "test");
	config.params = "";
	config.memory.size_bytes = 64 * MIB;
	config.cpu_count = 2;
	config.log_level = LOG_ERROR;
	config.timeout_ns = NS_PER_S;
	config.expect_pattern = "login:";
	classes = device_classes(&class_count);
	for (size_t i = 0; i < class_count; i++)
		if (classes[i]->option && classes[i]->on_by_default)
			device_config_init(&config.devices[config.device_count++],
			                   classes[i]->name);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	user_folder_leave();
	return 0;
}

/* Up to and including its last step, and down again. */
static int build(void *ctx, struct error *err)
{
	int ret;

	(void)ctx;
	fake_kvm_reset();
	fake_host();
	ret = machine_try_steps(&config, machine_step_count(), err);
	assert_int_equal(fake_kvm_open_objects(), 0);
	return ret;
}

static void test_pci_machine(void **state)
{
	(void)state;
	assert_true(failures_run(build, NULL, NULL) > 50);
}

/* With every legacy device, on the machines that have some. */
static void test_mmio_machine(void **state)
{
	(void)state;
	config.transport = TRANSPORT_MMIO;
	config.test_devices = true;
	config.memory.backing.kind = GMEM_MEMFD;
	assert_true(failures_run(build, NULL, NULL) > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pci_machine, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_mmio_machine, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
