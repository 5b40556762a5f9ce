/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-9p under a driver that does anything, with a file server that answers, is silent, says
 * what nobody asked for, or ends, while memory goes and comes. */
/* fakes: fuzz_driver fake_share_server fake_virtio_driver hostile_chains test_driver fake_vm */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "fake_share_server.h"
#include "fuzz_driver.h"

#define RAM_BYTES     (1 * MIB)
#define PLUGGED_BYTES (256 * KIB) /* behind that, now and then */
#define RINGS_GPA     (512 * KIB)
#define REPLY_BYTES   8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct target {
	struct vm_config vm_config;
	struct vm vm;
	struct device_config config;
	struct device *device;
	struct fuzz_driver fuzz;
	unsigned int asked; /* requests that have no reply yet */
	bool plugged;
};

static void plug(struct target *target, bool plugged)
{
	struct guest_memory *memory = target->vm.memory;

	if (plugged == target->plugged)
		return;
	target->plugged = plugged;
	if (plugged ? gmem_add_region(memory, RAM_BYTES, PLUGGED_BYTES, NULL, NULL)
	            : gmem_remove_region(memory, RAM_BYTES))
		abort();
}

static void server_event(void *ctx, struct fuzz_input *input)
{
	static uint8_t request[SHARE_MESSAGE_MAX_BYTES + 1], reply[REPLY_BYTES];
	struct target *target = ctx;
	uint8_t what = fuzz_u8(input);
	size_t got;

	if (what >= 250 && what <= 253)
		plug(target, what & 1);
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
	struct fake_driver driver;

	assert(target);
	fake_share_server_clear();
	fake_driver_vm_create(&target->vm, &target->vm_config, RAM_BYTES);
	plug(target, true);
	device_config_init(&target->config, "virtio-9p");
	device_config_set_string(&target->config, "path", "/");
	if (virtio_9p_class.create(&target->vm, &target->config, &target->device, NULL))
		abort();
	fake_driver_init(&driver, &target->vm, target->device, RINGS_GPA);
	target->fuzz = fuzz_driver_of(&driver, RAM_BYTES + PLUGGED_BYTES, 1, server_event, target);
	return target;
}

static void destroy(struct target *target)
{
	virtio_9p_class.destroy(target->device);
	fake_driver_vm_destroy(&target->vm);
	free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	struct target *target = create();

	fuzz_driver_run(&target->fuzz, data, size_bytes);
	destroy(target);
	return 0;
}
