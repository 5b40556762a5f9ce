/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon and the reclaim engine behind it, under a driver that does anything. What is
 * checked beside the sanitizers: the account adds up, and nothing outside RAM is released. */
/* fakes: fake_virtio_driver hostile_chains test_driver fuzz_driver fake_vm */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "ebb/balloon.h"
#include "ebb/reclaim.h"
#include "fuzz_driver.h"

#define RAM_BYTES (4 * MIB)

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
	struct balloon_status status;

	(void)!balloon_set_target(target->vm.balloon, (uint64_t)fuzz_u16(input) * 64, NULL);
	(void)!balloon_set_stats_interval(target->vm.balloon, fuzz_u8(input) & 1 ? 3600 : 0, NULL);
	balloon_query(target->vm.balloon, &status);
	assert(status.actual_bytes <= RAM_BYTES && status.target_bytes <= RAM_BYTES);
}

static struct target *create(void)
{
	struct target *target = calloc(1, sizeof(*target));
	int failed;

	target->vm.config = &target->vm_config;
	failed = guest_memory_create(&target->vm.memory, NULL) ||
	         gmem_add_region(target->vm.memory, 0, RAM_BYTES, &(struct gmem_backing){ .thp = true }, NULL) ||
	         reclaim_create(target->vm.memory, &target->vm.reclaim, NULL) ||
	         event_loop_create("reclaim", &target->vm.reclaim_loop, NULL);
	target->config.class = &virtio_balloon_class;
	failed = failed ||
	         virtio_balloon_class.create(&target->vm, &target->config, &target->device, NULL);
	assert(!failed);
	(void)failed;
	fake_driver_init(&target->fuzz.driver, &target->vm, target->device,
	                 RAM_BYTES - FAKE_DRIVER_QUEUES_MAX * FAKE_DRIVER_RING_BYTES);
	target->fuzz.ram_bytes = RAM_BYTES;
	target->fuzz.queue_count = 4;
	target->fuzz.event = host_event;
	target->fuzz.ctx = target;
	return target;
}

static void check_account(struct target *target)
{
	struct reclaim_stats stats;

	reclaim_query(target->vm.reclaim, &stats);
	for (size_t i = 0; i < RECLAIM_SOURCE_COUNT; i++) {
		const struct reclaim_source_stats *source = &stats.sources[i];

		assert(source->bytes_in ==
		       source->bytes_released + source->bytes_absent + source->bytes_refused);
		assert(source->errors == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
	static struct target *target;

	if (!target)
		target = create();
	fuzz_driver_run(&target->fuzz, data, size_bytes);
	check_account(target);
	/* The next input finds memory as this one did. */
	if (reclaim_release_all(target->vm.reclaim, RECLAIM_RESET))
		abort();
	return 0;
}
