/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-balloon and the reclaim engine behind it, under a driver that does anything. What is
 * checked beside the sanitizers: the account adds up, and nothing outside RAM is released. */
/* fakes: fake_virtio_driver hostile_chains test_driver fuzz_driver fake_vm */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../devices/device_table.h"
#include "ebb/balloon.h"
#include "ebb/bytes.h"
#include "ebb/reclaim.h"
#include "fake_vm.h"
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

#define COMMAND_GPA (2 * MIB)

/* A driver that says the command id that it is shown, on a queue that may be the one for it. */
static void say_command_id(struct target *target, unsigned int queue_index, uint32_t command_id)
{
	const struct fake_driver_buffer buffer = { COMMAND_GPA, 4, false };
	uint8_t bytes[4];

	store_le32(bytes, command_id);
	if (target->fuzz.driver.queues[queue_index].size &&
	    gmem_write(target->vm.memory, COMMAND_GPA, bytes, sizeof(bytes)) == 0)
		fake_driver_add(&target->fuzz.driver, queue_index, &buffer, 1);
}

static void hint_event(struct target *target, struct fuzz_input *input)
{
	uint8_t shape = fuzz_u8(input);
	struct balloon_status status;

	if (shape & 1)
		(void)!balloon_hint_start(target->vm.balloon, NULL);
	balloon_query(target->vm.balloon, &status);
	if (shape & 2)
		say_command_id(target, 2 + (shape >> 6 & 1), status.hint.command_id);
	if (shape & 4)
		fake_vm_run_quiet();
	if (shape & 8)
		say_command_id(target, 2 + (shape >> 6 & 1), 0);
	if (shape & 16)
		balloon_hint_stop(target->vm.balloon);
	balloon_query(target->vm.balloon, &status);
	assert(status.hint.hinted_bytes <= RAM_BYTES);
	assert(status.hint.touched_bytes + status.hint.kept_bytes + status.hint.zero_bytes <=
	       status.hint.hinted_bytes);
}

/* What a user does beside setting a target, by the bits of one byte. */
static void user_event(struct target *target, uint8_t bits)
{
	struct balloon *balloon = target->vm.balloon;
	struct balloon_run_status run;
	uint64_t serial;

	(void)!balloon_set_stats_interval(balloon, bits & 1 ? 3600 : 0, NULL);
	if (bits & 2)
		(void)!balloon_run_start(balloon, (uint64_t)bits * 16 * KIB, &serial, NULL);
	balloon_run_query(balloon, &run);
	if (bits & 4)
		balloon_run_cancel(balloon, run.serial);
	assert(run.taken_bytes <= RAM_BYTES && run.keep_bytes <= RAM_BYTES);
	if (bits & 8)
		balloon_set_reporting(balloon,
		                      &(struct balloon_reporting){ bits & 16, bits & 32 ? MIB : 0,
		                                                   bits & 64 ? MIB : 0 });
	if (bits & 128)
		balloon_set_release(balloon, &(struct balloon_release){ bits & 16, NS_PER_MS });
}

static void host_event(void *ctx, struct fuzz_input *input)
{
	struct target *target = ctx;
	struct balloon_status status;

	(void)!balloon_set_target(target->vm.balloon, (uint64_t)fuzz_u16(input) * 64, NULL);
	user_event(target, fuzz_u8(input));
	hint_event(target, input);
	balloon_query(target->vm.balloon, &status);
	assert(status.actual_bytes <= RAM_BYTES && status.target_bytes <= RAM_BYTES);
}

static struct target *create(void)
{
	struct target *target = calloc(1, sizeof(*target));
	struct fake_driver driver;
	int failed;

	target->vm.config = &target->vm_config;
	failed = guest_memory_create(&target->vm.memory, NULL) ||
	         gmem_add_region(target->vm.memory, 0, RAM_BYTES,
	                         &(struct gmem_backing){ .thp = true }, NULL) ||
	         reclaim_create(target->vm.memory, &target->vm.reclaim, NULL) ||
	         event_loop_create("reclaim", &target->vm.reclaim_loop, NULL);
	target->config.class = &virtio_balloon_class;
	target->config.property_count = 1;
	target->config.properties[0] =
		(struct device_property){ "free-page-hint", { .number = 1 } };
	failed = failed ||
	         virtio_balloon_class.create(&target->vm, &target->config, &target->device, NULL);
	assert(!failed);
	(void)failed;
	fake_driver_init(&driver, &target->vm, target->device,
	                 RAM_BYTES - FAKE_DRIVER_QUEUES_MAX * FAKE_DRIVER_RING_BYTES);
	target->fuzz = fuzz_driver_of(&driver, RAM_BYTES, 5, host_event, target);
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
