/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-9p under a driver that does anything, with a file server that answers, is silent, says
 * what nobody asked for, or ends. */
/* fakes: fuzz_driver fake_share_server fake_virtio_driver hostile_chains test_driver fake_vm */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "fake_share_server.h"
#include "fuzz_driver.h"

#define RAM_BYTES   (1 * MIB)
#define RINGS_GPA   (512 * KIB)
#define REPLY_BYTES 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct target {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fuzz_driver fuzz;
	unsigned int asked; /* requests that have no reply yet */
};

static void server_event(void *ctx, struct fuzz_input *input)
{
	static uint8_t request[SHARE_MESSAGE_MAX_BYTES + 1], reply[REPLY_BYTES];
	struct target *target = ctx;
	uint8_t what = fuzz_u8(input);
	size_t got;

	if (fake_share_server.fd < 0)
		return;
	while ((got = fake_share_receive(request, sizeof(request)))) {
		assert(got >= 7 && got <= SHARE_MESSAGE_MAX_BYTES);
		target->asked++;
	}
	if (what == 255) {
		fake_share_end();
	} else if (what == 254 || (what < 200 && target->asked)) {
		fake_share_reply(reply, fuzz_u16(input) % REPLY_BYTES + 1u);
		target->asked -= !!target->asked;
	}
	fake_driver_settle(&target->fuzz.driver);
}

static struct target *create(void)
{
	struct target *target = calloc(1, sizeof(*target));
	struct fuzz_driver *fuzz;

	assert(target);
	fake_transport_clear();
	fake_share_server_clear();
	target->vm.config = &target->vm_config;
	list_init(&target->vm.devices);
	if (guest_memory_create(&target->vm.memory, NULL) ||
	    gmem_add_region(target->vm.memory, 0, RAM_BYTES, false, NULL) ||
	    event_loop_create("io", &target->vm.io_loop, NULL))
		abort();
	device_config_init(&target->config, "virtio-9p");
	device_config_set_string(&target->config, "path", "/");
	if (virtio_9p_class.create(&target->vm, &target->config, &target->device, NULL))
		abort();
	fuzz = &target->fuzz;
	fake_driver_init(&fuzz->driver, &target->vm, target->device, RINGS_GPA);
	fuzz->ram_bytes = RAM_BYTES;
	fuzz->queue_count = 1;
	fuzz->event = server_event;
	fuzz->ctx = target;
	return target;
}

static void destroy(struct target *target)
{
	virtio_9p_class.destroy(target->device);
	event_loop_destroy(target->vm.io_loop);
	guest_memory_destroy(target->vm.memory);
	free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct target *target = create();

	fuzz_driver_run(&target->fuzz, data, size_bytes);
	destroy(target);
	return 0;
}
