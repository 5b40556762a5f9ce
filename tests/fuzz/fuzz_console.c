/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-console under a driver that does anything, while somebody types. */
/* fakes: fake_virtio_driver hostile_chains test_driver fuzz_driver fake_vm fake_console */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "fake_console.h"
#include "fuzz_driver.h"

#define RAM_BYTES (1 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct target {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fuzz_driver fuzz;
};

static void host_event(void *ctx, struct fuzz_input *input)
{
	struct target *target = ctx;
	uint8_t size_bytes = fuzz_u8(input);
	char text[UINT8_MAX];

	memset(text, 'x', sizeof(text));
	fake_console_type(text, size_bytes);
	fake_console.is_slow = size_bytes & 2;
	fake_console_make_room(size_bytes);
	if (size_bytes & 1) {
		fake_console.columns = fuzz_u8(input);
		console_resized(target->vm.console);
	}
}

static struct target *create(void)
{
	struct target *target = calloc(1, sizeof(*target));
	struct fake_driver driver;

	assert(target);
	fake_console_clear();
	target->vm_config.console = CONSOLE_VIRTIO;
	fake_driver_vm_create(&target->vm, &target->vm_config, RAM_BYTES);
	target->config.class = &virtio_console_class;
	if (console_create(NULL, NULL, NULL, NULL, &target->vm.console, NULL) ||
	    virtio_console_class.create(&target->vm, &target->config, &target->device, NULL))
		abort();
	fake_driver_init(&driver, &target->vm, target->device,
	                 RAM_BYTES - FAKE_DRIVER_QUEUES_MAX * FAKE_DRIVER_RING_BYTES);
	target->fuzz = fuzz_driver_of(&driver, RAM_BYTES, 2, host_event, target);
	return target;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct target *target;

	if (!target)
		target = create();
	fuzz_driver_run(&target->fuzz, data, size_bytes);
	/* The next input finds memory as this one did. */
	memset(gmem_span(target->vm.memory, 0, RAM_BYTES), 0, RAM_BYTES);
	return 0;
}
